//! Edits of every format, on files in the states that occur in practice, interrupted anywhere, and undone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

#[test]
fn what_is_no_file_is_not_read() {
    let house = TestHome::new();
    let (device, pipe) = (house.home().join("device"), house.home().join("pipe"));
    std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [device, pipe, house.home()] {
        let refused = disk::read(&path).unwrap_err().to_string();
        assert!(refused.contains("was expected to be a file"), "{refused}");
        assert_eq!(bytes_of(&path), None);
    }
    assert!(disk::read(&house.home().join("nothing")).unwrap().is_none());
}

/// A home folder, and a workspace next to it.
struct TestHome {
    folder: TempDir,
}

impl TestHome {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        Self { folder }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.home().join(name)).unwrap()
    }

    fn workspace(&self) -> Workspace {
        Workspace::new(&self.folder.path().join("workspace"), Disk::default())
    }

    fn dying_workspace(&self, writes: usize) -> Workspace {
        Workspace::new(&self.folder.path().join("workspace"), Disk::killed_after(writes))
    }

    /// Everything in the home folder: names, kinds, permissions and bytes.
    fn everything(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut all = BTreeMap::new();
        walk(&self.home(), &self.home(), &mut all);
        all
    }

    /// The content of Headroom's own folder for agents.
    fn leftovers(&self) -> Vec<String> {
        let folder = self.folder.path().join("workspace/wrap");
        let entries = fs::read_dir(folder).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name != "lock").collect()
    }
}

fn walk(root: &Path, folder: &Path, all: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_symlink() {
            let link = fs::read_link(&path).unwrap();
            all.insert(name, (0, link.display().to_string().into_bytes()));
        } else if found.is_dir() {
            all.insert(name, (found.permissions().mode(), Vec::new()));
            walk(root, &path, all);
        } else {
            all.insert(name, (found.permissions().mode(), fs::read(&path).unwrap()));
        }
    }
}

const URL: &str = "http://127.0.0.1:8787";

/// A plan with all formats, and the names of their files.
fn plan(home: &Path) -> Plan {
    let at =
        |name: &str, format, names: &[&str], value: Value| Change::new(home.join(name), format, names, value);
    let item = Key::Item { field: "name".to_owned(), is: "headroom".to_owned() };
    let list = Change {
        file: home.join("config.yaml"),
        format: Format::Yaml,
        path: vec![Key::Name("servers".to_owned()), item],
        value: json!({"name": "headroom", "args": ["mcp"]}),
    };
    Plan {
        changes: vec![
            at(".a/settings.json", Format::Json, &["env", "BASE_URL"], URL.into()),
            at(".a/settings.json", Format::Json, &["servers", "headroom"], json!({"args": ["mcp"]})),
            at("config.toml", Format::Toml, &["model_provider"], "headroom".into()),
            at(
                "config.toml",
                Format::Toml,
                &["model_providers", "headroom"],
                json!({"base_url": URL, "http_headers": {"x": "y"}}),
            ),
            at("config.yaml", Format::Yaml, &["base"], URL.into()),
            at("config.yaml", Format::Yaml, &["extensions", "headroom"], json!({"enabled": true})),
            list,
            at(".profile", Format::Shell, &["wrap a"], format!("export BASE_URL={URL}").into()),
            at(".env", Format::DotEnv, &["BASE_URL"], URL.into()),
        ],
        remarks: Vec::new(),
    }
}

fn install(house: &TestHome) -> InstallOutcome {
    house.workspace().install("a", URL, json!({}), &plan(&house.home())).unwrap()
}

