//! The tool loop: calls of Headroom's own tools that the filter answers itself.
//!
//! The model's answer comes through here on its way to the client. Where it calls only the client's
//! tools, or none, it leaves as it came and when it came. Where it calls `headroom_retrieve`, or a tool of memory that
//! the filter has added, the filter asks the provider to go on with the result, and the client gets one answer.
//!
//! **The conversation stays the true one.** What the model thinks later is bound to the rounds that the client has
//! not seen. Where the turn ends with a call of one of the client's tools, its id carries a trace, and the next
//! request puts the rounds back (`headroom_compress::rounds`). Where nothing can carry one, the thinking of later
//! rounds is withheld: what comes back is then bound to nothing that is missing.
//!
//! **A round with calls of both** ends the turn: the client's calls need the client. Ours are taken out, and the
//! trace has the next request put them beside the client's, with their results. Where nothing can carry the
//! trace, ours are dropped, with what was thought after them: the marker is still there, and the model can ask
//! again. What memory gives is in no request, so its calls never leave a trace; those that save, change or delete
//! are done all the same. Gemini signs the first call of a turn only, in OpenAI's format too, so one of ours in front is answered, and
//! the client's calls behind it are dropped; the model makes them once more.
//!
//! **Streams** pass event by event until a call of ours begins. From there on events are held until the
//! message ends. Nothing else is ever held: not text, not thinking, not the client's calls.
//!
//! **A round that fails**, or one too many, ends the answer with a short note in the place of what is
//! missing, and with the client's calls that were held back, if there were any. So does a stream that
//! cannot be read any further while a call of ours is held; one that the provider breaks off there ends
//! before that call, as broken as it came. A client never sees a call that it has no tool for.
//!
//! Everything here is bytes in, bytes out, without a host: [`ToolLoop`] says what the client may have now,
//! which originals are wanted, and what to send to the provider next.

use headroom_compress::rounds::{PageRange, Retrieval, Step, id_with_trace};
use headroom_providers::answer::{AnswerReader, Ending, OwnCall, WrittenCall};
use headroom_providers::{Api, OwnTool, OwnTools, sse};

/// How often one answer may be continued. A model that wants more than this in a row is going in
/// circles.
pub(crate) const MAX_ROUNDS: u32 = 3;

/// The same where memory may be asked: a search, what was found, two saves, and what is looked at once more.
pub(crate) const MAX_MEMORY_ROUNDS: u32 = 8;

/// What is kept of one round of an answer. An answer is as long as the model may write: 128,000 tokens
/// are about half a megabyte, and events repeat some of it.
pub(crate) const MAX_ROUND_BYTES: usize = 8 << 20;

/// What is kept of an answer over all its rounds.
const MAX_TURN_BYTES: usize = 4 * MAX_ROUND_BYTES;

/// What has been read is added up anew when so much more has come, or as much again.
const MEASURE_BYTES: usize = 64 << 10;

/// What a call of the tool is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolResult {
    /// What the model reads.
    pub(crate) text: String,
    /// Where it comes from; `None`: it is not in the request, so that nothing can spell it out later.
    pub(crate) source: Option<Source>,
    /// It says why the call was not done.
    pub(crate) is_error: bool,
}

impl ToolResult {
    /// A text that no request holds.
    pub(crate) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), source: None, is_error: false }
    }

    /// Why a call was not done.
    pub(crate) fn error(text: &str) -> Self {
        Self { is_error: true, ..Self::of(text) }
    }
}

/// A page of a tool output in the request.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The number of the output in the conversation.
    pub(crate) output: u32,
    pub(crate) hash: String,
    pub(crate) range: Option<PageRange>,
}

/// What an ended round asks for.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing: these are the last bytes for the client.
    Done(Vec<u8>),
    /// The results of these calls; then [`ToolLoop::give`].
    Answer(Vec<OwnCall>),
}

