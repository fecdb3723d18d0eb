//! The settings of Claude Code after upstream's `wrap` and `init`.
//!
//! `wrap` writes its address into `env` of the folder's `.claude/settings.local.json`, and a hook that removes it when
//! the proxy is gone. The values before are in `.headroom_wrap_marker.json` next to it, and in newer versions in
//! `.headroom_wrap_owners.json`. `init` does the same to the user's settings, and keeps no record of the old values.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value};

use crate::agents::Places;
use crate::edits::{Disk, Format, rewritten};

pub(super) const NAME: &str = "claude";

/// `{"pid", "port", "key", "previous"}`: the last run that wrote an address.
const MARKER: &str = ".headroom_wrap_marker.json";
/// `{KEY: {"original", "holders"}}`: every key that runs have written.
const OWNERS: &str = ".headroom_wrap_owners.json";
const LOCK: &str = ".headroom_wrap_settings.lock";
/// Parts of the commands of its hooks.
const HOOKS: [&str; 2] = ["headroom-wrap-selfheal", "headroom-init-claude"];
/// The variables that it writes.
const ADDRESSES: [&str; 3] =
    ["ANTHROPIC_BASE_URL", "ANTHROPIC_FOUNDRY_BASE_URL", "ANTHROPIC_VERTEX_BASE_URL"];
const TOOL_SEARCH: &str = "ENABLE_TOOL_SEARCH";
/// The program of its MCP server.
const PROGRAM: &str = "headroom";

/// Removes it, and prints that.
pub(super) fn take_off(places: &Places, disk: &Disk) -> anyhow::Result<Vec<String>> {
    let mut done = Vec::new();
    for settings in &places.settings {
        done.extend(from_settings(settings, disk)?);
    }
    if let Some(servers) = &places.mcp {
        done.extend(from_servers(servers, disk)?);
    }
    Ok(done)
}

/// Upstream's record of a key.
enum KeyRecord {
    Known(Option<Value>),
    Unknown,
}

fn from_settings(settings: &Path, disk: &Disk) -> anyhow::Result<Option<String>> {
    let beside = |name: &str| settings.with_file_name(name);
    let (marker, owners) = (record(&beside(MARKER), disk)?, record(&beside(OWNERS), disk)?);
    let is_local = settings.ends_with("settings.local.json");
    let has_record = is_local && (marker.is_some() || owners.is_some());
    let found = disk.contents(settings)?;
    let bytes = found.as_ref().map_or(&[][..], |(bytes, _)| bytes);
    let Some(present) = object(bytes) else {
        anyhow::ensure!(
            !has_record,
            "{} is not edited, because it is not JSON, and the Python Headroom's wrap may be in it. Correct it, then try again",
            settings.display()
        );
        return Ok(None);
    };
    let mut places: Vec<(Vec<&str>, Option<Value>)> = Vec::new();
    let hooks = present.get("hooks").and_then(Value::as_object);
    let without = hooks.and_then(without_ours);
    let has_hook = without.is_some();
    places.extend(without.map(|hooks| (vec!["hooks"], (!hooks.is_empty()).then(|| hooks.into()))));
    if has_record || has_hook {
        for key in ADDRESSES.into_iter().chain([TOOL_SEARCH]) {
            let Some(value) = present.get("env").and_then(|env| env.get(key)) else { continue };
            // An address on another machine is the user's own.
            let is_its = key == TOOL_SEARCH || value.as_str().is_some_and(is_proxy);
            match before(key, value, marker.as_ref(), owners.as_ref()) {
                KeyRecord::Known(before) if is_its && before.as_ref() != Some(value) => {
                    places.push((vec!["env", key], before));
                }
                // `init` keeps no record, and removes both itself.
                KeyRecord::Unknown if is_its && (key != TOOL_SEARCH || !is_local) => {
                    places.push((vec!["env", key], None));
                }
                _ => {}
            }
        }
    }
    let changed = !places.is_empty();
    if let (true, Some((bytes, mode))) = (changed, &found) {
        let after = rewritten(bytes, Format::Json, &places)
            .map_err(|reason| anyhow::anyhow!("{} is not edited: {reason}", settings.display()))?;
        if object(&after).is_some_and(|after| after.is_empty()) {
            disk.take(settings)?;
        } else {
            disk.put(settings, &after, *mode)?;
        }
    }
    // The record is removed last, so that an interrupted run can be repeated.
    if is_local {
        for name in [MARKER, OWNERS, LOCK] {
            if disk.contents(&beside(name))?.is_some() {
                disk.take(&beside(name))?;
            }
        }
    }
    let said = || format!("the Python Headroom's wrap was taken out of {}", settings.display());
    Ok((changed || has_record).then(said))
}

