//! One row through the engine.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use headroom_api::llmlingua::Rates;
use headroom_api::v1::{BlockRecord, ContentEncoding, Original};
use headroom_compress::{
    Api, Block, BlockOutcome, Compressor, Config, Memo, Outcome, Request, compress, provider_tokens,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::request::{CompressRequest, Input, Leading};
use crate::text_model::{Shorten, ShortenedText};

/// The result for a row.
#[derive(Clone, Debug, Default)]
pub(super) struct CompressedRow {
    /// `None`: it is unchanged.
    pub(super) text: Option<String>,
    /// Tokens of everything that the model reads in it.
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) tool_before: u64,
    pub(super) tool_after: u64,
    pub(super) encoding: &'static str,
    pub(super) estimate: bool,
    pub(super) blocks: Vec<RowResult>,
    /// The originals of the parts that were left out.
    pub(super) originals: Vec<Original>,
    /// Their hashes.
    pub(super) hashes: Vec<String>,
    /// Whether the model wrote it.
    pub(super) by_model: bool,
    /// `None`: nothing of it is left out, the user has said nothing, or the caller names no scorer.
    pub(super) question: Option<Question>,
}

/// The result for one tool output.
#[derive(Clone, Debug)]
pub(super) struct RowResult {
    pub(super) record: BlockRecord,
    pub(super) left_out: Option<String>,
}

/// A conversation up to a row.
#[derive(Debug, Default)]
pub(super) struct Conversation<'b> {
    /// The calls by their id.
    calls: HashMap<Cow<'b, str>, &'b str>,
    /// What the user has said last.
    said: String,
}

/// What an output of which something is left out may be looked through for.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    /// What the user has said last before it.
    pub(super) said: String,
    /// The texts of which something is left out.
    pub(super) texts: Vec<Arc<str>>,
}

/// The parts of a row that are needed here; the engine reads the rest.
#[derive(Debug, Default, Deserialize)]
struct Row<'b> {
    #[serde(borrow, default)]
    role: Option<Cow<'b, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    content: Option<&'b RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'b RawValue>,
    #[serde(borrow, default)]
    tool_call_id: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    call_id: Option<Cow<'b, str>>,
}

/// An element of a row's content, or of its calls.
#[derive(Debug, Default, Deserialize)]
struct Part<'b> {
    #[serde(borrow, default)]
    id: Option<Cow<'b, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    tool_use_id: Option<Cow<'b, str>>,
}

/// A text among the elements of a user's row.
#[derive(Debug, Default, Deserialize)]
struct TextPart<'b> {
    #[serde(borrow, default)]
    text: Option<Cow<'b, str>>,
}

/// Bytes of what a user has said that count, from its start, as in the engine.
const SAID_BYTES: usize = 2_000;
/// How a text begins that an agent has added to what the user has said.
const REMINDER: &str = "<system-reminder>";

/// Maximum number of elements of a row: more tool outputs than any client puts into one message.
const MAX_PARTS: usize = 1024;

fn parts(array: Option<&RawValue>) -> Vec<(&str, Part<'_>)> {
    let raw: Option<Leading<&RawValue, MAX_PARTS>> =
        array.and_then(|array| serde_json::from_str(array.get()).ok());
    let parts = raw.map(|raw| raw.elements).unwrap_or_default().into_iter();
    parts.map(|raw| (raw.get(), serde_json::from_str(raw.get()).unwrap_or_default())).collect()
}

fn is(kind: &Option<Cow<'_, str>>, name: &str) -> bool {
    kind.as_deref() == Some(name)
}

/// The kind of a row.
pub(super) enum Shape<'b> {
    /// A tool output, in a wire format, with the calls that made it.
    Output(Api, Vec<&'b str>),
    /// Written by the model.
    Model(Api),
    /// Anything else.
    Other(Api),
}

