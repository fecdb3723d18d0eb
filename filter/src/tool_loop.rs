//! The tool loop: calls of Headroom's own tools that the filter answers itself.
//!
//! The model's answer passes through here on its way to the client. If it calls only the client's tools, or
//! none, it leaves unchanged and at once. If it calls `headroom_retrieve`, or a memory tool that the filter
//! has added, the filter asks the provider to go on with the result, and the client gets one answer.
//!
//! **The conversation stays true.** The model's later thinking is bound to rounds that the client has not
//! seen. If the turn ends with a call of a client's tool, the id of that call carries a trace, and the next
//! request puts the rounds back (`headroom_compress::rounds`). If nothing can carry a trace, the thinking of
//! later rounds is withheld: then nothing that comes back is bound to a missing round.
//!
//! **A round that calls tools of both kinds** ends the turn, because only the client can answer its calls.
//! Ours are taken out, and because of the trace the next request puts them next to the client's, with their
//! results. If nothing can carry the trace, ours are dropped, with the thinking after them: the marker is
//! still in the request, and the model can ask again. Results of memory are in no request, so its calls never
//! leave a trace; those that save, change or delete are carried out all the same. Gemini signs only the first
//! call of a turn, also in OpenAI's format. So if ours is the first, it is answered, and the client's calls
//! after it are dropped; the model makes them again.
//!
//! **Streams** pass event by event until a call of ours begins. From then on events are held until the
//! message ends. Nothing else is held: neither text, nor thinking, nor the client's calls. There is one
//! exception: in OpenAI Responses a reasoning item waits until the next item begins.
//!
//! **A round that fails**, or one too many, ends the answer with a short note instead of what is missing, and
//! with the client's calls that were held, if there were any. The same happens to a stream that cannot be
//! read any further while a call of ours is held. A stream that the provider breaks off there ends before
//! that call, incomplete as it came. A client never sees a call of a tool that it does not have.
//!
//! This module turns bytes into bytes, without a host: [`ToolLoop`] says what the client may have now, which
//! originals are needed, and what to send to the provider next.

mod result;

use headroom_compress::rounds::{HiddenCall, Retrieval, id_with_trace};
use headroom_providers::answer::{AnswerReader, Ending, OwnCall, WrittenCall};
use headroom_providers::{Api, OwnTool, OwnTools, sse};

pub(crate) use self::result::{Source, ToolResult};

/// The most rounds of one answer. A model that wants more in a row is going in circles.
pub(crate) const MAX_ROUNDS: u32 = 3;

/// The same with memory tools: a search, reading what was found, two saves, and another look.
pub(crate) const MAX_MEMORY_ROUNDS: u32 = 8;

/// The most bytes that are kept of one round. The longest answer of a model, 128,000 tokens, is about half a
/// megabyte, and events repeat some of it.
pub(crate) const MAX_ROUND_BYTES: usize = 8 << 20;

/// The most bytes that are kept of an answer over all its rounds.
const MAX_TURN_BYTES: usize = 4 * MAX_ROUND_BYTES;

/// The bytes that the reader keeps are counted again after this many new bytes, or after as many as it keeps.
const MEASURE_BYTES: usize = 64 << 10;

/// What has to follow a finished round.
#[derive(Debug)]
pub(crate) enum RoundOutcome {
    /// Nothing: these are the last bytes for the client.
    Done(Vec<u8>),
    /// The results of these calls; then [`ToolLoop::give`].
    Answer(Vec<OwnCall>),
}

/// What has to follow the results.
#[derive(Debug)]
pub(crate) enum ResultsOutcome {
    /// The provider has to be sent this, and its answer goes to [`ToolLoop::continued`].
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
    /// The bytes that the reader kept at the last count, and those that it was given since.
    measured: usize,
    since: usize,
    rounds: u32,
    /// The results of our calls so far, with the addresses of the texts.
    steps: Vec<(HiddenCall, String)>,
    /// Whether every round so far can be put into a trace.
    traceable: bool,
    /// Whether the last round also calls the client's tools.
    beside: bool,
    /// Rounds with a trace at the client, and withheld ones.
    hidden: HiddenRounds,
}

/// How many rounds the client has not seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct HiddenRounds {
    /// Rounds that the next request puts back.
    pub(crate) traced: u32,
    /// Rounds that are never put back.
    pub(crate) withheld: u32,
}

/// How the answer is read.
#[derive(Debug)]
enum Format {
    /// One JSON document, collected.
    Json(Vec<u8>),
    Events(sse::Splitter),
    /// It is not read any more: it is too long, malformed, or ended. Bytes pass.
    Lost,
    /// The client has received the end before the provider sent it. Nothing passes.
    Ended,
}

/// What the client reads if an original could not be found.
const APOLOGY: &str = "[headroom: the full text could not be retrieved]";
/// The same if the call may have been one of memory.
const MEMORY_APOLOGY: &str = "[headroom: a call of memory or of headroom_retrieve could not be answered]";

