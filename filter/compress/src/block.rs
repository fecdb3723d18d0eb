//! What a compressor knows about its block.
//!
//! Everything here comes before the end of the block in the request, so a replacement never depends on later
//! messages (I3).

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::call::Call;
use crate::config::Config;
use crate::hint;
use crate::kinds::code::language::Language;
use crate::kinds::numbered::printer::Printer;
use crate::outcome::Kind;
use crate::tokens::Encoding;

/// What a call says of its outputs. Each of these is read when it is asked for, and once: a call may have many outputs,
/// and an output many texts.
#[derive(Debug, Default)]
pub(crate) struct CallFacts {
    /// The kind that the call suggests.
    pub(crate) hint: OnceCell<Option<Kind>>,
    /// The file that it reads from start to end.
    pub(crate) whole_file: OnceCell<Option<String>>,
    /// Whether its arguments are a shell command that prints a file.
    pub(crate) shows_a_file: OnceCell<bool>,
    /// The way in which its tool writes line numbers.
    pub(crate) printer: OnceCell<Printer>,
}

/// Everything that may influence a compressor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) facts: &'a CallFacts,
    /// The last user text before the block; empty when there is none.
    pub(crate) query: &'a str,
    pub(crate) config: &'a Config,
    pub(crate) encoding: Encoding,
    /// Whether something may be left out: the model can fetch originals.
    pub(crate) reversible: bool,
    /// Whether the request's tools change files by line number, so that the model needs exact numbers: what
    /// [`edits_by_line`](crate::kinds::numbered::edits_by_line) finds in the system prompt and the tool
    /// definitions.
    pub(crate) edits_by_line: bool,
    /// What the user and the model wrote near the call; empty if it is not needed.
    pub(crate) near: &'a [Cow<'a, str>],
    /// The language of the file that the output shows completely, if parts of it may be left out.
    pub(crate) code: Option<Language>,
    /// Steps of pressure beyond the last profile.
    pub(crate) pressure: u8,
    /// Lines of the output before this text: a digest numbers lines as in the output.
    pub(crate) lines_before: usize,
    /// If this text is a part of another one: the lines of that one which a form of this one must not be mistaken for
    /// ([`kinds::beside`](crate::kinds::beside)). They stay beside the form.
    pub(crate) around: &'a str,
    /// The name of the block in references.
    pub(crate) name: &'a str,
}

impl Context<'_> {
    /// The kind that the call suggests.
    pub(crate) fn hint(&self) -> Option<Kind> {
        *self.facts.hint.get_or_init(|| hint::of_call(self.call))
    }
}

#[cfg(test)]
impl<'a> Context<'a> {
    /// The context of a block without call and request, for tests.
    pub(crate) fn of(config: &'a Config) -> Self {
        // Where all tests share a thread, an earlier one may have left little.
        crate::work::unlimited();
        Self {
            call: Call::default(),
            // Whoever makes a context from this one gives it a call of its own.
            facts: Box::leak(Box::default()),
            query: "",
            config,
            encoding: Encoding::default(),
            reversible: true,
            edits_by_line: false,
            near: &[],
            code: None,
            pressure: 0,
            lines_before: 0,
            around: "",
            name: crate::earlier::OUTPUT,
        }
    }
}

/// What a lossy compressor kept, and how it describes the rest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lossy {
    /// The replacement, without marker.
    pub(crate) text: String,
    /// What was left out, for the marker. It helps a model decide whether to ask for the original: `412 of
    /// 430 rows left out: 409 status=ok`.
    pub(crate) left_out: String,
}
