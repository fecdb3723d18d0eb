//! The id of a turn: a user's request and everything that agents do about it. Turns are counted as upstream
//! counts them, so that figures of both can be compared.
//!
//! The first 16 hexadecimal digits of SHA-256 over: model, NUL, system prompt, NUL, and the messages up to
//! the last one in which the user writes something, without any `cache_control`. The system prompt is its
//! text, or its JSON if it is a list; JSON is written as Python's `json.dumps(…, sort_keys=True)` writes it.
//! A user writes something in a message that is a text, or that contains one and no result of a tool.
//!
//! Upstream has this for Anthropic and OpenAI Chat. For the other formats the corresponding members are
//! taken.

use std::borrow::Cow;

use headroom_providers::Api;
use headroom_providers::sort;
use headroom_providers::tape::{Tape, Value};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3;

use crate::memo::Memo;

/// Agents ask providers to cache up to this point, and move it with every request.
const CACHE_CONTROL: &str = "cache_control";

/// The model that a body names.
pub(crate) fn model(tape: &Tape<'_>) -> Option<String> {
    let [model] = tape.root().pick(["model"]).ok()?;
    Some(model?.text()?.into_owned())
}

/// The id of the turn that a request belongs to.
pub(crate) fn id(tape: &Tape<'_>, model: &str, api: Api, memo: &mut Memo) -> Option<String> {
    let [system, messages] = api.conversation(tape.root()).ok()?;
    let messages: Vec<Value<'_, '_>> = messages?.elements().collect();
    let last = messages.iter().rposition(|message| is_said_by_user(*message))?;
    let turn = Turn { model, system, messages: messages.get(..=last)? };

    // Both halves of the number are remembered, for the rest of the turn.
    let key = turn.fingerprint(memo.hasher());
    let mut hash = None;
    let mut half = |high: bool| {
        memo.count(key.wrapping_add(TURN + u128::from(high)), || {
            let hash: u64 = *hash.get_or_insert_with(|| turn.hash());
            // Each is half of the bits.
            (if high { hash >> 32 } else { hash & u64::from(u32::MAX) }) as u32
        })
    };
    Some(format!("{:08x}{:08x}", half(true), half(false)))
}

/// Keeps these values apart from other counts of the same text.
const TURN: u128 = 0x7475_726e;

/// Whether a message starts a turn.
fn is_said_by_user(message: Value<'_, '_>) -> bool {
    let Ok([role, content, parts]) = message.pick(["role", "content", "parts"]) else { return false };
    if !role.is_some_and(|role| role.is("user")) {
        return false;
    }
    let Some(content) = content.or(parts) else { return false };
    if content.is_string() {
        return content.raw() != "\"\"";
    }
    let mut says = false;
    for part in content.elements() {
        let Ok([kind, text, result, response]) =
            part.pick(["type", "text", "toolResult", "functionResponse"])
        else {
            continue;
        };
        if kind.is_some_and(|kind| kind.is("tool_result")) || result.is_some() || response.is_some() {
            return false;
        }
        says |= match kind {
            Some(kind) => kind.is("text") || kind.is("input_text"),
            // Gemini and Converse have no types.
            None => text.is_some(),
        };
    }
    says
}

/// The input of the id's hash.
struct Turn<'t, 'b> {
    model: &'t str,
    system: Option<Value<'t, 'b>>,
    messages: &'t [Value<'t, 'b>],
}

impl Turn<'_, '_> {
    /// A hash of the same input, in the spelling of the body.
    fn fingerprint(&self, mut hash: Xxh3) -> u128 {
        hash.update(self.model.as_bytes());
        for value in self.system.iter().chain(self.messages) {
            hash.update(b"\0");
            fingerprint(*value, &mut hash);
        }
        hash.digest128()
    }

    fn hash(&self) -> u64 {
        let mut out = Writer { hash: Sha256::new(), piece: Vec::with_capacity(PIECE) };
        out.push(self.model.as_bytes());
        out.push(b"\0");
        match self.system {
            Some(system) if system.is_string() => {
                out.push(system.text().unwrap_or(Cow::Borrowed(system.raw())).as_bytes());
            }
            Some(system) if !system.is_null() => out.value(system),
            _ => {}
        }
        out.push(b"\0");
        out.list(self.messages.iter().copied());
        out.end()
    }
}

fn fingerprint(value: Value<'_, '_>, hash: &mut Xxh3) {
    if value.is_object() {
        hash.update(b"{");
        for (key, value) in value.members().filter(|(key, _)| !key.is(CACHE_CONTROL)) {
            hash.update(key.raw().as_bytes());
            fingerprint(value, hash);
        }
        hash.update(b"}");
    } else if value.is_array() {
        hash.update(b"[");
        for item in value.elements() {
            fingerprint(item, hash);
            hash.update(b",");
        }
        hash.update(b"]");
    } else {
        hash.update(value.raw().as_bytes());
    }
}

/// Bytes that are hashed at once.
const PIECE: usize = 4096;

/// Writes values as Python's `json.dumps(…, sort_keys=True)` does, into a hash.
struct Writer {
    hash: Sha256,
    piece: Vec<u8>,
}

impl Writer {
    fn push(&mut self, bytes: &[u8]) {
        if self.piece.len() + bytes.len() > PIECE {
            self.hash.update(&self.piece);
            self.piece.clear();
        }
        if bytes.len() > PIECE {
            self.hash.update(bytes);
        } else {
            self.piece.extend_from_slice(bytes);
        }
    }

