//! What each agent gets, and that its files are unchanged afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::edits::{Disk, InstallOutcome, Key, Workspace, edited, value_at};

const URL: &str = "http://127.0.0.1:8787";

/// A home folder with a project in it, and variables.
struct TestHome {
    root: PathBuf,
    variables: BTreeMap<String, String>,
    /// `None`: another process removes it.
    _folder: Option<TempDir>,
}

impl TestHome {
    fn new(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home/my project/.git")).unwrap();
        let house = Self::at(folder.path(), variables);
        Self { _folder: Some(folder), ..house }
    }

    fn at(root: &Path, variables: &[(&str, &str)]) -> Self {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { root: root.to_owned(), variables, _folder: None }
    }

    fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn with<T>(&self, what: impl FnOnce(&Setting<'_>) -> T) -> T {
        let lookup = |name: &str| self.variables.get(name).cloned();
        let at = Setting {
            env: Environment::new(&lookup),
            home: self.home(),
            folder: self.home().join("my project"),
            url: URL.to_owned(),
            keep_history: false,
        };
        what(&at)
    }

    fn launch(&self, name: &str, arguments: &[&str]) -> Launch {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        self.with(|at| find(name).unwrap().launch(at, &arguments).unwrap())
    }

    fn workspace(&self) -> Workspace {
        self.workspace_on(Disk::default())
    }

    fn workspace_on(&self, disk: Disk) -> Workspace {
        Workspace::new(&self.root.join("workspace"), disk)
    }

    /// Everything in the home folder.
    fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(folder: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    all.insert(path.clone(), Vec::new());
                    walk(&path, all);
                } else {
                    all.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        let mut all = BTreeMap::new();
        walk(&self.home(), &mut all);
        all
    }
}

fn variable<'l>(launch: &'l Launch, name: &str) -> Option<&'l str> {
    launch.variables.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
}

fn variables(style: usize) -> [(&'static str, &'static str); 3] {
    [
        ("SHELL", ["/bin/zsh", "/bin/bash", "/usr/bin/fish"][style % 3]),
        ("ANTHROPIC_API_KEY", "k"),
        ("COPILOT_PROVIDER_API_KEY", "k"),
    ]
}

/// Variables and files with which each agent has something to edit.
fn furnished(style: usize) -> TestHome {
    let house = TestHome::new(&variables(style));
    let end = ["\n", "\r\n", ""][style % 3];
    let mark = ["", "\u{feff}", ""][style % 3];
    let write = |name: &str, text: &str| {
        let text = if style % 3 == 1 { text.replace('\n', "\r\n") } else { text.to_owned() };
        house.write(name, &format!("{mark}{text}{end}"));
    };
    write(".claude/settings.json", "{\n    \"model\": \"opus\", // best\n    \"env\": {\"A\": \"1\"}\n}");
    write(".claude.json", "{\"mcpServers\": {}, \"projects\": {\"/x\": {}}}");
    write(
        ".codex/config.toml",
        "# mine\nmodel = \"gpt-5\"\nmodel_provider = \"azure\" # work\n[profiles.x]\nmodel = \"o3\"",
    );
    write(".codex/auth.json", "{\"auth_mode\": \"chatgpt\", \"tokens\": {}}");
    write(".gemini/settings.json", "{\"theme\": \"x\"}");
    write(".gemini/.env", "A=1");
    write(".qwen/.env", "OPENAI_API_KEY=k\nOPENAI_BASE_URL=https://dashscope.example/v1 # there");
    write(
        ".config/opencode/opencode.jsonc",
        "{\n\t// mine\n\t\"provider\": {\"openai\": {\"options\": {\"apiKey\": \"k\"}}},\n}",
    );
    write(".zshrc", "export A=1");
    write(".bashrc", "export A=1");
    write(".config/fish/config.fish", "set -gx A 1");
    write(".aider.conf.yml", "model: sonnet # best\nopenai-api-base: https://old.example/v1");
    write(
        ".continue/config.yaml",
        "name: mine\nmodels:\n  - name: GPT\n    provider: openai\n    model: gpt-5\n  - provider: anthropic # two\n    name: Claude\n    apiBase: https://api.anthropic.com/v1/",
    );
    write(
        ".cline/data/settings/providers.json",
        "{\"version\":1,\"providers\":{\"openai\":{\"settings\":{\"provider\":\"openai\",\"apiKey\":\"k\"}},\"cline\":{\"settings\":{\"provider\":\"cline\"}}}}",
    );
    write(
        ".config/goose/config.yaml",
        "GOOSE_PROVIDER: openai\nextensions:\n  developer:\n    enabled: true",
    );
    write(".pi/agent/models.json", "{\"providers\": {}}");
    write(
        ".openhands/agent_settings.json",
        "{\"llm\": {\"model\": \"anthropic/claude\", \"api_key\": \"k\"}}",
    );
    house
}

