//! Content codings of request bodies that the filter reads: zstd and gzip.
//!
//! [`decode`] gives the body as the client wrote it, or the reason why it cannot. [`store`] writes a body in
//! the same coding without compressing it. So a request whose `content-encoding` has already left can be
//! rewritten, and the module needs no compressor, which V8 would compile at every start.
//!
//! Bodies are hostile. The length of the content is limited, by a cap and by a ratio to the body's length,
//! before memory is allocated. Checksums are verified. The number of frames or members is limited, since each
//! of them costs the set-up of a decoder.

mod gzip;
mod zstd;

/// A coding that the filter reads and writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    /// RFC 1952. `x-gzip` is its old name.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Why a body was not decoded. It passes as it came: the provider may be able to read it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// It ends too early, or it is empty.
    #[error("the body ends before its {0} is complete; it passes as it came")]
    Truncated(&'static str),
    /// It does not follow the format that its header names.
    #[error("the body is not valid {0}; it passes as it came")]
    Malformed(&'static str),
    /// It may be valid, but uses a feature that is not supported here.
    #[error("the body uses {0}, which is not read here; it passes as it came")]
    Unsupported(&'static str),
    /// The checksum or length of the content is not what the body states.
    #[error("the content does not match the {0} that the body gives; it passes as it came")]
    Mismatch(&'static str),
    /// The content is longer than the cap.
    #[error("the content is longer than {0} bytes; it passes as it came")]
    TooLarge(usize),
    /// The content is this many times longer than the body, more than allowed: it may be a bomb.
    #[error("the content is more than {0} times as long as the body; it passes as it came")]
    Ratio(usize),
}

/// Content up to this length is never taken for a bomb, however well it compresses: a repeated log line
/// reaches 1000:1 in both codings.
const RATIO_FLOOR_BYTES: usize = 1 << 20;
/// Frames or members in one body. Clients write one; parallel compressors write about one per megabyte.
const MAX_PARTS: usize = 256;

impl Encoding {
    /// The name in `content-encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// From the value of `content-encoding`. `None` if it is empty, unknown, or names several.
    pub(crate) fn from_header(value: &[u8]) -> Option<Self> {
        let name = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"zstd") {
            Some(Self::Zstd)
        } else if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            Some(Self::Gzip)
        } else {
            None
        }
    }
}

/// The content of a whole body: at most `cap` bytes, and at most `max_ratio` times the body's length unless
/// it is below a megabyte.
///
/// Memory during the call: the content, and for zstd also a window of at most 16 MiB.
///
/// # Errors
///
/// If the body is truncated, damaged, longer than it states, over a limit, or uses an unsupported feature.
pub(crate) fn decode(
    encoding: Encoding,
    bytes: &[u8],
    cap: usize,
    max_ratio: usize,
) -> Result<Vec<u8>, DecodeError> {
    let content = Content::bounded(bytes.len(), cap, max_ratio);
    match encoding {
        Encoding::Gzip => gzip::decode(bytes, content),
        Encoding::Zstd => zstd::decode(bytes, content),
    }
}

/// A body in this coding whose content is `bytes`, in stored blocks without compression. It is longer by some
/// 20 bytes, plus at most five per 64 KiB.
pub(crate) fn store(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => gzip::store(bytes),
        Encoding::Zstd => zstd::store(bytes),
    }
}

/// The content so far, and its limit.
struct Content {
    bytes: Vec<u8>,
    /// The smaller of the two bounds.
    limit: usize,
    over_limit: DecodeError,
}

impl Content {
    fn bounded(body_bytes: usize, cap: usize, max_ratio: usize) -> Self {
        let by_ratio = body_bytes.saturating_mul(max_ratio).max(RATIO_FLOOR_BYTES);
        let (limit, over_limit) = if by_ratio < cap {
            (by_ratio, DecodeError::Ratio(max_ratio))
        } else {
            (cap, DecodeError::TooLarge(cap))
        };
        Self { bytes: Vec::new(), limit, over_limit }
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.bytes.len())
    }

    /// Reserves `more` bytes: exactly as many if a header announces them, else some more, so that long
    /// content is not copied at every step.
    fn grow(&mut self, more: usize, announced: bool) -> Result<(), DecodeError> {
        if more > self.room() {
            return Err(self.over_limit);
        }
        if self.bytes.capacity().saturating_sub(self.bytes.len()) < more {
            let doubled = if announced { more } else { self.bytes.len().min(self.room()).max(more) };
            self.bytes.reserve_exact(doubled);
        }
        Ok(())
    }
}

/// The first `N` bytes, and the rest.
fn take<'b, const N: usize>(bytes: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(head)
}

/// The first `length` bytes, and the rest.
fn take_slice<'b>(bytes: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

#[cfg(test)]
mod tests;
