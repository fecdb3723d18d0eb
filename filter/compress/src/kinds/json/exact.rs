//! Lossless means lossless: the inverse restores every value exactly.

use proptest::prelude::*;

use super::inverse::{Value, documents};
use super::parse::Tree;
use super::{find, minify, notation};
use crate::tokens::Encoding;

/// The minified form and the notation of a text.
fn both(text: &str) -> (String, String) {
    let found = find(text).unwrap_or_else(|| panic!("not JSON: {text}"));
    let notation = notation::documents(&found.tree, Encoding::default());
    (found.within(minify::documents(&found.tree).text), found.within(notation))
}

fn values(text: &str) -> Vec<Value> {
    let tree = Tree::read(text).unwrap();
    assert_eq!(text[tree.text.len()..].trim(), "", "{text}");
    tree.roots.iter().map(|&root| Value::of(&tree, root)).collect()
}

fn assert_exact(text: &str) -> String {
    let (minified, notation) = both(text);
    let expected = values(text);
    assert_eq!(values(&minified), expected, "{minified}");
    assert_eq!(documents(&notation), expected, "{text}\n{notation}");
    notation
}

#[test]
fn rows_keep_types_blanks_and_odd_strings_apart() {
    for text in [
        r#"[{"a":1,"b":"1"},{"a":1.0,"b":"1.0"},{"a":-0,"b":"-0"},{"a":1e5,"b":"1e5"}]"#,
        r#"[{"a":null,"b":"null"},{"b":"~"},{"a":"","b":"true"},{"a":true,"b":null}]"#,
        r#"[{"a":null},{"a":null},{"a":1}]"#,
        r#"[{"a":1,"b":null},{"a":2},{"a":3,"b":null},{"a":4,"b":null}]"#,
        r#"[{"a":1,"b":"x, y"},{"a":2,"b":"line\nend"},{"a":3,"b":" blank "},{"a":4,"b":"\"q\""}]"#,
        r#"[{"a":"$1"},{"a":"$json{}"},{"a":"!x"},{"a":"@x"},{"a":"(a)"},{"a":"a)"},{"a":"a(b,c)"}]"#,
        r#"[{"a":12345678901234567890123},{"a":1.10},{"a":1E+2},{"a":0.1e-9}]"#,
        r#"[{"a":1,"b":2},{"b":2,"a":1},{"a":3,"b":4},{"a":5,"b":6}]"#,
        r#"[{"a":1,"a":2},{"a":3},{"a":4},{"a":5},{"a":6}]"#,
        r#"[{"a":"\ud800","b":1},{"a":"\ud83d\ude00","b":2},{"a":"\u0041","b":3}]"#,
        r#"[{"\ud800":1,"b":1},{"\ud800":2,"b":2}]"#,
        r#"[{"a,b":1,"c:d":2,"":3},{"a,b":1,"c:d":4,"":5}]"#,
        r#"[{"a":{"x":1,"y":null}},{"a":null},{"a":{"x":2}},{"a":{"x":3,"z":[{"q":1},{"q":2}]}}]"#,
        r#"[{"a":{"x":1,"y":2}},{"a":{"x":2,"y":3}},{"a":{"x":3,"y":3}}]"#,
        r#"[{"a":[]},{"a":[1]},{"a":[{"b":1},{"b":2}]},{"a":[{"b":1},5,null]}]"#,
        r#"[[{"a":1},{"a":2}],[{"a":3}],[]]"#,
        r#"{"x":{"a":1,"b":2},"y":{"a":1,"b":3},"z":{"b":4},"1":{"a":1,"b":5}}"#,
        r#"{"x":{"id":"x","n":1},"y":{"id":"y","n":1},"z":{"id":"z","n":2}}"#,
        r#"{"x":{"id":"x","key":1},"y":{"id":"y","key":1},"z":{"id":"z","key":2}}"#,
        r#"{"x":1,"y":{"a":1},"z":{"a":2},"w":{"a":2},"v":{"a":4},"u":{"a":4}}"#,
        r#"{"3 rows":1,"a":["3 rows: a","b"],"":{},"b":[]}"#,
        r#"[{},{},{"a":1},{"a":1},{"a":1}]"#,
        r#"[{"a":"*","b":"<a>"},{"a":"*","b":"<a>"},{"a":"*","b":"<a>"}]"#,
        r#"[{"a":"x*y","b":"p<q"},{"a":"x*y","b":"p<q"}]"#,
        r#"{"a":"{\"b\":1,\"c\":[true,null]}","d":"{\"b\": 1, \"c\": [true]}","e":"{\n  \"b\": 1\n}","f":"{ \"b\":1 }"}"#,
        r#"{"a":"{\"b\":\"{\\\"c\\\":\\\"{}\\\",\\\"d\\\":[1,2,3]}\"}"}"#,
        "{\"a\":1}\n{\"a\":2}\n{\"a\":3,\"b\":null}\n",
        "{\"a\":1}\n[2]\n{\"c\":[{\"x\":1},{\"x\":2}]}\n",
        "{\"a\":\"\u{7f}\u{0}\u{2028}é\u{1F600}\"}".replace('\u{0}', "\\u0000").as_str(),
    ] {
        assert_exact(text);
    }
}

