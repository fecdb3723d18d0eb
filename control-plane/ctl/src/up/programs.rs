//! Finds the filter module and the two programs that `headroomctl up` starts.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::args::UpArgs;
use crate::environment::Environment;

/// The module's file name, as built by cargo.
const MODULE: &str = "headroom_filter.wasm";

/// What was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Programs {
    /// The filter.
    pub module: PathBuf,
    /// The sidecar.
    pub headroomd: PathBuf,
    /// Envoy.
    pub envoy: PathBuf,
}

impl Programs {
    /// Looks at the given paths, then around the running program (in `folder`), then on PATH.
    pub fn find(args: &UpArgs, env: Environment<'_>, folder: &Path) -> anyhow::Result<Self> {
        let envoy = Search {
            what: "Envoy",
            told: told(args.envoy.as_ref(), env, "ENVOY"),
            // `make install` puts one next to the module, envoy/install.sh leaves a link in target/envoy/
            around: vec![folder.join("../lib/headroom/envoy"), folder.join("../envoy/envoy")],
            on_path: on_path(env, "envoy"),
            advice: "get one with `envoy/install.sh`, or say where it is with --envoy",
        };
        Ok(Self {
            module: module(args, env, folder)?,
            headroomd: headroomd(args.headroomd.as_ref(), env, folder)?,
            envoy: envoy.first()?,
        })
    }
}

/// The filter module.
pub(super) fn module(args: &UpArgs, env: Environment<'_>, folder: &Path) -> anyhow::Result<PathBuf> {
    let search = Search {
        what: "the filter module",
        told: told(args.module.as_ref(), env, "HEADROOM_MODULE"),
        around: vec![
            folder.join(MODULE),
            folder.join("../lib/headroom").join(MODULE),
            // target/release/headroomctl next to target/wasm32-wasip1/wasm/
            folder.join("../wasm32-wasip1/wasm").join(MODULE),
        ],
        on_path: Vec::new(),
        advice: "build it with `make build`, or say where it is with --module",
    };
    search.first()
}

/// The given path of the module, whether it exists or not.
pub(super) fn told_module(args: &UpArgs, env: Environment<'_>) -> Option<PathBuf> {
    told(args.module.as_ref(), env, "HEADROOM_MODULE")
}

/// The sidecar's program.
pub(super) fn headroomd(
    explicit: Option<&PathBuf>,
    env: Environment<'_>,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let search = Search {
        what: "headroomd",
        told: told(explicit, env, "HEADROOMD"),
        around: vec![folder.join("headroomd")],
        on_path: on_path(env, "headroomd"),
        advice: "build it with `make build`, or say where it is with --headroomd",
    };
    search.first()
}

struct Search {
    what: &'static str,
    told: Option<PathBuf>,
    around: Vec<PathBuf>,
    on_path: Vec<PathBuf>,
    advice: &'static str,
}

impl Search {
    fn first(self) -> anyhow::Result<PathBuf> {
        if let Some(path) = self.told {
            // A given path is used or refused, never replaced by something else.
            return match path.canonicalize() {
                Ok(found) if found.is_file() => Ok(found),
                Ok(_) => bail!("{} was expected at {}, which is not a file", self.what, path.display()),
                Err(error) => bail!("{} was expected at {}: {error}", self.what, path.display()),
            };
        }
        let places = self.around.iter().chain(&self.on_path);
        match places.filter_map(|path| path.canonicalize().ok()).find(|path| path.is_file()) {
            Some(found) => Ok(found),
            None => {
                let mut places: Vec<String> =
                    self.around.iter().map(|path| path.display().to_string()).collect();
                if !self.on_path.is_empty() {
                    places.push("PATH".to_owned());
                }
                bail!("{} was not found: {}. Looked at: {}", self.what, self.advice, places.join(", "))
            }
        }
    }
}

fn told(explicit: Option<&PathBuf>, env: Environment<'_>, variable: &str) -> Option<PathBuf> {
    let told = explicit.filter(|path| !path.as_os_str().is_empty()).cloned();
    let told = told.or_else(|| env.get(variable).map(PathBuf::from))?;
    // A bare name means PATH, as in a shell.
    let bare = told.components().count() == 1 && !told.exists();
    match told.to_str().filter(|_| bare) {
        Some(name) => on_path(env, name).into_iter().find(|path| path.is_file()).or(Some(told)),
        None => Some(told),
    }
}

fn on_path(env: Environment<'_>, name: &str) -> Vec<PathBuf> {
    let path = env.get("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(path: &Path) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        path.canonicalize().unwrap()
    }

    #[test]
    fn everything_is_found_around_a_program_in_a_target_folder() {
        let target = tempfile::tempdir().unwrap();
        let release = target.path().join("release");
        let expected = Programs {
            module: file(&target.path().join("wasm32-wasip1/wasm").join(MODULE)),
            headroomd: file(&release.join("headroomd")),
            envoy: file(&target.path().join("envoy/envoy")),
        };
        let nothing = |_: &str| None;
        let found = Programs::find(&UpArgs::default(), Environment::new(&nothing), &release).unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_argument_wins_over_a_variable_and_path_comes_last() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| file(&folder.path().join(name));
        let (module, said, variable) = (at("m.wasm"), at("said/envoy"), at("variable/envoy"));
        let (on_path, headroomd) = (at("bin/envoy"), at("bin/headroomd"));
        let path = folder.path().join("bin").display().to_string();
        let with = |name: &str| match name {
            "ENVOY" => Some(variable.display().to_string()),
            "PATH" => Some(path.clone()),
            "HEADROOM_MODULE" => Some(module.display().to_string()),
            _ => None,
        };
        let args = UpArgs { envoy: Some(said.clone()), ..UpArgs::default() };
        let nowhere = folder.path().join("nowhere");
        let find = |args: &UpArgs, env| Programs::find(args, env, &nowhere).unwrap();
        assert_eq!(find(&args, Environment::new(&with)).envoy, said);
        assert_eq!(find(&UpArgs::default(), Environment::new(&with)).envoy, variable);
        let without = |name: &str| if name == "ENVOY" { None } else { with(name) };
        let found = find(&UpArgs::default(), Environment::new(&without));
        assert_eq!((found.envoy, found.headroomd), (on_path, headroomd));
    }

    #[test]
    fn a_missing_module_says_how_to_get_one_and_where_it_was_looked_for() {
        let nothing = |_: &str| None;
        let find = |args: &UpArgs| {
            let error = Programs::find(args, Environment::new(&nothing), Path::new("/nowhere")).unwrap_err();
            error.to_string()
        };
        let error = find(&UpArgs::default());
        assert!(error.contains("make build") && error.contains("/nowhere/headroom_filter.wasm"), "{error}");
        let error = find(&UpArgs { module: Some("/none.wasm".into()), ..UpArgs::default() });
        assert!(error.contains("/none.wasm"), "{error}");
    }
}
