//! Codex as the original Headroom's `wrap codex` has left it: blocks between markers, and a backup.

use std::path::Path;

use anyhow::Context;
use toml_edit::{DocumentMut, Item};

use crate::agents::Places;
use crate::edits::Disk;

const BEGIN: &str = "# --- Headroom proxy (auto-injected by headroom wrap codex) ---";
const END: &str = "# --- end Headroom ---";
const BACKUP: &str = "config.toml.headroom-backup";
const PROVIDER: &str = "headroom";

/// Takes the original's wrap off, and says so. Nothing where there is none.
pub(crate) fn take_off(places: &Places, disk: &Disk) -> anyhow::Result<Vec<String>> {
    let Some(config) = &places.mcp else { return Ok(Vec::new()) };
    let backup = config.with_file_name(BACKUP);
    let Some((bytes, mode)) = disk.contents(config)? else { return Ok(Vec::new()) };
    let shown = config.display();
    let Ok(text) = String::from_utf8(bytes) else { return Ok(Vec::new()) };
    let Some(stripped) = strip(&text) else { return Ok(Vec::new()) };
    let saved = disk.contents(&backup)?.map(|(bytes, _)| bytes);
    let saved_text = saved.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let done = match (&saved, saved_text) {
        // Nobody has edited since: the copy is the file.
        (Some(bytes), Some(text)) if words(text) == words(&stripped) => {
            disk.put(config, bytes, mode)?;
            disk.take(&backup)?;
            format!(
                "{shown} is again what it was before the original Headroom's wrap: its backup was put back"
            )
        }
        (Some(_), _) => {
            put_or_remove(config, &stripped, mode, disk)?;
            format!(
                "the original Headroom's wrap was taken out of {shown}, which has been edited since; its backup {} is \
                 left",
                backup.display()
            )
        }
        (None, _) => {
            put_or_remove(config, &stripped, mode, disk)?;
            format!("the original Headroom's wrap was taken out of {shown}")
        }
    };
    Ok(vec![done])
}

fn put_or_remove(config: &Path, text: &str, mode: u32, disk: &Disk) -> anyhow::Result<()> {
    let done =
        if text.trim().is_empty() { disk.take(config) } else { disk.put(config, text.as_bytes(), mode) };
    done.context("the original Headroom's wrap is not taken out")
}

/// What is said, whatever the blanks: taking blocks out may leave an empty line.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// A configuration without what the original has put in; `None` where it has put in nothing.
fn strip(text: &str) -> Option<String> {
    let mut kept = String::with_capacity(text.len());
    let mut block: Option<String> = None;
    let mut found = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare == BEGIN {
            found = true;
            // A beginning without an end was a marker alone.
            kept.push_str(&block.take().unwrap_or_default());
            block = Some(String::new());
        } else if bare == END {
            found = true;
            block = None;
        } else {
            block.as_mut().unwrap_or(&mut kept).push_str(line);
        }
    }
    kept.push_str(&block.unwrap_or_default());
    match without_orphans(&kept) {
        Some(text) => Some(text),
        None => found.then_some(kept),
    }
}

