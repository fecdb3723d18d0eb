//! Logs that stay small: what was written before becomes `.1`, what was that becomes `.2`, as logrotate would do it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes at which a log makes room: ten days of a developer's requests, four minutes of 100 requests a second.
pub const MOST_BYTES: u64 = 16 << 20;
/// Time after which it does, whatever its size.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// Earlier parts of each log that are kept.
pub const EARLIER: usize = 3;
/// How old they get.
pub const OLDEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Makes room for a log that begins: what is there becomes its `.1`.
pub fn set_aside(log: &Path) -> io::Result<()> {
    if !log.exists() {
        return Ok(());
    }
    shift(log)?;
    fs::rename(log, earlier(log, 1))
}

/// Moves each earlier part one further; the last one goes.
pub fn shift(log: &Path) -> io::Result<()> {
    for number in (1..EARLIER).rev() {
        let from = earlier(log, number);
        if from.exists() {
            fs::rename(from, earlier(log, number + 1))?;
        }
    }
    Ok(())
}

/// Removes the earlier parts that are too old.
pub fn remove_old(log: &Path) {
    let too_old = |path: &PathBuf| {
        let modified = fs::metadata(path).and_then(|found| found.modified()).ok();
        modified.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|age| age > OLDEST)
    };
    for path in (1..=EARLIER).map(|number| earlier(log, number)).filter(too_old) {
        fs::remove_file(path).ok();
    }
}

/// The name of an earlier part.
pub fn earlier(log: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(log);
    name.push(format!(".{number}"));
    name.into()
}
