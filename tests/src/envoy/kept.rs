//! Envoys that are handed from one stack to the next.
//!
//! Whenever an Envoy starts, V8 compiles the module, which takes a processor 2.5 s: more than most tests take besides. V8
//! keeps what it has compiled as long as a VM of the same bytes lives. So each Envoy here has one VM that does nothing and stays. A
//! stack has such an Envoy to itself for a while; listeners, clusters and a VM of its own come by LDS and CDS, in 0.12 s.
//! The next stack meets no VM, no shared data and no counter of it.
//!
//! All test processes of one run of nextest share them; they end with that run.

use std::env;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::client::{Call, Connection};
use crate::deadline::until;

/// How many VMs Envoy has; with the first stack's listener gone, as many as before it.
const VMS: &str = "wasm.envoy.wasm.runtime.v8.active";
/// Envoy ends a removed listener a second later. One that takes much longer is not used again.
const GONE: Duration = Duration::from_secs(15);
/// Deliveries without anything, and what they take the place of.
const EMPTY: [(&str, &str); 2] = [("cds.empty", "cds"), ("lds.empty", "lds")];
/// Starts Envoy, and ends it with the process whose id is the first argument.
const KEEP: &str = r#"owner=$1 folder=$2; shift 2
"$@" </dev/null >>"$folder/log" 2>&1 &
alive() { kill -0 "$1" 2>/dev/null; }
while alive "$owner" && alive $!; do sleep 1; done
alive "$owner" && exit
kill -9 $! 2>/dev/null
rm -rf "$folder"
rmdir "$(dirname "$folder")" 2>/dev/null"#;

/// Takes back what a stack has brought when the process of the stack ends, in whatever way, as [`crate::leash`] does. The
/// next stack may have its ports.
const CLEAR: &str = r#"cat >/dev/null; cd "$1" && mv cds.empty cds && mv lds.empty lds"#;

/// What stacks bring with them, and what an Envoy has from its start.
pub(super) struct Parts {
    base: Value,
    listeners: Vec<Value>,
    clusters: Vec<Value>,
}

/// An Envoy of one's own until this is dropped.
#[derive(Debug)]
pub(super) struct Kept {
    folder: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
    /// Clears when its input closes.
    end: Option<Child>,
    /// Where the log of this stack begins.
    log_start: u64,
}

impl Parts {
    /// Takes a bootstrap apart. Of several VMs of one id, Envoy makes one, so each stack's gets another.
    pub(super) fn new(bootstrap: &str) -> Result<Self> {
        static STACKS: AtomicU32 = AtomicU32::new(0);
        let mut base = headroomctl::yaml::object(bootstrap).map_err(anyhow::Error::msg)?;
        let mut resources = base.remove("static_resources").context("a bootstrap has resources")?;
        base.remove("admin");
        let number = STACKS.fetch_add(1, Ordering::Relaxed);
        let mut take = |name: &str, kind: &str| match resources[name].take() {
            Value::Array(mut all) => {
                for one in &mut all {
                    one["@type"] = format!("type.googleapis.com/{kind}").into();
                    name_vms(one, &format!("{}-{number}", process::id()));
                }
                Ok(all)
            }
            other => bail!("{name}: a list was expected in {other}"),
        };
        let listeners = take("listeners", "envoy.config.listener.v3.Listener")?;
        let clusters = take("clusters", "envoy.config.cluster.v3.Cluster")?;
        Ok(Self { base: base.into(), listeners, clusters })
    }

