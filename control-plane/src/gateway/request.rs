//! What a caller asks for: the body of `POST /v1/compress`, checked.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Formatter;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use headroom_api::llmlingua::Rates;
use headroom_compress::Profile;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::relevance::Scorer;

/// Rows of a call at most.
const MAX_ROWS: usize = 20_000;
/// Bytes of `config` at most.
const MAX_CONFIG_BYTES: usize = 64 << 10;
/// Bytes of a model's name at most: each row is read with it.
const MAX_MODEL_BYTES: usize = 1 << 10;
/// Characters of a session's name at most.
const MAX_SESSION_ID: usize = 256;

/// An invalid body; the text says what was expected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidRequest(pub(crate) String);

/// What forms may do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Mode {
    /// The caller cannot retrieve originals, so nothing is left out.
    #[default]
    Lossless,
    /// Originals are stored here, under the hash in the marker.
    Ccr,
    /// The messages are returned unchanged, with the plan of `Ccr` for them.
    Simulate,
}

/// Which of the two fields holds the rows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Input {
    /// `messages`: Chat Completions or Anthropic Messages.
    Messages,
    /// `input`: Responses.
    Items,
}

/// A checked body.
#[derive(Clone, Debug)]
pub(crate) struct CompressRequest {
    text: Arc<str>,
    rows: Vec<Range<usize>>,
    /// From the request; it only affects figures.
    pub(super) model: String,
    pub(super) input: Input,
    pub(super) mode: Mode,
    pub(super) profile: Profile,
    /// Rows whose tool outputs all have fewer tokens stay as they are.
    pub(super) min_tokens: u32,
    /// The number of items of a long list that are kept, if not all are.
    pub(super) max_items: Option<usize>,
    /// The number of rows at the beginning that stay unchanged.
    pub(super) frozen: usize,
    pub(super) session: Option<String>,
    /// Who decides which lines of an output what the user has said is about; `None`: that does not matter.
    pub(super) scorer: Option<Scorer>,
    /// A text model is to shorten what no form does; with the rates of its own, where the caller names some.
    pub(super) text_model: Option<Option<Rates>>,
    /// What is released with the last who works on this.
    _held: Option<Arc<dyn Any + Send + Sync>>,
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow, default)]
    model: Option<&'b RawValue>,
    #[serde(borrow, default)]
    messages: Option<&'b RawValue>,
    #[serde(borrow, default)]
    input: Option<&'b RawValue>,
    #[serde(borrow, default)]
    config: Option<&'b RawValue>,
    #[serde(borrow, default)]
    gateway: Option<&'b RawValue>,
}

impl CompressRequest {
    /// Holds something as long as somebody works on this, also where the caller has left.
    pub(crate) fn holding(self, held: impl Send + Sync + 'static) -> Self {
        Self { _held: Some(Arc::new(held)), ..self }
    }

