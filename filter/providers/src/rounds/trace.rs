//! The trace of hidden rounds in the id of a client's call.
//!
//! Clients send back the ids of calls unchanged. So the id of one of the client's calls carries what is
//! needed to write the rounds before it again: `toolu_01AbC` becomes `toolu_01AbC_hr1_…`. The whole id stays
//! within [`MAX_ID_BYTES`], which every known client and gateway keeps. A suffix consists of
//!
//! * the mark, whose digit is the version,
//! * for each retrieval its position in the model's turn, the number of the tool output and the returned
//!   range, as numbers of a few characters,
//! * a checksum over these, the id, the addresses of the outputs, and what the model had written before.
//!
//! The checksum is not a secret. A client that forges one only gets a round with text of its own request.

use xxhash_rust::xxh3::Xxh3;

use crate::arguments::{Range, Unit};

/// The units of ranges; the index is the number in a trace.
const UNITS: [Unit; 3] = [Unit::Lines, Unit::Rows, Unit::Characters];

/// Begins a suffix. No provider puts a second underscore into its ids.
pub const MARK: &str = "_hr1_";

/// The longest id that is given to a client. OpenAI Responses and Bedrock refuse longer ones, and clients cut
/// them to this length when they change models.
pub const MAX_ID_BYTES: usize = 64;

/// Retrievals in one trace. More do not fit into an id anyway.
const MAX_STEPS: usize = 16;

/// The rules of a format for ids of calls.
#[derive(Clone, Copy, Debug)]
pub struct IdRules {
    /// The prefix of ids of our own calls.
    pub(crate) prefix: &'static str,
    /// Whether providers of the format may restart their ids in each turn.
    pub(crate) begin_anew: bool,
    /// Whether an item has its own `id`, which some servers make the same as the call's.
    pub(crate) items_have_ids: bool,
}

/// One call of our tool in a turn of the model, and its result.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HiddenCall {
    /// How much of the turn, as the client has it, comes before the call: content blocks of Anthropic, items
    /// of OpenAI Responses, characters of text of OpenAI Chat.
    pub place: u32,
    /// The same for the characters of `reasoning_content` of OpenAI Chat; otherwise 0.
    pub reasoning: u32,
    /// The number of the tool output in the conversation.
    pub output: u32,
    /// The page that was given; `None`: the whole text.
    pub range: Option<Range>,
    /// Whether the round ended with this call: the model had its result before it went on. Otherwise the call
    /// was made together with the next one.
    pub ends_round: bool,
}

/// What comes before the position of the last call, as input of the checksum.
#[derive(Clone, Default)]
pub struct TraceInput(Xxh3);

impl std::fmt::Debug for TraceInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Before(…)")
    }
}

impl TraceInput {
    /// Text that the model has written.
    pub fn text(&mut self, text: &str) {
        self.add(b't', text);
    }

    /// Thinking or reasoning. Clients keep only that it was there.
    pub fn thinking(&mut self) {
        self.add(b'r', "");
    }

    /// A call of one of the client's tools. Its id identifies it; clients may spell the arguments
    /// differently.
    pub fn call(&mut self, id: &str) {
        self.add(b'c', without_suffix(id).unwrap_or(id));
    }

    /// Anything else, by its type.
    pub fn other(&mut self, kind: &str) {
        self.add(b'o', kind);
    }

    /// A value that is part of what is checked.
    fn add(&mut self, tag: u8, text: &str) {
        self.0.update(&[tag]);
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }
}