/// What a user says in a row; empty where it is somebody else's.
fn said(row: &Row<'_>) -> String {
    let Some(content) = row.content.filter(|_| is(&row.role, "user")).map(RawValue::get) else {
        return String::new();
    };
    let mut texts: Vec<String> = match serde_json::from_str::<String>(content) {
        Ok(text) => vec![text],
        Err(_) => {
            let parts: Option<Leading<TextPart<'_>, MAX_PARTS>> = serde_json::from_str(content).ok();
            let parts = parts.map(|parts| parts.elements).unwrap_or_default();
            parts.into_iter().filter_map(|part| part.text).map(Cow::into_owned).collect()
        }
    };
    texts.retain(|text| !text.trim_start().starts_with(REMINDER));
    let mut said = texts.join("\n");
    said.truncate(said.floor_char_boundary(SAID_BYTES));
    said
}

impl<'b> Conversation<'b> {
    /// Records what a row says and calls, and returns its kind.
    pub(super) fn read(&mut self, text: &'b str, input: Input) -> Shape<'b> {
        let row: Row<'b> = serde_json::from_str(text).unwrap_or_default();
        let said = said(&row);
        if !said.trim().is_empty() {
            self.said = said;
        }
        self.shape(&row, text, input)
    }

    fn shape(&mut self, row: &Row<'b>, text: &'b str, input: Input) -> Shape<'b> {
        if input == Input::Items {
            let known = |id: &Option<Cow<'b, str>>| id.as_ref().and_then(|id| self.calls.get(id).copied());
            if matches!(row.kind.as_deref(), Some("function_call_output" | "custom_tool_call_output")) {
                return Shape::Output(Api::OpenAiResponses, known(&row.call_id).into_iter().collect());
            }
            if let (Some("function_call" | "custom_tool_call"), Some(id)) =
                (row.kind.as_deref(), &row.call_id)
            {
                self.calls.insert(id.clone(), text);
            }
            let model =
                matches!(row.kind.as_deref(), Some("function_call" | "custom_tool_call" | "reasoning"))
                    || is(&row.role, "assistant");
            return if model {
                Shape::Model(Api::OpenAiResponses)
            } else {
                Shape::Other(Api::OpenAiResponses)
            };
        }
        if is(&row.role, "tool") {
            let call = row.tool_call_id.as_ref().and_then(|id| self.calls.get(id).copied());
            return Shape::Output(Api::OpenAiChat, call.into_iter().collect());
        }
        if is(&row.role, "assistant") {
            let uses = parts(row.content).into_iter().filter(|(_, part)| is(&part.kind, "tool_use"));
            let calls: Vec<_> = parts(row.tool_calls).into_iter().chain(uses).collect();
            for (raw, part) in calls {
                if let Some(id) = part.id {
                    self.calls.insert(id, raw);
                }
            }
            return Shape::Model(Api::OpenAiChat);
        }
        let results: Vec<_> =
            parts(row.content).into_iter().filter(|(_, part)| is(&part.kind, "tool_result")).collect();
        if results.is_empty() {
            return Shape::Other(Api::OpenAiChat);
        }
        // a call stands once before its results, however many name it
        let mut named = HashSet::new();
        let ids = results.iter().filter_map(|(_, part)| part.tool_use_id.as_ref());
        let ids = ids.filter(|id| named.insert(*id));
        let calls = ids.filter_map(|id| self.calls.get(id).copied()).collect();
        Shape::Output(Api::AnthropicMessages, calls)
    }
}

/// The engine with everything that is the same for all rows.
pub(super) struct Engine<'a> {
    pub(super) model: &'a str,
    pub(super) input: Input,
    pub(super) config: &'a Config,
    pub(super) lossy: bool,
    pub(super) min_tokens: u32,
    pub(super) memo: &'a mut Memo,
    /// Whether rows are to have their question.
    pub(super) ask: bool,
    /// What shortens outputs that no form does, and how much.
    pub(super) text_model: Option<(&'a dyn Shorten, Rates)>,
}

impl<'a> Engine<'a> {
    /// With what a caller asks for, and without a text model.
    pub(super) fn new(asked: &'a CompressRequest, config: &'a Config, memo: &'a mut Memo) -> Self {
        Self {
            model: &asked.model,
            input: asked.input,
            config,
            lossy: asked.is_lossy(),
            min_tokens: asked.min_tokens,
            memo,
            ask: false,
            text_model: None,
        }
    }
}

