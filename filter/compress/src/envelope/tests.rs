//! Each text is found as it was put in, and nothing but the texts changes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn texts(value: &str) -> Vec<(String, String)> {
    let envelope = Envelope::read(value);
    let texts = envelope.iter().flat_map(|envelope| envelope.texts());
    texts.map(|text| (text.path.clone().unwrap_or_else(|| "-".to_owned()), text.text.to_string())).collect()
}

fn lines(n: usize) -> String {
    (0..n).map(|n| format!("line {n} of \"this\" it's\tso\\\n")).collect()
}

#[test]
fn texts_are_found_in_every_envelope_with_their_place() {
    let long = lines(9);
    let found =
        |value: &str, path: &str| assert_eq!(texts(value), [(path.to_owned(), long.clone())], "{value}");
    let json = Value::from(long.as_str()).to_string();
    found(&json, "");
    found(&json!({"stdout": long, "exitCode": 0}).to_string(), "stdout");
    found(&format!("  {}\n", json!({"stdout": long})), "stdout");
    found(&serde_json::to_string_pretty(&json!({"ok": true, "output": long})).unwrap(), "output");
    found(&json!({"content": [{"type": "text", "text": long}]}).to_string(), "content[0].text");
    found(&json!([{"query": "ls", "result": long, "success": true}]).to_string(), "[0].result");
    found(&json!({"a key": {"b": long}}).to_string(), "-");
    found(&json!({"a": {long.clone(): 1, "b": long}}).to_string(), "a.b");
    let python = {
        let mut out = String::new();
        python::encode_into(&long, None, &mut out);
        out
    };
    found(&python, "");
    found(&format!("{{'output': {python}, 'returncode': 0, 'ok': True, 'f': -1.5e+3}}"), "output");
    found(&format!("{{'returncode': 0, 'inner': {{'a': ['x', ['y'], {python}]}}, 'z': None}}"), "inner.a[2]");
    found(&format!("[TextContent(type='text', text={python}, annotations=None)]"), "[0].text");
    found(&format!("content={python} name='ls' tool_call_id='call_1'"), "content");
    found(&format!("CallToolResult(meta=None, content=[('a', {python})], isError=False)"), "content[0]");
}

#[test]
fn lines_of_json_have_texts_without_a_place() {
    let value = format!("{}\n{}\n", json!({"a": lines(5)}), json!({"b": [lines(6)]}));
    assert_eq!(texts(&value), [("-".to_owned(), lines(5)), ("-".to_owned(), lines(6))]);
}

#[test]
fn what_is_no_envelope_has_no_texts() {
    let long = lines(9);
    let json = Value::from(long.as_str()).to_string();
    for text in [
        String::new(),
        "{".to_owned(),
        "{}".to_owned(),
        "\"short\"".to_owned(),
        long.clone(),
        format!("{{\"a\": {json}"),
        format!("{{\"a\": {json}}}}}"),
        format!("see {json}"),
        format!("x = {json};"),
        format!("{{'a': b{json}}}"),
        format!("{{'a': {json}\n}}"),
        format!("f({json} && g)"),
        format!("{{'a': '{}\\q'}}", "x\\n".repeat(200)),
        format!("{{'a': '{}\\ud800'}}", "x\\n".repeat(200)),
        format!("{{'a': '{}", "x\\n".repeat(200)),
        format!("{{\"a\": \"{}\\ud800\"}}", "x\\n".repeat(200)),
        "(".repeat(100_000) + &")".repeat(100_000),
        format!("('{}", "\\".repeat(100_001)),
    ] {
        assert_eq!(texts(&text), [], "{}", &text[..text.len().min(200)]);
    }
}

#[test]
fn json_with_numbers_that_are_none_keeps_its_quotes() {
    let value =
        r#"{"mean": NaN, "out": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nb"}"#;
    let envelope = Envelope::read(value).unwrap();
    assert_eq!(
        envelope.with(&[Some("it's \"b\"".to_owned())]).unwrap(),
        r#"{"mean": NaN, "out": "it's \"b\""}"#
    );
}

