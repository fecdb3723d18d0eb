//! Lines that report a failure, and the lines that belong to them: a place, a diff, a stack.

use std::ops::Range;

/// For each line, whether it stays as printed: it reports a failure, or belongs to a line that does. Lines
/// that belong to a failure are indented lines after it, lines after it for which `goes_on` holds, and, if
/// the failure itself is not indented, indented lines before it, as `go test` prints them; at most `most` on
/// either side.
pub(crate) fn with_belongings<'a>(
    failures: &[bool],
    text: impl Fn(usize) -> &'a str,
    goes_on: impl Fn(usize) -> bool,
    most: usize,
) -> Vec<bool> {
    let mut stays = failures.to_vec();
    if !failures.contains(&true) {
        return stays;
    }
    let indented = |line: usize| is_indented(text(line));
    let mut room = 0;
    for (line, (fails, stays)) in failures.iter().zip(&mut stays).enumerate() {
        room = match fails {
            true => most + 1,
            false if room > 0 && (indented(line) || goes_on(line)) => room - 1,
            false => 0,
        };
        *stays |= room > 0;
    }
    let mut room = 0;
    for (line, (fails, stays)) in failures.iter().zip(&mut stays).enumerate().rev() {
        room = match fails {
            true if !indented(line) => most + 1,
            _ if room > 0 && indented(line) => room - 1,
            _ => 0,
        };
        *stays |= room > 0;
    }
    stays
}

/// The lines among which it is decided whether one of so many stays, where nothing but indented lines belongs to a
/// failure; and those of them for which the decision holds.
pub(crate) fn surroundings<'a>(
    line: usize,
    count: usize,
    text: impl Fn(usize) -> &'a str,
) -> (Range<usize>, Range<usize>) {
    let indented = |line: &usize| is_indented(text(*line));
    if !indented(&line) {
        return (line..line + 1, line..line + 1);
    }
    let first = line - (0..line).rev().take_while(indented).count();
    let end = line + 1 + (line + 1..count).take_while(indented).count();
    (first.saturating_sub(1)..count.min(end + 1), first..end)
}

/// Whether a line lies deeper than the first column.
fn is_indented(line: &str) -> bool {
    line.starts_with([' ', '\t']) && !line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_stays_among_its_surroundings_exactly_if_it_stays_among_all(
            lines in prop::collection::vec((prop::sample::select(&["a", " b", "\tc", "", "  "][..]), prop::bool::weighted(0.2)), 1..40),
            most in 0usize..5,
        ) {
            let (texts, failures): (Vec<&str>, Vec<bool>) = lines.into_iter().unzip();
            let all = with_belongings(&failures, |line| texts[line], |_| false, most);
            for line in 0..texts.len() {
                let (among, decided) = surroundings(line, texts.len(), |line| texts[line]);
                prop_assert!(decided.contains(&line));
                let stays = with_belongings(&failures[among.clone()], |at| texts[among.start + at], |_| false, most);
                for at in decided {
                    prop_assert_eq!(stays[at - among.start], all[at], "line {} of {:?}", at, texts);
                }
            }
        }
    }

    #[test]
    fn what_is_indented_on_either_side_of_a_failure_belongs_to_it() {
        let lines = [
            "=== RUN TestA",
            "    a_test.go:3: got 1, want 2",
            "--- FAIL: TestA",
            "=== RUN TestB",
            "    b_test.go:9: a note",
            "--- PASS: TestB",
            "ERROR no connection",
            "\tat Pool.get",
            "\tat Main",
            "",
            "\tsomething else",
        ];
        let failures: Vec<bool> =
            lines.iter().map(|line| line.contains("FAIL") || line.contains("ERROR")).collect();
        let stays = with_belongings(&failures, |line| lines[line], |_| false, 9);
        let kept: Vec<usize> = (0..lines.len()).filter(|line| stays[*line]).collect();
        assert_eq!(kept, [1, 2, 6, 7, 8]);
        let stays = with_belongings(&failures, |line| lines[line], |_| false, 1);
        assert_eq!((stays[7], stays[8]), (true, false));
    }
}
