//! One request and its answer: what is known about it, and the record at its end.

use std::rc::Rc;

use headroom_api::forwarded_tokens;
use headroom_api::names::{is_probe, outcome_name};
use headroom_api::v1::{RequestOutcome, RequestRecord, Timings};
use headroom_providers::route::Route;

use crate::deferred::Later;
use crate::encoding::Encoding;
use crate::follow::Following;
use crate::host::{self, Refused};
use crate::recovery::Recovery;
use crate::report::Told;
use crate::request::Body;
use crate::response::{Answer, difference};
use crate::root::Settings;
use crate::rules::Treatment;
use crate::sent::{Head, HttpAnswer, Sent};
use crate::session::Session;
use crate::work::Work;

/// The HTTP context of the filter. `request.rs` and `response.rs` hold what it does in each phase.
pub(crate) struct Stream {
    /// The host's number of the context.
    pub(crate) id: u32,
    pub(crate) settings: Rc<Settings>,
    pub(crate) phase: Phase,
    /// `None` until the request turns out to be ours.
    pub(crate) record: Option<RequestRecord>,
    /// Names of the compressors that took at least one block, in order, each once.
    pub(crate) compressors: Vec<&'static str>,
    pub(crate) clock: Clock,
    pub(crate) answer: Answer,
    /// Until the request leaves, where it could have to be sent once more.
    pub(crate) head: Option<Head>,
    /// From then on.
    pub(crate) sent: Option<Sent>,
    /// The provider has refused the request, and may have been sent it once more.
    pub(crate) recovery: Option<Recovery>,
    /// The filter has changed it, and thinking comes back in it.
    pub(crate) is_recoverable: bool,
    /// It leaves with the header that a recovery needs.
    pub(crate) has_beta: bool,
    /// It is a request of its own, and not a question about one.
    pub(crate) is_reported: bool,
    pub(crate) following: Option<Box<Following>>,
    /// Where the stream is a WebSocket session: its requests come one after another.
    pub(crate) session: Option<Box<Session>>,
    /// What is still to be worked out for the record.
    pub(crate) later: Option<Later>,
}

/// What a stream knows of one request and its answer. A WebSocket session has many of them.
#[derive(Default)]
pub(crate) struct Exchange {
    record: Option<RequestRecord>,
    compressors: Vec<&'static str>,
    clock: Clock,
    answer: Answer,
    later: Option<Later>,
}

impl Exchange {
    pub(crate) fn new(record: RequestRecord, clock: Clock, answer: Answer) -> Self {
        Self { record: Some(record), clock, answer, ..Self::default() }
    }

    /// Whether it was told of, or never was one.
    pub(crate) fn is_over(&self) -> bool {
        self.record.is_none()
    }
}

/// How far the request is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing to do, now or later.
    Passing,
    /// Waiting for the end of the body.
    Collecting {
        route: Route,
        /// What to do with the body; its mode is never `Off`.
        treatment: Treatment,
        /// The headers wait too.
        held: bool,
        /// The client has compressed it.
        encoding: Option<Encoding>,
        /// Bytes that are there.
        size: usize,
    },
    /// Waiting, with a complete body, until fewer are in work.
    Waiting(Body),
    /// The body is in work, and has paused.
    Working(Box<Work>),
}

/// Points in time, in nanoseconds of the host's clock; 0 where the host gave none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    pub(crate) headers: u64,
    pub(crate) body_complete: u64,
    pub(crate) forwarded: u64,
    pub(crate) first_byte: u64,
    pub(crate) parse_us: u32,
    pub(crate) compress_us: u32,
}

impl Stream {
    pub(crate) fn new(id: u32, settings: Rc<Settings>) -> Self {
        Self {
            id,
            settings,
            phase: Phase::Passing,
            record: None,
            compressors: Vec::new(),
            clock: Clock::default(),
            answer: Answer::default(),
            head: None,
            sent: None,
            recovery: None,
            is_recoverable: false,
            has_beta: false,
            is_reported: true,
            following: None,
            session: None,
            later: None,
        }
    }

    /// Whether this stream has made the gRPC call with this token and waits for its answer.
    pub(crate) fn waits_for_grpc(&self, token: u32) -> bool {
        self.following.as_ref().is_some_and(|following| following.waits_for_grpc(token))
    }

    /// As [`Stream::waits_for_grpc`] for an HTTP call.
    pub(crate) fn waits_for_http(&self, token: u32) -> bool {
        self.following.as_ref().is_some_and(|following| following.waits_for_http(token))
            || self.recovery.as_ref().is_some_and(|recovery| recovery.waits_for(token))
    }

