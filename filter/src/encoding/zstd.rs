//! zstd: frames of RFC 8878.

use ruzstd::decoding::errors::{
    BlockHeaderReadError, DecodeBlockContentError, DecompressBlockError, FrameDecoderError,
    ReadFrameHeaderError,
};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use xxhash_rust::xxh64::{Xxh64, xxh64};

use super::{Content, DecodeError, MAX_PARTS, take_slice};

const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Bits of the byte after the magic number.
const SUMMED: u8 = 1 << 2;
const RESERVED: u8 = 1 << 3;
const HAS_LENGTH: u8 = 0b1110_0000;
const LENGTH_IN_EIGHT_BYTES: u8 = 0b1100_0000;
/// The largest window that a content coding may use, by RFC 9659. Levels up to 19 stay within it.
const MAX_WINDOW_BYTES: u64 = 8 << 20;
/// How much is decoded before it is moved out of the window and the limits are checked.
const STEP_BYTES: usize = 1 << 20;
/// The most that a block holds, if the window is not smaller.
const MAX_BLOCK_BYTES: usize = 128 << 10;
/// A window of this many bytes: 2^(10 + 7).
const WINDOW_DESCRIPTOR: u8 = 7 << 3;
const HEADER_BYTES: usize = 4 + 1 + 1 + 8;
const BLOCK_HEADER_BYTES: usize = 3;
const SUM_BYTES: usize = 4;

pub(super) fn decode(mut bytes: &[u8], mut content: Content) -> Result<Vec<u8>, DecodeError> {
    for _ in 0..MAX_PARTS {
        decode_frame(&mut bytes, &mut content)?;
        if bytes.is_empty() {
            return Ok(content.bytes);
        }
    }
    Err(DecodeError::Unsupported("more than 256 zstd frames"))
}

fn decode_frame(bytes: &mut &[u8], content: &mut Content) -> Result<(), DecodeError> {
    let descriptor = bytes.get(MAGIC.len()).copied().unwrap_or_default();
    // A new one for each frame: a decoder that is used again allocates the whole window at once.
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_WINDOW_BYTES);
    match decoder.init(&mut *bytes) {
        Ok(()) => {}
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let skipped = take_slice(bytes, length).map(|_| ());
            return skipped.ok_or(DecodeError::Truncated("skippable zstd frame"));
        }
        Err(error) => return Err(header_error(&error)),
    }
    if descriptor & RESERVED != 0 {
        return Err(DecodeError::Malformed("zstd"));
    }
    let length = (descriptor & HAS_LENGTH != 0).then(|| decoder.content_size());
    if let Some(length) = length {
        content.grow(usize::try_from(length).unwrap_or(usize::MAX), true)?;
    }
    let start = content.bytes.len();
    while !decoder.is_finished() {
        decoder
            .decode_blocks(&mut *bytes, BlockDecodingStrategy::UptoBytes(STEP_BYTES))
            .map_err(|error| block_error(&error))?;
        let ready = decoder.can_collect();
        if ready > 0 {
            content.grow(ready, false)?;
            decoder.collect_to_writer(&mut content.bytes).map_err(|_| DecodeError::Malformed("zstd"))?;
        }
    }
    let written = content.bytes.get(start..).unwrap_or_default();
    if length.is_some_and(|length| length != written.len() as u64) {
        return Err(DecodeError::Mismatch("length"));
    }
    // The sum is the lower half of XXH64.
    let sum = decoder.get_checksum_from_data();
    if sum.is_some_and(|sum| u64::from(sum) != xxh64(written, 0) & u64::from(u32::MAX)) {
        return Err(DecodeError::Mismatch("checksum"));
    }
    Ok(())
}

fn header_error(error: &FrameDecoderError) -> DecodeError {
    match error {
        FrameDecoderError::ReadFrameHeaderError(
            ReadFrameHeaderError::BadMagicNumber(_) | ReadFrameHeaderError::InvalidFrameDescriptor(_),
        ) => DecodeError::Malformed("zstd"),
        FrameDecoderError::ReadFrameHeaderError(_) => DecodeError::Truncated("zstd frame header"),
        FrameDecoderError::DictNotProvided { .. } => DecodeError::Unsupported("a zstd dictionary"),
        FrameDecoderError::WindowSizeTooBig { .. } => {
            DecodeError::Unsupported("a zstd window of more than 8 MiB")
        }
        _ => DecodeError::Malformed("zstd"),
    }
}

fn block_error(error: &FrameDecoderError) -> DecodeError {
    match error {
        FrameDecoderError::FailedToReadBlockHeader(BlockHeaderReadError::ReadError(_))
        | FrameDecoderError::FailedToReadBlockBody(
            DecodeBlockContentError::ReadError { .. }
            | DecodeBlockContentError::DecompressBlockError(DecompressBlockError::BlockContentReadError(_)),
        )
        | FrameDecoderError::FailedToReadChecksum(_) => DecodeError::Truncated("zstd frame"),
        _ => DecodeError::Malformed("zstd"),
    }
}

pub(super) fn store(bytes: &[u8]) -> Vec<u8> {
    let blocks = bytes.len().div_ceil(MAX_BLOCK_BYTES).max(1);
    let around = HEADER_BYTES + SUM_BYTES;
    let mut body = Vec::with_capacity(
        bytes.len().saturating_add(blocks.saturating_mul(BLOCK_HEADER_BYTES)).saturating_add(around),
    );
    body.extend_from_slice(&MAGIC);
    // A frame with its own window, not a single segment: a single segment would make the whole content the
    // window, which receivers refuse beyond 8 MiB.
    body.extend_from_slice(&[LENGTH_IN_EIGHT_BYTES | SUMMED, WINDOW_DESCRIPTOR]);
    body.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    let mut sum = Xxh64::new(0);
    let mut rest = bytes;
    loop {
        let (block, behind) = rest.split_at(rest.len().min(MAX_BLOCK_BYTES));
        rest = behind;
        // Whether it is the last block, its type (0), and its length.
        let header = u32::from(rest.is_empty()) | (block.len() as u32) << 3;
        let [first, second, third, _] = header.to_le_bytes();
        body.extend_from_slice(&[first, second, third]);
        body.extend_from_slice(block);
        sum.update(block);
        if rest.is_empty() {
            break;
        }
    }
    body.extend_from_slice(&(sum.digest() as u32).to_le_bytes());
    body
}
