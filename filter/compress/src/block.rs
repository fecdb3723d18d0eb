//! What a compressor knows about the block it works on.
//!
//! All of it stands before the end of the block in the request, so using it keeps a replacement
//! causal (I3).

use std::borrow::Cow;

use crate::config::Config;
use crate::kinds::code::language::Language;
use crate::tokens::Encoding;

/// The call that produced a block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Call<'a> {
    /// The tool's name as the request gives it; empty when unknown.
    pub(crate) name: &'a str,
    /// The call's arguments as JSON text; empty when unknown.
    pub(crate) arguments: &'a str,
}

/// Everything that may steer a compressor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) call: Call<'a>,
    /// The last user text before the block; empty when there is none.
    pub(crate) query: &'a str,
    pub(crate) config: &'a Config,
    pub(crate) encoding: Encoding,
    /// Originals can be stored and the model can ask for them.
    pub(crate) reversible: bool,
    /// The tools that the request offers change files by line number, so that the model has to name
    /// lines exactly: what [`edits_by_line`](crate::kinds::numbered::edits_by_line) says of the system
    /// prompt and the tool definitions.
    pub(crate) edits_by_line: bool,
    /// What the user and the model wrote near the call; empty where nobody asks.
    pub(crate) near: &'a [Cow<'a, str>],
    /// In what language the file is of which the output is all, where something of it may be left out.
    pub(crate) code: Option<Language>,
    /// Steps of pressure that lead beyond the last profile.
    pub(crate) pressure: u8,
    /// Lines of the output before what is compressed: a digest names lines by their numbers in the output.
    pub(crate) lines_before: usize,
    /// What references call the block.
    pub(crate) name: &'a str,
}

#[cfg(test)]
impl<'a> Context<'a> {
    /// Of a block about whose call and request nothing is known, in tests.
    pub(crate) fn of(config: &'a Config) -> Self {
        Self {
            call: Call::default(),
            query: "",
            config,
            encoding: Encoding::default(),
            reversible: true,
            edits_by_line: false,
            near: &[],
            code: None,
            pressure: 0,
            lines_before: 0,
            name: crate::earlier::OUTPUT,
        }
    }
}

/// What a lossy compressor kept, and how it describes the rest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lossy {
    /// The replacement, without marker.
    pub(crate) text: String,
    /// For the marker, in terms that help a model decide whether to ask for the original:
    /// `412 of 430 rows left out: 409 status=ok`.
    pub(crate) left_out: String,
}