#[test]
fn columns_that_others_give_away_have_no_cells() {
    let rows: Vec<String> = (7..12)
        .map(|n| {
            format!(
                r#"{{"id":{n},"url":"https://api.example/repos/rex/pets/{n}","tags":"https://api.example/repos/rex/pets/{n}/tags{{/name}}"}}"#
            )
        })
        .collect();
    let notation = assert_exact(&format!("[{}]", rows.join(",")));
    assert!(notation.ends_with("\n7\n8\n9\n10\n11\n]"), "{notation}");
    let keyed = assert_exact(
        r#"{"9690244451":{"item_id":"9690244451","price":1},"7706410293":{"item_id":"7706410293","price":2},"3616838507":{"item_id":"3616838507","price":3}}"#,
    );
    assert_eq!(keyed, "{3 rows: <key>,item_id=<key>,price\n9690244451,1\n7706410293,2\n3616838507,3\n}");
}

#[test]
fn rows_with_their_keys_in_two_orders_are_one_table() {
    let rows: Vec<String> = (0..6)
        .map(|n| match n % 3 {
            0 => format!(r#"{{"kind":"file","size":{n},"name":"n{n}"}}"#),
            1 => format!(r#"{{"name":"n{n}","size":{n},"kind":"file"}}"#),
            _ => format!(r#"{{"name":"@{n}","kind":"file"}}"#),
        })
        .collect();
    assert_eq!(
        assert_exact(&format!("[{}]", rows.join(","))),
        "[6 rows, blank=absent, @=cells as in this head, keys stood as name,size,kind: kind=file,size,name\n\
         0,n0\n@1,n1\n@,\"@2\"\n3,n3\n@4,n4\n@,\"@5\"\n]"
    );
}

#[test]
fn a_table_states_columns_and_constants_once() {
    let notation = assert_exact(
        r#"{"total":3,"items":[{"id":7,"name":"Rex","state":"open","owner":{"login":"ann","admin":false}},
        {"id":9,"name":"1","state":"open","owner":{"login":"bob","admin":true}},
        {"id":12,"name":"Max, the second","state":"open","owner":{"login":"ann","admin":false},"tags":[]}],"next":null}"#,
    );
    assert_eq!(
        notation,
        "{total:3,items:[3 rows, blank=absent: id,name,state=open,owner{login,admin},tags\n\
         7,Rex,ann,false\n9,\"1\",bob,true\n12,\"Max, the second\",ann,false,[]\n],next:null}"
    );
}

#[test]
fn beginnings_that_many_strings_share_get_a_name() {
    let base = "https://api.example.com/repos/some-organization/some-repository-with-a-long-name";
    let entries: Vec<String> = ["forks", "keys{/key_id}", "teams", "hooks", "issues/1"]
        .iter()
        .map(|end| format!(r#""{}_url":"{base}/{end}""#, &end[..4]))
        .collect();
    let notation = assert_exact(&format!("{{{},\"self\":\"{base}\"}}", entries.join(",")));
    assert!(notation.starts_with(&format!("$1={base}\n")), "{notation}");
    assert!(notation.contains("keys_url:$1/keys{/key_id}"), "{notation}");
    assert!(notation.ends_with("self:$1}"), "{notation}");
}

#[test]
fn a_string_that_repeats_is_still_there_once_as_it_is() {
    let path =
        |n: usize| format!("/home/someone/.cache/some-long-directory-name/sessions/session-{n:04}.json");
    let lines: Vec<String> =
        (0..40).map(|n| format!(r#"{{"k{n}":{n},"path":"{}"}}"#, path(n / 10))).collect();
    let notation = assert_exact(&lines.join("\n"));
    assert!(notation.starts_with('$'), "{notation}");
    assert!((0..4).all(|n| notation.contains(&path(n))), "{notation}");
}

#[test]
fn text_around_a_document_stays_as_it_is() {
    let document = "{\n  \"a\": [1, 2, 3],\n  \"some_longer_key\": \"some longer value\"\n}";
    let (minified, _) = both(&format!("Response 200:\n{document}\nnpm warn  deprecated\n"));
    assert_eq!(
        minified,
        "Response 200:\n{\"a\":[1,2,3],\"some_longer_key\":\"some longer value\"}\nnpm warn  deprecated"
    );
    assert!(find("no document here").is_none());
    assert!(find(&format!("{}{document}", "prose\n".repeat(100))).is_none());
}

#[test]
fn what_serde_json_refuses_is_refused() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":}",
        "{a:1}",
        "[01]",
        "[1.]",
        "[.5]",
        "[1e]",
        "[\"\t\"]",
        "[\"\\x\"]",
        "[nul]",
        "[1 2]",
        "{\"a\" 1}",
        "[\"\\u12g4\"]",
        "[-]",
        "]",
        "{\"a\":1]",
        "[,1]",
        "{,}",
        "[NaN]",
        "[+1]",
        "[\"a]",
    ] {
        let whole = Tree::read(text).is_some_and(|tree| tree.text.len() == text.len());
        assert!(!whole, "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
    }
}

#[test]
fn adversarial_documents_do_no_harm() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert_exact(&deep(127));
    assert!(Tree::read(&deep(100_000)).is_none());
    assert!(Tree::read(&"[{\"a\":".repeat(50_000)).is_none());
    let keys: Vec<String> = (0..20_000).map(|n| format!("\"k{n}\":{n}")).collect();
    assert_exact(&format!("{{{}}}", keys.join(",")));
    let sparse: Vec<String> = (0..3_000).map(|n| format!("{{\"k{n}\":{n},\"l{n}\":1}}")).collect();
    assert_exact(&format!("[{}]", sparse.join(",")));
    assert_exact(&format!("[\"{}\"]", "x\\u00e9".repeat(100_000)));
    let nested = (0..120).fold("[1,2]".to_owned(), |inner, _| format!("[{inner},[]]"));
    assert_exact(&nested);
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,3}",
        "https://api.example.com/a/[a-b]{1,2}(/[0-9]{1,2})?(\\{/x\\})?",
        "[0-9,.e+~*<>$!@#(){}\\[\\]:= \"\\\\/-]{0,6}",
        any::<String>(),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("{\"a\":[1,2,{\"b\":null}]}".to_owned()),
        Just("[{\"a\": 1, \"b\": \"x, y\"}]".to_owned()),
        Just("3 rows: a".to_owned()),
    ]
}

/// JSON text with few keys and values, so that much repeats.
fn json() -> impl Strategy<Value = String> {
    let quote = |text: String| serde_json::to_string(&text).unwrap();
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1".to_owned()),
        Just("1.0".to_owned()),
        Just("\"\\ud800x\"".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        string().prop_map(quote),
    ];
    let key = prop_oneof![8 => "[a-d]", 1 => string(), 1 => Just("key".to_owned())].prop_map(quote);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((key.clone(), inner.clone()), 0..6).prop_map(object),
            // Rows of one shape.
            (prop::collection::vec(key.clone(), 1..4), prop::collection::vec(inner, 4..16)).prop_map(
                |(keys, values)| {
                    let rows: Vec<String> = values
                        .chunks(keys.len())
                        .map(|row| object(keys.iter().cloned().zip(row.iter().cloned()).collect()))
                        .collect();
                    format!("[{}]", rows.join(","))
                }
            ),
        ]
    })
    .prop_map(|value| format!("[{value}]"))
}

