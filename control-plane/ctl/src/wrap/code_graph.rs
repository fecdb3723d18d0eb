//! `--code-graph`: a code-graph MCP server that the user has installed. Nothing is downloaded.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::agents::{Server, find_program};
use crate::environment::Environment;
use crate::progress::Spinner;

/// A known server.
struct KnownServer {
    program: &'static str,
    /// The arguments that index a project.
    index: fn(&Path) -> Vec<String>,
    /// The arguments that start it for an agent.
    serve: &'static [&'static str],
}

/// The known servers, in the order of the search.
const KNOWN: [KnownServer; 2] = [
    KnownServer {
        program: "codebase-memory-mcp",
        index: |root| {
            vec!["cli".to_owned(), "index_repository".to_owned(), json!({"repo_path": root}).to_string()]
        },
        serve: &[],
    },
    KnownServer {
        program: "serena",
        index: |root| vec!["project".to_owned(), "index".to_owned(), root.display().to_string()],
        serve: &["start-mcp-server", "--project-from-cwd", "--open-web-dashboard", "False"],
    },
];

/// An installed server, and its exact file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Indexer {
    program: &'static str,
    path: PathBuf,
    sha256: String,
}

impl Indexer {
    /// Finds it on PATH. If one was registered before, it must still be the same file.
    pub(super) fn find(env: Environment<'_>, registered: Option<&Self>) -> anyhow::Result<Self> {
        let earlier = registered.map(|registered| registered.program);
        let programs = earlier.into_iter().chain(KNOWN.iter().map(|known| known.program));
        let found = programs.filter_map(|program| Some((program, find_program(env, &[program])?))).next();
        let Some((program, path)) = found else {
            let names: Vec<&str> = KNOWN.iter().map(|known| known.program).collect();
            bail!(
                "--code-graph needs {}, and none is on PATH. Headroom downloads no programs: install one \
                 yourself, then run this again. Everything else works without it",
                names.join(" or ")
            );
        };
        let path = path.canonicalize().with_context(|| format!("{} cannot be read", path.display()))?;
        let mut file =
            std::fs::File::open(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut digest = Sha256::new();
        std::io::copy(&mut file, &mut HashWriter(&mut digest))?;
        let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let found = Self { program, path, sha256 };
        if let Some(registered) = registered.filter(|registered| registered.path == found.path) {
            ensure!(
                registered.sha256 == found.sha256,
                "{} is another file than the one that was registered (SHA-256 {} then, {} now). If you have updated \
                 it yourself, unwrap and wrap again",
                found.path.display(),
                registered.sha256,
                found.sha256
            );
        }
        Ok(found)
    }

    /// Indexes a project.
    pub(super) fn index(&self, folder: &Path) -> anyhow::Result<()> {
        let root = folder.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(folder);
        let _doing = Spinner::now("Indexing the project …");
        let output = Command::new(&self.path)
            .args((self.known().index)(root))
            .current_dir(root)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{} does not start", self.path.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or_default();
        ensure!(
            output.status.success(),
            "{} did not index {}, and is not registered: {}, {said}",
            self.program,
            root.display(),
            output.status
        );
        Ok(())
    }

    /// How an agent starts it: the file that was checked, by its path.
    pub(super) fn server(&self) -> Server {
        let arguments = self.known().serve.iter().map(|word| (*word).to_owned()).collect();
        Server { name: self.program, command: self.path.display().to_string(), arguments }
    }

    fn known(&self) -> &'static KnownServer {
        KNOWN.iter().find(|known| known.program == self.program).unwrap_or(&KNOWN[0])
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"program": self.program, "path": self.path, "sha256": self.sha256})
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name)?.as_str();
        let program =
            KNOWN.iter().map(|known| known.program).find(|program| Some(*program) == text("program"));
        let program = program.unwrap_or(KNOWN[0].program);
        Some(Self { program, path: text("path")?.into(), sha256: text("sha256")?.to_owned() })
    }
}

struct HashWriter<'h>(&'h mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_missing_is_said_and_a_changed_program_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let with = |name: &str| (name == "PATH").then(|| path.clone());
        let env = Environment::new(&with);
        let missing = Indexer::find(env, None).unwrap_err().to_string();
        assert!(missing.contains(KNOWN[0].program) && missing.contains("downloads no programs"), "{missing}");

        let serena = folder.path().join("serena");
        std::fs::write(&serena, "#!/bin/sh\necho \"$@\" > \"$(dirname \"$0\")/said\"\n").unwrap();
        std::fs::set_permissions(&serena, std::fs::Permissions::from_mode(0o755)).unwrap();
        let found = Indexer::find(env, None).unwrap();
        found.index(folder.path()).unwrap();
        let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
        assert_eq!(said.trim(), format!("project index {path}"));
        assert_eq!(found.server().arguments[0], "start-mcp-server");
        assert_eq!(Indexer::from_json(&found.to_json()), Some(found.clone()));

        let program = folder.path().join(KNOWN[0].program);
        let write = |text: &str| {
            std::fs::write(&program, text).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        write("#!/bin/sh\necho \"$@\" > \"$(dirname \"$0\")/said\"\n");
        let found = Indexer::find(env, None).unwrap();
        assert_eq!(Indexer::from_json(&found.to_json()), Some(found.clone()));
        found.index(folder.path()).unwrap();
        let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
        assert!(said.starts_with("cli index_repository") && said.contains(&path), "{said}");
        assert!(Indexer::find(env, Some(&found)).is_ok());
        write("#!/bin/sh\necho worse >&2\nexit 3\n");
        let changed = Indexer::find(env, Some(&found)).unwrap_err().to_string();
        assert!(changed.contains("another file"), "{changed}");
        let failed = Indexer::find(env, None).unwrap().index(folder.path()).unwrap_err().to_string();
        assert!(failed.contains("worse"), "{failed}");
    }
}
