//! `POST /v1/retrieve/tool_call`: a model's call of `headroom_retrieve`, answered in the form of its provider.
//!
//! For programs that run the tool loop themselves. `tool_result` goes into the next request, with the same
//! text as from the filter; `data` is the answer of `/v1/retrieve`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse as _, Response};
use headroom_compress::rounds;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::App;
use super::error::Refusal;
use super::retrieve::{Tenant, answer, asked_of, not_found};
use crate::ledger::asked_back::retrieval;
use crate::relevance::RankedRange;

/// The tool's name; MCP clients add a prefix to it.
const TOOL: &str = "headroom_retrieve";
const MCP_TOOL: &str = "__headroom_retrieve";

/// A call, and the provider whose form it has.
#[derive(Debug, Deserialize)]
pub(super) struct ToolCallRequest {
    tool_call: Value,
    #[serde(default)]
    provider: Provider,
}

/// The provider whose form a call has.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Provider {
    #[default]
    Anthropic,
    /// Chat Completions, or Responses if there is no `function`.
    OpenAi,
    #[serde(alias = "gemini")]
    Google,
}

/// A parsed call.
#[derive(Clone, Debug, PartialEq)]
struct Call {
    id: Value,
    name: String,
    arguments: Value,
}

/// The answer to a call.
#[derive(Debug, Serialize)]
pub(super) struct ToolCallResponse {
    tool_result: Value,
    success: bool,
    data: Box<RawValue>,
}

/// `POST /v1/retrieve/tool_call`.
pub(super) async fn post(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    asked: Result<Json<ToolCallRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(ToolCallRequest { tool_call, provider }) =
        asked.map_err(|error| Refusal::query(error.body_text()))?;
    let call = Call::read(&tool_call, provider)
        .filter(|call| call.name == TOOL || call.name.ends_with(MCP_TOOL))
        .ok_or_else(|| Refusal::query(format!("tool_call: expected a call of {TOOL} from {provider:?}")))?;
    let text = |key: &str| call.arguments[key].as_str().unwrap_or_default().trim().to_owned();
    let (hash, query, lines) = (text("hash").to_ascii_lowercase(), text("query"), text("lines"));
    let noted = if query.is_empty() { &lines } else { &query };
    let found = app.originals.retrieve(&tenant, &hash, noted).await?;
    let told = move |content: String, data: Option<String>| {
        let failed = || json!({"hash": call.arguments["hash"], "error": content}).to_string();
        let success = data.is_some();
        let data = RawValue::from_string(data.unwrap_or_else(failed));
        let data = data.map_err(|_| Refusal::INTERNAL)?;
        let tool_result = provider.result(&tool_call, &call, &content);
        Ok::<_, Refusal>(ToolCallResponse { tool_result, success, data })
    };
    let Some(found) = found else { return Ok(Json(told(not_found(&app), None)?).into_response()) };
    let asked = rounds::RetrieveArguments { hash, query, lines };
    app.ledger.count_retrieval(retrieval(&found.about, &asked));
    // the search in a long text takes milliseconds and must not block other requests
    let answered = tokio::task::spawn_blocking(move || {
        let content = rounds::answer(&found.text, &asked).text;
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let (query, lines) = (given(&asked.query), given(&asked.lines));
        // If there are a query and a range, the model gets the range; an invalid range is ignored.
        let lines = lines.filter(|lines| rounds::PageRange::read(lines).is_some());
        let query = query.filter(|_| lines.is_none());
        let ranked = RankedRange::default();
        let data = asked_of(&found, &asked.hash, query.as_deref(), lines.as_deref(), &ranked).ok();
        let body = serde_json::to_vec(&told(content, data)?).map_err(|_| Refusal::INTERNAL)?;
        answer(body, found.room)
    });
    answered.await.map_err(|_| Refusal::INTERNAL)?
}

impl Call {
    /// `None` if it has another form.
    fn read(call: &Value, provider: Provider) -> Option<Self> {
        let spelled = |arguments: &Value| serde_json::from_str(arguments.as_str()?).ok();
        let (id, name, arguments) = match provider {
            Provider::Anthropic => (&call["id"], &call["name"], call["input"].clone()),
            Provider::OpenAi => match &call["function"] {
                Value::Null => (&call["call_id"], &call["name"], spelled(&call["arguments"])?),
                function => (&call["id"], &function["name"], spelled(&function["arguments"])?),
            },
            Provider::Google => {
                let call = call.get("functionCall").unwrap_or(call);
                (&call["id"], &call["name"], call["args"].clone())
            }
        };
        Some(Self { id: id.clone(), name: name.as_str()?.to_owned(), arguments })
    }
}

impl Provider {
    /// The element of the next request that answers the call.
    fn result(self, tool_call: &Value, call: &Call, content: &str) -> Value {
        let Call { id, name, .. } = call;
        match self {
            Self::Anthropic => json!({"type": "tool_result", "tool_use_id": id, "content": content}),
            Self::OpenAi if tool_call["function"].is_null() => {
                json!({"type": "function_call_output", "call_id": id, "output": content})
            }
            Self::OpenAi => json!({"role": "tool", "tool_call_id": id, "content": content}),
            Self::Google => {
                let mut response = json!({"name": name, "response": {"output": content}});
                if !id.is_null() {
                    response["id"] = id.clone();
                }
                json!({"functionResponse": response})
            }
        }
    }
}
