//! Content codings of request bodies that the filter reads: zstd and gzip.
//!
//! [`decode`] gives the body as the client wrote it, or says why it does not; [`store`] writes a body in the
//! same coding without compressing it. A request whose `content-encoding` went ahead of the body can so be
//! rewritten without a compressor in the module, which V8 would compile at every start.
//!
//! Bodies are hostile: the length of what comes out is bounded by the cap and by a ratio to what came in,
//! before memory is asked for; sums are verified; the number of frames or members is bounded, since each of
//! them costs a decoder's set-up.

mod gzip;
mod zstd;

/// A coding that can be read and written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    /// RFC 1952, also under its old name `x-gzip`.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// Why a body was not decoded. Whoever sent it may still have a receiver that reads it: it passes as it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// It ends before its end, or it is empty.
    #[error("the body ends before its {0} is complete; it passes as it came")]
    Truncated(&'static str),
    /// It is not what its header says.
    #[error("the body is no valid {0}; it passes as it came")]
    Malformed(&'static str),
    /// It is valid, or may be, and uses what is not read here.
    #[error("the body uses {0}, which is not read here; it passes as it came")]
    Unsupported(&'static str),
    /// The content has another sum, or another length, than the body says.
    #[error("the content does not match the {0} that the body gives; it passes as it came")]
    Mismatch(&'static str),
    /// The content is longer than the cap.
    #[error("the content is longer than {0} bytes; it passes as it came")]
    TooLarge(usize),
    /// The content is so many times longer than the body that it is taken for a bomb.
    #[error("the content is more than {0} times as long as the body; it passes as it came")]
    Ratio(usize),
}

/// A body whose content is no longer than this is never taken for a bomb, however well it compresses: a
/// repeated log line reaches 1000:1 in both codings.
const RATIO_FLOOR_BYTES: usize = 1 << 20;
/// Frames or members in one body. Clients write one; parallel compressors write one for each megabyte or so.
const MAX_PARTS: usize = 256;

impl Encoding {
    /// The name in `content-encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// From the value of `content-encoding`. `None` where it is empty, unknown, or names more than one.
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

/// The content of a whole body. It is at most `cap` bytes long, and at most `max_ratio` times as long as the
/// body unless it is below a megabyte.
///
/// Memory while it works: the content, and for zstd a window of at most 16 MiB beside it.
///
/// # Errors
///
/// When the body is cut, damaged, longer than it says, over a bound, or uses what is not read here.
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

/// A body in this coding whose content is `bytes`, as blocks that are stored and not compressed. It is longer
/// by some 20 bytes, and by at most five in 64 KiB.
pub(crate) fn store(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Gzip => gzip::store(bytes),
        Encoding::Zstd => zstd::store(bytes),
    }
}

/// What is decoded so far, and how long it may get.
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

    /// Makes room for `more` bytes: for exactly as many where a header announces them, else for some more, so that
    /// a long content is not copied at every step.
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
