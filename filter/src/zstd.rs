//! An encoder of zstd frames (RFC 8878), for long originals on their way to the sidecar.
//!
//! Quick and small rather than thorough: matches are found with one hash, literals stay as they are, and
//! the format's predefined tables are used, so that nothing is counted and no table is sent. Envoy's
//! worker serves nobody else meanwhile, and V8 compiles every function of the module at its start.
//! Measured as WASM in V8 against the encoders that can be had (the table in `admit.rs`), it gives up a
//! part of the gain for a fraction of the time and size.
//!
//! Were it ever wrong, nothing would be lost: the sidecar compares what it reads with the text's address, and
//! what it does not acknowledge does not leave in its lossy form.

/// The longest text: its offsets still have a code in the predefined table.
const MAX_LENGTH: usize = 1 << 28;
/// What one block holds at most, by the format.
const BLOCK: usize = 128 << 10;
/// The table's size as a power of two. 64 KiB, so that it stays in the cache of the core.
const TABLE_LOG: u32 = 14;
/// Bytes that are hashed: shorter matches save less than their sequence costs.
const HASHED: u32 = 6;
/// After so many bytes without a match (a power of two), one byte more is skipped between two trials.
const SKIP_LOG: usize = 6;
/// The shortest match that the format knows.
const MIN_MATCH: u32 = 3;
/// Bytes that are read at once.
const WORD: usize = 8;

/// `text` as one frame, which names its length. `None`: it is too long.
pub(crate) fn compress(text: &[u8]) -> Option<Vec<u8>> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    /// A single segment, its length in four bytes; no checksum, no dictionary.
    const DESCRIPTOR: u8 = 0b1010_0000;
    if text.len() > MAX_LENGTH {
        return None;
    }
    let mut frame = Vec::with_capacity(text.len() / 2 + 64);
    frame.extend_from_slice(&MAGIC);
    frame.push(DESCRIPTOR);
    frame.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
    let mut finder = Finder { text, table: vec![0; 1 << TABLE_LOG], offset: 0 };
    let mut start = 0;
    loop {
        let end = text.len().min(start + BLOCK);
        block(&mut finder, start, end, end == text.len(), &mut frame)?;
        if end == text.len() {
            return Some(frame);
        }
        start = end;
    }
}

/// Appends `text[start..end]` as a block. `None`: cannot happen.
fn block(finder: &mut Finder<'_>, start: usize, end: usize, last: bool, frame: &mut Vec<u8>) -> Option<()> {
    const RAW: usize = 0;
    const COMPRESSED: usize = 2;
    const HEADER: usize = 3;
    let header = |kind: usize, size: usize| (usize::from(last) | kind << 1 | size << 3).to_le_bytes();
    let offset = finder.offset;
    let found = finder.find(start, end)?;
    let at = frame.len();
    frame.extend_from_slice(&[0; HEADER]);
    if !found.sequences.is_empty() {
        found.write(frame)?;
    }
    let size = frame.len() - at - HEADER;
    let gains = !found.sequences.is_empty() && size < end - start;
    if !gains {
        // The decoder does not see this block's offsets.
        finder.offset = offset;
        frame.truncate(at + HEADER);
        frame.extend_from_slice(finder.text.get(start..end)?);
    }
    let header = if gains { header(COMPRESSED, size) } else { header(RAW, end - start) };
    frame.get_mut(at..at + HEADER)?.copy_from_slice(header.get(..HEADER)?);
    Some(())
}

/// Finds matches with what stood before.
struct Finder<'t> {
    text: &'t [u8],
    /// The last place at which each hash was seen.
    table: Vec<u32>,
    /// Of the last match that the decoder knows; 0 before the first.
    offset: usize,
}

/// So many literals, then so many bytes from so far back.
struct Sequence {
    literals: u32,
    matched: u32,
    /// As the format has it: 1 is the last sequence's, others are three more than the distance.
    offset: u32,
}

/// A block as literals and matches.
#[derive(Default)]
struct Found {
    literals: Vec<u8>,
    sequences: Vec<Sequence>,
}

