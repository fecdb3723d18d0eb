//! The tool loop: calls of `headroom_retrieve` that the filter answers itself.
//!
//! The model's answer comes through here on its way to the client. Where it calls only the client's
//! tools, or none, it leaves as it came and when it came. Where it calls `headroom_retrieve`, the filter
//! fetches the originals, asks the provider to go on with them, and the client gets one answer, as if
//! the model had known the originals from the start.
//!
//! **A turn that also calls the client's tools.** What comes first decides.
//!
//! * Ours first: the turn is continued, and the client's calls of that turn are dropped before the client
//!   sees them. The model made them without what it had just asked for, and makes those again that it
//!   still wants. A continuation that paired them with made-up results would show it something that did
//!   not happen.
//! * The client's first: its calls stand, in a stream they may be at work already, and ours is taken out
//!   of the answer. The next request has the client's calls and their results and no trace of ours, which
//!   is consistent without anything to remember; the marker is still there, so a model that still wants
//!   the original asks again. That is so for a document too, of which nothing has left yet: to drop the
//!   client's calls saves no round, because the model makes them once more, and where a provider signs only
//!   the first call of a turn, as Gemini does, ours alone would be refused. To have the original wait for the
//!   next request would need a memory that all VMs share (I3), or a trace of our call in the client's history.
//!
//! **Streams** pass event by event until a call of ours begins. From there on events are held until the
//! message ends. Nothing else is ever held: not text, not thinking, not the client's calls.
//!
//! **A round that fails**, or one too many, ends the answer with a short note in the place of what is
//! missing, and with the client's calls that were held back, if there were any. So does a stream that
//! cannot be read any further while a call of ours is held; one that the provider breaks off there ends
//! before that call, as broken as it came. A client never sees a call that it has no tool for.
//!
//! Everything here is bytes in, bytes out, without a host: [`Turn`] says what the client may have now,
//! which originals are wanted, and what to send to the provider next.

mod anthropic;
mod gemini;
mod json;
mod openai_chat;
mod openai_responses;
mod sse;

use headroom_compress::Api;

/// The tool's name.
const TOOL: &str = "headroom_retrieve";

/// How often one answer may be continued. A model that wants more than this in a row is going in
/// circles.
pub(crate) const MAX_ROUNDS: u32 = 3;

/// What is kept of one round of an answer. An answer is as long as the model may write: 128,000 tokens
/// are about half a megabyte, and events repeat some of it.
pub(crate) const MAX_ROUND_BYTES: usize = 8 << 20;

/// A call of the tool.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wanted {
    /// The call's id, which its result names; empty where the format has no ids.
    id: String,
    pub(crate) hash: String,
    pub(crate) query: String,
    pub(crate) lines: String,
}

/// What an ended round asks for.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// Nothing: these are the last bytes for the client.
    Done(Vec<u8>),
    /// These originals; then [`Turn::request`].
    Retrieve(Vec<Wanted>),
}

/// One answer, over all its rounds.
#[derive(Debug)]
pub(crate) struct Turn {
    stream: bool,
    format: Format,
    dialect: Box<dyn Dialect>,
    rounds: u32,
    /// Calls of the round that has ended.
    wanted: usize,
}

/// How the answer is read.
#[derive(Debug)]
enum Format {
    /// One JSON document, collected.
    Json(Vec<u8>),
    Events(sse::Splitter),
    /// Not any more: too long, not what the format promises, or ended. Bytes pass.
    Lost,
    /// The client has got its end, before the provider's. Nothing passes.
    Ended,
}

/// What becomes of an event.
#[derive(Debug, Eq, PartialEq)]
enum Event {
    /// For the client, as it came.
    Pass,
    /// For the client, in this form.
    Rewritten(String),
    /// Not for the client.
    Drop,
}

/// One provider's answers: what a round says, and how rounds become one answer.
trait Dialect: std::fmt::Debug {
    /// Reads one event of a stream. `None`: not what the format promises.
    fn event(&mut self, name: &str, data: &str) -> Option<Event>;

    /// Whether the event just read is held, with all that were held before it.
    fn holding(&self) -> bool;

    /// Whether a call of ours is among what is held.
    fn holds_ours(&self) -> bool {
        self.holding()
    }

    /// Reads a whole answer. `None`: not what the format promises.
    fn document(&mut self, answer: &str) -> Option<()>;

    /// Whether the round has come to its end.
    fn is_complete(&self) -> bool;

    /// The round's calls in their order: true for ours.
    fn calls(&self) -> Vec<bool>;

    /// The round's calls of our tool, as far as they can be read.
    fn wanted(&self) -> Vec<Wanted>;

