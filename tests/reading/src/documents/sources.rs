//! Whole source files, of which `code_aware` leaves out bodies of functions.

use anyhow::{Context as _, Result, ensure};

use crate::arm::CODE_AWARE;
use crate::document::{Document, Original};
use crate::question::{Ask, Key, after, all as every, before, count, line_number};

const LEDGER: &str = include_str!("../../sources/ledger.py");
const LEASES: &str = include_str!("../../sources/leases.go");
const FRAMES: &str = include_str!("../../sources/frames.rs");
const SESSIONS: &str = include_str!("../../sources/sessions.ts");

/// The length of a body, in lines, from which a part of it is left out.
const LONG_BODY: usize = 8;

/// A file in the output of a tool that numbers lines.
fn read(name: &'static str, path: &str, source: &str, mark: char) -> Document {
    let arguments = serde_json::json!({ "file_path": path }).to_string();
    let text = source.lines().zip(1..).map(|(line, number)| format!("{number:>6}{mark}{line}\n")).collect();
    Document::new(name, CODE_AWARE, Original::of_outputs([("Read", &arguments, text)]))
}

/// A line without its number.
fn content(line: &str) -> &str {
    let numbered = line.split_once(['→', '\t']);
    numbered.filter(|(number, _)| number.trim().parse::<usize>().is_ok()).map_or(line, |(_, content)| content)
}

/// The place of the only line with the head of a function, from 0, and the lines of its body.
fn body<'t>(text: &'t str, head: &str) -> Result<(usize, Vec<&'t str>)> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().map(content).collect();
    let mut heads = lines.iter().enumerate().filter(|(_, line)| line.contains(head));
    let (at, line) = heads.next().with_context(|| format!("no line has {head}"))?;
    ensure!(heads.next().is_none(), "more than one line has {head}");
    let inside =
        lines.iter().skip(at + 1).take_while(|inside| inside.is_empty() || indent(inside) > indent(line));
    let mut body: Vec<&str> = inside.copied().collect();
    while body.last().is_some_and(|line| line.is_empty()) {
        body.pop();
    }
    Ok((at, body))
}

/// The number of the line with the brace that closes a function.
fn closes(head: &'static str) -> Ask {
    Ask::by(move |text| {
        let (at, body) = body(text, head)?;
        Ok(Key::Text((at + body.len() + 2).to_string()))
    })
    .derived()
}

/// The text between two marks, in parts.
fn parts(from: &'static str, to: &'static str, part: impl Fn(&str) -> Vec<String> + 'static) -> Ask {
    Ask::by(move |text| {
        let (_, rest) = text.split_once(from).with_context(|| format!("nothing has {from}"))?;
        let (inside, _) = rest.split_once(to).with_context(|| format!("no {to} behind {from}"))?;
        Ok(Key::Set(part(inside)))
    })
}

/// The name after a mark, in every line that has it.
fn names(mark: &'static str) -> Ask {
    every(&[mark], move |line| {
        let (_, rest) = line.split_once(mark)?;
        Some(rest.split(['(', ' ']).next()?.to_owned())
    })
}

impl Document {
    /// With the question whether all of a function is shown, for arms that leave something out.
    fn ask_for_body(self, name: &str, head: &'static str) -> Self {
        let text = format!("Is anything of the body of {name} left out of what you see? (yes or no)");
        let ask = Ask::by(move |text| {
            let long = body(text, head)?.1.len() >= LONG_BODY;
            Ok(Key::Text(if long { "yes" } else { "no" }.to_owned()))
        });
        self.ask_of_marker(&text, ask.derived())
    }
}

