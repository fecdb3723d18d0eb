//! What a named field says about how something ended: a state, a flag, a count of failures, an exit code, an
//! HTTP status, or the level of a log as a number.
//!
//! Some fields are clear by themselves: `"success": false` is a failure wherever it stands. Others fail only
//! where most rows do not: a list in which half of the rows have `valid: false` is no list of failures. A
//! [`Ballot`] counts the verdicts of such fields and says in which rows they are failures.

/// How one row ended by one field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The row failed, however many others did.
    Failed,
    /// The row failed if few rows say so.
    LikelyFailed,
    Passed,
    /// The field does not hold what its name promises.
    Unclear,
    /// The field holds nothing.
    Empty,
}

/// A field whose name says that it holds an outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Field {
    sense: Sense,
    /// Whether a failure is one however many rows fail.
    clear: bool,
    /// Whether the field of a flag may hold a count instead.
    counts: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sense {
    /// A state in words, or the number of an HTTP status.
    State,
    /// A level in words or as pino and bunyan number it.
    Level,
    /// A level as Python numbers it.
    PythonLevel,
    /// A priority as syslog numbers it.
    Priority,
    /// True is good: `passed`, `ready`.
    Good,
    /// True is bad: `failed`, `missing`.
    Bad,
    /// The number with which a program ended.
    Exit,
    /// The number of an HTTP status; no word means anything here.
    Code,
}

/// A longer name is a sentence.
const LONGEST_NAME: usize = 64;

/// The ends of names that hold a state.
const STATES: &[&str] = &[
    "status",
    "state",
    "result",
    "outcome",
    "conclusion",
    "phase",
    "health",
    "verdict",
    "level",
    "severity",
    "action",
    "grade",
    "decision",
    "evaluation",
    "assessment",
    "judgement",
    "judgment",
];

/// Flags that are clear by themselves, and those that are not.
const GOOD_CLEAR: &[&str] = &["pass", "passed", "ok", "success", "succeeded", "successful"];
const GOOD: &[&str] = &[
    "passes",
    "passing",
    "valid",
    "healthy",
    "ready",
    "reachable",
    "match",
    "matches",
    "matched",
    "okay",
    "alive",
    "up",
    "online",
    "available",
    "connected",
    "synced",
    "insync",
    "synchronized",
    "reconciled",
    "converged",
    "correct",
    "compliant",
    "consistent",
    "responding",
    "found",
    "exists",
    "intact",
    "working",
    "operational",
    "verified",
    "accepted",
    "trusted",
    "authorized",
    "authenticated",
    "replicas",
];
const BAD_CLEAR: &[&str] = &["failed", "error", "errored", "crashed", "timedout"];
const BAD: &[&str] = &[
    "fail",
    "fails",
    "failing",
    "failure",
    "failures",
    "errors",
    "err",
    "missing",
    "expired",
    "timeout",
    "invalid",
    "unhealthy",
    "unreachable",
    "unavailable",
    "mismatch",
    "mismatched",
    "mismatches",
    "broken",
    "corrupt",
    "corrupted",
    "degraded",
    "killed",
    "oomkilled",
    "aborted",
    "blocked",
    "rejected",
    "denied",
    "panicked",
    "dead",
    "down",
    "lost",
    "stuck",
    "offline",
    "disconnected",
    "incorrect",
    "wrong",
    "unstable",
    "violated",
    "violation",
    "violations",
    "conflict",
    "conflicts",
    "conflicting",
    "overdue",
    "cancelled",
    "canceled",
    "outofsync",
    "drifted",
    "breached",
];

/// Flags in whose place a count may stand.
const GOOD_COUNTS: &[&str] = &["pass", "passed", "ok", "success", "healthy", "ready", "up", "alive", "valid"];
const BAD_COUNTS: &[&str] = &[
    "fail",
    "fails",
    "failed",
    "failing",
    "failure",
    "failures",
    "error",
    "errors",
    "errored",
    "err",
    "missing",
    "crashed",
    "mismatches",
    "violations",
    "conflicts",
    "unhealthy",
    "unreachable",
    "lost",
];

/// What may come after a word for failures in the name of their number: `error_count`, `failed_tests`.
const COUNTED: &[&str] = &[
    "count", "counts", "total", "num", "number", "tests", "cases", "checks", "runs", "jobs", "steps",
    "requests",
];