fn object(entries: Vec<(String, String)>) -> String {
    let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("{{{}}}", entries.join(","))
}

/// Numbers have many spellings, so these are more than usual. As WASM a few are tried, to see that it does the same there.
fn cases() -> u32 {
    if cfg!(target_family = "wasm") { 100 } else { ProptestConfig::default().cases.max(1000) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn any_document_comes_back_to_the_bit(text in json()) {
        assert_exact(&text);
    }

    #[test]
    fn any_json_lines_come_back_to_the_bit(lines in prop::collection::vec(json(), 2..6)) {
        assert_exact(&lines.join("\n"));
    }

    #[test]
    fn the_parser_agrees_with_serde_json(text in prop_oneof![json(), "[\\[\\]{}:,\"a0-9.eE+\\\\u-]{0,12}"]) {
        let ours = Tree::read(&text).filter(|tree| text[tree.text.len()..].trim().is_empty() && tree.roots.len() == 1);
        let theirs = serde_json::from_str::<serde_json::Value>(&text).ok().filter(|value| value.is_object() || value.is_array());
        // serde_json refuses lone surrogates and numbers beyond f64; we keep their spelling.
        let stricter = text.contains("\\u") || text.contains(['e', 'E']);
        match (ours, theirs) {
            (Some(tree), Some(theirs)) => {
                let minified = minify::documents(&tree).text;
                let again: serde_json::Value = serde_json::from_str(&minified).unwrap();
                prop_assert_eq!(again, theirs);
            }
            (ours, theirs) => prop_assert!(ours.is_none() && theirs.is_none() || ours.is_some() && stricter, "{}", text),
        }
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        if let Some(found) = find(&text) {
            assert_exact(found.tree.text);
        }
    }
}