fn plan(house: &TestHome, agent: &dyn Agent) -> Plan {
    let server =
        Server { name: "headroom", command: "headroomctl".to_owned(), arguments: vec!["mcp".to_owned()] };
    house.with(|at| {
        let mut plan = agent.install(at).unwrap();
        plan.changes.extend(agent.at_start(at, "headroomctl memory context --hook"));
        plan.changes.extend(agent.register(at, &server));
        plan
    })
}

#[test]
fn every_agents_files_are_what_they_were_byte_for_byte() {
    for (agent, style) in ALL.into_iter().flat_map(|agent| (0..3).map(move |style| (agent, style))) {
        for bare in [false, true] {
            let house = if bare { TestHome::new(&[("ANTHROPIC_API_KEY", "k")]) } else { furnished(style) };
            let before = house.everything();
            let plan = plan(&house, agent);
            let workspace = house.workspace();
            let installed = workspace.install(agent.name(), URL, json!({}), &plan).unwrap();
            if plan.changes.is_empty() {
                assert!(bare, "{} has nothing to edit", agent.name());
                assert!(
                    !plan.remarks.is_empty(),
                    "{} has nothing to edit and does not say why",
                    agent.name()
                );
                continue;
            }
            assert_eq!(installed, InstallOutcome::Now, "{} {style}", agent.name());
            assert_ne!(house.everything(), before);
            assert_eq!(
                workspace.install(agent.name(), URL, json!({}), &plan).unwrap(),
                InstallOutcome::Already,
                "{} {style}",
                agent.name()
            );
            let undone = workspace.undo(agent.name()).unwrap().unwrap();
            assert!(undone.cleaned.is_empty() && undone.left.is_empty(), "{undone:?}");
            assert_eq!(house.everything(), before, "{} {style}", agent.name());
        }
    }
}

#[test]
fn a_hook_at_the_start_stands_behind_the_users_own_and_is_there_once() {
    for name in ["claude", "gemini"] {
        let agent = find(name).unwrap();
        let house = TestHome::new(&[]);
        let file = format!(".{name}/settings.json");
        let own = json!({"hooks": {"SessionStart": [{"matcher": "startup", "hooks": [{"type": "command",
            "command": "mine"}]}], "Stop": []}});
        house.write(&file, &own.to_string());
        let before = house.everything();
        let workspace = house.workspace();
        for url in [URL, "http://127.0.0.1:9999"] {
            let command = format!("headroomctl{NOTES_COMMAND} --url '{url}'");
            let changes = house.with(|at| agent.at_start(at, &command)).into_iter().collect();
            let plan = Plan { changes, remarks: Vec::new() };
            workspace.install(agent.name(), url, json!({"memory": true}), &plan).unwrap();
            let hooks =
                value_at(&house.home().join(&file), Format::Json, &["hooks", "SessionStart"]).unwrap();
            let commands: Vec<_> =
                hooks.as_array().unwrap().iter().map(|it| it["hooks"][0]["command"].clone()).collect();
            assert_eq!(commands, [json!("mine"), json!(command)], "{name}");
        }
        workspace.undo(agent.name()).unwrap().unwrap();
        assert_eq!(house.everything(), before, "{name}");
    }
    let house = TestHome::new(&[]);
    assert!(house.with(|at| find("aider").unwrap().at_start(at, "x")).is_none());
}

