//! The live learner: lessons from the tool calls of passing requests, in the files of a project on this
//! machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use headroom_api::v1::{LoggedMessages, ReportRequest, RequestRecord};
use serde_json::{Value, json};

use crate::child::{PATIENCE, Sidecar, client};
use crate::records::record;

/// A user with a project.
struct Home {
    dir: tempfile::TempDir,
    project: PathBuf,
    sent: u64,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().canonicalize().unwrap().join("src/shop");
        fs::create_dir_all(project.join(".git")).unwrap();
        fs::write(project.join("AGENTS.md"), "# Shop\n").unwrap();
        Self { dir, project, sent: 0 }
    }

    fn workspace(&self) -> PathBuf {
        self.dir.path().join("workspace")
    }

    async fn start(&self, arguments: &[&str]) -> Sidecar {
        let workspace = self.workspace();
        fs::create_dir_all(&workspace).unwrap();
        let home = self.dir.path().to_string_lossy().into_owned();
        Sidecar::start_with(&workspace, arguments, &[("HOME", &home)]).await
    }

    /// Reports a request of a conversation with these messages.
    async fn send(&mut self, sidecar: &Sidecar, conversation: &str, api: &str, messages: Vec<Value>) {
        self.send_of(
            sidecar,
            RequestRecord { conversation_id: conversation.to_owned(), ..named(api) },
            messages,
        )
        .await;
    }

    async fn send_of(&mut self, sidecar: &Sidecar, of: RequestRecord, messages: Vec<Value>) {
        self.sent += 1;
        let request_id = format!("hr_{}", self.sent);
        let logged = LoggedMessages {
            request_id: request_id.clone(),
            request_messages: messages.iter().map(Value::to_string).collect(),
            ..LoggedMessages::default()
        };
        let report = ReportRequest {
            vm_id: "vm".to_owned(),
            records: vec![RequestRecord { sequence: self.sent, request_id, ..of }],
            logged_messages: vec![logged],
            ..ReportRequest::default()
        };
        sidecar.grpc().await.report(report).await.unwrap();
    }

    /// The same two commands, as each of Claude's conversations runs them.
    fn commands(&self, ids: [&str; 2]) -> Vec<Value> {
        let command = |id: &str, line: &str| json!({"type": "tool_use", "id": id, "name": "Bash", "input": {"command": line}});
        let path = self.project.join("Makefile");
        vec![
            json!({"role": "user", "content": "run it"}),
            json!({"role": "assistant", "content": [
                {"type": "tool_use", "id": format!("{}-read", ids[0]), "name": "Read", "input": {"file_path": path}},
                command(ids[0], "python x.py --key sk-0123456789abcdefghij")]}),
            json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": ids[0], "is_error": true,
                 "content": "Exit code 127\nbash: python: command not found"}]}),
            json!({"role": "assistant", "content": [command(ids[1], "python3 x.py --key sk-0123456789abcdefghij")]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": ids[1], "content": "ok"}]}),
        ]
    }

    fn lessons(&self) -> String {
        fs::read_to_string(self.project.join("CLAUDE.local.md")).unwrap_or_default()
    }
}

fn named(api: &str) -> RequestRecord {
    RequestRecord { api: api.to_owned(), stack: String::new(), ..record(1) }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_fails_is_counted_once_for_each_call_across_restarts_and_written_into_the_project() {
    let mut home = Home::new();
    let sidecar = home.start(&["--learn"]).await;
    for _ in 0..3 {
        let messages = home.commands(["toolu_first_1_python", "toolu_first_2_python3"]);
        home.send(&sidecar, "00000000000000aa", "anthropic_messages", messages).await;
    }
    assert_eq!(sidecar.terminate().await, Some(0));
    let lessons = home.lessons();
    assert!(lessons.contains("The shell does not find `python` (seen once). Use `python3`"), "{lessons}");
    assert!(!lessons.contains("sk-0123"), "{lessons}");

    let sidecar = home.start(&["--learn"]).await;
    for (conversation, ids) in [
        ("00000000000000aa", ["toolu_first_1_python", "toolu_first_2_python3"]),
        ("00000000000000bb", ["toolu_second_1_python", "toolu_second_2_python3"]),
    ] {
        let messages = home.commands(ids);
        home.send(&sidecar, conversation, "anthropic_messages", messages).await;
    }
    until("the second conversation counts", || home.lessons().contains("(seen 2 times)")).await;
    assert_eq!(home.lessons().matches("does not find").count(), 1, "{}", home.lessons());
    assert!(sidecar.get("/metrics").await.1.contains("headroom_learn_requests_total{outcome=\"learned\"} 2"));

    assert_eq!(sidecar.json("/health").await["config"]["learn"], true);
    let purge = client().post(format!("http://{}/v1/purge", sidecar.ready.http));
    let purged: Value = purge.json(&json!({"all": true})).send().await.unwrap().json().await.unwrap();
    assert_eq!(purged["sightings"], 2);
    assert_eq!(sidecar.terminate().await, Some(0));
    for file in
        fs::read_dir(home.workspace()).unwrap().map(|entry| entry.unwrap().path()).filter(|it| it.is_file())
    {
        let bytes = fs::read(&file).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("sk-0123"), "{}", file.display());
    }
}

