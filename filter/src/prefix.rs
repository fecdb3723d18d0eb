//! Hashes of what stands before each message of a request. With them two requests show whether a conversation
//! was only extended, and no request has to be kept.
//!
//! Providers bind reasoning to the text before it. When a provider reports that this text has changed,
//! headroomd compares the digests of what the client sent and of what was forwarded with those of earlier
//! requests. So it finds out who changed it.
//!
//! Hashed is what providers compare: values, not how they are spelled between tokens. White space is left
//! out, and cache breakpoints, and the line about billing at the beginning of Claude Code's system prompt,
//! which differs in every request. For Anthropic a single text equals a list of that one text. Everything
//! else is hashed as it is spelled, and no client changes that between two turns.
//!
//! The same pass reads what matters for the provider's prompt cache: where breakpoints stand, how many blocks
//! and bytes stand before them, and the request's other cache options ([`CacheLayout`]).
//!
//! One pass; nothing is copied.

use std::collections::VecDeque;
use std::ops::Range;

use headroom_api::v1::{Breakpoint, BreakpointPlace, CacheLayout, PrefixDigests};
use headroom_providers::sort;
use headroom_providers::{Api, Part};
use memchr::{memchr, memchr2, memmem};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::system_lines::{BILLING, Prompts};

/// The limit of the protocol; the newest messages are kept. A turn of the busiest agents adds some twenty.
const MAX_PREFIXES: usize = 64;
/// Depth of nested containers: the engine's own limit, so that whatever it reads is read here too.
const MAX_DEPTH: u32 = 127;
/// Breakpoints that are kept per request; no provider accepts more than four.
const MAX_BREAKPOINTS: usize = 8;
const CACHE_CONTROL: &[u8] = b"cache_control";
/// The same in OpenAI's formats.
const CACHE_BREAKPOINT: &[u8] = b"prompt_cache_breakpoint";
/// A block of its own, in Bedrock's Converse.
const CACHE_POINT: &[u8] = b"\"cachePoint\"";
/// What decides about the cache of messages beside the prompt itself. The last two are Gemini's and Converse's.
const PARAMETERS: [&[u8]; 7] = [
    b"thinking",
    b"tool_choice",
    b"speed",
    b"response_format",
    b"text",
    b"toolConfig",
    b"additionalModelRequestFields",
];
/// Converse has it among the tools, in whose cache it has no part.
const TOOL_CHOICE: &[u8] = b"toolChoice";

/// What stands before each message of a request, and what matters for the cache in it.
#[derive(Debug)]
pub struct Prefix {
    /// Digests of what stands before each message.
    pub digests: PrefixDigests,
    /// Breakpoints, bytes and lines.
    pub layout: CacheLayout,
}

/// The digests of a request's body. `None` if it is not a JSON object, or is cut off.
pub fn digests(api: Api, body: &[u8]) -> Option<PrefixDigests> {
    Some(Reader::new(api, body).read(api)?.0)
}

/// The digests, and the layout with the lines of the system prompt, which are worked out once for each
/// prompt.
pub fn read(api: Api, body: &[u8], prompts: &mut Prompts) -> Option<Prefix> {
    let (digests, mut layout, system) = Reader::new(api, body).read(api)?;
    if digests.system != 0 {
        let values = system.into_iter().filter_map(|span| body.get(span));
        let prompt = prompts.get(digests.system, values);
        layout.first_line = prompt.first_line;
        layout.system_lines.clone_from(&prompt.lines);
        layout.system_lines_left_out = prompt.left_out;
        layout.volatile_tokens.clone_from(&prompt.volatile_tokens);
    }
    Some(Prefix { digests, layout })
}

/// What a value is, if that changes how it is hashed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Context {
    System,
    Tools,
    Message,
    Other,
}

impl Context {
    fn place(self) -> Option<BreakpointPlace> {
        match self {
            Self::System => Some(BreakpointPlace::System),
            Self::Tools => Some(BreakpointPlace::Tools),
            Self::Message => Some(BreakpointPlace::Messages),
            Self::Other => None,
        }
    }
}

/// The number of content blocks in each part.
#[derive(Clone, Copy, Default)]
struct Blocks {
    tools: u32,
    system: u32,
    messages: u32,
}

