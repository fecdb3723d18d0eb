//! Diffs: lossless forms restore the original, digests keep what was asked for.

use proptest::prelude::*;

use super::*;
use crate::config::Config;

fn with<T>(query: &str, f: impl FnOnce(&Context<'_>) -> T) -> T {
    let config = Config::default();
    f(&Context { query, ..Context::of(&config) })
}

fn short(text: &str) -> Option<String> {
    with("", |cx| lossless(text, cx))
}

fn restore(short: &str) -> String {
    let mut out = Vec::new();
    let mut names: Option<Names<'_>> = None;
    for line in short.strip_prefix(HEADER).expect("a header").split('\n') {
        if let Some(both) = line.strip_prefix("diff --git ") {
            names = Names::of(both);
        } else if line.starts_with("@@ -")
            && let Some(known) = names.take()
        {
            let old =
                if known.created { "--- /dev/null".to_owned() } else { format!("--- a/{}", known.path) };
            let new =
                if known.deleted { "+++ /dev/null".to_owned() } else { format!("+++ b/{}", known.path) };
            out.extend([old, new]);
        } else if line.starts_with("--- ") {
            names = None;
        } else if let Some(known) = &mut names {
            known.header(line);
        }
        out.push(line.to_owned());
    }
    out.join("\n")
}

const DIFF: &str = "diff --git a/src/a.rs b/src/a.rs\nindex 1..2 100644\n--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1,2 +1,2 @@\n x\n-a\n+b\n\
    diff --git a/new.rs b/new.rs\nnew file mode 100644\nindex 0..2\n--- /dev/null\n+++ b/new.rs\n@@ -0,0 +1 @@\n+--- a/new.rs\n\
    diff --git a/p.png b/p.png\nindex 1..2\nBinary files differ\n\
    diff --git a/old name.rs b/new name.rs\nsimilarity index 90%\n--- a/old name.rs\t\n+++ b/new name.rs\t\n@@ -1 +1 @@\n-a\n+b\n";

#[test]
fn names_are_stated_once_and_given_back() {
    let short = short(DIFF).expect("a form");
    assert_eq!(restore(&short), DIFF, "{short}");
    assert!(!short.contains("+++ b/src/a.rs"), "{short}");
    assert!(short.contains("+++ b/new name.rs"), "{short}");
}

#[test]
fn a_hunk_without_names_keeps_the_diff_as_it_is() {
    let text = format!("{DIFF}diff --git a/x b/x\n@@ -1 +1 @@\n-a\n+b\n");
    assert_eq!(short(&text), None);
}

#[test]
fn names_that_are_stated_otherwise_stay() {
    let text = format!("{DIFF}diff --git a/y b/y\n--- a/x\n--- a/y\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n");
    assert_eq!(restore(&short(&text).expect("a form")), text);
}

proptest! {
    #[test]
    fn any_lines_are_given_back(lines in prop::collection::vec(prop_oneof![
        Just("diff --git a/x b/x"), Just("diff --git a/y b/y"), Just("--- a/x"), Just("+++ b/x"), Just("+++ b/y"),
        Just("--- a/y"), Just("@@ -1 +1 @@"), Just("new file mode 1"), Just("--- /dev/null"), Just("+a"), Just(""),
    ], 0..24)) {
        let text = DIFF.to_owned() + &lines.join("\n");
        if let Some(short) = short(&text) {
            prop_assert_eq!(restore(&short), text);
        }
    }
}

fn large() -> String {
    let mut text = String::from("diff --git a/Cargo.lock b/Cargo.lock\n--- a/Cargo.lock\n+++ b/Cargo.lock\n");
    for i in 0..50 {
        text += &format!("@@ -{i},3 +{i},3 @@\n name\n-version = \"1.{i}\"\n+version = \"2.{i}\"\n end\n");
    }
    for file in ["src/a.rs", "src/b.rs"] {
        text += &format!("diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n");
        for i in 0..40 {
            text += &format!(
                "@@ -{i},9 +{i},9 @@ fn f{i}\n one line of context\n two lines of context\n three\n-    old_{i}(\"{file}\");\n+    {}_{i}(\"{file}\");\n four\n five lines of context\n six lines of context\n",
                "new".repeat(60)
            );
        }
    }
    text
}

#[test]
fn changed_lines_of_kept_hunks_stay_with_their_file() {
    let text = large();
    let kept = with("", |cx| lossy(&text, cx)).expect("a digest");
    assert!(kept.text.contains("diff --git a/src/b.rs b/src/b.rs\n--- a/src/b.rs\n"), "{}", kept.text);
    assert!(
        kept.text
            .contains("@@ -0,9 +0,9 @@ fn f0\n… 2 lines of context\n three\n-    old_0(\"src/b.rs\");\n+"),
        "{}",
        kept.text
    );
    assert!(
        kept.text.contains(
            "diff --git a/Cargo.lock b/Cargo.lock\n--- a/Cargo.lock\n+++ b/Cargo.lock\n… 50 hunks, +50 -50, 100 lines of context\n"
        ),
        "{}",
        kept.text
    );
    let (old, new) = (kept.text.matches("old_").count(), kept.text.matches("newnew").count() / 30);
    assert_eq!(old, kept.text.matches(" three\n").count());
    assert!(new >= old);
}

#[test]
fn a_hunk_that_was_asked_for_is_kept() {
    let text = large();
    let kept = with("why did old_39 change?", |cx| lossy(&text, cx)).expect("a digest");
    assert!(kept.text.contains("-    old_39(\"src/a.rs\");"), "{}", kept.text);
}