/// Tokens of an output that a text model is asked about: below them nothing is won.
const MIN_TOKENS: u32 = 100;
/// The name of the text model among the forms.
pub(super) const TEXT_MODEL: &str = "llmlingua";

impl Engine<'_> {
    /// Compresses the next row of a conversation. `frozen`: it stays unchanged. `focus`: what its reader looks for, the
    /// words of which the engine takes for the user's.
    pub(super) fn compress<'b>(
        &mut self,
        row: &'b str,
        conversation: &mut Conversation<'b>,
        frozen: bool,
        focus: &str,
    ) -> CompressedRow {
        let shape = conversation.read(row, self.input);
        let (output, by_model) = (matches!(shape, Shape::Output(..)), matches!(shape, Shape::Model(_)));
        let (api, made_by) = match shape {
            Shape::Output(api, made_by) => (api, made_by),
            Shape::Model(api) | Shape::Other(api) => (api, Vec::new()),
        };
        // the engine would leave a longer body alone, but it would have to be written first
        if row.len() + made_by.iter().map(|call| call.len()).sum::<usize>() > self.config.max_body_bytes {
            return CompressedRow { by_model, ..CompressedRow::default() };
        }
        let [before, after] = around(api, self.model, &made_by, focus);
        let body = [before.as_str(), row, after.as_str()].concat();
        let request = Request { reversible: self.lossy, ..Request::new(api) };
        let outcome = compress(body.as_bytes(), &request, self.config, self.memo);
        // The tokens of the calls around it belong to other rows.
        let bare = [before.trim_end_matches(','), after.as_str()].concat();
        let bare = compress(bare.as_bytes(), &request, self.config, self.memo).tokens.before;
        let mut compressed = CompressedRow { by_model, ..CompressedRow::new(&outcome, bare) };
        let large = outcome.blocks.iter().any(|block| block.tokens_before >= self.min_tokens);
        let shortened = match self.text_model {
            Some((model, rates)) if output && large && !frozen && self.lossy => {
                self.shorten(model, &rates, &body, &outcome, &mut compressed)
            }
            _ => None,
        };
        let replaced =
            shortened.as_deref().or_else(|| std::str::from_utf8(&outcome.body).ok()).and_then(|body| {
                body.strip_prefix(before.as_str())?.strip_suffix(after.as_str()).filter(|text| *text != row)
            });
        match replaced {
            Some(text) if output && large && !frozen => {
                compressed.text = Some(text.to_owned());
                let originals: Vec<_> = outcome.originals.iter().collect();
                let missing = headroom_compress::Original::each_text(&originals, |about, text| {
                    compressed.originals.push(original(about, text));
                });
                compressed.hashes = compressed.originals.iter().map(|it| it.hash.clone()).collect();
                // a text model is not asked twice about the same row
                if self.ask && shortened.is_none() && !conversation.said.is_empty() {
                    compressed.question = question(&outcome, &body, &conversation.said);
                }
                if missing > 0 {
                    compressed.leave();
                }
            }
            _ => compressed.leave(),
        }
        compressed
    }
}

/// What the outputs of a row may be looked through for of which a form leaves something out.
fn question(outcome: &Outcome<'_>, body: &str, said: &str) -> Option<Question> {
    let lossy = outcome
        .blocks
        .iter()
        .filter(|block| matches!(block.outcome, BlockOutcome::Compressed { lossy: true, .. }));
    let texts = lossy.filter_map(|block| serde_json::from_str::<String>(body.get(block.span.clone())?).ok());
    let texts: Vec<Arc<str>> = texts.map(Arc::from).collect();
    (!texts.is_empty()).then(|| Question { said: said.to_owned(), texts })
}

