use proptest::prelude::*;

use super::*;
use crate::call::Call;
use crate::config::Config;

fn shown(text: &str, language: Language, near: &str) -> Option<Lossy> {
    let (config, near) = (Config::default(), [near.into()]);
    let cx = Context {
        call: Call { name: "Read", arguments: "" },
        near: &near,
        code: Some(language),
        ..Context::of(&config)
    };
    lossy(text, language, &cx)
}

/// Many statements.
fn statements(line: &str) -> String {
    (0..12).map(|n| line.replace('#', &n.to_string())).collect()
}

#[test]
fn a_body_goes_and_its_signature_and_what_fails_stay() {
    let go = format!(
        "package a\n\nfunc Load(path string) error {{\n{}\tif path == \"\" {{\n\t\treturn fmt.Errorf(\"no path\")\n\t}}\n\treturn nil\n}}\n",
        statements("\ta# := value(path)\n")
    );
    let kept = shown(&go, Language::Go, "").unwrap();
    assert_eq!(
        kept.text,
        "package a\n\nfunc Load(path string) error {\n\t// lines 4-15 left out\n\tif path == \"\" {\n\t\treturn fmt.Errorf(\"no path\")\n\t}\n\treturn nil\n}\n"
    );
    assert_eq!(kept.left_out, "12 of 20 lines left out, of the body of 1 function, where it says so");
    assert!(shown(&go, Language::Go, "What does Load do?").is_none(), "it is named");
    assert!(shown(&go.replace("a3 :=", "lastValue :="), Language::Go, "Where is lastValue set?").is_none());
}

#[test]
fn python_keeps_the_first_line_of_a_docstring_and_a_statement() {
    let python = format!(
        "class A:\n    def load(self, path):\n        \"\"\"Loads a path.\n\n        It does so in many more words than\n        anybody reads who\n        looks for a signature, and says nothing\n        that the name would not.\n        \"\"\"\n{}        raise ValueError(path)\n",
        statements("        a# = value(path)\n")
    );
    let kept = shown(&python, Language::Python, "").unwrap();
    assert_eq!(
        kept.text,
        "class A:\n    def load(self, path):\n        \"\"\"Loads a path.\n        [lines 4-8 left out]\n        \"\"\"\n        ...  # lines 10-21 left out\n        raise ValueError(path)\n"
    );
}

#[test]
fn numbers_of_lines_stay_true_and_carriage_returns_where_they_were() {
    let file = format!("fn load() {{\r\n{}}}\r\n// end", statements("    a#(\"some more text\");\r\n"));
    let lines = file.split('\n').zip(1..).map(|(line, number)| format!("{number:6}→{line}"));
    let kept = shown(&lines.collect::<Vec<_>>().join("\n"), Language::Rust, "").unwrap();
    assert_eq!(
        kept.text,
        "     1→fn load() {\r\n     2→    // lines 2-13 left out\r\n    14→}\r\n    15→// end"
    );
}

#[test]
fn a_part_of_a_file_and_what_is_not_understood_stay_whole() {
    let part: String = (5..60).map(|number| format!("{number:6}→    a{number}();\n")).collect();
    assert!(shown(&part, Language::Go, "").is_none());
    for text in [
        "",
        "func a( {\n}",
        "fn a() { \"",
        "\u{0}",
        "}",
        "def a(:\n    \"\"\"",
        "{{{{{{",
        "`${`${",
        "<a><b>{",
    ] {
        let long = format!("{text}\n{}", statements("    a#();\n"));
        for language in ALL {
            let _ = shown(&long, language, "");
        }
        assert!(shown(text, Language::Go, "").is_none(), "{text}");
    }
}

#[test]
fn a_label_that_stands_for_lines_is_told_from_a_comment() {
    for line in ["  // lines 4-15 left out", "...  # lines 1-2 left out", "\t[lines 3-9 left out]"] {
        assert!(is_gap(line), "{line}");
    }
    for line in
        ["// lines left out", "// lines 4-15 left in", "lines 4-15 left out", "// lines 9-3 left out", "//"]
    {
        assert!(!is_gap(line), "{line}");
    }
}

const ALL: [Language; 9] = [
    Language::Python,
    Language::JavaScript,
    Language::TypeScript,
    Language::Tsx,
    Language::Go,
    Language::Rust,
    Language::Java,
    Language::C,
    Language::Cpp,
];

/// Fragments of all languages, in any order.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "\"",
        "'",
        "`",
        "${",
        "/*",
        "*/",
        "//",
        "#",
        "\n",
        "\n    ",
        "\n\t",
        "\\",
        "=> ",
        "-> ",
        "fn a",
        "func b",
        "function c",
        "class D",
        "def e():",
        "if x",
        "else ",
        "for (",
        "<a>",
        "</a>",
        "<b/>",
        "r#\"",
        "\"#",
        "R\"x(",
        ")x\"",
        "\"\"\"",
        "f'{",
        ": ",
        ";",
        ",",
        "= ",
        "throw ",
        "raise ",
        "@x",
        "#if A",
        "#endif",
        "'a",
        "b'",
        "é",
        "enum F",
        "x",
        "1'0",
        "0x1f",
        "/",
        "return ",
        "async ",
        "\r\n",
        "nonlocal z",
        "case y:",
    ]);
    prop::collection::vec(fragment, 0..200).prop_map(|fragments| fragments.concat())
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic_and_every_line_that_is_shown_is_the_files(text in fragments()) {
        for language in ALL {
            if let Some(kept) = shown(&text, language, "") {
                let lines: Vec<&str> = text.lines().collect();
                let mut at = 0;
                for line in kept.text.lines() {
                    if is_gap(line) {
                        continue;
                    }
                    let found = lines[at..].iter().position(|other| *other == line);
                    prop_assert!(found.is_some(), "{line:?}");
                    at += found.unwrap_or_default() + 1;
                }
            }
        }
    }
}
