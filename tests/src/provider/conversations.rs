//! The conversations that the provider follows: it checks each request against itself and the previous one.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::answer::{Api, Part};
use super::binding::{self, Dropped, Reason};
use super::boundaries::Boundaries;
use super::plan::Plan;
use super::report::{Report, Retrieval};
use super::transcript::{RETRIEVE, Transcript, is_ours};

/// A conversation, or several under one name, and its known state.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) plan: Plan,
    /// Where old turns may be rewritten; `None`: nowhere.
    pub(super) boundaries: Option<Boundaries>,
    report: Report,
    /// By its first message.
    threads: HashMap<String, Thread>,
    /// The ids of all calls that the provider has made.
    issued: HashSet<String>,
    /// The model's calls of our tool in its last answer, and the number of steps before them.
    pending: (Vec<Value>, usize),
    /// Whether some of these came after calls of the client's tools.
    pending_behind: bool,
    /// The calls that it has to repeat.
    again: Vec<Value>,
    /// OpenAI's stored responses: the conversation up to each, inclusive.
    stored: HashMap<String, Vec<Value>>,
    responses: usize,
}

/// Whether old turns may be rewritten in a request.
#[derive(Clone, Copy, Debug)]
enum Boundary {
    No,
    Now,
    /// Only if the request before it was a continuation.
    BehindContinuation,
}

/// The last requests of a conversation.
#[derive(Debug, Default)]
struct Thread {
    /// The last request from the client.
    asked: Messages,
    /// The last request, which may be one of the filter's own.
    last: Messages,
    last_is_continuation: bool,
    /// Whether the filter has answered a call of memory's tools since the client's last request.
    remembered: bool,
    /// Whether the last answer called the client's tools.
    ended_with_calls: bool,
}

/// The required beginning of a request that continues this one.
#[derive(Clone, Debug, Default)]
struct Messages {
    system: Value,
    tools: Vec<Value>,
    messages: Vec<Value>,
    /// The messages byte for byte; empty if the server has them.
    spelled: Vec<String>,
}

/// The answer to a request.
#[derive(Debug)]
pub(super) enum Reply {
    /// Status 400.
    Refused(String),
    /// An answer.
    Said {
        parts: Vec<Part>,
        transformations: Vec<Value>,
        /// A unique id: Claude Code treats answers with one id as pieces of one answer.
        id: String,
    },
}

/// The arrays of a body, byte for byte.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Spelled<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    #[serde(borrow)]
    contents: Vec<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

impl Followed {
    pub(super) fn new(plan: Plan) -> Self {
        Self { plan, ..Self::default() }
    }

    /// The report so far.
    pub(super) fn report(&self) -> Report {
        let mut report = self.report.clone();
        let pending = self.pending.0.iter().cloned();
        report.retrievals.extend(pending.map(|arguments| Retrieval { arguments, text: None }));
        report
    }

    /// Checks a request and answers it. `has_controls`: it has Anthropic's beta header for bound thinking.
    pub(super) fn reply(&mut self, api: Api, model: &str, bytes: &[u8], has_controls: bool) -> Reply {
        self.report.requests += 1;
        let reply = self.answer(api, model, bytes, has_controls);
        if let Reply::Refused(why) = &reply {
            self.report.refused.push(format!("request {}: {why}", self.report.requests));
        }
        reply
    }

    fn answer(&mut self, api: Api, model: &str, bytes: &[u8], has_controls: bool) -> Reply {
        let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
            return Reply::Refused("the body is no JSON".to_owned());
        };
        let mut items = Vec::new();
        if api == Api::OpenAiResponses {
            items = match self.earlier(&body) {
                Ok(earlier) => earlier,
                Err(why) => return Reply::Refused(why),
            };
            items.extend(binding::responses::items(&body["input"]));
        }
        let transcript = Transcript::read(api, &body, &items);
        if let Some(why) = transcript.unpaired() {
            return Reply::Refused(why);
        }
        let now = Messages::read(api, &body, bytes, &items);
        let boundary = self.boundary(api, &body, &transcript);
        let thread = self.compare(api, &now, &transcript, boundary);
        self.retrieved(&transcript);
        self.report.remembered.extend(transcript.remembered());
        let foreign = transcript
            .calls()
            .filter(|call| !is_ours(&call.name) && !call.id.is_empty() && !self.issued.contains(&call.id));
        self.report.foreign.extend(foreign.map(|call| call.id.clone()));

