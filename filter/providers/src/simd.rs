//! Compares 64 bytes at once; the result is a mask with a bit for each byte.

#![allow(
    clippy::indexing_slicing,
    reason = "the hot loop over blocks: a block is as long as its array, and starts within its text"
)]

use wide::i8x64;

/// How many bytes are compared at once.
pub const BYTES: usize = 64;

/// 64 bytes.
#[derive(Clone, Copy)]
pub struct Bytes(i8x64);

impl Bytes {
    /// Loads 64 bytes.
    #[inline]
    pub fn new(bytes: &[u8; BYTES]) -> Self {
        Self(i8x64::new(bytes.map(u8::cast_signed)))
    }

    /// The positions of bytes that equal this one.
    #[inline]
    pub fn equal(self, byte: u8) -> u64 {
        self.0.simd_eq(i8x64::splat(byte.cast_signed())).to_bitmask()
    }

    /// The positions of bytes from `first` to `last`, which are both ASCII or both not.
    #[inline]
    pub fn within(self, first: u8, last: u8) -> u64 {
        let [below, above] = [first.wrapping_sub(1), last + 1].map(|byte| i8x64::splat(byte.cast_signed()));
        (self.0.simd_gt(below) & self.0.simd_lt(above)).to_bitmask()
    }

    /// The positions of bytes that are not ASCII.
    #[inline]
    pub fn foreign(self) -> u64 {
        self.0.simd_lt(i8x64::splat(0)).to_bitmask()
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
