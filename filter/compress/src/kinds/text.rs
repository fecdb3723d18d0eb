//! Prose: pages, manuals, messages.
//!
//! In a document, headings and the starts of paragraphs say what a part is about. Headings, first sentences,
//! sentences that answer the question and reports of errors are kept; the rest of the paragraphs is left out,
//! the later ones first. Text that is not prose stays whole: in the output of a program that no other kind
//! fits, any line may be the one that matters.

mod blocks;
mod plan;
mod prose;

use memchr::memmem;

use super::keep::{LineSelection, counted, counted_lines, grouped};
use super::query::Query;
use super::shorten::{has_explanation, shorten_plain};
use super::signal::{self, Signal};
use super::words::words;
use crate::block::{Context, Lossy};
use crate::earlier::has_ours;
use crate::lines;
use crate::tool::Class;

/// A document with fewer sentences is read faster than a digest of it.
const FEWEST: usize = 40;

/// A line of up to this many bytes is one sentence, whatever it contains. Wrapped lines of prose are shorter,
/// unwrapped paragraphs are longer.
const ONE: usize = 200;

/// The longest heading. Bytes.
const HEADING: usize = 100;

/// Sentences kept at either end of the document.
const FIRST: usize = 8;
const LAST: usize = 4;

/// Sentences kept because they answer the question.
const ANSWERS: usize = 24;

/// The most lines of the first sentence of a paragraph.
const SENTENCE_LINES: usize = 6;

/// Commands that show a file. A reader may edit the file next, and needs its exact text.
const SHOWS_A_FILE: &[&str] = &["cat", "bat", "head", "tail", "less", "more", "nl", "sed", "awk"];

/// Shared wording is stated once only if that saves this percentage: the reader has to put the lines together
/// again.
const LEAST_SAVED: usize = 10;

/// How a form begins.
const HEAD: &str = "[headroom: nothing left out.";

/// What the explanation of a form says whose lines stand for several.
const STANDS_FOR: &str = "stands for the lines";

/// Lines by which a text is judged, and one in how many makes it structured.
const STRUCTURE_LINES: usize = 400;
const STRUCTURED: usize = 4;

/// A reader remembers at most this many wordings. A text with more is structured, and its lines belong
/// together.
const MOST_WORDINGS: usize = 8;

/// The text with repeated blocks of lines, or repeated wording, stated once; every byte can be restored. A file is shown
/// as it is: who reads one may edit it next.
pub(crate) fn lossless(text: &str, cx: &Context<'_>) -> Option<String> {
    let class = Class::of(cx.call.name);
    if matches!(class, Class::Read | Class::Edit) || shows_a_file(cx) {
        return None;
    }
    let fails = |line: &str| signal::reports_failure(line) || is_offence(line);
    let pays = |form: &String| form.len() * 100 <= text.len() * (100 - LEAST_SAVED);
    let by_block = in_blocks(text, cx.around, fails).filter(pays);
    let by_line = if is_structured(text) {
        None
    } else {
        shorten_plain(text, cx.around, fails, MOST_WORDINGS).filter(pays)
    };
    [by_block, by_line].into_iter().flatten().min_by_key(String::len)
}

/// The text with its blocks stated once, and the attributes of a plan listed. Lines that stand for others name lines by
/// their numbers, which are not to be counted in such a form.
fn in_blocks(text: &str, around: &str, fails: impl Fn(&str) -> bool) -> Option<String> {
    if has_ours(text) {
        return None;
    }
    let listed = plan::listed(text);
    // A plan's attributes save as well.
    let least_saved = if listed.is_some() { 0 } else { LEAST_SAVED };
    let blocks = blocks::form(listed.as_deref().unwrap_or(text), around, fails, least_saved);
    if blocks.is_none() && listed.is_none() || has_explanation(text) || has_explanation(around) {
        return None;
    }
    let mut form = HEAD.to_owned();
    if listed.is_some() {
        form.push_str(plan::SENTENCE);
        form.push_str(if blocks.is_some() { "." } else { "" });
    }
    let body = match blocks {
        Some(blocks) => {
            form.push_str(&blocks.sentence);
            blocks.body
        }
        None => listed?,
    };
    form.push_str("]\n");
    form.push_str(&body);
    Some(form)
}

/// Whether each line of a form stands for one of the text.
pub(crate) fn is_by_line(form: &str) -> bool {
    let stated = form.lines().next().and_then(|line| line.strip_prefix(HEAD));
    !stated.is_some_and(|stated| stated.contains(STANDS_FOR))
}

