//! The programs under test, built from this workspace on demand.
//!
//! `HEADROOM_BUILT=1`, which `make test` sets, means that they are already built: then cargo is not called, which
//! would take a moment in each test, and would compile a program again for a different set of features.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use tokio::sync::OnceCell;

/// The sidecar.
pub async fn headroomd() -> Result<PathBuf> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT.get_or_try_init(|| on_thread(|| program("headroomd"))).await.cloned()
}

/// The command line.
pub async fn headroomctl() -> Result<PathBuf> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT.get_or_try_init(|| on_thread(|| program("headroomctl"))).await.cloned()
}

/// The filter, as Envoy loads it.
pub async fn filter_module() -> Result<PathBuf> {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let build = || {
        if !have_been_built() {
            let module =
                ["--lib", "--crate-type", "cdylib", "--target", "wasm32-wasip1", "--profile", "wasm"];
            cargo(&[&["rustc", "-p", "headroom-filter"], &module[..]].concat())?;
        }
        existing(target_folder()?.join("wasm32-wasip1/wasm/headroom_filter.wasm"))
    };
    BUILT.get_or_try_init(|| on_thread(build)).await.cloned()
}

/// The folder that cargo builds into.
pub fn target_folder() -> Result<PathBuf> {
    Ok(profile_folder()?.parent().context("the profile lies in no folder")?.to_owned())
}

/// `target/debug` or `target/release`, as this program was built.
fn profile_folder() -> Result<PathBuf> {
    // The running program is target/PROFILE/NAME, target/PROFILE/deps/NAME-HASH or target/PROFILE/examples/NAME.
    let program = env::current_exe()?;
    let mut folder = program.parent().context("the program lies in no folder")?;
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder = folder.parent().context("the program's folder lies in no folder")?;
    }
    Ok(folder.to_owned())
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

fn program(name: &str) -> Result<PathBuf> {
    let folder = profile_folder()?;
    if !have_been_built() {
        let profile: &[&str] = if folder.ends_with("release") { &["--release"] } else { &[] };
        cargo(&[&["build", "-p", name, "--bin", name], profile].concat())?;
    }
    existing(folder.join(name))
}

fn have_been_built() -> bool {
    env::var_os("HEADROOM_BUILT").is_some_and(|value| value == "1")
}

/// Runs cargo on this workspace, into the folder that this program was built into.
pub fn cargo(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).arg("--target-dir").arg(target_folder()?).current_dir(workspace());
    // Set by cargo for the program that it runs; an inner build would use them and start again.
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    let output = command.output().context("cargo does not start")?;
    if !output.status.success() {
        bail!("cargo {} failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn existing(file: PathBuf) -> Result<PathBuf> {
    fs::metadata(&file).with_context(|| format!("cargo was expected to build {}", file.display()))?;
    Ok(file)
}

async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}
