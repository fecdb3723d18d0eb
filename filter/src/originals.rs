//! The texts that a request's lossy forms leave out, kept in the request itself until its answer is over.

use std::rc::Rc;
use std::sync::Arc;

use headroom_api::v1::Retrieval;
use headroom_compress::rounds::{self, RetrieveArguments};
use headroom_compress::{Api, Compressor, Kind, Outcome};

use crate::memory::Room;
use crate::name::name;
use crate::settings::Settings;
use crate::tool_loop::{Source, ToolResult};

/// The texts that the model can ask for.
#[derive(Debug)]
pub(crate) struct Originals {
    /// The request as the client sent it, with hidden rounds put back.
    body: Rc<Vec<u8>>,
    known: Vec<KnownOriginal>,
    _room: Room,
}

/// A text in the request.
#[derive(Clone, Debug)]
pub(crate) struct KnownOriginal {
    hash: Rc<str>,
    /// The number of the tool output in the conversation.
    output: u32,
    /// The output in the body: a JSON string, or a JSON value.
    span: std::ops::Range<usize>,
    tool: Arc<str>,
    kind: Kind,
    /// By which form it was left out.
    form: Option<Compressor>,
}

impl KnownOriginal {
    pub(crate) fn of(outcome: &Outcome<'_>) -> Vec<Self> {
        let originals = outcome.originals.iter();
        originals
            .map(|it| Self {
                hash: Rc::from(&*it.hash),
                output: it.number,
                span: it.span(),
                tool: Arc::clone(&it.tool),
                kind: it.kind,
                form: it.form,
            })
            .collect()
    }
}

impl Originals {
    /// `None`: there is no room to keep the request.
    pub(crate) fn new(settings: &Settings, body: &Rc<Vec<u8>>, known: Vec<KnownOriginal>) -> Option<Self> {
        // If nothing is left out, the body is not needed.
        let kept = if known.is_empty() { Rc::default() } else { Rc::clone(body) };
        let Some(room) = settings.requests.memory.room(kept.len()) else {
            settings.metrics.no_room();
            return None;
        };
        Some(Self { body: kept, known, _room: room })
    }

    /// The result of a call; `None`: the text is not in the request.
    pub(crate) fn find(&self, asked: &RetrieveArguments) -> Option<ToolResult> {
        let known = self.known.iter().find(|known| *known.hash == *asked.hash)?;
        let found = rounds::find(&self.body, known.span.clone(), &asked.hash)?;
        let page = rounds::answer(&found.text, asked);
        // A trace names a whole output. A text from a value inside an output cannot be put back.
        let source =
            found.whole.then(|| Source { output: known.output, hash: asked.hash.clone(), range: page.range });
        Some(ToolResult { text: page.text, source, is_error: false })
    }

    /// What a call asks for, for the record.
    pub(crate) fn describe(&self, asked: &RetrieveArguments) -> Option<Retrieval> {
        let known = self.known.iter().find(|known| *known.hash == *asked.hash)?;
        Some(Retrieval {
            tool: name(&known.tool),
            kind: known.kind.name().to_owned(),
            form: known.form.map(Compressor::name).unwrap_or_default().to_owned(),
            part: asked.part().to_owned(),
        })
    }

    /// The number of calls of the client's tools in the request.
    pub(crate) fn calls(&self, api: Api) -> usize {
        rounds::calls(&self.body, api)
    }
}