    /// A bootstrap that takes listeners and clusters from `folder`, and loads the module once.
    fn waiting(&self, module: &Path, folder: &Path) -> Value {
        let source = |file: &str| {
            json!({
                "path_config_source": {"path": folder.join(file), "watched_directory": {"path": folder}},
                "resource_api_version": "V3",
                "initial_fetch_timeout": "0s",
            })
        };
        let mut bootstrap = self.base.clone();
        bootstrap["admin"] = json!({"address": {"pipe": {"path": folder.join("admin.sock"), "mode": 0o600}}});
        bootstrap["dynamic_resources"] = json!({"lds_config": source("lds"), "cds_config": source("cds")});
        bootstrap["bootstrap_extensions"] = json!([{
            "name": "envoy.bootstrap.wasm",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.wasm.v3.WasmService",
                "singleton": true,
                "config": {
                    "name": "kept",
                    "root_id": "headroom",
                    "vm_config": {
                        "vm_id": "kept",
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": {"local": {"filename": module}},
                    },
                    "configuration": {
                        "@type": "type.googleapis.com/google.protobuf.StringValue",
                        "value": r#"{"mode":"off"}"#,
                    },
                },
            },
        }]);
        bootstrap
    }
}

fn name_vms(node: &mut Value, name: &str) {
    match node {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(id) if key == "vm_id" => *id = format!("{id}-{name}"),
                    _ => name_vms(value, name),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| name_vms(item, name)),
        _ => {}
    }
}

impl Kept {
    /// An Envoy that serves these parts: one that is free, or a new one.
    pub(super) async fn serve(parts: Parts, binary: &Path, module: &Path, workers: u32) -> Result<Self> {
        // As long as nextest runs, or else this process.
        let (name, owner) = match env::var("NEXTEST_RUN_ID") {
            Ok(run) => (run, parent_id()),
            Err(_) => (process::id().to_string(), process::id()),
        };
        let pool = env::temp_dir().join(format!("headroom-envoys-{name}"));
        let alike = json!([parts.base, binary, module, workers]).to_string();
        let digest = Sha256::digest(alike);
        let alike: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let mut kept = Self::lock(&pool, &alike)?;
        if !kept.is_empty_again().await {
            let _ = kept.send(Call::post("/quitquitquit", "")).await;
            kept.start(&parts, binary, module, workers, owner).await?;
        }
        ensure!(kept.send(Call::post("/reset_counters", "")).await?.status == 200);
        kept.log_start = fs::metadata(kept.folder.join("log"))?.len();
        kept.end = Some(kept.clear_at_the_end()?);
        kept.bring(parts.listeners, parts.clusters).await?;
        Ok(kept)
    }

