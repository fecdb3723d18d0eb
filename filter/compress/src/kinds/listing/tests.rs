//! Digests of listings.

use super::*;
use crate::config::Config;

fn digest(text: &str, query: &str) -> Option<Lossy> {
    let config = Config::default();
    let cx = Context { query, ..Context::of(&config) };
    lossy(text, &cx)
}

#[test]
fn every_directory_keeps_some_entries_and_the_rest_is_counted() {
    let mut text = String::new();
    for directory in ["src", "docs", "tests"] {
        for i in 0..60 {
            let extension = if i % 10 == 0 { "md" } else { "rs" };
            text += &format!("./{directory}/file_{i}.{extension}\n");
        }
    }
    let kept = digest(&text, "where is file_41?").expect("a digest");
    for line in ["./src/file_0.md", "./docs/file_0.md", "./tests/file_0.md", "./docs/file_41.rs"] {
        assert!(kept.text.lines().any(|l| l == line), "{line} is missing in\n{}", kept.text);
    }
    let plain = digest(&text, "").expect("a digest");
    assert!(plain.text.contains("… 45 entries: 41 .rs, 4 .md"), "{}", plain.text);
    assert!(kept.left_out.contains("left out of 180"), "{}", kept.left_out);
    assert!(kept.text.len() * 2 < text.len());
}

#[test]
fn a_short_listing_has_no_digest() {
    assert!(digest("a\nb\n", "").is_none());
}
