//! Python with packages from PyPI, as people install them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::built::{target_folder, workspace};

/// The interpreter of a virtual environment under `target/` with the packages of `clients/FILE`. Created
/// once, by the first caller.
pub fn with(requirements: &str) -> Result<PathBuf> {
    with_interpreter("python3", requirements)
}

/// The same, for the interpreter with that name.
pub fn with_interpreter(interpreter: &str, requirements: &str) -> Result<PathBuf> {
    let file = workspace().join("tests/clients").join(requirements);
    let wanted = fs::read_to_string(&file)?;
    let name = requirements.trim_end_matches(".txt").replace("requirements", "venv");
    let environment = target_folder()?.join(format!("clients-{name}"));
    let python = environment.join("bin/python");
    let marker = environment.join("installed-requirements.txt");
    // Each test may run in a separate process: the second waits for the installation of the first.
    let lock = fs::File::create(environment.with_extension("lock"))?;
    lock.lock()?;
    // One from a cache is a link to an interpreter that may be gone.
    let runs = || run(Command::new(&python).arg("--version")).is_ok();
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) && runs() {
        return Ok(python);
    }
    let missing =
        || format!("the tests need {interpreter} (3.11 or later) with its venv module: install both");
    run(Command::new(interpreter).args(["-m", "venv", "--clear"]).arg(&environment)).with_context(missing)?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(pip).arg(&file))?;
    fs::write(&marker, wanted)?;
    Ok(python)
}

/// Runs a command; an error contains all of its output.
pub fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(output.status.success(), "{command:?} failed with {}:\n{text}", output.status);
    Ok(())
}