fn python() -> Document {
    read("source-python", "/srv/shop/ledger.py", LEDGER, '→')
        .ask(
            "On which line of the file does close_month begin (its def)?",
            before(&["def close_month("], "→"),
        )
        .ask(
            "On which line of the file does write_summary begin (its def)?",
            before(&["def write_summary("], "→"),
        )
        .ask("Which value has MOST_OPEN_ENTRIES?", after(&["MOST_OPEN_ENTRIES ="], "= ", ""))
        .ask(
            "Which encoding does read_bank_file take by default?",
            after(&["def read_bank_file("], "str = ", ")"),
        )
        .ask(
            "What does turnover return (the type, as its signature has it)?",
            after(&["def turnover("], "-> ", ":"),
        )
        .ask(
            "Which parameter of close_month is keyword-only (its name)?",
            after(&["def close_month("], "*, ", ":"),
        )
        .ask(
            "Which message has the error that post raises where both accounts are the same?",
            after(&["an entry needs"], "LedgerError(\"", "\""),
        )
        .ask(
            "Which exception does post raise where the month is closed?",
            after(&["%Y-%m} is closed"], "raise ", "("),
        )
        .ask("Which methods does Ledger have (names)?", names("→    def "))
        .ask(
            "To how many characters does reconcile cut the text of a row that it reports?",
            after(&["text[:"], "text[:", "]"),
        )
        .ask("Which format number does write_summary write?", after(&["\"format\":"], "\"format\": ", ","))
        .ask("How many lines does the file have?", count(&["→"]))
        .ask_for_body("balance", "def balance(")
        .ask_for_body("reconcile", "def reconcile(")
        .ask_for_line(146)
}

fn go() -> Document {
    read("source-go", "/srv/jobs/leases.go", LEASES, '→')
        .ask("On which line of the file does Sweep begin (its func)?", before(&[") Sweep("], "→"))
        .ask("On which line of the file does Replay begin (its func)?", before(&[") Replay("], "→"))
        .ask("On which line of the file does Take end (its closing brace)?", closes(") Take("))
        .ask("Which value has defaultTerm, as it is written?", after(&["defaultTerm   ="], "= ", ""))
        .ask("Which value has journalMark?", after(&["journalMark   ="], "= ", ""))
        .ask(
            "Which results does Finish have, as its signature writes them (names and types, without parentheses)?",
            after(&[") Finish("], ") (", ")"),
        )
        .ask("Which type has the parameter term of Take?", after(&[") Take("], "term ", ")"))
        .ask(
            "Which message has the error that Put returns where a job's name has a blank?",
            after(&["without blanks"], "New(\"", "\""),
        )
        .ask(
            "Which message has the error that Replay returns where the file does not begin with the mark?",
            after(&["no journal"], "New(\"", "\""),
        )
        .ask("Which methods does Broker have (names)?", names("func (b *Broker) "))
        .ask(
            "How many jobs that were given up does Finish keep at most?",
            after(&["if len(b.dead) >"], "> ", " "),
        )
        .ask(
            "Put warns of a queue whose depth is a multiple of a number. Of which?",
            after(&["if depth%"], "depth%", " "),
        )
        .ask("How many lines does the file have?", count(&["→"]))
        .ask_for_body("New", "func New(")
        .ask_for_body("Extend", ") Extend(")
        .ask_for_line(197)
}

fn rust() -> Document {
    Document::of_command("source-rust", CODE_AWARE, "cat src/frames.rs", FRAMES.to_owned())
        .ask("On which line of the file does digest begin (its fn)?", line_number(&["pub fn digest("]))
        .ask("On which line of the file does packed begin (its fn)?", line_number(&["pub fn packed("]))
        .ask("On which line of the file does checksum end (its closing brace)?", closes("pub fn checksum("))
        .ask("Which value has MOST_PAYLOAD, as it is written?", after(&["pub const MOST_PAYLOAD"], "= ", ";"))
        .ask("Which value has POLYNOMIAL?", after(&["const POLYNOMIAL"], "= ", ";"))
        .ask(
            "What does next_frame return (the type, as its signature has it)?",
            after(&["fn next_frame("], "-> ", "{"),
        )
        .ask(
            "Which type has the parameter threshold of digest?",
            after(&["pub fn digest("], "threshold: ", ")"),
        )
        .ask(
            "Which variant of FrameError does packed return where the payload is too long (its name alone)?",
            after(&["TooLong(payload"], "FrameError::", "("),
        )
        .ask(
            "Under which condition, as it is written, does next_frame return FrameError::Checksum?",
            after(&["if found !="], "if ", "{"),
        )
        .ask(
            "Which variants does Reading have (names)?",
            parts("pub enum Reading {\n", "\n}", |variants| {
                let name = |line: &str| line.trim().split([' ', '(']).next().unwrap_or_default().to_owned();
                variants.lines().map(name).collect()
            }),
        )
        .ask("With which value does the sum begin in checksum?", after(&["let mut sum: u16"], "= ", ";"))
        .ask("How many bytes does next_frame read at once at most?", after(&["let mut chunk"], "[0; ", "]"))
        .ask("How many lines does the file have?", count(&[]))
        .ask_for_body("unsigned (of Fields)", "fn unsigned(")
        .ask_for_body("reading", "pub fn reading(")
        .ask_for_line(162)
}