impl ToolLoop {
    /// Follows an answer in this format, to a request with these tools of ours.
    pub(crate) fn new(api: Api, stream: bool, tools: OwnTools) -> Self {
        // Requests of these APIs never get our tools, so there are no calls to answer.
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

    /// Whether the results go into the next request, next to the client's calls.
    pub(crate) fn is_beside(&self) -> bool {
        self.beside
    }

    /// The rounds that the client has not seen.
    pub(crate) fn hidden(&self) -> HiddenRounds {
        self.hidden
    }

    /// Whether bytes are held.
    pub(crate) fn keeps_bytes(&self) -> bool {
        match &self.format {
            Format::Json(document) => !document.is_empty(),
            Format::Events(splitter) => splitter.kept() > 0,
            Format::Lost | Format::Ended => false,
        }
    }

    /// About how many bytes are kept of the answer: held bytes, and what the reader keeps.
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

    /// Takes bytes of the provider's first answer and returns those that the client may have now.
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

    /// The provider's first answer has ended.
    pub(crate) fn end(&mut self) -> RoundOutcome {
        if self.read_to_end() {
            return self.next();
        }
        if matches!(self.format, Format::Events(_)) && self.reader.holds_ours() {
            self.format = Format::Ended;
        }
        RoundOutcome::Done(self.lose())
    }

    /// Takes the results in the order of the calls. `request` is what the provider was sent last, `calls` the
    /// number of calls of the client's tools in it. `None`: the next request cannot be written; then call
    /// [`ToolLoop::give_up`].
    pub(crate) fn give(
        &mut self,
        request: &[u8],
        given: &[ToolResult],
        calls: usize,
    ) -> Option<ResultsOutcome> {
        let wanted = self.reader.wanted();
        let count = wanted.len();
        if count == 0 || given.len() != count {
            return None;
        }
        let steps: Option<Vec<(HiddenCall, String)>> = wanted
            .iter()
            .zip(given)
            .enumerate()
            .map(|(at, (wanted, given))| {
                let source = given.source.as_ref()?;
                let step = HiddenCall {
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
            return Some(ResultsOutcome::Done(self.finish(None, steps)));
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
        Some(ResultsOutcome::Ask(next.into_bytes()))
    }

    /// Takes the provider's whole answer to the last request, and says what has to follow.
    pub(crate) fn continued(&mut self, answer: &[u8]) -> RoundOutcome {
        let before = self.reader.copy();
        self.reader.next_round();
        self.rounds += 1;
        self.format = Format::new(self.stream);
        self.feed(answer);
        if let Format::Events(splitter) = &mut self.format {
            // An incomplete event is not an answer; an event that lacks only its blank line is read.
            splitter.end_event();
            self.feed(b"");
        }
        if !self.read_to_end() {
            // Nothing of this round has reached the client, so it can be ignored.
            self.reader = before;
            self.rounds -= 1;
            return RoundOutcome::Done(self.give_up());
        }
        self.next()
    }

    /// The end of the answer if a round fails: well-formed, and without calls that cannot be answered.
    pub(crate) fn give_up(&mut self) -> Vec<u8> {
        let apology = if self.tools.memory.any() { MEMORY_APOLOGY } else { APOLOGY };
        self.finish(Some(apology), None)
    }

    /// Whether a round has been read completely.
    fn read_to_end(&mut self) -> bool {
        if let Format::Json(document) = &self.format {
            let text = std::str::from_utf8(document).ok();
            self.since = self.since.saturating_add(document.len());
            return text.and_then(|text| self.reader.document(text)).is_some();
        }
        matches!(self.format, Format::Events(_)) && self.reader.is_complete()
    }

    fn next(&mut self) -> RoundOutcome {
        let calls = self.reader.calls();
        let ours = calls.iter().filter(|ours| **ours).count();
        if ours == 0 {
            return RoundOutcome::Done(self.end_turn());
        }
        let wanted = self.reader.wanted();
        if calls.len() > ours {
            self.beside = true;
            // A call that was cut off cannot be answered.
            let whole = wanted.len() == ours && wanted.iter().all(|call| call.tool == OwnTool::Retrieve);
            if whole && self.traceable && self.api.carries_traces() && self.reader.carrier().is_some() {
                return RoundOutcome::Answer(wanted);
            }
            let is_first = calls.first() == Some(&true);
            if !is_first || (self.api.carries_traces() && !self.reader.signs_ours()) {
                // The changes are made, although the model does not get the result: it may save the same once
                // more.
                return match wanted.iter().any(OwnCall::changes_memory) {
                    true => RoundOutcome::Answer(wanted),
                    false => RoundOutcome::Done(self.finish(None, None)),
                };
            }
            self.beside = false;
        }
        let max = if self.tools.memory.any() { MAX_MEMORY_ROUNDS } else { MAX_ROUNDS };
        if wanted.len() < ours || self.rounds >= max {
            return RoundOutcome::Done(self.give_up());
        }
        RoundOutcome::Answer(wanted)
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

    /// The last bytes of an answer whose end the filter writes. `last`: our calls in the last round that go
    /// into the trace; `None`: they are dropped.
    fn finish(&mut self, note: Option<&str>, last: Option<Vec<(HiddenCall, String)>>) -> Vec<u8> {
        self.format = Format::Lost;
        let rounds = self.rounds;
        let carrier = self.reader.carrier().filter(|_| self.traceable && note.is_none());
        let earlier = std::mem::take(&mut self.steps);
        let with = |last: &[(HiddenCall, String)]| {
            let steps: Vec<&(HiddenCall, String)> = earlier.iter().chain(last).collect();
            let (place, reasoning) = steps.last().map(|(step, _)| (step.place, step.reasoning))?;
            let addresses: Vec<&str> = steps.iter().map(|(_, address)| address.as_str()).collect();
            let before = self.reader.before(place, reasoning);
            let steps: Vec<HiddenCall> = steps.iter().map(|(step, _)| *step).collect();
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

    /// Stops following in the middle of an answer: it passes from now on, or ends before a call of ours.
    pub(crate) fn stop(&mut self) -> Vec<u8> {
        if !matches!(self.format, Format::Events(_)) || !self.reader.holds_ours() {
            return self.lose();
        }
        let end = self.give_up();
        self.forget();
        self.format = Format::Ended;
        end
    }

    /// Stops following, and returns the held bytes.
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

    /// Drops what has been read.
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