/// Names that end in an exit code, in one word and in two.
const EXITS: &[&str] =
    &["exit", "rc", "exitcode", "exitstatus", "exitvalue", "returncode", "retcode", "errorcode", "errno"];
const EXIT_PAIRS: &[[&str; 2]] = &[
    ["exit", "code"],
    ["exit", "status"],
    ["exit", "value"],
    ["return", "code"],
    ["ret", "code"],
    ["error", "code"],
    ["err", "code"],
];

/// Words of names that hold a bound or a share, and no outcome of their own row.
const BOUNDS: &[&str] = &[
    "max",
    "min",
    "limit",
    "threshold",
    "expected",
    "allowed",
    "rate",
    "percent",
    "pct",
    "ratio",
    "ms",
    "seconds",
    "budget",
    "retry",
    "after",
    "zip",
    "area",
    "country",
    "postal",
];

fn is_one_of(word: &str, list: &[&str]) -> bool {
    list.iter().any(|known| known.len() == word.len() && known.eq_ignore_ascii_case(word))
}

impl Field {
    /// The field of this name, if its name says that it holds an outcome.
    pub(crate) fn of(name: &str) -> Option<Self> {
        if name.len() > LONGEST_NAME {
            return None;
        }
        if name == "PRIORITY" {
            return Some(Self { sense: Sense::Priority, clear: false, counts: false });
        }
        let words: Vec<&str> = parts(name).collect();
        let last = *words.last()?;
        let before = words.len().checked_sub(2).and_then(|at| words.get(at)).copied().unwrap_or_default();
        if words.iter().any(|word| is_one_of(word, BOUNDS)) {
            return None;
        }
        let pair =
            EXIT_PAIRS.iter().any(|[a, b]| a.eq_ignore_ascii_case(before) && b.eq_ignore_ascii_case(last));
        if pair || is_one_of(last, EXITS) {
            let clear = pair || last.len() > "errno".len();
            return Some(Self { sense: Sense::Exit, clear, counts: false });
        }
        if last.eq_ignore_ascii_case("levelno") {
            return Some(Self { sense: Sense::PythonLevel, clear: false, counts: false });
        }
        if ["level", "lvl", "loglevel"].iter().any(|level| last.eq_ignore_ascii_case(level)) {
            return Some(Self { sense: Sense::Level, clear: false, counts: false });
        }
        if let Some(flag) = Self::flag(before, last) {
            return Some(flag);
        }
        let states = |state: &&str| {
            let from = last.len().checked_sub(state.len());
            from.and_then(|from| last.get(from..)).is_some_and(|end| end.eq_ignore_ascii_case(state))
        };
        let sense = match () {
            () if states(&"code") => Sense::Code,
            () if STATES.iter().any(states) => Sense::State,
            () => return None,
        };
        let clear = is_one_of(&words.concat(), &["status", "statuscode", "httpstatus", "httpstatuscode"]);
        Some(Self { sense, clear, counts: false })
    }

