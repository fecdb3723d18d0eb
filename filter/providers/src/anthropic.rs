//! Anthropic Messages: `POST /v1/messages`.

pub(crate) mod answer;
pub(crate) mod breakpoints;
pub mod recovery;
pub(crate) mod request;
pub(crate) mod rounds;
pub(crate) mod usage;

use serde_json::json;

use crate::allowance::{Fact, is_name, number, seconds};
use crate::answer::AnswerReader;
use crate::api::Api;
use crate::format::{Credentials, Format, Part, Refusal};
use crate::memory_tools::{FILES_DEFINITION, memory_definitions};
use crate::own_tools::OwnTools;
use crate::prompt::Prompt;
use crate::provider::Provider;
use crate::retrieve_tool::{about, parameters};
use crate::rounds::{Editor, IdRules, Outputs};
use crate::route::{Purpose, Route};
use crate::tape::{NotUnderstood, Value};
use crate::walk::Walk;

/// The format.
pub(crate) struct Messages;

impl Format for Messages {
    fn name(&self) -> &'static str {
        "anthropic_messages"
    }

    fn provider(&self) -> &'static str {
        PROVIDER.name
    }

    fn read<'b>(&self, root: Value<'_, 'b>, walk: &mut Walk<'b>) -> Result<(), NotUnderstood> {
        request::read(root, walk)
    }

    fn part(&self, key: &[u8]) -> Part {
        request::part(key)
    }

    fn prompt<'t, 'b>(&self, root: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        breakpoints::prompt(root)
    }

    fn takes_breakpoints(&self) -> bool {
        true
    }

    fn takes_text_for_list(&self) -> bool {
        true
    }

    fn definition(&self) -> Option<&'static str> {
        Some(concat!("{", about!(), ",\"input_schema\":", parameters!(), "},"))
    }

    fn memory_definitions(&self) -> Option<&'static str> {
        Some(memory_definitions!("{", ",\"input_schema\":", "},"))
    }

    fn memory_files_definition(&self) -> Option<&'static str> {
        Some(FILES_DEFINITION)
    }

    fn ids(&self) -> IdRules {
        rounds::IDS
    }

    fn carries_traces(&self) -> bool {
        true
    }

    fn restore(
        &self,
        root: Value<'_, '_>,
        outputs: Outputs<'_>,
        editor: &mut Editor<'_>,
    ) -> Result<(), NotUnderstood> {
        rounds::restore(root, outputs, editor)
    }

    fn answer(&self, tools: OwnTools) -> Box<dyn AnswerReader> {
        Box::new(answer::Anthropic::new(tools))
    }

    fn refusal(&self, message: &str) -> Refusal {
        let error = json!({"type": "rate_limit_error", "message": message});
        Refusal::of_body(&json!({"type": "error", "error": error}))
    }

    fn credentials(&self) -> Credentials {
        Credentials { headers: &["x-api-key", "authorization"], query: false }
    }
}

/// Anthropic itself.
pub(crate) const PROVIDER: Provider =
    Provider { domains: &["anthropic.com"], route, ..Provider::named("anthropic") };

fn route(path: &str) -> Option<Route> {
    let route = Route::new(PROVIDER.name, Api::AnthropicMessages);
    match path {
        "/v1/messages" => Some(route),
        "/v1/messages/count_tokens" => Some(route.only_for(Purpose::Count)),
        _ => None,
    }
}

/// Whether this is a header that only the SDKs send.
pub(crate) fn is_sdk_header(name: &[u8]) -> bool {
    matches!(name, b"anthropic-version" | b"x-api-key")
}

/// Whether a credential is the login of a Claude subscription. API keys begin differently.
pub fn is_login(authorization: &[u8]) -> bool {
    let token = authorization.split_at_checked(b"Bearer ".len());
    token.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case(b"bearer ") && token.trim_ascii_start().starts_with(b"sk-ant-oat")
    })
}

/// The window of a subscription's allowance in a header's name, and the fact in its value:
/// `anthropic-ratelimit-unified-5h-utilization: 0.42`.
pub(crate) fn allowance<'h>(name: &'h [u8], value: &'h str) -> Option<(&'h str, Fact<'h>)> {
    let rest = name.strip_prefix(b"anthropic-ratelimit-unified-")?;
    let (window, what) = std::str::from_utf8(rest).ok()?.rsplit_once('-')?;
    let fact = match what {
        "utilization" => Fact::Used(number(value)?),
        "reset" => Fact::ResetsAt(seconds(value)?),
        "status" => Fact::Status(Some(value).filter(|status| is_name(status))?),
        _ => return None,
    };
    is_name(window).then_some((window, fact))
}
