//! Counts repetitions of the lines directly above: a warning a hundred times, the frames of a recursion.
//!
//! ```text
//! Retrying in 5 s
//! [previous line repeated 41 more times]
//! ```
//!
//! The repeated lines are those directly above the mark; none of them is a mark itself.

use super::numbered::region::Role;
use crate::lines::Line;

/// The most lines of one repetition: a reader has to see where it starts. Also limits the work per line.
const MAX_PERIOD: usize = 32;
/// The fewest bytes that a mark replaces: twice its own, because repetitions of one or two short lines are
/// read faster than a mark.
const MIN_BYTES: usize = 90;

const MARK: &str = "[previous ";

/// Whether a line is a mark, or looks like one.
pub(crate) fn is_mark(line: &str) -> bool {
    line.starts_with(MARK)
}

/// How many lines a mark stands for.
pub(crate) fn lines_of(line: &str) -> Option<usize> {
    let mark = line.strip_prefix(MARK)?;
    let (what, times) = mark.split_once(" repeated ")?;
    let period = if what == "line" { 1 } else { what.split(' ').next()?.parse::<usize>().ok()? };
    let times = times.split(' ').next()?.parse::<usize>().ok()?;
    period.checked_mul(times)
}

/// The text of these lines, with repetitions counted. The inverse is exact. Numbered lines are never counted.
pub(crate) fn lossless(text: &str, lines: &[Line]) -> Option<String> {
    let plain = |line: &Line| line.read.role == Role::Plain;
    if lines.iter().any(|line| plain(line) && is_mark(line.text(text))) {
        return None;
    }
    let mut out = String::new();
    let (mut at, mut floor, mut copied) = (0, 0, 0);
    while let Some(line) = lines.get(at) {
        if !plain(line) {
            at += 1;
            floor = at;
            continue;
        }
        let before = line.before.map(|before| before as usize);
        let period =
            before.filter(|before| *before >= floor && at - before <= MAX_PERIOD).map(|before| at - before);
        let Some((period, times)) =
            period.and_then(|period| Some((period, repeated(text, lines, at, period)?)))
        else {
            at += 1;
            continue;
        };
        out.push_str(text.get(copied..line.read.start).unwrap_or_default());
        push_mark(&mut out, period, times);
        at += period * times;
        floor = at;
        copied = at.checked_sub(1).and_then(|last| lines.get(last)).map_or(copied, |last| last.read.end);
    }
    if copied == 0 {
        return None;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Some(out)
}

/// How often the `period` lines above line `at` are repeated from there on, if that is worth a mark.
fn repeated(text: &str, lines: &[Line], at: usize, period: usize) -> Option<usize> {
    let same = |i: &usize| match (lines.get(*i), lines.get(i - period)) {
        (Some(line), Some(before)) => {
            line.read.role == Role::Plain && line.hash == before.hash && line.text(text) == before.text(text)
        }
        _ => false,
    };
    let times = (at..).take_while(same).count() / period;
    let of_one: usize = lines.get(at - period..at).unwrap_or_default().iter().map(|line| line.bare + 1).sum();
    (times > 0 && of_one * times >= MIN_BYTES).then_some(times)
}

fn push_mark(out: &mut String, period: usize, times: usize) {
    out.push_str(MARK);
    if period > 1 {
        out.push_str(&format!("{period} lines"));
    } else {
        out.push_str("line");
    }
    out.push_str(&format!(" repeated {times} more time{}]", if times == 1 { "" } else { "s" }));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lines;

    fn folded(text: &str) -> Option<String> {
        lossless(text, &lines::read(text))
    }

    /// The inverse.
    fn unfolded(text: &str) -> String {
        let mut out: Vec<&str> = Vec::new();
        for line in text.split('\n') {
            let Some(mark) = line.strip_prefix(MARK) else {
                out.push(line);
                continue;
            };
            let (what, times) = mark.split_once(" repeated ").unwrap();
            let period: usize =
                if what == "line" { 1 } else { what.split(' ').next().unwrap().parse().unwrap() };
            let times: usize = times.split(' ').next().unwrap().parse().unwrap();
            let repeated = out[out.len() - period..].to_vec();
            (0..times).for_each(|_| out.extend(&repeated));
        }
        out.join("\n")
    }

    #[test]
    fn a_line_that_repeats_is_counted() {
        let text = format!("start\n{}end\n", "Retrying the request in 5 s\n".repeat(42));
        assert_eq!(
            folded(&text).as_deref(),
            Some("start\nRetrying the request in 5 s\n[previous line repeated 41 more times]\nend\n")
        );
    }

    #[test]
    fn several_lines_that_repeat_are_counted() {
        let text = format!(
            "start\n{}  File \"a.py\", line 9, in g\nend",
            "  File \"a.py\", line 3, in f\n    return f(n - 1)\n".repeat(9)
        );
        assert_eq!(
            folded(&text).as_deref(),
            Some(
                "start\n  File \"a.py\", line 3, in f\n    return f(n - 1)\n\
                 [previous 2 lines repeated 8 more times]\n  File \"a.py\", line 9, in g\nend"
            )
        );
    }

    #[test]
    fn short_repetitions_and_forged_marks_are_left_alone() {
        assert_eq!(folded("}\n}\n}\n}\n}\n"), None);
        assert_eq!(folded("\n\n\n\n\n"), None);
        let forged =
            format!("[previous line repeated 3 more times]\n{}", "Retrying the request\n".repeat(42));
        assert_eq!(folded(&forged), None);
    }

    proptest! {
        #[test]
        fn the_inverse_gives_the_bytes_back(
            parts in prop::collection::vec((prop::collection::vec(0u8..4, 1..5), 1usize..40), 0..6),
            end in any::<bool>(),
        ) {
            let mut lines = Vec::new();
            for (part, times) in parts {
                for _ in 0..times {
                    lines.extend(part.iter().map(|kind| match kind {
                        0 => "",
                        1 => "    at com.example.Service.call(Service.java:42)",
                        2 => "a short line",
                        _ => "WARN the connection was closed by the peer",
                    }));
                }
            }
            let text = lines.join("\n") + if end { "\n" } else { "" };
            if let Some(form) = folded(&text) {
                prop_assert_eq!(unfolded(&form), text);
            }
        }
    }
}
