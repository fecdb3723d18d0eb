//! The settings of Codex and OpenCode after upstream's `wrap`: blocks between markers, and a backup. Claude Code's
//! settings have no markers; records of the edits are in files next to them.

mod claude;

use std::path::{Path, PathBuf};

use anyhow::Context;
use toml_edit::{DocumentMut, Item};

use crate::agents::Places;
use crate::edits::Disk;

/// The lines that upstream puts around its own text.
struct Marks {
    pairs: &'static [(&'static str, &'static str)],
    /// The settings are TOML. There, upstream's text can be recognized without its marker lines too.
    is_toml: bool,
}

const CODEX: Marks = Marks {
    pairs: &[("# --- Headroom proxy (auto-injected by headroom wrap codex) ---", "# --- end Headroom ---")],
    is_toml: true,
};
const OPENCODE: Marks = Marks {
    pairs: &[
        ("// --- Headroom proxy provider ---", "// --- end Headroom proxy provider ---"),
        ("// --- Headroom MCP server ---", "// --- end Headroom MCP server ---"),
    ],
    is_toml: false,
};
/// The suffix of a backup's name.
const BACKUP: &str = ".headroom-backup";
const PROVIDER: &str = "headroom";

impl Marks {
    fn of(agent: &str) -> Option<&'static Self> {
        match agent {
            "codex" => Some(&CODEX),
            "opencode" => Some(&OPENCODE),
            _ => None,
        }
    }
}

/// Whether upstream may have left something in an agent's settings.
pub(crate) fn knows(agent: &str) -> bool {
    agent == claude::NAME || Marks::of(agent).is_some()
}

/// Removes upstream's wrap from an agent, and prints that. Does nothing if there is none.
pub(crate) fn take_off(agent: &str, places: &Places, disk: &Disk) -> anyhow::Result<Vec<String>> {
    if agent == claude::NAME {
        return claude::take_off(places, disk);
    }
    let (Some(marks), Some(config)) = (Marks::of(agent), &places.mcp) else { return Ok(Vec::new()) };
    let mut backup = config.clone().into_os_string();
    backup.push(BACKUP);
    let backup = PathBuf::from(backup);
    let Some((bytes, mode)) = disk.contents(config)? else { return Ok(Vec::new()) };
    let shown = config.display();
    let Ok(text) = String::from_utf8(bytes) else { return Ok(Vec::new()) };
    let Some(stripped) = strip(&text, marks) else { return Ok(Vec::new()) };
    let saved = disk.contents(&backup)?.map(|(bytes, _)| bytes);
    let saved_text = saved.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let done = match (&saved, saved_text) {
        // The file has not changed since, so the backup replaces it.
        (Some(bytes), Some(text)) if words(text) == words(&stripped) => {
            disk.put(config, bytes, mode)?;
            disk.take(&backup)?;
            format!("{shown} is restored to what it was before the Python Headroom's wrap, from its backup")
        }
        (Some(_), _) => {
            put_or_remove(config, &stripped, mode, disk)?;
            format!(
                "the Python Headroom's wrap was taken out of {shown}, which has been edited since; its backup {} is \
                 left",
                backup.display()
            )
        }
        (None, _) => {
            put_or_remove(config, &stripped, mode, disk)?;
            format!("the Python Headroom's wrap was taken out of {shown}")
        }
    };
    Ok(vec![done])
}

fn put_or_remove(config: &Path, text: &str, mode: u32, disk: &Disk) -> anyhow::Result<()> {
    let done =
        if text.trim().is_empty() { disk.take(config) } else { disk.put(config, text.as_bytes(), mode) };
    done.context("the Python Headroom's wrap is not taken out")
}

/// The words of a text, without blanks: removing blocks may leave an empty line.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// A configuration without upstream's additions; `None` if there are none.
fn strip(text: &str, marks: &Marks) -> Option<String> {
    let mut kept = String::with_capacity(text.len());
    // The content of a block, and the line that ends it.
    let mut block: Option<(String, &str)> = None;
    let mut found = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if let Some((_, end)) = marks.pairs.iter().find(|(begin, _)| *begin == bare) {
            found = true;
            // The previous block has no end marker, so its lines stay.
            kept.push_str(&block.take().unwrap_or_default().0);
            block = Some((String::new(), end));
        } else if marks.pairs.iter().any(|(_, end)| *end == bare) {
            found = true;
            match block.take() {
                // The end marker of another block does not end this one.
                Some((held, end)) if end != bare => block = Some((held, end)),
                _ => {}
            }
        } else {
            block.as_mut().map_or(&mut kept, |(held, _)| held).push_str(line);
        }
    }
    kept.push_str(&block.unwrap_or_default().0);
    let mended = if marks.is_toml { without_orphans(&kept) } else { None };
    mended.or_else(|| found.then_some(kept))
}

/// Removes text that has lost its markers: the choice of a provider, and the provider if it is on this
/// machine and has no label of ours. `None` if there is neither.
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

    const BEGIN: &str = CODEX.pairs[0].0;
    const END: &str = CODEX.pairs[0].1;
    const BACKUP: &str = "config.toml.headroom-backup";
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
            take_off("codex", &places, &Disk::default()).unwrap()
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

    #[test]
    fn opencodes_blocks_go_and_what_stands_around_them_stays() {
        let own = "{\n  // mine\n  \"theme\": \"kept\",\n  \"mcp\": {\"remote\": {}}\n}\n";
        let [(provider, provider_end), (mcp, mcp_end)] = [OPENCODE.pairs[0], OPENCODE.pairs[1]];
        let blocks = format!(
            "  {provider}\n  \"provider\": {{\"headroom\": {{}}}},\n  {provider_end}\n{mcp}\n  \"x\": 1,\n{mcp_end}\n"
        );
        let wrapped = own.replace("  \"mcp\"", &format!("{blocks}  \"mcp\""));
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("opencode.json");
        let places = Places { mcp: Some(config.clone()), ..Places::default() };
        let take_off = |agent: &str| super::take_off(agent, &places, &Disk::default()).unwrap();
        // Without the copy, with it, and with the ends of each other's blocks.
        for (text, backup) in [(&wrapped, None), (&wrapped, Some(own))] {
            fs::write(&config, text).unwrap();
            let copy = folder.path().join("opencode.json.headroom-backup");
            if let Some(backup) = backup {
                fs::write(&copy, backup).unwrap();
            }
            assert_eq!(take_off("codex"), [""; 0], "its marks are other ones");
            assert_eq!(take_off("opencode").len(), 1);
            assert_eq!(fs::read_to_string(&config).unwrap(), own);
            assert!(!copy.exists());
            assert_eq!(take_off("opencode"), [""; 0]);
        }
        assert_eq!(take_off("gemini"), [""; 0]);
        let open = wrapped.replace(provider_end, mcp_end);
        fs::write(&config, open).unwrap();
        take_off("opencode");
        let now = fs::read_to_string(&config).unwrap();
        assert!(now.contains("\"theme\"") && now.contains("\"remote\"") && !now.contains("---"), "{now}");
    }
}
