//! Finds the project of a conversation: the root of its repository, for any folder or worktree in it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Finds roots, and remembers them.
#[derive(Debug, Default)]
pub struct Roots {
    known: Mutex<HashMap<String, Checkout>>,
}

/// A folder with the files of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The project: the root of the main checkout
    pub project: Arc<str>,
    /// The root of this checkout; another one for a worktree
    pub tree: Arc<str>,
}

impl Roots {
    /// The checkout that contains a folder. The folder itself is project and root if there is no
    /// repository, or if neither is on this machine any more.
    pub fn checkout(&self, folder: &str) -> Checkout {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(checkout) = known.get(folder) {
            return checkout.clone();
        }
        let checkout = repository(Path::new(folder)).unwrap_or_else(|| {
            let own: Arc<str> = Arc::from(folder.trim_end_matches('/'));
            Checkout { project: Arc::clone(&own), tree: own }
        });
        known.insert(folder.to_owned(), checkout.clone());
        checkout
    }
}

/// The checkout that contains a folder, if there is one.
pub fn repository(folder: &Path) -> Option<Checkout> {
    let canonical = folder.canonicalize();
    let real = canonical.as_deref().unwrap_or(folder);
    real.ancestors().filter(|ancestor| ancestor.is_absolute()).find_map(|tree| {
        let git = tree.join(".git");
        let about = fs::symlink_metadata(&git).ok()?;
        let main = if about.is_dir() { None } else { main_checkout(&git) };
        let text = |path: &Path| Arc::from(path.to_string_lossy());
        // logs may contain paths through links, as the agent was started
        let depth = real.strip_prefix(tree).ok()?.components().count();
        let spelled = folder.ancestors().nth(depth).unwrap_or(tree);
        Some(Checkout { project: text(main.as_deref().unwrap_or(tree)), tree: text(spelled) })
    })
}

/// The checkout that contains a path, if a program may write its files without being asked. The home folder never
/// counts, even if it is a repository.
pub fn anchored(path: &Path) -> Option<Checkout> {
    let checkout = repository(path)?;
    let project = Path::new(&*checkout.project);
    let is_project =
        project.is_dir() && project.parent().is_some() && std::env::home_dir().as_deref() != Some(project);
    is_project.then_some(checkout)
}

/// Bytes of a file `.git`: a path.
const GIT_FILE: u64 = 16 << 10;

/// Follows the file `.git` of a worktree. The file of a submodule names a folder without `worktrees`; a
/// submodule is a separate project.
fn main_checkout(git: &Path) -> Option<PathBuf> {
    // reading a pipe would wait without end, and reading a device might too
    let is_short = |about: fs::Metadata| about.is_file() && about.len() <= GIT_FILE;
    if !fs::metadata(git).is_ok_and(is_short) {
        return None;
    }
    let text = fs::read_to_string(git).ok()?;
    let folder = git.parent()?.join(text.strip_prefix("gitdir:")?.trim());
    let worktrees = folder.parent()?;
    if worktrees.file_name()? != "worktrees" {
        return None;
    }
    let main = worktrees.parent()?;
    let main = main.canonicalize().unwrap_or_else(|_| main.to_owned());
    (main.file_name()? == ".git").then(|| main.parent().map(Path::to_owned))?
}

/// A path relative to the project's root, with `/` between its parts and no `.` or `..`. `None` for a path
/// that is not inside.
pub fn relative(path: &str, cwd: &str, root: &str) -> Option<String> {
    let path = path.trim();
    let full = if path.starts_with('/') { path.to_owned() } else { format!("{cwd}/{path}") };
    if path.is_empty() || path.starts_with('~') || root.is_empty() {
        return None;
    }
    let full = normal(&full)?;
    let root = normal(root)?;
    let inside = full.strip_prefix(&root)?;
    let inside = inside.strip_prefix('/')?;
    (!inside.is_empty()).then(|| inside.to_owned())
}

/// A path without `.`, `..` and doubled slashes. `None` if it goes above `/`.
fn normal(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.iter().map(|part| format!("/{part}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_named_from_the_projects_root() {
        assert_eq!(relative("/p/a/../b/c.rs", "/x", "/p").as_deref(), Some("b/c.rs"));
        assert_eq!(relative("c.rs", "/p/b", "/p").as_deref(), Some("b/c.rs"));
        assert_eq!(relative("./a//b/", "/p", "/p/").as_deref(), Some("a/b"));
        for outside in ["/q/a", "../a", "~/a", "", "/p", "/pp/a", "../../../../.."] {
            assert_eq!(relative(outside, "/p", "/p"), None, "{outside}");
        }
    }

    #[test]
    fn a_worktree_belongs_to_its_main_checkout_even_when_the_folder_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let main = home.path().canonicalize().unwrap().join("main");
        let tree = home.path().canonicalize().unwrap().join("tree");
        fs::create_dir_all(main.join(".git/worktrees/tree")).unwrap();
        fs::create_dir_all(main.join("src")).unwrap();
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join(".git"), format!("gitdir: {}/.git/worktrees/tree\n", main.display())).unwrap();
        let roots = Roots::default();
        let expected = main.to_string_lossy();
        for folder in [main.clone(), main.join("src"), tree.clone(), main.join("gone/deep")] {
            let checkout = roots.checkout(&folder.to_string_lossy());
            assert_eq!(&*checkout.project, expected, "{}", folder.display());
            let expected = if folder == tree { &tree } else { &main };
            assert_eq!(&*checkout.tree, expected.to_string_lossy());
        }
        // a file that is not git's, and one that is a device
        let odd = home.path().join("odd");
        fs::create_dir(&odd).unwrap();
        for target in ["/dev/zero", "/dev/tty", "/nowhere"] {
            std::os::unix::fs::symlink(target, odd.join(".git")).unwrap();
            assert_eq!(Path::new(&*repository(&odd).unwrap().project), odd.canonicalize().unwrap());
            fs::remove_file(odd.join(".git")).unwrap();
        }
        let lonely = home.path().join("lonely").to_string_lossy().into_owned();
        assert_eq!(&*roots.checkout(&lonely).project, lonely);
    }
}