/// What follows from results that were given.
#[derive(Debug)]
pub(crate) enum After {
    /// The provider is to be sent this, and its answer goes to [`ToolLoop::continued`].
    Ask(Vec<u8>),
    /// These are the last bytes for the client.
    Done(Vec<u8>),
}

/// One answer, over all its rounds.
#[derive(Debug)]
pub(crate) struct ToolLoop {
    api: Api,
    tools: OwnTools,
    stream: bool,
    format: Format,
    reader: Box<dyn AnswerReader>,
    /// Bytes that the reader kept when it was last asked, and those that it has been given since.
    measured: usize,
    since: usize,
    rounds: u32,
    /// What the calls of the tool so far were given, with the addresses of the texts.
    steps: Vec<(Step, String)>,
    /// Every round so far can be spelled out.
    traceable: bool,
    /// The calls of the round that has ended stand beside calls of the client's tools.
    beside: bool,
    /// Rounds whose trace the client has, and those that are withheld.
    hidden: HiddenRounds,
}

/// How many rounds the client has not seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct HiddenRounds {
    /// That the next request puts back.
    pub(crate) traced: u32,
    /// That nothing puts back.
    pub(crate) withheld: u32,
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

/// What the client reads where an original could not be found.
const APOLOGY: &str = "[headroom: the full text could not be retrieved]";
/// The same where it may have been memory that was asked.
const MEMORY_APOLOGY: &str = "[headroom: a call of memory or of headroom_retrieve could not be answered]";

impl ToolLoop {
    /// Follows an answer in this format, to a request with these tools of ours.
    pub(crate) fn new(api: Api, stream: bool, tools: OwnTools) -> Self {
        // No tool is ever added to requests of these, so there is no call to answer.
        let format = if api.takes_own_tools() { Format::new(stream) } else { Format::Lost };
        Self {
            api,
            tools,
            stream,
            format,
            reader: api.answer(tools),
            measured: 0,
            since: 0,
            rounds: 0,
            steps: Vec::new(),
            traceable: true,
            beside: false,
            hidden: HiddenRounds::default(),
        }
    }

    /// Whether the answer comes as events.
    pub(crate) fn is_stream(&self) -> bool {
        self.stream
    }

    /// Whether what is wanted goes beside calls of the client's tools, into the next request.
    pub(crate) fn is_beside(&self) -> bool {
        self.beside
    }

    /// The rounds that the client has not seen.
    pub(crate) fn hidden(&self) -> HiddenRounds {
        self.hidden
    }

    /// Whether bytes are kept back.
    pub(crate) fn keeps_bytes(&self) -> bool {
        match &self.format {
            Format::Json(document) => !document.is_empty(),
            Format::Events(splitter) => splitter.kept() > 0,
            Format::Lost | Format::Ended => false,
        }
    }

    /// About how many bytes the answer takes: what is kept back, and what has been read.
    pub(crate) fn kept(&mut self) -> usize {
        if self.since > self.measured.max(MEASURE_BYTES) {
            self.measured = self.reader.bytes();
            self.since = 0;
        }
        let kept = match &self.format {
            Format::Json(document) => document.len(),
            Format::Events(splitter) => splitter.kept(),
            Format::Lost | Format::Ended => 0,
        };
        kept.saturating_add(self.measured).saturating_add(self.since)
    }

