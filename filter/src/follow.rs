//! Answers calls of Headroom's own tools in the middle of the model's answer: the host's side of the tool
//! loop, whose rules are in `tool_loop`.
//!
//! Only for requests to which the filter has added a tool itself. The answer's bytes go through a
//! [`ToolLoop`]. At its end the answer is paused, and the filter asks the provider to go on with the results:
//! over the same cluster, with the client's own headers. An original comes from the request itself. A hash of
//! another conversation is looked up in the sidecar's store, and so are facts. Envoy gives the filter the
//! answer to such a call as a whole, so the client receives everything after the first round of a stream in
//! one piece.

use std::cell::RefCell;
use std::rc::Rc;

use headroom_api::v1::{Retrieval, RetrieveRequest, RetrieveResponse};
use headroom_providers::answer::OwnCall;
use headroom_providers::{Api, OwnTool, OwnTools};
use prost::Message as _;
use proxy_wasm::types::{Action, BufferType};

use crate::exchange::Exchange;
use crate::host;
use crate::memory::Room;
use crate::originals::Originals;
use crate::own_tools::{self, CallerRecord, MemoryCaller};
use crate::rpc;
use crate::sent::{HttpAnswer, SentRequest};
use crate::settings::Settings;
use crate::tool_loop::{HiddenRounds, ResultsOutcome, RoundOutcome, ToolLoop, ToolResult};

/// How many calls are answered in one round.
const MAX_WANTED: usize = 16;

/// What the model reads if an original cannot be found.
const MISSING: &str = "[headroom: there is no text with this hash; call the tool that gave it again]";
const NO_ROOM: &str = "[headroom: there is no room for the answer now]";
/// Retrievals that a record lists.
const MAX_RETRIEVALS: usize = 64;
const TOO_MANY: &str = "[headroom: too many at once; ask again for this one]";

/// The state of one followed answer.
pub(crate) struct FollowedAnswer {
    api: Api,
    tools: OwnTools,
    /// `None`: there was no room to keep them.
    originals: Option<Originals>,
    caller: MemoryCaller,
    state: State,
    /// Bytes for the client that wait while the answer is paused.
    ready: Vec<u8>,
    hidden: HiddenRounds,
    /// What the model has asked back.
    retrievals: RefCell<Vec<Retrieval>>,
    /// For what is kept of the answer, and for texts on their way to the model.
    room: Room,
}

enum State {
    /// The answer has not begun.
    Armed,
    Reading(ToolLoop),
    Retrieving {
        turn: ToolLoop,
        given: Vec<Option<ToolResult>>,
        calls: Vec<SidecarCall>,
    },
    Continuing {
        turn: ToolLoop,
        token: u32,
    },
    Done,
}

/// A call to the sidecar.
#[derive(Clone, Copy, Debug)]
struct SidecarCall {
    token: u32,
    /// The position of the model's call among those of its round.
    place: usize,
    tool: OwnTool,
}

/// What the tool loop needs of the host in one step.
struct Host<'a> {
    settings: &'a Settings,
    sent: Option<&'a mut SentRequest>,
    record: CallerRecord<'a>,
}

impl FollowedAnswer {
    /// Before the answer to a request that has just left.
    pub(crate) fn new(
        settings: &Settings,
        api: Api,
        tools: OwnTools,
        originals: Option<Originals>,
        caller: MemoryCaller,
    ) -> Self {
        let room = settings.requests.memory.no_room();
        let (state, hidden) = (State::Armed, HiddenRounds::default());
        let retrievals = RefCell::default();
        Self { api, tools, originals, caller, state, ready: Vec::new(), hidden, retrievals, room }
    }

    pub(crate) fn waits_for_grpc(&self, token: u32) -> bool {
        matches!(&self.state, State::Retrieving { calls, .. } if calls.iter().any(|call| call.token == token))
    }

    pub(crate) fn waits_for_http(&self, token: u32) -> bool {
        matches!(self.state, State::Continuing { token: of, .. } if of == token)
    }