    fn flag(before: &str, last: &str) -> Option<Self> {
        let joined = format!("{before}{last}");
        let bare = |word: &'_ str| -> String {
            let start = ["is", "are", "was", "has"].iter().find(|start| {
                word.len() > start.len() + 1
                    && word.get(..start.len()).is_some_and(|s| s.eq_ignore_ascii_case(start))
            });
            start.and_then(|start| word.get(start.len()..)).unwrap_or(word).to_ascii_lowercase()
        };
        let counted = is_one_of(last, COUNTED) && is_one_of(before, BAD_COUNTS);
        if counted {
            return Some(Self { sense: Sense::Bad, clear: false, counts: true });
        }
        let negated = is_one_of(before, &["not", "non", "isnt", "no"]);
        for word in [joined.to_ascii_lowercase(), last.to_ascii_lowercase(), bare(last)] {
            let of = |list: &[&str]| list.contains(&word.as_str());
            let (good, bad) = (of(GOOD_CLEAR) || of(GOOD), of(BAD_CLEAR) || of(BAD));
            if good || bad {
                let sense = if good == negated { Sense::Bad } else { Sense::Good };
                let clear = !negated && (of(GOOD_CLEAR) || of(BAD_CLEAR));
                let counts = !negated && (of(GOOD_COUNTS) || of(BAD_COUNTS));
                return Some(Self { sense, clear, counts });
            }
        }
        None
    }

    /// What the field says when it holds this value. Flags and numbers may be spelled as text.
    pub(crate) fn verdict(self, value: &str) -> Verdict {
        let value = value.trim().trim_matches('"');
        if is_empty(value) {
            return Verdict::Empty;
        }
        let failed = |is: bool, clear: bool| match (is, clear) {
            (false, _) => Verdict::Passed,
            (true, false) => Verdict::LikelyFailed,
            (true, true) => Verdict::Failed,
        };
        let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
        let whole = number.filter(|number| number.fract() == 0.0);
        match self.sense {
            Sense::State => match number {
                Some(status) => http(status, self.clear),
                None => state(value),
            },
            Sense::Code => number.map_or(Verdict::Unclear, |status| http(status, self.clear)),
            Sense::Level => match number {
                Some(level) if PINO.contains(&level) => failed(level >= 50.0, false),
                Some(_) => Verdict::Unclear,
                None => state(value),
            },
            Sense::PythonLevel => match number {
                Some(level) if PINO.contains(&level) => failed(level >= 40.0, false),
                _ => Verdict::Unclear,
            },
            Sense::Priority => match whole {
                Some(priority) if (0.0..=7.0).contains(&priority) => failed(priority <= 3.0, false),
                _ => Verdict::Unclear,
            },
            Sense::Exit => match whole {
                Some(0.0) => Verdict::Passed,
                Some(code) if self.clear || code <= 255.0 => failed(true, self.clear),
                _ => Verdict::Unclear,
            },
            Sense::Good | Sense::Bad => {
                let good = self.sense == Sense::Good;
                if let Some(flag) = flag(value) {
                    return failed(flag != good, self.clear);
                }
                if let Some(count) = whole {
                    return match count {
                        0.0 | 1.0 => failed((count > 0.0) != good, false),
                        _ if self.counts && count > 0.0 => failed(!good, false),
                        _ => Verdict::Unclear,
                    };
                }
                if let Some((some, all)) = share(value) {
                    return failed(good && some < all || !good && some > 0.0, false);
                }
                match state(value) {
                    Verdict::Passed => Verdict::Unclear,
                    verdict => verdict,
                }
            }
        }
    }
}

/// The levels of pino, bunyan, and Python's logging.
const PINO: [f64; 6] = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0];

fn is_empty(value: &str) -> bool {
    value.is_empty() || is_one_of(value, &["null", "none", "-", "n/a", "nan", "<none>"])
}

fn flag(value: &str) -> Option<bool> {
    match () {
        () if is_one_of(value, &["true", "yes", "t", "y", "on", "✓", "✔", "✅"]) => Some(true),
        () if is_one_of(value, &["false", "no", "f", "n", "off", "✗", "✘", "✕", "✖", "❌"]) => {
            Some(false)
        }
        () => None,
    }
}

/// `1/2`: some of all.
pub(crate) fn share(value: &str) -> Option<(f64, f64)> {
    let (some, all) = value.split_once('/')?;
    let number = |text: &str| {
        let plain = !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().ok())?
    };
    Some((number(some)?, number(all)?))
}

/// What a number says as an HTTP status. Where the name alone does not say that it is one, statuses that no
/// server sends are none.
fn http(status: f64, clear: bool) -> Verdict {
    let whole = status.fract() == 0.0;
    match status {
        _ if whole && (400.0..600.0).contains(&status) => {
            if clear {
                Verdict::Failed
            } else {
                Verdict::LikelyFailed
            }
        }
        _ if whole
            && [100.0..=103.0, 200.0..=226.0, 300.0..=308.0].iter().any(|known| known.contains(&status)) =>
        {
            Verdict::Passed
        }
        _ => Verdict::Unclear,
    }
}

/// Words that mean failure in a field for a state.
const BAD_STATES: &[&str] = &[
    "fail",
    "failed",
    "failing",
    "failure",
    "error",
    "errored",
    "err",
    "fatal",
    "crashed",
    "crash",
    "down",
    "dead",
    "unhealthy",
    "rejected",
    "denied",
    "refused",
    "declined",
    "timeout",
    "timed",
    "aborted",
    "killed",
    "oomkilled",
    "oom",
    "evicted",
    "broken",
    "corrupt",
    "corrupted",
    "unreachable",
    "panicked",
    "nok",
    "ko",
    "critical",
    "incorrect",
    "wrong",
    "invalid",
    "unstable",
    "degraded",
    "unavailable",
    "mismatch",
    "unschedulable",
    "undeliverable",
    "bounced",
    "backoff",
    "impaired",
    "faulted",
    "unavail",
    "❌",
    "✗",
    "✘",
    "✕",
    "✖",
];