impl Engine<'_> {
    /// The outcome's body with outputs shortened by the text model that no form has shortened; `None` where there are none.
    fn shorten(
        &self,
        model: &dyn Shorten,
        rates: &Rates,
        body: &str,
        outcome: &Outcome<'_>,
        compressed: &mut CompressedRow,
    ) -> Option<String> {
        let mut shortened = std::str::from_utf8(&outcome.body).ok()?.to_owned();
        // from the end, so that what stands before stays where it is
        for (place, block) in outcome.blocks.iter().enumerate().rev() {
            let rate = rates.of_kind(block.kind.name()).filter(|_| block.tokens_before >= MIN_TOKENS);
            let (Some(rate), None) = (rate, &block.replaced) else { continue };
            let before =
                outcome.blocks.iter().take(place).filter_map(|it| Some((&it.span, it.replaced.as_ref()?)));
            let (grown, gone) = before
                .fold((0, 0), |(grown, gone), (span, replaced)| (grown + replaced.len(), gone + span.len()));
            let quoted = body.get(block.span.clone())?;
            let Ok(text) = serde_json::from_str::<String>(quoted) else { continue };
            let before = block.tokens_before as usize;
            let Some(short) = ShortenedText::of(model, &text, rate, before) else { continue };
            let start = (block.span.start + grown).checked_sub(gone)?;
            shortened
                .replace_range(start..start + block.span.len(), &serde_json::to_string(&short.text).ok()?);
            let tool = block.tool.to_string();
            compressed.note_shortened(place, self.model, short.tokens, short.left_out);
            compressed.originals.push(Original {
                hash: short.hash,
                length: text.len() as u64,
                content: text.into_bytes(),
                encoding: ContentEncoding::Identity.into(),
                tool,
                kind: block.kind.name().to_owned(),
                form: TEXT_MODEL.to_owned(),
                tokens_before: block.tokens_before,
                tokens_after: short.tokens,
            });
        }
        (!compressed.originals.is_empty()).then_some(shortened)
    }
}

impl CompressedRow {
    /// The text model has shortened an output.
    fn note_shortened(&mut self, place: usize, model: &str, after: u32, left_out: String) {
        let Some(told) = self.blocks.get_mut(place) else { return };
        let saved = provider_tokens(model, u64::from(told.record.tokens_before.saturating_sub(after)));
        self.after = self.after.saturating_sub(saved);
        self.tool_after = self.tool_after.saturating_sub(saved);
        told.record.outcome = TEXT_MODEL.to_owned();
        told.record.tokens_after = after;
        told.record.lossy = true;
        told.left_out = Some(left_out);
    }

    fn new(outcome: &Outcome<'_>, bare: u64) -> Self {
        let tokens = &outcome.tokens;
        Self {
            text: None,
            before: tokens.before.saturating_sub(bare),
            after: tokens.after.saturating_sub(bare),
            tool_before: tokens.tool_outputs_before,
            tool_after: tokens.tool_outputs_after,
            encoding: tokens.encoding.name(),
            estimate: tokens.estimate,
            blocks: outcome.blocks.iter().map(RowResult::new).collect(),
            ..Self::default()
        }
    }

    /// Leaves the row unchanged.
    pub(super) fn leave(&mut self) {
        self.text = None;
        self.originals.clear();
        self.hashes.clear();
        (self.after, self.tool_after) = (self.before, self.tool_before);
        for block in &mut self.blocks {
            block.record.lossy = false;
            block.left_out = None;
            block.record.tokens_after = block.record.tokens_before;
            if !block.record.outcome.starts_with("skipped:") {
                block.record.outcome = "skipped:policy_off".to_owned();
            }
        }
    }
}

impl RowResult {
    fn new(block: &Block) -> Self {
        Self {
            record: BlockRecord {
                tool: block.tool.to_string(),
                kind: block.kind.name().to_owned(),
                outcome: block.outcome.name(),
                tokens_before: block.tokens_before,
                tokens_after: block.tokens_after,
                memo: block.memo,
                // the record says it, which knows the rows around it
                new: false,
                pressure: block.pressure.into(),
                lossy: matches!(block.outcome, BlockOutcome::Compressed { lossy: true, .. }),
                left_out: String::new(),
            },
            left_out: block.left_out.as_ref().map(ToString::to_string),
        }
    }
}

