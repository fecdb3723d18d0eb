//! Ends a child process that takes too long.

use std::process::{Child, Command};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// Watches over a child until it is dropped or ended.
#[derive(Debug)]
pub struct Deadline {
    done: Sender<()>,
    watch: JoinHandle<bool>,
}

impl Deadline {
    /// Prepares a command for a deadline: it gets its own process group with everything that it starts,
    /// because a grandchild could keep its pipes open.
    pub fn prepare(command: &mut Command) -> &mut Command {
        std::os::unix::process::CommandExt::process_group(command, 0)
    }

    /// Kills the child's group after a time.
    pub fn new(child: &Child, time: Duration) -> Self {
        let group = Pid::from_child(child);
        let (done, wait) = channel();
        let watch = thread::spawn(move || {
            let late = wait.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            // a group that has just ended by itself is as good as killed
            late && kill_process_group(group, Signal::KILL).is_ok()
        });
        Self { done, watch }
    }

    /// The child has ended. Returns whether it was killed.
    pub fn end(self) -> bool {
        drop(self.done);
        self.watch.join().unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_killed_with_what_it_started_and_a_quick_one_is_not() {
        for (script, time, killed) in [("sleep 600 & sleep 600", 1, true), ("exit 0", 60_000, false)] {
            let mut command = Command::new("sh");
            let mut child = Deadline::prepare(command.args(["-c", script])).spawn().unwrap();
            let deadline = Deadline::new(&child, Duration::from_millis(time));
            let status = child.wait().unwrap();
            assert_eq!((status.success(), deadline.end()), (!killed, killed), "{script}");
        }
    }
}