        let (parts, transformations) = match api {
            Api::Anthropic => {
                let read = binding::anthropic::read(&body, model, has_controls);
                if let Some(mismatch) = read.mismatch()
                    && !read.drops
                {
                    return Reply::Refused(binding::anthropic::refusal(&mismatch.path));
                }
                let dropped = self.dropped(&read.dropped, "thinking_block_dropped");
                let parts = self.plan.parts(api, &transcript, read.thinks, &mut self.again);
                (read.seal(parts), dropped)
            }
            Api::OpenAiChat | Api::BedrockConverse => {
                (self.plan.parts(api, &transcript, false, &mut self.again), Vec::new())
            }
            Api::OpenAiResponses => {
                let read = binding::responses::read(&body, &items, model);
                let dropped = self.dropped(&read.dropped, "reasoning_item_dropped");
                let parts = self.plan.parts(api, &transcript, read.thinks, &mut self.again);
                (read.seal(parts), dropped)
            }
            Api::Gemini => {
                let read = binding::gemini::read(&body, model);
                if let Some(why) = read.refusal {
                    return Reply::Refused(why);
                }
                self.dropped(&read.dropped, "");
                let thinks = body["generationConfig"]["thinkingConfig"]["includeThoughts"] == true;
                let parts = self.plan.parts(api, &transcript, thinks, &mut self.again);
                (read.seal(parts), Vec::new())
            }
        };
        self.said(&parts, &transcript, thread, now);
        let id = self.store(api, &body, items, &parts);
        Reply::Said { parts, transformations, id }
    }

    /// The conversation before a request that continues a stored response.
    fn earlier(&self, body: &Value) -> Result<Vec<Value>, String> {
        let Some(id) = body["previous_response_id"].as_str() else { return Ok(Vec::new()) };
        let stored = self.stored.get(id).cloned();
        stored.ok_or_else(|| format!("Previous response with id '{id}' not found."))
    }

    /// Stores a response if required, and returns its id.
    fn store(&mut self, api: Api, body: &Value, mut items: Vec<Value>, parts: &[Part]) -> String {
        self.responses += 1;
        let name = binding::name_of(&self.responses.to_string());
        let id = match api {
            Api::Anthropic => format!("msg_01{}", &name[..22]),
            Api::OpenAiChat => format!("chatcmpl-{name}"),
            Api::OpenAiResponses | Api::Gemini | Api::BedrockConverse => format!("resp_{name}"),
        };
        if api == Api::OpenAiResponses && body["store"] != false {
            items.extend(parts.iter().map(|part| super::answer::openai_responses::item(part, 0)));
            self.stored.insert(id.clone(), items);
        }
        id
    }

    /// Counts reasoning that the model does not get, and lists it for the answer.
    fn dropped(&mut self, dropped: &[Dropped], kind: &str) -> Vec<Value> {
        for it in dropped {
            match it.reason {
                Reason::ModelMismatch => self.report.of_other_models += 1,
                Reason::PrefixMismatch => {
                    self.report.dropped.push(format!("request {}: {}", self.report.requests, it.path));
                }
            }
        }
        dropped.iter().map(|it| it.transformation(kind)).collect()
    }

    /// Whether old turns may be rewritten in this request. Any request has to be what the engine makes of it. A
    /// continuation does not count: it is the previous request with a round that the client does not see, so what
    /// passes a boundary in it is rewritten in the client's next request.
    fn boundary(&mut self, api: Api, body: &Value, transcript: &Transcript) -> Boundary {
        if transcript.is_continuation() {
            return Boundary::No;
        }
        let expected = self.boundaries.as_ref().and_then(|boundaries| boundaries.expected(api, body));
        let Some(expected) = expected else { return Boundary::No };
        if expected.body != *body {
            let messages = |body: &Value| body["messages"].as_array().cloned().unwrap_or_default();
            let (found, wanted) = (messages(body), messages(&expected.body));
            let same = found.iter().zip(&wanted).take_while(|(one, other)| one == other).count();
            let number = self.report.requests;
            self.report.unexpected.push(format!("request {number}: message {same} of {}", found.len()));
            return Boundary::No;
        }
        if expected.now { Boundary::Now } else { Boundary::BehindContinuation }
    }

    /// Compares a request with the previous one, and returns its conversation; `None`: it belongs to none.
    fn compare(
        &mut self,
        api: Api,
        now: &Messages,
        transcript: &Transcript,
        boundary: Boundary,
    ) -> Option<String> {
        let first = now.messages.first()?.to_string();
        if transcript.tools.is_empty() && !self.threads.contains_key(&first) {
            // A request outside of the conversation: an agent asks for a title, or checks whether the API works.
            return None;
        }
        if !self.threads.contains_key(&first) {
            let from_user = now.messages.iter().find(|message| message["role"] != "system");
            self.report.beginnings.push(from_user.map_or_else(|| first.clone(), ToString::to_string));
        }
        let thread = self.threads.entry(first.clone()).or_default();
        let is_continuation = transcript.is_continuation();
        if !thread.asked.messages.is_empty() {
            self.report.later_requests += 1;
            // A hidden round cannot be carried if the turn ends without calls, in Gemini's format, or with results of
            // memory, which no request contains.
            let is_lost = thread.last_is_continuation
                && !is_continuation
                && (!thread.ended_with_calls || api == Api::Gemini || thread.remembered);
            let before = if is_lost { &thread.asked } else { &thread.last };
            let parts = before.parts_from(now);
            let is_boundary = match boundary {
                Boundary::Now => true,
                Boundary::BehindContinuation => thread.last_is_continuation,
                Boundary::No => false,
            };
            if parts.is_some() && is_boundary {
                self.report.at_boundaries += 1;
            } else if let Some(where_it_parts) = parts {
                let number = self.report.requests;
                self.report.rewritten.push(format!("request {number}: {where_it_parts}"));
            } else if !now.spelled.is_empty() && !now.spelled.starts_with(&before.spelled) {
                self.report.respelled += 1;
            }
        }
        thread.last_is_continuation = is_continuation;
        thread.remembered = is_continuation && (thread.remembered || !transcript.remembered().is_empty());
        Some(first)
    }

    /// The results of the calls of our tool in the last answer.
    fn retrieved(&mut self, transcript: &Transcript) {
        let (pending, behind) = std::mem::take(&mut self.pending);
        let is_behind = std::mem::take(&mut self.pending_behind);
        let mut found = transcript.retrievals(behind.min(transcript.last_answer()));
        for arguments in pending {
            let at = found.iter().position(|(call, _)| call.arguments["hash"] == arguments["hash"]);
            if at.is_none() && is_behind {
                self.report.asked_again += 1;
                self.again.push(arguments);
                continue;
            }
            let text = at.and_then(|at| found.remove(at).1.map(str::to_owned));
            self.report.retrievals.push(Retrieval { arguments, text });
        }
    }

    fn said(&mut self, parts: &[Part], transcript: &Transcript, thread: Option<String>, now: Messages) {
        let mut has_clients = false;
        for part in parts {
            let Part::Call { id, name, arguments, .. } = part else { continue };
            self.issued.insert(id.clone());
            if name == RETRIEVE {
                self.pending.0.push(arguments.clone());
                self.pending_behind |= has_clients;
            } else if !is_ours(name) {
                has_clients = true;
            }
        }
        self.pending.1 = transcript.steps.len();
        let Some(thread) = thread.and_then(|first| self.threads.get_mut(&first)) else { return };
        if !thread.last_is_continuation {
            thread.asked = now.clone();
        }
        thread.last = now;
        thread.ended_with_calls = has_clients;
    }
}

