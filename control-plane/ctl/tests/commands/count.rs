//! `headroomctl count` against a scripted counter, over HTTP and over TLS.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const KEY: &str = "sk-secret-0123456789";

#[derive(Default)]
struct Script {
    answers: VecDeque<(u16, String)>,
    /// Path and query, headers as text, body.
    asked: Vec<(String, String, Value)>,
}

type Scripted = Arc<Mutex<Script>>;

async fn answer(State(script): State<Scripted>, request: Request) -> (StatusCode, String) {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let mut script = script.lock().unwrap();
    let headers = format!("{:?}", parts.headers);
    script.asked.push((parts.uri.to_string(), headers, serde_json::from_slice(&body).unwrap()));
    let (status, text) = script.answers.pop_front().unwrap_or((500, "nothing scripted".to_owned()));
    (StatusCode::from_u16(status).unwrap(), text)
}

async fn counter(answers: &[(u16, Value)]) -> (Scripted, String) {
    let answers = answers.iter().map(|(status, body)| (*status, body.to_string())).collect();
    let script = Arc::new(Mutex::new(Script { answers, asked: Vec::new() }));
    let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (script, url)
}

async fn count(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_headroomctl"));
    command.arg("count").args(arguments).env_clear().envs(variables.iter().copied());
    command.output().await.unwrap()
}

fn line(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn file(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn says(output: &Output, code: i32, text: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(text), "{error}");
    assert!(!error.contains(KEY) && !String::from_utf8_lossy(&output.stdout).contains(KEY), "{error}");
}

#[tokio::test]
async fn each_counter_is_asked_in_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "system": "s",
        "messages": [{"role": "user", "content": "Hello, how are you?"}]});
    let request = file(folder.path(), "request.json", &body.to_string());
    let text = file(folder.path(), "text.txt", "Hello, how are you?");
    let gemini =
        file(folder.path(), "gemini.json", r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#);

    let (script, url) = counter(&[(200, json!({"input_tokens": 14}))]).await;
    let told = line(
        &count(
            &["--provider", "anthropic", "--url", &url, "--json", &request],
            &[("ANTHROPIC_API_KEY", KEY)],
        )
        .await,
    );
    assert_eq!((&told["provider_tokens"], &told["counted_as"]), (&json!(14), &json!("request")));
    assert!(told["local_tokens"].as_u64().unwrap() > 5 && told["local_estimate"] == true, "{told}");
    let (path, headers, asked) = script.lock().unwrap().asked.remove(0);
    assert_eq!(
        (path.as_str(), &asked["max_tokens"], &asked["system"]),
        ("/v1/messages/count_tokens", &Value::Null, &json!("s"))
    );
    assert!(headers.contains("\"anthropic-version\": \"2023-06-01\"") && headers.contains(KEY), "{headers}");

    let (script, url) = counter(&[(200, json!({"totalTokens": 3}))]).await;
    let told = line(
        &count(
            &["--provider", "google", "--model", "models/gemini-2.5-pro", "--url", &url, "--json", &gemini],
            &[("GOOGLE_API_KEY", KEY)],
        )
        .await,
    );
    assert_eq!(told["provider_tokens"], 3);
    let (path, _, asked) = script.lock().unwrap().asked.remove(0);
    assert_eq!(path, "/v1beta/models/gemini-2.5-pro:countTokens");
    assert_eq!(asked["generateContentRequest"]["model"], "models/gemini-2.5-pro");

    let long = file(folder.path(), "long.txt", &"word \n".repeat(15_000));
    let part = |tokens: usize| (200, json!({"tokens": vec![1; tokens], "token_strings": []}));
    let (script, url) = counter(&[part(5), part(30_000), part(7)]).await;
    let arguments = ["--provider", "cohere", "--model", "command-a-03-2025", "--url", &url, "--json"];
    let told = line(&count(&[&arguments[..], &[&request]].concat(), &[("CO_API_KEY", KEY)]).await);
    assert_eq!(
        (&told["provider_tokens"], &told["counted_as"]),
        (&json!(5), &json!("text")),
        "it counts texts"
    );
    let told = line(&count(&[&arguments[..], &[&long]].concat(), &[("CO_API_KEY", KEY)]).await);
    assert_eq!((&told["provider_tokens"], &told["note"]), (&json!(30_007), &json!("counted in 2 parts")));
    let asked = std::mem::take(&mut script.lock().unwrap().asked);
    assert!(
        asked[0].1.contains(&format!("Bearer {KEY}"))
            && asked[0].2["text"].as_str() == Some(body.to_string().as_str())
    );

    let answer = json!({"total_tokens": 6, "tokenizer_type": "anthropic_api", "error": false});
    let (script, url) = counter(&[(200, answer.clone()), (200, answer)]).await;
    let output =
        count(&["--provider", "litellm", "--model", "gpt-4o", "--url", &url, &text, &request], &[]).await;
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("counted by anthropic_api") && table.contains("request.json"), "{table}");
    let asked = std::mem::take(&mut script.lock().unwrap().asked);
    assert_eq!(
        (asked[0].0.as_str(), &asked[0].2["prompt"]),
        ("/utils/token_counter?call_endpoint=true", &json!("Hello, how are you?"))
    );
    assert_eq!(asked[1].2["messages"], body["messages"]);
}

