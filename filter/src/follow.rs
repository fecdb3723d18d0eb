//! Answers calls of `headroom_retrieve` while the model's answer comes by: the host's side of the tool
//! loop, whose rules are in `tool_loop`.
//!
//! Only for requests to which the filter has added the tool itself. The answer's bytes go through a
//! [`Turn`]; at its end the answer is paused, and the provider is asked to go on with the text: over the same
//! cluster, with the client's own headers. The text comes from the request itself; a hash of another conversation
//! is looked up in the sidecar's store. Envoy hands over the answer to such a call as a whole, so what comes after
//! the first round of a stream reaches the client in one piece.

use headroom_api::v1::{RetrieveRequest, RetrieveResponse};
use headroom_providers::Api;
use headroom_providers::answer::Wanted;
use prost::Message as _;

use crate::host::{self, Action, Buffer};
use crate::memory::Room;
use crate::originals::Originals;
use crate::root::Settings;
use crate::rpc;
use crate::sent::{HttpAnswer, Sent};
use crate::stream::Stream;
use crate::tool_loop::{After, Given, Hidden, Next, Turn};

/// Originals that one round may ask for.
const MAX_WANTED: usize = 16;

/// What the model reads instead of an original that cannot be found.
const MISSING: &str = "[headroom: there is no text with this hash; call the tool that gave it again]";
const TOO_MANY: &str = "[headroom: too many at once; ask again for this one]";

/// One answer that is followed.
pub(crate) struct Following {
    api: Api,
    /// `None`: there was no room to keep them.
    originals: Option<Originals>,
    state: State,
    /// For the client, while the answer is paused.
    ready: Vec<u8>,
    hidden: Hidden,
    /// For what is kept of the answer, and for texts on their way to the model.
    room: Room,
}

enum State {
    /// The answer has not begun.
    Armed,
    Reading(Turn),
    Retrieving {
        turn: Turn,
        given: Vec<Option<Given>>,
        /// Calls to the sidecar, by token, and what they are for.
        calls: Vec<(u32, usize)>,
    },
    Continuing {
        turn: Turn,
        token: u32,
    },
    Done,
}

/// What a step of the tool loop works with.
struct Host<'a> {
    settings: &'a Settings,
    sent: Option<&'a mut Sent>,
    tenant: &'a str,
}

impl Following {
    /// For the answer to a request that has just left.
    pub(crate) fn new(settings: &Settings, api: Api, originals: Option<Originals>) -> Self {
        let room = settings.requests.memory.no_room();
        Self { api, originals, state: State::Armed, ready: Vec::new(), hidden: Hidden::default(), room }
    }

    pub(crate) fn waits_for_grpc(&self, token: u32) -> bool {
        matches!(&self.state, State::Retrieving { calls, .. } if calls.iter().any(|(of, _)| *of == token))
    }

    pub(crate) fn waits_for_http(&self, token: u32) -> bool {
        matches!(self.state, State::Continuing { token: of, .. } if of == token)
    }

    /// Whether the answer has not begun yet.
    pub(crate) fn is_armed(&self) -> bool {
        matches!(self.state, State::Armed)
    }

    /// The answer begins.
    pub(crate) fn begin(&mut self, stream: bool) {
        self.state = State::Reading(Turn::new(self.api, stream));
    }

