//! The request: headers, body, rewrite.

use std::borrow::Cow;

use headroom_api::v1::{BlockRecord, RequestOutcome, RequestRecord, Tokens};
use headroom_compress::{BlockOutcome, Outcome, Unread, compress};

use crate::asked::{MAX_NAME_BYTES, RequestHeaders};
use crate::config::{AcceptEncoding, BodyMode, Mode};
use crate::hold;
use crate::host::{self, Action, Buffer, Map, Refused};
use crate::route::Route;
use crate::stream::{Phase, Stream, micros};

impl Stream {
    /// Matches the request and decides whether its body has to be waited for.
    pub(crate) fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        self.clock.headers = self.settings.now();
        let headers = host::headers(Map::Request).map_or_else(
            |refused| {
                self.settings.refused(refused);
                RequestHeaders::unseen()
            },
            |headers| RequestHeaders::read(&headers, &self.settings.config),
        );
        for name in &headers.ours {
            if let Err(refused) = host::remove_header(Map::Request, name) {
                self.settings.refused(refused);
            }
        }
        let Some(route) = headers.route else { return Action::Continue };

        self.record = Some(RequestRecord {
            request_id: self.settings.next_request_id(),
            started_unix_ms: i64::try_from(self.clock.headers / 1_000_000).unwrap_or_default(),
            provider: route.api.provider().to_owned(),
            api: route.api.name().to_owned(),
            model: name(route.model.as_deref().unwrap_or_default()),
            stack: headers.stack,
            tenant: headers.tenant,
            project: self.settings.config.project.clone(),
            body_bytes_before: headers.content_length.unwrap_or_default(),
            body_bytes_after: headers.content_length.unwrap_or_default(),
            ..RequestRecord::default()
        });
        self.clock.forwarded = self.clock.headers;

        if headers.mode == Mode::Off {
            self.settle(RequestOutcome::Bypassed);
            return Action::Continue;
        }
        if self.settings.config.accept_encoding == AcceptEncoding::Identity {
            // Without effect on the request itself, so a refusal only costs the usage figures.
            if let Err(refused) = host::set_header(Map::Request, "accept-encoding", b"identity") {
                self.settings.refused(refused);
            }
        }
        let cap = self.settings.config.engine.max_body_bytes as u64;
        let passed = if end_of_stream {
            Some(RequestOutcome::Empty)
        } else if headers.encoded {
            Some(RequestOutcome::Encoded)
        } else if headers.content_length.is_some_and(|length| length > cap) {
            Some(RequestOutcome::TooLarge)
        } else {
            None
        };
        if let Some(outcome) = passed {
            self.settle(outcome);
            return Action::Continue;
        }