impl Finder<'_> {
    fn word(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.text.get(at..at + WORD)?.try_into().ok()?))
    }

    /// The last place that looked as `at` does, which becomes the last one.
    fn seen(&mut self, at: usize, word: u64) -> Option<usize> {
        /// Knuth's multiplicative constant for 64 bits.
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let hash = (word << (64 - 8 * HASHED)).wrapping_mul(MIX) >> (64 - TABLE_LOG);
        let place = self.table.get_mut(hash as usize)?;
        Some(std::mem::replace(place, at as u32) as usize)
    }

    /// How many bytes from `at` on, before `end`, are those from `before` on.
    fn common(&self, before: usize, at: usize, end: usize) -> usize {
        let mut length = 0;
        while at + length + WORD <= end
            && let (Some(a), Some(b)) = (self.word(before + length), self.word(at + length))
        {
            if a != b {
                return length + (a ^ b).trailing_zeros() as usize / 8;
            }
            length += WORD;
        }
        let rest = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        let pairs = rest(before + length, end).iter().zip(rest(at + length, end));
        length + pairs.take_while(|(a, b)| a == b).count()
    }

    fn find(&mut self, start: usize, end: usize) -> Option<Found> {
        const HALF: u64 = 0xffff_ffff;
        let mut found = Found { literals: Vec::with_capacity(end - start), sequences: Vec::new() };
        let (mut anchor, mut at) = (start, start);
        while at + WORD <= end {
            let word = self.word(at)?;
            let seen = self.seen(at, word)?;
            let repeated = at.checked_sub(self.offset).filter(|_| self.offset > 0);
            let before = match repeated {
                Some(before) if (self.word(before)? ^ word) & HALF == 0 => Some(before),
                _ if seen < at && (self.word(seen)? ^ word) << (64 - 8 * HASHED) == 0 => Some(seen),
                _ => None,
            };
            let Some(before) = before else {
                at += 1 + ((at - anchor) >> SKIP_LOG);
                continue;
            };
            let distance = at - before;
            let back = self.text.get(anchor..at)?.iter().rev();
            let back = back.zip(self.text.get(..before)?.iter().rev()).take_while(|(a, b)| a == b).count();
            at -= back;
            let matched = self.common(at - distance, at, end);
            let literals = at - anchor;
            found.literals.extend_from_slice(self.text.get(anchor..at)?);
            // Without literals before it, the short form means another offset.
            let short = literals > 0 && distance == self.offset;
            found.sequences.push(Sequence {
                literals: literals as u32,
                matched: matched as u32,
                offset: if short { 1 } else { distance as u32 + 3 },
            });
            self.offset = distance;
            at += matched;
            anchor = at;
            // Places inside the match, of which the next one like it is likely to be found.
            if let (Some(near), true) = (at.checked_sub(2), matched > WORD)
                && let Some(word) = self.word(near)
            {
                self.seen(near, word)?;
            }
        }
        found.literals.extend_from_slice(self.text.get(anchor..end)?);
        Some(found)
    }
}

impl Found {
    /// Appends the literals and the sequences.
    fn write(&self, frame: &mut Vec<u8>) -> Option<()> {
        /// Literals as they are, their number in 20 bits.
        const RAW_20: usize = 0b1100;
        /// The predefined tables for all three codes.
        const PREDEFINED: u8 = 0;
        frame.extend_from_slice((RAW_20 | self.literals.len() << 4).to_le_bytes().get(..3)?);
        frame.extend_from_slice(&self.literals);
        match self.sequences.len() {
            count @ 0..0x80 => frame.push(count as u8),
            count @ 0x80..0x7f00 => frame.extend_from_slice(&[(count >> 8) as u8 | 0x80, count as u8]),
            count => {
                let [low, high, ..] = (count - 0x7f00).to_le_bytes();
                frame.extend_from_slice(&[0xff, low, high]);
            }
        }
        frame.push(PREDEFINED);
        // The decoder reads the bits backwards, so that the last sequence is written first.
        let mut bits = Bits { frame, word: 0, count: 0 };
        let mut states: Option<[u32; 3]> = None;
        for sequence in self.sequences.iter().rev() {
            let literals = literals_code(sequence.literals);
            let matched = match_code(sequence.matched - MIN_MATCH);
            let offset = (sequence.offset.ilog2(), sequence.offset.ilog2());
            states = Some(match states {
                None => [LITERALS.first(literals.0)?, OFFSETS.first(offset.0)?, MATCHES.first(matched.0)?],
                Some([of_literals, of_offset, of_match]) => {
                    let of_offset = OFFSETS.next(of_offset, offset.0, &mut bits)?;
                    let of_match = MATCHES.next(of_match, matched.0, &mut bits)?;
                    [LITERALS.next(of_literals, literals.0, &mut bits)?, of_offset, of_match]
                }
            });
            bits.push(sequence.literals, literals.1);
            bits.push(sequence.matched - MIN_MATCH, matched.1);
            bits.push(sequence.offset, offset.1);
        }
        let [of_literals, of_offset, of_match] = states?;
        bits.push(of_match, MATCHES.log);
        bits.push(of_offset, OFFSETS.log);
        bits.push(of_literals, LITERALS.log);
        bits.end();
        Some(())
    }
}