/// Whether a text is configuration, a plan or a tree, where enough lines are `key: value` or `key = value`.
/// In such a text a name and its value are read together.
fn is_structured(text: &str) -> bool {
    let (mut lines, mut pairs) = (0, 0);
    for line in text.lines().take(STRUCTURE_LINES) {
        let line = line.trim_start_matches([' ', '\t', '-', '+', '~', '|']);
        let name = line.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"_-./\"'".contains(b)).count();
        let rest = line.get(name..).unwrap_or_default().trim_start_matches(' ');
        lines += usize::from(!line.is_empty());
        pairs += usize::from(name > 0 && (rest == ":" || rest.starts_with(": ") || rest.starts_with("= ")));
    }
    pairs * STRUCTURED > lines
}

/// The length of a part of a network address, `02:42:ac:11:00:02`.
const HEXADECIMAL: usize = 2;

/// `app/a.rb:3:1: W: …`, `  12:5  warning  …`: a linter's message about a place stays as printed.
fn is_offence(line: &str) -> bool {
    let named = memchr::memchr_iter(b':', line.as_bytes()).any(|colon| {
        let name = line.get(..colon).unwrap_or_default();
        name.ends_with(|c: char| c.is_ascii_alphabetic())
            && name.rsplit([':', ' ']).next().is_some_and(|name| name.len() > HEXADECIMAL)
            && behind_place(line.get(colon + 1..).unwrap_or_default())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ' ']))
    });
    named
        || line.starts_with(' ') && behind_place(line.trim_start()).is_some_and(|rest| rest.starts_with("  "))
}

/// The text after a line and a column, `12:5`.
fn behind_place(text: &str) -> Option<&str> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let line = digits(text);
    let rest = text.get(line..)?.strip_prefix(':')?;
    let column = digits(rest);
    rest.get(column..).filter(|_| line > 0 && column > 0)
}

/// Keeps headings and first sentences, answers and errors.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    if shows_a_file(cx) {
        return None;
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<&str> = lines::split(text).collect();
    if !prose::is_prose(&lines) {
        return None;
    }
    let sentences: Vec<&str> = lines.iter().flat_map(|line| sentences(line)).collect();
    if sentences.len() < FEWEST {
        return None;
    }
    let by_line = sentences.len() == lines.len();
    let mut keep = LineSelection::generous(&sentences, cx);
    for (at, sentence) in sentences.iter().enumerate() {
        if signal::classify(sentence) == Signal::Error {
            keep.must(at);
        }
    }
    for at in (0..FIRST).chain(sentences.len() - LAST..sentences.len()) {
        keep.may(at);
    }
    for at in Query::new(cx).best(&sentences).into_iter().take(ANSWERS) {
        keep.may(at);
    }
    for at in (0..sentences.len()).filter(|&at| is_heading(&sentences, at)) {
        keep.may(at);
    }
    for at in (0..sentences.len()).filter(|&at| starts_paragraph(&sentences, at)) {
        let lines = first_sentence(&sentences, at);
        let size: usize = lines.clone().map(|at| sentences.get(at).map_or(0, |line| line.len() + 1)).sum();
        if size <= keep.left() {
            for at in lines {
                keep.may(at);
            }
        }
    }
    keep.close_small_gaps();
    let gone = |at: &usize| !keep.has(*at);
    if !(0..sentences.len()).any(|at| gone(&at)) {
        return None;
    }
    let count = |range: &mut dyn Iterator<Item = usize>| match by_line {
        true => range.count(),
        false => range.filter_map(|at| sentences.get(at)).map(|text| text.split_whitespace().count()).sum(),
    };
    // A paragraph on one line is shown in part, so a number of lines would not say how much is missing.
    let noun = if by_line { "line" } else { "word" };
    let shown = keep.render(|mut gap| match by_line {
        true => format!("… {}", counted_lines(&gap, cx)),
        false => format!("… {}", counted(count(&mut gap), noun)),
    });
    let what = format!(
        "{} of {} left out of a text; its headings and the starts of its paragraphs are shown",
        grouped(count(&mut (0..sentences.len()).filter(gone))),
        counted(count(&mut (0..sentences.len())), noun)
    );
    Some(Lossy { text: shown, left_out: what })
}

/// Whether a call's arguments are a shell command that prints a file.
fn shows_a_file(cx: &Context<'_>) -> bool {
    let arguments = cx.call.arguments;
    let shows = |(from, to)| SHOWS_A_FILE.contains(&arguments.get(from..to).unwrap_or_default());
    *cx.facts.shows_a_file.get_or_init(|| words(arguments).any(shows))
}