    /// Takes in bytes of the provider's first answer and gives those that the client may have now.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.kept() > MAX_TURN_BYTES {
            return [self.stop(), self.feed(bytes)].concat();
        }
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
                while let Some(event) = splitter.next_event() {
                    self.since = self.since.saturating_add(event.data.len());
                    let read = self.reader.event(&event.name, &event.data);
                    splitter.hold(&event.raw);
                    if read.is_none() {
                        now.extend(self.stop());
                        return now;
                    }
                    if !self.reader.holding() {
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
        if matches!(self.format, Format::Events(_)) && self.reader.holds_ours() {
            self.format = Format::Ended;
        }
        Next::Done(self.lose())
    }

    /// Takes the results, each in the order of what was wanted. `request` is what the provider was sent last, `calls`
    /// the number of calls of the client's tools in it. `None`: the next request cannot be written; then
    /// [`ToolLoop::give_up`].
    pub(crate) fn give(&mut self, request: &[u8], given: &[ToolResult], calls: usize) -> Option<After> {
        let wanted = self.reader.wanted();
        let count = wanted.len();
        if count == 0 || given.len() != count {
            return None;
        }
        let steps: Option<Vec<(Step, String)>> = wanted
            .iter()
            .zip(given)
            .enumerate()
            .map(|(at, (wanted, given))| {
                let source = given.source.as_ref()?;
                let step = Step {
                    place: wanted.place,
                    reasoning: wanted.reasoning,
                    output: source.output,
                    range: source.range,
                    ends_round: !self.beside && at + 1 == count,
                };
                Some((step, source.hash.clone()))
            })
            .collect();
        if self.beside {
            return Some(After::Done(self.finish(None, steps)));
        }
        let earlier = self.steps.len();
        self.traceable &= steps.is_some();
        let written: Vec<WrittenCall<'_>> = given
            .iter()
            .enumerate()
            .map(|(at, given)| {
                let source = given.source.as_ref().filter(|_| steps.is_some() && self.api.carries_traces());
                let retrieval = source.map(|Source { hash, range, .. }| Retrieval {
                    id: self.api.call_id(calls, earlier + at, hash, *range),
                    hash: hash.clone(),
                    range: *range,
                    result: given.text.clone(),
                });
                WrittenCall { retrieval, text: &given.text, is_error: given.is_error }
            })
            .collect();
        let request = std::str::from_utf8(request).ok()?;
        let next = self.reader.continuation(request, &written)?;
        self.steps.extend(steps.unwrap_or_default());
        Some(After::Ask(next.into_bytes()))
    }

    /// Takes in the provider's whole answer to what it was asked, and says what follows.
    pub(crate) fn continued(&mut self, answer: &[u8]) -> Next {
        let before = self.reader.copy();
        self.reader.next_round();
        self.rounds += 1;
        self.format = Format::new(self.stream);
        self.feed(answer);
        if let Format::Events(splitter) = &mut self.format {
            // Half an event is no answer; one that lacks only its blank line is read.
            splitter.end_event();
            self.feed(b"");
        }
        if !self.read_to_end() {
            // Nothing of this round has reached the client, so it may as well not have happened.
            self.reader = before;
            self.rounds -= 1;
            return Next::Done(self.give_up());
        }
        self.next()
    }

    /// The end of the answer when a round fails: well-formed, and without a call that nobody answers.
    pub(crate) fn give_up(&mut self) -> Vec<u8> {
        let apology = if self.tools.memory.any() { MEMORY_APOLOGY } else { APOLOGY };
        self.finish(Some(apology), None)
    }

    /// Whether a round has been read as a whole.
    fn read_to_end(&mut self) -> bool {
        if let Format::Json(document) = &self.format {
            let text = std::str::from_utf8(document).ok();
            self.since = self.since.saturating_add(document.len());
            return text.and_then(|text| self.reader.document(text)).is_some();
        }
        matches!(self.format, Format::Events(_)) && self.reader.is_complete()
    }

    fn next(&mut self) -> Next {
        let calls = self.reader.calls();
        let ours = calls.iter().filter(|ours| **ours).count();
        if ours == 0 {
            return Next::Done(self.end_turn());
        }
        let wanted = self.reader.wanted();
        if calls.len() > ours {
            self.beside = true;
            // One that was cut off in the middle cannot be answered.
            let whole = wanted.len() == ours && wanted.iter().all(|call| call.tool == OwnTool::Retrieve);
            if whole && self.traceable && self.api.carries_traces() && self.reader.carrier().is_some() {
                return Next::Answer(wanted);
            }
            let is_first = calls.first() == Some(&true);
            if !is_first || (self.api.carries_traces() && !self.reader.signs_ours()) {
                // What the model wants kept is kept, though it is not told so: it may save it once more.
                return match wanted.iter().any(OwnCall::changes_memory) {
                    true => Next::Answer(wanted),
                    false => Next::Done(self.finish(None, None)),
                };
            }
            self.beside = false;
        }
        let max = if self.tools.memory.any() { MAX_MEMORY_ROUNDS } else { MAX_ROUNDS };
        if wanted.len() < ours || self.rounds >= max {
            return Next::Done(self.give_up());
        }
        Next::Answer(wanted)
    }

    /// The last bytes of an answer whose last round has no call of ours.
    fn end_turn(&mut self) -> Vec<u8> {
        if self.rounds > 0 {
            return self.finish(None, Some(Vec::new()));
        }
        match std::mem::replace(&mut self.format, Format::Lost) {
            Format::Lost | Format::Ended => Vec::new(),
            Format::Events(splitter) => splitter.into_rest(),
            Format::Json(document) => document,
        }
    }

    /// The last bytes of an answer that is not the provider's own. `last`: the calls of ours in the last round that
    /// the trace spells out; `None`: they are dropped.
    fn finish(&mut self, note: Option<&str>, last: Option<Vec<(Step, String)>>) -> Vec<u8> {
        self.format = Format::Lost;
        let rounds = self.rounds;
        let carrier = self.reader.carrier().filter(|_| self.traceable && note.is_none());
        let earlier = std::mem::take(&mut self.steps);
        let with = |last: &[(Step, String)]| {
            let steps: Vec<&(Step, String)> = earlier.iter().chain(last).collect();
            let (place, reasoning) = steps.last().map(|(step, _)| (step.place, step.reasoning))?;
            let addresses: Vec<&str> = steps.iter().map(|(_, address)| address.as_str()).collect();
            let before = self.reader.before(place, reasoning);
            let steps: Vec<Step> = steps.iter().map(|(step, _)| *step).collect();
            id_with_trace(carrier.as_deref()?, &steps, &addresses, &before)
        };
        let mut drops_last = last.is_none();
        let mut id = last.as_deref().and_then(with);
        if id.is_none() && !earlier.is_empty() && (drops_last || last.is_some_and(|last| !last.is_empty())) {
            drops_last = true;
            id = with(&[]);
        }
        drops_last |= self.beside && id.is_none();
        let rounds = rounds + u32::from(self.beside && !drops_last);
        match &id {
            Some(_) => self.hidden.traced = rounds,
            None => self.hidden.withheld = rounds,
        }
        let carrier = carrier.as_deref().zip(id.as_deref());
        let ending = Ending { note, carrier, drops_last };
        self.reader.finish(self.stream, &ending).unwrap_or_default().into_bytes()
    }

    /// Stops following in the middle of an answer: it goes on as it comes, or ends before a call of ours.
    pub(crate) fn stop(&mut self) -> Vec<u8> {
        if !matches!(self.format, Format::Events(_)) || !self.reader.holds_ours() {
            return self.lose();
        }
        let end = self.give_up();
        self.forget();
        self.format = Format::Ended;
        end
    }

    /// Stops following, and gives what was kept back.
    pub(crate) fn lose(&mut self) -> Vec<u8> {
        if matches!(self.format, Format::Ended) {
            return Vec::new();
        }
        self.forget();
        match std::mem::replace(&mut self.format, Format::Lost) {
            Format::Lost | Format::Ended => Vec::new(),
            Format::Json(document) => document,
            Format::Events(splitter) => splitter.into_rest(),
        }
    }

    /// Lets go of what has been read.
    fn forget(&mut self) {
        self.reader = self.api.answer(self.tools);
        (self.measured, self.since) = (0, 0);
    }
}

impl Format {
    fn new(stream: bool) -> Self {
        if stream { Self::Events(sse::Splitter::default()) } else { Self::Json(Vec::new()) }
    }
}

#[cfg(test)]
mod tests;
