//! A hash of words and lines. None of its multiplications has a result of 128 bits, which WASM does not have: the
//! usual hashes take several times as long there.

#![allow(dead_code, unreachable_pub, reason = "the build script and the engine each use a part")]

/// Odd numbers with about as many ones as zeros: the fractional digits of the square roots of 2 and 3.
pub const ROOT_2: u64 = 0x6a09_e667_f3bc_c909;
const ROOT_3: u64 = 0xbb67_ae85_84ca_a73b;

/// A hash of a short text: up to 16 bytes it is two loads and three multiplications. Not for keys that whoever
/// chooses them must not foresee; texts that it finds equal are compared.
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
