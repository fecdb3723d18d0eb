//! Every wire format on the paths of all its providers: compressed like in the engine; bodies that only
//! look like a format pass unchanged.

use anyhow::Result;
use headroom_compress::{Api, Config, Memo, Request, compress};
use headroom_e2e::client::{Call, Protocol};
use serde_json::Value;

use crate::bodies::{anthropic, chat, pretty_pets};
use crate::stacks::{MAX_BODY_BYTES, MODES, assert_no_trap, forwarded, shared};
use crate::unread::passes;

/// This header makes the shared stacks' routes send any path to the provider.
pub(crate) const ROUTED: (&str, &str) = ("anthropic-version", "2023-06-01");

/// A request of the format around one tool output, in an unusual spelling.
fn body(api: Api, output: &str) -> Vec<u8> {
    let output = Value::from(output);
    let body = match api {
        Api::AnthropicMessages => return anthropic(output.as_str().unwrap_or_default()),
        Api::OpenAiChat => return chat(output.as_str().unwrap_or_default()),
        Api::AnthropicBedrock => format!(
            r#"{{"anthropic_version" : "bedrock-2023-05-31","max_tokens":1.0, "system":"Be br\u0069ef.","messages":[
{{"role":"user","content":"List the pets"}},
{{"role":"assistant","content":[{{"type":"redacted_thinking","data":"EmwKAhgB"}},{{"type":"tool_use","id":"toolu_bdrk_1","name":"list_pets","input":{{ }}}}]}},
{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_bdrk_1","content":{output}}}]}} ]}}"#
        ),
        Api::OpenAiResponses => format!(
            r#"{{ "model":"gpt-5","seed":9007199254740993,"input":[{{"role":"user","content":"List the p\u0065ts"}},
{{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAA\/=="}},
{{"type":"function_call","call_id":"call_1","name":"list_pets","arguments":"{{ }}"}},
{{"type":"function_call_output","call_id":"call_1","output":{output}}} ]}}"#
        ),
        Api::GeminiGenerateContent => format!(
            r#"{{ "generationConfig":{{"topK":40.0,"topK":40}},"contents":[{{"role":"user","parts":[{{"text":"List the p\u0065ts"}}]}},
{{"role":"model","parts":[{{"functionCall":{{"name":"list_pets","args":{{ }}}},"thoughtSignature":"c2ln\/"}}]}},
{{"role":"user","parts":[{{"functionResponse":{{"name":"list_pets","response":{{"output":{output}}}}}}}]}} ]}}"#
        ),
        Api::GeminiCodeAssist => {
            let request = String::from_utf8_lossy(&self::body(
                Api::GeminiGenerateContent,
                output.as_str().unwrap_or_default(),
            ))
            .into_owned();
            format!(
                r#"{{"model" : "gemini-2.5-pro","project":"p\/1","user_prompt_id":"u","request": {request} }}"#
            )
        }
        Api::BedrockConverse => format!(
            r#"{{ "inferenceConfig":{{"temperature":1.0}},"system":[{{"text":"Be br\u0069ef."}},{{"cachePoint":{{"type":"default"}}}}],"messages":[
{{"role":"user","content":[{{"text":"List the pets"}}]}},
{{"role":"assistant","content":[{{"reasoningContent":{{"redactedContent":"EmwKAhgB"}}}},{{"toolUse":{{"toolUseId":"t1","name":"list_pets","input":{{ }}}}}}]}},
{{"role":"user","content":[{{"toolResult":{{"toolUseId":"t1","content":[{{"text":{output}}},{{"json":{{"n":1.0}}}}],"status":"success"}}}}]}} ]}}"#
        ),
        Api::CohereChat => format!(
            r#"{{ "model":"command-a-03-2025","temperature":0.30,"messages":[{{"role":"user","content":"List the p\u0065ts"}},
{{"role":"assistant","tool_plan":"I will list them.","tool_calls":[{{"id":"l1","type":"function","function":{{"name":"list_pets","arguments":"{{ }}"}}}}]}},
{{"role":"tool","tool_call_id":"l1","content":[{{"type":"text","text":{output}}},{{"type":"document","document":{{"data":"[ 1,  2 ]"}}}}]}} ]}}"#
        ),
    };
    body.into_bytes()
}

/// The engine's result for it, with the model from the path.
fn shortened(api: Api, model: Option<&str>, body: &[u8]) -> Vec<u8> {
    let config = Config { max_body_bytes: MAX_BODY_BYTES, ..Config::default() };
    let request = Request { model, ..Request::new(api) };
    let shorter = compress(body, &request, &config, &mut Memo::new(16 << 20)).body.into_owned();
    assert!(shorter.len() < body.len(), "the engine shortens this body");
    shorter
}

const VERTEX: &str = "/v1/projects/p/locations/global/publishers";

