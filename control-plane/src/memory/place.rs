//! Which project a folder belongs to, as far as this machine has it.

use std::path::Path;

use headroom_learn::project::repository;

/// The root of the repository that a folder lies in, of a worktree that of its main checkout; else the folder. `None` for
/// what is not a project: the root, and the folder for temporary files.
pub(super) fn root(folder: &str) -> Option<String> {
    let trimmed = folder.trim_end_matches('/');
    let folder = Path::new(trimmed);
    if trimmed.is_empty() || folder == std::env::temp_dir() {
        return None;
    }
    // one on another machine is taken as it is spelled
    let Ok(real) = folder.canonicalize() else { return Some(trimmed.to_owned()) };
    let project = repository(&real).map(|checkout| checkout.project.to_string());
    Some(project.unwrap_or_else(|| real.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_belongs_to_its_repository_and_a_worktree_to_its_main_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        let (main, tree, plain) = (top.join("main"), top.join("tree"), top.join("plain"));
        for folder in [main.join(".git/worktrees/tree"), main.join("src"), tree.clone(), plain.clone()] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(tree.join(".git"), format!("gitdir: {}/.git/worktrees/tree\n", main.display())).unwrap();
        let of = |folder: &Path| root(&folder.to_string_lossy());
        let text = |folder: &Path| Some(folder.to_string_lossy().into_owned());
        assert_eq!(of(&main.join("src")), text(&main));
        assert_eq!(of(&tree), text(&main));
        assert_eq!(of(&plain), text(&plain));
        assert_eq!(of(Path::new("/not/here/")).as_deref(), Some("/not/here"));
        assert_eq!((of(Path::new("/")), of(Path::new("")), of(&std::env::temp_dir())), (None, None, None));
        fs::write(plain.join(".git"), "nonsense").unwrap();
        assert_eq!(of(&plain), text(&plain));
    }
}