    /// Whether the answer has not begun yet.
    pub(crate) fn is_armed(&self) -> bool {
        matches!(self.state, State::Armed)
    }

    /// Starts to follow the answer.
    pub(crate) fn begin(&mut self, stream: bool) {
        self.state = State::Reading(ToolLoop::new(self.api, stream, self.tools));
    }

    /// The next step after a round. `Some`: the last bytes for the client.
    fn step(&mut self, host: Host<'_>, mut turn: ToolLoop, next: RoundOutcome) -> Option<Vec<u8>> {
        match next {
            RoundOutcome::Done(rest) => Some(self.end(&turn, rest)),
            RoundOutcome::Answer(_) if host.sent.is_none() || !self.keeps(host.settings, &mut turn) => {
                Some(self.fail(host.settings, turn))
            }
            RoundOutcome::Answer(wanted) => {
                let (given, calls) = self.answer(&host, &wanted, turn.is_beside());
                let bytes = given.iter().flatten().map(|given| given.text.len()).sum();
                if !self.room.grow(bytes) {
                    host.settings.metrics.no_room();
                    return Some(self.fail(host.settings, turn));
                }
                if calls.is_empty() {
                    return self.go_on(host, turn, given);
                }
                self.state = State::Retrieving { turn, given, calls };
                None
            }
        }
    }

    /// Answers the calls, or asks the sidecar. `beside`: the client's tools are called in the same round.
    fn answer(
        &self,
        host: &Host<'_>,
        wanted: &[OwnCall],
        beside: bool,
    ) -> (Vec<Option<ToolResult>>, Vec<SidecarCall>) {
        let mut calls = Vec::new();
        let given = wanted
            .iter()
            .enumerate()
            .map(|(place, call)| {
                if place >= MAX_WANTED {
                    return Some(ToolResult::of(TOO_MANY));
                }
                let (given, token) = match call.tool {
                    OwnTool::Retrieve => self.retrieve(host, call, !beside),
                    OwnTool::Memory => self.ask_memory(host, call, beside),
                };
                calls.extend(token.map(|token| SidecarCall { token, place, tool: call.tool }));
                given
            })
            .collect();
        (given, calls)
    }

    /// Finds a text in the request. If it is not there, asks the store, where `ask_store` allows it.
    fn retrieve(
        &self,
        host: &Host<'_>,
        call: &OwnCall,
        ask_store: bool,
    ) -> (Option<ToolResult>, Option<u32>) {
        let (settings, asked) = (host.settings, call.asked());
        let found = self.originals.as_ref().and_then(|originals| originals.find(&asked));
        if found.is_some() {
            settings.metrics.retrieved(true);
            let mut retrievals = self.retrievals.borrow_mut();
            if retrievals.len() < MAX_RETRIEVALS {
                retrievals.extend(self.originals.as_ref().and_then(|originals| originals.describe(&asked)));
            }
            return (found, None);
        }
        let control_plane = settings.config.control_plane.as_ref().filter(|_| ask_store);
        let request = RetrieveRequest {
            tenant: host.record.tenant.to_owned(),
            hash: asked.hash,
            query: asked.query,
            lines: asked.lines,
        };
        match control_plane.map(|it| rpc::retrieve(it, &request.encode_to_vec())) {
            Some(Ok(token)) => return (None, Some(token)),
            Some(Err(refused)) => settings.refused(refused),
            None => {}
        }
        settings.metrics.retrieved(false);
        (None, None)
    }

    /// Asks memory. In a round that also calls the client's tools, the model does not get the result, so only
    /// changes are sent.
    fn ask_memory(&self, host: &Host<'_>, call: &OwnCall, beside: bool) -> (Option<ToolResult>, Option<u32>) {
        if beside && !call.changes_memory() {
            return (None, None);
        }
        match own_tools::ask(host.settings, &self.caller.request(&host.record, call)) {
            own_tools::CallState::Waiting(token) => (None, Some(token)),
            own_tools::CallState::Answered(result) => (Some(result), None),
        }
    }