#[tokio::test]
async fn every_format_is_compressed_on_the_paths_of_everybody_who_speaks_it() -> Result<()> {
    let vertex = |end: &str| format!("{VERTEX}/{end}");
    let paths: [(String, Api, Option<&str>); 22] = [
        ("/v1/messages?beta=true".into(), Api::AnthropicMessages, None),
        (
            vertex("anthropic/models/claude-sonnet-4-5@20250929:rawPredict"),
            Api::AnthropicMessages,
            Some("claude-sonnet-4-5@20250929"),
        ),
        (
            vertex("anthropic/models/claude-opus-4%4020250514:streamRawPredict"),
            Api::AnthropicMessages,
            Some("claude-opus-4@20250514"),
        ),
        (
            "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke".into(),
            Api::AnthropicBedrock,
            Some("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ),
        (
            "/model/anthropic.claude-3-haiku-20240307-v1:0/invoke-with-response-stream".into(),
            Api::AnthropicBedrock,
            Some("anthropic.claude-3-haiku-20240307-v1:0"),
        ),
        (
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fq9/invoke".into(),
            Api::AnthropicBedrock,
            Some("arn:aws:bedrock:us-east-1:1:application-inference-profile/q9"),
        ),
        ("/model/amazon.nova-pro-v1%3A0/converse".into(), Api::BedrockConverse, Some("amazon.nova-pro-v1:0")),
        (
            "/model/eu.anthropic.claude-opus-4-1/converse-stream".into(),
            Api::BedrockConverse,
            Some("eu.anthropic.claude-opus-4-1"),
        ),
        ("/v1/chat/completions".into(), Api::OpenAiChat, None),
        (vertex("mistralai/models/mistral-medium-3:rawPredict"), Api::OpenAiChat, Some("mistral-medium-3")),
        ("/openai/v1/chat/completions".into(), Api::OpenAiChat, None),
        (
            "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21".into(),
            Api::OpenAiChat,
            Some("my-gpt"),
        ),
        ("/v1beta/openai/chat/completions".into(), Api::OpenAiChat, None),
        ("/v1/responses".into(), Api::OpenAiResponses, None),
        ("/openai/responses?api-version=2025-04-01-preview".into(), Api::OpenAiResponses, None),
        (
            "/v1/models/gemini-2.5-pro:generateContent".into(),
            Api::GeminiGenerateContent,
            Some("gemini-2.5-pro"),
        ),
        (
            "/v1beta/models/gemini-2.5-pro:generateContent?key=k".into(),
            Api::GeminiGenerateContent,
            Some("gemini-2.5-pro"),
        ),
        (
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse".into(),
            Api::GeminiGenerateContent,
            Some("gemini-2.5-pro"),
        ),
        (
            vertex("google/models/gemini-2.5-pro:streamGenerateContent"),
            Api::GeminiGenerateContent,
            Some("gemini-2.5-pro"),
        ),
        ("/v1internal:generateContent".into(), Api::GeminiCodeAssist, None),
        ("/v1internal:streamGenerateContent?alt=sse".into(), Api::GeminiCodeAssist, None),
        ("/v2/chat".into(), Api::CohereChat, None),
    ];
    for mode in MODES {
        let stack = shared(mode, Protocol::Http1).await?;
        for (path, api, model) in &paths {
            let body = body(*api, &pretty_pets(40));
            let call = Call::post(path, body.clone()).header(ROUTED.0, ROUTED.1);
            let (answer, _) = stack.exchange(path, Protocol::Http1, call).await?;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("x-headroom-outcome"), Some("compressed"), "{path}");
            let got = forwarded(&stack.provider, path);
            assert_eq!(got.path, *path, "the path arrives as it was spelled");
            assert_eq!(got.body, shortened(*api, *model, &body), "{mode:?} {path}");
            if let Some(model) = model {
                assert_eq!(answer.header("x-headroom-model").is_some(), model.is_ascii());
            }
        }
        assert_no_trap(stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_only_looks_like_a_format_passes_with_its_length() -> Result<()> {
    for (path, api) in [
        ("/v1/messages/batches", Api::AnthropicMessages),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
            Api::AnthropicMessages,
        ),
        ("/v1/projects/p/locations/l/publishers/meta/models/llama:rawPredict", Api::OpenAiChat),
        ("/model/amazon.titan-text/invoke", Api::AnthropicBedrock),
        ("/model/anthropic.claude/count-tokens", Api::BedrockConverse),
        ("/openai/deployments/d/embeddings", Api::OpenAiChat),
        ("/v1/fim/completions", Api::OpenAiChat),
        ("/v1/batches", Api::OpenAiChat),
        ("/v1beta/models/g:countTokens", Api::GeminiGenerateContent),
        ("/v1beta/models/g:batchGenerateContent", Api::GeminiGenerateContent),
        ("/v1internal:countTokens", Api::GeminiCodeAssist),
        ("/v1internal:loadCodeAssist", Api::GeminiCodeAssist),
        ("/backend-api/wham/accounts/check", Api::OpenAiResponses),
        ("/v2/embed", Api::CohereChat),
        ("/v9/of/tomorrow", Api::AnthropicMessages),
    ] {
        passes(&format!("{path} looks like one"), true, || {
            let body = body(api, &pretty_pets(30));
            (Call::post(path, body.clone()).header(ROUTED.0, ROUTED.1), body)
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_of_another_format_than_the_paths_passes() -> Result<()> {
    for (path, api) in [
        // Another family's body with a name that does not reveal the family.
        ("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprovisioned-model%2Fq9/invoke", Api::OpenAiChat),
        ("/model/m/converse", Api::GeminiGenerateContent),
        ("/model/m/converse-stream", Api::AnthropicMessages),
        ("/v2/chat", Api::OpenAiResponses),
        ("/v1beta/models/g:generateContent", Api::OpenAiChat),
    ] {
        passes(&format!("{path} {api:?}"), false, || {
            let body = body(api, &pretty_pets(30));
            (Call::post(path, body.clone()).header(ROUTED.0, ROUTED.1), body)
        })
        .await?;
    }
    Ok(())
}