/// Words that mean failure where few rows have them, and are ordinary otherwise.
const LIKELY_STATES: &[&str] = &[
    "blocked",
    "cancelled",
    "canceled",
    "exited",
    "restarting",
    "rollback",
    "expired",
    "missing",
    "lost",
    "offline",
    "disconnected",
    "suspended",
    "stalled",
    "stuck",
    "stale",
    "overdue",
    "unknown",
    "abandoned",
    "interrupted",
    "preempted",
    "deadline",
    "disputed",
    "quarantined",
    "violated",
    "drifted",
    "terminating",
    "insufficient",
    "chargeback",
    "fraud",
];

/// Whole texts that mean failure where few rows have them.
const LIKELY_TEXTS: &[&str] = &["bad", "red", "ng", "🔴"];

/// Words that mean failure together.
const BAD_PAIRS: &[[&str; 2]] = &[
    ["action", "required"],
    ["changes", "requested"],
    ["past", "due"],
    ["of", "memory"],
    ["of", "sync"],
    ["rolled", "back"],
];

/// Longer texts are no states.
const LONGEST_STATE: usize = 48;

/// Whether a text means failure as a state: `FAILED`, `timed_out`, `build-error`, `Up 3 days (unhealthy)`.
pub(crate) fn is_bad_state(text: &str) -> bool {
    state(text) == Verdict::Failed
}

fn state(text: &str) -> Verdict {
    if text.len() > LONGEST_STATE {
        return Verdict::Unclear;
    }
    if flag(text) == Some(false) || is_one_of(text, LIKELY_TEXTS) {
        return Verdict::LikelyFailed;
    }
    let mut verdict = Verdict::Passed;
    let mut before = "";
    let mut words = parts(text).peekable();
    while let Some(word) = words.next() {
        let none = is_one_of(before, &["0", "no", "without", "not"]);
        let backoff = word.len() > 7
            && word.get(word.len() - 7..).is_some_and(|end| end.eq_ignore_ascii_case("backoff"))
            || before.eq_ignore_ascii_case("back") && word.eq_ignore_ascii_case("off");
        let pair =
            BAD_PAIRS.iter().any(|[a, b]| a.eq_ignore_ascii_case(before) && b.eq_ignore_ascii_case(word));
        let not = before.eq_ignore_ascii_case("not");
        if !none && is_one_of(word, BAD_STATES) || backoff || not && is_one_of(word, GOOD_CLEAR) {
            return Verdict::Failed;
        }
        let not_good = not && is_one_of(word, GOOD);
        // A container that was stopped exits with 0.
        let stopped = word.eq_ignore_ascii_case("exited") && words.peek() == Some(&"0");
        if not_good || !none && !stopped && (pair || is_one_of(word, LIKELY_STATES)) {
            verdict = Verdict::LikelyFailed;
        }
        before = word;
    }
    verdict
}

/// The words of a name or of a state: `timed_out` and `timedOut` have two.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || !b.is_ascii());
    let is_upper = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_uppercase);
    let is_lower = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_lowercase);
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !is_word(at) {
            at += 1;
        }
        let from = at;
        while is_word(at) {
            at += 1;
            if is_upper(at) && (is_lower(at - 1) || is_upper(at - 1) && is_lower(at + 1)) {
                break;
            }
        }
        text.get(from..at).filter(|word| !word.is_empty())
    })
}

/// The verdicts of fields that are failures only where few rows have them.
#[derive(Debug, Default)]
pub(crate) struct Ballot {
    fields: Vec<Tally>,
    /// A row, its field, and the kind of what the row reports.
    failed: Vec<(usize, usize, u64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    failed: usize,
    /// The last row that was counted.
    last: Option<usize>,
    passed: usize,
    unclear: usize,
}

/// A field's failures are failures if at most one row in this many has one.
const RARE: usize = 3;

/// And if at most one value in this many is not what the name of the field promises.
const UNCLEAR: usize = 10;

impl Ballot {
    /// Counts what a field of a row says. Rows come in their order.
    pub(crate) fn count(&mut self, row: usize, field: usize, verdict: Verdict, kind: impl FnOnce() -> u64) {
        if self.fields.len() <= field {
            self.fields.resize(field + 1, Tally::default());
        }
        let Some(tally) = self.fields.get_mut(field) else { return };
        match verdict {
            Verdict::Passed => tally.passed += 1,
            Verdict::Unclear => tally.unclear += 1,
            Verdict::LikelyFailed if tally.last != Some(row) => {
                tally.failed += 1;
                tally.last = Some(row);
                self.failed.push((row, field, kind()));
            }
            Verdict::LikelyFailed | Verdict::Failed | Verdict::Empty => {}
        }
    }

