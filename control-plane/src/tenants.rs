//! Tokens of tenants: a caller with such a token can use that tenant's originals and memory, and `/v1/compress` and
//! `/v1/usage` for it, and nothing else.
//!
//! A file with a name and a token on each line; blank lines and those that begin with `#` are ignored. A name is the
//! one that filters report for the tenant.

use std::path::Path;

use crate::token::{Token, TokenError, bearer};

/// Bytes of a tenant's name at most, as many as the filter sends.
pub const MAX_NAME: usize = 128;

/// The tokens of tenants.
#[derive(Clone, Debug, Default)]
pub struct Tenants(Vec<(String, Token)>);

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TenantsError {
    /// It cannot be read.
    #[error("{path}: the tokens of tenants cannot be read: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A line is not a name and a token.
    #[error("{path}: line {line}: expected a tenant's name and its token, separated by blanks")]
    Line {
        /// The file.
        path: String,
        /// Its number, from 1.
        line: usize,
    },
    /// An invalid token.
    #[error("{path}: line {line}: {error}")]
    Token {
        /// The file.
        path: String,
        /// Its number, from 1.
        line: usize,
        /// Why.
        error: TokenError,
    },
    /// The same token for two tenants.
    #[error("{path}: line {line}: another tenant has the same token")]
    Twice {
        /// The file.
        path: String,
        /// Its number, from 1.
        line: usize,
    },
}

impl Tenants {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, TenantsError> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &name),
            Err(error) => Err(TenantsError::File { path: name, error }),
        }
    }

    pub(crate) fn parse(text: &str, path: &str) -> Result<Self, TenantsError> {
        let mut tenants: Vec<(String, Token)> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let path = || path.to_owned();
            let words: Vec<&str> = text.split_whitespace().collect();
            let &[name, token] = words.as_slice() else {
                return Err(TenantsError::Line { path: path(), line });
            };
            if !is_name(name) {
                return Err(TenantsError::Line { path: path(), line });
            }
            let shown = token;
            let token =
                Token::new(token).map_err(|error| TenantsError::Token { path: path(), line, error })?;
            if tenants.iter().any(|(_, known)| known.is(shown)) {
                return Err(TenantsError::Twice { path: path(), line });
            }
            tenants.push((name.to_owned(), token));
        }
        Ok(Self(tenants))
    }

    /// The tenants' names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The tenant whose token is in the value of an `Authorization` header.
    pub fn shown_by(&self, authorization: &str) -> Option<&str> {
        self.whose(bearer(authorization)?)
    }

    /// The tenant whose token a text is.
    pub fn whose(&self, shown: &str) -> Option<&str> {
        // all are compared, so that the time reveals nothing
        let mut found = None;
        for (name, token) in &self.0 {
            if token.is(shown) {
                found = Some(name.as_str());
            }
        }
        found
    }
}

/// Whether a text can be a tenant's name: visible ASCII, as a header can carry.
pub fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_a_token() {
        let tenants = Tenants::parse("# who\n\n red  t0ken-of-red\nblue\tt0ken-of-blue \n", "f").unwrap();
        assert_eq!(tenants.shown_by("Bearer t0ken-of-red"), Some("red"));
        assert_eq!(tenants.shown_by("bearer t0ken-of-blue"), Some("blue"));
        for nobody in ["Bearer t0ken", "t0ken-of-red", "Bearer red", ""] {
            assert_eq!(tenants.shown_by(nobody), None, "{nobody:?}");
        }
        assert!(!format!("{tenants:?}").contains("t0ken"));
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        for (text, said) in [
            ("red", "line 1: expected"),
            ("red one two", "line 1: expected"),
            ("r\u{e9}d token", "line 1: expected"),
            ("red a\nblue a", "line 2: another tenant has the same token"),
            ("red replace-me", "choose a secret"),
            ("red t\u{e9}", "visible ASCII"),
        ] {
            let error = Tenants::parse(text, "f").unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        assert!(Tenants::read(Path::new("/no/such/file")).unwrap_err().to_string().contains("/no/such/file"));
        assert!(Tenants::parse("", "f").unwrap().0.is_empty());
    }
}