/// A file of JSON; `None`: there is none.
fn record(path: &Path, disk: &Disk) -> anyhow::Result<Option<Map<String, Value>>> {
    let found = disk.contents(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(found.map(|(bytes, _)| object(&bytes).unwrap_or_default()))
}

fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Some(Map::new());
    }
    crate::edits::json_object(bytes)
}

fn before(
    key: &str,
    now: &Value,
    marker: Option<&Map<String, Value>>,
    owners: Option<&Map<String, Value>>,
) -> KeyRecord {
    let known = |value: Option<&Value>| KeyRecord::Known(value.filter(|value| !value.is_null()).cloned());
    if let Some(owned) = owners.and_then(|owners| owners.get(key)) {
        return known(owned.get("original"));
    }
    match marker.filter(|marker| marker.get("key").and_then(Value::as_str) == Some(key)) {
        // The second run saw the first one's address.
        Some(marker) => known(marker.get("previous").filter(|previous| *previous != now)),
        None => KeyRecord::Unknown,
    }
}

/// Whether it is upstream's own address: plain HTTP, this machine, no path but a project's.
fn is_proxy(url: &str) -> bool {
    let rest = url.strip_prefix("http://127.0.0.1:").or_else(|| url.strip_prefix("http://localhost:"));
    rest.and_then(|rest| rest.split('/').next()).is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Hooks without upstream's; `None`: there are none of upstream's.
fn without_ours(hooks: &Map<String, Value>) -> Option<Map<String, Value>> {
    let is_its = |hook: &Value| {
        let command = hook.get("command").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        HOOKS.iter().any(|mark| command.contains(mark))
    };
    let mut kept = hooks.clone();
    let mut found = false;
    for entries in kept.values_mut().filter_map(Value::as_array_mut) {
        entries.retain_mut(|entry| {
            let Some(commands) = entry.get_mut("hooks").and_then(Value::as_array_mut) else { return true };
            let all = commands.len();
            commands.retain(|hook| !is_its(hook));
            found |= commands.len() < all;
            commands.len() == all || !commands.is_empty()
        });
    }
    kept.retain(|event, entries| {
        let was_empty = hooks.get(event).is_some_and(|it| it.as_array().is_some_and(Vec::is_empty));
        was_empty || !entries.as_array().is_some_and(Vec::is_empty)
    });
    found.then_some(kept)
}

fn from_servers(servers: &Path, disk: &Disk) -> anyhow::Result<Option<String>> {
    let Some((bytes, mode)) = disk.contents(servers)? else { return Ok(None) };
    let Some(present) = object(&bytes) else { return Ok(None) };
    let server = present.get("mcpServers").and_then(|all| all.get(PROGRAM));
    let command = server.and_then(|it| it.get("command")?.as_str());
    let program = command.map(|command| Path::new(command).file_name().unwrap_or_default());
    let arguments = server.and_then(|it| it.get("args")?.get(0)?.as_str());
    if program.is_none_or(|program| program != PROGRAM) || arguments != Some("mcp") {
        return Ok(None);
    }
    let after = rewritten(&bytes, Format::Json, &[(vec!["mcpServers", PROGRAM], None)])
        .map_err(|reason| anyhow::anyhow!("{} is not edited: {reason}", servers.display()))?;
    disk.put(servers, &after, mode)?;
    Ok(Some(format!("the Python Headroom's MCP server was taken out of {}", servers.display())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    struct Project(tempfile::TempDir);

    impl Project {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("work/.claude")).unwrap();
            fs::create_dir_all(folder.path().join("home/.claude")).unwrap();
            Self(folder)
        }

        fn write(&self, name: &str, value: &Value) {
            // As Python writes it.
            let text = format!("{}\n", serde_json::to_string_pretty(value).unwrap());
            fs::write(self.0.path().join(name), text).unwrap();
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.0.path().join(name)).ok()
        }

        fn take_off(&self) -> Vec<String> {
            self.take_off_with(&Disk::default()).unwrap()
        }

        fn take_off_with(&self, disk: &Disk) -> anyhow::Result<Vec<String>> {
            let at = |name: &str| self.0.path().join(name);
            let settings = vec![at(LOCAL), at("work/.claude/settings.json"), at(USERS)];
            super::take_off(&Places { settings, mcp: Some(at(SERVERS)), ..Places::default() }, disk)
        }

        fn beside(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.path().join("work/.claude")).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    const LOCAL: &str = "work/.claude/settings.local.json";
    const USERS: &str = "home/.claude/settings.json";
    const SERVERS: &str = "home/.claude.json";
    const PROXY: &str = "http://127.0.0.1:8787";

    fn hook(mark: &str) -> Value {
        json!({"matcher": "startup|resume", "hooks": [
            {"type": "command", "command": format!("headroom wrap selfheal --marker {mark}"), "timeout": 10}]})
    }

    fn marker(previous: &Value) -> Value {
        json!({"pid": 424_242, "start_src": null, "start_time": null, "port": 8787, "key": "ANTHROPIC_BASE_URL",
            "previous": previous})
    }

    #[test]
    fn a_file_that_wrap_made_is_gone_with_everything_beside_it() {
        let project = Project::new();
        project.write(
            LOCAL,
            &json!({"env": {"ANTHROPIC_BASE_URL": PROXY}, "hooks": {"SessionStart": [hook(HOOKS[0])]}}),
        );
        project.write("work/.claude/.headroom_wrap_marker.json", &marker(&Value::Null));
        fs::write(project.0.path().join("work/.claude/.headroom_wrap_settings.lock"), "").unwrap();
        assert_eq!(project.take_off().len(), 1);
        assert_eq!(project.beside(), [""; 0]);
        assert_eq!(project.take_off(), [""; 0], "twice is as once");
    }

    #[test]
    fn what_stood_there_before_is_put_back_and_the_rest_stays_byte_for_byte() {
        let own = json!({
            "permissions": {"allow": ["Bash(ls:*)"]},
            "env": {"ANTHROPIC_BASE_URL": "https://gateway.example", "ENABLE_TOOL_SEARCH": "false", "A": "1"},
            "hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "mine"}]}]},
        });
        let mut wrapped = own.clone();
        wrapped["env"]["ANTHROPIC_BASE_URL"] = PROXY.into();
        wrapped["env"]["ENABLE_TOOL_SEARCH"] = "true".into();
        wrapped["hooks"]["SessionStart"].as_array_mut().unwrap().push(hook(HOOKS[0]));
        let owners = json!({
            "ANTHROPIC_BASE_URL": {"original": "https://gateway.example", "holders": [{"pid": 1}]},
            "ENABLE_TOOL_SEARCH": {"original": "false", "holders": []},
        });
        // The second of two runs has the first one's address in its marker.
        let project = Project::new();
        project.write(LOCAL, &own);
        let before = project.read(LOCAL);
        project.write(LOCAL, &wrapped);
        project.write("work/.claude/.headroom_wrap_marker.json", &marker(&PROXY.into()));
        project.write("work/.claude/.headroom_wrap_owners.json", &owners);
        assert_eq!(project.take_off().len(), 1);
        let now: Value = serde_json::from_str(&project.read(LOCAL).unwrap()).unwrap();
        assert_eq!(now, own);
        assert_eq!(project.beside(), ["settings.local.json"]);
        // Without the user's own hooks, nothing is written in another way.
        let plain = json!({"env": {"ANTHROPIC_BASE_URL": "https://gateway.example", "A": "1"}});
        project.write(LOCAL, &plain);
        let plain_before = project.read(LOCAL);
        project.write(LOCAL, &json!({"env": {"ANTHROPIC_BASE_URL": PROXY, "A": "1"}}));
        project.write("work/.claude/.headroom_wrap_marker.json", &marker(&"https://gateway.example".into()));
        project.take_off();
        assert_eq!(project.read(LOCAL), plain_before);
        assert!(before.is_some());
    }

    #[test]
    fn an_undo_that_is_killed_is_done_again() {
        for writes in 0..12 {
            let project = Project::new();
            project.write(LOCAL, &json!({"env": {"ANTHROPIC_BASE_URL": PROXY, "A": "1"}}));
            project
                .write("work/.claude/.headroom_wrap_marker.json", &marker(&"https://gateway.example".into()));
            project.write("work/.claude/.headroom_wrap_owners.json", &json!({}));
            let _ = project.take_off_with(&Disk::killed_after(writes));
            project.take_off();
            let now: Value = serde_json::from_str(&project.read(LOCAL).unwrap()).unwrap();
            assert_eq!(
                now,
                json!({"env": {"ANTHROPIC_BASE_URL": "https://gateway.example", "A": "1"}}),
                "{writes}"
            );
        }
    }

    #[test]
    fn what_init_and_the_registration_have_left_goes_and_the_users_own_stays() {
        let project = Project::new();
        project.write(
            USERS,
            &json!({"model": "opus", "env": {"ANTHROPIC_BASE_URL": PROXY, "ENABLE_TOOL_SEARCH": "true"},
                "hooks": {"PreToolUse": [hook("headroom-init-claude")]}}),
        );
        project.write(
            SERVERS,
            &json!({"mcpServers": {"headroom": {"type": "stdio", "command": "/usr/bin/headroom", "args": ["mcp", "serve"]}},
                "projects": {}}),
        );
        assert_eq!(project.take_off().len(), 2);
        assert_eq!(project.read(USERS).unwrap(), "{\n  \"model\": \"opus\"\n}\n");
        assert_eq!(project.read(SERVERS).unwrap(), "{\n  \"projects\": {}\n}\n");
    }

    #[test]
    fn what_bears_no_mark_of_the_original_is_not_touched() {
        for value in [
            json!({}),
            json!({"env": {"ANTHROPIC_BASE_URL": PROXY}}),
            json!({"env": {"ANTHROPIC_BASE_URL": "https://gateway.example"}, "hooks": {"Stop": []}}),
            json!({"env": {"ANTHROPIC_BASE_URL": PROXY, "ANTHROPIC_CUSTOM_HEADERS": "x-headroom-stack: wrap_claude"}}),
        ] {
            let project = Project::new();
            let ours = json!({"mcpServers": {"headroom": {"command": "headroomctl", "args": ["mcp"]}}});
            for name in [LOCAL, USERS] {
                project.write(name, &value);
            }
            project.write(SERVERS, &ours);
            let before = [LOCAL, USERS, SERVERS].map(|name| project.read(name));
            assert_eq!(project.take_off(), [""; 0], "{value}");
            assert_eq!([LOCAL, USERS, SERVERS].map(|name| project.read(name)), before);
        }
        let project = Project::new();
        fs::write(project.0.path().join(LOCAL), "{ broken").unwrap();
        assert_eq!(project.take_off(), [""; 0]);
        project.write("work/.claude/.headroom_wrap_marker.json", &marker(&Value::Null));
        let refused = project.take_off_with(&Disk::default()).unwrap_err().to_string();
        assert!(refused.contains("not JSON"), "{refused}");
        assert_eq!(project.read(LOCAL).as_deref(), Some("{ broken"));
    }

    #[test]
    fn an_address_that_the_user_has_set_since_stays() {
        let project = Project::new();
        let now = json!({"env": {"ANTHROPIC_BASE_URL": "https://newer.example"}});
        project.write(LOCAL, &now);
        project.write("work/.claude/.headroom_wrap_marker.json", &marker(&"https://gateway.example".into()));
        assert_eq!(project.take_off().len(), 1, "the record is taken away");
        let found: Value = serde_json::from_str(&project.read(LOCAL).unwrap()).unwrap();
        assert_eq!(found, now);
    }
}
