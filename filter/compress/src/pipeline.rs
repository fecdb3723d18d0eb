//! One block, from detection to its replacement.
//!
//! The order is: what the configuration allows for this tool, what the text contains, the texts in its values,
//! which go the same way, what the conversation has shown before, the lossless forms of the rest, and only then,
//! where the caller can store the original and the kind permits it, what may be left out. References come before
//! the forms, because they are made of lines as the tool printed them. Forms are compared by their tokens, and none
//! is used that saves too little (I4).

mod part;
mod text;

use headroom_providers::string;

use self::text::{Place, Run};
use crate::block::Context;
use crate::config::{Policy, Profile};
use crate::earlier::{Earlier, Fidelity, Values};
use crate::envelope::Envelope;
use crate::explain::Attempts;
use crate::kinds::json;
use crate::lines::{self, Line};
use crate::outcome::{BlockOutcome, Kind, Skip};
use crate::tool;
use crate::work;

/// The result for one block.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) kind: Kind,
    pub(crate) outcome: BlockOutcome,
    /// Present exactly when `outcome` is [`BlockOutcome::Compressed`].
    pub(crate) replacement: Option<Replacement>,
    pub(crate) tokens_before: u32,
    pub(crate) tokens_after: u32,
    /// The lines of the text that is forwarded, where they have been read.
    pub(crate) lines: Option<Vec<Line>>,
    /// How the replacement shows the lines of the block.
    pub(crate) coded: Fidelity,
    /// How it shows the texts in its values.
    pub(crate) values: Values,
}

/// A form that saves fewer tokens than this and less than this share of the text, in percent, is not used: it
/// costs the reader more than it saves.
const FEWEST_SAVED_TOKENS: usize = 20;
const FEWEST_SAVED_PERCENT: usize = 3;

/// The text that stands in for a block.
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    pub(crate) text: String,
    /// What was left out, one for each marker in the text.
    pub(crate) left_out: Vec<LeftOut>,
}

/// What a marker names.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    /// What the marker says of it.
    pub(crate) description: String,
    /// The original's address.
    pub(crate) address: String,
}

/// Each line takes about a hundred bytes while the block is in work, however short it is, and a VM does not give memory
/// back. Eight megabytes of ordinary lines, of forty bytes, are 200 thousand.
const MAX_LINES: usize = 1 << 19;

/// Compresses the text of one block.
#[cfg(all(test, not(target_family = "wasm")))]
pub(crate) fn compress_block(text: &str, cx: &Context<'_>, earlier: &Earlier) -> Verdict {
    compress(text, Form::Text, cx, earlier, None)
}

/// What a block may become.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// Any text.
    Text,
    /// The same JSON value, except for the texts in it.
    Value,
}

/// Compresses one block. `earlier` holds what the request's earlier tool outputs show, as they are forwarded;
/// `attempts` hears of each form that is tried.
pub(crate) fn compress(
    text: &str,
    form: Form,
    cx: &Context<'_>,
    earlier: &Earlier,
    attempts: Option<&Attempts>,
) -> Verdict {
    let class = tool::Class::of(cx.call.name);
    let policy = tool::policy(cx.config, cx.call.name, class);
    let count = |text: &str| match form {
        Form::Text => cx.encoding.count(text),
        Form::Value => cx.encoding.count(&string::without_layout(text)),
    };
    let tokens_before = count(text);
    let skip = |kind, skip| Verdict {
        kind,
        outcome: BlockOutcome::Skipped(skip),
        replacement: None,
        tokens_before: saturating_u32(tokens_before),
        tokens_after: saturating_u32(tokens_before),
        lines: None,
        coded: Fidelity::No,
        values: Values::default(),
    };
    let unread = if form == Form::Text { Kind::Text } else { Kind::Json };
    if class == tool::Class::Retrieve {
        return skip(unread, Skip::Retrieved);
    }
    if text.len() < cx.config.min_block_bytes {
        return skip(Kind::Short, Skip::TooSmall);
    }
    let is_too_large = text.len() > cx.config.max_block_bytes
        || lines::has_more_than(text, MAX_LINES)
        || json::has_more_values_than_are_read(text);
    if is_too_large {
        return skip(unread, Skip::TooLarge);
    }
    if policy == Policy::Off {
        return skip(unread, Skip::PolicyOff);
    }
    let lossy = policy == Policy::Lossy && cx.reversible && cx.config.profile != Profile::Lossless;
    work::start(text.len());
    let code = cx.code.filter(|_| tool::may_cut_code(cx.config, cx.call.name, class) && cx.reversible);
    let run = Run { cx, earlier, lossy, code, attempts };
    let replaced = match form {
        Form::Text => run.replace(text, Place { nesting: 0, name: Some(cx.name), refers: true }),
        Form::Value => match Envelope::of_json(text) {
            Some(envelope) => run.replace_value(text, &envelope),
            None => return skip(Kind::Json, Skip::NotText),
        },
    };
    if work::is_over() {
        return skip(replaced.kind, Skip::TooCostly);
    }
    let Some(compressor) = replaced.gains.largest() else {
        let lines = replaced.lines.filter(|_| replaced.replacement.text == text);
        let why = if replaced.off { Skip::PolicyOff } else { Skip::NoGain };
        return Verdict { lines, ..skip(replaced.kind, why) };
    };
    let tokens_after = count(&replaced.replacement.text);
    if !is_worth_it(tokens_before, tokens_after) {
        return skip(replaced.kind, Skip::NoGain);
    }
    let lossy = !replaced.replacement.left_out.is_empty();
    Verdict {
        kind: replaced.kind,
        outcome: BlockOutcome::Compressed { compressor, lossy },
        replacement: Some(replaced.replacement),
        tokens_before: saturating_u32(tokens_before),
        tokens_after: saturating_u32(tokens_after),
        lines: replaced.lines.filter(|_| !lossy),
        coded: replaced.coded,
        values: replaced.values,
    }
}

/// Whether a form of so many tokens saves enough.
fn is_worth_it(before: usize, after: usize) -> bool {
    let saved = before.saturating_sub(after);
    saved > 0 && (saved >= FEWEST_SAVED_TOKENS || saved * 100 >= before.saturating_mul(FEWEST_SAVED_PERCENT))
}

fn saturating_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
