//! A document: tool outputs, and questions about them.

use headroom_compress::address;

pub use crate::original::{Original, Output};
use crate::question::{Ask, Key};

/// A question about a document.
pub struct Question {
    /// `NAME/NUMBER`.
    pub id: String,
    /// As the reader gets it.
    pub text: String,
    /// How the right answer is found.
    pub ask: Ask,
    /// Whether it is about a marker; it is asked only if something was left out.
    pub of_marker: bool,
}

/// Outputs and questions about them.
pub struct Document {
    /// A file name without its ending.
    pub name: &'static str,
    /// The kind, by which figures are grouped.
    pub kind: &'static str,
    /// What the tools printed.
    pub original: Original,
    /// The questions.
    pub questions: Vec<Question>,
}

impl Document {
    /// One output of a shell command.
    pub fn of_command(name: &'static str, kind: &'static str, command: &str, text: String) -> Self {
        let arguments = serde_json::json!({ "command": command }).to_string();
        Self::new(name, kind, Original::of_outputs([("Bash", &arguments, text)]))
    }

    /// Any outputs.
    pub fn new(name: &'static str, kind: &'static str, original: Original) -> Self {
        Self { name, kind, original, questions: Vec::new() }
    }

    /// With one more question.
    pub fn ask(mut self, text: &str, ask: Ask) -> Self {
        self.push(text, ask, false);
        self
    }

    /// With the question which call returns a line of the first output, for arms that leave something out.
    pub fn ask_for_line(self, number: usize) -> Self {
        let output = if self.original.outputs().len() > 1 { "output 1" } else { "the output" };
        let text = format!(
            "Which call of headroom_retrieve shows line {number} of {output} as the tool printed it? Answer as TASK.md says: retrieve HASH lines A-B."
        );
        let ask = Ask::by(move |text| {
            let line = text.lines().nth(number - 1).unwrap_or_default().to_owned();
            Ok(Key::Call { hash: address(text), line })
        });
        self.ask_of_marker(&text, ask)
    }

    /// With one more question, for arms that leave something out.
    pub fn ask_of_marker(mut self, text: &str, ask: Ask) -> Self {
        self.push(text, ask, true);
        self
    }

    fn push(&mut self, text: &str, ask: Ask, of_marker: bool) {
        let id = format!("{}/{}", self.name, self.questions.len() + 1);
        self.questions.push(Question { id, text: text.to_owned(), ask, of_marker });
    }
}
