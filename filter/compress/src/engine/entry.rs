//! The replacement for one block that the memo does not know.

use std::borrow::Cow;
use std::sync::Arc;

use headroom_providers::string;
use headroom_providers::walk::Output;

use super::calls::OutputCall;
use super::counts::{FORMS, count_span};
use super::run::{Run, shown_text};
use crate::block::Context;
use crate::config::Policy;
use crate::earlier::{Earlier, Source, stays};
use crate::epochs::unit::Unit;
use crate::explain::{Attempts, Explanation};
use crate::hint;
use crate::kinds::code::Language;
use crate::lines::Line;
use crate::memo::{Entry, LeftOut, Memo};
use crate::outcome::{BlockOutcome, Kind, Skip};
use crate::pipeline::{self, Form, Replacement, Verdict};
use crate::surroundings::Files;
use crate::tool;

/// Outputs of fewer tokens stay: a marker has about forty.
const LEAST_UNIT: u32 = 96;

impl Run<'_, '_> {
    /// The language of the source file that an output is all of, where bodies of functions may be left out of it.
    fn language(&self, output: &Output, call: &OutputCall, reversible: bool) -> Option<Language> {
        let files = self.files.filter(|_| reversible && output.span.is_string())?;
        let path = call.facts.whole_file.get_or_init(|| hint::whole_file(call.texts())).as_deref()?;
        files.get_or_init(|| Files::of(self.walk)).language(output, path)
    }

    /// Whether an output reports a failure, and what decides about it when it is old.
    fn unit(&self, text: &str, output: &Output, tool: &str, verdict: &Verdict) -> (bool, Option<Box<Unit>>) {
        if self.config.epochs.is_none() {
            return (false, None);
        }
        let kind = verdict.kind;
        // In what was written by people, words are content.
        let is_content = matches!(kind, Kind::Source | Kind::Diff | Kind::Html);
        let fails = !is_content && text.lines().any(|line| stays(line, kind));
        let may_go = output.span.is_string()
            && verdict.tokens_after >= LEAST_UNIT
            && tool::may_go(self.config, tool, tool::Class::of(tool))
            && self.config.kind_policy(kind) == Policy::Lossy;
        (fails, may_go.then(|| Box::new(Unit::new(text, fails))))
    }

    /// Computes the outcome of a block. With it come the text that is forwarded, where it is one, and its
    /// lines, where they have been read.
    pub(super) fn entry(
        &self,
        (output, source): (&Output, Source),
        (call, query): (&OutputCall, &str),
        (reversible, steps): (bool, u8),
        earlier: &Earlier,
        memo: &mut Memo,
    ) -> (Entry, Option<Cow<'_, str>>, Option<Vec<Line>>) {
        let body = self.walk.body;
        let skipped = |kind, skip, memo: &mut Memo| {
            Entry::skipped(&call.name, kind, skip, count_span(output.span, body, FORMS, memo))
        };
        let text = shown_text(output, body);
        if output.call.is_some_and(|call| call.by_program) {
            return (skipped(Kind::Text, Skip::Program, memo), text, None);
        }
        let Some(text) = text else {
            let kind = if output.span.is_string() { Kind::Text } else { Kind::Json };
            return (skipped(kind, Skip::NotText, memo), None, None);
        };
        let code = self.language(output, call, reversible);
        let files = self.files.and_then(|files| files.get()).filter(|_| code.is_some());
        let near = files.map(|files| files.near(self.walk, output)).unwrap_or_default();
        let config = self.config.pressed(steps);
        let cx = Context {
            call: call.texts(),
            facts: &call.facts,
            query,
            config: &config,
            encoding: FORMS,
            reversible,
            edits_by_line: self.edits_by_line,
            near: &near,
            code,
            pressure: self.config.profile.pressed(steps).1,
            lines_before: 0,
            around: "",
            name: &earlier.next_name(source),
        };
        let is_string = output.span.is_string();
        let form = if is_string { Form::Text } else { Form::Value };
        let attempts = self.explanations.map(|_| Attempts::new(FORMS));
        let verdict = checked(pipeline::compress(&text, form, &cx, earlier, attempts.as_ref()), reversible);
        if let (Some(explanations), Some(attempts)) = (self.explanations, attempts)
            && let Some(last) = explanations.borrow_mut().last_mut()
        {
            *last = Some(Explanation { hint: cx.hint(), pressure: steps, attempts: attempts.into_list() });
        }
        let (fails, unit) = self.unit(&text, output, &call.name, &verdict);
        let refers = if self.config.epochs.is_some() && verdict.replacement.is_some() {
            earlier.referred().into_boxed_slice()
        } else {
            Box::default()
        };
        let (forwarded, replacement, left_out) = match verdict.replacement {
            None => (text, None, Vec::new()),
            Some(Replacement { text, left_out }) => {
                let mut spliced = String::new();
                if is_string {
                    string::encode_into(&text, &mut spliced);
                } else {
                    spliced.push_str(&text);
                }
                (Cow::Owned(text), Some(spliced.into_boxed_str()), left_out)
            }
        };
        let left_out = (!left_out.is_empty()).then(|| {
            let said: Vec<&str> = left_out.iter().map(|it| it.description.as_str()).collect();
            let addresses = left_out.iter().map(|it| Arc::from(it.address.as_str())).collect();
            LeftOut { description: Arc::from(said.join("; ")), addresses }
        });
        let entry = Entry {
            tool: Arc::clone(&call.name),
            kind: verdict.kind,
            outcome: verdict.outcome,
            tokens_before: verdict.tokens_before,
            tokens_after: verdict.tokens_after,
            replacement,
            coded: verdict.coded,
            values: verdict.values,
            left_out,
            refers,
            fails,
            unit,
        };
        (entry, Some(forwarded), verdict.lines)
    }
}

/// The last gate, whatever the compressors do: a replacement has fewer tokens (I4), leaves nothing
/// out that the model could not get back (I5), and is not blank, which providers refuse.
fn checked(verdict: Verdict, reversible: bool) -> Verdict {
    let fits = match &verdict.replacement {
        None => true,
        Some(replacement) => {
            verdict.tokens_after < verdict.tokens_before
                && (reversible || replacement.left_out.is_empty())
                && !replacement.text.trim().is_empty()
        }
    };
    if fits {
        return verdict;
    }
    Verdict {
        outcome: BlockOutcome::Skipped(Skip::NoGain),
        replacement: None,
        tokens_after: verdict.tokens_before,
        lines: None,
        ..verdict
    }
}