    fn end(mut self) -> u64 {
        self.hash.update(&self.piece);
        self.hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn list<'t, 'b: 't>(&mut self, items: impl Iterator<Item = Value<'t, 'b>>) {
        self.push(b"[");
        for (at, item) in items.enumerate() {
            if at > 0 {
                self.push(b", ");
            }
            self.value(item);
        }
        self.push(b"]");
    }

    fn value(&mut self, value: Value<'_, '_>) {
        if value.is_object() {
            let mut members: Vec<_> = value
                .members()
                .filter(|(key, _)| !key.is(CACHE_CONTROL))
                .map(|(key, value)| (key.text().unwrap_or(Cow::Borrowed(key.raw())), key, value))
                .collect();
            // Of members with the same name the last one counts.
            members.reverse();
            sort::by(&mut members, |(one, ..), (other, ..)| one.cmp(other));
            members.dedup_by(|(one, ..), (other, ..)| one == other);
            self.push(b"{");
            for (at, (_, key, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    self.push(b", ");
                }
                self.value(key);
                self.push(b": ");
                self.value(value);
            }
            self.push(b"}");
        } else if value.is_array() {
            self.list(value.elements());
        } else if value.is_string() {
            self.string(value.raw());
        } else {
            self.push(scalar(value.raw()).as_bytes());
        }
    }

    /// Writes ASCII only, with an escape wherever JSON requires one.
    fn string(&mut self, quoted: &str) {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'\\';
        let mut rest = quoted;
        loop {
            let plain = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
            let (text, behind) = rest.split_at(plain);
            self.push(text.as_bytes());
            let mut chars = behind.chars();
            match chars.next() {
                None => return,
                Some('\\') => {
                    let escaped = chars.next();
                    if escaped == Some('u') {
                        let (digits, after) = chars.as_str().split_at_checked(4).unwrap_or_default();
                        self.unit(u16::from_str_radix(digits, 16).unwrap_or_default());
                        rest = after;
                        continue;
                    }
                    match escaped {
                        Some('/') => self.push(b"/"),
                        // The others are spelled the same way.
                        Some(other) => self.push(&[b'\\', u8::try_from(other).unwrap_or_default()]),
                        None => {}
                    }
                }
                Some(other) => {
                    let mut units = [0; 2];
                    other.encode_utf16(&mut units).iter().for_each(|unit| self.unit(*unit));
                }
            }
            rest = chars.as_str();
        }
    }

    fn unit(&mut self, unit: u16) {
        match u8::try_from(unit) {
            Ok(8) => self.push(b"\\b"),
            Ok(b'\t') => self.push(b"\\t"),
            Ok(b'\n') => self.push(b"\\n"),
            Ok(12) => self.push(b"\\f"),
            Ok(b'\r') => self.push(b"\\r"),
            Ok(ascii @ (b'"' | b'\\')) => self.push(&[b'\\', ascii]),
            Ok(ascii @ b' '..=b'~') => self.push(&[ascii]),
            _ => self.push(format!("\\u{unit:04x}").as_bytes()),
        }
    }
}

/// A number, `true`, `false` or `null` in Python's spelling.
fn scalar(raw: &str) -> Cow<'_, str> {
    if raw == "-0" {
        return Cow::Borrowed("0");
    }
    if !raw.contains(['.', 'e', 'E']) || raw.starts_with(['t', 'f']) {
        return Cow::Borrowed(raw);
    }
    let Ok(number) = raw.parse::<f64>() else { return Cow::Borrowed(raw) };
    if number.is_infinite() {
        return Cow::Borrowed(if number > 0.0 { "Infinity" } else { "-Infinity" });
    }
    // Both write the fewest digits that distinguish the number from its neighbours. Python uses an exponent
    // from 1e16 on and below 1e-4, and writes two digits of it.
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return Cow::Borrowed(raw) };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return Cow::Owned(format!("{digits}e{sign}{:02}", exponent.abs()));
    }
    let plain = number.to_string();
    Cow::Owned(if plain.contains('.') { plain } else { plain + ".0" })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        api: String,
        body: String,
        turn_id: Option<String>,
    }

    /// `python3 tests/turn_ids.py > tests/fixtures/turn_ids.json`, in this crate's folder, computes them.
    fn vectors() -> Vec<Vector> {
        serde_json::from_str(include_str!("../tests/fixtures/turn_ids.json")).unwrap()
    }

    fn id_of(api: &str, body: &str, memo: &mut Memo) -> Option<String> {
        let api = Api::ALL.into_iter().find(|of| of.name() == api).unwrap();
        let tape = Tape::of(body.as_bytes()).unwrap();
        id(&tape, &model(&tape).unwrap_or_default(), api, memo)
    }

    #[test]
    fn ids_are_those_that_python_computes() {
        let vectors = vectors();
        assert!(vectors.len() > 20);
        for Vector { api, body, turn_id } in &vectors {
            let mut memo = Memo::new(1 << 16);
            assert_eq!(&id_of(api, body, &mut memo), turn_id, "{body}");
            assert_eq!(&id_of(api, body, &mut memo), turn_id, "from the memo: {body}");
        }
    }

    #[test]
    fn the_id_stays_while_an_agent_works_and_cache_control_moves() {
        let mut memo = Memo::new(1 << 16);
        let first = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"go","cache_control":{"type":"ephemeral"}}]}]}"#;
        let later = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"go"}]},
            {"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"},{"type":"text","text":"<system-reminder>"}]}]}"#;
        let next =
            r#"{"model":"m","messages":[{"role":"user","content":"go"},{"role":"user","content":"on"}]}"#;
        let mut id = |body| id_of("anthropic_messages", body, &mut memo).unwrap();
        assert_eq!(id(first), id(later));
        assert_ne!(id(first), id(next));
    }
}