    /// Reads a body.
    pub(crate) fn read(body: &[u8]) -> Result<Self, InvalidRequest> {
        let not_json = || bad("Invalid JSON in request body: expected an object with model and messages.");
        let text: Arc<str> = Arc::from(std::str::from_utf8(body).map_err(|_| not_json())?);
        if !is_object(&text) {
            return Err(not_json());
        }
        let body: Body<'_> = serde_json::from_str(&text).map_err(|_| not_json())?;
        let model = body.model.ok_or_else(|| bad("Missing required field: model"))?;
        let model: String = serde_json::from_str(model.get())
            .map_err(|_| bad("Invalid model: expected a string with the model's name."))?;
        if model.len() > MAX_MODEL_BYTES {
            return Err(bad(&format!("Invalid model: expected at most {MAX_MODEL_BYTES} bytes.")));
        }
        if body.gateway.is_some() {
            return Err(bad(
                "The gateway block is not served here: send messages without it, and relay the answer yourself.",
            ));
        }
        let (input, rows) = match (body.messages, body.input) {
            (Some(messages), _) => (Input::Messages, rows(&text, "messages", messages)?),
            // A plain text is one message of the user: there is no tool output in it.
            (None, Some(input)) if input.get().starts_with('"') => (Input::Items, Vec::new()),
            (None, Some(input)) => (Input::Items, rows(&text, "input", input)?),
            (None, None) => return Err(bad("Missing required field: messages or input")),
        };
        let config = body.config.filter(|config| is_object(config.get()));
        if config.is_some_and(|config| config.get().len() > MAX_CONFIG_BYTES) {
            return Err(bad(&format!("Invalid config: expected at most {MAX_CONFIG_BYTES} bytes.")));
        }
        let config: Map<String, Value> = config
            .map_or(Ok(Map::new()), |config| serde_json::from_str(config.get()))
            .map_err(|_| bad("Invalid config: it is nested too deep."))?;
        let mut asked = Self {
            rows,
            model,
            input,
            mode: Mode::default(),
            profile: Profile::default(),
            min_tokens: 0,
            max_items: None,
            frozen: 0,
            session: None,
            scorer: None,
            text_model: None,
            text: Arc::clone(&text),
            _held: None,
        };
        asked.configure(&config)?;
        Ok(asked)
    }

    /// The rows as received.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &str> {
        self.rows.iter().map(|row| &self.text[row.clone()])
    }

    /// Whether something may be left out.
    pub(super) fn is_lossy(&self) -> bool {
        self.mode != Mode::Lossless
    }

    /// Bytes of the body.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes the caller's settings. Unknown keys are for others; a known key must be valid, even if it has no effect
    /// here.
    fn configure(&mut self, config: &Map<String, Value>) -> Result<(), InvalidRequest> {
        for (key, value) in config {
            if value.is_null() {
                continue;
            }
            let expected = |expected: &str| Err(invalid(key, value, expected));
            match key.as_str() {
                "mode" => self.mode = mode(value)?,
                "profile" => {
                    let Some(profile) = profile(value) else {
                        return expected("Expected lossless, conservative, balanced or aggressive.");
                    };
                    self.profile = profile;
                }
                "session_id" => {
                    let Some(session) = session_id(value) else {
                        return expected("Expected a non-empty string of at most 256 characters.");
                    };
                    self.session = Some(session.to_owned());
                }
                "frozen_message_count" | "min_tokens_to_crush" | "protect_recent" => {
                    let Some(count) = value.as_u64() else {
                        return expected("Expected a non-negative integer.");
                    };
                    match key.as_str() {
                        "frozen_message_count" => self.frozen = usize::try_from(count).unwrap_or(usize::MAX),
                        "min_tokens_to_crush" => self.min_tokens = u32::try_from(count).unwrap_or(u32::MAX),
                        _ => {}
                    }
                }
                "max_items_after_crush" => {
                    let Some(items) = value.as_u64().filter(|items| *items > 0) else {
                        return expected("Expected a positive integer.");
                    };
                    self.max_items = Some(usize::try_from(items).unwrap_or(usize::MAX));
                }
                "llmlingua" => self.text_model = text_model(value)?,
                "scorer" => {
                    let scorer = value.as_str().and_then(Scorer::from_name);
                    let Some(scorer) = scorer.filter(|scorer| value == scorer.name()) else {
                        return expected("Expected bm25, embedding or hybrid.");
                    };
                    self.scorer = Some(scorer);
                }
                "target_ratio" if !value.as_f64().is_some_and(|ratio| ratio > 0.0 && ratio <= 1.0) => {
                    return expected("Expected a number above 0 and at most 1.");
                }
                "compress_user_messages" | "protect_analysis_context" if !value.is_boolean() => {
                    return expected("Expected true or false.");
                }
                _ => {}
            }
        }
        if self.text_model.is_some() && self.mode == Mode::Lossless {
            return Err(bad(
                "config.llmlingua leaves words out, so that it needs config.mode ccr, which keeps the originals, or simulate.",
            ));
        }
        if self.session.is_some() && config.get("compress_user_messages") == Some(&Value::Bool(true)) {
            return Err(bad(
                "config.compress_user_messages is not supported with config.session_id: what users say is never rewritten.",
            ));
        }
        Ok(())
    }
}

