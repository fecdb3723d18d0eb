//! Which requests the cache has a part in.

use headroom_api::v1::Question;
use headroom_providers::Api;
use headroom_providers::replay::{self, ReplayableRequest};
use headroom_providers::route::{Purpose, Route};

use super::key::{Connection, Digest, Head};
use super::settings::CacheMode;
use crate::host::{self, Headers};
use crate::mode::Mode;
use crate::rules::{self, Treatment};
use crate::settings::Settings;
use crate::upstream;

/// Longer questions are not compared: an embedder reads the beginning alone.
const MAX_QUESTION_BYTES: usize = 512;
/// Envoy's property with the digest of the client's certificate, which is a credential too.
const CERTIFICATE: &str = "connection\0sha256_peer_certificate_digest";

/// A request whose answer may be given again, as far as its headers go.
#[derive(Debug)]
pub(crate) struct Candidate {
    head: Head,
    mode: CacheMode,
    /// The client wants a new answer.
    refresh: bool,
    /// The oldest that it takes; 0: any. Milliseconds.
    max_age_ms: u64,
    /// The path says that the answer comes as events.
    is_stream: bool,
}

/// A request whose answer may be given again.
#[derive(Debug)]
pub(crate) struct CacheableRequest {
    pub(super) key: Digest,
    pub(super) question: Option<Question>,
    pub(super) api: Api,
    /// Its answer comes as events.
    pub(super) is_stream: bool,
    pub(super) refresh: bool,
    pub(super) max_age_ms: u64,
}

impl Candidate {
    /// `None`: the request goes to its provider, whatever its body says.
    pub(crate) fn new(
        settings: &Settings,
        route: &Route,
        treatment: Treatment,
        headers: &Headers,
        tenant: &str,
    ) -> Option<Self> {
        let is_meant = treatment.cache != CacheMode::Off
            && treatment.mode == Mode::Optimize
            && route.purpose == Purpose::Answer
            && replay::is_known(route.api);
        let keys = settings.answers.keys().filter(|_| is_meant)?;
        let wish = CacheDirectives::of(headers)?;
        let connection = Connection {
            tenant,
            api: route.api.name(),
            route: &rules::route_name(),
            cluster: &upstream::cluster().unwrap_or_default(),
            certificate: &host::property(CERTIFICATE).unwrap_or_default(),
        };
        let path = headers.iter().find(|(name, _)| *name == b":path").map_or(&b""[..], |(_, path)| path);
        Some(Self {
            head: keys.begin(headers, connection),
            mode: treatment.cache,
            refresh: wish.refresh,
            max_age_ms: wish.max_age_ms,
            is_stream: String::from_utf8_lossy(path).contains(":streamGenerateContent"),
        })
    }

    /// The request with its body, as it is forwarded. `None`: it goes to its provider.
    pub(crate) fn with_body(
        self,
        settings: &Settings,
        route: &Route,
        body: &[u8],
    ) -> Option<CacheableRequest> {
        let cache = &settings.config.cache;
        if body.len() > cache.max_body_bytes {
            return None;
        }
        let asked = ReplayableRequest::read(route.api, body, route.model.as_deref(), cache.nondeterministic)?;
        let is_stream = self.is_stream || asked.is_stream();
        let question = (self.mode == CacheMode::Semantic).then(|| asked.into_question()).flatten();
        let question =
            question.filter(|question| question.text.len() <= MAX_QUESTION_BYTES).map(|question| Question {
                scope: self.head.scope(&question.rest).to_vec(),
                text: question.text,
                similarity: cache.similarity,
            });
        Some(CacheableRequest {
            key: self.head.key(body),
            question,
            api: route.api,
            is_stream,
            refresh: self.refresh,
            max_age_ms: self.max_age_ms,
        })
    }
}

/// What a client says of the cache.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct CacheDirectives {
    refresh: bool,
    max_age_ms: u64,
}

impl CacheDirectives {
    /// `None`: the client does not want the cache.
    fn of(headers: &Headers) -> Option<Self> {
        let mut wish = Self::default();
        for (name, value) in headers.iter() {
            let text = String::from_utf8_lossy(value).to_ascii_lowercase();
            match name {
                b"cache-control" | b"x-headroom-cache" => {
                    for directive in text.split(',').map(str::trim) {
                        match directive {
                            "no-store" | "off" | "false" | "no" | "0" => return None,
                            "no-cache" | "refresh" | "max-age=0" => wish.refresh = true,
                            other => wish.note_age(other),
                        }
                    }
                }
                b"pragma" => wish.refresh |= text.split(',').any(|directive| directive.trim() == "no-cache"),
                _ => {}
            }
        }
        Some(wish)
    }

    fn note_age(&mut self, directive: &str) {
        let seconds: Option<u64> =
            directive.strip_prefix("max-age=").and_then(|seconds| seconds.trim_matches('"').parse().ok());
        if let Some(seconds) = seconds.filter(|seconds| *seconds > 0) {
            let age = seconds.saturating_mul(1_000);
            self.max_age_ms = if self.max_age_ms == 0 { age } else { self.max_age_ms.min(age) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_can_refuse_an_answer_ask_for_a_new_one_or_for_one_that_is_not_old() {
        let wish = |pairs: &[(&str, &str)]| CacheDirectives::of(&Headers::of(pairs));
        let plain = CacheDirectives::default();
        for (name, value, expected) in [
            ("cache-control", "no-store", None),
            ("cache-control", "private, No-Store", None),
            ("x-headroom-cache", "off", None),
            ("x-headroom-cache", "false", None),
            ("cache-control", "no-cache", Some(CacheDirectives { refresh: true, ..plain })),
            ("cache-control", "max-age=0", Some(CacheDirectives { refresh: true, ..plain })),
            ("x-headroom-cache", "refresh", Some(CacheDirectives { refresh: true, ..plain })),
            ("pragma", "no-cache", Some(CacheDirectives { refresh: true, ..plain })),
            ("cache-control", "max-age=60", Some(CacheDirectives { max_age_ms: 60_000, ..plain })),
            ("cache-control", "max-age=60, max-age=5", Some(CacheDirectives { max_age_ms: 5_000, ..plain })),
            ("cache-control", "max-age=99999999999999999999", Some(plain)),
            ("cache-control", "\u{fffd}", Some(plain)),
            ("accept", "no-store", Some(plain)),
        ] {
            assert_eq!(wish(&[(name, value)]), expected, "{name}: {value}");
        }
    }
}
