//! A provider's base URL, split into the parts that Envoy's cluster and route need.

use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;
use url::{Host, Url};

/// The destination of requests for one provider.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upstream {
    /// TLS, with the certificate validated.
    pub tls: bool,
    /// A name or a literal address, without brackets.
    pub host: String,
    /// The port, always given.
    pub port: u16,
    /// The prefix of the requests' paths: empty, or `/` and segments without a slash at the end.
    pub prefix: String,
    /// HTTP/2 without negotiation. Otherwise TLS negotiates, and plain text means HTTP/1.1.
    pub http2: bool,
}

/// Why a text is not a provider's base URL.
#[derive(Debug, Error)]
#[error(
    "{url:?} is not a provider's base URL: {reason}; expected one like https://api.example.com or http://127.0.0.1:9000/prefix"
)]
pub struct InvalidUpstream {
    url: String,
    reason: String,
}

/// The version segments at the start of the providers' own paths. Many people write a base URL with one at
/// its end, because their SDK expects it; the request's path already contains it.
const VERSION_SEGMENTS: [&str; 4] = ["/v1", "/v1beta", "/v1alpha", "/v1beta1"];

impl Upstream {
    /// The `Host` header that the provider expects.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }

    /// True if `host` is an address and needs no lookup.
    pub fn is_literal_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }
}

impl FromStr for Upstream {
    type Err = InvalidUpstream;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut upstream = Self::verbatim(text)?;
        if let Some(prefix) = VERSION_SEGMENTS.iter().find_map(|it| upstream.prefix.strip_suffix(it)) {
            upstream.prefix = prefix.trim_end_matches('/').to_owned();
        }
        Ok(upstream)
    }
}

impl Upstream {
    /// The base URL with its path unchanged: its last segment is not a version that requests repeat.
    pub fn verbatim(text: &str) -> Result<Self, InvalidUpstream> {
        let invalid = |reason: &str| InvalidUpstream { url: text.to_owned(), reason: reason.to_owned() };
        let url = Url::parse(text.trim()).map_err(|error| invalid(&error.to_string()))?;
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(invalid(&format!("the scheme {other:?} is neither http nor https"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("credentials belong into the client's headers"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("a base URL has neither query nor fragment"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(invalid("it names no host")),
        };
        Ok(Self {
            tls,
            host,
            port: url.port().unwrap_or(default_port(tls)),
            prefix: url.path().trim_end_matches('/').to_owned(),
            http2: false,
        })
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Upstream {
        text.parse().unwrap()
    }

    #[test]
    fn a_plain_https_url_goes_to_port_443_without_a_port_in_the_authority() {
        let upstream = parse("https://api.anthropic.com");
        assert!(upstream.tls);
        assert_eq!((upstream.host.as_str(), upstream.port), ("api.anthropic.com", 443));
        assert_eq!(upstream.authority(), "api.anthropic.com");
        assert_eq!(upstream.prefix, "");
        assert!(!upstream.is_literal_address());
    }

    #[test]
    fn a_port_a_prefix_and_a_trailing_slash_are_understood() {
        let upstream = parse(" http://127.0.0.1:9000/some/prefix/ ");
        assert!(!upstream.tls);
        assert_eq!(upstream.authority(), "127.0.0.1:9000");
        assert_eq!(upstream.prefix, "/some/prefix");
        assert!(upstream.is_literal_address());
    }

    #[test]
    fn an_ipv6_address_has_brackets_only_in_the_authority() {
        let upstream = parse("https://[::1]:8443");
        assert_eq!(upstream.host, "::1");
        assert_eq!(upstream.authority(), "[::1]:8443");
        assert!(upstream.is_literal_address());
    }

    #[test]
    fn a_version_segment_at_the_end_is_left_to_the_request_path() {
        assert_eq!(parse("https://api.openai.com/v1").prefix, "");
        assert_eq!(parse("https://openrouter.ai/api/v1/").prefix, "/api");
        assert_eq!(parse("https://example.com/v1/proxy").prefix, "/v1/proxy");
        assert_eq!(parse("https://generativelanguage.googleapis.com/v1beta").prefix, "");
    }

    #[test]
    fn a_base_url_is_taken_verbatim_where_its_path_is_whole() {
        let prefix = |text: &str| Upstream::verbatim(text).unwrap().prefix;
        assert_eq!(prefix("https://api.groq.com/openai/v1/"), "/openai/v1");
        assert_eq!(prefix("https://api.z.ai/api/paas/v4"), "/api/paas/v4");
        assert_eq!(prefix("https://api.perplexity.ai"), "");
    }

    #[test]
    fn what_is_no_base_url_is_refused_with_the_reason() {
        for (text, reason) in [
            ("api.openai.com", "relative URL"),
            ("ftp://example.com", "neither http nor https"),
            ("https://user:secret@example.com", "credentials"),
            ("https://example.com/?key=1", "query"),
            ("", "relative URL"),
        ] {
            let error = text.parse::<Upstream>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
