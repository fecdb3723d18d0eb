//! Node.js with packages from npm, as people install them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::built::{target_folder, workspace};
use crate::python::run;

/// A folder under `target/` with the scripts of `clients/FOLDER` and the packages that its lock file pins.
/// Installed once, by the first caller.
pub fn with(folder: &str) -> Result<PathBuf> {
    let source = workspace().join("tests/clients").join(folder);
    let installed = target_folder()?.join(format!("clients-node-{folder}"));
    fs::create_dir_all(&installed)?;
    // Each test may run in a separate process: the second waits for the installation of the first.
    let lock = fs::File::create(installed.with_extension("lock"))?;
    lock.lock()?;
    let marker = installed.join("installed-lock.json");
    let wanted = fs::read_to_string(source.join("package-lock.json"))?;
    // Packages must be in the folder of the scripts that import them.
    for entry in fs::read_dir(&source)? {
        let file = entry?;
        if file.file_type()?.is_dir() {
            continue;
        }
        replace(&file.path(), &installed.join(file.file_name()))?;
    }
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(installed);
    }
    let missing = "the tests of clients from npm need node (20 or later) with npm: install both";
    // Not `npm ci`: it refuses a lock file without the packages for other platforms, and not every registry
    // has those of OpenCode. The locked versions are installed, and the lock file is not changed.
    let npm = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
    run(Command::new("npm").args(npm).current_dir(&installed)).context(missing)?;
    fs::write(&marker, wanted)?;
    Ok(installed)
}

/// Copies a file unless that would change nothing: another test may be reading it.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let wanted = fs::read(from)?;
    if fs::read(to).is_ok_and(|present| present == wanted) {
        return Ok(());
    }
    fs::write(to, wanted).with_context(|| format!("{} cannot be written", to.display()))
}