    /// Goes on with the results. `Some`: the last bytes for the client.
    fn go_on(
        &mut self,
        host: Host<'_>,
        mut turn: ToolLoop,
        given: Vec<Option<ToolResult>>,
    ) -> Option<Vec<u8>> {
        let settings = host.settings;
        let given: Vec<ToolResult> =
            given.into_iter().map(|it| it.unwrap_or_else(|| ToolResult::of(MISSING))).collect();
        let calls = self.originals.as_ref().map_or(0, |originals| originals.calls(self.api));
        let sent = host.sent?;
        let token = match turn.give(&sent.body, &given, calls) {
            Some(ResultsOutcome::Done(rest)) => return Some(self.end(&turn, rest)),
            Some(ResultsOutcome::Ask(body)) => {
                settings.metrics.round_begun();
                sent.send(settings, body)
            }
            None => None,
        };
        match token {
            Some(token) => {
                self.keeps(settings, &mut turn);
                self.state = State::Continuing { turn, token };
                None
            }
            None => Some(self.fail(settings, turn)),
        }
    }

    /// Resizes the room to what is kept of the answer. Returns whether there is enough.
    fn keeps(&mut self, settings: &Settings, turn: &mut ToolLoop) -> bool {
        let keeps = self.room.resize(turn.kept().saturating_add(self.ready.len()));
        if !keeps {
            settings.metrics.no_room();
        }
        keeps
    }

    /// The last bytes for the client if a round cannot be made.
    fn fail(&mut self, settings: &Settings, mut turn: ToolLoop) -> Vec<u8> {
        settings.metrics.round_failed();
        let rest = turn.give_up();
        self.end(&turn, rest)
    }

    /// The last bytes for the client.
    fn end(&mut self, turn: &ToolLoop, rest: Vec<u8>) -> Vec<u8> {
        self.hidden = turn.hidden();
        self.state = State::Done;
        self.room.resize(0);
        let mut last = std::mem::take(&mut self.ready);
        last.extend(rest);
        last
    }

    /// Takes a piece of the answer.
    pub(crate) fn on_body(
        &mut self,
        exchange: &mut Exchange,
        sent: Option<&mut SentRequest>,
        size: usize,
        end_of_stream: bool,
    ) -> Action {
        let settings = Rc::clone(&exchange.settings);
        let State::Reading(mut turn) = std::mem::replace(&mut self.state, State::Done) else {
            return Action::Continue;
        };
        let bytes = match size {
            0 => Ok(Vec::new()),
            size => host::buffer(BufferType::HttpResponseBody, size),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(refused) => {
                settings.refused(refused);
                // Bytes that we cannot read pass, after the bytes that were held.
                exchange.put_answer(0, &turn.lose());
                return Action::Continue;
            }
        };
        let mut now = turn.feed(&bytes);
        if !end_of_stream {
            if !self.keeps(&settings, &mut turn) {
                now.extend(turn.stop());
                self.room.resize(0);
            }
            let waits = now.is_empty() && turn.keeps_bytes();
            exchange.answer.read(&now);
            if now != bytes && !exchange.put_answer(size, &now) {
                return Action::Continue;
            }
            self.state = State::Reading(turn);
            // When trailers end a paused answer, its buffer can still be written to.
            return if waits { Action::Pause } else { Action::Continue };
        }
        let last = match turn.end() {
            RoundOutcome::Done(rest) => {
                now.extend(rest);
                Some(self.end(&turn, now))
            }
            next => {
                self.ready = now;
                let host = Host { settings: &settings, sent, record: CallerRecord::of(exchange) };
                self.step(host, turn, next)
            }
        };
        let Some(last) = last else {
            exchange.put_answer(size, b"");
            return Action::Pause;
        };
        exchange.answer.read(&last);
        if last != bytes {
            exchange.put_answer(size, &last);
        }
        Action::Continue
    }