/// Every file of a furnished house, with its name.
fn files(house: &TestHome) -> Vec<PathBuf> {
    house.everything().into_keys().filter(|path| path.is_file()).collect()
}

/// Kinds, permissions, targets of links and bytes of everything in the home folder.
fn told(house: &TestHome) -> Vec<(PathBuf, u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt as _;
    let told = |path: PathBuf| {
        let found = fs::symlink_metadata(&path).unwrap();
        let bytes = if found.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if found.is_dir() {
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        (path, found.permissions().mode(), bytes)
    };
    house.everything().into_keys().map(told).collect()
}

/// What has happened to a file, and how.
type State = (&'static str, fn(&Path));

/// What may have happened to people's files.
const STATES: [State; 8] = [
    ("empty", |path| fs::write(path, "").unwrap()),
    ("a mark alone", |path| fs::write(path, "\u{feff}").unwrap()),
    ("blank lines", |path| fs::write(path, "\n\r\n\n").unwrap()),
    ("half-written", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("cut in its last line", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 3]).unwrap();
    }),
    ("in another encoding", |path| fs::write(path, b"\xff\xfe{\0}\0").unwrap()),
    ("read-only", |path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    }),
    ("a link", |path| {
        let real = path.with_extension("of-my-dotfiles");
        fs::rename(path, &real).unwrap();
        std::os::unix::fs::symlink(&real, path).unwrap();
    }),
];

#[test]
fn in_every_state_of_its_files_an_agent_is_unwrapped_or_nothing_is_written() {
    for (number, (state, make)) in STATES.into_iter().enumerate() {
        for (other, agent) in ALL.into_iter().enumerate() {
            let house = furnished(number + other);
            files(&house).iter().for_each(|path| make(path));
            let before = told(&house);
            let planned = std::panic::AssertUnwindSafe(|| {
                house.with(|at| {
                    let mut plan = agent.install(at)?;
                    let command = "headroomctl".to_owned();
                    let server = Server { name: "headroom", command, arguments: vec!["mcp".to_owned()] };
                    plan.changes.extend(agent.register(at, &server));
                    anyhow::Ok(plan)
                })
            })();
            let Ok(plan) = planned else {
                assert_eq!(told(&house), before, "{} {state}", agent.name());
                continue;
            };
            let workspace = house.workspace();
            match workspace.install(agent.name(), URL, json!({}), &plan) {
                Err(refused) => {
                    assert_eq!(told(&house), before, "{} {state}: {refused}", agent.name());
                    assert!(
                        !matches!(state, "empty" | "blank lines" | "a link"),
                        "{} {state}: {refused}",
                        agent.name()
                    );
                    let names = files(&house).iter().any(|path| {
                        refused
                            .to_string()
                            .contains(&path.file_name().unwrap().to_string_lossy().into_owned())
                    });
                    assert!(names, "{refused} names the file");
                }
                Ok(_) => {
                    assert!(
                        state != "in another encoding" || told(&house) != before || plan.changes.is_empty()
                    );
                    workspace.undo(agent.name()).unwrap();
                    assert_eq!(told(&house), before, "{} {state}", agent.name());
                }
            }
        }
    }
}

#[test]
fn an_address_that_changes_and_a_line_that_the_user_adds_leave_only_the_users_line() {
    for agent in ALL {
        let house = furnished(0);
        let before = house.everything();
        let workspace = house.workspace();
        workspace.install(agent.name(), URL, json!({}), &plan(&house, agent)).unwrap();
        workspace
            .install(agent.name(), "http://127.0.0.1:9999", json!({"b": 1}), &plan(&house, agent))
            .unwrap();
        // A comment at the end of what takes one.
        let takes_one =
            |path: &&PathBuf| !path.extension().is_some_and(|it| it.to_string_lossy().starts_with("json"));
        let edited: Vec<PathBuf> = house
            .everything()
            .into_iter()
            .filter(|(path, bytes)| path.is_file() && before.get(path).is_some_and(|was| was != bytes))
            .map(|(path, _)| path)
            .collect();
        let mut expected = before.clone();
        for path in edited.iter().filter(takes_one) {
            let add = |bytes: &[u8]| [bytes, b"# since\n"].concat();
            fs::write(path, add(&fs::read(path).unwrap())).unwrap();
            let was = expected.get_mut(path).unwrap();
            *was = add(was);
        }
        workspace.undo(agent.name()).unwrap().unwrap();
        assert_eq!(house.everything(), expected, "{}", agent.name());
    }
}