/// The code of a number of literals, and how many of its low bits follow.
fn literals_code(number: u32) -> (u32, u32) {
    match number {
        0..16 => (number, 0),
        16..24 => (16 + (number - 16) / 2, 1),
        24..32 => (20 + (number - 24) / 4, 2),
        32..48 => (22 + (number - 32) / 8, 3),
        48..64 => (24, 4),
        _ => (19 + number.ilog2(), number.ilog2()),
    }
}

/// As [`literals_code`], of a match's length above the shortest.
fn match_code(number: u32) -> (u32, u32) {
    match number {
        0..32 => (number, 0),
        32..40 => (32 + (number - 32) / 2, 1),
        40..48 => (36 + (number - 40) / 4, 2),
        48..64 => (38 + (number - 48) / 8, 3),
        64..96 => (40 + (number - 64) / 16, 4),
        96..128 => (42, 5),
        _ => (36 + number.ilog2(), number.ilog2()),
    }
}

/// Bits, the lowest first.
struct Bits<'f> {
    frame: &'f mut Vec<u8>,
    word: u64,
    count: u32,
}

impl Bits<'_> {
    /// The low `bits` of `value`; at most 32.
    fn push(&mut self, value: u32, bits: u32) {
        self.word |= (u64::from(value) & ((1 << bits) - 1)) << self.count;
        self.count += bits;
        if self.count >= 32 {
            self.frame.extend_from_slice(&(self.word as u32).to_le_bytes());
            self.word >>= 32;
            self.count -= 32;
        }
    }

    /// A one marks the end.
    fn end(mut self) {
        self.push(1, 1);
        let bytes = self.count.div_ceil(8) as usize;
        self.frame.extend(self.word.to_le_bytes().iter().take(bytes));
    }
}

/// A table of finite-state entropy coding, as an encoder uses it.
struct Table<const STATES: usize, const CODES: usize> {
    log: u32,
    states: [u16; STATES],
    /// Of each code: what is added to a state for the number of bits that leave it (in the high half), and
    /// for its successor's place in `states`.
    codes: [(u32, i32); CODES],
}

impl<const STATES: usize, const CODES: usize> Table<STATES, CODES> {
    /// From how often each code is expected; -1: less than once.
    #[allow(
        clippy::indexing_slicing,
        reason = "evaluated by the compiler, which refuses what is out of bounds"
    )]
    const fn new(counts: [i16; CODES]) -> Self {
        let log = STATES.ilog2();
        let (mut spread, mut places) = ([0; STATES], [0; CODES]);
        let mut high = STATES;
        let (mut code, mut total) = (0, 0);
        while code < CODES {
            places[code] = total;
            if counts[code] < 0 {
                high -= 1;
                spread[high] = code;
                total += 1;
            } else {
                total += counts[code] as usize;
            }
            code += 1;
        }
        let (mut place, mut code) = (0, 0);
        while code < CODES {
            let mut left = counts[code];
            while left > 0 {
                spread[place] = code;
                place = (place + STATES / 2 + STATES / 8 + 3) % STATES;
                while place >= high {
                    place = (place + STATES / 2 + STATES / 8 + 3) % STATES;
                }
                left -= 1;
            }
            code += 1;
        }
        let (mut states, mut state) = ([0; STATES], 0);
        while state < STATES {
            let code = spread[state];
            states[places[code]] = (STATES + state) as u16;
            places[code] += 1;
            state += 1;
        }
        let mut codes = [(0, 0); CODES];
        let (mut code, mut total) = (0, 0);
        while code < CODES {
            let count = if counts[code] < 0 { 1 } else { counts[code] as u32 };
            let bits = if count == 1 { log } else { log - (count - 1).ilog2() };
            codes[code] = ((bits << 16) - (count << bits), total - count as i32);
            total += count as i32;
            code += 1;
        }
        Self { log, states, codes }
    }

    /// The state that the decoder ends in, after the code that is written first.
    fn first(&self, code: u32) -> Option<u32> {
        let (bits, _) = self.codes.get(code as usize)?;
        let bits = (bits + (1 << 15)) & !0xffff;
        self.step(bits - self.codes.get(code as usize)?.0, bits >> 16, code)
    }

    /// The state before `state`, with the bits between them.
    fn next(&self, state: u32, code: u32, to: &mut Bits<'_>) -> Option<u32> {
        let bits = (state + self.codes.get(code as usize)?.0) >> 16;
        to.push(state, bits);
        self.step(state, bits, code)
    }

    fn step(&self, state: u32, bits: u32, code: u32) -> Option<u32> {
        let place = (state >> bits) as i32 + self.codes.get(code as usize)?.1;
        self.states.get(usize::try_from(place).ok()?).copied().map(u32::from)
    }
}