    /// The provider's answer to a call of this stream; `None`: there is none.
    pub(crate) fn on_http_answer(&mut self, token: u32, answer: Option<HttpAnswer>) {
        if self.recovery.as_ref().is_some_and(|recovery| recovery.waits_for(token)) {
            self.on_recovered(answer);
        } else {
            self.on_continued(token, answer);
        }
    }

    /// The sidecar's answer to a call of this stream; `None`: the call failed.
    pub(crate) fn on_grpc_answer(&mut self, token: u32, answer: Option<&[u8]>) {
        self.on_retrieved(token, answer);
    }

    /// Writes the request's outcome where the operator can see it: the record and the access log.
    pub(crate) fn settle(&mut self, outcome: RequestOutcome) {
        let Some(record) = &mut self.record else { return };
        record.set_outcome(outcome);
        let mut properties = vec![("headroom.outcome", outcome_name(outcome).to_owned())];
        if let Some(tokens) = &record.tokens {
            let forwarded = forwarded_tokens(outcome, tokens);
            properties.push(("headroom.tokens_before", tokens.before.to_string()));
            properties.push(("headroom.tokens_after", forwarded.to_string()));
            properties.push(("headroom.tokens_saved", difference(tokens.before, forwarded).to_string()));
        }
        for (name, value) in properties {
            if let Err(refused) = host::set_property(name, value.as_bytes()) {
                self.settings.refused(refused);
            }
        }
    }

    /// As [`Stream::settle`] for a request whose rewrite the host did not allow: it leaves as it came.
    pub(crate) fn settle_refused(&mut self, refused: Refused) {
        self.settings.refused(refused);
        if let Some(record) = &mut self.record {
            record.blocks.clear();
            record.blocks_left_out = 0;
            record.body_bytes_after = record.body_bytes_before;
            if let Some(tokens) = &mut record.tokens {
                tokens.after = tokens.before;
                tokens.tool_outputs_after = tokens.tool_outputs_before;
                tokens.tool_outputs_new_after = tokens.tool_outputs_new_before;
            }
        }
        self.settle(RequestOutcome::HostError);
    }

    /// Puts another request and its answer in the place of those at hand, and gives these.
    pub(crate) fn exchange(&mut self, other: Exchange) -> Exchange {
        Exchange {
            record: std::mem::replace(&mut self.record, other.record),
            compressors: std::mem::replace(&mut self.compressors, other.compressors),
            clock: std::mem::replace(&mut self.clock, other.clock),
            answer: std::mem::replace(&mut self.answer, other.answer),
            later: std::mem::replace(&mut self.later, other.later),
        }
    }

    /// The end of the stream, however it came. Safe to repeat.
    pub(crate) fn end(&mut self) {
        self.leave_work();
        self.end_session();
        self.finish();
    }

    /// The end of a request, however it came. Safe to repeat.
    pub(crate) fn finish(&mut self) {
        self.head = None;
        self.sent = None;
        self.recovery = None;
        self.note_hidden();
        self.following = None;
        if self.record.is_none() {
            return;
        }
        if !matches!(std::mem::replace(&mut self.phase, Phase::Passing), Phase::Passing) {
            self.settle(RequestOutcome::Aborted);
        }
        let Some(mut record) = self.record.take() else { return };
        if !self.is_reported {
            return;
        }
        self.answer.describe(&mut record);
        let Clock { headers, body_complete, forwarded, first_byte, parse_us, compress_us } = self.clock;
        record.timings = Some(Timings {
            body_wait_us: micros(headers, body_complete),
            compress_us,
            overhead_us: micros(body_complete, forwarded),
            first_byte_us: micros(forwarded, first_byte),
            total_us: micros(headers, self.settings.now()),
            parse_us,
            ..Timings::default()
        });
        if !is_probe(&record) {
            self.settings.metrics.request(&record);
        }
        let logged = self.answer.transcript.take().map(|it| it.logged(&record.request_id));
        let told = Told { record, logged };
        if let Some(told) = self.settings.requests.deferred.end(told, self.later.take(), &self.settings) {
            self.settings.report(told);
        }
    }
}

/// Microseconds between two points in time; 0 where one is missing.
pub(crate) fn micros(from: u64, to: u64) -> u32 {
    if from == 0 {
        return 0;
    }
    u32::try_from(to.saturating_sub(from) / 1_000).unwrap_or(u32::MAX)
}
