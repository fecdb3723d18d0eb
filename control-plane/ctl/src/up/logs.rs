//! Rotates the logs of the processes that `up` runs, by size and by age, like logrotate.
//!
//! headroomd and Envoy inherit their log files open, so such a log is copied and then emptied; lines written in
//! between are lost. Envoy opens its access log by name, and opens it again on request.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use headroom_private::rotation::{DAY, MOST_BYTES, earlier, remove_old, set_aside, shift};
use tokio::time::{Instant, sleep};

/// Time between two checks.
const LOOK: Duration = Duration::from_secs(10);
/// The log that Envoy opens by name.
pub(super) const ACCESS: &str = "access.log";

/// Rotates the logs in a folder, and never returns. `reopen` makes Envoy open its access log again.
pub(super) async fn keep_small(folder: &Path, reopen: impl AsyncFn()) {
    let mut day = Instant::now();
    loop {
        sleep(LOOK).await;
        let is_new_day = day.elapsed() >= DAY;
        if is_new_day {
            day = Instant::now();
        }
        // a failure is tried again at the next check
        if rotate_all(folder, if is_new_day { 0 } else { MOST_BYTES }).unwrap_or(false) {
            reopen().await;
        }
    }
}

/// Rotates the logs that have more than `most` bytes, and removes those that are too old. True if the access log was
/// among them.
fn rotate_all(folder: &Path, most: u64) -> io::Result<bool> {
    let mut access = false;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() > most) {
            if path.file_name().is_some_and(|name| name == ACCESS) {
                set_aside(&path)?;
                access = true;
            } else {
                empty(&path)?;
            }
        }
        remove_old(&path);
    }
    Ok(access)
}

/// Copies a log that a process writes to, and empties it. If there is no room for the copy, it is left out.
fn empty(log: &Path) -> io::Result<()> {
    shift(log)?;
    let copy = earlier(log, 1);
    if fs::copy(log, &copy).is_err() {
        fs::remove_file(&copy).ok();
    }
    File::options().write(true).open(log)?.set_len(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::SystemTime;

    use headroom_private::rotation::{EARLIER, OLDEST};

    use super::*;

    fn parts(log: &Path) -> Vec<String> {
        let all = (1..=EARLIER + 1).map(|number| earlier(log, number));
        all.map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }

    #[test]
    fn a_log_stays_small_while_its_process_writes_on() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("headroomd.log");
        let mut process = File::options().create(true).append(true).open(&log).unwrap();
        for round in 0..6 {
            process.write_all(format!("{round}{}", "x".repeat(100)).as_bytes()).unwrap();
            assert!(!rotate_all(folder.path(), 100).unwrap(), "it is no access log");
            assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        }
        process.write_all(b"short").unwrap();
        rotate_all(folder.path(), 100).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "short");
        let firsts: Vec<_> = parts(&log).iter().map(|part| part.chars().next()).collect();
        assert_eq!(firsts, [Some('5'), Some('4'), Some('3'), None]);
    }

    #[test]
    fn the_access_log_gets_another_name_and_envoy_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(ACCESS);
        fs::write(&log, "a request\n").unwrap();
        assert!(!rotate_all(folder.path(), 100).unwrap());
        assert!(rotate_all(folder.path(), 0).unwrap());
        assert!(!log.exists());
        assert_eq!(parts(&log)[0], "a request\n");
        assert!(!rotate_all(folder.path(), 0).unwrap(), "nothing was written since");
    }

    #[test]
    fn what_is_too_old_goes_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("envoy.log");
        let other = folder.path().join("notes.txt");
        for path in [&log, &earlier(&log, 1), &earlier(&log, 2), &other] {
            fs::write(path, "kept").unwrap();
        }
        let eight_days_ago = SystemTime::now() - OLDEST - DAY;
        for path in [&earlier(&log, 2), &other] {
            File::options().write(true).open(path).unwrap().set_modified(eight_days_ago).unwrap();
        }
        rotate_all(folder.path(), 100).unwrap();
        assert!(log.exists() && earlier(&log, 1).exists() && other.exists());
        assert!(!earlier(&log, 2).exists());
    }

    #[test]
    fn logs_of_earlier_runs_are_kept_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("envoy.log");
        set_aside(&log).unwrap();
        for run in 0..5 {
            fs::write(&log, run.to_string()).unwrap();
            set_aside(&log).unwrap();
        }
        assert_eq!(parts(&log), ["4", "3", "2", ""]);
    }
}
