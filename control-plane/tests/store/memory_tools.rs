//! Calls of memory's tools as the filter forwards them, against real stores.

use headroom_api::memory::{Caller, ListRequest};
use headroomd::memory::{Memory, ToolCall};
use headroomd::store::Database;
use serde_json::{Value, json};

use crate::server::Postgres;

/// A caller in a project.
struct Model {
    memory: Memory,
    project: String,
}

impl Model {
    async fn new(database: Database) -> Self {
        let models = std::path::PathBuf::from("/nowhere");
        Self { memory: Memory::open(database, models, "me".to_owned()).await, project: "shop".to_owned() }
    }

    async fn call(&self, tool: &str, arguments: impl ToString) -> Result<String, String> {
        let call = ToolCall {
            tool: tool.to_owned(),
            arguments: arguments.to_string(),
            caller: Caller { agent: "a".to_owned(), via: "filter".to_owned(), ..Caller::default() },
            named: self.project.clone(),
            ..ToolCall::default()
        };
        self.memory.call("t", call).await
    }

    async fn command(&self, arguments: Value) -> Result<String, String> {
        self.call("memory", arguments).await
    }

    async fn count(&self) -> usize {
        let caller = Caller { project: self.project.clone(), ..Caller::default() };
        let asked = ListRequest { caller, limit: Some(100), ..ListRequest::default() };
        self.memory.list("t", &asked).await.unwrap().facts.len()
    }
}

/// The id in the first brackets of a text.
fn id(text: &str) -> String {
    let (_, rest) = text.split_once('[').unwrap();
    rest.split(']').next().unwrap().to_owned()
}

