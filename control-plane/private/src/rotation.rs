//! Rotates logs like logrotate: the old log becomes `.1`, the old `.1` becomes `.2`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The size at which a log is rotated, in bytes: ten days of a developer's requests, four minutes of 100 requests a
/// second.
pub const MOST_BYTES: u64 = 16 << 20;
/// The age at which a log is rotated, at any size.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// The number of rotated files that are kept for each log.
pub const EARLIER: usize = 3;
/// Their maximum age.
pub const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Makes room for a new log: an existing one becomes `.1`.
pub fn set_aside(log: &Path) -> io::Result<()> {
    if !log.exists() {
        return Ok(());
    }
    shift(log)?;
    fs::rename(log, earlier(log, 1))
}

/// Renames each rotated file to the next number and removes the last one.
pub fn shift(log: &Path) -> io::Result<()> {
    for number in (1..EARLIER).rev() {
        let from = earlier(log, number);
        if from.exists() {
            fs::rename(from, earlier(log, number + 1))?;
        }
    }
    Ok(())
}

/// Removes the rotated files that are too old.
pub fn remove_old(log: &Path) {
    let too_old = |path: &PathBuf| {
        let modified = fs::metadata(path).and_then(|found| found.modified()).ok();
        modified.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|age| age > OLDEST)
    };
    for path in (1..=EARLIER).map(|number| earlier(log, number)).filter(too_old) {
        fs::remove_file(path).ok();
    }
}

/// The name of a rotated file.
pub fn earlier(log: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(log);
    name.push(format!(".{number}"));
    name.into()
}
