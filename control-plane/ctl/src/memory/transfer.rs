//! Export and import of facts as files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write as _, stderr, stdout};
use std::path::Path;

use anyhow::{Context as _, bail};
use headroom_api::memory::{
    Caller, Fact, MAX_CONTENT_BYTES, NewFact, SaveRequest, SaveResponse, SaveStatus, Scope,
};

use super::client::Client;
use super::{Format, all, markdown, place, upstream};
use crate::environment::Environment;

/// Facts in one request.
const BATCH: usize = 50;
/// Maximum number of facts that are written: more than anyone reads, and a bound for the loop.
const MOST: usize = 1_000_000;
/// Maximum size of a file, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Writes the facts that the caller can find, the oldest first.
pub(super) async fn export(
    client: &Client,
    format: Format,
    scope: Option<Scope>,
    output: Option<&Path>,
) -> anyhow::Result<()> {
    let mut facts = all(client, scope, MOST).await?;
    facts.reverse();
    let text = match format {
        Format::Markdown => markdown::write(&facts, &client.caller.project),
        Format::Jsonl => {
            let lines: Result<Vec<String>, _> = facts.iter().map(serde_json::to_string).collect();
            lines?.into_iter().map(|line| line + "\n").collect()
        }
    };
    match output {
        Some(path) => headroom_private::write(path, text.as_bytes())
            .with_context(|| format!("{} cannot be written", path.display())),
        None => Ok(stdout().lock().write_all(text.as_bytes())?),
    }
}

/// Saves the facts of a file. If the same file is imported again, no fact is stored twice.
pub(super) async fn import(
    mut client: Client,
    file: &Path,
    scope: Option<Scope>,
    project_named: bool,
    dry_run: bool,
) -> anyhow::Result<()> {
    let facts = read(file).await.with_context(|| format!("{} cannot be imported", file.display()))?;
    if !project_named && let Some(folder) = project_of(file) {
        client.caller.project = place::project(None, Environment::new(&|_| None), Some(&folder));
    }
    let mut by_scope: BTreeMap<&'static str, (Option<Scope>, Vec<NewFact>)> = BTreeMap::new();
    let mut left_out = 0;
    for (own, fact) in facts {
        if fact.content.trim().is_empty() || fact.content.len() > MAX_CONTENT_BYTES {
            left_out += 1;
            continue;
        }
        let wanted = scope.or(own);
        by_scope.entry(wanted.unwrap_or_default().name()).or_insert((wanted, Vec::new())).1.push(fact);
    }
    let (mut saved, mut known) = (0, 0);
    for (wanted, facts) in by_scope.values() {
        for batch in facts.chunks(BATCH) {
            if dry_run {
                saved += batch.len();
                continue;
            }
            let caller = Caller { via: "import".to_owned(), ..client.caller.clone() };
            let asked = SaveRequest { caller, scope: *wanted, facts: batch.to_vec() };
            let answer: SaveResponse = client.ask("save", &asked).await?;
            let new = answer.saved.iter().filter(|saved| saved.status == SaveStatus::Saved).count();
            saved += new;
            known += answer.saved.len() - new;
            if let Some(hint) = answer.hint {
                writeln!(stderr(), "{hint}")?;
            }
        }
    }
    let would = if dry_run { "would be kept" } else { "kept" };
    let project = if client.caller.project.is_empty() { "no project" } else { &client.caller.project };
    writeln!(
        stdout(),
        "{saved} facts {would}, {known} were there, {left_out} left out (empty, or longer than {MAX_CONTENT_BYTES} bytes): {project}"
    )?;
    Ok(())
}

/// The folder that contains a file as its `.headroom/memory.db`.
fn project_of(file: &Path) -> Option<std::path::PathBuf> {
    let file = file.canonicalize().ok()?;
    let folder = file.parent().filter(|folder| folder.file_name().is_some_and(|name| name == ".headroom"))?;
    Some(folder.parent()?.to_owned())
}

async fn read(file: &Path) -> anyhow::Result<Vec<(Option<Scope>, NewFact)>> {
    let length = fs::metadata(file)?.len();
    if length > MAX_FILE_BYTES {
        bail!("it has {length} bytes, and {MAX_FILE_BYTES} are read at most");
    }
    let bytes = fs::read(file)?;
    if bytes.starts_with(b"SQLite format 3\0") {
        return upstream::read(file).await;
    }
    let text = String::from_utf8(bytes).context("expected Markdown, JSON Lines or SQLite")?;
    if !text.trim_start().starts_with('{') {
        return Ok(markdown::read(&text));
    }
    let mut facts = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let fact: Fact = serde_json::from_str(line).with_context(|| format!("line {number}"))?;
        if fact.ended.is_some() {
            continue;
        }
        let new = NewFact {
            content: fact.content,
            importance: Some(fact.importance.clamp(0.0, 1.0)),
            entities: fact.entities,
            relationships: fact.relationships,
            valid_from: Some(fact.valid_from),
            invalid_at: fact.invalid_at,
            source_agent: fact.source_agent,
            source_provider: fact.source_provider,
        };
        facts.push((Some(fact.scope), new));
    }
    Ok(facts)
}
