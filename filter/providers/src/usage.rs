//! What an answer reports about itself: model, usage, stop reason, class of an error. The keys of every
//! provider:
//!
//! | | Anthropic, also on Bedrock | OpenAI Chat, Mistral | OpenAI Responses | Gemini | Bedrock Converse | Cohere |
//! |---|---|---|---|---|---|---|
//! | in a stream, inside | `message` | | `response` | (`response`) | | `delta` |
//! | usage | `usage` | `usage`, `x_groq.usage` | `usage` | `usageMetadata` | `usage` | `usage.billed_units` |
//! | stop reason | `stop_reason`, `delta.stop_reason` | `choices[].finish_reason` | `incomplete_details.reason`, `status` | `candidates[].finishReason`, `promptFeedback.blockReason` | `stopReason` | `finish_reason` |
//! | error | `error.type` | `error.type`, `error.code` | `error.code`, `code` | `error.status` | headers of the frame | |
//! | reasoning left out | `input_transformations` | | `input_transformations` | | | |
//!
//! The names of different providers do not collide, so one reader serves all, and an answer in another format
//! than the request's is read too.

/// The cost of an answer in tokens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Input, without what was read from or written to the cache.
    pub input: u64,
    /// Output, including thinking.
    pub output: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache, for any lifetime.
    pub cache_write: u64,
    /// The part of `cache_write` for five minutes.
    pub cache_write_5m: u64,
    /// The part of `cache_write` for an hour.
    pub cache_write_1h: u64,
    /// The part of `output` that was thinking.
    pub reasoning: u64,
}

/// Reasoning that the provider did not use because the text before it has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PrefixMismatch {
    /// There is none.
    None,
    /// This many blocks were left out.
    LeftOut(u32),
    /// The whole request was refused for this reason.
    Refused,
}

/// The meaning of a key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Key {
    #[default]
    Other,
    /// The object around the message in a streamed event.
    Envelope,
    /// Such an object too, or the text of an error message.
    Message,
    Usage,
    /// In `usage`, an object with parts of other figures.
    InputDetails,
    OutputDetails,
    CacheCreation,
    CacheDetails,
    Billed,
    Choices,
    Error,
    Incomplete,
    Feedback,
    /// What the provider has changed in the request before the model read it.
    Transformations,
    /// A document in base64.
    Bytes,

    /// Input without what was read from or written to the cache.
    InputAlone,
    /// Input including that.
    InputWhole,
    ToolInput,
    Output,
    Thoughts,
    Reasoning,
    CacheRead,
    Cached,
    CacheWrite,
    CacheWritten,
    CacheWrite5m,
    CacheWrite1h,

    Model,
    StopReason,
    Status,
    Reason,
    Type,
    Code,
    Object,
    Ttl,
}

impl Key {
    /// Names that several formats have.
    pub(crate) fn shared(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"message" => Self::Message,
            b"response" => Self::Envelope,
            b"usage" => Self::Usage,
            b"error" => Self::Error,
            b"input_tokens" => Self::InputAlone,
            b"output_tokens" => Self::Output,
            b"model" => Self::Model,
            b"finish_reason" => Self::StopReason,
            b"status" | b"status_code" => Self::Status,
            b"reason" => Self::Reason,
            b"type" => Self::Type,
            b"code" => Self::Code,
            b"object" => Self::Object,
            b"ttl" => Self::Ttl,
            _ => return None,
        })
    }
}

/// An open container.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frame {
    /// The key of the container.
    pub(crate) key: Key,
    pub(crate) array: bool,
}

/// The place of a member in an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Root,
    /// The answer inside an event.
    Enveloped,
    Usage,
    InputDetails,
    OutputDetails,
    CacheCreation,
    CacheDetail,
    Billed,
    Choice,
    Error,
    Incomplete,
    Feedback,
    Transformation,
    Elsewhere,
}

