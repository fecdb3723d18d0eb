//! What git says of changes: `git log`, also with `--format=fuller`, and `git blame`.
//!
//! A log repeats its labels, and usually one author; blame repeats a commit on each of its lines:
//!
//! ```text
//! [git log: "Author: Ann <ann@example.com>" where no other is named, "commit" and "Date:" left out, all dates in +0000, messages indented by one, one blank line above and below each left out]
//! 3b1f6c2… Mon Nov 1 15:48:30 2026
//!  subject
//! [git blame: commit, author and date once, above the lines that they hold for]
//! 3b1f6c21 (Ann Example 2026-11-01 15:48:30 +0000
//! 12) code
//! ```
//!
//! A form is used only if its inverse gives exactly the same text.

mod blame;
mod log;

pub(super) use log::starts_with_commit;

use super::sink::Comparison;
use crate::block::Context;

/// Whether a text is a log or a blame.
pub(crate) fn is_history(text: &str) -> bool {
    log::is_log(text) || blame::is_blame(text)
}

/// The short form of a log or a blame.
pub(crate) fn lossless(text: &str, cx: &Context<'_>) -> Option<String> {
    // Beside the form it would be an entry of it.
    if cx.around.lines().any(log::starts_with_commit) {
        return None;
    }
    let mut again = Comparison::with(text);
    let form = if log::is_log(text) {
        let form = log::form(text)?;
        log::text(&form, &mut again)?;
        form
    } else {
        let form = blame::form(text)?;
        blame::text(&form, &mut again)?;
        form
    };
    again.is_equal().then_some(form)
}