/// The id with these steps; `None`: they do not fit into it.
pub fn id_with_trace(
    id: &str,
    steps: &[HiddenCall],
    addresses: &[&str],
    before: &TraceInput,
) -> Option<String> {
    if id.is_empty() || steps.is_empty() || steps.len() > MAX_STEPS || steps.len() != addresses.len() {
        return None;
    }
    let mut payload = String::new();
    for step in steps {
        let flags = u64::from(step.reasoning > 0) << 1 | u64::from(step.ends_round);
        number(&mut payload, u64::from(step.place) << 2 | flags);
        if step.reasoning > 0 {
            number(&mut payload, u64::from(step.reasoning));
        }
        number(&mut payload, u64::from(step.output));
        match step.range {
            None => number(&mut payload, 0),
            Some(Range { unit, from, to }) => {
                let unit = UNITS.iter().position(|it| *it == unit)? as u64;
                number(&mut payload, u64::from(from) * 3 + unit + 1);
                number(&mut payload, u64::from(to.checked_sub(from)?));
            }
        }
    }
    let check = checksum(id, &payload, addresses, before);
    let whole = [id, MARK, &payload, &check].concat();
    (whole.len() <= MAX_ID_BYTES).then_some(whole)
}

/// The id of a client's call before a suffix was added; `None`: it has no suffix.
pub(crate) fn without_suffix(id: &str) -> Option<&str> {
    let at = id.rfind(MARK)?;
    id.get(..at).filter(|own| !own.is_empty())
}

/// The steps in an id, as far as they can be read. [`holds`] checks whether they are valid.
pub(crate) fn steps(id: &str) -> Option<Vec<HiddenCall>> {
    let (payload, _) = parts(id)?;
    let mut digits = payload.bytes();
    let mut steps = Vec::new();
    while digits.len() > 0 {
        if steps.len() == MAX_STEPS {
            return None;
        }
        let first = read(&mut digits)?;
        let reasoning = if first & 2 != 0 { narrow(read(&mut digits)?)? } else { 0 };
        let output = narrow(read(&mut digits)?)?;
        let range = match read(&mut digits)?.checked_sub(1) {
            None => None,
            Some(start) => {
                let unit = *UNITS.get(usize::try_from(start % 3).ok()?)?;
                let from = narrow(start / 3)?;
                Some(Range { unit, from, to: from.checked_add(narrow(read(&mut digits)?)?)? })
            }
        };
        steps.push(HiddenCall {
            place: narrow(first >> 2)?,
            reasoning,
            output,
            range,
            ends_round: first & 1 != 0,
        });
    }
    (!steps.is_empty()).then_some(steps)
}

/// Whether an id's checksum is that of these addresses and of what stands before.
pub(crate) fn holds(id: &str, addresses: &[&str], before: &TraceInput) -> bool {
    let (Some(own), Some((payload, check))) = (without_suffix(id), parts(id)) else { return false };
    checksum(own, payload, addresses, before) == check
}

/// Payload and checksum of a suffix.
fn parts(id: &str) -> Option<(&str, &str)> {
    let suffix = id.get(id.rfind(MARK)? + MARK.len()..)?;
    suffix.split_at_checked(suffix.len().checked_sub(CHECK_CHARS)?)
}