    /// The first that nobody has.
    fn lock(pool: &Path, alike: &str) -> Result<Self> {
        for number in 0.. {
            let folder = pool.join(format!("{alike}-{number}"));
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            let lock = File::options().create(true).append(true).open(folder.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Self { folder, _lock: lock, end: None, log_start: 0 }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        bail!("all are taken")
    }

    async fn start(
        &self,
        parts: &Parts,
        binary: &Path,
        module: &Path,
        workers: u32,
        owner: u32,
    ) -> Result<()> {
        for old in ["admin.sock", "vms"] {
            let _ = fs::remove_file(self.folder.join(old));
        }
        self.clear()?;
        let bootstrap = self.folder.join("envoy.json");
        fs::write(&bootstrap, parts.waiting(module, &self.folder).to_string())?;
        let workers = workers.to_string();
        Command::new("sh")
            .args(["-c", KEEP, "keep", &owner.to_string()])
            .args([&self.folder, binary])
            .arg("-c")
            .arg(&bootstrap)
            .args(["--concurrency", &workers, "--disable-hot-restart", "--log-level", "warning"])
            .args(["--drain-time-s", "0", "--drain-strategy", "immediate"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to the test that started it is not for it.
            .process_group(0)
            .spawn()
            .context("sh does not start")?;
        let ready = until("a kept Envoy is ready", || async { self.vms().await.ok() });
        let vms = ready.await.with_context(|| format!("Envoy's log ends:\n{}", self.log_tail()))?;
        Ok(fs::write(self.folder.join("vms"), vms.to_string())?)
    }

    /// Whether it runs, and nothing of an earlier stack does.
    async fn is_empty_again(&self) -> bool {
        let Ok(before) = fs::read_to_string(self.folder.join("vms")) else { return false };
        // If these are still there, the process that is to clear has not come to it, and now cannot.
        let late = EMPTY.map(|(from, _)| fs::remove_file(self.folder.join(from)).is_ok());
        if self.vms().await.is_err() || (late.contains(&true) && self.clear().is_err()) {
            return false;
        }
        let empty = until("the VMs of an earlier stack are gone", || async {
            let vms = self.vms().await.ok()?;
            (vms.to_string() == before && self.listeners().await.ok()? == 0).then_some(())
        });
        matches!(timeout(GONE, empty).await, Ok(Ok(())))
    }

    async fn bring(&self, listeners: Vec<Value>, clusters: Vec<Value>) -> Result<()> {
        let (expected, log) = (listeners.len(), || format!("Envoy's log ends:\n{}", self.log_tail()));
        self.deliver("cds", &clusters)?;
        let taken = until("Envoy has the clusters", || async { self.taken("cluster_manager.cds").await });
        taken.await.and_then(|taken| taken).with_context(log)?;
        self.deliver("lds", &listeners)?;
        let taken = until("Envoy listens", || async {
            match self.taken("listener_manager.lds").await? {
                Ok(()) => (self.listeners().await.ok()? == expected).then_some(Ok(())),
                error => Some(error),
            }
        });
        taken.await.and_then(|taken| taken).with_context(log)
    }

    /// What has become of a delivery since the counters were reset.
    async fn taken(&self, kind: &str) -> Option<Result<()>> {
        let stats = self.stats().await.ok()?;
        if count(&stats, &format!("{kind}.update_rejected"))? > 0 {
            return Some(Err(anyhow::anyhow!("Envoy refuses the configuration")));
        }
        (count(&stats, &format!("{kind}.update_success"))? > 0).then_some(Ok(()))
    }

    /// Takes everything back, clusters first: no VM of a stack reaches whoever has a port of it next.
    fn clear(&self) -> Result<()> {
        EMPTY.iter().try_for_each(|(_, file)| self.deliver(file, &[]))
    }

    fn clear_at_the_end(&self) -> Result<Child> {
        for (from, _) in EMPTY {
            fs::write(self.folder.join(from), json!({"version_info": "none", "resources": []}).to_string())?;
        }
        Command::new("sh")
            .args(["-c", CLEAR, "clear"])
            .arg(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("sh does not start")
    }

    /// Envoy watches for files that are moved into the folder.
    fn deliver(&self, file: &str, resources: &[Value]) -> Result<()> {
        static VERSIONS: AtomicU32 = AtomicU32::new(0);
        let version = format!("{}-{}", process::id(), VERSIONS.fetch_add(1, Ordering::Relaxed));
        let new = self.folder.join(format!("{file}.new"));
        fs::write(&new, json!({"version_info": version, "resources": resources}).to_string())?;
        Ok(fs::rename(new, self.folder.join(file))?)
    }

    /// The socket of the admin interface.
    pub(super) fn admin(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }

    async fn send(&self, call: Call) -> Result<crate::client::Answer> {
        Connection::open_socket(&self.admin()).await?.send(call).await
    }

    async fn stats(&self) -> Result<String> {
        let those = "/stats?filter=v8.active$|.ds.update_(success|rejected)$";
        Ok(self.send(Call::get(those)).await?.text())
    }

    async fn vms(&self) -> Result<u64> {
        ensure!(self.send(Call::get("/ready")).await?.status == 200);
        count(&self.stats().await?, VMS).context("Envoy counts VMs")
    }

    async fn listeners(&self) -> Result<usize> {
        let all: Value = serde_json::from_str(&self.send(Call::get("/listeners?format=json")).await?.text())?;
        Ok(all["listener_statuses"].as_array().map_or(0, Vec::len))
    }

    /// The last lines of the log since this stack began.
    pub(super) fn log_tail(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(self.folder.join("log")).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.log_start))?;
            log.read_to_end(&mut text)
        });
        if let Err(error) = read {
            return format!("the log cannot be read: {error}");
        }
        crate::leash::tail(&text)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(mut end) = self.end.take() {
            drop(end.stdin.take());
            // Whoever has it next sees whether this has worked.
            let _ = end.wait();
        }
    }
}

fn count(stats: &str, name: &str) -> Option<u64> {
    stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?.parse().ok()
}