#[tokio::test]
async fn what_was_recorded_before_a_kill_is_written_by_the_next_run() {
    let mut home = Home::new();
    let messages = home.commands(["toolu_fourth_1_python", "toolu_fourth_2_python3"]);
    let sidecar = home.start(&["--learn"]).await;
    for (conversation, ids) in [
        ("00000000000000a1", ["toolu_fourth_1_python", "toolu_fourth_2_python3"]),
        ("00000000000000a2", ["toolu_fifth_1_python", "toolu_fifth_2_python3"]),
    ] {
        let messages = home.commands(ids);
        home.send(&sidecar, conversation, "anthropic_messages", messages).await;
    }
    let deadline = Instant::now() + PATIENCE;
    while !sidecar.get("/metrics").await.1.contains("headroom_learn_sightings_total 2") {
        assert!(Instant::now() < deadline, "both are recorded");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // files are written ten seconds after the first sighting
    sidecar.kill_now();
    drop(sidecar);

    let sidecar = home.start(&["--learn"]).await;
    home.send(&sidecar, "00000000000000a1", "anthropic_messages", messages).await;
    until("nothing is new, and what was known is written", || home.lessons().contains("(seen 2 times)"))
        .await;
    assert_eq!(sidecar.terminate().await, Some(0));
}

#[tokio::test]
async fn a_file_that_cannot_be_merged_keeps_no_lesson_from_other_agents() {
    let mut home = Home::new();
    let broken = "<!-- headroom:learn:start -->\nhalf of a block\n";
    fs::write(home.project.join("CLAUDE.local.md"), broken).unwrap();
    let sidecar = home.start(&["--learn"]).await;
    for (number, agent) in ["wrap_claude", "wrap_qwen"].into_iter().enumerate() {
        let ids = [format!("toolu_of_{agent}_python"), format!("toolu_of_{agent}_python3")];
        let messages = home.commands([&ids[0], &ids[1]]);
        let record = RequestRecord {
            conversation_id: format!("00000000000000b{number}"),
            stack: agent.to_owned(),
            ..named("anthropic_messages")
        };
        home.send_of(&sidecar, record, messages).await;
    }
    assert_eq!(sidecar.terminate().await, Some(0));
    assert_eq!(home.lessons(), broken, "it is left as it is");
    let inbox = home.workspace().join("learn/inbox");
    let waiting: Vec<PathBuf> = fs::read_dir(inbox).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [waiting] = &waiting[..] else { panic!("{waiting:?}") };
    let proposal: Value = serde_json::from_slice(&fs::read(waiting).unwrap()).unwrap();
    assert_eq!(Path::new(proposal["path"].as_str().unwrap()), home.project.join("QWEN.md"));
}

#[tokio::test]
async fn a_file_that_git_shares_waits_in_the_inbox() {
    let mut home = Home::new();
    let sidecar = home.start(&["--learn"]).await;
    let cwd = format!("<environment_context><cwd>{}</cwd></environment_context>", home.project.display());
    let call = |id: &str, line: &str| json!({"type": "function_call", "call_id": id, "name": "exec_command", "arguments": json!({"cmd": line}).to_string()});
    let result = |id: &str, code: u8, text: &str| {
        let output = format!("Chunk ID: 1\nProcess exited with code {code}\nOutput:\n{text}");
        json!({"type": "function_call_output", "call_id": id, "output": output})
    };
    let messages = vec![
        json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": cwd}]}),
        call("call_1_of_codex_a", "python x.py"),
        result("call_1_of_codex_a", 127, "sh: python: command not found"),
        call("call_2_of_codex_a", "python y.py"),
        result("call_2_of_codex_a", 127, "sh: python: command not found"),
        call("call_3_of_codex_a", "python3 y.py"),
        result("call_3_of_codex_a", 0, "ok"),
    ];
    home.send(&sidecar, "00000000000000cc", "openai_responses", messages).await;
    assert_eq!(sidecar.terminate().await, Some(0));
    assert_eq!(fs::read_to_string(home.project.join("AGENTS.md")).unwrap(), "# Shop\n");
    let inbox = home.workspace().join("learn/inbox");
    let waiting: Vec<PathBuf> = fs::read_dir(inbox).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [waiting] = &waiting[..] else { panic!("{waiting:?}") };
    let proposal: Value = serde_json::from_slice(&fs::read(waiting).unwrap()).unwrap();
    assert_eq!(Path::new(proposal["path"].as_str().unwrap()), home.project.join("AGENTS.md"));
    assert!(proposal["text"].as_str().unwrap().contains("`python` (seen 2 times)"), "{proposal}");
}

#[tokio::test]
async fn nothing_is_learned_unasked_for_a_tenant_or_outside_of_a_repository() {
    let mut home = Home::new();
    let messages = home.commands(["toolu_third_1_python", "toolu_third_2_python3"]);
    let sidecar = home.start(&["--log-messages"]).await;
    home.send(&sidecar, "00000000000000dd", "anthropic_messages", messages.clone()).await;
    assert_eq!(sidecar.terminate().await, Some(0));
    assert!(!home.workspace().join("learn.db").exists());

    let sidecar = home.start(&["--learn"]).await;
    let of = RequestRecord { tenant: "acme".to_owned(), ..named("anthropic_messages") };
    home.send_of(&sidecar, of, messages.clone()).await;
    fs::remove_dir(home.project.join(".git")).unwrap();
    home.send(&sidecar, "00000000000000ee", "anthropic_messages", messages).await;
    assert_eq!(sidecar.terminate().await, Some(0));
    assert_eq!(home.lessons(), "");
    assert!(!home.workspace().join("learn/inbox").exists());
}
