//! Inputs that are made to be slow, through every compressor.

use super::*;
use crate::call::Call;
use crate::config::Config;
use crate::tokens::Encoding;

fn lossless(kind: Kind, text: &str, cx: &Context<'_>) -> String {
    if matches!(kind, Kind::Json | Kind::JsonLines) {
        return super::documents(text, None, cx, |_, _, _| {}).into_owned();
    }
    let shown = super::lines(kind, text, cx, |_, _, _| {});
    super::coded(kind, &shown, cx).map_or_else(|| shown.into_owned(), |form| form.text)
}

/// Inputs that are made to be slow, each of about `size` bytes.
fn hostile(size: usize) -> Vec<(&'static str, String)> {
    let lines = |line: &dyn Fn(usize) -> String| {
        let mut text = String::with_capacity(size + 100);
        let mut i = 0;
        while text.len() < size {
            text += &line(i);
            text.push('\n');
            i += 1;
        }
        text
    };
    vec![
        ("one line of words", "error 12 of x ".repeat(size / 14)),
        ("one line of one word", "a".repeat(size)),
        ("tiny lines", lines(&|i| char::from(b'a' + (i % 26) as u8).to_string())),
        ("blank lines", "\n".repeat(size)),
        ("identical lines", lines(&|_| "2024-01-01 10:00:00 ERROR the same thing failed again".to_owned())),
        ("distinct errors", lines(&|i| format!("error: {} failed", radix(i)))),
        (
            "distinct wordings",
            lines(&|i| format!("the {} of {} is {}", radix(i), radix(i * 7), radix(i * 13))),
        ),
        ("leads that change", lines(&|i| format!("2024-01-{:02} 10:00:{:02} x {i}", i % 28, i % 60))),
        ("capital letters", lines(&|i| format!("{} x", radix(i).to_uppercase()))),
        ("quotes", "\"".repeat(size)),
        ("pipes", "|".repeat(size)),
        ("pipe rows", lines(&|i| format!("| {i} | a"))),
        ("commas", lines(&|i| format!("{i},{},,", i * 7))),
        ("paths", lines(&|i| format!("a/{}/b{i}", radix(i)))),
        ("deep tree", lines(&|i| format!("{}├── {i}", "│   ".repeat(i % 300)))),
        ("diff heads", lines(&|i| format!("diff --git a/{i} b/{i}\n--- a/{i}\n+++ b/{i}\n@@ -1 +1 @@\n-a"))),
        ("hunk heads", format!("diff --git a/x b/x\n{}", lines(&|_| "@@ -1 +1 @@".to_owned()))),
        ("open tags", "<a href=\"".repeat(size / 9)),
        ("scripts", "<script>".repeat(size / 8)),
        ("aligned", format!("A   B   C\n{}", lines(&|i| format!("{:<3} {:<3} {i}", i % 9, i % 7)))),
    ]
}

fn radix(mut n: usize) -> String {
    let mut out = String::new();
    loop {
        out.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
        if n == 0 {
            return out;
        }
    }
}

const KINDS: [Kind; 7] =
    [Kind::Log, Kind::TestBuild, Kind::Diff, Kind::Listing, Kind::Table, Kind::Html, Kind::Text];

fn with<T>(f: impl FnOnce(&Context<'_>) -> T) -> T {
    let config = Config::default();
    f(&Context {
        call: Call { name: "Bash", arguments: "{\"command\": \"cat a1.log b_2.txt\"}" },
        query: "what about order_77 and src/kinds.rs?",
        encoding: Encoding::O200kBase,
        ..Context::of(&config)
    })
}

#[test]
fn hostile_inputs_are_taken_by_every_compressor() {
    with(|cx| {
        for (name, text) in hostile(60_000) {
            for kind in KINDS {
                let form = lossless(kind, &text, cx);
                assert!(form.len() <= text.len(), "{name} as {}", kind.name());
                if let Some((_, kept)) = lossy(kind, &text, cx) {
                    assert!(!kept.left_out.is_empty(), "{name} as {}", kind.name());
                }
            }
        }
    });
}