#[tokio::test]
async fn what_may_pass_is_asked_again_and_what_will_not_is_told_without_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let text = file(folder.path(), "text.txt", "hello");
    let ask = async |url: &str, variables: &[(&str, &str)]| {
        count(&["--provider", "anthropic", "--model", "claude-x", "--url", url, "--json", &text], variables)
            .await
    };
    let key = [("ANTHROPIC_API_KEY", KEY)];
    let busy = (429, json!({"error": {"message": "slow down"}}));
    let (script, url) = counter(&[busy.clone(), (529, json!({})), (200, json!({"input_tokens": 8}))]).await;
    assert_eq!(line(&ask(&url, &key).await)["provider_tokens"], 8);
    assert_eq!(script.lock().unwrap().asked.len(), 3);

    let refusal = json!({"error": {"message": format!("invalid x-api-key {KEY}\u{1b}[2J")}});
    let (script, url) = counter(&[(401, refusal)]).await;
    says(&ask(&url, &key).await, 1, "answered 401 Unauthorized: invalid x-api-key [the key] [2J");
    assert_eq!(script.lock().unwrap().asked.len(), 1);

    let (_, url) = counter(&[(200, json!({"input_tokens": "8"}))]).await;
    says(&ask(&url, &key).await, 1, "no number at /input_tokens");
    let (_, url) = counter(&[(302, json!({}))]).await;
    says(&ask(&url, &key).await, 1, "answered 302");
    says(&ask("http://127.0.0.1:1", &key).await, 1, "cannot be reached");
    says(&ask(&url, &[("ANTHROPIC_API_KEY", "a\nb")]).await, 1, "characters that no header can carry");
    says(&ask("http://counter.example", &key).await, 1, "expected https://");
    says(&ask("file:///etc/passwd", &key).await, 1, "expected https://");
    says(&ask(&url, &[]).await, 2, "ANTHROPIC_API_KEY is not set");
    let (_, url) = counter(&[]).await;
    says(
        &count(&["--provider", "anthropic", "--url", &url, &text], &key).await,
        2,
        "--model: the file names no model",
    );
    says(&count(&["--provider", "mistral", &text], &[]).await, 2, "--tokenizer");
    says(&count(&["--provider", "mistral", "--tokenizer", &text, &text], &[]).await, 1, "tekken.json");
}

#[tokio::test]
async fn over_tls_the_counter_has_to_be_who_it_says() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = file(folder.path(), "ca.pem", &certified.cert.pem());
    let text = file(folder.path(), "text.txt", "hello");
    let key =
        tokio_rustls::rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certified.cert.der().clone()], key)
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut read = [0; 4096];
            let _ = stream.read(&mut read).await;
            let body = "{\"input_tokens\":4}";
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.ok();
        }
    });
    let arguments = ["--provider", "anthropic", "--model", "claude-x", "--url", &url, "--json", &text];
    let trusted = [("ANTHROPIC_API_KEY", KEY), ("SSL_CERT_FILE", authority.as_str())];
    assert_eq!(line(&count(&arguments, &trusted).await)["provider_tokens"], 4);
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = file(folder.path(), "other.pem", &other.cert.pem());
    says(
        &count(&arguments, &[("ANTHROPIC_API_KEY", KEY), ("SSL_CERT_FILE", &other)]).await,
        1,
        "cannot be reached: invalid peer certificate",
    );
}
