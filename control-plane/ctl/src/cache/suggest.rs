//! `headroomctl cache suggest`: rules for the aligner, from lines of system prompts that changed, according to the
//! ledger.
//!
//! The file is a part of the filter's configuration with the single key `align`. Existing rules stay, because
//! removing a rule changes the prompts that it has changed before.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use headroom_api::pages::{Cache, VolatileLine};
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::figures::number;
use crate::misuse::Misuse;
use crate::running::SidecarArgs;

pub(super) const EXAMPLES: &str = "\
Reads which lines of system prompts changed between requests, and writes rules for those that hold a date, a time, an id
or a number. Nothing is changed until the file is deployed: `headroomctl up --align FILE`, or its key `align` in the
plugin configuration. Rules that are already in the file stay.

Examples:
  headroomctl cache suggest --dry-run
  headroomctl cache suggest --file /etc/headroom/align.json --min-requests 100

Exit codes: 0 written, or printed, or there is nothing to suggest; 1 nothing answers there, or the file cannot be read or
written; 2 bad options.";

/// Writes rules for the aligner.
#[derive(Args, Clone, Debug, Default)]
pub struct SuggestArgs {
    /// The file of rules [default: align.json in the configuration folder]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Only lines that changed in at least this many requests
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(i64).range(1..))]
    pub min_requests: i64,
    /// Print the file that would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: SidecarArgs,
}

/// Its name in the configuration folder.
const FILE: &str = "align.json";
/// Classes of lines that may move, the most significant first: a line may have several.
const CLASSES: [&str; 4] = ["uuid", "date", "time", "number"];
/// The same as in the filter.
const MAX_LINES: usize = 64;
/// A file of 256 rules with 64 lines each is shorter.
const MAX_BYTES: u64 = 4 << 20;

/// The file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    align: Vec<Rule>,
}

/// What is done to one system prompt.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    prompt: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    stack: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lines: Vec<Line>,
    #[serde(default, skip_serializing_if = "is_false")]
    trim: bool,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    line: u32,
    class: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Asks `/stats-cache`, and writes the rules.
pub(super) async fn suggest(args: &SuggestArgs) -> anyhow::Result<()> {
    let file = match &args.file {
        Some(file) => file.clone(),
        None => Environment::of_process()
            .config_dir()
            .map(|folder| folder.join(FILE))
            .context("there is no folder for the file: set HEADROOM_CONFIG_DIR or HOME, or give --file")
            .map_err(Misuse::of)?,
    };
    let before = read(&file)?;
    let page: Cache = args.at.running()?.page("/stats-cache", &[]).await?;
    let mut rules = before.clone();
    let mut said = add(&mut rules, &page, args.min_requests);
    let text = serde_json::to_string_pretty(&rules)? + "\n";
    if rules == before {
        said.push_str("There is no rule to add, and nothing is written.\n");
    } else if args.dry_run {
        let _ = write!(said, "With these rules {} would be:\n{text}", file.display());
    } else {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        headroom_private::write(&file, text.as_bytes())
            .with_context(|| format!("{} cannot be written", file.display()))?;
        let _ = writeln!(
            said,
            "Written to {0}. Deploy it with `headroomctl up --align {0}`, or as the key align of the plugin \
             configuration; running conversations with these prompts are then written to the cache once more.",
            file.display()
        );
    }
    stdout().write_all(said.as_bytes())?;
    Ok(())
}

/// The existing rules; none if there is no file.
fn read(file: &Path) -> anyhow::Result<Rules> {
    let failed = || format!("{} cannot be read", file.display());
    match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Rules::default()),
        found => {
            let found = found.with_context(failed)?;
            ensure!(
                found.is_file() && found.len() <= MAX_BYTES,
                "{} is not a file of at most {MAX_BYTES} bytes",
                file.display()
            );
        }
    }
    let text = std::fs::read(file).with_context(failed)?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} holds something other than rules, and is left as it is", file.display()))
}

/// Adds rules for what a page lists, and describes them.
fn add(rules: &mut Rules, page: &Cache, min_requests: i64) -> String {
    let mut said = String::new();
    let (mut rare, mut worth, mut priced) = (0, 0.0, false);
    // Writing to a String cannot fail.
    for line in &page.volatile_lines {
        let is_named = line.prompt.len() == 16 && line.prompt.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_named || line.line == 0 {
            continue;
        }
        if line.requests < min_requests {
            rare += 1;
            continue;
        }
        let has = |class: &str| line.classes.iter().any(|it| it == class);
        let class = CLASSES.into_iter().find(|class| has(class)).filter(|_| !has("listing"));
        let what = describe(line);
        let Some(class) = class else {
            let _ = writeln!(
                said,
                "{what}: it stays in its place, because only dates, times, ids and numbers are moved."
            );
            continue;
        };
        match place(rules, line, class) {
            Placement::There => {
                let _ = writeln!(said, "{what}: there is already a rule for it.");
            }
            Placement::Full => {
                let _ = writeln!(
                    said,
                    "{what}: it stays in its place, because the prompt's rule already has {MAX_LINES} lines."
                );
            }
            Placement::New => {
                let _ = writeln!(
                    said,
                    "{what}: it moves to the end of the prompt while it holds a {}.",
                    word(class)
                );
                worth += line.lost_usd.unwrap_or_default();
                priced |= line.lost_usd.is_some();
            }
        }
    }
    if rare > 0 {
        let lines = if rare == 1 { "1 line".to_owned() } else { format!("{rare} lines") };
        let _ = writeln!(said, "{lines} changed in fewer than {min_requests} requests: no rule.");
    }
    if priced {
        let _ = writeln!(
            said,
            "From {} to {} these changes cost ${worth:.2}. The new rules save at most that: the system prompt is \
             read from the cache again, but the messages behind a changed line are still written to the cache again.",
            page.since, page.until
        );
    }
    said
}

