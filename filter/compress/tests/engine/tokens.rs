//! Token counts against `tiktoken-rs`, the reference.

use std::fs;
use std::path::{Path, PathBuf};

use headroom_compress::Encoding;
use proptest::prelude::*;

fn reference(encoding: Encoding, text: &str) -> usize {
    match encoding {
        Encoding::O200kBase => tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len(),
        Encoding::Cl100kBase => tiktoken_rs::cl100k_base_singleton().encode_ordinary(text).len(),
    }
}

fn agree(text: &str) {
    for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
        let (counted, expected) = (encoding.count(text), reference(encoding, text));
        assert_eq!(
            counted,
            expected,
            "{} of {:?}",
            encoding.name(),
            text.chars().take(200).collect::<String>()
        );
    }
}

/// Compares all strings in the JSON lines below a folder, and each line as it is.
fn agree_on_files(folder: &Path) -> usize {
    let mut texts = 0;
    let entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for path in entries {
        if path.is_dir() {
            texts += agree_on_files(&path);
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            for line in fs::read_to_string(path).unwrap().lines() {
                agree(line);
                texts += agree_on_strings(&serde_json::from_str(line).unwrap());
            }
        }
    }
    texts
}

fn agree_on_strings(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::String(text) => {
            agree(text);
            1
        }
        serde_json::Value::Array(elements) => elements.iter().map(agree_on_strings).sum(),
        serde_json::Value::Object(members) => members.values().map(agree_on_strings).sum(),
        _ => 0,
    }
}

#[test]
fn counts_agree_on_recorded_conversations() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/conversations");
    assert!(agree_on_files(&fixtures) > 1000);
}

#[test]
fn counts_agree_on_a_whole_corpus() {
    let Some(corpus) = std::env::var_os("CORPUS") else {
        eprintln!("SKIPPED: set CORPUS to the folder of a corpus to compare on all of it");
        return;
    };
    assert!(agree_on_files(Path::new(&corpus)) > 1000);
}

#[test]
fn counts_agree_where_splitting_is_delicate() {
    for text in [
        "",
        " ",
        "\n\n\n",
        "  \n  x",
        "\r\n\t\r\n",
        "I'll we'Ve DON'T it's'd",
        "\u{130}\u{131}\u{17f}'\u{17f}",
        "1234567890",
        "\u{664}\u{665}\u{666}\u{667}",
        "\u{feff}\u{200b}\u{2028}\u{85}\u{a0}x",
        "e\u{301}\u{327}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "\u{e000}\u{10ffff}\0\u{1}\u{7f}",
        "<|endoftext|><|im_start|>system<|fim_suffix|>",
        "HTTPServerError CamelCaseWord snake_case_word SCREAMING",
        "/usr//lib/../x.tar.gz://?&&==",
    ] {
        agree(text);
    }
    for character in ["a", " ", "\n", "=", "-", "0", "\u{e9}", "\u{4e2d}", "aB", "/\n", " \t"] {
        agree(&character.repeat(1000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn counts_agree_on_any_text(text: String) {
        agree(&text);
    }

    #[test]
    fn counts_agree_on_mixtures_of_scripts_marks_and_spaces(
        text in "([ \t\r\n]{0,3}|[a-zA-Z]{1,8}|[0-9]{1,5}|'(s|S|ll|VE)|\\PC|\\p{Lt}|\\p{Lm}|\\p{Mn}|\\p{No}|\\p{Zs}|[/\\\\=#*_.-]{1,6}){0,30}",
    ) {
        agree(&text);
    }
}
