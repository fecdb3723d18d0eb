//! The layout of the tables, which the build script and `tests/engine/tables.rs` write and the tokenizer reads.

#![allow(dead_code, unreachable_pub, reason = "the build script, the tokenizer and a test each use a part")]

/// Bits of a slot for the token's id; the bits above are from the hash.
pub const ID_BITS: u32 = 18;
/// A slot without a token; larger than any id.
pub const EMPTY: u32 = u32::MAX;

/// Tokens whose texts' places are counted from one position: two bytes are enough for each then.
pub const GROUP: usize = 256;

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
/// `\s` without line ends.
pub const BLANK: u8 = 1 << 5;
/// `[\r\n]`.
pub const LINE_END: u8 = 1 << 6;
/// Everything else.
pub const SIGN: u8 = 1 << 7;

/// Odd numbers with about as many ones as zeros: the fractional digits of the square roots of 2 and 3.
pub const ROOT_2: u64 = 0x6a09_e667_f3bc_c909;
const ROOT_3: u64 = 0xbb67_ae85_84ca_a73b;

/// A hash of a token's text. Tokens are short: up to 16 bytes it needs two loads and three multiplications.
/// An attacker can easily find texts with equal hashes, so it must not be used for tables that grow.
#[inline]
pub fn hash(text: &[u8]) -> u64 {
    let mut hash = (text.len() as u64).wrapping_mul(ROOT_3);
    let mut rest = text;
    while rest.len() > 16 {
        let (head, tail) = rest.split_at(8);
        hash = mix(hash ^ number(head));
        rest = tail;
    }
    let (low, high) = match rest.len() {
        8.. => (number(&rest[..8]), number(&rest[rest.len() - 8..])),
        4.. => (number(&rest[..4]), number(&rest[rest.len() - 4..])),
        2.. => (number(&rest[..2]), u64::from(rest[rest.len() - 1])),
        1 => (u64::from(rest[0]), 0),
        0 => (0, 0),
    };
    mix(mix(hash ^ low) ^ high)
}

#[inline]
fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_mul(ROOT_2);
    hash ^ hash >> 32
}

/// Two, four or eight bytes as a number.
#[inline]
fn number(bytes: &[u8]) -> u64 {
    match *bytes {
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        _ => 0,
    }
}

/// The slots of a table for this many tokens: half of them are empty, so that a text that is not a token is recognized
/// after 2.5 slots on average.
pub fn slots(tokens: usize) -> usize {
    2 * tokens
}

/// The first slot to check in a table of `slots` slots.
#[inline]
pub fn slot(hash: u64, slots: usize) -> usize {
    (((hash & u64::from(u32::MAX)) * slots as u64) >> u32::BITS) as usize
}

/// The slot to check after a slot.
#[inline]
pub fn next(slot: usize, slots: usize) -> usize {
    if slot + 1 == slots { 0 } else { slot + 1 }
}

/// The part of a slot that distinguishes most texts without reading them.
#[inline]
pub fn tag(hash: u64) -> u32 {
    ((hash >> 32) as u32) << ID_BITS
}
