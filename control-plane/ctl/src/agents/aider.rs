//! Aider.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Agent, Connections, Launch, Places, Server, Setting, has_any, header_object, with_labels};
use crate::edits::{Change, Format, Key, Plan, bytes_of, value_at};

/// Aider's own option, and the library's variable below it. Either may be set by a file.
const OPENAI: [&str; 2] = ["AIDER_OPENAI_API_BASE", "OPENAI_API_BASE"];
const ANTHROPIC: &str = "ANTHROPIC_API_BASE";

/// A file of settings for models, in the home folder, the repository and the working folder.
const MODELS: &str = ".aider.model.settings.yml";
/// The option, and the key, that name another such file.
const OTHER_MODELS: &str = "model-settings-file";
/// The name of the settings that are for every model.
const EVERY_MODEL: &str = "aider/extra_params";

/// Aider.
pub(super) struct Aider;

impl Aider {
    /// The folders where Aider looks for files.
    fn folders(at: &Setting<'_>) -> Vec<PathBuf> {
        let root = at.folder.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned);
        [Some(at.home.clone()), root, Some(at.folder.clone())].into_iter().flatten().collect()
    }

    /// Whether the user has settings for every model, which ours would replace.
    fn has_own(at: &Setting<'_>, arguments: &[OsString]) -> bool {
        let named = |folder: &PathBuf| {
            value_at(&folder.join(".aider.conf.yml"), Format::Yaml, &[OTHER_MODELS]).is_some()
        };
        let is_own = |folder: &PathBuf| {
            bytes_of(&folder.join(MODELS))
                .is_some_and(|text| String::from_utf8_lossy(&text).contains(EVERY_MODEL))
        };
        has_any(arguments, &["--model-settings-file"])
            || at.env.get("AIDER_MODEL_SETTINGS_FILE").is_some()
            || Self::folders(at).iter().any(|folder| named(folder) || is_own(folder))
    }

    /// The labels as settings for every model.
    fn labels(&self, at: &Setting<'_>, with_project: bool) -> Value {
        let headers = header_object(&at.labels(self, with_project));
        json!({"name": EVERY_MODEL, "extra_params": {"extra_headers": headers}})
    }
}

impl Agent for Aider {
    fn name(&self) -> &'static str {
        "aider"
    }

    fn title(&self) -> &'static str {
        "Aider"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["aider"]
    }

    fn ways(&self) -> Connections {
        Connections {
            run: "`OPENAI_API_BASE`, `ANTHROPIC_API_BASE`",
            install: "`~/.aider.conf.yml`, `~/.aider.model.settings.yml`",
            labels: "`extra_headers` in a file of model settings, unless you have an `aider/extra_params` of your own",
        }
    }

    fn launch(&self, at: &Setting<'_>, arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch::default();
        for variable in OPENAI {
            launch.set(variable, at.openai_url());
        }
        launch.set(ANTHROPIC, at.url.clone());
        launch.keep_upstream(at, OPENAI[1], "OPENAI_TARGET_API_URL");
        launch.keep_upstream(at, ANTHROPIC, "ANTHROPIC_TARGET_API_URL");
        if !Self::has_own(at, arguments) {
            // JSON is YAML.
            launch.file = Some(("models.yml", json!([self.labels(at, true)]).to_string().into_bytes()));
            launch.arguments.extend(["--model-settings-file".into(), Launch::FILE.into()]);
        }
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let file = at.home.join(".aider.conf.yml");
        let anthropic = format!("{ANTHROPIC}={}", at.url);
        let mut plan = Plan::default();
        plan.changes.push(Change::new(file.clone(), Format::Yaml, &["openai-api-base"], at.openai_url()));
        if value_at(&file, Format::Yaml, &["set-env"]).is_some_and(|it| it != json!([anthropic])) {
            plan.remarks.push(format!(
                "{} has a set-env list of its own: for Anthropic's models add {anthropic} to it",
                file.display()
            ));
        } else {
            plan.changes.push(Change::new(file, Format::Yaml, &["set-env"], json!([anthropic])));
        }
        plan.remarks.push("an .aider.conf.yml in a project wins over this one".to_owned());
        if Self::has_own(at, &[]) {
            return Ok(plan);
        }
        let item = Key::Item { field: "name".to_owned(), is: EVERY_MODEL.to_owned() };
        let labels = Change {
            file: at.home.join(MODELS),
            format: Format::Yaml,
            path: vec![item],
            value: self.labels(at, false),
        };
        Ok(with_labels(plan, vec![labels]))
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let log = at.env.get("AIDER_CHAT_HISTORY_FILE");
        let log = log.unwrap_or_else(|| ".aider.chat.history.md".to_owned());
        let conventions = at.folder.join("CONVENTIONS.md");
        Places {
            logs: vec![at.folder.join(log)],
            instructions: vec![conventions],
            mcp: None,
            ..Places::default()
        }
    }

    fn register(&self, _at: &Setting<'_>, _server: &Server) -> Option<Change> {
        None
    }

    fn resumes(&self, arguments: &[OsString]) -> bool {
        has_any(arguments, &["--restore-chat-history"])
    }
}