/// A line, or the sentences of a line that is a paragraph.
fn sentences(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = (!line.is_empty()).then_some(line);
    let mut empty = line.is_empty();
    std::iter::from_fn(move || {
        if std::mem::take(&mut empty) {
            return Some("");
        }
        let text = rest.take()?;
        let end = match text.len() {
            ..=ONE => None,
            _ => memmem::find_iter(text.as_bytes(), b". ")
                .map(|dot| dot + 1)
                .find(|&end| ends(text.get(..end).unwrap_or_default())),
        };
        let Some(end) = end else { return Some(text) };
        rest =
            Some(text.get(end..).unwrap_or_default().trim_start_matches(' ')).filter(|rest| !rest.is_empty());
        Some(text.get(..end).unwrap_or_default())
    })
}

/// Whether a dot at the end of `text` ends a sentence: not after a single letter (`e.g.`, `J. Smith`).
fn ends(text: &str) -> bool {
    let before = text.trim_end_matches('.');
    let word = before.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    word.chars().nth(1).is_some()
}

/// `# Title`, `Title` above a line of dashes, or a short line that ends with a colon.
fn is_heading(sentences: &[&str], at: usize) -> bool {
    let line = sentences.get(at).map_or("", |line| line.trim());
    if line.is_empty() || line.len() > HEADING {
        return false;
    }
    let ruled = sentences.get(at + 1).is_some_and(|next| {
        next.len() >= 3 && (next.bytes().all(|b| b == b'=') || next.bytes().all(|b| b == b'-'))
    });
    line.starts_with('#') || ruled || line.ends_with(':') && before(sentences, at).is_some_and(str::is_empty)
}

fn before<'t>(sentences: &[&'t str], at: usize) -> Option<&'t str> {
    sentences.get(at.checked_sub(1)?).copied()
}

/// The lines of the first sentence of a paragraph.
fn first_sentence(sentences: &[&str], at: usize) -> std::ops::Range<usize> {
    let lines = sentences.get(at..).unwrap_or_default().iter().take(SENTENCE_LINES);
    let open = |line: &&&str| {
        let line = line.trim_end();
        !line.is_empty() && !line.ends_with(['.', '!', '?', ':']) && !line.contains(". ")
    };
    let open = lines.clone().take_while(open).count();
    // The line that ends it, if one of these does.
    let ended = lines.clone().nth(open).is_some_and(|line| !line.trim().is_empty());
    at..at + open + usize::from(ended)
}

