//! What a request's tools allow, and which of our own are added to them.

use std::borrow::Cow;

use headroom_providers::retrieve_tool::Listing;
use headroom_providers::walk::{Role, Walk};
use headroom_providers::{MemoryTools, OwnTools};

use super::{Request, RetrieveTool};
use crate::kinds::numbered;
use crate::memo::Memo;

/// Of the blocks, in the body's order, only the first so many may be lossy.
pub(super) fn lossy_blocks(walk: &Walk<'_>, request: &Request<'_>, askable: bool) -> usize {
    // What the provider keeps cannot be read back from later requests (I5).
    if !request.reversible || walk.kept_by_provider || !(askable || request.api.takes_own_tools()) {
        0
    } else if askable {
        usize::MAX
    } else if request.retrieve_tool == RetrieveTool::Add {
        // A request without tools at the end of a conversation that had some: what the model was sent before it
        // called one stays as it was (I3), and nothing more is left out.
        walk.called
    } else {
        0
    }
}

/// Whether the model can ask for what is left out, and the definition to add for that.
pub(super) fn retrieval(walk: &Walk<'_>, request: &Request<'_>) -> (bool, Option<(usize, &'static str)>) {
    if walk.kept_by_provider {
        // Nothing is left out, and an answer of several rounds would not be the one that the provider keeps.
        return (false, None);
    }
    match (request.retrieve_tool, walk.own_tools.retrieve) {
        (RetrieveTool::Assume, _) => (walk.has_tools, None),
        (RetrieveTool::Add, Listing::Absent(at)) => match request.api.definition() {
            Some(definition) => (true, Some((at, definition))),
            None => (false, None),
        },
        (_, Listing::Listed) => (true, None),
        (_, Listing::NoTools | Listing::Absent(_)) => (false, None),
    }
}

/// What goes to the head of the tool list.
#[derive(Debug)]
pub(super) struct Addition {
    /// Where in the body.
    pub(super) at: usize,
    pub(super) definitions: Cow<'static, str>,
    pub(super) tools: OwnTools,
}

impl Addition {
    /// With the definition of the retrieve tool, where that is added. `None`: the list stays as it is.
    pub(super) fn new(
        walk: &Walk<'_>,
        request: &Request<'_>,
        retrieve: Option<(usize, &'static str)>,
    ) -> Option<Self> {
        let mut added = retrieve.map(|(at, definition)| Self {
            at,
            definitions: Cow::Borrowed(definition),
            tools: OwnTools::RETRIEVE,
        });
        // An answer of several rounds would not be the one that the provider keeps.
        let wanted = if walk.kept_by_provider { MemoryTools::NONE } else { request.memory_tools };
        let (api, listed) = (request.api, walk.own_tools);
        let facts = (wanted.facts, listed.memory, api.memory_definitions());
        let files = (wanted.files, listed.memory_files, api.memory_files_definition());
        for (is_files, (wanted, listing, definition)) in [(false, facts), (true, files)] {
            let (true, Listing::Absent(at), Some(definition)) = (wanted, listing, definition) else {
                continue;
            };
            let added =
                added.get_or_insert(Self { at, definitions: Cow::Borrowed(""), tools: OwnTools::default() });
            added.definitions += definition;
            let tool = if is_files { &mut added.tools.memory.files } else { &mut added.tools.memory.facts };
            *tool = true;
        }
        added
    }
}

/// Keeps what is remembered of one text apart from its count in each encoding.
const EDITS_BY_LINE: u128 = 0x65_6469_7473;

/// Whether the tools that stand at the head of the request change files by line number.
pub(super) fn edits_by_line(walk: &Walk<'_>, memo: &mut Memo) -> bool {
    let head = walk.readings.iter().take_while(|reading| matches!(reading.role, Role::Tools | Role::System));
    head.map(|reading| reading.span).any(|span| {
        let key = memo.fingerprint(span.raw(walk.body)).wrapping_add(EDITS_BY_LINE);
        // What the model reads, so that the client's choice of escapes decides nothing.
        let answer = || span.reading(walk.body).is_some_and(|text| numbered::edits_by_line(text.as_bytes()));
        memo.count(key, || u32::from(answer())) != 0
    })
}
