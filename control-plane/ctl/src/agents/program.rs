//! Finds an agent's program, and its version.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use crate::edits::bytes_of;
use crate::environment::Environment;

/// How long a program may take to say its version. Some load a whole runtime first.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of its answer is read. Bytes.
const ANSWER: u64 = 4096;

/// The first of these programs that is on PATH.
pub(crate) fn find_program(env: Environment<'_>, names: &[&str]) -> Option<PathBuf> {
    let path = env.get("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    let candidates = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|path| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// The version of a program: from its package, else from its own output.
pub(crate) fn version_of(program: &Path) -> Option<String> {
    packaged(program).or_else(|| first_version(&said(program, &["--version"])?))
}

/// From the `package.json` above the program that a link in `bin` leads to.
fn packaged(program: &Path) -> Option<String> {
    let program = program.canonicalize().ok()?;
    for folder in program.ancestors().skip(1).take(4) {
        let Some(text) = bytes_of(&folder.join("package.json")) else { continue };
        let package: Value = serde_json::from_slice(&text).ok()?;
        return Some(package.get("version")?.as_str()?.to_owned());
    }
    None
}

/// What a program prints, if it ends in time.
pub(super) fn said(program: &Path, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let (sender, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answer = Vec::new();
        // A partial answer is read as far as it goes; the receiver may have given up.
        let _ = stdout.take(ANSWER).read_to_end(&mut answer);
        let _ = sender.send(answer);
    });
    let answer = answer.recv_timeout(PATIENCE).ok();
    // It has printed its output, or takes too long.
    let _ = child.kill();
    let _ = child.wait();
    Some(String::from_utf8_lossy(&answer?).into_owned())
}

/// The first word that looks like a version: `2.1.330 (Claude Code)`, `codex-cli 0.171.0`, `v1.2`.
fn first_version(text: &str) -> Option<String> {
    text.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches('v').trim_end_matches([',', ')', ';']);
        let digits = word.starts_with(|c: char| c.is_ascii_digit());
        (digits && word.contains('.')).then(|| word.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_a_program_says() {
        for (said, version) in [
            ("2.1.330 (Claude Code)\n", Some("2.1.330")),
            ("codex-cli 0.171.0", Some("0.171.0")),
            ("aider v0.86.1", Some("0.86.1")),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(first_version(said).as_deref(), version, "{said}");
        }
    }

    #[test]
    fn a_program_is_executable_and_its_package_tells_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let (bin, package) = (folder.path().join("bin"), folder.path().join("lib/agent"));
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(package.join("dist")).unwrap();
        std::fs::write(package.join("package.json"), r#"{"version": "1.2.3"}"#).unwrap();
        let program = package.join("dist/cli.js");
        std::fs::write(&program, "#!/bin/false\n").unwrap();
        std::os::unix::fs::symlink(&program, bin.join("agent")).unwrap();
        let path = bin.display().to_string();
        let with = |name: &str| (name == "PATH").then(|| path.clone());
        assert_eq!(find_program(Environment::new(&with), &["agent"]), None, "it is not executable");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let found = find_program(Environment::new(&with), &["other", "agent"]).unwrap();
        assert_eq!(found, bin.join("agent"));
        assert_eq!(version_of(&found).as_deref(), Some("1.2.3"));
        std::fs::rename(package.join("package.json"), folder.path().join("lib/package.json")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", package.join("package.json")).unwrap();
        assert!(Command::new("mkfifo").arg(package.join("dist/package.json")).status().unwrap().success());
        assert_eq!(packaged(&found).as_deref(), Some("1.2.3"), "what is no file is passed over");
    }
}