fn describe(line: &VolatileLine) -> String {
    let stack = if line.stack.is_empty() { String::new() } else { format!(" of {}", line.stack) };
    let holds = match line.classes.as_slice() {
        [] => String::new(),
        classes => {
            format!(" holds a {} and", classes.iter().map(|it| word(it)).collect::<Vec<_>>().join(", a "))
        }
    };
    let cost = line.lost_usd.map(|usd| format!(", which cost ${usd:.2}")).unwrap_or_default();
    format!(
        "Line {} of the system prompt {}{stack}{holds} had changed in {} requests{cost}",
        line.line,
        line.prompt,
        number(Some(line.requests))
    )
}

fn word(class: &str) -> &str {
    match class {
        "uuid" => "request id",
        "listing" => "listing of files",
        other => other,
    }
}

enum Placement {
    New,
    There,
    Full,
}

/// Puts a line into the rule of its prompt.
fn place(rules: &mut Rules, line: &VolatileLine, class: &str) -> Placement {
    let new = Line { line: line.line, class: class.to_owned() };
    let same = |rule: &&mut Rule| rule.prompt.eq_ignore_ascii_case(&line.prompt);
    let Some(rule) = rules.align.iter_mut().find(same) else {
        let (prompt, stack) = (line.prompt.clone(), line.stack.clone());
        rules.align.push(Rule { prompt, stack, lines: vec![new], trim: false });
        return Placement::New;
    };
    if rule.lines.iter().any(|it| it.line == new.line) {
        return Placement::There;
    }
    if rule.lines.len() >= MAX_LINES {
        return Placement::Full;
    }
    rule.lines.push(new);
    rule.lines.sort_by_key(|it| it.line);
    Placement::New
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(prompt: &str, line: u32, classes: &[&str], requests: i64) -> VolatileLine {
        VolatileLine {
            stack: "bot".to_owned(),
            prompt: prompt.to_owned(),
            line,
            classes: classes.iter().map(|it| (*it).to_owned()).collect(),
            requests,
            lost_usd: Some(1.5),
        }
    }

    const PROMPT: &str = "0123456789abcdef";

    fn page() -> Cache {
        Cache {
            since: "2026-11-22".to_owned(),
            until: "2026-11-29".to_owned(),
            volatile_lines: vec![
                line(PROMPT, 14, &["number", "date"], 212),
                line(PROMPT, 3, &["uuid"], 212),
                line(PROMPT, 20, &["listing", "date"], 99),
                line(PROMPT, 21, &[], 99),
                line(PROMPT, 22, &["time"], 2),
                line("no digest", 1, &["time"], 99),
                line("", 1, &["time"], 99),
            ],
            ..Cache::default()
        }
    }

    #[test]
    fn rules_are_for_lines_with_dates_and_the_like_that_change_often() {
        let mut rules = Rules::default();
        let said = add(&mut rules, &page(), 10);
        let line = |line, class: &str| Line { line, class: class.to_owned() };
        let lines = vec![line(3, "uuid"), line(14, "date")];
        assert_eq!(
            rules.align,
            [Rule { prompt: PROMPT.to_owned(), stack: "bot".to_owned(), lines, trim: false }]
        );
        for part in [
            "Line 14 of the system prompt 0123456789abcdef of bot holds a number, a date and had changed in 212 requests, \
             which cost $1.50: it moves to the end of the prompt while it holds a date.",
            "Line 3 of the system prompt 0123456789abcdef of bot holds a request id and had",
            "Line 20 of the system prompt 0123456789abcdef of bot holds a listing of files, a date and had changed in 99 \
             requests, which cost $1.50: it stays",
            "1 line changed in fewer than 10 requests: no rule.",
            "From 2026-11-22 to 2026-11-29 these changes cost $3.00. The new rules save at most that",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
        let again = add(&mut rules.clone(), &page(), 10);
        assert!(again.contains("there is already a rule for it") && !again.contains("save"), "{again}");
    }

    #[test]
    fn what_an_operator_has_written_stays_and_what_is_no_rule_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        assert_eq!(read(&file).unwrap(), Rules::default());
        let own =
            r#"{"align":[{"prompt":"0123456789ABCDEF","trim":true,"lines":[{"line":14,"class":"time"}]}]}"#;
        std::fs::write(&file, own).unwrap();
        let mut rules = read(&file).unwrap();
        add(&mut rules, &page(), 10);
        let [rule] = rules.align.as_slice() else { panic!("{rules:?}") };
        assert!(rule.trim);
        assert_eq!(
            rule.lines.iter().map(|it| (it.line, it.class.as_str())).collect::<Vec<_>>(),
            [(3, "uuid"), (14, "time")]
        );
        for other in ["", "[]", "{}", r#"{"align":[{"prompt":7}]}"#, r#"{"align":[],"mode":"off"}"#, "\u{0}"]
        {
            std::fs::write(&file, other).unwrap();
            assert!(format!("{:#}", read(&file).unwrap_err()).contains("is left as it is"), "{other}");
        }
        assert!(read(folder.path()).is_err());
    }

    #[test]
    fn a_rule_has_no_more_lines_than_the_filter_takes() {
        let mut rules = Rules::default();
        let volatile_lines = (1..80).map(|at| line(PROMPT, at, &["time"], 99)).collect();
        let said = add(&mut rules, &Cache { volatile_lines, ..Cache::default() }, 10);
        assert_eq!(rules.align[0].lines.len(), MAX_LINES);
        assert!(said.contains("already has 64 lines"), "{said}");
    }
}