fn typescript() -> Document {
    read("source-typescript", "/srv/web/sessions.ts", SESSIONS, '\t')
        .ask("On which line of the file does endOthers begin?", before(&["async endOthers("], "\t"))
        .ask("On which line of the file does refuse begin?", before(&["export function refuse("], "\t"))
        .ask(
            "On which line of the file does begin, the method of Sessions, end (its closing brace)?",
            closes("async begin("),
        )
        .ask(
            "On which line of the file is the SessionError with the code expired thrown?",
            before(&["the session has ended"], "\t"),
        )
        .ask("Which value has MOST_SESSIONS?", after(&["const MOST_SESSIONS"], "= ", ";"))
        .ask("Which value has COOKIE_VERSION?", after(&["const COOKIE_VERSION"], "= ", ";"))
        .ask(
            "With which status does begin refuse where every session of the user is protected?",
            after(&["is protected"], "SessionError(", ","),
        )
        .ask(
            "Which message has the SessionError with the code forged?",
            after(&["\"forged\", \""], "\"forged\", \"", "\""),
        )
        .ask("What does note, the method of Throttle, return (the type)?", after(&[" note(user"], "): ", "{"))
        .ask(
            "How many attempts does endOthers make by default?",
            after(&["async endOthers("], "attempts = ", ")"),
        )
        .ask(
            "Which scopes are there?",
            parts("export type Scope = ", ";", |scopes| {
                scopes.split('|').map(|scope| scope.trim().trim_matches('"').to_owned()).collect()
            }),
        )
        .ask(
            "To how many characters does begin cut the label of a device?",
            after(&["device?.replace"], "slice(0, ", ")"),
        )
        .ask(
            "Which value of retry does refuse answer with where the code is crowded?",
            after(&["=== \"crowded\""], "? ", " "),
        )
        .ask("How many lines does the file have?", count(&["\t"]))
        .ask_for_body("backoff", "export function backoff(")
        .ask_for_body("refuse", "export function refuse(")
        .ask_for_line(186)
}

pub(super) fn all() -> Vec<Document> {
    vec![python(), go(), rust(), typescript()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::{Arm, shown};

    /// The facts about bodies come from the originals; this compares them with the form.
    #[test]
    fn long_bodies_lack_lines_and_short_ones_do_not() {
        let bodies = [
            [(python(), "def balance(", false), (python(), "def reconcile(", true)],
            [(go(), "func New(", false), (go(), ") Extend(", true)],
            [(rust(), "fn unsigned(", false), (rust(), "pub fn reading(", true)],
            [
                (typescript(), "export function backoff(", false),
                (typescript(), "export function refuse(", true),
            ],
        ];
        for (document, head, long) in bodies.into_iter().flatten() {
            let form = shown(&document, Arm::CodeAware).unwrap().outputs.remove(0);
            let (_, lines) = body(document.original.outputs()[0].text(), head).unwrap();
            let lacks = lines.iter().any(|line| !form.contains(line.trim()));
            assert_eq!(lacks, long, "{head} of {}", document.name);
            assert_eq!(lines.len() >= LONG_BODY, long, "{head} of {}", document.name);
        }
    }

    #[test]
    fn the_files_are_cut_by_code_aware_and_by_nothing_else() {
        for document in all() {
            let tokens = |arm| shown(&document, arm).unwrap().tokens;
            let (before, after) = tokens(Arm::CodeAware);
            assert!(before > 1_500, "{}: {before}", document.name);
            assert!(after * 4 <= before * 3, "{}: {before} -> {after}", document.name);
            assert!(shown(&document, Arm::Default).unwrap().left_out.is_empty(), "{}", document.name);
        }
    }
}