    /// The rows that failed, of so many, and the kind of what each reports.
    pub(crate) fn failed(&self, rows: usize) -> impl Iterator<Item = (usize, u64)> {
        let counts = move |field: usize| {
            self.fields.get(field).is_some_and(|tally| {
                let values = tally.failed + tally.passed + tally.unclear;
                tally.failed * RARE <= rows && tally.unclear * UNCLEAR <= values
            })
        };
        self.failed.iter().filter(move |(_, field, _)| counts(*field)).map(|&(row, _, kind)| (row, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(name: &str, value: &str) -> Option<Verdict> {
        Field::of(name).map(|field| field.verdict(value))
    }

    #[test]
    fn fields_are_known_by_the_end_of_their_names() {
        for (name, value) in [
            ("passed", "false"),
            ("isValid", "false"),
            ("isvalid", "False"),
            ("is_healthy", "no"),
            ("containerReady", "false"),
            ("ready", "1/2"),
            ("ok", "0"),
            ("timedOut", "true"),
            ("timed_out", "yes"),
            ("cert_expired", "true"),
            ("not_ready", "true"),
            ("failures", "1"),
            ("num_failed", "3"),
            ("errorCount", "2"),
            ("failed_tests", "4"),
            ("exit", "1"),
            ("rc", "2"),
            ("lastExitCode", "-9"),
            ("returncode", "137"),
            ("http_code", "500"),
            ("responseStatus", "503"),
            ("level", "50"),
            ("levelno", "40"),
            ("PRIORITY", "3"),
            ("status", "KO"),
            ("state", "Exited(1)"),
            ("state", "OUT_OF_MEMORY"),
            ("node.status", "NotReady"),
            ("STATUS", "ErrImagePull"),
            ("STATUS", "Exited (137) 10 hours ago"),
            ("STATUS", "Restarting (1) 30 seconds ago"),
            ("STATUS", "Up 13 days (unhealthy)"),
            ("conclusion", "action_required"),
            ("grade", "incorrect"),
            ("passed", "fail"),
        ] {
            let said = verdict(name, value);
            assert!(
                matches!(said, Some(Verdict::Failed | Verdict::LikelyFailed)),
                "{name} {value}: {said:?}"
            );
        }
    }

    #[test]
    fn what_ended_well_and_what_is_no_outcome_did_not_fail() {
        for (name, value) in [
            ("passed", "true"),
            ("ready", "2/2"),
            ("invalid", "false"),
            ("not_found", "false"),
            ("failures", "0"),
            ("exit_code", "0"),
            ("status", "200"),
            ("status", "ok"),
            ("status", "0 failed"),
            ("status", "Exited (0) 3 hours ago"),
            ("level", "30"),
            ("error", "null"),
            ("timeout", "30"),
            ("max_errors", "10"),
            ("error_rate", "1"),
            ("expected_status", "404"),
            ("zip_code", "450"),
            ("code", "7"),
            ("exit", "12.75"),
            ("token", "false"),
            ("notebook", "false"),
            ("name", "failed"),
            ("downloads", "5"),
        ] {
            let said = verdict(name, value);
            assert!(
                !matches!(said, Some(Verdict::Failed | Verdict::LikelyFailed)),
                "{name} {value}: {said:?}"
            );
        }
    }

    #[test]
    fn a_field_that_often_fails_or_holds_something_else_reports_nothing() {
        let failed = |values: &dyn Fn(usize) -> &'static str, name: &str| {
            let field = Field::of(name).unwrap();
            let mut ballot = Ballot::default();
            for row in 0..30 {
                ballot.count(row, 2, field.verdict(values(row)), || 7);
            }
            ballot.failed(30).count()
        };
        assert_eq!(failed(&|row| if row % 3 == 0 { "false" } else { "true" }, "valid"), 10);
        assert_eq!(failed(&|row| if row % 2 == 0 { "false" } else { "true" }, "valid"), 0);
        assert_eq!(failed(&|row| if row == 4 { "404" } else { "200" }, "code"), 1);
        assert_eq!(failed(&|row| if row == 4 { "404" } else { "901" }, "code"), 0, "these are no statuses");
    }
}
