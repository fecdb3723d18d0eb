//! Compares 64 bytes at once; the result is a mask with a bit for each byte.

#![allow(
    clippy::indexing_slicing,
    reason = "the hot loop over blocks: a block is as long as its array, and starts within its text"
)]

/// How many bytes are compared at once.
pub const BYTES: usize = 64;

/// 64 bytes.
#[derive(Clone, Copy)]
pub struct Bytes(lanes::Block);

impl Bytes {
    /// Loads 64 bytes.
    #[inline]
    pub fn new(bytes: &[u8; BYTES]) -> Self {
        Self(lanes::load(bytes))
    }

    /// The positions of bytes that equal this one.
    #[inline]
    pub fn equal(self, byte: u8) -> u64 {
        lanes::equal(self.0, byte)
    }

    /// The positions of bytes from `first` to `last`, which are both ASCII or both not; `last` is not 0x7f, and
    /// `first` is not 0x80.
    #[inline]
    pub fn within(self, first: u8, last: u8) -> u64 {
        lanes::within(self.0, first, last)
    }

    /// The positions of bytes that are not ASCII.
    #[inline]
    pub fn foreign(self) -> u64 {
        lanes::tops(self.0)
    }
}

/// By the instructions of WASM for 16 bytes, which run as safe code.
#[cfg(target_family = "wasm")]
mod lanes {
    use core::arch::wasm32::{
        i8x16_bitmask, i8x16_eq, i8x16_gt, i8x16_lt, i8x16_splat, u64x2, v128, v128_and,
    };

    pub(super) type Block = [v128; 4];

    #[inline(always)]
    pub(super) fn load(bytes: &[u8; 64]) -> Block {
        let (words, _) = bytes.as_chunks();
        let load = |at: usize| u64x2(u64::from_le_bytes(words[at]), u64::from_le_bytes(words[at + 1]));
        [load(0), load(2), load(4), load(6)]
    }

    #[inline(always)]
    pub(super) fn equal([a, b, c, d]: Block, byte: u8) -> u64 {
        let byte = i8x16_splat(byte.cast_signed());
        tops([i8x16_eq(a, byte), i8x16_eq(b, byte), i8x16_eq(c, byte), i8x16_eq(d, byte)])
    }

    /// As signed numbers, which is one instruction for V8 where unsigned ones are three.
    #[inline(always)]
    pub(super) fn within([a, b, c, d]: Block, first: u8, last: u8) -> u64 {
        let [below, above] =
            [first.wrapping_sub(1), last.wrapping_add(1)].map(|it| i8x16_splat(it.cast_signed()));
        let within = |lanes| v128_and(i8x16_gt(lanes, below), i8x16_lt(lanes, above));
        tops([within(a), within(b), within(c), within(d)])
    }

    /// The top bits of all bytes, in the order of the bytes.
    #[inline(always)]
    pub(super) fn tops([a, b, c, d]: Block) -> u64 {
        let [a, b, c, d] = [a, b, c, d].map(|lanes| u64::from(i8x16_bitmask(lanes)));
        a | b << 16 | c << 32 | d << 48
    }
}

/// By words of 8 bytes: no instruction of another processor is safe code.
#[cfg(not(target_family = "wasm"))]
mod lanes {
    pub(super) type Block = [u64; 8];

    /// One in each byte.
    const ONES: u64 = u64::MAX / 0xff;
    const TOPS: u64 = ONES << 7;

    #[inline]
    pub(super) fn load(bytes: &[u8; 64]) -> Block {
        let (words, _) = bytes.as_chunks();
        std::array::from_fn(|at| u64::from_le_bytes(words[at]))
    }

    #[inline]
    pub(super) fn equal(block: Block, byte: u8) -> u64 {
        // a byte's top bit stays clear only if nothing of it differs
        tops(block.map(|word| {
            let other = word ^ (ONES * u64::from(byte));
            !(((other & !TOPS) + !TOPS) | other)
        }))
    }

    #[inline]
    pub(super) fn within(block: Block, first: u8, last: u8) -> u64 {
        // without their top bits no sum reaches the next byte
        let [below, above] = [0x80 - (first & 0x7f), 0x7f - (last & 0x7f)].map(|it| ONES * u64::from(it));
        let half = if first < 0x80 { u64::MAX } else { 0 };
        tops(block.map(|word| {
            let low = word & !TOPS;
            (low + below) & !(low + above) & (word ^ half)
        }))
    }

    /// The top bits of all bytes, in the order of the bytes.
    #[inline]
    pub(super) fn tops(block: Block) -> u64 {
        // each bit is brought to its place in the highest byte
        const GATHER: u64 = 0x0102_0408_1020_4080;
        block.iter().rev().fold(0, |mask, word| {
            let bits = (word & TOPS) >> 7;
            mask << 8 | bits.wrapping_mul(GATHER) >> 56
        })
    }
}

/// The first bytes of a text; if it has fewer, the rest is `fill`.
#[inline]
pub fn padded<const N: usize>(text: &[u8], fill: u8) -> [u8; N] {
    if let Some(bytes) = text.first_chunk() {
        return *bytes;
    }
    let mut bytes = [fill; N];
    bytes[..text.len()].copy_from_slice(text);
    bytes
}

/// A text in blocks of 64 bytes, each with its start; the last one is filled up with blanks.
#[inline]
pub fn blocks(text: &[u8]) -> impl Iterator<Item = (usize, Bytes)> {
    (0..text.len()).step_by(BYTES).map(|at| (at, Bytes::new(&padded(&text[at..], b' '))))
}

/// The lowest bits.
#[inline]
pub fn low(bits: u32) -> u64 {
    1u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1)
}

/// The positions of the set bits, in order.
#[inline]
pub fn ones(mut mask: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let place = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (place < u64::BITS).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(text: &[u8; BYTES], is: impl Fn(u8) -> bool) -> u64 {
        text.iter().enumerate().fold(0, |mask, (at, byte)| mask | u64::from(is(*byte)) << at)
    }

    #[test]
    fn each_byte_of_a_block_is_compared_as_a_byte() {
        for start in 0..=255u8 {
            for step in [1u8, 5, 127] {
                let text: [u8; BYTES] =
                    std::array::from_fn(|at| start.wrapping_add(step.wrapping_mul(at as u8)));
                let bytes = Bytes::new(&text);
                for byte in [0, 1, b'a', 0x7f, 0x80, 0x81, 0xfe, 0xff, start] {
                    assert_eq!(bytes.equal(byte), masks(&text, |it| it == byte), "{byte} in {text:?}");
                }
                let ranges = [
                    (b'a', b'z'),
                    (0, 0x7e),
                    (0, 0),
                    (0x7e, 0x7e),
                    (1, 0x1f),
                    (0x81, 0xbf),
                    (0xc3, 0xc3),
                    (0xff, 0xff),
                ];
                for (first, last) in ranges {
                    let wanted = masks(&text, |it| (first..=last).contains(&it));
                    assert_eq!(bytes.within(first, last), wanted, "{first} to {last} in {text:?}");
                }
                assert_eq!(bytes.foreign(), masks(&text, |it| !it.is_ascii()));
            }
        }
    }
}
