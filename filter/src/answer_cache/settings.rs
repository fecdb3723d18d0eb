//! What the configuration says of answers that are given again.

use std::fmt;

use crate::lenient::Reader;

/// Which requests are answered again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CacheMode {
    /// None.
    #[default]
    Off,
    /// Those that equal an earlier one.
    Exact,
    /// The same, and questions without history that are nearly the same. Experimental.
    Semantic,
}

pub(crate) const CACHE_MODES: &[(&str, CacheMode)] =
    &[("off", CacheMode::Off), ("exact", CacheMode::Exact), ("semantic", CacheMode::Semantic)];

/// The section `cache`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CacheSettings {
    /// For requests for which no rule says otherwise.
    pub mode: CacheMode,
    /// What keys are made with: without it the key of a request cannot be computed.
    pub secret: Secret,
    /// For how long an answer is given again. Seconds.
    pub ttl_seconds: u32,
    /// Deadline of the question whether there is one. Milliseconds.
    pub timeout_ms: u32,
    /// For how long a request waits for the answer to an equal one that is under way; 0: it does not. Milliseconds.
    pub wait_ms: u32,
    /// Longer requests, and longer answers, are not for the cache.
    pub max_body_bytes: usize,
    /// Also requests that ask for chance themselves.
    pub nondeterministic: bool,
    /// The cosine of two questions from which on one gets the other's answer. Percent.
    pub similarity: u32,
}

/// A text that is in no log.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(…)" })
    }
}

impl Secret {
    /// Its bytes; none where there is no secret.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            mode: CacheMode::Off,
            secret: Secret::default(),
            ttl_seconds: 600,
            timeout_ms: 50,
            wait_ms: 10_000,
            max_body_bytes: 1 << 20,
            nondeterministic: false,
            similarity: 95,
        }
    }
}

/// The environment variable of the VM that holds the secret.
const SECRET_VARIABLE: &str = "HEADROOM_CACHE_SECRET";
/// A shorter one could be guessed.
const MIN_SECRET_BYTES: usize = 16;
/// What the sidecar says comes in one message, which is read up to 4 MiB.
const MAX_BODY_BYTES: usize = 3 << 20;
/// Below, questions that have little in common would get each other's answers.
const LOWEST_SIMILARITY: u32 = 80;

/// What happens to requests if the mode cannot be read.
pub(crate) const ASKED: &str = "every request goes to its provider";

impl CacheSettings {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let defaults = Self::default();
        let Some(mut section) = reader.section("cache") else { return defaults };
        let configured = section.text("secret");
        let secret = if configured.is_empty() {
            std::env::var(SECRET_VARIABLE).unwrap_or_default()
        } else {
            configured
        };
        let settings = Self {
            mode: section.guarded("mode", CACHE_MODES, defaults.mode, (CacheMode::Off, ASKED)),
            secret: Secret(secret.trim().to_owned()),
            ttl_seconds: section.number("ttl_seconds", 1..=7 * 24 * 3_600, defaults.ttl_seconds),
            timeout_ms: section.number("timeout_ms", 1..=10_000, defaults.timeout_ms),
            wait_ms: section.number("wait_ms", 0..=600_000, defaults.wait_ms),
            max_body_bytes: section.bytes("max_body_bytes", 1..=MAX_BODY_BYTES, defaults.max_body_bytes),
            nondeterministic: section.flag("nondeterministic", defaults.nondeterministic),
            similarity: section.number("similarity", LOWEST_SIMILARITY..=100, defaults.similarity),
        };
        reader.close(section);
        settings
    }

    /// Whether keys can be made.
    pub(crate) fn has_secret(&self) -> bool {
        self.secret.0.len() >= MIN_SECRET_BYTES
    }

    /// What is missing, where something is.
    pub(crate) fn lacks(&self, has_sidecar: bool) -> Option<&'static str> {
        if !has_sidecar {
            Some("needs control_plane, where answers are kept")
        } else if !self.has_secret() {
            Some("needs a secret of 16 characters or more, in secret or in the VM's HEADROOM_CACHE_SECRET")
        } else {
            None
        }
    }
}
