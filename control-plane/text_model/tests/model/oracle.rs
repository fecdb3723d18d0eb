//! The words that stay are the Python package's, on the same weights: two tiny models with random ones, and 200 texts.
//!
//! `oracle/make.py` has made models, texts and answers with `llmlingua` 0.2.2.

use headroom_text_model::{CompressedText, Options, TextModel, WordScore};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::folder;

fn json(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder().join(file)).unwrap()).unwrap()
}

fn text(spelled: &Value) -> String {
    match spelled {
        Value::String(text) => text.clone(),
        other => {
            let times = usize::try_from(other["times"].as_u64().unwrap()).unwrap();
            other["repeat"].as_str().unwrap().repeat(times)
        }
    }
}

fn options(of: &Value) -> Options {
    let force = of["force_tokens"].as_array().cloned().unwrap_or_default();
    let flag = |name: &str| of[name].as_bool().unwrap_or_default();
    Options {
        target_token: of["target_token"].as_u64().map(|target| usize::try_from(target).unwrap()),
        token_to_word: if of["token_to_word"] == "first" { WordScore::First } else { WordScore::Mean },
        force_tokens: force.iter().map(|token| token.as_str().unwrap().to_owned()).collect(),
        force_reserve_digit: flag("force_reserve_digit"),
        drop_consecutive: flag("drop_consecutive"),
        ..Options::of_rate(of["rate"].as_f64().unwrap_or(0.5))
    }
}

/// As `make.py` writes an answer down.
fn written(compressed: &CompressedText) -> (String, String) {
    let digit = |kept| if kept { '1' } else { '0' };
    let kept = compressed.words.iter().map(|word| digit(word.kept)).collect();
    // XLM-R's marks of a word's beginning are taken off what the package shows
    let words: Vec<&str> = compressed.words.iter().map(|word| word.text.as_str()).collect();
    let hash = Sha256::digest(words.join("\n"));
    (kept, hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Each kept span is one of the text, the spans are in order, and the answer has nothing else except blanks.
fn assert_faithful(text: &str, compressed: &CompressedText) {
    let mut rest = compressed.text.as_str();
    let mut end = 0;
    for word in compressed.words.iter().filter(|word| word.kept) {
        for span in &word.spans {
            let part = &text[span.start.max(end)..span.end.max(end)];
            end = end.max(span.end);
            rest = rest.trim_start_matches(char::is_whitespace);
            rest = rest.strip_prefix(part.trim_start()).unwrap_or_else(|| {
                panic!("{part:?} is not at the beginning of {:?}", rest.chars().take(60).collect::<String>())
            });
        }
    }
    assert!(rest.trim().is_empty() || compressed.words.is_empty(), "{rest:?}");
    assert!(compressed.text.len() <= text.len());
}

fn assert_equal_to_the_package(name: &str) {
    let model = TextModel::load(&folder().join(name), 2).unwrap();
    let texts = json("texts.json");
    let answers = json(&format!("{name}.answers.json"));
    let (cases, answers) = (texts["cases"].as_array().unwrap(), answers.as_array().unwrap());
    assert_eq!((cases.len(), answers.len()), (200, 200));
    let (mut compared, mut words, mut kept) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (number, (case, answers)) in cases.iter().zip(answers).enumerate() {
        let text = text(&case["text"]);
        for (option, expected) in case["options"].as_array().unwrap().iter().zip(answers.as_array().unwrap())
        {
            let option = &texts["options"][usize::try_from(option.as_u64().unwrap()).unwrap()];
            let mut compressed = model.compress(&text, &options(option), &|| true).unwrap();
            assert_faithful(&text, &compressed);
            if expected.get("raises").is_some() || compressed.words.is_empty() {
                // errors of the package, and texts that stay whole: it splits those differently
                continue;
            }
            if name.starts_with("xlm") {
                for word in &mut compressed.words {
                    word.text = word.text.trim_start_matches('▁').to_owned();
                }
            }
            let found = written(&compressed);
            compared += 1;
            words += compressed.words.len();
            kept += compressed.words.iter().filter(|word| word.kept).count();
            if (Some(found.0.as_str()), Some(found.1.as_str()))
                != (expected["kept"].as_str(), expected["words"].as_str())
            {
                let differs = |kept: &str| found.0.bytes().zip(kept.bytes()).filter(|(a, b)| a != b).count();
                let beginning: String = text.chars().take(60).collect();
                wrong.push(format!(
                    "text {number} {option}: {} words for {}, of which {} differ; spelled {}: {beginning:?}",
                    found.0.len(),
                    expected["kept"].as_str().unwrap_or_default().len(),
                    differs(expected["kept"].as_str().unwrap_or_default()),
                    if expected["words"] == found.1.as_str() { "alike" } else { "differently" },
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 250 && words > 30_000 && kept > 8_000, "{compared} {words} {kept}");
}

#[test]
fn a_bert_model_keeps_what_the_package_keeps() {
    assert_equal_to_the_package("bert-base-multilingual-cased");
}

#[test]
fn an_xlm_r_model_keeps_what_the_package_keeps() {
    assert_equal_to_the_package("xlm-roberta-large");
}