/// The name of the test below, and what it reads.
const CHILD: &str = "agents::tests::a_process_that_is_killed";
const CHILDS: [&str; 4] = ["KILLED_HOUSE", "KILLED_AGENT", "KILLED_STYLE", "KILLED_BEFORE"];

/// The process of [`after_a_kill_between_any_two_writes_every_agent_is_unwrapped`]: it installs an agent's wrap, or
/// undoes it where one is there, and ends itself with SIGKILL before one of its writes.
#[test]
#[ignore = "another test runs it in a process of its own"]
fn a_process_that_is_killed() {
    let Some(root) = std::env::var_os(CHILDS[0]) else { return };
    let text = |at: usize| std::env::var(CHILDS[at]).unwrap();
    let (agent, style) = (find(&text(1)).unwrap(), text(2).parse().unwrap());
    let house = TestHome::at(Path::new(&root), &variables(style));
    let workspace = house.workspace_on(Disk::ended_after(text(3).parse().unwrap()));
    if workspace.record(agent.name()).unwrap().is_some() {
        workspace.undo(agent.name()).unwrap().unwrap();
    } else {
        workspace.install(agent.name(), URL, json!({}), &plan(&house, agent)).unwrap();
    }
}

/// Whether that process was killed before its write of that number, and not done before.
fn is_killed(house: &TestHome, agent: &dyn Agent, style: usize, writes: usize) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    let values =
        [house.root.display().to_string(), agent.name().to_owned(), style.to_string(), writes.to_string()];
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--test-threads=1"])
        .envs(CHILDS.into_iter().zip(values))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.signal() == Some(9) || output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    output.status.signal() == Some(9)
}

#[test]
fn after_a_kill_between_any_two_writes_every_agent_is_unwrapped() {
    std::thread::scope(|scope| {
        for (number, agent) in ALL.into_iter().enumerate() {
            scope.spawn(move || {
                for undoes in [false, true] {
                    kill_and_unwrap(agent, number % 3, undoes);
                }
            });
        }
    });
}