/// One possible state of each file.
type State = (&'static str, [(&'static str, &'static str); 5]);

const FILES: [&str; 5] = [".a/settings.json", "config.toml", "config.yaml", ".profile", ".env"];

const STATES: [State; 6] = [
    ("empty", [(FILES[0], ""), (FILES[1], ""), (FILES[2], ""), (FILES[3], ""), (FILES[4], "")]),
    (
        "with comments",
        [
            (
                FILES[0],
                "{\n    // mine\n    \"model\": \"opus\", /* of all */\n    \"env\": {\n        \"A\": \"1\", // one\n    },\n}\n",
            ),
            (
                FILES[1],
                "# mine\nmodel = \"gpt-5\" # best\n\n[profiles.x]\nmodel = 'o3'\n\n# last\n[mcp_servers.y]\ncommand = \"z\"\n",
            ),
            (
                FILES[2],
                "# mine\nmodel: x # best\nextensions:\n  developer:\n    enabled: true\nservers:\n  - name: other # first\n    args: [a]\n",
            ),
            (FILES[3], "# mine\nexport A=1\n"),
            (FILES[4], "# mine\nA='1'\n"),
        ],
    ),
    (
        "without a last newline",
        [
            (FILES[0], "{\"env\": {\"A\": 1}}"),
            (FILES[1], "model = \"gpt-5\""),
            (FILES[2], "model: x"),
            (FILES[3], "export A=1"),
            (FILES[4], "A=1"),
        ],
    ),
    (
        "of Windows",
        [
            (FILES[0], "\u{feff}{\r\n\t\"env\": {\r\n\t\t\"A\": \"1\"\r\n\t}\r\n}\r\n"),
            (FILES[1], "model = \"gpt-5\"\r\n\r\n[a]\r\nb = 1\r\n"),
            (FILES[2], "model: x\r\nextensions:\r\n  a: b\r\n"),
            (FILES[3], "export A=1\r\nexport B=2\r\n"),
            (FILES[4], "\u{feff}A=1\r\n"),
        ],
    ),
    (
        "with another provider",
        [
            (FILES[0], "{\n  \"env\": {\n    \"BASE_URL\": \"https://gateway.example\"\n  }\n}\n"),
            (
                FILES[1],
                "model_provider = \"azure\" # work\n[model_providers.azure]\nbase_url = \"https://a\"\n[model_providers.headroom]\nenv_key = \"K\"\n",
            ),
            (FILES[2], "base: \"https://gateway.example\" # work\nextensions:\nservers:\n- name: b\n"),
            (FILES[3], "export BASE_URL=https://gateway.example\n"),
            (FILES[4], "export BASE_URL=\"https://gateway.example\"\nB=2\n"),
        ],
    ),
    (
        "in odd forms",
        [
            (FILES[0], "{}"),
            (
                FILES[1],
                "model_providers = { azure = { base_url = \"u\" } }\n'model_provider' = 'x'\n\n\n[a.b]\n[[c]]\nd = 1\n[[c]]\n",
            ),
            (FILES[2], "---\nmodel: x\n\"base\": 'b'   # c\nservers: # none\n"),
            (FILES[3], "if true; then\n  export A=1\nfi\n\n\n"),
            (FILES[4], "  BASE_URL = a\n\nBASE_URL=b\n#end"),
        ],
    ),
];

fn furnished(state: &State) -> TestHome {
    let house = TestHome::new();
    for (name, text) in state.1 {
        house.write(name, text);
    }
    house
}

/// Whether every value of the plan is in the files.
fn all_stand(house: &TestHome) -> bool {
    plan(&house.home()).changes.iter().all(|change| {
        let text = lines::Text::decode(&fs::read(&change.file).unwrap()).unwrap();
        change.format.open(&text.body).unwrap().get(&change.path).as_ref() == Some(&change.value)
    })
}

#[test]
fn an_installation_is_complete_and_is_undone_byte_for_byte() {
    for state in &STATES {
        let house = furnished(state);
        let before = house.everything();
        assert_eq!(install(&house), InstallOutcome::Now, "{}", state.0);
        assert!(all_stand(&house), "{}", state.0);
        let after = house.everything();
        assert_eq!(install(&house), InstallOutcome::Already, "{}", state.0);
        assert_eq!(house.everything(), after, "{}: twice is as once", state.0);
        let undone = house.workspace().undo("a").unwrap().unwrap();
        assert_eq!((undone.restored.len(), undone.cleaned.len()), (FILES.len(), 0), "{}", state.0);
        assert_eq!(house.everything(), before, "{}", state.0);
        assert_eq!(house.leftovers(), [""; 0], "{}", state.0);
        assert_eq!(house.workspace().undo("a").unwrap(), None, "twice is as once");
        assert_eq!(house.everything(), before, "{}", state.0);
    }
}

#[test]
fn where_no_file_was_there_is_none_afterwards() {
    let house = TestHome::new();
    let before = house.everything();
    assert_eq!(install(&house), InstallOutcome::Now);
    assert!(all_stand(&house));
    house.workspace().undo("a").unwrap().unwrap();
    assert_eq!(house.everything(), before);
}

#[test]
fn what_stands_beside_an_edit_stays_as_it_is() {
    for state in &STATES {
        let house = furnished(state);
        install(&house);
        for (name, before) in state.1 {
            let after = fs::read_to_string(house.home().join(name)).unwrap();
            assert_eq!(after.starts_with('\u{feff}'), before.starts_with('\u{feff}'), "{}", state.0);
            if before.contains("\r\n") {
                assert_eq!(
                    after.matches('\n').count(),
                    after.matches("\r\n").count(),
                    "{}: {after:?}",
                    state.0
                );
            }
            let kept = |line: &&str| {
                let bare = line.trim().trim_end_matches([',', '}', ']']);
                after.contains(bare)
                    || ["BASE_URL", "base", "provider", "headroom", "env_key"]
                        .iter()
                        .any(|it| bare.contains(it))
            };
            let lost: Vec<&str> = before.lines().filter(|line| !kept(line)).collect();
            assert!(
                lost.is_empty() || before.lines().count() == 1,
                "{} {name}: {lost:?} of\n{before}\nis gone:\n{after}",
                state.0
            );
        }
    }
}

#[test]
fn a_kill_before_any_write_loses_nothing() {
    for state in &STATES {
        let mut writes = 0;
        loop {
            let house = furnished(state);
            let before = house.everything();
            let killed =
                house.dying_workspace(writes).install("a", URL, json!({}), &plan(&house.home())).is_err();
            house.workspace().undo("a").unwrap();
            assert_eq!(house.everything(), before, "{} killed after {writes} writes", state.0);
            assert_eq!(house.leftovers(), [""; 0], "{} killed after {writes} writes", state.0);
            if !killed {
                break;
            }
            writes += 1;
            assert!(writes < 200, "{}: it never ends well", state.0);
        }
        assert!(writes > 3 * FILES.len(), "{writes} writes");
    }
}

#[test]
fn an_undo_that_is_killed_is_done_again() {
    let mut writes = 0;
    loop {
        let house = furnished(&STATES[1]);
        let before = house.everything();
        install(&house);
        let killed = house.dying_workspace(writes).undo("a").is_err();
        house.workspace().undo("a").unwrap();
        assert_eq!(house.everything(), before, "killed after {writes} writes");
        assert_eq!(house.leftovers(), [""; 0], "killed after {writes} writes");
        if !killed {
            break;
        }
        writes += 1;
        assert!(writes < 200, "it never ends well");
    }
    assert!(writes > 3 * FILES.len(), "{writes} writes");
}

#[test]
fn an_installation_that_was_killed_is_completed_by_the_next() {
    let mut writes = 0;
    loop {
        let house = furnished(&STATES[3]);
        let before = house.everything();
        let killed =
            house.dying_workspace(writes).install("a", URL, json!({}), &plan(&house.home())).is_err();
        assert_ne!(install(&house), InstallOutcome::Nothing);
        assert!(all_stand(&house), "killed after {writes} writes");
        house.workspace().undo("a").unwrap();
        assert_eq!(house.everything(), before, "killed after {writes} writes");
        if !killed {
            break;
        }
        writes += 1;
        assert!(writes < 200, "it never ends well");
    }
}

#[test]
fn what_the_user_has_edited_since_stays_and_what_is_ours_goes() {
    let house = furnished(&STATES[1]);
    install(&house);
    let edit = |name: &str, from: &str, to: &str| {
        let text = house.read(name);
        assert!(text.contains(from), "{text}");
        house.write(name, text.replacen(from, to, 1));
    };
    edit(FILES[0], "opus", "sonnet");
    edit(FILES[1], "gpt-5", "gpt-6");
    edit(FILES[2], "model: x", "model: y");
    edit(FILES[3], "export A=1", "export A=2");
    edit(FILES[4], "A='1'", "A='2'");
    let undone = house.workspace().undo("a").unwrap().unwrap();
    assert_eq!((undone.cleaned.len(), undone.left.len()), (5, 0), "{undone:?}");
    let expected = STATES[1].1.map(|(_, text)| {
        let text = text.replacen("opus", "sonnet", 1).replacen("gpt-5", "gpt-6", 1);
        text.replacen("model: x", "model: y", 1)
            .replacen("export A=1", "export A=2", 1)
            .replacen("A='1'", "A='2'", 1)
    });
    for ((name, _), expected) in STATES[1].1.iter().zip(expected) {
        assert_eq!(house.read(name), expected, "{name}");
    }
}

#[test]
fn what_the_user_has_put_in_the_place_of_ours_is_left_and_named() {
    let house = furnished(&STATES[4]);
    install(&house);
    for name in [FILES[0], FILES[2], FILES[4]] {
        let text = house.read(name).replacen(URL, "https://mine.example", 1);
        house.write(name, text);
    }
    fs::remove_file(house.home().join(FILES[3])).unwrap();
    let undone = house.workspace().undo("a").unwrap().unwrap();
    assert_eq!(undone.left.len(), 4, "{undone:?}");
    for name in [FILES[0], FILES[2], FILES[4]] {
        assert!(house.read(name).contains("https://mine.example"), "{}", house.read(name));
    }
    assert!(!house.read(FILES[0]).contains("headroom") && !house.read(FILES[2]).contains("headroom"));
    assert_eq!(house.read(FILES[1]), STATES[4].1[1].1);
    assert!(!house.home().join(FILES[3]).exists());
}

#[test]
fn two_agents_in_one_file_are_undone_in_any_order() {
    for (state, first) in STATES.iter().flat_map(|state| [(state, "a"), (state, "b")]) {
        let house = furnished(state);
        let before = house.read(FILES[3]);
        for agent in ["a", "b"] {
            let names = [format!("wrap {agent}")];
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let change =
                Change::new(house.home().join(FILES[3]), Format::Shell, &names, format!("export {agent}=1"));
            let plan = Plan { changes: vec![change], remarks: Vec::new() };
            house.workspace().install(agent, URL, json!({}), &plan).unwrap();
        }
        let second = if first == "a" { "b" } else { "a" };
        house.workspace().undo(first).unwrap().unwrap();
        assert!(house.read(FILES[3]).contains(&format!("export {second}=1")));
        assert!(!house.read(FILES[3]).contains(&format!("export {first}=1")));
        house.workspace().undo(second).unwrap().unwrap();
        assert_eq!(house.read(FILES[3]), before, "{} {first} first", state.0);
    }
}

#[test]
fn links_and_permissions_stay() {
    let house = TestHome::new();
    let real = house.write("dotfiles/settings.json", "{}\n");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    fs::create_dir(house.home().join(".a")).unwrap();
    std::os::unix::fs::symlink("../dotfiles/settings.json", house.home().join(FILES[0])).unwrap();
    std::os::unix::fs::symlink("dotfiles/not-yet", house.home().join(FILES[3])).unwrap();
    let before = house.everything();
    install(&house);
    assert!(all_stand(&house));
    assert!(fs::symlink_metadata(house.home().join(FILES[0])).unwrap().is_symlink());
    assert!(fs::symlink_metadata(house.home().join(FILES[3])).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    house.workspace().undo("a").unwrap().unwrap();
    assert_eq!(house.everything(), before);
}

/// An error, and what causes it.
type RefusedWrite<'f> = (&'static str, &'f dyn Fn(&TestHome));

#[test]
fn what_cannot_be_edited_is_named_and_nothing_is_written() {
    let circle = |house: &TestHome| std::os::unix::fs::symlink(".env", house.home().join(".env")).unwrap();
    let folder = |house: &TestHome| fs::create_dir(house.home().join("config.toml")).unwrap();
    let read_only = |house: &TestHome| {
        let path = house.write(FILES[1], "a = 1\n");
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    };
    let writes: [RefusedWrite<'_>; 15] = [
        ("JSON", &|house| drop(house.write(FILES[0], "{\"env\": {\"A\": "))),
        ("JSON", &|house| drop(house.write(FILES[0], "[1]"))),
        ("JSON", &|house| drop(house.write(FILES[0], "{\"a\": 1}}"))),
        ("env", &|house| drop(house.write(FILES[0], "{\"env\": 7}"))),
        ("UTF-8", &|house| drop(house.write(FILES[0], b"\xff\xfe{\0}\0"))),
        ("TOML", &|house| drop(house.write(FILES[1], "model = \"gpt"))),
        ("TOML", &|house| drop(house.write(FILES[1], "a = 1\na = 2\n"))),
        ("model_providers", &|house| drop(house.write(FILES[1], "model_providers = 1\n"))),
        ("YAML", &|house| drop(house.write(FILES[2], "a: [1\nb: 2\n"))),
        ("YAML", &|house| drop(house.write(FILES[2], "a: 1\n---\nb: 2\n"))),
        ("extensions", &|house| drop(house.write(FILES[2], "extensions: {a: b}\n"))),
        ("no place", &|house| drop(house.write(FILES[2], "base: |\n  a\n  b\n"))),
        ("read-only", &read_only),
        (".env", &circle),
        ("config.toml", &folder),
    ];
    for (said, write) in writes {
        let house = TestHome::new();
        write(&house);
        let before = house.everything();
        let error = house.workspace().install("a", URL, json!({}), &plan(&house.home())).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(said), "{said}: {error}");
        assert_eq!(house.everything(), before, "{said}");
        assert_eq!(house.leftovers(), [""; 0], "{said}");
    }
}

#[test]
fn a_file_that_broke_since_is_not_touched_and_the_copy_is_named() {
    let house = furnished(&STATES[1]);
    install(&house);
    house.write(FILES[0], "{\"half\": ");
    let error = format!("{:#}", house.workspace().undo("a").unwrap_err());
    assert!(error.contains("a.before/0") && error.contains("JSON"), "{error}");
    assert_eq!(house.read(FILES[0]), "{\"half\": ");
    let copy = fs::read_to_string(house.folder.path().join("workspace/wrap/a.before/0")).unwrap();
    assert_eq!(copy, STATES[1].1[0].1);
    house.write(FILES[0], copy);
    house.workspace().undo("a").unwrap().unwrap();
    assert_eq!(house.read(FILES[0]), STATES[1].1[0].1);
}

#[test]
fn a_journal_that_is_none_is_refused() {
    let house = furnished(&STATES[1]);
    install(&house);
    let journal = house.folder.path().join("workspace/wrap/a.json");
    for bad in ["", "{", "{\"version\": 9}"] {
        fs::write(&journal, bad).unwrap();
        let error = format!("{:#}", house.workspace().undo("a").unwrap_err());
        assert!(error.contains("a.json"), "{error}");
        assert!(all_stand(&house));
    }
}

#[test]
fn a_value_that_was_the_users_own_stays_theirs() {
    let house = TestHome::new();
    house.write(FILES[4], format!("BASE_URL={URL}\n"));
    install(&house);
    house.write(FILES[4], format!("BASE_URL={URL}\nNEW=1\n"));
    house.workspace().undo("a").unwrap().unwrap();
    assert_eq!(house.read(FILES[4]), format!("BASE_URL={URL}\nNEW=1\n"));
}