    /// The request that continues this one: with the model's turn without the client's calls, and the
    /// results of ours.
    fn continuation(&self, request: &str, results: &[String]) -> Option<String>;

    /// Takes note that the round is over and another one follows.
    fn next_round(&mut self);

    /// As it is now, to come back to when the next round fails.
    fn copy(&self) -> Box<dyn Dialect>;

    /// The whole answer for the client, once the last round's document is read.
    fn answer(&self) -> Option<String>;

    /// A well-formed end of the answer without the round's calls of ours, and with a note if there is
    /// something to say; for a stream the events that are still missing, otherwise the whole answer.
    fn close(&self, stream: bool, note: Option<&str>) -> Option<String>;
}

/// What the client reads where an original could not be had.
const APOLOGY: &str = "[headroom: the full text could not be retrieved]";

impl Turn {
    /// Follows an answer in this format.
    pub(crate) fn new(api: Api, stream: bool) -> Self {
        let dialect: Box<dyn Dialect> = match api {
            Api::AnthropicMessages | Api::AnthropicBedrock => Box::<anthropic::Anthropic>::default(),
            Api::OpenAiChat | Api::CohereChat | Api::BedrockConverse => {
                Box::<openai_chat::OpenAiChat>::default()
            }
            Api::OpenAiResponses => Box::<openai_responses::OpenAiResponses>::default(),
            Api::GeminiGenerateContent => Box::<gemini::Gemini>::default(),
        };
        // The tool is never added to requests of these, so there is no call of it to answer.
        let format = if api.takes_retrieve_tool() { Format::new(stream) } else { Format::Lost };
        Self { stream, format, dialect, rounds: 0, wanted: 0 }
    }

    /// Whether the answer comes as events.
    pub(crate) fn is_stream(&self) -> bool {
        self.stream
    }

    /// Whether bytes are kept back.
    pub(crate) fn keeps_bytes(&self) -> bool {
        match &self.format {
            Format::Json(document) => !document.is_empty(),
            Format::Events(splitter) => splitter.kept() > 0,
            Format::Lost | Format::Ended => false,
        }
    }

