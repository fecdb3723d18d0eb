//! How the tables are laid out. The build script writes them and the tokenizer reads them.

#![allow(dead_code, unreachable_pub, reason = "the build script and the tokenizer each use a part")]

/// Bits of a slot that hold the token's id; those above are bits of the hash.
pub const ID_BITS: u32 = 18;
/// A slot without a token; more than any id.
pub const EMPTY: u32 = u32::MAX;

/// Pairs of two characters of ASCII.
pub const PAIRS: usize = 1 << 14;

/// The number of a pair of ASCII.
#[inline]
pub fn pair(a: u8, b: u8) -> usize {
    usize::from(a) << 7 | usize::from(b)
}

/// Characters in a block of the classes.
pub const BLOCK: usize = 256;

// Classes of characters, as the tokenizers' patterns name them. Single bits, so that sets of them are masks.
/// `\p{Lu}\p{Lt}`.
pub const UPPER: u8 = 1;
/// `\p{Ll}`.
pub const LOWER: u8 = 1 << 1;
/// `\p{Lm}\p{Lo}`.
pub const CASELESS: u8 = 1 << 2;
/// `\p{M}`.
pub const MARK: u8 = 1 << 3;
/// `\p{N}`.
pub const NUMBER: u8 = 1 << 4;
/// `\s` but for line ends.
pub const BLANK: u8 = 1 << 5;
/// `[\r\n]`.
pub const LINE_END: u8 = 1 << 6;
/// Everything else.
pub const SIGN: u8 = 1 << 7;

/// Where to begin to look in a table of `slots` slots, a power of two.
#[inline]
pub fn slot(hash: u64, slots: usize) -> usize {
    (hash as usize) & (slots - 1)
}

/// The part of a slot that tells most texts apart without a look at them.
#[inline]
pub fn tag(hash: u64) -> u32 {
    ((hash >> 32) as u32) << ID_BITS
}