impl Place {
    fn of(open: &[Frame]) -> Self {
        // Gemini streams an array of answers unless asked for events.
        let path = match open {
            [Frame { array: true, .. }, rest @ ..] => rest,
            all => all,
        };
        let (in_answer, enveloped) = match path {
            [_, Frame { key: Key::Envelope | Key::Message, .. }, rest @ ..] => (rest, true),
            [_, rest @ ..] => (rest, false),
            [] => return Self::Elsewhere,
        };
        match in_answer {
            [] if enveloped => Self::Enveloped,
            [] => Self::Root,
            [one] => match one.key {
                Key::Usage => Self::Usage,
                Key::Error => Self::Error,
                Key::Incomplete => Self::Incomplete,
                Key::Feedback => Self::Feedback,
                _ => Self::Elsewhere,
            },
            [one, two] => match (one.key, two.key) {
                (Key::Usage, Key::InputDetails) => Self::InputDetails,
                (Key::Usage, Key::OutputDetails) => Self::OutputDetails,
                (Key::Usage, Key::CacheCreation) => Self::CacheCreation,
                (Key::Usage, Key::Billed) => Self::Billed,
                (Key::Choices, Key::Other) => Self::Choice,
                (Key::Transformations, Key::Other) => Self::Transformation,
                _ => Self::Elsewhere,
            },
            [one, two, _] if one.key == Key::Usage && two.key == Key::CacheDetails => Self::CacheDetail,
            _ => Self::Elsewhere,
        }
    }
}

/// A relevant text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Text {
    Model,
    StopReason,
    /// The status of the whole answer: `completed`, `failed`, …
    Status,
    /// The class of an error; a higher number is the better name.
    ErrorClass(u8),
    RootType,
    RootCode,
    RootObject,
    Ttl,
    /// The error message for people; only its beginning is read.
    Message,
    TransformationType,
    TransformationReason,
}

impl Text {
    /// The meaning of a text under this key; `None`: it is not relevant.
    pub(crate) fn at(open: &[Frame], key: Key) -> Option<Self> {
        // Most texts of an answer have keys without any meaning.
        if matches!(key, Key::Other | Key::Envelope) {
            return None;
        }
        match (Place::of(open), key) {
            (Place::Root | Place::Error, Key::Message) => Some(Self::Message),
            (Place::Transformation, Key::Type) => Some(Self::TransformationType),
            (Place::Transformation, Key::Reason) => Some(Self::TransformationReason),
            (Place::Root | Place::Enveloped, Key::Model) => Some(Self::Model),
            (Place::Root | Place::Enveloped | Place::Choice, Key::StopReason) => Some(Self::StopReason),
            (Place::Incomplete | Place::Feedback, Key::Reason) => Some(Self::StopReason),
            (Place::Root | Place::Enveloped, Key::Status) => Some(Self::Status),
            (Place::Error, Key::Type) => Some(Self::ErrorClass(3)),
            (Place::Error, Key::Status) => Some(Self::ErrorClass(2)),
            (Place::Error, Key::Code) => Some(Self::ErrorClass(1)),
            (Place::Root, Key::Type) => Some(Self::RootType),
            (Place::Root, Key::Code) => Some(Self::RootCode),
            (Place::Root, Key::Object) => Some(Self::RootObject),
            (Place::CacheDetail, Key::Ttl) => Some(Self::Ttl),
            _ => None,
        }
    }
}

/// What was found; a later finding replaces an earlier one.
#[derive(Debug, Default)]
pub struct Findings {
    model: String,
    stop_reason: String,
    error_class: String,
    error_rank: u8,
    usage: Option<Figures>,
    /// Reasoning blocks that the provider has left out for a changed prefix; streams list them in several
    /// events.
    mismatches: u32,
    refused_for_prefix: bool,
    document: Document,
}

