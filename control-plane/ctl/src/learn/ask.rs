//! Asks a model, through the Headroom that runs on this machine, or an agent's own command line.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use headroom_learn::deadline::Deadline;
use headroom_learn::model::{head, tail};
use headroom_retry::Retry;
use serde_json::{Value, json};

use crate::environment::Environment;

/// Time limit of an answer.
const DEADLINE: Duration = Duration::from_secs(120);
/// Bytes of an answer.
const ANSWER: u64 = 1 << 20;
/// Tokens of an answer.
const TOKENS: u64 = 8192;

/// Runs an agent's command line without a terminal, with the question on its standard input.
pub(super) fn cli(name: &str, question: &str) -> anyhow::Result<String> {
    let arguments: &[&str] = match name {
        "claude" => &["--print", "--output-format", "text"],
        "gemini" | "qwen" => &["--output-format", "text"],
        "codex" => &["exec", "--skip-git-repo-check", "--sandbox", "read-only", "-"],
        _ => bail!("--cli: {name:?} is not known; expected claude, gemini, qwen or codex"),
    };
    // in an empty folder, so that the agent neither reads a project's instructions nor keeps a log for it
    let folder = tempfile::tempdir().context("a temporary folder cannot be made")?;
    let mut command = Command::new(name);
    command
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = Deadline::prepare(&mut command)
        .spawn()
        .with_context(|| format!("--cli: {name} cannot be started"))?;
    let deadline = Deadline::new(&child, DEADLINE);
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let question = question.to_owned();
    thread::spawn(move || {
        // if an agent ends before it has read everything, its exit code shows it
        let _ = input.map(|mut input| input.write_all(question.as_bytes()));
    });
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        let _ = errors.map(|errors| errors.take(ANSWER).read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut answer = Vec::new();
    let read = output.map(|output| output.take(ANSWER).read_to_end(&mut answer));
    let status = child.wait()?;
    if deadline.end() {
        bail!("--cli: {name} gave no answer within {} s", DEADLINE.as_secs());
    }
    if !status.success() {
        let errors = errors.join().unwrap_or_default();
        bail!("--cli: {name} ended with {status}: {}", tail(errors.trim(), 500));
    }
    read.transpose().with_context(|| format!("--cli: the answer of {name} cannot be read"))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Asks a provider's model through Headroom, over plain HTTP on this machine.
pub(super) async fn model(name: &str, question: &str, env: Environment<'_>) -> anyhow::Result<String> {
    let base = format!("http://127.0.0.1:{}", env.port(None)?);
    let key = |variables: &[&str]| {
        variables
            .iter()
            .find_map(|variable| env.get(variable))
            .with_context(|| format!("--model {name}: {} is not set", variables.join(" or ")))
    };
    let client = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build()?;
    let (request, text) = if name.starts_with("claude") {
        let body =
            json!({"model": name, "max_tokens": TOKENS, "messages": [{"role": "user", "content": question}]});
        let request = client
            .post(format!("{base}/v1/messages"))
            .header("x-api-key", key(&["ANTHROPIC_API_KEY"])?)
            .header("anthropic-version", "2023-06-01")
            .json(&body);
        (request, "/content")
    } else if name.starts_with("gemini") {
        let body = json!({"contents": [{"role": "user", "parts": [{"text": question}]}]});
        let request = client
            .post(format!("{base}/v1beta/models/{name}:generateContent"))
            .header("x-goog-api-key", key(&["GEMINI_API_KEY", "GOOGLE_API_KEY"])?)
            .json(&body);
        (request, "/candidates/0/content/parts")
    } else {
        let body = json!({"model": name, "messages": [{"role": "user", "content": question}]});
        let request = client
            .post(format!("{base}/v1/chat/completions"))
            .bearer_auth(key(&["OPENAI_API_KEY"])?)
            .json(&body);
        (request, "/choices/0/message/content")
    };
    let answer = Retry::FAR.send(request).await.map_err(reqwest::Error::without_url).with_context(|| {
        format!("--model: no Headroom answers at {base}, and the question goes through it; start it with `headroomctl up`")
    })?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(reqwest::Error::without_url);
    let body = body.context("--model: the answer broke off")?;
    ensure!(
        status.is_success(),
        "--model {name}: the provider answered {status}: {}",
        head(&String::from_utf8_lossy(&body), 300)
    );
    let document: Value = serde_json::from_slice(&body).context("--model: the answer is no JSON")?;
    let content = document.pointer(text).unwrap_or(&Value::Null);
    let parts =
        content.as_array().into_iter().flatten().filter_map(|part| part.get("text").and_then(Value::as_str));
    let joined = content.as_str().map_or_else(|| parts.collect::<String>(), str::to_owned);
    ensure!(!joined.trim().is_empty(), "--model {name}: the answer holds no text");
    Ok(joined)
}