impl Blocks {
    fn of(&mut self, context: Context) -> Option<&mut u32> {
        match context {
            Context::Tools => Some(&mut self.tools),
            Context::System => Some(&mut self.system),
            Context::Message => Some(&mut self.messages),
            Context::Other => None,
        }
    }
}

struct Reader<'b> {
    body: &'b [u8],
    at: usize,
    takes_text_for_list: bool,
    layout: CacheLayout,
    blocks: Blocks,
    /// Where the system prompt stands: its member (the last one, if there are several), and the messages that belong to it.
    system: Option<Range<usize>>,
    system_message_spans: Vec<Range<usize>>,
    /// Digest of messages that are the system prompt.
    system_messages: u64,
    /// The bytes up to the end of each of the newest messages.
    prefix_bytes: VecDeque<u32>,
    /// The number of the current message, from 1, and its role.
    message: u32,
    role: &'b [u8],
}

/// The parts of a value that are hashed, as ranges of the body.
struct Stretches<'h, 'b> {
    body: &'b [u8],
    hash: Option<&'h mut Xxh3>,
    /// Where the current range begins.
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

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The lifetime that a breakpoint or an option asks for; 0 if it asks for none.
fn lifetime(value: &[u8]) -> u32 {
    let known: [(&[u8], u32); 4] =
        [(b"\"5m\"", 300), (b"\"30m\"", 1_800), (b"\"1h\"", 3_600), (b"\"24h\"", 86_400)];
    known.iter().find(|(text, _)| memmem::find(value, text).is_some()).map_or(0, |(_, seconds)| *seconds)
}

impl<'b> Reader<'b> {
    fn new(api: Api, body: &'b [u8]) -> Self {
        Self {
            body,
            at: 0,
            takes_text_for_list: api.takes_text_for_list(),
            layout: CacheLayout::default(),
            blocks: Blocks::default(),
            system: None,
            system_message_spans: Vec::new(),
            system_messages: 0,
            prefix_bytes: VecDeque::new(),
            message: 0,
            role: &[],
        }
    }

    /// The digests, the layout without lines, and the ranges of the system prompt.
    fn read(mut self, api: Api) -> Option<(PrefixDigests, CacheLayout, Vec<Range<usize>>)> {
        let mut digests = PrefixDigests::default();
        let mut prefixes = VecDeque::with_capacity(MAX_PREFIXES);
        self.members(api, &mut digests, &mut prefixes)?;
        digests.prefixes = prefixes.into();
        if self.system_messages != 0 {
            digests.system = match digests.system {
                0 => self.system_messages,
                system => xxh3_64_with_seed(&self.system_messages.to_le_bytes(), system).max(1),
            };
        }
        let Self { mut layout, blocks, system, system_message_spans, prefix_bytes, .. } = self;
        layout.prefix_bytes = prefix_bytes.into();
        let before_messages = blocks.tools.saturating_add(blocks.system);
        layout.blocks = before_messages.saturating_add(blocks.messages);
        for point in &mut layout.breakpoints {
            let before = match point.place() {
                BreakpointPlace::Tools | BreakpointPlace::Unspecified => 0,
                BreakpointPlace::System => blocks.tools,
                BreakpointPlace::Messages => before_messages,
                BreakpointPlace::Automatic => layout.blocks,
            };
            point.block = point.block.saturating_add(before);
            if point.place() == BreakpointPlace::Automatic {
                point.message = digests.messages;
            }
        }
        sort::by_key(&mut layout.breakpoints, |point| point.block);
        Some((digests, layout, system.into_iter().chain(system_message_spans).collect()))
    }

    /// Notes a breakpoint at the current block. Its value begins at `from` and has been read.
    fn breakpoint(&mut self, context: Context, from: usize) {
        let value = self.body.get(from..self.at).unwrap_or_default().trim_ascii();
        let (Some(place), Some(block)) = (context.place(), self.blocks.of(context).map(|block| *block))
        else {
            return;
        };
        if value == b"null" || self.layout.breakpoints.len() >= MAX_BREAKPOINTS {
            return;
        }
        self.layout.breakpoints.push(Breakpoint {
            place: place.into(),
            message: if context == Context::Message { self.message } else { 0 },
            block,
            lifetime_seconds: lifetime(value),
        });
    }

