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

#[test]
fn the_largest_the_newest_and_the_odd_rows_stay_and_the_rest_has_limits() {
    let mut text = String::from("total 4096\ndrwxr-xr-x 2 ann staff 4096 Oct  1 12:00 .\n");
    for i in 0..600 {
        let (mode, size, date, name) = match i {
            311 => ("-rw-r--r--", 99_999_999_999_u64, "Oct  3 09:00", "core.4711".to_owned()),
            402 => ("-rw-r--r--", 12, "Nov 22 11:13", "file_402.log".to_owned()),
            503 => ("-rwsr-xr-x", 500, "Oct  3 09:00", "file_503.log".to_owned()),
            _ => ("-rw-r--r--", 100 + i * 37 % 900, "Oct  3 09:00", format!("file_{i}.log")),
        };
        text += &format!("{mode} 1 ann staff {size:>12} {date} {name}\n");
    }
    let kept = digest(&text, "").expect("a digest");
    for name in ["core.4711", "file_402.log", "file_503.log"] {
        assert!(kept.text.lines().any(|line| line.ends_with(name)), "{name} is missing in\n{}", kept.text);
    }
    assert!(kept.text.contains("; size 1"), "{}", kept.text);
    assert!(kept.text.contains("; date Oct 3 09:00"), "{}", kept.text);
    assert!(kept.left_out.ends_with(" left out of 600"), "{}", kept.left_out);
    let said: usize = gaps(&kept.text);
    assert!(kept.left_out.starts_with(&format!("{said} entries: ")), "{}", kept.left_out);
}

/// The entries that the gaps of a digest count.
fn gaps(text: &str) -> usize {
    let counts = text.lines().filter_map(|line| {
        line.strip_prefix("… ")?.split(' ').next()?.replace(',', "").parse::<usize>().ok()
    });
    counts.sum()
}

#[test]
fn counts_are_of_entries_alone() {
    let mut paths = String::from(".\n");
    let mut tree = String::from("src\n");
    let mut long = String::new();
    for d in 0..4 {
        long += &format!(
            "./d{d}:\ntotal 8\ndrwxr-xr-x 2 a b 4096 Oct  1 12:00 .\ndrwxr-xr-x 2 a b 4096 Oct  1 12:00 ..\n"
        );
        for i in 0..50 {
            paths += &format!("./d{d}/file_{i}.rs\n");
            tree += &format!("├── file_{d}_{i}.rs\n");
            long += &format!("-rw-r--r-- 1 a b {i} Oct  1 12:00 file_{i}.rs\n");
        }
        long += "\n";
    }
    tree += "└── last.rs\n\n0 directories, 201 files\n";
    for (text, all) in [(paths, "200"), (tree, "201"), (long, "200")] {
        let kept = digest(&text, "").expect("a digest");
        assert!(kept.left_out.ends_with(&format!(" left out of {all}")), "{}", kept.left_out);
        let shown = kept.text.lines().filter(|line| line.contains("file_") || line.contains("last")).count();
        assert_eq!(shown + gaps(&kept.text), all.parse::<usize>().expect("a number"), "{}", kept.text);
    }
}