    /// Takes in bytes of the provider's first answer and gives those that the client may have now.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        match &mut self.format {
            Format::Lost => bytes.to_vec(),
            Format::Ended => Vec::new(),
            Format::Json(document) => {
                document.extend_from_slice(bytes);
                if document.len() > MAX_ROUND_BYTES { self.lose() } else { Vec::new() }
            }
            Format::Events(splitter) => {
                splitter.push(bytes);
                if splitter.kept() > MAX_ROUND_BYTES {
                    return self.stop();
                }
                let mut now = Vec::new();
                while let Some(event) = splitter.next() {
                    let Some(fate) = self.dialect.event(&event.name, &event.data) else {
                        splitter.hold(&event.raw);
                        now.extend(self.stop());
                        return now;
                    };
                    let bytes = match fate {
                        Event::Pass => event.raw,
                        Event::Rewritten(text) => text.into_bytes(),
                        Event::Drop => Vec::new(),
                    };
                    splitter.hold(&bytes);
                    if !self.dialect.holding() {
                        now.extend(splitter.release());
                    }
                }
                now
            }
        }
    }

    /// The provider's first answer is over.
    pub(crate) fn end(&mut self) -> Next {
        if self.read_to_end() {
            return self.next();
        }
        if matches!(self.format, Format::Events(_)) && self.dialect.holds_ours() {
            self.format = Format::Ended;
        }
        Next::Done(self.lose())
    }

    /// What to send to the provider: `request` with the model's turn and the originals added, each in
    /// the order of what was wanted. `None`: it cannot be written; then [`Turn::give_up`].
    pub(crate) fn request(&self, request: &[u8], originals: &[String]) -> Option<Vec<u8>> {
        if originals.len() != self.wanted {
            return None;
        }
        let request = std::str::from_utf8(request).ok()?;
        self.dialect.continuation(request, originals).map(String::into_bytes)
    }

    /// Takes in the provider's whole answer to [`Turn::request`]: what the client may have of it, and
    /// what follows.
    pub(crate) fn continued(&mut self, answer: &[u8]) -> (Vec<u8>, Next) {
        let before = self.dialect.copy();
        self.dialect.next_round();
        self.rounds += 1;
        self.format = Format::new(self.stream);
        let mut passed = self.feed(answer);
        if let Format::Events(splitter) = &mut self.format {
            // Half an event is no answer; one that lacks only its blank line is read.
            splitter.end_event();
            passed.extend(self.feed(b""));
        }
        if !self.read_to_end() {
            // Nothing of this round has reached the client, so it may as well not have happened.
            self.dialect = before;
            return (Vec::new(), Next::Done(self.give_up()));
        }
        (passed, self.next())
    }

    /// The end of the answer when a round fails: well-formed, and without a call that nobody answers.
    pub(crate) fn give_up(&mut self) -> Vec<u8> {
        self.close(Some(APOLOGY))
    }

    /// Whether a round has been read as a whole.
    fn read_to_end(&mut self) -> bool {
        if let Format::Json(document) = &self.format {
            let text = std::str::from_utf8(document).ok();
            return text.and_then(|text| self.dialect.document(text)).is_some();
        }
        matches!(self.format, Format::Events(_)) && self.dialect.is_complete()
    }

    fn next(&mut self) -> Next {
        let calls = self.dialect.calls();
        let ours = calls.iter().filter(|ours| **ours).count();
        if ours == 0 {
            return Next::Done(self.finish());
        }
        if calls.first() == Some(&false) {
            return Next::Done(self.close(None));
        }
        let wanted = self.dialect.wanted();
        self.wanted = wanted.len();
        // One that was cut off in the middle cannot be answered.
        if wanted.len() < ours || self.rounds >= MAX_ROUNDS {
            return Next::Done(self.give_up());
        }
        Next::Retrieve(wanted)
    }

    /// The last bytes of an answer without calls of ours.
    fn finish(&mut self) -> Vec<u8> {
        match std::mem::replace(&mut self.format, Format::Lost) {
            Format::Lost | Format::Ended => Vec::new(),
            Format::Events(splitter) => splitter.into_rest(),
            Format::Json(document) if self.rounds == 0 => document,
            Format::Json(document) => self.dialect.answer().map_or(document, String::into_bytes),
        }
    }

    fn close(&mut self, note: Option<&str>) -> Vec<u8> {
        self.format = Format::Lost;
        self.dialect.close(self.stream, note).unwrap_or_default().into_bytes()
    }

    /// Stops following in the middle of a stream.
    fn stop(&mut self) -> Vec<u8> {
        if !self.dialect.holds_ours() {
            return self.lose();
        }
        let end = self.give_up();
        self.format = Format::Ended;
        end
    }

    /// Stops following, and gives what was kept back.
    pub(crate) fn lose(&mut self) -> Vec<u8> {
        match std::mem::replace(&mut self.format, Format::Lost) {
            Format::Lost | Format::Ended => Vec::new(),
            Format::Json(document) => document,
            Format::Events(splitter) => splitter.into_rest(),
        }
    }
}

impl Format {
    fn new(stream: bool) -> Self {
        if stream { Self::Events(sse::Splitter::default()) } else { Self::Json(Vec::new()) }
    }
}

/// Figures of a provider's usage that add up over rounds.
#[derive(Clone, Debug)]
struct Figures<const N: usize> {
    names: [&'static str; N],
    /// Of all rounds before this one.
    spent: [u64; N],
    /// Of this round; a later figure replaces an earlier one.
    round: [Option<u64>; N],
}

impl<const N: usize> Figures<N> {
    fn new(names: [&'static str; N]) -> Self {
        Self { names, spent: [0; N], round: [None; N] }
    }

    fn read(&mut self, usage: &str) {
        let Some(members) = json::object(usage) else { return };
        for (figure, name) in self.round.iter_mut().zip(self.names) {
            if let Some(count) = json::get(&members, name).and_then(json::number) {
                *figure = Some(count);
            }
        }
    }

    fn next_round(&mut self) {
        for (spent, figure) in self.spent.iter_mut().zip(&mut self.round) {
            *spent += figure.take().unwrap_or(0);
        }
    }

    /// `usage` with the figures of all rounds.
    fn total(&self, usage: &str) -> Option<String> {
        let totals: Vec<(&str, String)> = self
            .names
            .iter()
            .zip(self.spent.iter().zip(self.round))
            .filter(|(_, (spent, figure))| **spent > 0 || figure.is_some())
            .map(|(name, (spent, figure))| (*name, (spent + figure.unwrap_or(0)).to_string()))
            .collect();
        json::with(if usage.starts_with('{') { usage } else { "{}" }, &json::borrowed(&totals))
    }
}

/// The arguments of a call of ours; unreadable ones become an empty hash, which no original has.
fn wanted(id: String, arguments: &str) -> Wanted {
    let members = json::object(arguments).unwrap_or_default();
    let text = |key| json::get(&members, key).and_then(json::string).unwrap_or_default();
    Wanted { id, hash: text("hash"), query: text("query"), lines: text("lines") }
}

#[cfg(test)]
mod tests;
