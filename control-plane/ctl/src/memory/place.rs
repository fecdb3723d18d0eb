//! Finds the project. Facts of one project are never shown in another.

use std::path::Path;

use crate::environment::Environment;
use headroom_learn::project::repository;

/// The project: the explicit one, else `HEADROOM_PROJECT`, else the root of the folder's repository, else the folder.
/// Empty if the folder is not a project: the home folder, the root, or a folder for temporary files.
pub(crate) fn project(explicit: Option<&str>, env: Environment<'_>, folder: Option<&Path>) -> String {
    let named = explicit.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    match (named.or_else(|| env.get("HEADROOM_PROJECT")), folder) {
        (Some(name), _) if Path::new(&name).is_dir() => {
            let folder = std::path::absolute(&name).unwrap_or_else(|_| name.clone().into());
            root(&folder).unwrap_or(name)
        }
        (Some(name), _) => name,
        (None, Some(folder)) => {
            let home = env.get("HOME");
            let temporary = std::env::temp_dir();
            let is_none = folder.parent().is_none()
                || home.is_some_and(|home| folder == Path::new(&home))
                || folder == temporary;
            let repository = repository(folder).map(|found| found.project.to_string());
            repository.or_else(|| root(folder).filter(|_| !is_none)).unwrap_or_default()
        }
        (None, None) => String::new(),
    }
}

/// The root of a folder's repository, else the folder, with links resolved.
fn root(folder: &Path) -> Option<String> {
    let repository = repository(folder).map(|found| found.project.to_string());
    repository.or_else(|| Some(folder.canonicalize().ok()?.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_project_is_named_or_is_the_repository_or_the_folder_and_home_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (repository, plain, home) = (top.join("repo"), top.join("plain"), top.join("home"));
        for folder in [repository.join(".git"), repository.join("src"), plain.clone(), home.clone()] {
            fs::create_dir_all(folder).unwrap();
        }
        let variables = |name: &str| (name == "HOME").then(|| text(&home));
        let env = Environment::new(&variables);
        let of = |folder: &Path| project(None, env, Some(folder));
        assert_eq!(of(&repository.join("src")), text(&repository));
        assert_eq!(of(&plain), text(&plain));
        assert_eq!(of(&home), "");
        assert_eq!(of(Path::new("/")), "");
        assert_eq!(of(&std::env::temp_dir()), "");
        assert_eq!(project(None, env, None), "");
        assert_eq!(project(Some("billing"), env, Some(&plain)), "billing");
        assert_eq!(project(Some(&text(&repository.join("src"))), env, None), text(&repository));
        let named = |name: &str| (name == "HEADROOM_PROJECT").then(|| "from-variable".to_owned());
        assert_eq!(project(Some(" "), Environment::new(&named), Some(&plain)), "from-variable");
    }
}