#[test]
fn an_original_is_found_by_its_address_wherever_it_stands() {
    let long = lines(9);
    let inner = json!({"log": long}).to_string();
    let block = format!("<output>\n{}\n</output>", json!({"content": [{"text": inner}], "stderr": lines(8)}));
    for text in [&long, &inner, &lines(8)] {
        assert_eq!(inner_text(&block, &ccr::address(text)).as_ref(), Some(text));
    }
    assert_eq!(inner_text(&block, &ccr::address("another")), None);
    // What a terminal does not show stands before the values, at every level.
    let coloured = |value: Value| format!("\x1b[0m{value}");
    let (middle, outer) = (coloured(json!({"a": coloured(json!({"log": long}))})), lines(8));
    let block = coloured(json!({"content": [{"text": middle}], "stderr": outer}));
    for text in [&long, &middle, &outer] {
        assert_eq!(inner_text(&block, &ccr::address(text)).as_ref(), Some(text));
    }
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z \"'\\\\\n\t{}\\[\\]:,é\u{1F600}\u{7f}]{0,12}",
        "([a-z \"'\\\\{}é]{0,40}\n){3,12}",
        any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text.prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z \"'\n]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A way to spell a value.
type Spell = fn(&Value) -> String;

/// The value as Python prints it.
fn python(value: &Value) -> String {
    let quoted = |text: &str| {
        let mut out = String::new();
        python::encode_into(text, None, &mut out);
        out
    };
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(key, value)| format!("{}: {}", quoted(key), python(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// The texts of a value in order, each replaced by the result of `to`.
fn replaced(value: &mut Value, found: &mut Vec<String>, to: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) if is_text(text) => {
            found.push(text.clone());
            *text = to(text);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replaced(item, found, to)),
        Value::Object(members) => members.values_mut().for_each(|item| replaced(item, found, to)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn only_texts_change_and_they_become_what_was_asked(value in value(), mark in "[a-z\"'\n\\\\é]{0,8}") {
        // What Python has printed in double quotes stays in them, so its replacement needs them, too.
        let to = |text: &str| match text.contains('\'') && !text.contains('"') {
            true => format!("'{}", text.len()),
            false => format!("{mark}{}", text.len()),
        };
        let mut expected = value.clone();
        let mut found = Vec::new();
        replaced(&mut expected, &mut found, &to);
        let spellings: [(String, Spell); 3] = [
            (value.to_string(), |value| value.to_string()),
            (serde_json::to_string_pretty(&value).unwrap(), |value| serde_json::to_string_pretty(value).unwrap()),
            (python(&value), python),
        ];
        for (text, spell) in spellings {
            let Some(envelope) = Envelope::read(&text) else {
                let scalar = !matches!(value, Value::Array(_) | Value::Object(_) | Value::String(_));
                // A tuple or a list that starts with a number is taken for a sentence.
                let sentence = text.starts_with(['[', '(']) && text[1..].starts_with(|c: char| c.is_ascii_digit() || c == '-');
                let bare = text.starts_with("[None") || text.starts_with("[True") || text.starts_with("[False");
                let empty = text.starts_with("[]") || text.starts_with("{}") || text.starts_with("[[]") || text.starts_with("[{}");
                prop_assert!(found.is_empty() || scalar || sentence || bare || empty, "{text}");
                continue;
            };
            let read: Vec<_> = envelope.texts().iter().map(|inner| inner.text.to_string()).collect();
            prop_assert_eq!(&read, &found);
            let replacements: Vec<_> = read.iter().map(|text| Some(to(text))).collect();
            prop_assert_eq!(envelope.with(&replacements).unwrap(), spell(&expected));
            let kept = vec![None; read.len()];
            prop_assert_eq!(envelope.with(&kept), None);
        }
    }

    #[test]
    fn any_text_is_survived(text in prop_oneof![any::<String>(), "[\\[\\](){}'\"a=:,\\\\n ]{0,200}"]) {
        if let Some(envelope) = Envelope::read(&text) {
            let same: Vec<_> = envelope.texts().iter().map(|inner| Some(inner.text.to_string())).collect();
            let again = envelope.with(&same).unwrap();
            let read = Envelope::read(&again).unwrap();
            let again: Vec<_> = read.texts().iter().map(|inner| Some(inner.text.to_string())).collect();
            prop_assert_eq!(again, same);
        }
    }
}
