//! What stands before each message of a request, as hashes: whether a conversation was only extended can be told
//! from two requests without keeping either.
//!
//! Providers bind reasoning to what stood before it. When one says that this has changed, headroomd compares the
//! digests of what the client sent and of what was forwarded with those of earlier requests, and so finds out
//! whose change it was.
//!
//! Hashed is what providers compare: values, not their spelling between tokens. White space is left out,
//! `cache_control` too, and the line about billing with which Claude Code begins its system prompt, which differs
//! in every request. For Anthropic a text alone is the same as a list of that one text. Everything else is hashed
//! as it is spelled, which no client changes between two turns.
//!
//! One pass; nothing is copied.

use std::collections::VecDeque;

use headroom_api::v1::PrefixDigests;
use headroom_providers::{Api, Part};
use memchr::{memchr, memchr2};
use xxhash_rust::xxh3::Xxh3;

/// As in the contract: of the newest messages. A turn of the busiest agents adds some twenty.
const MAX_PREFIXES: usize = 64;
/// Containers within containers: the engine's own limit, so that what it reads is read here too.
const MAX_DEPTH: u32 = 127;
const CACHE_CONTROL: &[u8] = b"cache_control";
const BILLING: &[u8] = b"x-anthropic-billing-header";

/// The digests of a request's body. `None` where it is no JSON object, or ends before its end.
pub(crate) fn digests(api: Api, body: &[u8]) -> Option<PrefixDigests> {
    let mut reader = Reader { body, at: 0, takes_text_for_list: api.takes_text_for_list() };
    let mut digests = PrefixDigests::default();
    let mut prefixes = VecDeque::with_capacity(MAX_PREFIXES);
    reader.members(api, &mut digests, &mut prefixes)?;
    digests.prefixes = prefixes.into();
    Some(digests)
}

/// What a value is, as far as it is hashed in another way for that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Context {
    System,
    Message,
    Other,
}

struct Reader<'b> {
    body: &'b [u8],
    at: usize,
    takes_text_for_list: bool,
}

/// What is hashed of a value, as stretches of the body.
struct Stretches<'h, 'b> {
    body: &'b [u8],
    hash: Option<&'h mut Xxh3>,
    /// Where the stretch at hand begins.
    from: usize,
}

impl Stretches<'_, '_> {
    /// Hashes up to `to` and goes on at `from`.
    fn skip(&mut self, to: usize, from: usize) {
        if let (Some(hash), Some(stretch)) = (self.hash.as_deref_mut(), self.body.get(self.from..to)) {
            hash.update(stretch);
        }
        self.from = from;
    }

    fn insert(&mut self, at: usize, text: &[u8]) {
        self.skip(at, at);
        if let Some(hash) = self.hash.as_deref_mut() {
            hash.update(text);
        }
    }
}