/// Kills an installation, or an undo, before each of its writes, one after the other.
fn kill_and_unwrap(agent: &dyn Agent, style: usize, undoes: bool) {
    for writes in 0.. {
        let house = furnished(style);
        let before = house.everything();
        if undoes {
            house.workspace().install(agent.name(), URL, json!({}), &plan(&house, agent)).unwrap();
        }
        let killed = is_killed(&house, agent, style, writes);
        assert!(killed || writes > 5, "{} writes that often", agent.name());
        if killed || !undoes {
            // `None`: it was killed before the journal existed, or after it was removed.
            house.workspace().undo(agent.name()).unwrap();
        }
        assert_eq!(house.everything(), before, "{} {undoes} {writes}", agent.name());
        let left = fs::read_dir(house.root.join("workspace/wrap")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"], "{} {undoes} {writes}", agent.name());
        if !killed {
            return;
        }
    }
}

#[test]
fn all_agents_at_once_are_undone_in_the_order_in_which_they_came() {
    for style in 0..3 {
        let house = furnished(style);
        let before = house.everything();
        for agent in ALL {
            house.workspace().install(agent.name(), URL, json!({}), &plan(&house, agent)).unwrap();
        }
        for agent in ALL {
            house.workspace().undo(agent.name()).unwrap().unwrap();
        }
        assert_eq!(house.everything(), before);
    }
}

#[test]
fn claude_gets_the_address_where_its_settings_would_beat_it() {
    let house = TestHome::new(&[("ANTHROPIC_CUSTOM_HEADERS", "x-mine: 1")]);
    let launch = house.launch("claude", &["--print", "hi"]);
    assert_eq!(variable(&launch, "ANTHROPIC_BASE_URL"), Some(URL));
    assert_eq!(
        variable(&launch, "ANTHROPIC_CUSTOM_HEADERS"),
        Some("x-mine: 1\nx-headroom-stack: wrap_claude\nx-headroom-project: my project")
    );
    assert!(launch.arguments.is_empty() && launch.replaced.is_none());

    house.write(".claude/settings.json", r#"{"env": {"ANTHROPIC_BASE_URL": "https://gateway.example"}}"#);
    let launch = house.launch("claude", &["hi"]);
    assert_eq!(launch.arguments[0], "--settings");
    assert!(launch.arguments[1].to_str().unwrap().contains(URL));
    assert_eq!(launch.upstreams, [("ANTHROPIC_TARGET_API_URL", "https://gateway.example".to_owned())]);

    for arguments in [&["--settings", r#"{"model": "m"}"#, "hi"][..], &[r#"--settings={"model": "m"}"#, "hi"]]
    {
        let replaced = house.launch("claude", arguments).replaced.unwrap();
        assert_eq!(replaced.len(), arguments.len());
        let whole: String = replaced.iter().map(|it| it.to_str().unwrap()).collect();
        assert!(whole.contains(URL) && whole.contains(r#""model":"m""#) && whole.ends_with("hi"), "{whole}");
    }
    let bad =
        house.with(|at| find("claude").unwrap().launch(at, &["--settings=no-such".into()]).unwrap_err());
    assert!(bad.to_string().contains("no-such"), "{bad}");

    let bedrock = TestHome::new(&[("CLAUDE_CODE_USE_BEDROCK", "1")]).launch("claude", &[]);
    assert!(bedrock.remarks[0].contains("Bedrock"));
}

#[test]
fn codex_goes_where_its_login_is_taken() {
    let provider = |auth: Option<&str>, variables: &[(&str, &str)]| {
        let house = TestHome::new(variables);
        if let Some(auth) = auth {
            house.write(".codex/auth.json", auth);
        }
        let launch = house.launch("codex", &["exec", "hi"]);
        let words: Vec<&str> = launch.arguments.iter().map(|it| it.to_str().unwrap()).collect();
        assert_eq!((words[0], words[1], words[2]), ("-c", "model_provider=\"headroom\"", "-c"));
        let toml: toml_edit::DocumentMut = words[3].parse().unwrap();
        let provider = &toml["model_providers"]["headroom"];
        let text = |name: &str| provider.get(name).and_then(|it| it.as_str()).map(str::to_owned);
        assert_eq!(provider["http_headers"]["x-headroom-stack"].as_str(), Some("wrap_codex"));
        assert_eq!(provider["supports_websockets"].as_bool(), Some(false));
        (text("base_url").unwrap(), text("env_key"), provider["requires_openai_auth"].as_bool().unwrap())
    };
    let chatgpt = format!("{URL}/backend-api/codex");
    let key = format!("{URL}/v1");
    for auth in [r#"{"auth_mode": "chatgpt"}"#, r#"{"OPENAI_API_KEY": null, "tokens": {"id_token": "x"}}"#] {
        assert_eq!(provider(Some(auth), &[("OPENAI_API_KEY", "k")]), (chatgpt.clone(), None, true));
    }
    assert_eq!(provider(Some(r#"{"OPENAI_API_KEY": "k"}"#), &[]), (key.clone(), None, true));
    let variable = Some("OPENAI_API_KEY".to_owned());
    assert_eq!(provider(None, &[("OPENAI_API_KEY", "k")]), (key.clone(), variable, false));
    assert_eq!(provider(Some("{broken"), &[]), (key, None, true));
}

#[test]
fn codex_keeps_its_history_when_asked() {
    let house = TestHome::new(&[]);
    house.write(".codex/auth.json", r#"{"OPENAI_API_KEY": "k"}"#);
    house.with(|at| {
        let at = &Setting { keep_history: true, ..at.clone() };
        let codex = find("codex").unwrap();
        let launch = codex.launch(at, &[]).unwrap();
        assert_eq!(launch.arguments, ["-c", "openai_base_url=\"http://127.0.0.1:8787/v1\""]);
        assert_eq!(codex.install(at).unwrap().changes.len(), 1);
    });
}

#[test]
fn other_agents_get_what_they_read() {
    let house = furnished(0);
    assert_eq!(variable(&house.launch("gemini", &[]), "GOOGLE_GEMINI_BASE_URL"), Some(URL));
    assert_eq!(variable(&house.launch("gemini", &[]), "CODE_ASSIST_ENDPOINT"), Some(URL));
    assert_eq!(variable(&house.launch("qwen", &[]), "OPENAI_BASE_URL"), Some("http://127.0.0.1:8787/v1"));
    let opencode = house.launch("opencode", &[]);
    let content: Value =
        serde_json::from_str(variable(&opencode, "OPENCODE_CONFIG_CONTENT").unwrap()).unwrap();
    assert_eq!(content["provider"]["anthropic"]["options"]["baseURL"], "http://127.0.0.1:8787/v1");
    assert_eq!(content["provider"]["openai"]["options"]["headers"]["x-headroom-stack"], "wrap_opencode");
    assert!(content["provider"]["google"].is_null(), "no key, no provider: {content}");
    assert_eq!(variable(&house.launch("aider", &[]), "ANTHROPIC_API_BASE"), Some(URL));
    assert_eq!(variable(&house.launch("goose", &[]), "OPENAI_HOST"), Some(URL));
    assert_eq!(variable(&house.launch("openhands", &[]), "LLM_BASE_URL"), Some(URL));
    assert_eq!(house.launch("openhands", &[]).arguments, ["--override-with-envs"]);
    assert_eq!(
        variable(&house.launch("copilot", &[]), "COPILOT_PROVIDER_BASE_URL"),
        Some("http://127.0.0.1:8787/v1")
    );
    let subscription = TestHome::new(&[]).launch("copilot", &[]);
    assert!(subscription.variables.is_empty() && subscription.remarks[0].contains("subscription"));
    assert!(!house.launch("pi", &[]).edits.changes.is_empty());
    assert_eq!(house.launch("cline", &[]).edits.changes.len(), 3, "the address and two labels");

    let launch = house.launch("cn", &["--config", ".continue/other.yaml", "-p", "hi"]);
    assert!(launch.file.is_none() && launch.replaced.is_none(), "nothing is there to edit");
    let launch = house.launch("cn", &["-p", "hi"]);
    let (_, copy) = launch.file.unwrap();
    let copy = String::from_utf8(copy).unwrap();
    assert_eq!(copy.matches("apiBase: http://127.0.0.1:8787/v1").count(), 2, "{copy}");
    assert_eq!(launch.arguments, ["--config", Launch::FILE]);
}

/// Everything that a run gets, as text.
fn given(launch: &Launch) -> String {
    let variables = launch.variables.iter().map(|(name, value)| format!("{name}={value}"));
    let arguments = launch.arguments.iter().map(|it| it.to_string_lossy().into_owned());
    let file = launch.file.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
    let edits = edited(&launch.edits).unwrap().into_iter().map(|bytes| String::from_utf8(bytes).unwrap());
    variables.chain(arguments).chain(file).chain(edits).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_agents_run_says_whose_it_is_and_of_which_project() {
    for style in 0..3 {
        let house = furnished(style);
        for agent in ALL {
            let given = given(&house.launch(agent.name(), &["hi"]));
            let stack = format!("wrap_{}", agent.name());
            for label in [&stack, "my project", "x-headroom-stack", "x-headroom-project"] {
                assert!(given.contains(label), "{}: {label} is not in\n{given}", agent.name());
            }
        }
    }
}

#[test]
fn headers_of_the_users_own_are_kept_beside_the_labels() {
    let house = TestHome::new(&[
        ("COPILOT_PROVIDER_API_KEY", "k"),
        ("COPILOT_PROVIDER_HEADERS", "X-Mine: 1\nx-headroom-stack: wrap_old"),
        ("OPENAI_CUSTOM_HEADERS", "X-Mine=1,x-headroom-stack=wrap_old"),
    ]);
    let launch = house.launch("copilot", &[]);
    assert_eq!(
        variable(&launch, "COPILOT_PROVIDER_HEADERS"),
        Some("X-Mine: 1\nx-headroom-stack: wrap_copilot\nx-headroom-project: my project")
    );
    let launch = house.launch("goose", &[]);
    assert_eq!(
        variable(&launch, "OPENAI_CUSTOM_HEADERS"),
        Some("X-Mine=1,x-headroom-stack=wrap_goose,x-headroom-project=my project")
    );
}

#[test]
fn labels_stand_back_where_the_user_has_something_in_their_place() {
    let house = furnished(0);
    // Aider: settings for every model, which ours would replace.
    house.write(
        ".aider.model.settings.yml",
        "- name: aider/extra_params\n  extra_params:\n    extra_headers: {X-Mine: '1'}\n",
    );
    assert!(house.launch("aider", &[]).file.is_none());
    let cloned = TestHome::new(&[]);
    for name in [".aider.model.settings.yml", ".aider.conf.yml"] {
        std::os::unix::fs::symlink("/dev/zero", cloned.home().join("my project").join(name)).unwrap();
    }
    assert!(cloned.launch("aider", &[]).file.is_some(), "a device is no file of settings");
    let own = plan(&house, find("aider").unwrap());
    assert!(own.changes.iter().all(|change| change.file.ends_with(".aider.conf.yml")));
    assert!(furnished(0).launch("aider", &["--model-settings-file", "x.yml"]).file.is_none());
    // Goose: a gateway that may have headers among its secrets. Headroom sends requests there.
    house.write(".config/goose/config.yaml", "OPENAI_BASE_URL: https://gateway.example/v1\n");
    let launch = house.launch("goose", &[]);
    assert_eq!(variable(&launch, "OPENAI_CUSTOM_HEADERS"), None);
    assert_eq!(launch.upstreams, [("OPENAI_TARGET_API_URL", "https://gateway.example/v1".to_owned())]);
    let goose = plan(&house, find("goose").unwrap());
    let base = Key::Name("OPENAI_BASE_URL".to_owned());
    assert!(goose.changes.iter().any(|change| change.path == [base.clone()]), "it beats the host");
    // Continue: a file without a place for it. The address is what matters.
    house.write(
        ".continue/config.yaml",
        "models:\n  - name: GPT\n    provider: openai\n    requestOptions: {headers: {X-Mine: '1'}}\n",
    );
    let given = given(&house.launch("cn", &[]));
    assert!(given.contains("apiBase: http://127.0.0.1:8787/v1") && !given.contains("x-headroom"), "{given}");
}

#[test]
fn openhands_sends_both_of_its_models_through() {
    let house = furnished(0);
    house.write(
        ".openhands/agent_settings.json",
        r#"{"llm": {"model": "openai/gpt-5", "base_url": null, "extra_headers": null}, "condenser": {"llm": {"extra_headers": {"X-Mine": "1"}}}}"#,
    );
    let [copy] = &edited(&plan(&house, find("openhands").unwrap())).unwrap()[..1] else { panic!("one file") };
    let settings: Value = serde_json::from_slice(copy).unwrap();
    assert_eq!(settings["llm"]["base_url"], "http://127.0.0.1:8787/v1");
    assert_eq!(settings["llm"]["extra_headers"], json!({"x-headroom-stack": "wrap_openhands"}));
    assert_eq!(settings["condenser"]["llm"]["base_url"], "http://127.0.0.1:8787/v1");
    let headers = json!({"X-Mine": "1", "x-headroom-stack": "wrap_openhands"});
    assert_eq!(settings["condenser"]["llm"]["extra_headers"], headers);
}

#[test]
fn the_conversation_that_is_taken_up_is_told_from_a_list_of_them() {
    let resumed = |name: &str, arguments: &[&str]| {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let agent = find(name).unwrap();
        (agent.resumes(&arguments), agent.resumed(&arguments).map(str::to_owned))
    };
    let id = Some("0a1b2c3d-4e5f".to_owned());
    assert_eq!(resumed("claude", &["--resume", "0a1b2c3d-4e5f"]), (true, id.clone()));
    assert_eq!(resumed("claude", &["--resume=0a1b2c3d-4e5f", "hi"]), (true, id.clone()));
    assert_eq!(resumed("claude", &["--continue"]), (true, None));
    assert_eq!(resumed("claude", &["--resume", "--print"]), (true, None));
    assert_eq!(resumed("codex", &["resume", "0a1b2c3d-4e5f"]), (true, id.clone()));
    assert_eq!(resumed("codex", &["resume", "--last"]), (true, None));
    assert_eq!(resumed("gemini", &["--resume", "5"]), (true, None), "a number of a list");
    assert_eq!(resumed("openhands", &["--resume", "--last"]), (true, None));
    assert_eq!(resumed("cline", &["--id", "0a1b2c3d-4e5f"]), (true, id));
    assert_eq!(resumed("claude", &["--print", "hi"]), (false, None));
}

#[test]
fn a_gateway_of_the_users_own_is_kept_behind_headroom() {
    let house = TestHome::new(&[("OPENAI_BASE_URL", "https://gateway.example/v1"), ("OPENAI_API_KEY", "k")]);
    let kept = [("OPENAI_TARGET_API_URL", "https://gateway.example/v1".to_owned())];
    assert_eq!(house.launch("qwen", &[]).upstreams, kept);
    let local =
        TestHome::new(&[("OPENAI_BASE_URL", "http://localhost:4000/v1")]).launch("qwen", &[]).upstreams;
    assert_eq!(local, [("OPENAI_TARGET_API_URL", "http://localhost:4000/v1".to_owned())]);
    for own in ["http://127.0.0.1:8787/v1", "http://localhost:8787", "https://api.openai.com/v1", ""] {
        assert_eq!(TestHome::new(&[("OPENAI_BASE_URL", own)]).launch("qwen", &[]).upstreams, []);
    }
}

#[test]
fn the_mcp_server_of_every_agent_stands_where_the_agent_looks() {
    let house = furnished(0);
    for agent in ALL {
        let plan = plan(&house, agent);
        let Some(place) = house.with(|at| agent.places(at).mcp) else { continue };
        let change = plan.changes.last().unwrap();
        assert_eq!(change.file, place, "{}", agent.name());
        assert!(change.value.to_string().contains("headroomctl"), "{}", agent.name());
    }
    house.workspace().install("claude", URL, json!({}), &plan(&house, find("claude").unwrap())).unwrap();
    let entry =
        value_at(&house.home().join(".claude.json"), Format::Json, &["mcpServers", "headroom"]).unwrap();
    assert_eq!(entry, json!({"type": "stdio", "command": "headroomctl", "args": ["mcp"]}));
}

#[test]
fn exports_are_read_back_by_the_shell() {
    for value in ["http://127.0.0.1:8787/v1", "a: b\nc: d", "it's $HOME `x` \\ \"q\"", ""] {
        let script = format!("{}\nprintf %s \"$A\"", export("A", value, false));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), value, "{script}");
    }
    assert_eq!(export("A", "it's \\", true), r"set -gx A 'it\'s \\'");
}

#[test]
fn agents_are_found_by_their_names() {
    for (name, expected) in [
        ("claude", "claude"),
        ("Claude-Code", "claude"),
        ("cn", "continue"),
        ("gemini-cli", "gemini"),
        ("PI", "pi"),
    ] {
        assert_eq!(find(name).unwrap().name(), expected);
    }
    assert!(find("cursor").is_none() && unreachable::reason("Cursor").unwrap().contains("servers"));
    assert!(find("").is_none() && unreachable::reason("vim").is_none());
}