    /// Takes a whole answer that replaces the one that has come. `Some`: these are all its bytes for the
    /// client.
    pub(crate) fn on_whole(
        &mut self,
        exchange: &Exchange,
        sent: Option<&mut SentRequest>,
        stream: bool,
        body: Vec<u8>,
    ) -> Option<Vec<u8>> {
        if !self.is_armed() {
            return Some(body);
        }
        let mut turn = ToolLoop::new(self.api, stream, self.tools);
        self.ready = turn.feed(&body);
        let next = turn.end();
        let host = Host { settings: &exchange.settings, sent, record: CallerRecord::of(exchange) };
        self.step(host, turn, next)
    }

    /// Takes the sidecar's answer to one of the calls; `None`: it failed. Returns the last bytes for the
    /// client if the answer ends with it.
    pub(crate) fn on_sidecar_answer(
        &mut self,
        settings: &Settings,
        sent: Option<&mut SentRequest>,
        token: u32,
        answer: Option<&[u8]>,
    ) -> Option<Vec<u8>> {
        let State::Retrieving { given, calls, .. } = &mut self.state else { return None };
        let at = calls.iter().position(|call| call.token == token)?;
        let SidecarCall { place, tool, .. } = calls.swap_remove(at);
        let result = match tool {
            OwnTool::Retrieve => retrieved(settings, answer),
            OwnTool::Memory => Some(own_tools::result(settings, answer)),
        };
        if let (Some(given), Some(result)) = (given.get_mut(place), result) {
            if self.room.grow(result.text.len()) {
                *given = Some(result);
            } else {
                settings.metrics.no_room();
                *given = Some(ToolResult::error(NO_ROOM));
            }
        }
        if !calls.is_empty() {
            return None;
        }
        let State::Retrieving { turn, given, .. } = std::mem::replace(&mut self.state, State::Done) else {
            return None;
        };
        self.go_on(Host { settings, sent, record: CallerRecord::default() }, turn, given)
    }

    /// Takes the provider's answer to a request to go on; `None`: there is none. Returns the last bytes for
    /// the client if the answer ends with it.
    pub(crate) fn on_continued(
        &mut self,
        exchange: &mut Exchange,
        sent: Option<&mut SentRequest>,
        token: u32,
        answer: Option<HttpAnswer>,
    ) -> Option<Vec<u8>> {
        if !self.waits_for_http(token) {
            return None;
        }
        let State::Continuing { mut turn, .. } = std::mem::replace(&mut self.state, State::Done) else {
            return None;
        };
        if let Some(answer) = &answer {
            let now = exchange.settings.now();
            exchange.answer.renew_rate_limits(answer.headers(), now);
        }
        let next = match answer.filter(|answer| answer.is_answer(turn.is_stream())) {
            Some(answer) => turn.continued(&answer.body),
            None => {
                exchange.settings.metrics.round_failed();
                RoundOutcome::Done(turn.give_up())
            }
        };
        let host = Host { settings: &exchange.settings, sent, record: CallerRecord::of(exchange) };
        self.step(host, turn, next)
    }

    /// Writes the rounds that the client has not seen into the record.
    pub(crate) fn note_hidden(&self, exchange: &mut Exchange) {
        exchange.record.retrievals.clone_from(&self.retrievals.borrow());
        let rounds = self.hidden.traced.saturating_add(self.hidden.withheld);
        if rounds > 0 {
            exchange.record.hidden_rounds = rounds;
            exchange.settings.metrics.hidden(self.hidden);
        }
    }
}

/// The original from the sidecar's answer.
fn retrieved(settings: &Settings, answer: Option<&[u8]>) -> Option<ToolResult> {
    let response = answer.and_then(|bytes| RetrieveResponse::decode(bytes).ok());
    let response = response.filter(|response| response.found);
    settings.metrics.retrieved(response.is_some());
    response.map(|response| ToolResult::of(&response.content))
}