impl<'b> Reader<'b> {
    /// Digests what counts of an object's members.
    fn members(&mut self, api: Api, digests: &mut PrefixDigests, prefixes: &mut VecDeque<u64>) -> Option<()> {
        self.take(b'{')?;
        if self.peek()? == b'}' {
            return self.take(b'}');
        }
        loop {
            let key = self.string()?;
            self.take(b':')?;
            match api.part(key) {
                Part::System => digests.system = self.digest(0, Context::System)?,
                Part::Tools => digests.tools = self.digest(0, Context::Other)?,
                Part::Messages => digests.messages = self.messages(prefixes)?,
                // Once: inside it is no other.
                Part::Request => self.members(api.inner(), digests, prefixes)?,
                Part::Other => {
                    self.value(None, Context::Other)?;
                }
            }
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Chained digests of the elements of a list; a text alone is a list of one.
    fn messages(&mut self, prefixes: &mut VecDeque<u64>) -> Option<u32> {
        prefixes.clear();
        let mut add = |digest| {
            if prefixes.len() == MAX_PREFIXES {
                prefixes.pop_front();
            }
            prefixes.push_back(digest);
        };
        if self.peek()? != b'[' {
            add(self.digest(0, Context::Message)?);
            return Some(1);
        }
        self.at = self.at.saturating_add(1);
        if self.peek()? == b']' {
            self.at = self.at.saturating_add(1);
            return Some(0);
        }
        let (mut count, mut before) = (0u32, 0);
        loop {
            before = self.digest(before, Context::Message)?;
            add(before);
            count = count.saturating_add(1);
            match self.next()? {
                b',' => {}
                b']' => return Some(count),
                _ => return None,
            }
        }
    }

    fn digest(&mut self, seed: u64, context: Context) -> Option<u64> {
        let mut hash = Xxh3::with_seed(seed);
        self.value(Some(&mut hash), context)?;
        // 0 stands for none.
        Some(hash.digest().max(1))
    }

    /// Passes a value, of any depth. Commas are not hashed, so that a member which is left out leaves nothing.
    fn value(&mut self, hash: Option<&mut Xxh3>, context: Context) -> Option<()> {
        self.white_space();
        let is_hashed = hash.is_some();
        let mut stretches = Stretches { body: self.body, hash, from: self.at };
        // One bit for each open container: whether it is an object.
        let (mut objects, mut depth) = (0u128, 0u32);
        let (mut key_next, mut in_content) = (false, false);
        loop {
            self.pass_white_space(&mut stretches);
            let start = self.at;
            match *self.body.get(start)? {
                b'"' if key_next => {
                    key_next = false;
                    let key = self.string()?;
                    if !is_hashed || key != CACHE_CONTROL {
                        self.pass_white_space(&mut stretches);
                        self.take(b':')?;
                        in_content = context == Context::Message && depth == 1 && key == b"content";
                        continue;
                    }
                    stretches.skip(start, start);
                    self.take(b':')?;
                    self.value(None, Context::Other)?;
                    stretches.from = self.at;
                }
                b'"' => {
                    let may_be_alone = match context {
                        Context::System => depth == 0,
                        Context::Message => depth == 1 && in_content,
                        Context::Other => false,
                    };
                    self.text(&mut stretches, context, may_be_alone && self.takes_text_for_list)?;
                }
                open @ (b'{' | b'[') => {
                    if depth >= MAX_DEPTH {
                        return None;
                    }
                    self.at = start.saturating_add(1);
                    objects = objects << 1 | u128::from(open == b'{');
                    depth = depth.saturating_add(1);
                    self.pass_white_space(&mut stretches);
                    if !matches!(*self.body.get(self.at)?, b'}' | b']') {
                        key_next = open == b'{';
                        continue;
                    }
                }
                _ if key_next => return None,
                _ => {
                    self.scalar()?;
                    stretches.insert(self.at, b",");
                }
            }
            // Behind a value: what it stands in ends, or goes on.
            loop {
                if depth == 0 {
                    stretches.skip(self.at, self.at);
                    return Some(());
                }
                self.pass_white_space(&mut stretches);
                let at = self.at;
                self.at = at.saturating_add(1);
                let is_object = objects & 1 == 1;
                match *self.body.get(at)? {
                    b',' => {
                        stretches.skip(at, self.at);
                        key_next = is_object;
                        break;
                    }
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return None,
                }
                objects >>= 1;
                depth = depth.saturating_sub(1);
            }
        }
    }

    fn text(&mut self, stretches: &mut Stretches<'_, 'b>, context: Context, is_alone: bool) -> Option<()> {
        let start = self.at;
        if is_alone {
            stretches.insert(start, br#"[{"type":"text""text":"#);
        }
        let text = self.string()?;
        if context == Context::System && text.starts_with(BILLING) {
            let line = memchr(b'\\', text).filter(|at| text.get(at.saturating_add(1)) == Some(&b'n'));
            let first = start.saturating_add(1);
            stretches.skip(first, first.saturating_add(line.unwrap_or(text.len())));
        }
        if is_alone {
            stretches.insert(self.at, b"}]");
        }
        Some(())
    }

    fn pass_white_space(&mut self, stretches: &mut Stretches<'_, 'b>) {
        let start = self.at;
        self.white_space();
        if self.at > start {
            stretches.skip(start, self.at);
        }
    }

    fn white_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.body.get(self.at) {
            self.at = self.at.saturating_add(1);
        }
    }

    /// The next byte that is no white space, which stays.
    fn peek(&mut self) -> Option<u8> {
        self.white_space();
        self.body.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// What is between the quotes of a string, as it is spelled.
    fn string(&mut self) -> Option<&'b [u8]> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            let rest = self.body.get(self.at..)?;
            let end = memchr2(b'"', b'\\', rest)?;
            let is_end = rest.get(end) == Some(&b'"');
            self.at = self.at.saturating_add(end).saturating_add(if is_end { 1 } else { 2 });
            if is_end {
                return self.body.get(start..self.at.saturating_sub(1));
            }
        }
    }

    /// A number, or `true`, `false`, `null`.
    fn scalar(&mut self) -> Option<()> {
        let rest = self.body.get(self.at..)?;
        let is_of_it = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let length = rest.iter().take_while(|byte| is_of_it(byte)).count();
        self.at = self.at.saturating_add(length);
        (length > 0).then_some(())
    }
}

#[cfg(test)]
mod tests;