/// Whether a word is the id of a commit: at least as many hexadecimal digits as git shows.
fn is_commit(word: &str) -> bool {
    (7..=64).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kinds::sink::written;

    fn shown(text: &str) -> Option<String> {
        let config = crate::Config::default();
        let cx = Context { reversible: false, ..Context::of(&config) };
        lossless(text, &cx)
    }

    fn entry(hash: usize, author: &str, message: &str) -> String {
        format!(
            "commit {hash:040x}\nAuthor: {author}\nDate:   Mon Nov 1 15:48:{hash:02} 2026 +0000\n\n{message}\n"
        )
    }

    #[test]
    fn a_log_names_its_usual_author_once() {
        let text = [
            entry(1, "Ann <a@b.c>", "    one\n    \n    more\n"),
            entry(2, "Bob <b@b.c>", "    two\n"),
            entry(3, "Ann <a@b.c>", "    three\n      indented\n"),
        ]
        .concat();
        let text = text.replace("    \n", "\n");
        let text = text.trim_end_matches('\n');
        let form = shown(&format!("{text}\n")).unwrap();
        let hash = |n: usize| format!("{n:040x}");
        assert_eq!(
            form,
            format!(
                "[git log: \"Author: Ann <a@b.c>\" where no other is named, \"commit\" and \"Date:\" left out, all dates in +0000, messages indented by one, one blank line above and below each left out]\n\
                 {} Mon Nov 1 15:48:01 2026\n one\n\n more\n\
                 {} Mon Nov 1 15:48:02 2026\nAuthor: Bob <b@b.c>\n two\n\
                 {} Mon Nov 1 15:48:03 2026\n three\n   indented\n",
                hash(1),
                hash(2),
                hash(3)
            )
        );
    }

    #[test]
    fn a_log_with_more_than_messages_keeps_it_as_it_is() {
        let stat = " src/a.rs | 3 ++-\n 1 file changed, 2 insertions(+), 1 deletion(-)\n";
        let text = [1, 2, 3].map(|n| entry(n, "Ann <a@b.c>", &format!("    one\n\n{stat}"))).concat();
        let form = shown(&text).unwrap();
        assert!(
            form.starts_with(
                "[git log: \"Author: Ann <a@b.c>\" where no other is named, \"commit\" and \"Date:\" left out, all dates in +0000]\n"
            ),
            "{form}"
        );
        assert!(form.contains(&format!("\n\n    one\n\n{stat}")), "{form}");
    }

    fn full_entry(hash: usize, author: &str, committer: &str, later: usize) -> String {
        format!(
            "commit {hash:040x}\nAuthor:     {author}\nAuthorDate: Mon Nov 1 15:48:{hash:02} 2026 +0000\nCommit:     {committer}\nCommitDate: Mon Nov {} 15:49:{hash:02} 2026 +0000\n\n    part {hash}\n\n",
            1 + later
        )
    }

    #[test]
    fn a_full_log_names_its_usual_people_once_and_dates_behind_the_commit() {
        let text = [
            full_entry(1, "Ann <a@b.c>", "GitHub <noreply@github.com>", 0),
            full_entry(2, "Bob <b@b.c>", "GitHub <noreply@github.com>", 3),
            full_entry(3, "Ann <a@b.c>", "Ann <a@b.c>", 0).replace("15:49", "15:48"),
        ]
        .concat();
        let form = shown(&text).unwrap();
        let hash = |n: usize| format!("{n:040x}");
        assert_eq!(
            form,
            format!(
                "[git log: \"Author:     Ann <a@b.c>\", \"Commit:     GitHub <noreply@github.com>\" where no other is named, \"commit\" left out; AuthorDate behind the hash, then \"; \" and CommitDate where it differs, its time alone where the day is the same, all dates in +0000, messages indented by one, one blank line above and below each left out]\n\
                 {} Mon Nov 1 15:48:01 2026; 15:49:01\n part 1\n\
                 {} Mon Nov 1 15:48:02 2026; Mon Nov 4 15:49:02 2026\nAuthor:     Bob <b@b.c>\n part 2\n\
                 {} Mon Nov 1 15:48:03 2026\nCommit:     Ann <a@b.c>\n part 3\n\n",
                hash(1),
                hash(2),
                hash(3)
            )
        );
    }

    #[test]
    fn a_full_log_of_people_who_commit_themselves_says_so() {
        let text: String = [(1, "Ann <a@b.c>"), (2, "Bob <b@b.c>"), (3, "Cy <c@b.c>"), (4, "Ann <a@b.c>")]
            .map(|(hash, who)| full_entry(hash, who, who, 0))
            .concat();
        let form = shown(&text).unwrap();
        assert!(form.starts_with("[git log: \"Author:     Ann <a@b.c>\", \"Commit:\" the same as \"Author:\" where no other is named, "), "{form}");
        assert!(!form.contains("\nCommit:"), "{form}");
    }

    #[test]
    fn blame_names_a_commit_above_its_lines() {
        let line = |hash: &str, n: usize, code: &str| {
            format!("{hash} (Ann Example     2026-11-01 15:48:30 +0000 {n:3}) {code}\n")
        };
        let text: String = (98..103)
            .map(|n| line(if n == 100 { "^abcdef1" } else { "12345678" }, n, "let x = 1;"))
            .collect();
        let form = shown(&text).unwrap();
        assert!(
            form.contains("\n12345678 (Ann Example     2026-11-01 15:48:30 +0000\n98) let x = 1;\n99) let x"),
            "{form}"
        );
    }

    #[test]
    fn blame_of_the_start_of_a_file_says_how_wide_its_numbers_are() {
        let text: String =
            (1..9).map(|n| format!("12345678 (Ann 2026-11-01 15:48:30 +0000 {n:4}) let x;\n")).collect();
        let form = shown(&text).unwrap();
        assert!(form.starts_with("[git blame: commit, author and date once, above the lines that they hold for; numbers set to 4]\n12345678 (Ann 2026-11-01 15:48:30 +0000\n1) let x;\n"), "{form}");
    }

    proptest! {
        #[test]
        fn a_form_gives_back_its_text(
            parts in prop::collection::vec(prop_oneof![
                (0usize..4, "[AB]").prop_map(|(hash, author)| entry(hash, &author, "    m\n")),
                (0usize..4, "[AB]", "[AB]", 0usize..2).prop_map(|(hash, author, committer, later)| {
                    full_entry(hash, &author, &committer, later)
                }),
                Just("Commit:     C\n".to_owned()),
                Just("    more of it\n".to_owned()),
                Just("\n".to_owned()),
                Just("    \n".to_owned()),
                Just("Merge: abcdef1 abcdef2\n".to_owned()),
                Just("Author: C\n".to_owned()),
                Just("commit abcdef1 on x\n".to_owned()),
                (1usize..200, 0usize..3).prop_map(|(n, by)| format!("{by}bcdef12 (Ann 2026-11-01 15:48:30 +0000 {n:3}) x\n")),
                "[ -~]{0,20}\n",
            ], 0..14)
        ) {
            let text = parts.concat();
            if let Some(form) = shown(&text) {
                let inverse = if log::is_log(&text) { log::text } else { blame::text };
                prop_assert_eq!(written(|out| inverse(&form, out).unwrap()), text);
            }
        }
    }
}