/// Whether a JSON text is an object.
pub(super) fn is_object(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{')
}

/// A session's name.
pub(crate) fn session_id(value: &Value) -> Option<&str> {
    value.as_str().filter(|id| !id.trim().is_empty() && id.chars().count() <= MAX_SESSION_ID)
}

/// The first elements of an array, at most `N`; the others are read and not kept.
#[derive(Debug)]
pub(super) struct Leading<T, const N: usize> {
    pub(super) elements: Vec<T>,
    others: usize,
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Leading<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(LeadingVisitor::<T, N>(PhantomData))
    }
}

struct LeadingVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for LeadingVisitor<T, N> {
    type Value = Leading<T, N>;

    fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut read = Leading { elements: Vec::new(), others: 0 };
        while read.elements.len() < N {
            let Some(element) = array.next_element()? else { return Ok(read) };
            read.elements.push(element);
        }
        while array.next_element::<IgnoredAny>()?.is_some() {
            read.others += 1;
        }
        Ok(read)
    }
}

/// The positions of an array's elements in the surrounding text.
fn rows(text: &str, name: &str, array: &RawValue) -> Result<Vec<Range<usize>>, InvalidRequest> {
    let expected = || bad(&format!("Invalid {name}: expected an array of objects."));
    let rows: Leading<&RawValue, MAX_ROWS> = serde_json::from_str(array.get()).map_err(|_| expected())?;
    if rows.others > 0 {
        let found = rows.elements.len() + rows.others;
        return Err(bad(&format!("Invalid {name}: expected at most {MAX_ROWS} rows, found {found}.")));
    }
    let start = text.as_ptr().addr();
    rows.elements
        .into_iter()
        .map(|row| {
            if !is_object(row.get()) {
                return Err(expected());
            }
            // The row borrows from the text, so the distance between the two is its position.
            let at = row.get().as_ptr().addr() - start;
            Ok(at..at + row.get().len())
        })
        .collect()
}

/// `true`, or an object with `text`, `json` or `code`: the part that stays of such outputs, or `true` for the usual one.
fn text_model(value: &Value) -> Result<Option<Option<Rates>>, InvalidRequest> {
    let wrong = || {
        invalid(
            "llmlingua",
            value,
            "Expected true, false, or an object with text, json or code: a number above 0 and at most 1, or true.",
        )
    };
    let kinds = match value {
        Value::Bool(wanted) => return Ok(wanted.then_some(None)),
        Value::Object(kinds) if !kinds.is_empty() => kinds,
        _ => return Err(wrong()),
    };
    let mut rates = Rates { text: None, json: None, code: None };
    for (kind, value) in kinds {
        let rate = match value {
            Value::Bool(true) => Rates::EACH.named(kind),
            Value::Bool(false) => None,
            value => Some(value.as_f64().filter(|rate| Rates::is_rate(*rate)).ok_or_else(wrong)?),
        };
        *rates.named_mut(kind).ok_or_else(wrong)? = rate;
    }
    Ok(Some(Some(rates)))
}

fn mode(value: &Value) -> Result<Mode, InvalidRequest> {
    match value.as_str() {
        Some("ccr") => Ok(Mode::Ccr),
        Some("simulate") => Ok(Mode::Simulate),
        // These modes leave something out without a way to retrieve it. Headroom leaves nothing out then.
        Some("lossy_inline" | "lossless_then_lossy") => Ok(Mode::Lossless),
        _ => Err(invalid(
            "mode",
            value,
            "Valid values are: ccr, simulate, lossy_inline, lossless_then_lossy (or omit config.mode for lossless forms alone).",
        )),
    }
}

