//! Progress of work that takes a while: on standard error, and only if that is a terminal.

use std::fs::File;
use std::io::{IsTerminal as _, Stdin, stdout};
use std::os::fd::AsFd as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two steps of the spinner: fast enough to look alive, slow enough to cost nothing.
const TURN: Duration = Duration::from_millis(120);

/// For a file, whose length is known.
const BAR: &str = "{bar:40} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
/// Of a file that comes from the internet.
#[cfg(feature = "llmlingua")]
const FILE: &str = "{spinner} {msg}: {binary_bytes}, {binary_bytes_per_sec}";
/// Of a pipe.
const COUNT: &str = "{spinner} {binary_bytes}, {binary_bytes_per_sec}, {elapsed}";

/// A spinner with the name of a task. It disappears when it is dropped, even after an error.
#[derive(Debug)]
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    /// Shows the spinner.
    pub(crate) fn now(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(TURN);
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How many bytes of a file have come from the internet.
#[cfg(feature = "llmlingua")]
#[derive(Debug)]
pub(crate) struct DownloadBar(ProgressBar);

#[cfg(feature = "llmlingua")]
pub(crate) fn of_download() -> DownloadBar {
    DownloadBar(ProgressBar::new_spinner().with_style(style(FILE)))
}

#[cfg(feature = "llmlingua")]
impl DownloadBar {
    pub(crate) fn told(&self, file: &str, bytes: u64) {
        if self.0.message() != file {
            self.0.set_message(file.to_owned());
        }
        self.0.set_position(bytes);
    }
}

#[cfg(feature = "llmlingua")]
impl Drop for DownloadBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How far standard input has been read: a bar where it is a file, a count where it is a pipe. Hidden where answers
/// or people's own lines go to the terminal.
pub(crate) fn of_input(stdin: &Stdin) -> ProgressBar {
    if stdin.is_terminal() || stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = match length(stdin) {
        Some(length) => ProgressBar::new(length).with_style(style(BAR)),
        None => ProgressBar::new_spinner().with_style(style(COUNT)),
    };
    bar.enable_steady_tick(TURN);
    bar
}

/// The length of the file behind standard input; `None` if it is not a file.
fn length(stdin: &Stdin) -> Option<u64> {
    let file = File::from(stdin.as_fd().try_clone_to_owned().ok()?);
    file.metadata().ok().filter(std::fs::Metadata::is_file).map(|about| about.len())
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_understood() {
        for template in [BAR, COUNT] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
