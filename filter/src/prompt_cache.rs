//! The configuration's part about the provider's prompt cache: breakpoints for clients that set none, and the
//! rules of the aligner.
//!
//! An aligner rule that cannot be read completely is left out: its prompt leaves as it came.

use headroom_providers::align::Rule;
use headroom_providers::cache_edits::Lifetime;
use headroom_providers::prompt::{Class, digest_of_name};

use crate::lenient::Reader;

/// The values of `breakpoints`.
pub(crate) const BREAKPOINTS: &[(&str, Option<Lifetime>)] =
    &[("off", None), ("5m", Some(Lifetime::FiveMinutes)), ("1h", Some(Lifetime::OneHour))];

/// The value of `breakpoints` if the configured one cannot be read.
pub(crate) const NO_BREAKPOINTS: (Option<Lifetime>, &str) = (None, "no breakpoints are set");

/// The values of a rule's `align`.
pub(crate) const ALIGN: &[(&str, bool)] = &[("on", true), ("off", false)];

/// The most rules that are checked for each request.
const MAX_RULES: usize = 256;
/// The most lines of a rule: a quarter of the lines of a prompt that records hold.
const MAX_LINES: usize = 64;
const MAX_LINE: u32 = 10_000;

const LEFT_OUT: &str = "the rule is left out";

/// Reads `align`.
pub(crate) fn align_rules(reader: &mut Reader) -> Vec<Rule> {
    let mut rules = Vec::new();
    for mut section in reader.sections("align") {
        let rule = rule(&mut section);
        reader.close(section);
        if rules.len() == MAX_RULES && rule.is_some() {
            reader.refuse("align", "expected at most 256 rules", LEFT_OUT);
            continue;
        }
        rules.extend(rule);
    }
    rules
}

fn rule(section: &mut Reader) -> Option<Rule> {
    let name = section.text("prompt");
    let prompt = digest_of_name(&name);
    if prompt.is_none() {
        section.refuse("prompt", &format!("expected 16 hexadecimal digits, found {name:?}"), LEFT_OUT);
    }
    // For people: which client sends the prompt.
    section.text("stack");
    let trim = section.flag("trim", false);
    let mut lines = Vec::new();
    let mut is_sound = true;
    for line in section.guarded_sections("lines", LEFT_OUT) {
        let Some(mut line) = line else {
            is_sound = false;
            continue;
        };
        let number = line.required_number("line", 1..=MAX_LINE, LEFT_OUT);
        let class = line.required_one_of("class", &Class::NAMES, LEFT_OUT);
        is_sound &= !line.refuse_unknown_keys(LEFT_OUT);
        section.close(line);
        match number.zip(class) {
            Some(line) => lines.push(line),
            None => is_sound = false,
        }
    }
    if lines.len() > MAX_LINES {
        section.refuse("lines", "expected at most 64", LEFT_OUT);
        is_sound = false;
    }
    if lines.is_empty() && !trim && is_sound {
        section.refuse("lines", "expected a line, or trim, found neither", LEFT_OUT);
        is_sound = false;
    }
    is_sound &= !section.refuse_unknown_keys(LEFT_OUT);
    prompt.filter(|_| is_sound).map(|prompt| Rule { prompt, lines, trim })
}
