//! The key of a request: an HMAC-SHA-256 over everything that its answer may depend on.
//!
//! The HMAC's key comes from the secret and the rest of the configuration, so a reader of keys cannot find a credential or a
//! prompt by trying; and a changed configuration begins with an empty cache. Of the body, which may be long, it
//! takes the BLAKE3 digest: SHA-256 is several times slower in the module.

use std::fmt;

use headroom_compress::FORMS_VERSION;
use headroom_providers::sort;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::Config;
use crate::host::Headers;

const CONTEXT: &[u8] = b"headroom 2026-11-29 answers that are given again";

/// Bytes of a key.
pub(crate) type Digest = [u8; 32];

/// Makes keys.
pub(crate) struct Keys(Hmac<Sha256>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// What Envoy knows of a request that is in none of its headers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Connection<'c> {
    pub(crate) tenant: &'c str,
    pub(crate) api: &'c str,
    /// The route's name; routes may have none.
    pub(crate) route: &'c str,
    /// Where the route leads.
    pub(crate) cluster: &'c [u8],
    /// The digest of the certificate that the client has shown, where it has shown one.
    pub(crate) certificate: &'c [u8],
}

impl Keys {
    /// `None`: the configuration has no secret, or one that could be guessed.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        if !config.cache.has_secret() {
            return None;
        }
        let mut key = Hmac::new_from_slice(config.cache.secret.bytes()).ok()?;
        // What is secret in a configuration is not spelled out in this.
        for part in [CONTEXT, format!("{FORMS_VERSION} {config:?}").as_bytes()] {
            add(&mut key, part);
        }
        Hmac::new_from_slice(&key.finalize().into_bytes()).ok().map(Self)
    }

    /// Begins the key of a request with these headers.
    pub(crate) fn begin(&self, headers: &Headers, connection: Connection<'_>) -> Head {
        let Connection { tenant, api, route, cluster, certificate } = connection;
        let mut mac = self.0.clone();
        for part in [tenant.as_bytes(), api.as_bytes(), route.as_bytes(), cluster, certificate] {
            add(&mut mac, part);
        }
        let mut counted: Vec<(&[u8], &[u8])> =
            headers.iter().filter(|(name, _)| !is_of_this_request_alone(name)).collect();
        // Stable: the values of one name keep their order.
        sort::by_key(&mut counted, |(name, _)| *name);
        for (name, value) in counted {
            add(&mut mac, name);
            add(&mut mac, value);
        }
        Head(Box::new(mac))
    }
}

/// A key without its body.
#[derive(Clone)]
pub(crate) struct Head(Box<Hmac<Sha256>>);

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Head(…)")
    }
}

impl Head {
    /// The key of the request with this body, as it is forwarded.
    pub(crate) fn key(&self, body: &[u8]) -> Digest {
        self.end(b"body", body)
    }

    /// What requests have in common that differ in their question alone; `rest` is everything beside it.
    pub(crate) fn scope(&self, rest: &[u8]) -> Digest {
        self.end(b"rest", rest)
    }

