//! The bearer token that headroomd asks for beyond loopback: configured, or generated once and kept in the
//! workspace.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::environment::Environment;

/// Its file in the workspace.
const FILE: &str = "token";
/// Random bytes in a generated token.
const BYTES: usize = 32;

/// The token of `HEADROOM_TOKEN`, or of the file that `HEADROOM_TOKEN_FILE` names.
pub fn configured(env: Environment<'_>) -> anyhow::Result<Option<String>> {
    if let Some(token) = env.get("HEADROOM_TOKEN") {
        return Ok(Some(token));
    }
    let Some(path) = env.get("HEADROOM_TOKEN_FILE") else { return Ok(None) };
    let text = fs::read_to_string(&path).with_context(|| format!("HEADROOM_TOKEN_FILE: {path}"))?;
    Ok(Some(text.trim().to_owned()).filter(|token| !token.is_empty()))
}

/// A configured token, else the one that `headroomctl up` keeps in the workspace; the workspace may be given
/// explicitly.
pub fn local(env: Environment<'_>, workspace: Option<&PathBuf>) -> anyhow::Result<Option<String>> {
    if let Some(token) = configured(env)? {
        return Ok(Some(token));
    }
    let Some(workspace) = env.workspace_dir(workspace) else { return Ok(None) };
    // If the file is missing or belongs to another user, there is no token to send.
    Ok(fs::read_to_string(file(&workspace))
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|it| !it.is_empty()))
}

/// The token's file in a workspace.
pub fn file(workspace: &Path) -> PathBuf {
    workspace.join(FILE)
}

/// The workspace's token, and whether it was generated just now.
pub(crate) fn kept(workspace: &Path) -> anyhow::Result<(String, bool)> {
    kept_in(&file(workspace))
}

/// As [`kept`], in a file.
pub(crate) fn kept_in(path: &Path) -> anyhow::Result<(String, bool)> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let token = text.trim();
            ensure!(
                !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()),
                "{}: expected a token of visible ASCII characters: remove the file to have a new one made",
                path.display()
            );
            headroom_private::file(path).with_context(|| path.display().to_string())?;
            Ok((token.to_owned(), false))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut random = [0; BYTES];
            getrandom::fill(&mut random).context("no random numbers for a token")?;
            let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
            headroom_private::write(path, format!("{token}\n").as_bytes())
                .with_context(|| format!("{} cannot be written", path.display()))?;
            Ok((token, true))
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_made_once_for_its_owner_alone() {
        let workspace = tempfile::tempdir().unwrap();
        let (token, made) = kept(workspace.path()).unwrap();
        assert!(made && token.len() == 2 * BYTES);
        assert_eq!(kept(workspace.path()).unwrap(), (token.clone(), false));
        let mode = fs::metadata(file(workspace.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let here = workspace.path().display().to_string();
        let with = |name: &str| (name == "HEADROOM_WORKSPACE_DIR").then(|| here.clone());
        assert_eq!(local(Environment::new(&with), None).unwrap(), Some(token));
        assert_eq!(configured(Environment::new(&with)).unwrap(), None);

        fs::write(file(workspace.path()), "two words").unwrap();
        assert!(kept(workspace.path()).unwrap_err().to_string().contains("remove the file"));
    }
}
