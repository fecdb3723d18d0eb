//! The path of a request in the form that is matched: after Envoy's `normalize_path` and `merge_slashes`, and
//! without differences that servers ignore.
//!
//! A spelling that a provider accepts and the filter does not know would bypass budgets, so many spellings
//! are read as one.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A path.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Path {
    plain: String,
    query: String,
}

impl Path {
    /// From a request's `:path`.
    pub fn new(path: &[u8]) -> Self {
        let path = String::from_utf8_lossy(path);
        let query = path.split_once('?').map_or("", |(_, query)| query);
        Self { plain: plain(&path), query: query.to_owned() }
    }

    /// The path without its query and without anything that does not change its target: escapes of ordinary
    /// characters, backslashes, empty segments, `.` and `..`, parameters after `;`, the slash at the end.
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// The same without any escapes.
    pub(crate) fn decoded(&self) -> String {
        plain(&decode(&self.plain))
    }

    /// The query; empty without one.
    pub fn query(&self) -> &str {
        &self.query
    }
}

fn plain(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = decode_ordinary(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

/// Decodes percent encoding. Invalid encoding stays as it is, and so does the whole text if the result is not
/// UTF-8.
pub fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8().map_or_else(|_| text.to_owned(), Cow::into_owned)
}

/// Decodes the percent encoding of bytes that do not need it.
fn decode_ordinary(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let escaped = part.get(..2).and_then(|digits| {
            let byte = u8::from_str_radix(digits, 16).ok()?;
            let is_ordinary = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            (digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && is_ordinary).then_some(char::from(byte))
        });
        match escaped {
            Some(char) => {
                decoded.push(char);
                decoded.push_str(part.get(2..).unwrap_or_default());
            }
            None => {
                decoded.push('%');
                decoded.push_str(part);
            }
        }
    }
    decoded
}

/// The most segments of a shape.
const MAX_SEGMENTS: usize = 6;
/// Longer segments are taken for names.
const MAX_SEGMENT_BYTES: usize = 24;

/// What a path has in common with others that differ only in names: for statistics, which keep few of them.
pub fn shape(plain: &str) -> String {
    let mut shape = String::new();
    for segment in plain.split('/').skip(1).take(MAX_SEGMENTS) {
        let is_version =
            segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
                && segment.len() <= 8;
        let is_word = segment.len() <= MAX_SEGMENT_BYTES
            && segment.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_-:".contains(&byte));
        let is_plain_version = is_version && segment.bytes().all(|byte| byte.is_ascii_alphanumeric());
        shape.push('/');
        shape.push_str(if is_word || is_plain_version { segment } else { "*" });
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one() {
        for path in [
            "/v1/messages",
            "/v1/messages/",
            "//v1//messages",
            "/v1/messages;x",
            "/v1;a=b/messages;x?beta=true",
            "/v1/./messages",
            "/v1/models/../messages",
            "/../v1/messages",
            "\\v1\\messages",
            "/v1/message%73",
            "/%76%31/messages#x",
            "v1/messages",
        ] {
            assert_eq!(plain(path), "/v1/messages", "{path}");
        }
        assert_eq!(plain(""), "/");
        assert_eq!(plain("/model/a%3Ab%2Fc/invoke"), "/model/a%3Ab%2Fc/invoke");
    }

    #[test]
    fn what_is_not_encoded_properly_stays() {
        for (text, expected) in
            [("a%3ab", "a:b"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%+1", "%+1"), ("%ff", "%ff")]
        {
            assert_eq!(decode(text), expected);
        }
    }

    #[test]
    fn names_are_no_part_of_a_shape() {
        for (path, expected) in [
            ("/v1/files/file-abc123", "/v1/files/*"),
            ("/v1beta/models/gemini-2.5-pro:countTokens", "/v1beta/models/*"),
            ("/v1/messages/batches", "/v1/messages/batches"),
            ("/v1234567890/x", "/*/x"),
            ("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f"),
            ("/sk-ant-0123/x", "/*/x"),
            ("/", "/"),
        ] {
            assert_eq!(shape(path), expected, "{path}");
        }
        assert_eq!(shape(&format!("/{}", "a".repeat(10_000))), "/*");
    }
}