impl Messages {
    fn read(api: Api, body: &Value, bytes: &[u8], items: &[Value]) -> Self {
        let spelled: Spelled<'_> = serde_json::from_slice(bytes).unwrap_or_default();
        let system = ["system", "instructions", "systemInstruction"].map(|key| body[key].clone());
        let array = |key: &str| body[key].as_array().cloned().unwrap_or_default();
        let (messages, spelled) = match api {
            Api::Anthropic | Api::OpenAiChat | Api::BedrockConverse => (array("messages"), spelled.messages),
            Api::Gemini => (array("contents"), spelled.contents),
            Api::OpenAiResponses => {
                let stateless = body["previous_response_id"].is_null();
                let input = spelled.input.filter(|_| stateless).map(RawValue::get).unwrap_or_default();
                (items.to_vec(), serde_json::from_str(input).unwrap_or_default())
            }
        };
        Self {
            system: binding::without_markers(&json!(system)),
            tools: binding::tools(body),
            messages: messages.iter().map(binding::without_markers).collect(),
            spelled: spelled.into_iter().map(|it| it.get().to_owned()).collect(),
        }
    }

    /// Where a later request differs from this one; `None`: it continues this one.
    fn parts_from(&self, later: &Self) -> Option<String> {
        if self.system != later.system {
            return Some("the system prompt is another".to_owned());
        }
        if !later.tools.is_empty() && !later.tools.starts_with(&self.tools) {
            return Some("the tools are not those of before and more".to_owned());
        }
        let pairs = self.messages.iter().zip(&later.messages);
        let same = pairs.take_while(|(one, other)| one == other).count();
        let of = self.messages.len();
        (same < of).then(|| format!("message {same} of {of} is another"))
    }
}
