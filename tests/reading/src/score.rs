//! Scores answers: errors by kind and arm.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use headroom_compress::excerpt::{PAGE_BYTES, Part, excerpt};
use serde::{Deserialize, Serialize};

use crate::arm::{Arm, ShownDocument, shown};
use crate::document::{Document, Question};
use crate::question::Key;

/// An answer of a reader.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The question's id.
    pub question: String,
    /// The arm that the reader saw.
    pub arm: Arm,
    /// The reader's answer.
    pub answer: String,
    /// The reader: a model's name, or a kind of person.
    pub reader: String,
}

/// The score of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Worth {
    /// Correct.
    Right,
    /// The reader asks for what was left out, and gets a text with the answer.
    Asked,
    /// Anything else.
    Wrong,
}

/// Reads a file of answers.
pub fn read(text: &str) -> Result<Vec<Answer>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).with_context(|| format!("not an answer: {line}"))).collect()
}

/// The score of an answer, given the text of its arm.
pub fn worth(document: &Document, question: &Question, answer: &str, shown: &ShownDocument) -> Result<Worth> {
    let key = question.ask.key(&document.original)?;
    if key.is(answer) {
        return Ok(Worth::Right);
    }
    let Some((original, page)) = retrieved(answer, shown) else { return Ok(Worth::Wrong) };
    let holds = match &key {
        Key::Call { hash, line } => {
            let right = answer.contains(&**hash) && page.contains(&**line);
            return Ok(if right { Worth::Right } else { Worth::Wrong });
        }
        // A count cannot be searched for; it needs the whole original.
        _ if question.ask.derived => page.len() == original.len() || page.len() * 2 > PAGE_BYTES,
        Key::Text(text) => page.contains(&**text),
        Key::Set(texts) => texts.iter().all(|text| page.contains(&**text)),
    };
    Ok(if holds { Worth::Asked } else { Worth::Wrong })
}

/// The original that `retrieve HASH lines A-B`, `… rows A-B`, `… words WORDS` or `retrieve HASH` asks for, and the
/// returned text.
fn retrieved<'s>(answer: &str, shown: &'s ShownDocument) -> Option<(&'s str, String)> {
    let rest = answer.trim().strip_prefix("retrieve ")?.trim_start();
    let (hash, part) = rest.split_once(' ').unwrap_or((rest, ""));
    let (_, original) = shown.left_out.iter().find(|(address, _)| address == hash)?;
    let range = |range: &str| {
        let range = range.trim();
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
    };
    let part = match part.trim().split_once(' ') {
        None if part.trim().is_empty() => Part::Whole,
        Some(("lines" | "line", lines)) => range(lines).map(|(from, to)| Part::Lines(from, to))?,
        Some(("rows" | "row", rows)) => range(rows).map(|(from, to)| Part::Rows(from, to))?,
        Some(("words", words)) => Part::Query(words),
        _ => return None,
    };
    Some((original, excerpt(original, None, part, PAGE_BYTES).text.into_owned()))
}

/// Counts for a kind in an arm, for one reader.
#[derive(Clone, Copy, Default)]
struct Row {
    right: usize,
    asked: usize,
    wrong: usize,
}

/// The report over all answers, and the number of faults of forms: wrong in an arm, right with the original.
pub fn report(documents: &[Document], answers: &[Answer]) -> Result<(String, usize)> {
    let mut rows: BTreeMap<(Arm, &str), Row> = BTreeMap::new();
    let mut errors = Vec::new();
    let mut right_over_original = BTreeSet::new();
    let mut answered: BTreeMap<(Arm, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut arms = BTreeMap::new();
    for document in documents {
        for arm in Arm::ALL.into_iter().filter(|arm| arm.has(document)) {
            arms.insert((document.name, arm), shown(document, arm)?);
        }
    }
    for answer in answers {
        let (name, _) = answer.question.split_once('/').context("a question is NAME/NUMBER")?;
        let document = documents.iter().find(|document| document.name == name);
        let document = document.with_context(|| format!("no document {name}"))?;
        let question = document.questions.iter().find(|question| question.id == answer.question);
        let question = question.with_context(|| format!("no question {}", answer.question))?;
        let once = answered.entry((answer.arm, &answer.reader)).or_default().insert(&question.id);
        ensure!(once, "{} is answered twice by {} in {}", question.id, answer.reader, answer.arm.name());
        let seen = arms
            .get(&(document.name, answer.arm))
            .with_context(|| format!("{} is not in {}", document.name, answer.arm.name()))?;
        ensure!(seen.asks(question), "{} asks for a marker", question.id);
        let worth = worth(document, question, &answer.answer, seen)?;
        for kind in [document.kind, "all"] {
            let row = rows.entry((answer.arm, kind)).or_default();
            match worth {
                Worth::Right => row.right += 1,
                Worth::Asked => row.asked += 1,
                Worth::Wrong => row.wrong += 1,
            }
        }
        match worth {
            Worth::Wrong => errors.push((answer, question.ask.key(&document.original)?)),
            _ if answer.arm == Arm::Original => {
                right_over_original.insert(&*question.id);
            }
            _ => {}
        }
    }
    let mut text = String::from("arm        kind          answers  right  asked  wrong\n");
    for ((arm, kind), row) in &rows {
        let Row { right, asked, wrong } = row;
        let all = right + asked + wrong;
        writeln!(text, "{:10} {kind:13} {all:7} {right:6} {asked:6} {wrong:6}", arm.name())?;
    }
    let mut faults = 0;
    for (answer, key) in &errors {
        let fault = answer.arm != Arm::Original && right_over_original.contains(&*answer.question);
        faults += usize::from(fault);
        let note = if fault { "; right over the original: a fault of the form" } else { "" };
        let key = serde_json::to_string(key)?;
        let Answer { question, arm, answer, reader } = answer;
        writeln!(text, "wrong: {question} {} by {reader}: {answer:?}, but {key}{note}", arm.name())?;
    }
    for ((arm, reader), questions) in &answered {
        let asked = documents.iter().filter_map(|document| {
            let seen = arms.get(&(document.name, *arm))?;
            Some(document.questions.iter().filter(|question| seen.asks(question)).count())
        });
        let all: usize = asked.sum();
        writeln!(text, "{reader} answered {} of {all} in {}", questions.len(), arm.name())?;
    }
    Ok((text, faults))
}