fn profile(value: &Value) -> Option<Profile> {
    Some(match value.as_str()? {
        "lossless" => Profile::Lossless,
        "conservative" => Profile::Conservative,
        "balanced" => Profile::Balanced,
        "aggressive" => Profile::Aggressive,
        _ => return None,
    })
}

fn invalid(key: &str, value: &Value, expected: &str) -> InvalidRequest {
    const SHOWN: usize = 80;
    let spelled = value.to_string();
    let shown: Cow<'_, str> = match spelled.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &spelled[..end])),
        None => Cow::Borrowed(&spelled),
    };
    InvalidRequest(format!("Invalid config.{key}: {shown}. {expected}"))
}

fn bad(text: &str) -> InvalidRequest {
    InvalidRequest(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> Result<CompressRequest, String> {
        CompressRequest::read(body.as_bytes()).map_err(|bad| bad.to_string())
    }

    #[test]
    fn rows_are_the_callers_own_bytes() {
        let asked = read(r#" {"messages":[ {"role" : "user"} ,{"a":1.0}],"model":"m","else":[[]]}"#).unwrap();
        assert_eq!(asked.rows().collect::<Vec<_>>(), [r#"{"role" : "user"}"#, r#"{"a":1.0}"#]);
        assert_eq!((asked.model.as_str(), asked.mode, asked.input), ("m", Mode::Lossless, Input::Messages));
        let asked = read(r#"{"model":"m","input":[{"type":"reasoning"}]}"#).unwrap();
        assert_eq!((asked.rows().len(), asked.input), (1, Input::Items));
        assert_eq!(read(r#"{"model":"m","input":"hi"}"#).unwrap().rows().len(), 0);
    }

    #[test]
    fn what_makes_no_sense_is_said_with_what_was_expected() {
        for (body, expected) in [
            ("{not json", "Invalid JSON"),
            ("", "Invalid JSON"),
            ("[1]", "Invalid JSON"),
            (r#"["m",[]]"#, "Invalid JSON"),
            (r#"{"messages":[],"messages":[],"model":"m"}"#, "Invalid JSON"),
            (r#"{"messages":[]}"#, "Missing required field: model"),
            (r#"{"messages":[],"model":7}"#, "Invalid model"),
            (r#"{"model":"m"}"#, "Missing required field: messages or input"),
            (r#"{"model":"m","messages":null}"#, "Missing required field: messages or input"),
            (r#"{"model":"m","messages":"str"}"#, "Invalid messages: expected an array of objects"),
            (r#"{"model":"m","messages":[1,2]}"#, "Invalid messages: expected an array of objects"),
            (r#"{"model":"m","messages":[{},null]}"#, "Invalid messages: expected an array of objects"),
            (r#"{"model":"m","input":{}}"#, "Invalid input: expected an array of objects"),
            (r#"{"model":"m","messages":[],"gateway":{}}"#, "The gateway block"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.starts_with(expected), "{body}: {error}");
        }
        assert!(CompressRequest::read(b"{\"model\":\"\xff\",\"messages\":[]}").is_err());
        let deep =
            format!("{{\"model\":\"m\",\"messages\":[],\"config\":{{\"a\":{}}}}}", "[".repeat(100_000));
        assert!(read(&deep).is_err());
        let deep = format!(
            "{{\"model\":\"m\",\"messages\":[],\"config\":{{\"a\":{}{}}}}}",
            "[".repeat(1000),
            "]".repeat(1000)
        );
        assert!(read(&deep).unwrap_err().contains("nested too deep"));
    }

    #[test]
    fn settings_are_checked_and_those_of_others_left_alone() {
        let with = |config: &str| read(&format!(r#"{{"model":"m","messages":[],"config":{{{config}}}}}"#));
        for (config, name) in [
            (r#""mode":"nope""#, "Invalid config.mode: \"nope\""),
            (r#""mode":7"#, "Invalid config.mode"),
            (r#""frozen_message_count":-1"#, "Invalid config.frozen_message_count: -1"),
            (r#""frozen_message_count":true"#, "Invalid config.frozen_message_count: true"),
            (r#""min_tokens_to_crush":1.5"#, "Invalid config.min_tokens_to_crush"),
            (r#""max_items_after_crush":0"#, "Invalid config.max_items_after_crush"),
            (r#""scorer":"best""#, "Invalid config.scorer"),
            (r#""target_ratio":2"#, "Invalid config.target_ratio"),
            (r#""session_id":"""#, "Invalid config.session_id"),
            (r#""session_id":"s","compress_user_messages":true"#, "config.compress_user_messages"),
            (r#""compress_user_messages":"yes""#, "Invalid config.compress_user_messages"),
            (r#""profile":"best""#, "Invalid config.profile"),
        ] {
            let error = with(config).unwrap_err();
            assert!(error.starts_with(name), "{config}: {error}");
        }
        assert!(with(&format!(r#""session_id":"{}""#, "é".repeat(257))).is_err());
        assert!(with(&format!(r#""session_id":"{}""#, "é".repeat(256))).is_ok());
        let all = with(
            r#""mode":"ccr","min_tokens_to_crush":200,"max_items_after_crush":15,"scorer":"bm25","other":{},
               "frozen_message_count":3,"session_id":"s","protect_recent":4,"target_ratio":0.5,"profile":"lossless""#,
        )
        .unwrap();
        assert_eq!(
            (all.mode, all.min_tokens, all.frozen, all.profile),
            (Mode::Ccr, 200, 3, Profile::Lossless)
        );
        assert!(read(r#"{"model":"m","messages":[],"config":"x"}"#).is_ok(), "as in the original");
        let long = with(&format!(r#""mode":"{}""#, "é".repeat(1000))).unwrap_err();
        assert!(long.len() < 500, "{long}");
    }

    #[test]
    fn more_rows_or_settings_than_any_conversation_has_are_refused() {
        let rows = |count: usize| format!(r#"{{"model":"m","messages":[{}]}}"#, vec!["{}"; count].join(","));
        assert_eq!(read(&rows(MAX_ROWS)).unwrap().rows().len(), MAX_ROWS);
        let refused = read(&rows(MAX_ROWS + 1)).unwrap_err();
        assert_eq!(refused, "Invalid messages: expected at most 20000 rows, found 20001.");
        let long = "x".repeat(MAX_CONFIG_BYTES);
        let refused =
            read(&format!(r#"{{"model":"m","messages":[],"config":{{"a":"{long}"}}}}"#)).unwrap_err();
        assert_eq!(refused, "Invalid config: expected at most 65536 bytes.");
        let refused = read(&format!(r#"{{"model":"{long}","messages":[]}}"#)).unwrap_err();
        assert_eq!(refused, "Invalid model: expected at most 1024 bytes.");
    }

    #[test]
    fn of_a_long_array_no_more_is_kept_than_is_used() {
        let read: Leading<&RawValue, 3> = serde_json::from_str("[1,{},[2],\"x\",null]").unwrap();
        assert_eq!(read.elements.iter().map(|it| it.get()).collect::<Vec<_>>(), ["1", "{}", "[2]"]);
        assert_eq!(read.others, 2);
        assert!(serde_json::from_str::<Leading<&RawValue, 3>>("[1,2,3,4").is_err());
    }

    proptest! {
        #[test]
        fn no_body_ends_badly(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(asked) = CompressRequest::read(&body) {
                prop_assert!(asked.rows().all(is_object));
            }
        }

        #[test]
        fn no_settings_end_badly(config in "[{}\\[\\]\":,a-z0-9._-]{0,60}") {
            match read(&format!(r#"{{"model":"m","messages":[],"config":{config}}}"#)) {
                Ok(asked) => prop_assert_eq!(asked.model, "m"),
                Err(error) => prop_assert!(!error.is_empty() && error.len() < 500, "{}", error),
            }
        }
    }
}
