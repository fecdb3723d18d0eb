//! The sidecar's tasks by name, so that one that hangs can be seen.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

/// The tasks that were spawned and have not ended, as `/debug/tasks` shows them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    running: Arc<Mutex<Vec<Task>>>,
}

#[derive(Debug)]
struct Task {
    name: &'static str,
    started: Instant,
    handle: AbortHandle,
}

/// One task at the time of looking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TaskState {
    pub(crate) name: &'static str,
    pub(crate) age_seconds: f64,
    pub(crate) done: bool,
}

impl Tasks {
    /// Spawns a task under a name.
    pub(crate) fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = self.tracker.spawn(future);
        let mut tasks = self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        tasks.retain(|task| !task.handle.is_finished());
        tasks.push(Task { name, started: Instant::now(), handle: task.abort_handle() });
    }

    /// Waits until all have ended. After this call, only running tasks may spawn new ones.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// The running tasks, oldest first.
    pub(crate) fn list(&self) -> Vec<TaskState> {
        let mut tasks = self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let state = |task: &Task| TaskState {
            name: task.name,
            age_seconds: task.started.elapsed().as_secs_f64(),
            done: task.handle.is_finished(),
        };
        let states = tasks.iter().map(state).collect();
        tasks.retain(|task| !task.handle.is_finished());
        states
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_is_listed_until_it_was_seen_to_be_done() {
        let tasks = Tasks::default();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn("waits", ended);
        assert_eq!(
            tasks.list().iter().map(|task| (task.name, task.done)).collect::<Vec<_>>(),
            [("waits", false)]
        );
        end.send(()).unwrap();
        tasks.ended().await;
        assert!(tasks.list()[0].done);
        assert!(tasks.list().is_empty());
    }
}
