//! What an edit changes, for people.

use std::path::Path;

use similar::TextDiff;

/// A unified diff; bytes that are not text are shown as replacement characters.
pub(crate) fn unified(path: &Path, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (old, new) = (text(before), text(after));
    let name = |there: bool| if there { path.display().to_string() } else { "/dev/null".to_owned() };
    TextDiff::from_lines(&old, &new)
        .unified_diff()
        .context_radius(2)
        .header(&name(before.is_some()), &name(after.is_some()))
        .to_string()
}
