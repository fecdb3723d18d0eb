//! What an answer says of itself: model, usage, stop reason, class of an error. In the words of every
//! provider.
//!
//! | | Anthropic, also on Bedrock | OpenAI Chat, Mistral | OpenAI Responses | Gemini | Bedrock Converse | Cohere |
//! |---|---|---|---|---|---|---|
//! | in a stream, inside | `message` | | `response` | (`response`) | | `delta` |
//! | usage | `usage` | `usage`, `x_groq.usage` | `usage` | `usageMetadata` | `usage` | `usage.billed_units` |
//! | stop reason | `stop_reason`, `delta.stop_reason` | `choices[].finish_reason` | `incomplete_details.reason`, `status` | `candidates[].finishReason`, `promptFeedback.blockReason` | `stopReason` | `finish_reason` |
//! | error | `error.type` | `error.type`, `error.code` | `error.code`, `code` | `error.status` | headers of the frame | |
//! | reasoning left out | `input_transformations` | | `input_transformations` | | | |
//!
//! The names of different providers do not collide, so one reader serves all, and an answer in another
//! format than the request's is read all the same.

/// What an answer has cost, in tokens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Without what was read from or written to the cache.
    pub input: u64,
    /// With what was thought.
    pub output: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to it, for however long.
    pub cache_write: u64,
    /// Of these, for five minutes.
    pub cache_write_5m: u64,
    /// Of these, for an hour.
    pub cache_write_1h: u64,
    /// Of the output, what was thought.
    pub reasoning: u64,
}

/// Reasoning that the provider did not use because what stands before it has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PrefixMismatch {
    /// There is none.
    None,
    /// So many blocks were left out.
    LeftOut(u32),
    /// The whole request was refused, in words like these.
    Refused,
}

/// The meaning of a key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Key {
    #[default]
    Other,
    /// What a streamed event wraps the message in.
    Envelope,
    /// Such an envelope too, or what an error says to people.
    Message,
    Usage,
    /// In `usage`, figures of which other figures are part.
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

    /// Without what was read from or written to the cache.
    InputAlone,
    /// With it.
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
    /// The key that it stands under.
    pub(crate) key: Key,
    pub(crate) array: bool,
}

/// Where in an answer a member stands.
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

/// A text that counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Text {
    Model,
    StopReason,
    /// What became of the whole: `completed`, `failed`, …
    Status,
    /// Of the error: the higher the better it names the class.
    ErrorClass(u8),
    RootType,
    RootCode,
    RootObject,
    Ttl,
    /// What an error says to people; only how it begins.
    Message,
    TransformationType,
    TransformationReason,
}

impl Text {
    /// What a text under this key means; `None`: nothing that counts.
    pub(crate) fn at(open: &[Frame], key: Key) -> Option<Self> {
        // Most texts of an answer stand under keys that mean nothing anywhere.
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
    /// Reasoning that the provider has left out for a changed prefix; streams list it in several events.
    mismatches: u32,
    refused_for_prefix: bool,
    document: Document,
}

/// What only together with something else in the same document means something.
#[derive(Debug, Default)]
struct Document {
    /// `type` or `object` is `error`.
    is_error: bool,
    kind: String,
    code: String,
    /// The number of an HTTP status, which errors in WebSocket sessions carry.
    status: Option<u32>,
    detail_tokens: u64,
    detail_hour: Option<bool>,
    mismatches: u32,
    transformation: Transformation,
}

/// An element of `input_transformations`, as far as it is read.
#[derive(Debug, Default)]
struct Transformation {
    of_reasoning: bool,
    for_prefix: bool,
}

/// Figures as the provider writes them.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    input: u64,
    /// Whether `input` has in it what was read from the cache or written to it.
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

    /// The model that has answered.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Why the model stopped, in the provider's word.
    pub fn stop_reason(&self) -> &str {
        &self.stop_reason
    }

    /// What kind of error it is, in the provider's word.
    pub fn error_class(&self) -> &str {
        if self.error_class.is_empty() { self.document.error_class() } else { &self.error_class }
    }

    /// The `type` of the document at hand.
    pub fn kind(&self) -> &str {
        &self.document.kind
    }

    /// The `status` of the document at hand, where it is a number.
    pub fn status(&self) -> Option<u32> {
        self.document.status
    }

    /// What it has cost, as far as it is known.
    pub fn usage(&self) -> Option<Usage> {
        self.usage.map(Figures::usage)
    }

    /// Whether the provider did not use reasoning because what stands before it has changed.
    pub fn prefix_mismatch(&self) -> PrefixMismatch {
        match self.mismatches.max(self.document.mismatches) {
            0 if self.refused_for_prefix => PrefixMismatch::Refused,
            0 => PrefixMismatch::None,
            blocks => PrefixMismatch::LeftOut(blocks),
        }
    }

    /// A message to people says that the request is refused for a changed prefix.
    pub(crate) fn refuse_for_prefix(&mut self) {
        self.refused_for_prefix = true;
    }

    /// The class of an error, where something beside the document names it.
    pub(crate) fn error(&mut self, class: &[u8]) {
        self.text(Text::ErrorClass(u8::MAX), class);
    }

    /// A text that counts.
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
            // A block that is bound elsewhere and shown all the same is not left out.
            Text::TransformationType => {
                document.transformation.of_reasoning =
                    ["thinking", "reasoning"].iter().any(|it| value.contains(it))
                        && !value.contains("allowed");
            }
            Text::TransformationReason => document.transformation.for_prefix = value.contains("prefix"),
        }
    }

    /// A whole number.
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

    /// The end of a container.
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

    /// The end of a document: what follows is another.
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
            // Gemini counts thinking apart from the answer; it is billed as output.
            output: self.output.saturating_add(self.thoughts),
            cache_read,
            cache_write,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
            reasoning: self.reasoning.max(self.thoughts),
        }
    }
}
