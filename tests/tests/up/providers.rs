//! Providers by name: each row of the table through real Envoy, to a server that answers in the provider's shape.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::client::{Answer, Call};
use headroom_e2e::deadline::until;
use headroomctl::providers::{Format, Row, Table};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{Up, command};

/// The header that selects the answer, and the name that the request is recorded under.
const ROW: &str = "x-row";

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
struct Arrived {
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// The answer to a row.
#[derive(Clone, Debug)]
struct Shape {
    /// The text after `HTTP/1.1 `, up to the body's length.
    head: String,
    body: String,
}

impl Shape {
    fn json(body: Value) -> Self {
        Self { head: "200 OK\r\ncontent-type: application/json".to_owned(), body: body.to_string() }
    }

    fn events(body: &str) -> Self {
        Self { head: "200 OK\r\ncontent-type: text/event-stream".to_owned(), body: body.to_owned() }
    }
}

/// One server for all providers.
struct Everyone {
    address: SocketAddr,
    arrived: Arc<Mutex<BTreeMap<String, Vec<Arrived>>>>,
}

impl Everyone {
    /// Answers a row's requests with `answers`, which gets the number of earlier ones.
    async fn start(answers: impl Fn(&str, usize, &Arrived) -> Shape + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let everyone = Self { address: listener.local_addr()?, arrived: Arc::default() };
        let (arrived, answers) = (everyone.arrived.clone(), Arc::new(answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (arrived, answers) = (arrived.clone(), answers.clone());
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Ok(Some(request)) = read(&mut stream).await {
                        let row = request.headers.get(ROW).cloned().unwrap_or_default();
                        let earlier = {
                            let mut arrived = arrived.lock().expect("no test panics with it");
                            let all = arrived.entry(row.clone()).or_default();
                            all.push(request.clone());
                            all.len() - 1
                        };
                        let Shape { head, body } = answers(&row, earlier, &request);
                        let answer =
                            format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Ok(everyone)
    }

    /// The requests of a row, in order.
    fn arrived(&self, row: &str) -> Vec<Arrived> {
        self.arrived.lock().expect("no test panics with it").get(row).cloned().unwrap_or_default()
    }

    fn one(&self, row: &str) -> Result<Arrived> {
        let all = self.arrived(row);
        ensure!(all.len() == 1, "{row}: {} requests", all.len());
        Ok(all[0].clone())
    }

    /// A base URL at this server, with the path of another.
    fn base(&self, url: &str) -> String {
        let path =
            url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
        let path = path.replace(['{', '}'], "");
        format!("http://{}/{path}", self.address).trim_end_matches('/').to_owned()
    }

    /// A providers.toml that leads rows of the table here, with their own paths.
    fn table(&self, rows: &[(&str, &Row)], more: &str) -> String {
        let mut text = String::new();
        for (name, row) in rows {
            text += &format!("[{name:?}]\nbase = {:?}\n", self.base(row.base.as_deref().unwrap_or_default()));
            if let Some(messages) = &row.messages {
                text += &format!("messages = {:?}\n", self.base(messages));
            }
        }
        text + more
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Result<Option<Arrived>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut request = Arrived {
        path: line.split(' ').nth(1).context("a request line has a path")?.to_owned(),
        ..Arrived::default()
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = Vec::new();
    if let Some(length) = request.headers.get("content-length") {
        body.resize(length.parse()?, 0);
        stream.read_exact(&mut body).await?;
    } else if request.headers.contains_key("transfer-encoding") {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).await?;
            let size = usize::from_str_radix(size.trim(), 16)?;
            let mut piece = vec![0; size + 2];
            stream.read_exact(&mut piece).await?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&piece[..size]);
        }
    }
    request.body = String::from_utf8(body)?;
    Ok(Some(request))
}

/// A tool output that gets shorter.
fn output() -> String {
    let rows: Vec<Value> = (0..60).map(|id| json!({"id": id, "name": "row", "state": "ready"})).collect();
    serde_json::to_string_pretty(&rows).unwrap_or_default()
}

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [
        {"role": "user", "content": "List them."},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "abcdefghi", "type": "function", "function": {"name": "list", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": output()}]})
}

fn messages() -> Value {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": [
        {"role": "user", "content": "List them."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "list", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": output()}]}]})
}

fn gemini() -> Value {
    json!({"contents": [
        {"role": "user", "parts": [{"text": "List them."}]},
        {"role": "model", "parts": [{"functionCall": {"name": "list", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "list", "response": {"output": output()}}}]}]})
}

fn converse() -> Value {
    json!({"messages": [
        {"role": "user", "content": [{"text": "List them."}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "list", "input": {}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": output()}]}}]}]})
}

fn completion(extra: Value) -> Value {
    let mut answer = json!({"id": "c1", "object": "chat.completion", "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "done"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1234, "completion_tokens": 5, "total_tokens": 1239}});
    if let (Some(answer), Value::Object(extra)) = (answer.as_object_mut(), extra) {
        answer.extend(extra);
    }
    answer
}

/// `up` with these options, and this providers.toml.
async fn up(table: &str, options: &[&str], variables: &[(&str, &str)]) -> Result<Up> {
    let workspace = tempfile::tempdir()?;
    let config = workspace.path().join("config");
    fs::create_dir(&config)?;
    fs::write(config.join("providers.toml"), table)?;
    started(workspace, &config, options, variables).await
}

async fn started(
    workspace: tempfile::TempDir,
    config: &Path,
    options: &[&str],
    variables: &[(&str, &str)],
) -> Result<Up> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let mut command = command(workspace.path(), &options).await?;
    command.env("HEADROOM_CONFIG_DIR", config).envs(variables.iter().copied());
    Up::spawn(command, workspace).await
}

fn call(path: &str, row: &str, body: &Value) -> Call {
    Call::post(path, body.to_string()).header("authorization", "Bearer client").header(ROW, row)
}

#[tokio::test]
async fn providers_of_every_row_get_whole_paths_their_own_host_and_a_shorter_body() -> Result<()> {
    let everyone = Everyone::start(|_, _, _| Shape::json(completion(json!({})))).await?;
    let table = Table::built_in();
    let rows: Vec<(&str, &Row)> = table.rows().collect();
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    let up = up(&everyone.table(&rows, ""), &[&format!("--provider={}", names.join(","))], &[]).await?;
    for (name, row) in &rows {
        let base = everyone.base(row.base.as_deref().unwrap_or_default());
        let prefix =
            base.strip_prefix(&format!("http://{}", everyone.address)).context("a base URL here")?.to_owned();
        let is_native = row.native.unwrap_or_default();
        let chat = chat("m").to_string();
        let speaks_chat = row.formats().contains(&Format::Chat);
        if !is_native && speaks_chat {
            for (path, kind) in [("v1/chat/completions?a=b", "v1"), ("chat/completions?a=b", "plain")] {
                let key = format!("{name}-{kind}");
                let sent = call(&format!("/{name}/{path}"), &key, &self::chat("m"));
                let answer = up.send(sent).await?;
                ensure!(answer.status == 200, "{name}: {}", answer.text());
                let arrived = everyone.one(&key)?;
                ensure!(arrived.path == format!("{prefix}/chat/completions?a=b"), "{name}: {}", arrived.path);
                ensure!(arrived.headers["host"] == everyone.address.to_string(), "{name}");
                ensure!(arrived.headers["authorization"] == "Bearer client", "{name}");
                ensure!(arrived.body.len() < chat.len(), "{name}: it is not shorter");
                ensure!(answer.header("x-headroom-outcome") == Some("compressed"), "{name}");
            }
        } else {
            let key = format!("{name}-as-it-is");
            up.send(call(&format!("/{name}/some/path?a=b"), &key, &json!({}))).await?;
            let arrived = everyone.one(&key)?;
            ensure!(arrived.path == format!("{prefix}/some/path?a=b"), "{name}: {}", arrived.path);
        }
        if let Some(to) = &row.messages {
            let key = format!("{name}-messages");
            let body = messages();
            up.send(call(&format!("/{name}/v1/messages?beta=true"), &key, &body)).await?;
            let arrived = everyone.one(&key)?;
            let to = everyone.base(to).replace(&format!("http://{}", everyone.address), "");
            ensure!(arrived.path == format!("{to}/v1/messages?beta=true"), "{name}: {}", arrived.path);
            ensure!(arrived.body.len() < body.to_string().len(), "{name}");
        }
    }
    Ok(())
}

/// A provider's special wire format: the request of its clients, and an answer in its format.
struct Quirk {
    provider: &'static str,
    path: &'static str,
    body: Value,
    arrives: &'static str,
    answer: Shape,
}

fn quirk(
    provider: &'static str,
    path: &'static str,
    body: Value,
    arrives: &'static str,
    answer: Shape,
) -> Quirk {
    Quirk { provider, path, body, arrives, answer }
}

/// Chunks of OpenAI's stream, each with additional fields.
fn chunks(extras: &[Value]) -> Shape {
    let mut text = String::new();
    for extra in extras {
        let mut chunk = json!({"id": "c1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "é"}}]});
        if let (Some(chunk), Some(extra)) = (chunk.as_object_mut(), extra.as_object()) {
            chunk.extend(extra.clone());
        }
        text += &format!("data: {chunk}\n\n");
    }
    Shape::events(&(text + "data: [DONE]\n\n"))
}

fn streamed(model: &str) -> Value {
    let mut body = chat(model);
    body["stream"] = true.into();
    body
}

fn quirks() -> Vec<Quirk> {
    let usage = json!({"prompt_tokens": 1234, "completion_tokens": 5});
    let last = |extra: Value| chunks(&[json!({}), extra]);
    let reasoning = json!({"choices": [{"index": 0, "finish_reason": "stop", "message": {
        "role": "assistant", "content": "done", "reasoning_content": "I think"}}]});
    let anthropic = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "done"}], "usage": {"input_tokens": 1234, "output_tokens": 5}});
    let chat_path = "/v1/chat/completions";
    vec![
        quirk(
            "groq",
            chat_path,
            streamed("m"),
            "/openai/v1/chat/completions",
            last(json!({"x_groq": {"id": "r", "usage": usage}, "usage": usage})),
        ),
        quirk(
            "mistral",
            chat_path,
            chat("m"),
            "/v1/chat/completions",
            Shape::json(completion(
                json!({"usage": {"prompt_tokens": 1234, "completion_tokens": 5, "num_cached_tokens": 0}}),
            )),
        ),
        quirk(
            "deepseek",
            chat_path,
            chat("m"),
            "/v1/chat/completions",
            Shape::json(completion(reasoning.clone())),
        ),
        quirk(
            "moonshot",
            chat_path,
            streamed("m"),
            "/v1/chat/completions",
            last(
                json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}], "usage": usage}),
            ),
        ),
        quirk(
            "minimax",
            chat_path,
            chat("m"),
            "/v1/chat/completions",
            Shape::json(completion(
                json!({"base_resp": {"status_code": 0, "status_msg": ""}, "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "<think>\nI think\n</think>\n\ndone"}}]}),
            )),
        ),
        quirk(
            "zai",
            chat_path,
            chat("m"),
            "/api/paas/v4/chat/completions",
            Shape::json(completion(reasoning.clone())),
        ),
        quirk(
            "bigmodel",
            chat_path,
            streamed("m"),
            "/api/paas/v4/chat/completions",
            last(json!({"usage": usage, "web_search": []})),
        ),
        quirk(
            "dashscope",
            chat_path,
            streamed("m"),
            "/compatible-mode/v1/chat/completions",
            last(json!({"choices": [], "usage": usage})),
        ),
        quirk(
            "openrouter",
            chat_path,
            streamed("m"),
            "/api/v1/chat/completions",
            Shape::events(&format!(
                ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\ndata: {}\n\ndata: [DONE]\n\n",
                json!({"id": "g", "provider": "X", "choices": [{"index": 0, "delta": {"content": "done"}}], "usage": usage})
            )),
        ),
        quirk(
            "xai",
            chat_path,
            chat("m"),
            "/v1/chat/completions",
            Shape::json(completion(
                json!({"usage": {"prompt_tokens": 1234, "completion_tokens": 5, "num_sources_used": 0}}),
            )),
        ),
        quirk(
            "fireworks",
            chat_path,
            chat("m"),
            "/inference/v1/chat/completions",
            Shape::json(completion(json!({"perf_metrics": null}))),
        ),
        quirk(
            "together",
            chat_path,
            chat("m"),
            "/v1/chat/completions",
            Shape::json(completion(json!({"prompt": []}))),
        ),
        quirk(
            "huggingface",
            chat_path,
            chat("m:provider"),
            "/v1/chat/completions",
            Shape::json(completion(json!({"system_fingerprint": ""}))),
        ),
        quirk(
            "github",
            "/chat/completions",
            chat("openai/m"),
            "/inference/chat/completions",
            Shape::json(completion(json!({"prompt_filter_results": []}))),
        ),
        quirk(
            "perplexity",
            "/chat/completions",
            chat("sonar"),
            "/chat/completions",
            Shape::json(completion(json!({"citations": ["https://a"], "search_results": []}))),
        ),
        quirk(
            "deepinfra",
            "/chat/completions",
            chat("a/m"),
            "/v1/openai/chat/completions",
            Shape::json(completion(
                json!({"usage": {"prompt_tokens": 1234, "completion_tokens": 5, "estimated_cost": 0.1}}),
            )),
        ),
        quirk(
            "novita",
            "/chat/completions",
            chat("a/m"),
            "/v3/openai/chat/completions",
            Shape::json(completion(json!({}))),
        ),
        quirk(
            "telnyx",
            "/chat/completions",
            chat("a/m"),
            "/v2/ai/chat/completions",
            Shape::json(completion(json!({}))),
        ),
        quirk(
            "volcengine",
            "/chat/completions",
            streamed("ep-1"),
            "/api/v3/chat/completions",
            last(json!({"service_tier": "default", "choices": [], "usage": usage})),
        ),
        quirk(
            "workers_ai",
            chat_path,
            chat("@cf/a/m"),
            "/client/v4/accounts/account/ai/v1/chat/completions",
            Shape::json(completion(json!({}))),
        ),
        quirk(
            "databricks",
            chat_path,
            chat("m"),
            "/serving-endpoints/chat/completions",
            Shape::json(completion(json!({}))),
        ),
        quirk(
            "cerebras",
            chat_path,
            chat("m"),
            "/v1/chat/completions",
            Shape::json(completion(json!({"time_info": {"queue_time": 0.1}}))),
        ),
        quirk(
            "azure_openai",
            "/openai/deployments/d/chat/completions?api-version=1",
            chat("m"),
            "/openai/deployments/d/chat/completions?api-version=1",
            Shape::json(completion(json!({"prompt_filter_results": []}))),
        ),
        quirk(
            "azure_ai",
            "/v1/messages",
            messages(),
            "/anthropic/v1/messages",
            Shape::json(anthropic.clone()),
        ),
        quirk("anthropic", "/v1/messages", messages(), "/v1/messages", Shape::json(anthropic.clone())),
        quirk(
            "vertex_ai",
            "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
            messages(),
            "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
            Shape::json(anthropic),
        ),
        quirk(
            "gemini",
            "/v1beta/models/m:generateContent",
            gemini(),
            "/v1beta/models/m:generateContent",
            Shape::json(
                json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "done"}]}, "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 1234, "candidatesTokenCount": 5}}),
            ),
        ),
        quirk(
            "bedrock",
            "/model/m/converse",
            converse(),
            "/model/m/converse",
            Shape::json(
                json!({"output": {"message": {"role": "assistant", "content": [{"text": "done"}]}}, "stopReason": "end_turn", "usage": {"inputTokens": 1234, "outputTokens": 5, "totalTokens": 1239}}),
            ),
        ),
        quirk(
            "ollama",
            chat_path,
            chat("m"),
            "/v1/chat/completions",
            Shape::json(completion(json!({"system_fingerprint": "fp_ollama"}))),
        ),
        quirk(
            "vllm",
            chat_path,
            streamed("m"),
            "/v1/chat/completions",
            last(json!({"choices": [], "usage": usage})),
        ),
    ]
}

#[tokio::test]
async fn providers_with_shapes_of_their_own_are_compressed_and_their_answers_arrive_byte_for_byte()
-> Result<()> {
    let quirks = Arc::new(quirks());
    let answers = quirks.clone();
    let everyone = Everyone::start(move |row, _, _| {
        let quirk = answers.iter().find(|quirk| quirk.provider == row);
        quirk.map_or_else(|| Shape::json(json!({})), |quirk| quirk.answer.clone())
    })
    .await?;
    let table = Table::built_in();
    let find = |name: &str| table.find(name).context("a row of the table");
    let rows: Vec<(&str, &Row)> = quirks.iter().map(|quirk| find(quirk.provider)).collect::<Result<_>>()?;
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    let up = up(&everyone.table(&rows, ""), &[&format!("--provider={}", names.join(","))], &[]).await?;
    for quirk in quirks.iter() {
        let name = quirk.provider;
        let answer = up.send(call(&format!("/{name}{}", quirk.path), name, &quirk.body)).await?;
        ensure!(answer.status == 200 && answer.text() == quirk.answer.body, "{name}: {}", answer.text());
        let arrived = everyone.one(name)?;
        ensure!(arrived.path == quirk.arrives, "{name}: {}", arrived.path);
        ensure!(arrived.body.len() < quirk.body.to_string().len(), "{name}: {}", arrived.body);
    }
    let label = |name: &str| {
        let row = rows.iter().find(|(known, _)| *known == name).map(|(_, row)| *row);
        row.and_then(|row| row.label.clone()).unwrap_or_else(|| name.to_owned())
    };
    let mut expected: Vec<String> = quirks.iter().map(|quirk| label(quirk.provider)).collect();
    expected.sort();
    let records = until("each has a record", || async {
        let feed = up.send(Call::get("/transformations/feed?limit=100")).await.ok()?;
        let feed: Value = serde_json::from_slice(&feed.body).ok()?;
        let records = feed["transformations"].as_array()?.clone();
        (records.len() == quirks.len()).then_some(records)
    })
    .await?;
    let mut found: Vec<&str> = records.iter().filter_map(|record| record["provider"].as_str()).collect();
    found.sort_unstable();
    ensure!(found == expected, "under other names: {found:?}");
    // The usage of each answer was read, wherever it is in the answer.
    for record in &records {
        ensure!(record["usage"]["input_tokens"] == 1234, "{record}");
    }
    Ok(())
}

fn refused(answer: &Answer, status: u16) -> Result<()> {
    ensure!(answer.status == status, "{}: {}", answer.status, answer.text());
    Ok(())
}

#[tokio::test]
async fn providers_get_a_key_of_this_machine_a_limit_for_each_key_and_second_tries_as_their_rows_say()
-> Result<()> {
    let everyone = Everyone::start(|row, earlier, _| match (row, earlier) {
        ("busy", 0) => Shape {
            head: "429 Too Many Requests\r\nretry-after: 1\r\ncontent-type: application/json".to_owned(),
            body: "{}".to_owned(),
        },
        _ => Shape::json(completion(json!({}))),
    })
    .await?;
    let base = format!("http://{}", everyone.address);
    let table = format!(
        "[openrouter]\nbase = \"{base}/api/v1\"\n[mine]\nbase = \"{base}/mine/v9\"\nmodels = [\"mine-*\"]\nlimit = {{ \
         requests_per_minute = 1, burst = 2 }}\n[anthropic]\nbase = \"{base}\"\n"
    );
    let options = ["--provider", "openrouter=TEST_KEY,mine,anthropic=TEST_KEY", "--openai-api-url", &base];
    let up = up(&table, &options, &[("TEST_KEY", "sk-own")]).await?;
    let chat_of = |model: &str| self::chat(model);

    up.send(call("/openrouter/v1/chat/completions", "key", &chat_of("m"))).await?;
    assert_eq!(everyone.one("key")?.headers["authorization"], "Bearer sk-own");
    up.send(call("/anthropic/v1/messages", "x-key", &messages())).await?;
    let arrived = everyone.one("x-key")?;
    assert_eq!(arrived.headers["x-api-key"], "sk-own");
    assert!(!arrived.headers.contains_key("authorization"), "the client's own key stays here");
    let page = call("/openrouter/v1/chat/completions", "page", &chat_of("m"))
        .header("origin", "https://evil.example");
    let answer = up.send(page).await?;
    refused(&answer, 403)?;
    assert!(answer.text().contains("Origin") && everyone.arrived("page").is_empty());
    let yaml = fs::read_to_string(up.workspace.path().join("run/envoy.yaml"))?;
    assert!(
        yaml.contains("%ENVIRONMENT(TEST_KEY)%") && !yaml.contains("sk-own"),
        "the key stands in no file"
    );

    let busy = up.send(call("/openrouter/v1/chat/completions", "busy", &chat_of("m"))).await?;
    refused(&busy, 200)?;
    assert_eq!(everyone.arrived("busy").len(), 2, "tried again behind the wait that was asked for");

    let keyed = |key: &str, row: &str| {
        Call::post("/mine/chat/completions", chat_of("mine-1").to_string())
            .header("authorization", &format!("Bearer {key}"))
            .header(ROW, row)
    };
    for _ in 0..2 {
        refused(&up.send(keyed("a", "a")).await?, 200)?;
    }
    let answer = up.send(keyed("a", "a")).await?;
    refused(&answer, 429)?;
    assert_eq!(answer.header("retry-after"), Some("60"));
    refused(&up.send(keyed("b", "b")).await?, 200)?;
    assert_eq!((everyone.arrived("a").len(), everyone.arrived("b").len()), (2, 1));

    let by_model = |model: &str, row: &str| {
        Call::post("/v1/chat/completions", chat_of(model).to_string())
            .header("authorization", &format!("Bearer {row}"))
            .header(ROW, row)
    };
    refused(&up.send(by_model("mine-2", "by-model")).await?, 200)?;
    let arrived = everyone.one("by-model")?;
    assert_eq!(arrived.path, "/mine/v9/chat/completions");
    assert!(arrived.body.contains("\"mine-2\"") && arrived.body.len() < chat_of("mine-2").to_string().len());
    refused(&up.send(by_model("gpt-5", "other-model")).await?, 200)?;
    assert_eq!(everyone.one("other-model")?.path, "/v1/chat/completions");
    Ok(())
}

#[tokio::test]
async fn providers_that_are_the_backend_get_what_names_nobody_and_prices_and_budgets_hold_for_them()
-> Result<()> {
    let everyone = Everyone::start(|_, _, _| Shape::json(completion(json!({})))).await?;
    let table = Table::built_in();
    let rows: Vec<(&str, &Row)> = table.rows().filter(|(name, _)| ["zai", "groq"].contains(name)).collect();
    let workspace = tempfile::tempdir()?;
    let config = workspace.path().join("config");
    fs::create_dir(&config)?;
    fs::write(config.join("providers.toml"), everyone.table(&rows, ""))?;
    let prices = json!({"zai": {"context_limits": {"glm-x": 1000}, "pricing": {"glm-x": {"input": 1000.0, "output": 0.0}}}});
    fs::write(config.join("models.json"), prices.to_string())?;
    let budgets = json!({"budgets": [{"per": "key", "window": "month", "usd": 1.0}]});
    fs::write(config.join("budgets.json"), budgets.to_string())?;
    let options = ["--backend", "anyllm", "--anyllm-provider", "zai", "--provider", "groq"];
    let up = started(workspace, &config, &options, &[]).await?;

    up.send(call("/v1/chat/completions", "chat", &chat("glm-x"))).await?;
    assert_eq!(everyone.one("chat")?.path, "/api/paas/v4/chat/completions");
    up.send(call("/v1/messages", "messages", &messages())).await?;
    assert_eq!(everyone.one("messages")?.path, "/api/anthropic/v1/messages");
    up.send(call("/groq/v1/chat/completions", "named", &chat("m"))).await?;
    assert_eq!(everyone.one("named")?.path, "/openai/v1/chat/completions");
    until("the budget is used up by 1234 tokens at 1,000 dollars a million", || async {
        let answer = up.send(call("/zai/v1/chat/completions", "budget", &chat("glm-x"))).await.ok()?;
        (answer.status == 429 && answer.text().contains("budget")).then_some(())
    })
    .await
}

/// A request with a tool and an output that is mostly left out.
fn asking() -> Value {
    let rows: Vec<Value> = (0..400)
        .map(|n| {
            json!({"id": 7919 * (n + 1), "status": if n == 40 { "failed" } else { "ok" }, "name": format!("deployment-{n}"),
                "region": "eu-central-1"})
        })
        .collect();
    let mut body = chat("m");
    body["tools"] =
        json!([{"type": "function", "function": {"name": "list", "parameters": {"type": "object"}}}]);
    body["messages"][2]["content"] = json!(rows).to_string().into();
    body
}

/// The hash in a shortened output.
fn hash(body: &str) -> Option<&str> {
    body.split("hash=").nth(1)?.get(..24)
}

#[tokio::test]
async fn providers_under_their_name_are_asked_to_go_on_where_the_model_wants_an_original_back() -> Result<()>
{
    let everyone = Everyone::start(|_, earlier, request| {
        let hash = hash(&request.body).unwrap_or_default();
        match earlier {
            0 => {
                let arguments = json!({"hash": hash, "lines": "1-2"}).to_string();
                let call = json!({"id": "call_ours", "type": "function",
                    "function": {"name": "headroom_retrieve", "arguments": arguments}});
                Shape::json(completion(json!({"choices": [{"index": 0, "finish_reason": "tool_calls",
                    "message": {"role": "assistant", "content": null, "tool_calls": [call]}}]})))
            }
            _ => Shape::json(completion(json!({}))),
        }
    })
    .await?;
    let table = Table::built_in();
    let names = ["groq", "zai", "openrouter"];
    let rows: Vec<(&str, &Row)> = table.rows().filter(|(name, _)| names.contains(name)).collect();
    let options = ["--provider", "groq=TEST_KEY,zai,openrouter"];
    let up = up(&everyone.table(&rows, ""), &options, &[("TEST_KEY", "sk-own")]).await?;
    for (name, path) in [
        ("groq", "/openai/v1/chat/completions"),
        ("zai", "/api/paas/v4/chat/completions"),
        ("openrouter", "/api/v1/chat/completions"),
    ] {
        for spelled in ["v1/chat/completions", "chat/completions"] {
            let row = format!("{name} {spelled}");
            let answer = up.send(call(&format!("/{name}/{spelled}"), &row, &asking())).await?;
            ensure!(answer.status == 200, "{row}: {}", answer.text());
            let text = answer.text();
            ensure!(
                text.contains("done") && !text.contains("headroom_retrieve"),
                "{row}: the client sees it: {text}"
            );
            let arrived = everyone.arrived(&row);
            ensure!(arrived.len() == 2, "{row}: {} requests", arrived.len());
            for request in &arrived {
                ensure!(request.path == path, "{row}: {}", request.path);
                ensure!(request.headers["host"] == everyone.address.to_string(), "{row}");
                let key = if name == "groq" { "Bearer sk-own" } else { "Bearer client" };
                ensure!(request.headers["authorization"] == key, "{row}: {:?}", request.headers);
            }
            let went_on = &arrived[1].body;
            let given = went_on.split("call_hr").nth(2).unwrap_or_default();
            ensure!(given.contains("deployment-"), "{row}: the original is not in it: {went_on}");
        }
    }
    Ok(())
}
