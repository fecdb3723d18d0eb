//! Removes credentials from texts before they are printed, written, stored or sent.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// The replacement for a credential.
const REPLACEMENT: &str = "[secret]";

static SECRETS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // keys with a known format
        r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,}",
        r"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}|\bya29\.[A-Za-z0-9_-]{20,}",
        r"\bxox[abprs]-[A-Za-z0-9-]{10,}|\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}|\bnpm_[A-Za-z0-9]{30,}|\bhf_[A-Za-z0-9]{30,}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        // values whose name says that they are credentials
        r#"(?i)(?P<keep>\b(?:authorization|x-api-key|api-key)["']?\s*[:=]\s*["']?(?:bearer |basic |token )?)[^\s"'`,;]{6,}"#,
        r"(?i)(?P<keep>\bbearer )[A-Za-z0-9._~+/-]{12,}=*",
        r#"(?i)(?P<keep>\b[\w-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credentials?)["']?\s*[=:]\s*["']?)[^\s"'`,;&]{6,}"#,
        r"(?i)(?P<keep>--?(?:password|token|api-key|secret)[ =])[^\s-][^\s]{5,}",
        r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@]+:)[^\s/@]+(?P<end>@)",
    ]
    .iter()
    .filter_map(|pattern| Regex::new(pattern).ok())
    .collect()
});

/// The text without credentials.
pub fn scrub(text: &str) -> Cow<'_, str> {
    let mut scrubbed = Cow::Borrowed(text);
    for pattern in SECRETS.iter() {
        if pattern.is_match(&scrubbed) {
            let replace = |found: &Captures<'_>| {
                let part = |name| found.name(name).map_or("", |part| part.as_str());
                format!("{}{REPLACEMENT}{}", part("keep"), part("end"))
            };
            scrubbed = Cow::Owned(pattern.replace_all(&scrubbed, replace).into_owned());
        }
    }
    scrubbed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_are_understood() {
        assert_eq!(SECRETS.len(), 11);
    }

    #[test]
    fn credentials_go_and_the_rest_stays() {
        for (text, scrubbed) in [
            ("curl -H 'Authorization: Bearer abcdef0123456789'", "curl -H 'Authorization: Bearer [secret]'"),
            ("OPENAI_API_KEY=sk-proj-0123456789abcdefgh x", "OPENAI_API_KEY=[secret] x"),
            ("git clone https://me:hunter2@example.com/a", "git clone https://me:[secret]@example.com/a"),
            ("DB_PASSWORD=\"hunter22\" run", "DB_PASSWORD=\"[secret]\" run"),
            ("git commit -m 'count tokens: 12'", "git commit -m 'count tokens: 12'"),
            ("cat src/token.rs", "cat src/token.rs"),
        ] {
            assert_eq!(scrub(text), scrubbed);
        }
        assert!(!scrub("-----BEGIN RSA PRIVATE KEY-----\nMIIabc\nMIIdef").contains("MII"));
    }
}