/// Without what markers no longer surround: the choice of a provider, and the provider where it is on this
/// machine and bears no label of ours. `None` where there is neither.
fn without_orphans(text: &str) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let mut changed = false;
    let provider = document.get("model_providers").and_then(|it| it.get(PROVIDER));
    let is_original = provider.is_some_and(|it| {
        it.get("base_url").and_then(Item::as_str).is_some_and(|url| {
            let port = url.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix("/v1"));
            port.is_some_and(|port| port.parse::<u16>().is_ok())
        }) && it.get("http_headers").is_none()
    });
    let is_gone = provider.is_none();
    if is_original
        && let Some(providers) = document.get_mut("model_providers").and_then(Item::as_table_like_mut)
    {
        changed |= providers.remove(PROVIDER).is_some();
        if providers.is_empty() {
            document.remove("model_providers");
        }
    }
    let chosen = document.get("model_provider").and_then(Item::as_str) == Some(PROVIDER);
    if chosen && (is_original || is_gone) {
        changed |= document.remove("model_provider").is_some();
    }
    changed.then(|| document.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const OWN: &str = "# mine\nmodel = \"gpt-5\"\n\n[profiles.x]\nmodel = \"o3\"\n";

    fn wrapped() -> String {
        format!(
            "{BEGIN}\nmodel_provider = \"headroom\"\n{END}\n\n{OWN}\n{BEGIN}\n[model_providers.headroom]\nname = \"OpenAI \
             via Headroom proxy\"\nbase_url = \"http://127.0.0.1:8787/v1\"\nenv_key = \"OPENAI_API_KEY\"\n\
             requires_openai_auth = true\nsupports_websockets = true\n{END}\n"
        )
    }

    struct Codex(tempfile::TempDir);

    impl Codex {
        fn with(config: Option<&str>, backup: Option<&str>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let write = |name: &str, text: Option<&str>| {
                if let Some(text) = text {
                    fs::write(folder.path().join(name), text).unwrap();
                }
            };
            write("config.toml", config);
            write(BACKUP, backup);
            Self(folder)
        }

        fn take_off(&self) -> Vec<String> {
            let places = Places { mcp: Some(self.0.path().join("config.toml")), ..Places::default() };
            take_off(&places, &Disk::default()).unwrap()
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.0.path().join(name)).ok()
        }
    }

    #[test]
    fn a_backup_is_put_back_byte_for_byte_and_only_once() {
        let codex = Codex::with(Some(&wrapped()), Some(OWN));
        assert_eq!(codex.take_off().len(), 1);
        assert_eq!((codex.read("config.toml").as_deref(), codex.read(BACKUP)), (Some(OWN), None));
        assert_eq!(codex.take_off(), [""; 0]);
        assert_eq!(codex.read("config.toml").as_deref(), Some(OWN));
    }

    #[test]
    fn what_was_edited_since_stays_and_so_does_the_backup() {
        let edited = wrapped().replace("gpt-5", "gpt-6");
        let codex = Codex::with(Some(&edited), Some(OWN));
        assert!(codex.take_off()[0].contains("is left"));
        let now = codex.read("config.toml").unwrap();
        assert_eq!(words(&now), words(&OWN.replace("gpt-5", "gpt-6")));
        assert_eq!(codex.read(BACKUP).as_deref(), Some(OWN));
        assert_eq!(codex.take_off(), [""; 0], "a backup alone is no wrap");
    }

    #[test]
    fn without_a_backup_the_blocks_and_their_orphans_go() {
        let without_markers: String = wrapped()
            .lines()
            .filter(|line| ![BEGIN, END].contains(line))
            .map(|line| format!("{line}\n"))
            .collect();
        for text in [wrapped(), without_markers, wrapped().replace(END, "")] {
            let codex = Codex::with(Some(&text), None);
            assert_eq!(codex.take_off().len(), 1, "{text}");
            assert_eq!(words(&codex.read("config.toml").unwrap()), words(OWN), "{text}");
        }
    }

    #[test]
    fn a_file_that_held_nothing_else_is_removed() {
        let text = format!("{BEGIN}\nmodel_provider = \"headroom\"\n{END}\n");
        let codex = Codex::with(Some(&text), None);
        assert_eq!(codex.take_off().len(), 1);
        assert_eq!(codex.read("config.toml"), None);
    }

    #[test]
    fn what_is_not_the_originals_is_not_touched() {
        let ours = "model_provider = \"headroom\"\n[model_providers.headroom]\nbase_url = \"http://127.0.0.1:8787/v1\"\n\
                    http_headers = { x-headroom-stack = \"wrap_codex\" }\n";
        let remote = "model_provider = \"headroom\"\n[model_providers.headroom]\nbase_url = \"https://h.example/v1\"\n";
        for text in
            [None, Some(""), Some(OWN), Some(ours), Some(remote), Some("not = [toml"), Some("# --- end")]
        {
            let codex = Codex::with(text, None);
            assert_eq!(codex.take_off(), [""; 0], "{text:?}");
            assert_eq!(codex.read("config.toml").as_deref(), text);
        }
    }
}