fn original(original: &headroom_compress::Original<'_>, text: &str) -> Original {
    let content = text.as_bytes().to_vec();
    Original {
        hash: original.hash.to_string(),
        length: content.len() as u64,
        content,
        encoding: ContentEncoding::Identity.into(),
        tool: original.tool.to_string(),
        kind: original.kind.name().to_owned(),
        form: original.form.map(Compressor::name).unwrap_or_default().to_owned(),
        tokens_before: original.tokens_before,
        tokens_after: original.tokens_after,
    }
}

/// The text that turns a row into a request: the model, the user's message and the calls before it, and a tool after it,
/// because a request without a tool is never lossy.
fn around(api: Api, model: &str, calls: &[&str], said: &str) -> [String; 2] {
    let model = serde_json::Value::from(model);
    let calls = calls.join(",");
    let said = match said {
        "" => String::new(),
        said => format!(r#"{{"role":"user","content":{}}},"#, serde_json::Value::from(said)),
    };
    match api {
        Api::AnthropicMessages => {
            let calls = match calls.as_str() {
                "" => String::new(),
                calls => format!(r#"{{"role":"assistant","content":[{calls}]}},"#),
            };
            let after = r#"],"tools":[{"name":"tool","input_schema":{}}]}"#;
            [format!(r#"{{"model":{model},"messages":[{said}{calls}"#), after.to_owned()]
        }
        Api::OpenAiResponses => {
            let comma = if calls.is_empty() { "" } else { "," };
            // If the provider keeps the conversation, nothing may be left out; here the caller sends it.
            let before = format!(r#"{{"model":{model},"store":false,"input":[{said}{calls}{comma}"#);
            [before, r#"],"tools":[{"type":"function","name":"tool"}]}"#.to_owned()]
        }
        _ => {
            let calls = match calls.as_str() {
                "" => String::new(),
                calls => format!(r#"{{"role":"assistant","tool_calls":[{calls}]}},"#),
            };
            let after = r#"],"tools":[{"type":"function","function":{"name":"tool"}}]}"#;
            [format!(r#"{{"model":{model},"messages":[{said}{calls}"#), after.to_owned()]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(rows: &[&str], config: &Config) -> Vec<CompressedRow> {
        let mut memo = Memo::new(1 << 20);
        let body = format!(r#"{{"model":"m","messages":[{}]}}"#, rows.join(","));
        let asked = CompressRequest::read(body.as_bytes()).unwrap();
        let mut engine = Engine::new(&asked, config, &mut memo);
        let mut conversation = Conversation::default();
        rows.iter().map(|row| engine.compress(row, &mut conversation, false, "")).collect()
    }

    const CALL: &str =
        r#"{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"Bash","input":{}}]}"#;

    #[test]
    fn a_call_stands_once_before_its_results() {
        let result = r#"{"type":"tool_result","tool_use_id":"c","content":"x"}"#;
        let results = format!(r#"{{"role":"user","content":[{}]}}"#, [result; 100].join(","));
        let mut conversation = Conversation::default();
        conversation.read(CALL, Input::Messages);
        let Shape::Output(_, calls) = conversation.read(&results, Input::Messages) else { panic!() };
        assert_eq!(calls.len(), 1);
    }

    #[test]
    fn a_row_that_is_too_long_with_its_calls_stays_as_it_is() {
        let pets: Vec<_> =
            (0..100).map(|n| serde_json::json!({"id": n, "kind": "dog", "city": "Rome"})).collect();
        let pets = serde_json::to_string_pretty(&pets).unwrap();
        let row = serde_json::json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c", "content": pets}
        ]});
        let row = row.to_string();
        let whole = compressed(&[CALL, &row], &Config::default());
        assert!(whole[1].text.is_some());
        let short = Config { max_body_bytes: row.len() + 20, ..Config::default() };
        let left = compressed(&[CALL, &row], &short);
        assert!(left[1].text.is_none() && left[1].blocks.is_empty());
    }
}
