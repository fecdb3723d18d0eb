//! Identifies who makes a request, for budgets: a hash of the credential that its API reads.
//!
//! Each API reads its own headers. A key in a header of another API does not count, so a client cannot charge
//! its costs to a key that it made up.

use headroom_compress::address;
use headroom_providers::Credentials;
use headroom_providers::path::decode;
use headroom_providers::route::Route;

use crate::host::Headers;

/// Without a route: every header that could carry a credential.
const ANY: Credentials =
    Credentials { headers: &["x-api-key", "api-key", "x-goog-api-key", "authorization"], query: true };

/// The keys of a request's credentials, the decisive one first. Without a route every possible one.
pub(crate) fn keys(headers: &Headers, query: &str, route: Option<&Route>) -> Vec<String> {
    let Credentials { headers: names, query: in_query } = route.map_or(ANY, Route::credentials);
    let of_name = |name: &'static str| {
        headers.iter().filter(move |(key, _)| *key == name.as_bytes()).flat_map(|(_, value)| keys_of(value))
    };
    let mut keys: Vec<String> = names.iter().copied().flat_map(of_name).collect();
    if in_query {
        let parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
        let named = parameters.filter(|(name, _)| decode(name) == "key");
        keys.extend(named.map(|(_, value)| key_of(decode(value).as_bytes())));
    }
    let mut distinct = Vec::new();
    for key in keys {
        if !key.is_empty() && !distinct.contains(&key) {
            distinct.push(key);
        }
    }
    distinct
}

/// The keys in one header. Envoy joins headers of one name with commas, and no key contains a comma.
fn keys_of(header: &[u8]) -> Vec<String> {
    if header.trim_ascii_start().starts_with(b"AWS4-") {
        return vec![key_of(header)];
    }
    header.split(|byte| *byte == b',').map(key_of).collect()
}

/// A hash of a header's value, 16 hexadecimal digits: it distinguishes credentials without keeping one (I9).
/// Empty if the header is empty.
pub(crate) fn key_of(header: &[u8]) -> String {
    let text = String::from_utf8_lossy(header);
    let text = text.trim();
    let (scheme, rest) = text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, ""));
    // A signature differs in every request; the signer's name does not.
    let signer = scheme.starts_with("AWS4-").then_some(rest).and_then(|signature| {
        let (_, credential) = signature.split_once("Credential=")?;
        credential.split_once('/').map(|(id, _)| id)
    });
    let of = signer.unwrap_or(if scheme.eq_ignore_ascii_case("bearer") { rest.trim() } else { text });
    if of.is_empty() { String::new() } else { address(of).chars().take(16).collect() }
}

#[cfg(test)]
mod tests {
    use headroom_providers::path::Path;
    use headroom_providers::route::Target;
    use headroom_providers::routing;

    use super::*;

    fn shown(pairs: &[(&str, &str)], path: &str) -> Vec<String> {
        let path = Path::new(path.as_bytes());
        let route = routing::find(b"POST", Target { host: b"h", path: &path, is_copilot: false }, &[]);
        keys(&Headers::of(pairs), path.query(), route.as_ref())
    }

    fn key(text: &str) -> String {
        key_of(text.as_bytes())
    }

    #[test]
    fn a_key_says_nothing_of_the_credential_and_stays_the_same() {
        let secret = key("Bearer sk-secret");
        assert_eq!(secret.len(), 16);
        assert!(!secret.contains("secret"));
        for spelling in ["sk-secret", "bearer sk-secret", "BEARER \t sk-secret ", " Bearer  sk-secret"] {
            assert_eq!(key(spelling), secret, "{spelling}");
        }
        assert_ne!(key("sk-other"), secret);
        for nothing in ["", " ", "Bearer", "bearer  "] {
            assert_eq!(key(nothing), "", "{nothing:?}");
        }
        let signed = |signature: &str| {
            key(&format!(
                "AWS4-HMAC-SHA256 Credential=AKID/20261122/eu/bedrock/aws4_request, Signature={signature}"
            ))
        };
        assert_eq!(signed("a"), signed("b"));
        assert_eq!(signed("a"), key("AKID"));
    }

    #[test]
    fn an_api_reads_its_own_header() {
        let real = ("authorization", "Bearer sk-1");
        let decoys = [("x-api-key", "d1"), ("api-key", "d2"), ("x-goog-api-key", "d3"), real];
        assert_eq!(shown(&decoys, "/v1/chat/completions?key=d4"), [key("sk-1")]);
        assert_eq!(shown(&decoys, "/v1/messages"), [key("d1"), key("sk-1")]);
        assert_eq!(shown(&decoys, "/openai/deployments/d/chat/completions"), [key("d2"), key("sk-1")]);
        assert_eq!(shown(&decoys, "/openai/v1/responses"), [key("d2"), key("sk-1")]);
        assert_eq!(
            shown(&decoys, "/v1beta/models/g:generateContent?k%65y=d%34"),
            [key("d3"), key("sk-1"), key("d4")]
        );
        assert_eq!(shown(&decoys, "/model/m/converse"), [key("sk-1")]);
        assert_eq!(shown(&decoys, "/v1/files").len(), 4, "where nobody knows who reads, all of them count");
    }

    #[test]
    fn headers_that_were_joined_are_several() {
        let joined = [("authorization", "Bearer sk-1,Bearer sk-2, sk-3")];
        assert_eq!(shown(&joined, "/v1/chat/completions"), [key("sk-1"), key("sk-2"), key("sk-3")]);
        let signed = [("authorization", "AWS4-HMAC-SHA256 Credential=AKID/x, SignedHeaders=a, Signature=b")];
        assert_eq!(shown(&signed, "/model/m/converse"), [key("AKID")]);
    }

    #[test]
    fn an_empty_header_is_none() {
        let shown =
            shown(&[("x-api-key", ""), ("x-api-key", " "), ("authorization", "bearer sk-1")], "/v1/messages");
        assert_eq!(shown, [key("sk-1")]);
    }
}
