//! Access control and rate limits. Everyone may always read whether headroomd is healthy. Details on health are
//! only for callers who may read everything else.
//!
//! * With a token, everyone must send it, as a bearer token or in `x-headroom-proxy-token`, except for the
//!   dashboard's own files. (Without one the sidecar listens on loopback only.)
//! * A tenant's token gives access only to that tenant's originals and memory, and to compression for it.
//! * Without one, the `Host` must be a name that cannot have been pointed here from outside: a page
//!   in a browser could otherwise make its own name resolve to 127.0.0.1 and read the answers.
//! * Without one, requests that Envoy received from other machines are refused. Envoy marks them with a header.
//! * There is no CORS header anywhere, so no other origin may read an answer.
//! * Requests beyond the rate limit are asked to retry. Each tenant has a rate of its own, and so have those who show no
//!   token, so that nobody uses up another's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use headroom_api::names::REMOTE_HEADER;

use super::dashboard::is_page;
use super::error::Refusal;
use crate::tenants::Tenants;
use crate::token::{Token, bearer};

/// Requests a second in the long run: several dashboards and scrapers, far below the load that slows down the
/// store.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Requests at once.
const BURST: NonZeroU32 = NonZeroU32::new(400).unwrap();
/// The paths that are answered to everyone.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/health"];
/// The paths that bound their own work: a gateway calls them once for each request of all its users.
const UNRATED: [&str; 2] = ["/v1/compress", "/v1/usage"];
/// The header in which gateways send the token if `Authorization` belongs to the provider.
const PROXY_TOKEN: &str = "x-headroom-proxy-token";

/// The part of an answer that a caller may see.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    /// All.
    Full,
    /// The tenant's data.
    Tenant(String),
    /// Only whether headroomd is healthy.
    Status,
}

/// The checks of a request.
pub(crate) struct Guard {
    token: Option<Token>,
    tenants: Tenants,
    hosts: Vec<String>,
    /// Of those who may read everything.
    rate: DefaultDirectRateLimiter,
    /// Of those who show no valid token, where there is one, and of those who are refused.
    strangers: DefaultDirectRateLimiter,
    /// Of each tenant.
    by_tenant: HashMap<String, DefaultDirectRateLimiter>,
}

impl Guard {
    /// `hosts`: host names that `Host` may have, in addition to `localhost` and addresses.
    pub(crate) fn new(token: Option<Token>, tenants: Tenants, hosts: Vec<String>) -> Self {
        let rate = || RateLimiter::direct(Quota::per_second(PER_SECOND).allow_burst(BURST));
        let by_tenant = tenants.names().map(|name| (name.to_owned(), rate())).collect();
        Self { token, tenants, hosts, rate: rate(), strangers: rate(), by_tenant }
    }

    fn check(&self, request: &Request) -> Result<Access, Refusal> {
        let admitted = self.admit(request);
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        if reads && OPEN.contains(&request.uri().path()) {
            return Ok(if admitted == Ok(Access::Full) { Access::Full } else { Access::Status });
        }
        if !UNRATED.contains(&request.uri().path()) {
            self.rate(&admitted, request).check().map_err(|_| Refusal::RATE)?;
        }
        admitted
    }

    /// The rate that a request counts towards.
    fn rate(&self, admitted: &Result<Access, Refusal>, request: &Request) -> &DefaultDirectRateLimiter {
        let is_known = || self.token.as_ref().is_none_or(|token| token.is(shown(request.headers())));
        match admitted {
            Ok(Access::Full) if is_known() => &self.rate,
            Ok(Access::Tenant(tenant)) => self.by_tenant.get(tenant).unwrap_or(&self.strangers),
            _ => &self.strangers,
        }
    }

    fn admit(&self, request: &Request) -> Result<Access, Refusal> {
        let path = request.uri().path();
        let shown = shown(request.headers());
        match (&self.token, self.tenants.whose(shown)) {
            (Some(token), _) if token.is(shown) => Ok(Access::Full),
            (_, Some(tenant)) if is_tenants(path) => Ok(Access::Tenant(tenant.to_owned())),
            (_, Some(_)) => Err(Refusal::TENANT),
            // a browser cannot send it for a page: the page asks the user for it, and sends it for the figures
            (Some(_), None) if is_page(path) => Ok(Access::Full),
            (Some(_), None) => Err(Refusal::TOKEN),
            (None, None) if request.headers().contains_key(REMOTE_HEADER) => Err(Refusal::REMOTE),
            (None, None) if self.is_own(host(request)) => Ok(Access::Full),
            (None, None) => Err(Refusal::HOST),
        }
    }

    fn is_own(&self, host: Option<&str>) -> bool {
        // HTTP/1.0 has none; browsers always send one
        let Some(host) = host else { return true };
        let name = without_port(host);
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let lower = name.trim_end_matches('.').to_ascii_lowercase();
        address.parse::<IpAddr>().is_ok()
            || lower == "localhost"
            || lower.ends_with(".localhost")
            || self.hosts.contains(&lower)
    }
}

pub(super) async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    match guard.check(&request) {
        Ok(access) => {
            request.extensions_mut().insert(access);
            next.run(request).await
        }
        Err(refusal) => {
            let needs_token = refusal.kind() == "token";
            let mut response = refusal.into_response();
            if needs_token {
                let expected = HeaderValue::from_static("Bearer realm=\"headroom\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, expected);
            }
            response
        }
    }
}

/// The caller's token: from our own header, which has priority, or the bearer token.
fn shown(headers: &HeaderMap) -> &str {
    match headers.get(PROXY_TOKEN) {
        Some(value) => value.to_str().unwrap_or_default(),
        None => headers.get(AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?)).unwrap_or_default(),
    }
}