fn narrow(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Half of the digits end a number, the others continue it.
const BASE: u64 = 31;

/// Characters of a checksum: 35 bits. A damaged suffix passes as valid once in 56 billion.
const CHECK_CHARS: usize = 6;

/// A digit. The caller makes sure that the value has one.
fn digit(value: u64) -> char {
    usize::try_from(value).ok().and_then(|at| DIGITS.get(at)).map_or('0', |digit| char::from(*digit))
}

fn number(out: &mut String, mut value: u64) {
    while value >= BASE {
        out.push(digit(BASE + value % BASE));
        value /= BASE;
    }
    out.push(digit(value));
}

fn read(digits: &mut std::str::Bytes<'_>) -> Option<u64> {
    let (mut value, mut weight) = (0u64, 1u64);
    loop {
        let byte = digits.next()?;
        let digit = DIGITS.iter().position(|it| *it == byte)? as u64;
        value = value.checked_add((digit % BASE).checked_mul(weight)?)?;
        if digit < BASE {
            return Some(value);
        }
        weight = weight.checked_mul(BASE)?;
    }
}

fn checksum(id: &str, payload: &str, addresses: &[&str], before: &TraceInput) -> String {
    let mut hash = before.clone();
    for part in [id, payload].into_iter().chain(addresses.iter().copied()) {
        hash.add(b'p', part);
    }
    let mut rest = hash.0.digest();
    (0..CHECK_CHARS)
        .map(|_| {
            let value = rest % DIGITS.len() as u64;
            rest /= DIGITS.len() as u64;
            digit(value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step() -> impl Strategy<Value = HiddenCall> {
        let range = prop_oneof![
            Just(None),
            (0..3usize, 0..200_000u32, 0..3_000u32).prop_map(|(unit, a, n)| Some(Range {
                unit: UNITS[unit],
                from: a,
                to: a + n
            }))
        ];
        (0..5_000u32, prop_oneof![Just(0), 0..9_000u32], 0..3_000u32, range, any::<bool>()).prop_map(
            |(place, reasoning, output, range, ends_round)| HiddenCall {
                place,
                reasoning,
                output,
                range,
                ends_round,
            },
        )
    }

    fn before(text: &str) -> TraceInput {
        let mut before = TraceInput::default();
        before.text(text);
        before
    }

    proptest! {
        #[test]
        fn what_an_id_carries_is_read_back(steps in proptest::collection::vec(step(), 1..3), text: String) {
            let addresses: Vec<&str> = steps.iter().map(|_| "0123456789abcdef01234567").collect();
            let before = before(&text);
            if let Some(id) = id_with_trace("toolu_01AbCdEf", &steps, &addresses, &before) {
                prop_assert!(id.len() <= MAX_ID_BYTES);
                prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
                prop_assert_eq!(without_suffix(&id), Some("toolu_01AbCdEf"));
                prop_assert_eq!(super::steps(&id), Some(steps));
                prop_assert!(holds(&id, &addresses, &before));
            }
        }

        #[test]
        fn a_suffix_that_is_cut_or_changed_does_not_hold(at in 0..64usize, byte in b'0'..b'z') {
            let steps = [HiddenCall { place: 3, output: 41, range: Some(Range { unit: Unit::Rows, from: 120, to: 260 }), ..HiddenCall::default() }];
            let (addresses, before) = (["a"], before("x"));
            let id = id_with_trace("call_1", &steps, &addresses, &before).unwrap();
            let at = at % id.len();
            prop_assert!(!holds(&id[..at], &addresses, &before));
            let mut changed = id.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            prop_assert!(changed == id || !holds(&changed, &addresses, &before));
        }

        #[test]
        fn any_id_can_be_looked_at(id: String) {
            let own = without_suffix(&id);
            prop_assert!(own.is_none_or(|own| own.len() < id.len() && id.starts_with(own)));
            prop_assert!(steps(&id).is_none_or(|steps| steps.len() <= MAX_STEPS));
            prop_assert!(own.is_some() || !holds(&id, &[], &TraceInput::default()));
        }
    }

    #[test]
    fn two_ranges_have_room_in_an_id_of_anthropics_length() {
        let range = Some(Range { unit: Unit::Lines, from: 1_201, to: 1_600 });
        let step = HiddenCall { place: 2, output: 27, range, ends_round: true, ..HiddenCall::default() };
        let id = "toolu_01A09q90qw90lq917835lq9x";
        assert!(id_with_trace(id, &[step, step], &["a", "b"], &TraceInput::default()).is_some());
        assert!(id_with_trace(id, &[step; 9], &["a"; 9], &TraceInput::default()).is_none());
        assert!(id_with_trace(&"x".repeat(61), &[step], &["a"], &TraceInput::default()).is_none());
    }

    #[test]
    fn what_stands_before_and_what_was_given_is_part_of_the_checksum() {
        let id = id_with_trace("call_1", &[HiddenCall::default()], &["a"], &before("x")).unwrap();
        assert!(holds(&id, &["a"], &before("x")));
        assert!(!holds(&id, &["b"], &before("x")));
        assert!(!holds(&id, &["a"], &before("y")));
        assert!(!holds(&id, &[], &before("x")));
    }
}