async fn facts_are_saved_found_corrected_and_forgotten(model: &Model) {
    let saved = model
        .call("memory_save", json!({"content": "The API listens on port 8787", "importance": 0.8}))
        .await
        .unwrap();
    assert!(saved.starts_with("Saved 1 new"), "{saved}");
    let id = id(&saved);
    let again = model.call("memory_save", json!({"content": "The API listens on port 8787"})).await.unwrap();
    assert!(again.contains("already saved") && again.contains(&id), "{again}");
    // Some models write the object as a string, and ids with their brackets.
    let found = model.call("memory_search", json!(r#"{"query":"which port?"}"#)).await.unwrap();
    assert!(
        found.contains("\"The API listens on port 8787\"") && found.contains("not instructions"),
        "{found}"
    );
    let new = json!({"memory_id": format!("[{id}]"), "new_content": "The API listens on port 9090"});
    assert!(model.call("memory_update", new).await.unwrap().contains("version 2"));
    assert!(model.call("memory_list", json!({})).await.unwrap().contains("9090"));
    assert!(model.call("memory_delete", json!({"memory_id": id})).await.unwrap().starts_with("Deleted"));
    assert_eq!(model.call("memory_list", json!({"limit": 5})).await.unwrap(), "No memories found.");
}

async fn what_makes_no_sense_is_told_and_does_nothing(model: &Model) {
    let before = model.count().await;
    for (tool, arguments) in [
        ("memory_forge", "{}"),
        ("memory_save", "no json"),
        ("memory_save", ""),
        ("memory_save", "[]"),
        ("memory_save", r#"{"content": {"a": 1}}"#),
        ("memory_save", r#"{"content": "x", "importance": 7}"#),
        ("memory_save", r#"{"content": "x", "importance": "high"}"#),
        ("memory_update", r#"{"memory_id": "zzz", "new_content": "x"}"#),
        ("memory_delete", r#"{"memory_id": ""}"#),
        ("memory_search", r#"{"query": null}"#),
        ("memory", r#"{"command": "format"}"#),
        ("memory", r#"{"command": "create", "path": "/memories/x"}"#),
        ("memory", "null"),
    ] {
        let told = model.call(tool, arguments).await.unwrap_err();
        assert!(told.starts_with("Error: "), "{tool} {arguments}: {told}");
    }
    let huge = json!({"content": "x".repeat(1 << 20)});
    assert!(model.call("memory_save", huge).await.unwrap_err().contains("expected 1 to 8192 bytes"));
    assert_eq!(model.count().await, before);
}

async fn files_are_facts(model: &Model) {
    let create = |path: &str, text: &str| json!({"command": "create", "path": path, "file_text": text});
    let view = |path: &str| json!({"command": "view", "path": path});
    let empty = model.command(view("/memories")).await.unwrap();
    assert_eq!(empty.lines().count(), 2, "{empty}");

    let path = "/memories/Shop/deploy.md";
    let created = model.command(create(path, "Deploys happen on Tuesday\nAsk Ada first")).await.unwrap();
    assert_eq!(created, format!("File created successfully at: {path}"));
    let told = model.command(create(path, "another text")).await.unwrap_err();
    assert_eq!(told, format!("Error: File {path} already exists"));
    assert!(model.command(create("/memories/../x", "y")).await.is_err());
    assert!(
        model.command(create("/memories/copy.md", "Deploys happen on Tuesday\nAsk Ada first")).await.is_err()
    );
    let file = model.command(view(path)).await.unwrap();
    assert!(file.ends_with("\n     1\tDeploys happen on Tuesday\n     2\tAsk Ada first"), "{file}");
    assert!(model.command(view("/memories/shop/deploy.md")).await.is_err(), "paths have capitals");
    let found = model.call("memory_search", json!({"query": "when do we deploy?"})).await.unwrap();
    assert!(found.contains("Deploys happen on Tuesday\\nAsk Ada first"), "{found}");

    let replace = |old: &str, new: &str| json!({"command": "str_replace", "path": path, "old_str": old, "new_str": new});
    let edited = model.command(replace("Tuesday", "Thursday")).await.unwrap();
    assert!(
        edited.starts_with("The memory file has been edited.\n     1\tDeploys happen on Thursday"),
        "{edited}"
    );
    let told = model.command(replace("Friday", "x")).await.unwrap_err();
    assert!(told.contains("did not appear verbatim"), "{told}");
    let told = model.command(replace("s", "x")).await.unwrap_err();
    assert!(told.contains("in lines: 1, 1, 2, 2. Please"), "{told}");
    assert!(model.command(replace("Ask", " Ask")).await.unwrap_err().contains("white space"));
    let insert = |line: i64| json!({"command": "insert", "path": path, "insert_line": line, "insert_text": "# Deploys\n"});
    assert_eq!(model.command(insert(0)).await.unwrap(), format!("The file {path} has been edited."));
    assert!(model.command(insert(9)).await.unwrap_err().ends_with("[0, 3]"));
    assert!(model.command(insert(-1)).await.is_err());

    let saved = model.call("memory_save", json!({"content": "Ada likes tea"})).await.unwrap();
    let note = format!("/memories/notes/{}.md", id(&saved));
    let folder = model.command(view("/memories")).await.unwrap();
    assert!(folder.contains("\t/memories/Shop/deploy.md") && folder.contains(&note), "{folder}");
    assert!(model.command(view(&note)).await.unwrap().ends_with("\tAda likes tea"));
    let rename = |old: &str, new: &str| json!({"command": "rename", "old_path": old, "new_path": new});
    assert!(model.command(rename(&note, path)).await.unwrap_err().contains("already exists"));
    assert!(
        model.command(rename("/memories/Shop", "/memories/x")).await.unwrap_err().contains("is a folder")
    );
    let done = model.command(rename(&note, "/memories/ada.md")).await.unwrap();
    assert_eq!(done, format!("Successfully renamed {note} to /memories/ada.md"));
    assert!(model.command(view(&note)).await.is_err());
    assert!(model.command(view("/memories/ada.md")).await.unwrap().ends_with("\tAda likes tea"));

    let delete = |path: &str| json!({"command": "delete", "path": path});
    assert!(model.command(delete("/memories")).await.is_err());
    assert_eq!(
        model.command(delete("/memories/Shop/")).await.unwrap(),
        "Successfully deleted /memories/Shop"
    );
    assert!(model.command(delete(path)).await.unwrap_err().contains("does not exist"));
    let other = Model { memory: model.memory.clone(), project: "other".to_owned() };
    assert!(other.command(view("/memories/ada.md")).await.is_err(), "another project's");
    assert!(model.command(delete("/memories/ada.md")).await.is_ok());
    assert_eq!(model.count().await, 0);
}

async fn a_folder_is_looked_for_by_its_name(model: &Model) {
    let create =
        |path: &str| json!({"command": "create", "path": path, "file_text": format!("The text of {path}")});
    for path in [
        "/memories/A%20",
        "/memories/Äpfel/b",
        "/memories/Äpfel/c/d",
        "/memories/Äpfel0",
        "/memories/äpfel/e",
    ] {
        let made = model.command(create(path)).await;
        assert_eq!(made.is_ok(), !path.contains('%'), "{path}: {made:?}");
    }
    let shown = model.command(json!({"command": "view", "path": "/memories/Äpfel"})).await.unwrap();
    let paths: Vec<&str> = shown.lines().skip(1).filter_map(|line| Some(line.split_once('\t')?.1)).collect();
    assert_eq!(paths, ["/memories/Äpfel", "/memories/Äpfel/b", "/memories/Äpfel/c", "/memories/Äpfel/c/d"]);
    assert!(model.command(create("/memories/Äpfel/c")).await.unwrap_err().contains("already exists"));
    for path in ["/memories/Äpfel", "/memories/Äpfel0", "/memories/äpfel"] {
        model.command(json!({"command": "delete", "path": path})).await.unwrap();
    }
    assert_eq!(model.count().await, 0);
}

async fn all(model: &Model) {
    a_folder_is_looked_for_by_its_name(model).await;
    facts_are_saved_found_corrected_and_forgotten(model).await;
    what_makes_no_sense_is_told_and_does_nothing(model).await;
    files_are_facts(model).await;
}

#[tokio::test]
async fn calls_of_memorys_tools_are_answered_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    all(&Model::new(Database::File(path.join("memory.db"))).await).await;
}

/// A fact that cannot be read shows that no command but the list of all reads it.
#[tokio::test]
async fn a_new_file_costs_nothing_for_each_of_the_other_facts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    let model = Model::new(Database::File(path.clone())).await;
    model.call("memory_save", json!({"content": "Ada likes tea"})).await.unwrap();
    let file = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    sqlx::query("UPDATE memory_fact SET entities = '?'").execute(&file).await.unwrap();
    file.close().await;
    let all = json!({"command": "view", "path": "/memories"});
    assert!(model.command(all).await.unwrap_err().contains("memory does not work"));
    let create =
        json!({"command": "create", "path": "/memories/a/b", "file_text": "The build takes an hour"});
    model.command(create).await.unwrap();
    let rename = json!({"command": "rename", "old_path": "/memories/a/b", "new_path": "/memories/c"});
    model.command(rename).await.unwrap();
    let view = |path: &str| json!({"command": "view", "path": path});
    assert!(model.command(view("/memories/c")).await.unwrap().ends_with("\tThe build takes an hour"));
    assert!(model.command(view("/memories/d")).await.unwrap_err().contains("does not exist"));
}

#[tokio::test]
async fn calls_of_memorys_tools_are_answered_in_postgres() {
    let Some(postgres) = Postgres::start().await else { return };
    all(&Model::new(Database::Postgres(postgres.database("memory_tools"))).await).await;
}
