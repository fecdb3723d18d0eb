//! gzip: members of RFC 1952, whose content is deflate.

use crc32fast::Hasher;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use super::{Content, DecodeError, MAX_PARTS, take, take_slice};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
/// Bits of the header's flags.
const HEADER_SUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// Room for one more call of the inflater, if the length of the content is unknown.
const STEP_BYTES: usize = 64 << 10;
/// The highest ratio of deflate: a match of 258 bytes takes two bits.
const MAX_DEFLATE_RATIO: usize = 1032;
/// The most that a stored block of deflate can hold.
const MAX_STORED_BYTES: usize = u16::MAX as usize;
const BLOCK_HEADER_BYTES: usize = 5;
const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
const UNKNOWN_SYSTEM: u8 = 255;

pub(super) fn decode(mut bytes: &[u8], mut content: Content) -> Result<Vec<u8>, DecodeError> {
    let mut inflater = Box::<DecompressorOxide>::default();
    for _ in 0..MAX_PARTS {
        decode_member(&mut bytes, &mut content, &mut inflater)?;
        if bytes.is_empty() {
            return Ok(content.bytes);
        }
        inflater.init();
    }
    Err(DecodeError::Unsupported("more than 256 gzip members"))
}

fn decode_member(
    bytes: &mut &[u8],
    content: &mut Content,
    inflater: &mut DecompressorOxide,
) -> Result<(), DecodeError> {
    skip_header(bytes)?;
    // If there is only one member, the body's last four bytes are the length of its content.
    if content.bytes.is_empty()
        && let Some(length) = bytes.last_chunk::<4>()
    {
        let length = u32::from_le_bytes(*length) as usize;
        if length <= bytes.len().saturating_mul(MAX_DEFLATE_RATIO) && length <= content.room() {
            // One more byte: the inflater has to see that nothing follows.
            content.bytes.reserve_exact(length.saturating_add(1));
        }
    }
    let start = content.bytes.len();
    inflate(bytes, content, inflater)?;
    let written = content.bytes.get(start..).unwrap_or_default();

    let sum = take::<4>(bytes).ok_or(DecodeError::Truncated("gzip trailer"))?;
    let length = take::<4>(bytes).ok_or(DecodeError::Truncated("gzip trailer"))?;
    if crc32fast::hash(written) != u32::from_le_bytes(*sum) {
        return Err(DecodeError::Mismatch("CRC-32"));
    }
    // The format counts modulo 2^32.
    if written.len() as u64 & u64::from(u32::MAX) != u64::from(u32::from_le_bytes(*length)) {
        return Err(DecodeError::Mismatch("length"));
    }
    Ok(())
}

/// Appends the content of one deflate stream, and removes the stream from `bytes`.
fn inflate(
    bytes: &mut &[u8],
    content: &mut Content,
    inflater: &mut DecompressorOxide,
) -> Result<(), DecodeError> {
    // The inflater copies from its earlier output, so all of that has to be there.
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let start = content.bytes.len();
    let mut written = start;
    loop {
        let spare = content.bytes.capacity().saturating_sub(written);
        let room = if spare > 0 { spare } else { STEP_BYTES };
        // One byte beyond the limit shows whether the content ends there or goes on.
        let end = written.saturating_add(room).min(content.limit.saturating_add(1));
        if end == written {
            return Err(content.over_limit);
        }
        if spare == 0 {
            let doubled =
                written.max(STEP_BYTES).min(content.limit.saturating_add(1).saturating_sub(written));
            content.bytes.reserve_exact(doubled);
        }
        content.bytes.resize(end, 0);
        // Only this member's output: matches cannot refer to earlier members.
        let out = content.bytes.get_mut(start..).unwrap_or_default();
        let (status, read, wrote) = decompress(inflater, bytes, out, written.saturating_sub(start), flags);
        *bytes = bytes.get(read..).unwrap_or_default();
        written = written.saturating_add(wrote);
        match status {
            TINFLStatus::HasMoreOutput => {}
            _ if written > content.limit => return Err(content.over_limit),
            TINFLStatus::Done => {
                content.bytes.truncate(written);
                return Ok(());
            }
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
                return Err(DecodeError::Truncated("deflate stream"));
            }
            _ => return Err(DecodeError::Malformed("deflate stream")),
        }
    }
}

fn skip_header(bytes: &mut &[u8]) -> Result<(), DecodeError> {
    let whole = *bytes;
    let short = DecodeError::Truncated("gzip header");
    let [first, second, method, flags, ..] = take::<HEADER_BYTES>(bytes).ok_or(short)?;
    if [*first, *second] != MAGIC {
        return Err(DecodeError::Malformed("gzip"));
    }
    if *method != DEFLATE || flags & RESERVED != 0 {
        return Err(DecodeError::Unsupported("a gzip header of another kind"));
    }
    if flags & EXTRA != 0 {
        let length = take::<2>(bytes).ok_or(short)?;
        take_slice(bytes, u16::from_le_bytes(*length).into()).ok_or(short)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = memchr::memchr(0, bytes).ok_or(short)?;
            take_slice(bytes, end.saturating_add(1)).ok_or(short)?;
        }
    }
    if flags & HEADER_SUM != 0 {
        let header = whole.get(..whole.len().saturating_sub(bytes.len())).unwrap_or_default();
        let sum = take::<2>(bytes).ok_or(short)?;
        // The lower half of its CRC-32.
        if crc32fast::hash(header) & 0xffff != u32::from(u16::from_le_bytes(*sum)) {
            return Err(DecodeError::Mismatch("sum of the gzip header"));
        }
    }
    Ok(())
}

pub(super) fn store(bytes: &[u8]) -> Vec<u8> {
    let blocks = bytes.len().div_ceil(MAX_STORED_BYTES).max(1);
    let around = HEADER_BYTES + TRAILER_BYTES;
    let mut body = Vec::with_capacity(
        bytes.len().saturating_add(blocks.saturating_mul(BLOCK_HEADER_BYTES)).saturating_add(around),
    );
    let [first, second] = MAGIC;
    // No flags and no time, so equal content gives equal bytes.
    body.extend_from_slice(&[first, second, DEFLATE, 0, 0, 0, 0, 0, 0, UNKNOWN_SYSTEM]);
    let mut sum = Hasher::new();
    let mut rest = bytes;
    loop {
        let (block, behind) = rest.split_at(rest.len().min(MAX_STORED_BYTES));
        rest = behind;
        // Type 0 and whether the block is the last one; then its length, and the complement of that.
        body.push(rest.is_empty().into());
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(&(!length).to_le_bytes());
        body.extend_from_slice(block);
        sum.update(block);
        if rest.is_empty() {
            break;
        }
    }
    body.extend_from_slice(&sum.finalize().to_le_bytes());
    // The format counts modulo 2^32.
    body.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    body
}