    fn end(&self, of: &[u8], bytes: &[u8]) -> Digest {
        let mut mac = (*self.0).clone();
        add(&mut mac, of);
        add(&mut mac, blake3::hash(bytes).as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// With its length before it, so that no two lists of parts are one text.
fn add(mac: &mut Hmac<Sha256>, part: &[u8]) {
    mac.update(&(part.len() as u64).to_le_bytes());
    mac.update(part);
}

/// Headers that say how a request travels, or what number it has, and nothing that an answer depends on. Every other one
/// counts: one that is not known may be a credential. So may `x-forwarded-user`, `x-forwarded-access-token` and
/// `x-forwarded-client-cert`, and `x-envoy-original-dst-host` says where a request goes.
const OWN: [&[u8]; 30] = [
    b":scheme",
    b"accept-encoding",
    b"b3",
    b"baggage",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"date",
    b"expect",
    b"forwarded",
    b"idempotency-key",
    b"keep-alive",
    b"pragma",
    b"priority",
    b"sentry-trace",
    b"te",
    b"traceparent",
    b"tracestate",
    b"transfer-encoding",
    b"user-agent",
    b"via",
    b"x-amzn-trace-id",
    b"x-client-request-id",
    b"x-cloud-trace-context",
    b"x-forwarded-for",
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"x-real-ip",
    b"x-request-id",
];
const OWN_STARTS: [&[u8]; 5] = [b"x-b3-", b"x-datadog-", b"x-envoy-", b"x-headroom-", b"x-stainless-"];
const ENVOY_ORIGINAL: &[u8] = b"x-envoy-original-";

fn is_of_this_request_alone(name: &[u8]) -> bool {
    OWN.contains(&name)
        || OWN_STARTS.iter().any(|start| name.starts_with(start)) && !name.starts_with(ENVOY_ORIGINAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [(&str, &str); 5] = [
        (":path", "/v1/messages"),
        (":authority", "api.anthropic.com"),
        ("x-api-key", "sk-1"),
        ("anthropic-version", "2023-06-01"),
        ("user-agent", "a"),
    ];

    fn config(secret: &str) -> Config {
        let json = format!(
            r#"{{"cache": {{"mode": "exact", "secret": "{secret}"}}, "control_plane": {{"cluster": "c"}}}}"#
        );
        Config::parse(json.as_bytes()).unwrap().config
    }

    fn key_of(config: &Config, pairs: &[(&str, &str)], tenant: &str, body: &[u8]) -> Digest {
        let connection = Connection { tenant, api: "openai_chat", ..Connection::default() };
        Keys::new(config).unwrap().begin(&Headers::of(pairs), connection).key(body)
    }

    #[test]
    fn everything_that_an_answer_may_depend_on_is_in_the_key() {
        let config = config("a secret of the operator's");
        let key = key_of(&config, &REQUEST, "t", b"{}");
        assert_eq!(key, key_of(&config, &REQUEST, "t", b"{}"));
        let with = |name: &'static str, value: &'static str| {
            let mut pairs: Vec<_> = REQUEST.into_iter().filter(|(of, _)| *of != name).collect();
            pairs.push((name, value));
            key_of(&config, &pairs, "t", b"{}")
        };
        for (name, value) in [
            ("x-api-key", "sk-2"),
            ("authorization", "Bearer sk-1"),
            ("cookie", "session=1"),
            ("openai-organization", "o"),
            ("chatgpt-account-id", "a"),
            ("anthropic-beta", "b"),
            ("accept", "text/event-stream"),
            ("x-a-header-of-a-gateway", "tenant-7"),
            (":path", "/v1/messages?beta=true"),
            (":authority", "other.example"),
            ("x-forwarded-user", "ann"),
            ("x-forwarded-access-token", "t"),
            ("x-forwarded-client-cert", "By=spiffe://a;Hash=b"),
            ("x-forwarded-host", "other.example"),
            ("x-envoy-original-dst-host", "10.0.0.1:443"),
            ("x-api-key", "sk-1 "),
        ] {
            assert_ne!(key, with(name, value), "{name}");
        }
        for (name, value) in [
            ("user-agent", "b"),
            ("x-request-id", "1"),
            ("x-stainless-retry-count", "2"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-envoy-external-address", "10.0.0.1"),
        ] {
            assert_eq!(key, with(name, value), "{name}");
        }
        assert_ne!(key, key_of(&config, &REQUEST, "u", b"{}"));
        assert_ne!(key, key_of(&config, &REQUEST, "t", b"{} "));
        assert_ne!(key, key_of(&super::tests::config("another secret, as long"), &REQUEST, "t", b"{}"));
        let other = Config { read_usage: false, ..config.clone() };
        assert_ne!(key, key_of(&other, &REQUEST, "t", b"{}"), "another configuration");
    }

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other() {
        let keys = Keys::new(&config("a secret of the operator's")).unwrap();
        let begin = |connection| keys.begin(&Headers::of(&[]), connection);
        let key = |tenant, api| begin(Connection { tenant, api, ..Connection::default() }).key(b"");
        assert_ne!(key("ab", "c"), key("a", "bc"));
        let head = begin(Connection::default());
        assert_ne!(head.key(b"x"), head.scope(b"x"));
    }

    #[test]
    fn without_a_secret_there_are_no_keys_and_it_is_in_no_log() {
        assert!(Keys::new(&Config::default()).is_none());
        let config = config("a secret of the operator's");
        assert!(!format!("{config:?} {:?}", Keys::new(&config)).contains("operator"));
    }
}