static LITERALS: Table<64, 36> = Table::new([
    4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1,
    -1, -1,
]);
static MATCHES: Table<64, 53> = Table::new([
    1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
]);
static OFFSETS: Table<32, 29> =
    Table::new([1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1]);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Through the format's own decoder, which gets no more room than the text needs.
    fn assert_returns(text: &[u8]) -> usize {
        let frame = compress(text).unwrap();
        let back = zstd::bulk::decompress(&frame, text.len()).unwrap();
        assert!(back == text, "{} bytes came back as {} others", text.len(), back.len());
        assert_eq!(zstd::zstd_safe::get_frame_content_size(&frame).unwrap(), Some(text.len() as u64));
        frame.len()
    }

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn every_length_returns_and_noise_grows_by_its_headers_only() {
        for length in (0..300).chain(BLOCK - 20..BLOCK + 20).chain([3 * BLOCK, 3 * BLOCK + 1]) {
            let size = assert_returns(&noise(length, 7));
            assert!(size <= length + 9 + 3 * length.div_ceil(BLOCK).max(1), "{length} became {size}");
            assert_returns(&vec![b'a'; length]);
            assert_returns(&b"abcdefghij".repeat(length / 10));
        }
    }

    #[test]
    fn every_code_of_literals_matches_and_offsets_is_written() {
        for power in 3..=18 {
            for length in [(1 << power) - 1, 1 << power, (1 << power) + (1 << (power - 1)) + 1] {
                // as literals, as a match as far back as it is long, and both again with a little between
                let part = noise(length, 11);
                let text = [&part[..], &part, b"+", &part[..length / 2], b"-", &part[..length / 3]].concat();
                assert_returns(&text);
            }
        }
        // an offset beyond two million, which the predefined table has in its last codes
        let far = [noise(1 << 23, 3), noise(1 << 12, 3)].concat();
        assert!(assert_returns(&far) < (1 << 23) + 2_000);
    }

    #[test]
    fn many_short_sequences_are_counted_in_two_and_three_bytes() {
        for words in [100, 126, 127, 128, 1_000, 20_000] {
            let mut text = b"abcdefgh".to_vec();
            for (n, byte) in noise(words, 5).into_iter().enumerate() {
                text.extend_from_slice(&[byte, n as u8, b'a', b'b', b'c', b'd', b'e', b'f', b'g', b'h']);
            }
            assert_returns(&text);
        }
    }

    #[test]
    fn rows_shrink_to_less_than_a_third() {
        let rows: String = (0..5_000)
            .map(|n| format!("{{\"id\":{},\"status\":\"ok\",\"name\":\"web-{n}\"}},", n * 7))
            .collect();
        let size = assert_returns(rows.as_bytes());
        assert!(size * 3 < rows.len(), "{} bytes became {size}", rows.len());
    }

    #[test]
    fn what_has_no_code_is_not_compressed() {
        assert_eq!(compress(&vec![0; MAX_LENGTH + 1]), None);
    }

    proptest! {
        #[test]
        fn text_of_words_returns(words in prop::collection::vec("[a-d]{1,9}|\\PC{0,3}", 0..3_000)) {
            assert_returns(words.join(" ").as_bytes());
        }

        #[test]
        fn pieces_of_what_stood_before_return(
            pieces in prop::collection::vec((0usize..60_000, 0usize..5_000, 0usize..20), 0..60),
        ) {
            let mut text = noise(64, 1);
            for (n, (from, length, fresh)) in pieces.into_iter().enumerate() {
                let from = from % text.len();
                let piece: Vec<u8> = text[from..].iter().copied().cycle().take(length).collect();
                text.extend(piece);
                text.extend(noise(fresh, n as u64));
            }
            assert_returns(&text);
        }
    }
}
