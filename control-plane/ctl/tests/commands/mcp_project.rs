//! Memory over MCP over HTTP: one server for clients in several projects, each of which names its own in a header.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// The requests that a headroomd received.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

async fn answer(
    State(asked): State<Asked>,
    Path(what): Path<String>,
    Json(body): Json<Value>,
) -> Json<Value> {
    asked.lock().unwrap().push((what, body));
    Json(json!({"saved": [], "found": [], "facts": []}))
}

async fn headroomd() -> (Asked, String) {
    let asked = Asked::default();
    let router = Router::new().route("/v1/memory/{what}", post(answer)).with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (asked, url)
}

/// `headroomctl mcp --memory --http`; killed when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(headroomd: &str, folder: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_headroomctl"))
            .args(["mcp", "--memory", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:1", "--url", headroomd])
            .env_clear()
            .env("HOME", folder)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().last().unwrap_or_default().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A client that initializes the session and then calls a tool.
async fn call(server: &Server, project: Option<&str>, tool: &str, arguments: Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("accept", "application/json, text/event-stream".parse().unwrap());
    if let Some(project) = project {
        headers.insert("x-headroom-project", project.parse().unwrap());
    }
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "some-agent", "version": "1"}}});
    let greeted = client.post(&server.url).headers(headers.clone()).json(&hello).send().await.unwrap();
    assert!(greeted.status().is_success(), "{}", greeted.status());
    headers.insert("mcp-session-id", greeted.headers()["mcp-session-id"].clone());
    headers.insert("mcp-protocol-version", "2025-06-18".parse().unwrap());
    let begun = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    client.post(&server.url).headers(headers.clone()).json(&begun).send().await.unwrap();
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": tool, "arguments": arguments}});
    let answer = client.post(&server.url).headers(headers).json(&call).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let mut data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    let document = data.rfind(|data| !data.is_empty()).unwrap_or(&text);
    serde_json::from_str(document).unwrap_or_else(|_| panic!("{text}"))
}

#[tokio::test]
async fn each_client_finds_the_project_that_it_names_and_none_without_a_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(".git")).unwrap();
    let (asked, url) = headroomd().await;
    let server = Server::start(&url, folder.path());
    for (project, expected) in
        [(Some("/src/shop"), "/src/shop"), (Some(" other "), "other"), (None, ""), (Some("  "), "")]
    {
        for (tool, what, arguments) in [
            ("memory_save", "save", json!({"content": "a fact", "importance": 0.5})),
            ("memory_search", "search", json!({"query": "fact"})),
        ] {
            let answer = call(&server, project, tool, arguments).await;
            assert_ne!(answer["result"]["isError"], true, "{answer}");
            let (found, body) = asked.lock().unwrap().pop().unwrap();
            let of = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            assert_eq!((found.as_str(), of("project").as_str()), (what, expected), "{body}");
            assert_eq!((of("agent"), of("via")), ("some-agent".to_owned(), "mcp".to_owned()), "{body}");
        }
    }
    assert!(asked.lock().unwrap().is_empty());
}
