//! The bearer token: compared in constant time, never shown.

use std::fmt;

/// A secret that clients must show.
#[derive(Clone)]
pub struct Token(String);

/// The placeholder for the token in the project's manifests.
const PLACEHOLDER: &str = "replace-me";

/// A text that is not a secret, or that a header cannot contain.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// Its length or its characters.
    #[error("the bearer token must be 1 to 4096 visible ASCII characters without blanks")]
    Form,
    /// It is the public placeholder of the manifests.
    #[error("the bearer token is still \"{PLACEHOLDER}\", as in the manifests: choose a secret of your own")]
    Placeholder,
}

impl Token {
    /// Takes a token, without the blanks and line ends around it.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        const LONGEST: usize = 4096;
        let token = text.trim();
        if token == PLACEHOLDER {
            return Err(TokenError::Placeholder);
        }
        let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        (visible && (1..=LONGEST).contains(&token.len()))
            .then(|| Self(token.to_owned()))
            .ok_or(TokenError::Form)
    }

    /// Whether the value of an `Authorization` header is this token.
    pub fn is_shown_by(&self, authorization: &str) -> bool {
        bearer(authorization).is_some_and(|shown| self.is(shown))
    }

    /// Whether a text is this token.
    pub fn is(&self, shown: &str) -> bool {
        // hashes are compared in constant time, for any lengths
        blake3::hash(shown.trim().as_bytes()) == blake3::hash(self.0.as_bytes())
    }
}

/// The token in the value of an `Authorization` header.
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, shown) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim())
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_under_the_right_scheme_counts() {
        let token = Token::new(" t0ken\n").unwrap();
        assert!(token.is_shown_by("Bearer t0ken") && token.is_shown_by("bearer  t0ken"));
        for wrong in ["t0ken", "Bearer t0ke", "Bearer t0kenn", "Basic t0ken", "Bearer ", "Bearer"] {
            assert!(!token.is_shown_by(wrong), "{wrong}");
        }
    }

    #[test]
    fn the_placeholder_of_the_manifests_is_no_token() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../k8s/base/token.yaml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let placeholder = manifest.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap();
        assert_eq!(Token::new(placeholder).unwrap_err(), TokenError::Placeholder);
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token::new("t0ken").unwrap()), "[redacted]");
        for bad in ["", "  ", "two words", "n\u{e9}", &"x".repeat(4097)] {
            assert_eq!(Token::new(bad).unwrap_err(), TokenError::Form);
        }
    }
}