        // An audited body keeps its length, so its headers can go.
        let held = self.settings.config.body_mode == BodyMode::Hold
            && headers.mode == Mode::Compress
            && self.settings.hold.usable();
        if !held
            && headers.mode == Mode::Compress
            && headers.content_length.is_some()
            && let Err(refused) = host::remove_header(Map::Request, b"content-length")
        {
            self.settle_refused(refused);
            return Action::Continue;
        }
        self.phase = Phase::Collecting { route, mode: headers.mode, held, size: 0 };
        if held { Action::Pause } else { Action::Continue }
    }

    /// Collects the body: looks only at its size until it is complete. While we pause, `size` is the
    /// size of all that has come.
    pub(crate) fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Phase::Collecting { size: collected, held, .. } = &mut self.phase else {
            return Action::Continue;
        };
        *collected = size;
        if *held {
            self.settings.hold.proven();
        }
        if size > self.settings.config.engine.max_body_bytes {
            self.phase = Phase::Passing;
            self.forwarded(size);
            self.settle(RequestOutcome::TooLarge);
            return Action::Continue;
        }
        if !end_of_stream {
            return Action::Pause;
        }
        self.body_complete();
        Action::Continue
    }

    /// With trailers the body's own end is never announced.
    pub(crate) fn on_request_trailers(&mut self) -> Action {
        self.body_complete();
        Action::Continue
    }

    /// Ends a hold that the host does not support: the request goes on as it came. False when it is not
    /// held, or not long enough to tell.
    pub(crate) fn release(&mut self, now: u64) -> bool {
        let stuck = matches!(self.phase, Phase::Collecting { held: true, size: 0, .. })
            && now.saturating_sub(self.clock.headers) >= hold::GRACE_NS;
        if stuck {
            self.phase = Phase::Passing;
            self.settle(RequestOutcome::HostError);
        }
        stuck
    }

    fn body_complete(&mut self) {
        let Phase::Collecting { route, mode, held, size } =
            std::mem::replace(&mut self.phase, Phase::Passing)
        else {
            return;
        };
        self.clock.body_complete = self.settings.now();
        self.forwarded(size);
        if size == 0 {
            self.settle(RequestOutcome::Empty);
        } else {
            match self.rewrite(&route, mode, held, size) {
                Ok(outcome) => self.settle(outcome),
                Err(refused) => self.settle_refused(refused),
            }
        }
        self.clock.forwarded = self.settings.now();
    }

    fn rewrite(
        &mut self,
        route: &Route,
        mode: Mode,
        held: bool,
        size: usize,
    ) -> host::Result<RequestOutcome> {
        let body = host::buffer(Buffer::RequestBody, size)?;
        if body.len() != size {
            // Part of a body must never be taken for the whole.
            return Err(Refused { call: "get_buffer", status: SHORT });
        }
        let request = headroom_compress::Request {
            model: route.model.as_deref(),
            ..headroom_compress::Request::new(route.api)
        };
        let started = self.settings.now();
        let outcome = {
            let mut memo = self.settings.memo.borrow_mut();
            compress(&body, &request, &self.settings.config.engine, &mut memo)
        };
        self.clock.compress_us = micros(started, self.settings.now());
        self.describe(&outcome);
        match (outcome.unread, &outcome.body) {
            (Some(Unread::TooLarge), _) => Ok(RequestOutcome::TooLarge),
            (Some(Unread::NotUnderstood), _) => Ok(RequestOutcome::NotUnderstood),
            (None, _) if mode != Mode::Compress => Ok(RequestOutcome::Audited),
            (None, Cow::Borrowed(_)) => Ok(RequestOutcome::Unchanged),
            (None, Cow::Owned(replacement)) => {
                forward(&body, replacement, held)?;
                if let Some(record) = &mut self.record {
                    record.body_bytes_after = replacement.len() as u64;
                }
                Ok(RequestOutcome::Compressed)
            }
        }
    }

    /// Notes the size of a body that leaves as it came.
    fn forwarded(&mut self, size: usize) {
        if let Some(record) = &mut self.record {
            record.body_bytes_before = record.body_bytes_before.max(size as u64);
            record.body_bytes_after = record.body_bytes_before;
        }
    }

    /// Writes what the engine says into the record.
    fn describe(&mut self, outcome: &Outcome<'_>) {
        let Some(record) = &mut self.record else { return };
        if let Some(model) = &outcome.model {
            record.model = name(model);
        }
        record.conversation_id = outcome.conversation_id.clone().unwrap_or_default();
        if outcome.unread.is_some() {
            return;
        }
        let tokens = &outcome.tokens;
        record.tokens = Some(Tokens {
            encoding: tokens.encoding.name().to_owned(),
            before: tokens.before,
            after: tokens.after,
            tool_outputs_before: tokens.tool_outputs_before,
            tool_outputs_after: tokens.tool_outputs_after,
            estimate: tokens.estimate,
            tool_outputs_minified: 0,
        });
        self.compressors = outcome
            .blocks
            .iter()
            .filter_map(|block| match block.outcome {
                BlockOutcome::Compressed { compressor, .. } => Some(compressor.name()),
                BlockOutcome::Skipped(_) => None,
            })
            .collect();
        self.compressors.sort_unstable();
        self.compressors.dedup();

        let cap = self.settings.blocks_per_record();
        // The newest blocks say most: the others were in earlier records of the conversation.
        let left_out = outcome.blocks.len().saturating_sub(cap);
        record.blocks_left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
        record.blocks = outcome
            .blocks
            .iter()
            .skip(left_out)
            .map(|block| BlockRecord {
                tool: name(&block.tool),
                kind: block.kind.name().to_owned(),
                outcome: block.outcome.name(),
                tokens_before: block.tokens_before,
                tokens_after: block.tokens_after,
                memo: block.memo,
            })
            .collect();
    }
}

/// In the place of a host's status: it gave fewer bytes than it had announced.
const SHORT: u32 = u32::MAX;

/// Puts the replacement where the body is. With headers held, their length goes first: while it can
/// still be undone.
fn forward(body: &[u8], replacement: &[u8], held: bool) -> host::Result<()> {
    if held {
        host::set_header(Map::Request, "content-length", replacement.len().to_string().as_bytes())?;
    }
    let replaced = host::replace_buffer(Buffer::RequestBody, body.len(), replacement);
    if held && replaced.is_err() {
        host::set_header(Map::Request, "content-length", body.len().to_string().as_bytes())?;
    }
    replaced
}

/// A name out of a body, cut to a length that a table can show.
fn name(text: &str) -> String {
    text.chars().take(MAX_NAME_BYTES).filter(|c| !c.is_control()).collect()
}