/// Whether the path has data per tenant.
fn is_tenants(path: &str) -> bool {
    matches!(path, "/v1/retrieve" | "/v1/compress" | "/v1/usage")
        || ["/v1/retrieve/", "/v1/memory/"].iter().any(|under| path.starts_with(under))
}

fn host(request: &Request) -> Option<&str> {
    let authority = request.uri().host();
    authority.or_else(|| request.headers().get(HOST).map(|host| host.to_str().unwrap_or("?")))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // the colons of an IPv6 address in brackets are not a port's
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, headers: &[(&str, &str)]) -> Request {
        let builder = headers
            .iter()
            .fold(Request::builder().uri(path), |builder, (name, value)| builder.header(*name, *value));
        builder.body(axum::body::Body::empty()).unwrap()
    }

    #[test]
    fn only_names_that_cannot_be_pointed_here_are_our_own() {
        let guard = Guard::new(None, Tenants::default(), vec!["headroom.internal".to_owned()]);
        for own in [
            "127.0.0.1:8788",
            "localhost:1",
            "LOCALHOST",
            "a.localhost",
            "[::1]:8788",
            "10.1.2.3",
            "headroom.internal:80",
            "localhost.",
        ] {
            assert!(guard.check(&request("/stats", &[("host", own)])).is_ok(), "{own}");
        }
        for strange in [
            "evil.example",
            "evil.example:8788",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "\u{e9}",
        ] {
            assert!(guard.check(&request("/stats", &[("host", strange)])).is_err(), "{strange}");
        }
        assert_eq!(guard.check(&request("/livez", &[("host", "evil.example")])).unwrap(), Access::Status);
        assert_eq!(guard.check(&request("/livez", &[("host", "localhost")])).unwrap(), Access::Full);
        let remote = [("host", "10.1.2.3"), (REMOTE_HEADER, "true")];
        for path in ["/stats", "/dashboard", "/metrics", "/events"] {
            assert_eq!(guard.check(&request(path, &remote)).unwrap_err().kind(), "remote", "{path}");
        }
        assert_eq!(guard.check(&request("/readyz", &remote)).unwrap(), Access::Status);
    }

    #[test]
    fn a_token_is_demanded_everywhere_but_for_health() {
        let guard = Guard::new(Some(Token::new("s3cret").unwrap()), Tenants::default(), Vec::new());
        for open in OPEN {
            assert_eq!(guard.check(&request(open, &[])).unwrap(), Access::Status);
            let shown = [("authorization", "Bearer s3cret")];
            assert_eq!(guard.check(&request(open, &shown)).unwrap(), Access::Full);
            let mut post = request(open, &[]);
            *post.method_mut() = Method::POST;
            assert!(guard.check(&post).is_err(), "{open}: GET only");
        }
        for page in ["/dashboard/app.js", "/", "/favicon.ico"] {
            assert!(guard.check(&request(page, &[])).is_ok(), "{page} holds no figures");
        }
        for (own, bearer, admitted) in [
            ("s3cret", "Bearer sk-theirs", true),
            ("bad", "Bearer s3cret", false),
            ("", "Bearer s3cret", false),
        ] {
            let headers = [("x-headroom-proxy-token", own), ("authorization", bearer)];
            assert_eq!(guard.check(&request("/v1/compress", &headers)).is_ok(), admitted, "{own:?}");
        }
        assert!(guard.check(&request("/v1/compress", &[("x-api-key", "s3cret")])).is_err());
        for closed in ["/stats", "/metrics", "/debug/tasks", "//", "/livez/", "//livez", "/LIVEZ", "/nothing"]
        {
            assert!(guard.check(&request(closed, &[])).is_err(), "{closed}");
            assert!(guard.check(&request(closed, &[("authorization", "Bearer s3cret")])).is_ok(), "{closed}");
            assert!(guard.check(&request(closed, &[("authorization", "Bearer s3cre")])).is_err(), "{closed}");
        }
    }

    #[test]
    fn requests_beyond_the_burst_are_told_to_come_back() {
        let guard = Guard::new(None, Tenants::default(), Vec::new());
        let refused = (0..BURST.get() * 2)
            .filter(|_| {
                guard
                    .check(&request("/stats", &[("host", "localhost")]))
                    .is_err_and(|refusal| refusal.kind() == "rate")
            })
            .count();
        assert!(refused > 0);
    }

    #[test]
    fn whoever_asks_too_often_uses_up_nobody_elses_rate() {
        let tenants = Tenants::parse("red t0ken-of-red\nblue t0ken-of-blue", "f").unwrap();
        let guard = Guard::new(Some(Token::new("s3cret").unwrap()), tenants, Vec::new());
        let kind = |path: &str, token: &str| {
            let shown = format!("Bearer {token}");
            guard.check(&request(path, &[("authorization", &shown)])).err().map(|refusal| refusal.kind())
        };
        let use_up = |path: &str, token: &str| {
            assert!((0..BURST.get() * 100).any(|_| kind(path, token) == Some("rate")), "{path} {token}");
        };
        use_up("/stats", "wrong");
        use_up("/dashboard", "wrong");
        assert_eq!((kind("/stats", "s3cret"), kind("/v1/retrieve/stats", "t0ken-of-red")), (None, None));
        use_up("/v1/retrieve/stats", "t0ken-of-red");
        assert_eq!((kind("/stats", "s3cret"), kind("/v1/retrieve/stats", "t0ken-of-blue")), (None, None));
    }
}