    /// The next step after a round. `Some`: all that is left for the client.
    fn step(&mut self, host: Host<'_>, mut turn: Turn, next: Next) -> Option<Vec<u8>> {
        match next {
            Next::Done(rest) => Some(self.end(&turn, rest)),
            Next::Retrieve(_) if host.sent.is_none() || !self.keeps(host.settings, &mut turn) => {
                Some(self.fail(host.settings, turn))
            }
            Next::Retrieve(wanted) => {
                let (given, calls) = self.retrieve(&host, &wanted, !turn.is_beside());
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

    /// Finds the texts; what the request does not have is asked of the store where `ask_store` allows it.
    fn retrieve(
        &self,
        host: &Host<'_>,
        wanted: &[Wanted],
        ask_store: bool,
    ) -> (Vec<Option<Given>>, Vec<(u32, usize)>) {
        let settings = host.settings;
        let mut calls = Vec::new();
        let given = wanted
            .iter()
            .enumerate()
            .map(|(place, Wanted { asked, .. })| {
                if place >= MAX_WANTED {
                    return Some(Given { text: TOO_MANY.to_owned(), source: None });
                }
                let found = self.originals.as_ref().and_then(|originals| originals.find(asked));
                if found.is_some() {
                    settings.metrics.retrieved(true);
                    return found;
                }
                let control_plane = settings.config.control_plane.as_ref().filter(|_| ask_store);
                let request = RetrieveRequest {
                    tenant: host.tenant.to_owned(),
                    hash: asked.hash.clone(),
                    query: asked.query.clone(),
                    lines: asked.lines.clone(),
                };
                match control_plane.map(|it| rpc::retrieve(it, &request.encode_to_vec())) {
                    Some(Ok(token)) => {
                        calls.push((token, place));
                        return None;
                    }
                    Some(Err(refused)) => settings.refused(refused),
                    None => {}
                }
                settings.metrics.retrieved(false);
                None
            })
            .collect();
        (given, calls)
    }

    /// Goes on with the texts. `Some`: this is left for the client.
    fn go_on(&mut self, host: Host<'_>, mut turn: Turn, given: Vec<Option<Given>>) -> Option<Vec<u8>> {
        let settings = host.settings;
        let given: Vec<Given> = given
            .into_iter()
            .map(|it| it.unwrap_or_else(|| Given { text: MISSING.to_owned(), source: None }))
            .collect();
        let calls = self.originals.as_ref().map_or(0, |originals| originals.calls(self.api));
        let sent = host.sent?;
        let token = match turn.give(&sent.body, &given, calls) {
            Some(After::Done(rest)) => return Some(self.end(&turn, rest)),
            Some(After::Ask(body)) => {
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

    /// Whether there is room for what is kept of the answer, and nothing else.
    fn keeps(&mut self, settings: &Settings, turn: &mut Turn) -> bool {
        let keeps = self.room.resize(turn.kept().saturating_add(self.ready.len()));
        if !keeps {
            settings.metrics.no_room();
        }
        keeps
    }

    /// The last bytes for the client where a round cannot be made.
    fn fail(&mut self, settings: &Settings, mut turn: Turn) -> Vec<u8> {
        settings.metrics.round_failed();
        let rest = turn.give_up();
        self.end(&turn, rest)
    }

    /// The last bytes for the client.
    fn end(&mut self, turn: &Turn, rest: Vec<u8>) -> Vec<u8> {
        self.hidden = turn.hidden();
        self.state = State::Done;
        self.room.resize(0);
        let mut last = std::mem::take(&mut self.ready);
        last.extend(rest);
        last
    }
}

impl Stream {
    /// A piece of an answer that is followed.
    pub(crate) fn follow(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(following) = &mut self.following else { return Action::Continue };
        let State::Reading(mut turn) = std::mem::replace(&mut following.state, State::Done) else {
            return Action::Continue;
        };
        let bytes = match size {
            0 => Ok(Vec::new()),
            size => host::buffer(Buffer::ResponseBody, size),
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(refused) => {
                self.settings.refused(refused);
                // What cannot be seen passes, behind what was held before it.
                self.put(0, &turn.lose());
                return Action::Continue;
            }
        };
        let mut now = turn.feed(&bytes);
        if !end_of_stream {
            if !following.keeps(&self.settings, &mut turn) {
                now.extend(turn.stop());
                following.room.resize(0);
            }
            let waits = now.is_empty() && turn.keeps_bytes();
            self.answer.read(&now);
            if now != bytes && !self.put(size, &now) {
                return Action::Continue;
            }
            if let Some(following) = &mut self.following {
                following.state = State::Reading(turn);
            }
            // The buffer of a paused answer can still be written to when trailers end it.
            return if waits { Action::Pause } else { Action::Continue };
        }
        let last = match turn.end() {
            Next::Done(rest) => {
                now.extend(rest);
                Some(following.end(&turn, now))
            }
            next => {
                following.ready = now;
                self.step(turn, next)
            }
        };
        let Some(last) = last else {
            self.put(size, b"");
            return Action::Pause;
        };
        self.answer.read(&last);
        if last != bytes {
            self.put(size, &last);
        }
        Action::Continue
    }

    /// A whole answer in the place of the one that has come. `Some`: all of it is here.
    pub(crate) fn follow_whole(&mut self, stream: bool, body: Vec<u8>) -> Option<Vec<u8>> {
        let Some(following) = self.following.as_mut().filter(|following| following.is_armed()) else {
            return Some(body);
        };
        let mut turn = Turn::new(following.api, stream);
        following.ready = turn.feed(&body);
        let next = turn.end();
        self.step(turn, next)
    }

    fn step(&mut self, turn: Turn, next: Next) -> Option<Vec<u8>> {
        let tenant = self.record.as_ref().map(|record| record.tenant.clone()).unwrap_or_default();
        let host = Host { settings: &self.settings, sent: self.sent.as_mut(), tenant: &tenant };
        self.following.as_mut()?.step(host, turn, next)
    }

    /// The sidecar's answer to one of the calls for originals; `None`: it failed.
    pub(crate) fn on_retrieved(&mut self, token: u32, answer: Option<&[u8]>) {
        let Some(following) = &mut self.following else { return };
        let State::Retrieving { given, calls, .. } = &mut following.state else { return };
        let Some(at) = calls.iter().position(|(of, _)| *of == token) else { return };
        let (_, place) = calls.swap_remove(at);
        let response = answer.and_then(|bytes| RetrieveResponse::decode(bytes).ok());
        let response = response.filter(|response| response.found);
        self.settings.metrics.retrieved(response.is_some());
        if let (Some(given), Some(response)) = (given.get_mut(place), response) {
            if following.room.grow(response.content.len()) {
                *given = Some(Given { text: response.content, source: None });
            } else {
                self.settings.metrics.no_room();
            }
        }
        if !calls.is_empty() {
            return;
        }
        if let State::Retrieving { turn, given, .. } = std::mem::replace(&mut following.state, State::Done) {
            let host = Host { settings: &self.settings, sent: self.sent.as_mut(), tenant: "" };
            if let Some(last) = following.go_on(host, turn, given) {
                self.end_followed(&last);
            }
        }
    }

    /// The provider's answer to a request to go on; `None`: there is none.
    pub(crate) fn on_continued(&mut self, token: u32, answer: Option<HttpAnswer>) {
        let Some(following) = &mut self.following else { return };
        if !following.waits_for_http(token) {
            return;
        }
        let State::Continuing { mut turn, .. } = std::mem::replace(&mut following.state, State::Done) else {
            return;
        };
        let next = match answer.filter(|answer| answer.is_answer(turn.is_stream())) {
            Some(answer) => turn.continued(&answer.body),
            None => {
                self.settings.metrics.round_failed();
                Next::Done(turn.give_up())
            }
        };
        if let Some(last) = self.step(turn, next) {
            self.end_followed(&last);
        }
    }

    /// Lets a paused answer go with its last bytes.
    fn end_followed(&mut self, last: &[u8]) {
        self.note_hidden();
        self.following = None;
        if self.recovery.is_some() {
            self.end_recovery(last);
            return;
        }
        self.answer.read(last);
        self.put(0, last);
        if let Err(refused) = host::continue_response() {
            self.settings.refused(refused);
        }
    }

    /// Writes into the record what the client has not seen.
    pub(crate) fn note_hidden(&mut self) {
        let Some(following) = &self.following else { return };
        let hidden = following.hidden;
        let rounds = hidden.traced.saturating_add(hidden.withheld);
        if let Some(record) = self.record.as_mut().filter(|_| rounds > 0) {
            record.hidden_rounds = rounds;
            self.settings.metrics.hidden(hidden);
        }
    }

    /// Puts bytes in the place of the first `size` of the answer's buffer, and says whether it worked.
    pub(crate) fn put(&self, size: usize, bytes: &[u8]) -> bool {
        if size == 0 && bytes.is_empty() {
            return true;
        }
        let put = host::replace_buffer(Buffer::ResponseBody, size, bytes);
        put.map_err(|refused| self.settings.refused(refused)).is_ok()
    }
}
