//! Checks the originals of one request: the text must match its address.

use std::collections::HashSet;

use headroom_api::v1::{AdmitRequest, ContentEncoding, Original};

use crate::ledger::labels::tidy;
use crate::originals::store::Admission;

/// Maximum number of originals of one request: a history of a hundred turns with ten tool outputs each.
pub const MAX_ORIGINALS: usize = 1024;
/// Bytes of one text at most: the longest body that a filter reads by default.
pub const MAX_LENGTH: usize = 32 << 20;
/// Bytes of all texts of one request at most, so that a small message cannot ask for much memory or
/// time. A request's originals are parts of one body, so this is twice the longest body.
pub(super) const MAX_TOTAL: usize = 64 << 20;
/// zstd's fastest level with a real search: most of the gain, in a quarter of the default level's time.
const LEVEL: i32 = 1;

/// Why an original was rejected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OriginalError {
    /// Its text does not match its address.
    Address,
    /// Its length is not the stated one.
    Length,
    /// It is compressed, or not in the stated way.
    Encoding,
    /// It is not UTF-8.
    Text,
    /// It is too long, or came with too many others.
    Limit,
}

impl OriginalError {
    /// All reasons, in the order of the counts.
    pub const ALL: [Self; 5] = [Self::Address, Self::Length, Self::Encoding, Self::Text, Self::Limit];

    /// The value of the metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Length => "length",
            Self::Encoding => "encoding",
            Self::Text => "text",
            Self::Limit => "limit",
        }
    }
}

/// The valid originals of a request, each once, and the reasons against the others.
pub(super) fn verified(request: AdmitRequest) -> (Vec<Admission>, Vec<OriginalError>) {
    let mut left = MAX_TOTAL;
    let mut seen = HashSet::new();
    let (mut admissions, mut rejects) = (Vec::new(), Vec::new());
    let conversation_id = tidy(&request.conversation_id);
    for (place, original) in request.originals.into_iter().enumerate() {
        if seen.contains(&original.hash) {
            continue;
        }
        let checked =
            if place < MAX_ORIGINALS { checked(original, &mut left) } else { Err(OriginalError::Limit) };
        match checked {
            Ok(admission) => {
                seen.insert(admission.hash.clone());
                admissions.push(Admission {
                    tenant: request.tenant.clone(),
                    conversation_id: conversation_id.clone(),
                    ..admission
                });
            }
            Err(reject) => rejects.push(reject),
        }
    }
    (admissions, rejects)
}

fn checked(original: Original, left: &mut usize) -> Result<Admission, OriginalError> {
    let length = usize::try_from(original.length).map_err(|_| OriginalError::Limit)?;
    if length > MAX_LENGTH || length > *left {
        return Err(OriginalError::Limit);
    }
    *left -= length;
    let text = match original.encoding() {
        ContentEncoding::Identity => original.content,
        ContentEncoding::Zstd | ContentEncoding::Unspecified => return Err(OriginalError::Encoding),
    };
    if text.len() != length {
        return Err(OriginalError::Length);
    }
    let text = std::str::from_utf8(&text).map_err(|_| OriginalError::Text)?;
    if headroom_compress::address(text) != original.hash {
        return Err(OriginalError::Address);
    }
    let content = zstd::bulk::compress(text.as_bytes(), LEVEL).map_err(|_| OriginalError::Encoding)?;
    Ok(Admission {
        hash: original.hash,
        tool: tidy(&original.tool),
        kind: tidy(&original.kind),
        form: tidy(&original.form),
        length: i64::try_from(length).map_err(|_| OriginalError::Limit)?,
        tokens_before: i64::from(original.tokens_before),
        tokens_after: i64::from(original.tokens_after),
        content,
        ..Admission::default()
    })
}

/// The text in zstd frames if it is at most `length` bytes long; nothing longer is ever written to memory.
pub(super) fn decompressed(content: &[u8], length: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(content, length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(text: &[u8]) -> Original {
        Original {
            hash: blake3::hash(text).to_hex()[..24].to_owned(),
            content: text.to_vec(),
            encoding: ContentEncoding::Identity.into(),
            length: text.len() as u64,
            ..Original::default()
        }
    }

    fn verdict(originals: Vec<Original>) -> (usize, Vec<OriginalError>) {
        let (admissions, rejects) =
            verified(AdmitRequest { originals, tenant: "t".to_owned(), ..AdmitRequest::default() });
        assert!(admissions.iter().all(|admission| admission.tenant == "t"));
        (admissions.len(), rejects)
    }

    #[test]
    fn what_is_what_it_says_is_taken_once() {
        let (text, empty) = (b"hello\nworld".as_slice(), b"".as_slice());
        let all = vec![original(text), original(text), original(empty), original(b"other")];
        assert_eq!(verdict(all), (3, vec![]));
    }

    #[test]
    fn what_is_not_what_it_says_is_turned_away_and_its_neighbours_are_not() {
        let text = b"some text that was left out".as_slice();
        let forged = Original { hash: "0".repeat(24), ..original(text) };
        let upper = Original { hash: original(text).hash.to_uppercase(), ..original(text) };
        let short = Original { length: 3, ..original(text) };
        let long = Original { length: 4_000, ..original(text) };
        let compressed = Original {
            content: zstd::bulk::compress(text, 3).unwrap(),
            encoding: ContentEncoding::Zstd.into(),
            ..original(text)
        };
        let disguised = Original { encoding: ContentEncoding::Identity.into(), ..compressed.clone() };
        let unknown = Original { encoding: 9, ..original(text) };
        let binary = original(&[0xff, 0xfe]);
        for (bad, reject) in [
            (forged, OriginalError::Address),
            (upper, OriginalError::Address),
            (short, OriginalError::Length),
            (long, OriginalError::Length),
            (compressed, OriginalError::Encoding),
            (disguised, OriginalError::Length),
            (unknown, OriginalError::Encoding),
            (binary, OriginalError::Text),
        ] {
            assert_eq!(verdict(vec![bad, original(b"good")]), (1, vec![reject]));
        }
    }

    #[test]
    fn texts_that_are_too_long_alone_or_together_are_turned_away() {
        let immodest = Original { length: u64::MAX, ..original(b"x") };
        assert_eq!(verdict(vec![immodest]), (0, vec![OriginalError::Limit]));
        // each alone is within bounds, all together are not
        let long = original(&vec![b'a'; 32 << 20]);
        let several = vec![Original { hash: "0".repeat(24), ..long }; 3];
        assert_eq!(
            verdict(several),
            (0, vec![OriginalError::Address, OriginalError::Address, OriginalError::Limit])
        );
    }

    #[test]
    fn more_originals_than_a_request_can_have_are_left_out() {
        let many: Vec<_> = (0..MAX_ORIGINALS + 2).map(|n| original(n.to_string().as_bytes())).collect();
        assert_eq!(verdict(many), (MAX_ORIGINALS, vec![OriginalError::Limit; 2]));
    }
}