    /// Reads a member of the request that is not part of the prompt.
    fn option(&mut self, key: &[u8]) -> Option<()> {
        self.white_space();
        let from = self.at;
        if PARAMETERS.contains(&key) {
            return self.parameter(key);
        }
        self.value(None, Context::Other)?;
        let value = self.body.get(from..self.at)?;
        let is_given = value != b"null" && value != b"\"\"";
        match key {
            CACHE_CONTROL if is_given && self.layout.breakpoints.len() < MAX_BREAKPOINTS => {
                self.layout.breakpoints.push(Breakpoint {
                    place: BreakpointPlace::Automatic.into(),
                    lifetime_seconds: lifetime(value),
                    ..Breakpoint::default()
                });
            }
            b"prompt_cache_retention" => self.layout.lifetime_seconds = lifetime(value),
            b"prompt_cache_options" => {
                self.layout.lifetime_seconds = lifetime(value);
                self.layout.explicit_only = memmem::find(value, b"\"explicit\"").is_some();
            }
            b"previous_response_id" | b"conversation" | b"thread" => self.layout.continues |= is_given,
            _ => {}
        }
        Some(())
    }

    fn parameter(&mut self, key: &[u8]) -> Option<()> {
        let mut hash = Xxh3::with_seed(xxh3_64(key));
        self.value(Some(&mut hash), Context::Other)?;
        self.layout.parameters ^= hash.digest();
        Some(())
    }

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
                Part::System => {
                    self.white_space();
                    let from = self.at;
                    digests.system = self.digest(0, Context::System)?;
                    self.layout.system_bytes = self.layout.system_bytes.saturating_add(self.bytes(from));
                    self.system = Some(from..self.at);
                }
                Part::Tools => {
                    self.white_space();
                    let from = self.at;
                    digests.tools = self.digest(0, Context::Tools)?;
                    self.layout.tools_bytes = self.bytes(from);
                }
                Part::Messages => digests.messages = self.messages(prefixes)?,
                // Only once: an inner request has no further one.
                Part::Request => self.members(api.inner(), digests, prefixes)?,
                Part::Other => self.option(key)?,
            }
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Bytes since a position.
    fn bytes(&self, from: usize) -> u32 {
        narrow(self.at.saturating_sub(from))
    }

    /// Chained digests of the elements of a list; a single text is a list of one.
    fn messages(&mut self, prefixes: &mut VecDeque<u64>) -> Option<u32> {
        prefixes.clear();
        self.prefix_bytes.clear();
        if self.peek()? != b'[' {
            let digest = self.message(0)?;
            self.count(prefixes, digest);
            return Some(1);
        }
        self.at = self.at.saturating_add(1);
        if self.peek()? == b']' {
            self.at = self.at.saturating_add(1);
            return Some(0);
        }
        let (mut count, mut before) = (0u32, 0);
        loop {
            self.message = count.saturating_add(1);
            let digest = self.message(before)?;
            let is_system = count == 0 && matches!(self.role, b"system" | b"developer");
            if !is_system {
                before = digest;
                self.count(prefixes, digest);
                count = count.saturating_add(1);
            }
            match self.next()? {
                b',' => {}
                b']' => return Some(count),
                _ => return None,
            }
        }
    }

    fn count(&mut self, prefixes: &mut VecDeque<u64>, digest: u64) {
        if prefixes.len() == MAX_PREFIXES {
            prefixes.pop_front();
            self.prefix_bytes.pop_front();
        }
        prefixes.push_back(digest);
        self.prefix_bytes.push_back(self.layout.messages_bytes);
    }

    /// The digest of a message. A system message before all others is noted as system prompt.
    fn message(&mut self, before: u64) -> Option<u64> {
        self.white_space();
        let (from, points, blocks) = (self.at, self.layout.breakpoints.len(), self.blocks);
        self.role = &[];
        let digest = self.digest(before, Context::Message)?;
        let bytes = self.bytes(from);
        let is_first = before == 0;
        if is_first && matches!(self.role, b"system" | b"developer") {
            self.system_message_spans.push(from..self.at);
            self.system_messages = xxh3_64_with_seed(&digest.to_le_bytes(), self.system_messages).max(1);
            self.layout.system_bytes = self.layout.system_bytes.saturating_add(bytes);
            let added = self.blocks.messages.saturating_sub(blocks.messages);
            self.blocks.messages = blocks.messages;
            self.blocks.system = blocks.system.saturating_add(added);
            for point in self.layout.breakpoints.iter_mut().skip(points) {
                point.set_place(BreakpointPlace::System);
                point.message = 0;
                point.block = point.block.saturating_add(blocks.system);
            }
            return Some(digest);
        }
        if is_first {
            self.layout.first_message = digest;
        }
        self.layout.messages_bytes = self.layout.messages_bytes.saturating_add(bytes);
        Some(digest)
    }