/// Whether the line before is blank or a heading.
fn starts_paragraph(sentences: &[&str], at: usize) -> bool {
    sentences.get(at).is_some_and(|line| !line.trim().is_empty())
        && before(sentences, at).is_none_or(|line| line.trim().is_empty() || is_heading(sentences, at - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::call::Call;
    use crate::config::Config;

    fn kept(text: &str, arguments: &str, query: &str) -> Option<Lossy> {
        let config = Config::default();
        lossy(text, &Context { call: Call { name: "fetch", arguments }, query, ..Context::of(&config) })
    }

    /// A manual, in paragraphs of one line each.
    fn page() -> String {
        const SENTENCES: [&str; 11] = [
            "A queue keeps what has not been seen yet. ",
            "When a reader is slow, everybody in front of it waits, and nobody says so. ",
            "That is on purpose. ",
            "Only the ledger knows which of the workers holds the rest, as e.g. J. Smith describes it. ",
            "Every cache forgets, sooner or later, and a good one forgets the right things first. ",
            "Ask the gateway for a fresh copy whenever you are in doubt about its age. ",
            "There is no second index! ",
            "Moves are counted once, at the place where they start, and never again behind it. ",
            "Older versions counted them twice, which led to many questions from people who compared the sums. ",
            "Does it matter? ",
            "It does, because whoever pays for the moves wants to know how many of them there were last month. ",
        ];
        (0..60)
            .map(|n| {
                let body: String = (0..3 + n % 5).map(|m| SENTENCES[(n * 3 + m * 2) % 11]).collect();
                let answer = if n == 41 { "The frobnicator_limit is 9000 there. " } else { "" };
                format!("## Part {n}\n\n{body}{answer}\n\n")
            })
            .collect()
    }

    #[test]
    fn a_document_keeps_its_headings_its_starts_and_the_answer() {
        let kept =
            kept(&page(), "{\"url\":\"https://example.com\"}", "What is the frobnicator_limit?").unwrap();
        assert!(kept.text.contains("The frobnicator_limit is 9000 there."), "{}", kept.text);
        assert!(kept.text.contains("## Part 59") && kept.text.contains(" words\n"), "{}", kept.text);
        assert!(kept.text.len() < page().len() * 3 / 4, "{}", kept.text);
        let words = counted(page().split_whitespace().count(), "word");
        assert!(kept.left_out.contains(&format!(" of {words} left out")), "{}", kept.left_out);
        let said = |line: &str| {
            let count = line.strip_prefix("… ")?.split(' ').next()?;
            count.replace(',', "").parse::<usize>().ok()
        };
        let gaps: usize = kept.text.lines().filter_map(said).sum();
        let shown: usize = kept
            .text
            .lines()
            .filter(|line| said(line).is_none())
            .map(|line| line.split_whitespace().count())
            .sum();
        assert_eq!(gaps + shown, page().split_whitespace().count());
    }

    #[test]
    fn wordings_that_lines_share_stand_once_but_not_those_of_a_linter_and_of_configuration_in_blocks_alone() {
        let config = Config::default();
        let form = |line: &dyn Fn(usize) -> String, arguments: &str| {
            let text: String = (0..40).map(|n| line(n) + "\n").collect();
            let cx = Context { call: Call { name: "Bash", arguments }, ..Context::of(&config) };
            (lossless(&text, &cx), text)
        };
        let jobs = |n: usize| {
            format!("unit number {n} of the fleet has been started at 10:22:{:02} by hand", n + 10)
        };
        let (shown, text) = form(&jobs, "{\"command\":\"./start\"}");
        let shown = shown.expect("a form");
        assert!(
            shown.contains("A: unit number * of the fleet has been started at * by hand\nA 0 10:22:10\n"),
            "{shown}"
        );
        assert!(shown.len() * 2 < text.len());
        assert_eq!(form(&jobs, "{\"command\":\"cat notes\"}").0, None);
        for line in [
            |n: usize| format!("app/models/m{n}.rb:{n}:1: W: Metrics/LineLength: Line is too long. [81/80]"),
            |n| format!("  {n}:5  warning  Unexpected console statement  no-console"),
        ] {
            assert_eq!(form(&line, "{}").0, None, "{}", line(1));
        }
        type Line = fn(usize) -> String;
        let cases: [(Line, &str); 2] = [
            (
                |n| format!("- name: web-{n}\n  memory: 256Mi"),
                "\n- name: <1>\n  memory: 256Mi\n[the output:]\nA web-0\n",
            ),
            (
                |n| format!("      + instance_type = \"t3.micro\"\n      + id = \"web-{n}\""),
                "\n      + instance_type = \"t3.micro\"\n      + id = \"<1>\"\n[the output:]\nA web-0\n",
            ),
        ];
        for (line, block) in cases {
            let shown = form(&line, "{}").0.expect("a form");
            assert!(shown.contains(block) && !is_by_line(&shown), "{shown}");
        }
    }

    #[test]
    fn a_dot_behind_a_letter_ends_no_sentence() {
        let kept = kept(&page(), "", "").unwrap();
        assert!(!kept.text.contains("\nSmith") && !kept.text.contains("\nJ."), "{}", kept.text);
    }

    #[test]
    fn a_file_that_a_command_shows_stays_whole() {
        for command in ["cat README.md", "cd docs && sed -n 1,200p guide.md"] {
            let arguments = serde_json::json!({"command": command}).to_string();
            assert!(kept(&page(), &arguments, "").is_none(), "{command}");
        }
    }

    #[test]
    fn errors_stay_wherever_they_stand() {
        let text =
            page().replacen("## Part 30\n\n", "## Part 30\n\nThe transfer was denied by the bank.\n", 1);
        let kept = kept(&text, "", "").unwrap();
        assert!(kept.text.contains("was denied by the bank"), "{}", kept.text);
    }

    proptest! {
        #[test]
        fn every_line_that_is_shown_stands_in_the_text(
            lines in prop::collection::vec("[#a-z. \u{e9}:-]{0,60}|(word. ){30,90}|", 0..120),
        ) {
            let text = lines.join("\n");
            if let Some(kept) = kept(&text, "", "word") {
                for line in kept.text.split('\n').filter(|line| !line.starts_with('…')) {
                    prop_assert!(text.contains(line), "{line:?}");
                }
            }
        }
    }
}