/// Values that only have a meaning together with others of the same document.
#[derive(Debug, Default)]
struct Document {
    /// `type` or `object` is `error`.
    is_error: bool,
    kind: String,
    code: String,
    /// An HTTP status, which errors in WebSocket sessions carry.
    status: Option<u32>,
    detail_tokens: u64,
    detail_hour: Option<bool>,
    mismatches: u32,
    transformation: Transformation,
}

/// The relevant fields of an element of `input_transformations`.
#[derive(Debug, Default)]
struct Transformation {
    of_reasoning: bool,
    for_prefix: bool,
}

/// Figures as the provider writes them.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    input: u64,
    /// Whether `input` includes what was read from the cache or written to it.
    whole: bool,
    tool_input: u64,
    output: u64,
    thoughts: u64,
    reasoning: u64,
    cache_read: u64,
    cached: u64,
    cache_write: u64,
    cache_written: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
}

impl Findings {
    pub(crate) fn is_empty(&self) -> bool {
        self.usage.is_none()
            && [&self.model, &self.stop_reason, &self.error_class].iter().all(|it| it.is_empty())
            && !self.document.is_error
            && self.prefix_mismatch() == PrefixMismatch::None
    }

    /// The model that answered.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Why the model stopped, as the provider spells it.
    pub fn stop_reason(&self) -> &str {
        &self.stop_reason
    }

    /// The class of the error, as the provider spells it.
    pub fn error_class(&self) -> &str {
        if self.error_class.is_empty() { self.document.error_class() } else { &self.error_class }
    }

    /// The `type` of the current document.
    pub fn kind(&self) -> &str {
        &self.document.kind
    }

    /// The `status` of the current document, if it is a number.
    pub fn status(&self) -> Option<u32> {
        self.document.status
    }

    /// The usage, as far as it is known.
    pub fn usage(&self) -> Option<Usage> {
        self.usage.map(Figures::usage)
    }

    /// Whether the provider did not use reasoning because the text before it has changed.
    pub fn prefix_mismatch(&self) -> PrefixMismatch {
        match self.mismatches.max(self.document.mismatches) {
            0 if self.refused_for_prefix => PrefixMismatch::Refused,
            0 => PrefixMismatch::None,
            blocks => PrefixMismatch::LeftOut(blocks),
        }
    }

    /// Notes that an error message refuses the request for a changed prefix.
    pub(crate) fn refuse_for_prefix(&mut self) {
        self.refused_for_prefix = true;
    }

    /// Notes the class of an error that is named outside the document.
    pub(crate) fn error(&mut self, class: &[u8]) {
        self.text(Text::ErrorClass(u8::MAX), class);
    }

    /// Notes a relevant text.
    pub(crate) fn text(&mut self, text: Text, value: &[u8]) {
        let Ok(value) = std::str::from_utf8(value) else { return };
        if value.is_empty() || value.chars().any(char::is_control) {
            return;
        }
        let document = &mut self.document;
        match text {
            Text::Model => self.model = value.to_owned(),
            Text::StopReason => self.stop_reason = value.to_owned(),
            Text::Status => match value {
                "completed" | "failed" | "cancelled" => self.stop_reason = value.to_owned(),
                "incomplete" if self.stop_reason.is_empty() => self.stop_reason = value.to_owned(),
                _ => {}
            },
            Text::ErrorClass(rank) => {
                if rank >= self.error_rank {
                    self.error_rank = rank;
                    self.error_class = value.to_owned();
                }
            }
            Text::RootType => {
                document.is_error |= value == "error";
                document.kind = value.to_owned();
            }
            Text::RootObject => document.is_error |= value == "error",
            Text::RootCode => document.code = value.to_owned(),
            Text::Ttl => document.detail_hour = Some(value == "1h"),
            // Its beginning is enough: see `refuse_for_prefix`.
            Text::Message => {}
            // A block that is bound elsewhere but still shown to the model is not left out.
            Text::TransformationType => {
                document.transformation.of_reasoning =
                    ["thinking", "reasoning"].iter().any(|it| value.contains(it))
                        && !value.contains("allowed");
            }
            Text::TransformationReason => document.transformation.for_prefix = value.contains("prefix"),
        }
    }