    fn digest(&mut self, seed: u64, context: Context) -> Option<u64> {
        let mut hash = Xxh3::with_seed(seed);
        self.value(Some(&mut hash), context)?;
        // 0 means that there is none.
        Some(hash.digest().max(1))
    }

    /// Reads a value of any depth. Commas are not hashed, so that a member that is left out leaves no trace.
    fn value(&mut self, hash: Option<&mut Xxh3>, context: Context) -> Option<()> {
        self.white_space();
        let is_hashed = hash.is_some();
        let mut stretches = Stretches { body: self.body, hash, from: self.at };
        // One bit for each open container: whether it is an object.
        let (mut objects, mut depth) = (0u128, 0u32);
        let (mut key_next, mut in_content, mut role_next) = (false, false, false);
        // The depth of the list of blocks: the value itself, or inside an object.
        let mut block_depth = if context == Context::Message { 2 } else { 1 };
        let blocks_before = self.blocks.of(context).map(|blocks| *blocks);
        loop {
            self.pass_white_space(&mut stretches);
            let start = self.at;
            let is_block = depth == block_depth
                && depth > 0
                && objects & 1 == 0
                && (in_content || context != Context::Message);
            if is_block && self.is_cache_point() {
                stretches.skip(start, start);
                self.value(None, Context::Other)?;
                stretches.from = self.at;
                self.breakpoint(context, start);
            } else {
                if is_block && let Some(blocks) = self.blocks.of(context) {
                    *blocks = blocks.saturating_add(1);
                }
                match *self.body.get(start)? {
                    b'"' if key_next => {
                        key_next = false;
                        let key = self.string()?;
                        let is_choice = context == Context::Tools && depth == 1 && key == TOOL_CHOICE;
                        let is_breakpoint = key == CACHE_CONTROL || key == CACHE_BREAKPOINT;
                        if !is_hashed || !(is_breakpoint || is_choice) {
                            self.pass_white_space(&mut stretches);
                            self.take(b':')?;
                            if depth == 1 && context == Context::Message {
                                in_content = key == b"content" || key == b"parts";
                                role_next = key == b"role";
                            }
                            continue;
                        }
                        stretches.skip(start, start);
                        self.take(b':')?;
                        let from = self.at;
                        if is_choice {
                            self.parameter(key)?;
                        } else {
                            self.value(None, Context::Other)?;
                            self.breakpoint(context, from);
                        }
                        stretches.from = self.at;
                    }
                    b'"' => {
                        let may_be_alone = match context {
                            Context::System => depth == 0,
                            Context::Message => depth == 1 && in_content,
                            Context::Tools | Context::Other => false,
                        };
                        let text =
                            self.text(&mut stretches, context, may_be_alone && self.takes_text_for_list)?;
                        if role_next && depth == 1 {
                            (self.role, role_next) = (text, false);
                        }
                    }
                    open @ (b'{' | b'[') => {
                        if depth >= MAX_DEPTH {
                            return None;
                        }
                        self.at = start.saturating_add(1);
                        if depth == 0 && open == b'{' {
                            block_depth = 2;
                        }
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
            }
            // After a value: its container ends or goes on.
            loop {
                if depth == 0 {
                    stretches.skip(self.at, self.at);
                    // A value without a list of blocks is one block.
                    let blocks = self.blocks.of(context).filter(|blocks| blocks_before == Some(**blocks));
                    if let Some(blocks) = blocks {
                        *blocks = blocks.saturating_add(1);
                    }
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

    /// Whether the current block contains only a breakpoint.
    fn is_cache_point(&self) -> bool {
        let rest = self.body.get(self.at..).and_then(|rest| rest.strip_prefix(b"{"));
        rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(CACHE_POINT))
    }

    fn text(
        &mut self,
        stretches: &mut Stretches<'_, 'b>,
        context: Context,
        is_alone: bool,
    ) -> Option<&'b [u8]> {
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
        Some(text)
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

    /// The next byte that is not white space. It stays unread.
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

    /// The text between the quotes of a string, as it is spelled.
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
