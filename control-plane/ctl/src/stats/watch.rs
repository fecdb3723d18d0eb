//! `--watch`: a separate screen, where the figures stay in place.

use std::io::{self, Stdout, Write, stdout};

use rustix::termios::tcgetwinsize;

use crate::signals::Signals;

/// Switches to the alternate screen and hides the cursor; [`LEAVE`] restores the old screen.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the first line; what is behind a line's end; what is below.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
/// The size if the terminal does not report one.
const USUAL: (usize, usize) = (80, 24);

/// The terminal while figures are watched. Dropping it restores the old screen.
pub(super) struct Screen {
    out: Stdout,
    signals: Signals,
    trouble: Option<String>,
}

impl Screen {
    pub(super) fn enter() -> anyhow::Result<Self> {
        // Before the screen changes, so that after a signal the old screen is restored.
        let signals = Signals::listen()?;
        let mut out = stdout();
        out.write_all(ENTER.as_bytes())?;
        Ok(Self { out, signals, trouble: None })
    }

    /// Shows a text in place of the previous one.
    pub(super) fn show(&mut self, text: &str) -> io::Result<()> {
        let size = tcgetwinsize(&self.out).map_or(USUAL, |size| (size.ws_col.into(), size.ws_row.into()));
        let frame = frame(text, self.trouble.take().as_deref(), size);
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }

    /// Sets a message for the last line, shown at the next update.
    pub(super) fn trouble(&mut self, sentence: &str) {
        self.trouble = Some(sentence.to_owned());
    }

    /// Waits until the user stops it.
    pub(super) async fn left(&mut self) {
        self.signals.next().await;
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone, there is nothing to restore.
        let _ = self.out.write_all(LEAVE.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// The bytes that show a text: lines that do not fit are cut, so that nothing scrolls.
fn frame(text: &str, trouble: Option<&str>, (columns, rows): (usize, usize)) -> String {
    let (columns, rows) = if columns == 0 || rows == 0 { USUAL } else { (columns, rows) };
    let last = trouble.unwrap_or("Ctrl-C ends it.");
    let lines = text.lines().take(rows.saturating_sub(1)).chain([last]);
    let mut frame = HOME.to_owned();
    for (n, line) in lines.enumerate() {
        if n > 0 {
            frame.push_str("\r\n");
        }
        // Names come from requests: no character in them may move the cursor.
        frame.extend(line.chars().take(columns).map(|c| if c.is_control() { '\u{FFFD}' } else { c }));
        frame.push_str(CLEAR_LINE);
    }
    frame + CLEAR_BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_begins_at_the_top_and_is_never_larger_than_the_terminal() {
        let text = "first line that is long\nsecond\nthird\nfourth\n";
        let shown = frame(text, None, (10, 3));
        assert!(shown.starts_with(HOME) && shown.ends_with(CLEAR_BELOW), "{shown:?}");
        let lines: Vec<&str> = shown.trim_start_matches(HOME).split("\r\n").collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], format!("first line{CLEAR_LINE}"));
        assert!(lines[2].starts_with("Ctrl-C end"), "{lines:?}");
        assert!(!shown.contains("\x1b[2J"), "a screen that is cleared first flickers");
        assert_eq!(frame("x", None, (0, 0)), frame("x", None, USUAL));
    }

    #[test]
    fn a_name_cannot_move_the_cursor_and_trouble_takes_the_last_line() {
        let shown = frame("evil \x1b[2J name", Some("does not answer"), (80, 24));
        assert!(!shown.contains("\x1b[2J") && shown.contains("does not answer"), "{shown:?}");
    }
}