    /// Notes a whole number.
    pub(crate) fn figure(&mut self, open: &[Frame], key: Key, figure: u64) {
        if key == Key::Other {
            return;
        }
        let place = Place::of(open);
        if place == Place::CacheDetail && key == Key::InputAlone {
            self.document.detail_tokens = figure;
            return;
        }
        if place == Place::Root && key == Key::Status {
            self.document.status = u32::try_from(figure).ok();
            return;
        }
        let mut figures = self.usage.unwrap_or_default();
        match (place, key) {
            (Place::Usage | Place::Billed, Key::InputAlone) => figures.input = figure,
            (Place::Usage, Key::InputWhole) => {
                figures.input = figure;
                figures.whole = true;
            }
            (Place::Usage, Key::ToolInput) => figures.tool_input = figure,
            (Place::Usage | Place::Billed, Key::Output) => figures.output = figure,
            (Place::Usage, Key::Thoughts) => figures.thoughts = figure,
            (Place::OutputDetails, Key::Reasoning) => figures.reasoning = figure,
            (Place::Usage, Key::CacheRead) => figures.cache_read = figure,
            (Place::Usage | Place::InputDetails, Key::Cached) => {
                figures.cached = figure;
                figures.whole = true;
            }
            (Place::Usage, Key::CacheWrite) => figures.cache_write = figure,
            (Place::InputDetails, Key::CacheWritten) => figures.cache_written = figure,
            (Place::CacheCreation, Key::CacheWrite5m) => figures.cache_write_5m = figure,
            (Place::CacheCreation, Key::CacheWrite1h) => figures.cache_write_1h = figure,
            _ => return,
        }
        self.usage = Some(figures);
    }

    /// Notes the end of a container.
    pub(crate) fn close(&mut self, open: &[Frame]) {
        let document = &mut self.document;
        if Place::of(open) == Place::Transformation {
            let Transformation { of_reasoning, for_prefix } = std::mem::take(&mut document.transformation);
            document.mismatches = document.mismatches.saturating_add((of_reasoning && for_prefix).into());
            return;
        }
        let Some(hour) = document.detail_hour.filter(|_| Place::of(open) == Place::CacheDetail) else {
            return;
        };
        let figures = self.usage.get_or_insert_default();
        let of = if hour { &mut figures.cache_write_1h } else { &mut figures.cache_write_5m };
        *of = document.detail_tokens;
        document.detail_hour = None;
    }

    /// Ends a document: another one may follow.
    pub(crate) fn end_document(&mut self) {
        let document = std::mem::take(&mut self.document);
        self.mismatches = self.mismatches.max(document.mismatches);
        if self.error_class.is_empty() {
            document.error_class().clone_into(&mut self.error_class);
        }
    }
}

impl Document {
    /// Responses streams `{"type":"error","code":…}`; vLLM and Mistral answer `{"object":"error","type":…}`.
    fn error_class(&self) -> &str {
        match (self.is_error, self.code.as_str(), self.kind.as_str()) {
            (false, ..) => "",
            (true, "", "error") => "",
            (true, code, "error") => code,
            (true, _, kind) => kind,
        }
    }
}

impl Figures {
    fn usage(self) -> Usage {
        let cache_read = self.cache_read.max(self.cached);
        let cache_write = self.cache_write.max(self.cache_written);
        let of_input = if self.whole { cache_read.saturating_add(cache_write) } else { 0 };
        Usage {
            input: self.input.saturating_sub(of_input).saturating_add(self.tool_input),
            // Gemini counts thinking separately from the answer; it is billed as output.
            output: self.output.saturating_add(self.thoughts),
            cache_read,
            cache_write,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
            reasoning: self.reasoning.max(self.thoughts),
        }
    }
}
