//! A block of facts for an agent's context. The agent's own hook adds it when a session starts, before the first
//! request, so that no prefix changes.

use std::io::{Write as _, stderr, stdout};

use headroom_api::memory::Fact;
pub(crate) use headroom_api::memory::notes::DEFAULT_BYTES;
use headroom_api::memory::notes::notes as notes_of;
use serde_json::{Value, json};

use super::all;
use super::client::Client;

/// The newest facts, from which the block takes those that matter most.
const NEWEST: usize = 300;
/// Said behind the frame: agents that have the hook have the tools.
const MORE: &str = " memory_search finds more.";

/// The block; empty if there are no facts.
pub(crate) async fn notes(client: &Client, max_bytes: usize) -> anyhow::Result<String> {
    Ok(block(all(client, None, NEWEST).await?, max_bytes))
}

/// Prints the block, or nothing if there are no facts. An error must not prevent a session from starting. `for_hook`:
/// in the format that Claude Code and Gemini CLI read from a hook.
pub(super) async fn print(client: &Client, max_bytes: usize, for_hook: bool) -> anyhow::Result<()> {
    match notes(client, max_bytes).await {
        Ok(notes) if for_hook && !notes.is_empty() => writeln!(stdout(), "{}", hook_output(&notes))?,
        Ok(notes) => stdout().lock().write_all(notes.as_bytes())?,
        Err(error) => writeln!(stderr(), "headroomctl: no notes: {error:#}")?,
    }
    Ok(())
}

fn hook_output(notes: &str) -> Value {
    json!({"hookSpecificOutput": {"hookEventName": "SessionStart", "additionalContext": notes}})
}

/// The most important facts first, the newest of those first, as many as fit.
fn block(mut facts: Vec<Fact>, max_bytes: usize) -> String {
    facts.sort_by(|one, other| other.importance.total_cmp(&one.importance));
    notes_of(&facts, MORE, max_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_holds_what_matters_most() {
        let fact =
            |content: &str, importance| Fact { content: content.to_owned(), importance, ..Fact::default() };
        let whole = block(vec![fact("new", 0.5), fact("old", 0.9), fact("older", 0.5)], DEFAULT_BYTES);
        let lines: Vec<&str> = whole.lines().collect();
        assert_eq!(lines.len(), 4, "{whole}");
        for (line, content) in lines[1..].iter().zip(["old", "new", "older"]) {
            assert!(line.starts_with(&format!("- \"{content}\" (project")), "{whole}");
        }
        assert!(lines[0].ends_with(MORE));
    }
}
