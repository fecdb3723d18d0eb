//! Which project a folder belongs to, as far as this machine has it.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository that a folder lies in, of a worktree that of its main checkout; else the folder. `None` for
/// what is no project: the root, and the folder for temporary files.
pub(super) fn root(folder: &str) -> Option<String> {
    let trimmed = folder.trim_end_matches('/');
    let folder = Path::new(trimmed);
    if trimmed.is_empty() || folder == std::env::temp_dir() {
        return None;
    }
    // one on another machine is taken as it is spelled
    let Ok(real) = folder.canonicalize() else { return Some(trimmed.to_owned()) };
    let root = real.ancestors().find_map(|tree| {
        let about = fs::symlink_metadata(tree.join(".git")).ok()?;
        let main = if about.is_dir() { None } else { main_checkout(tree) };
        Some(main.unwrap_or_else(|| tree.to_owned()))
    });
    Some(root.unwrap_or(real).to_string_lossy().into_owned())
}

/// Where the file `.git` of a worktree leads to. That of a submodule names a folder without `worktrees`.
fn main_checkout(tree: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(tree.join(".git")).ok()?;
    let folder = tree.join(text.strip_prefix("gitdir:")?.trim());
    let worktrees = folder.parent().filter(|parent| parent.ends_with("worktrees"))?;
    let main = worktrees.parent()?.canonicalize().ok()?;
    (main.file_name()? == ".git").then(|| main.parent().map(Path::to_owned))?
}

#[cfg(test)]
mod tests {
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
