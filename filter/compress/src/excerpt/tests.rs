//! Ranges, pages and queries.

use proptest::prelude::*;

use super::*;

fn ask<'t>(text: &'t str, part: Part<'_>) -> Excerpt<'t> {
    excerpt(text, None, part, PAGE_BYTES)
}

fn numbers(lines: usize) -> String {
    (1..=lines).map(|n| format!("line {n} of the text\n")).collect()
}

/// The runs of a CI service, as the API prints them on one line.
fn runs() -> String {
    let rows: Vec<String> = (0..240)
        .map(|n| {
            let conclusion = if [33, 120, 201].contains(&n) { "failure" } else { "success" };
            format!(
                r#"{{"id": {}, "name": "job-{}", "conclusion": "{conclusion}", "branch": "feat/{}", "secs": {}}}"#,
                5000 + n,
                n % 17,
                n % 5,
                20 + n * 7 % 80
            )
        })
        .collect();
    format!("[{}]", rows.join(", "))
}

#[test]
fn what_fits_is_given_whole() {
    for text in ["", "\n", "a", "a\r\nb", "{\"a\": [1, 2]}"] {
        assert_eq!(ask(text, Part::Whole).text, text);
    }
    let whole = ask("a\nb", Part::Whole);
    assert_eq!((whole.unit, whole.from, whole.to, whole.total, whole.rest), (Unit::Lines, 1, 2, 2, None));
}

#[test]
fn pages_put_together_are_the_range() {
    let text = numbers(20_000);
    let (mut whole, mut part) = (String::new(), Part::Lines(500, 15_000));
    loop {
        let page = ask(&text, part);
        assert!(page.text.len() <= PAGE_BYTES && page.unit == Unit::Lines && page.total == 20_000);
        whole.push_str(&page.text);
        match page.rest {
            Some((from, to)) => part = Part::Lines(from, to),
            None => break,
        }
    }
    let wanted: String = (500..=15_000).map(|n| format!("line {n} of the text\n")).collect();
    assert_eq!(whole, wanted);
}

#[test]
fn a_range_behind_the_end_is_empty_and_says_how_many_there_are() {
    let found = ask("a\nb\n", Part::Lines(3, 9));
    assert_eq!((&*found.text, found.total, found.rest), ("", 2, None));
    assert_eq!(ask("a\nb\n", Part::Lines(9, 3)).text, "");
    assert_eq!(ask("a\nb\n", Part::Lines(0, usize::MAX)).text, "a\nb\n");
    assert_eq!(ask("", Part::Lines(1, 1)).total, 0);
}

#[test]
fn rows_are_counted_from_zero_as_the_forms_count_them() {
    let text = runs();
    let found = ask(&text, Part::Rows(33, 34));
    assert!(
        found.text.starts_with(r#"{"id": 5033, "#) && found.text.ends_with(r#""secs": 98}"#),
        "{}",
        found.text
    );
    assert_eq!((found.unit, found.from, found.to, found.total), (Unit::Rows, 33, 34, 240));
    // The document has only one line, so the reader means rows.
    assert_eq!(ask(&text, Part::Lines(33, 34)), found);
    for wrapped in [
        format!("{{\"total\": 240, \"data\": {{\"runs\": {text}}}}}"),
        format!("HTTP/1.1 200 OK\n{text}\n"),
        format!("Output: {text}"),
        serde_json::json!({"content": [{"type": "text", "text": text}]}).to_string(),
    ] {
        assert_eq!(ask(&wrapped, Part::Rows(33, 34)).text, found.text, "{wrapped}");
    }
}

#[test]
fn documents_and_members_are_rows() {
    let lines: String = (0..50).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    assert_eq!(ask(&lines, Part::Rows(7, 8)).text, "{\"n\":7}\n{\"n\":8}");
    let members: Vec<String> = (0..50).map(|n| format!("\"k{n}\": {{\"n\": {n}}}")).collect();
    let object = format!("{{{}}}", members.join(", "));
    assert_eq!(ask(&object, Part::Rows(7, 7)).text, "\"k7\": {\"n\": 7}");
}

#[test]
fn a_text_inside_a_string_has_its_own_lines() {
    let wrapped = serde_json::json!({"stdout": numbers(500), "exitCode": 0}).to_string();
    let found = ask(&wrapped, Part::Lines(41, 42));
    assert_eq!(found.text, "line 41 of the text\nline 42 of the text\n");
    assert_eq!(found.total, 500);
    assert!(ask(&wrapped, Part::Query("line 77")).text.contains("line 77 of"));
}

#[test]
fn a_line_longer_than_a_page_is_given_in_characters() {
    let text = format!("short\n{}\nend\n", "größe,".repeat(20_000));
    let found = ask(&text, Part::Lines(2, 2));
    assert_eq!((found.unit, found.from), (Unit::Characters, 7));
    assert!(found.text.len() <= PAGE_BYTES && found.text.starts_with("größe,"));
    let (from, to) = found.rest.unwrap();
    assert_eq!((from, to), (found.to + 1, 7 + 120_000));
    let again = ask(&text, Part::Characters(found.from, found.to));
    assert_eq!(again.text, found.text);
}

/// A line of a text inside a string has no characters that could be named, but rows.
#[test]
fn a_line_longer_than_a_page_inside_a_string_is_given_in_rows() {
    let text = format!("Results:\n{}\nThat is all.\n", runs());
    let wrapped = serde_json::json!({"content": [{"type": "text", "text": text}]}).to_string();
    let ask = |part| excerpt(&wrapped, None, part, 4_096);
    assert_eq!(ask(Part::Lines(3, 3)).text, "That is all.\n");
    let (mut seen, mut part) = (0, Part::Lines(2, 2));
    loop {
        let found = ask(part);
        assert_eq!((found.unit, found.from, found.total), (Unit::Rows, seen, 240));
        assert!(found.text.starts_with(&format!(r#"{{"id": {}, "#, 5000 + seen)), "{}", found.text);
        seen = found.to + 1;
        match found.rest {
            Some((from, to)) => part = Part::Rows(from, to),
            None => break,
        }
    }
    assert_eq!(seen, 240);
}

#[test]
fn the_words_of_a_marker_find_what_it_names() {
    let text = runs();
    for (query, matches) in [
        ("conclusion=success", 237),
        ("conclusion=failure", 3),
        ("branch=feat/2", 48),
        ("success feat/2", 48),
        ("feat/2 job-3", 3),
        ("name=job-3", 14),
        ("job-3", 14),
        ("success", 237),
        ("id=5120", 1),
        ("237 conclusion=success", 0),
    ] {
        let found = ask(&text, Part::Query(query));
        assert_eq!(found.matches, Some(matches), "{query}");
        assert_eq!(found.unit, Unit::Rows, "{query}");
        assert!(!found.text.is_empty(), "{query}");
        // the same range gives the same text
        assert_eq!(ask(&text, Part::Rows(found.from, found.to)).text, found.text, "{query}");
    }
    assert!(ask(&text, Part::Query("conclusion=failure")).text.contains("failure"));
    let found = ask(&text, Part::Query("feat/2 job-3"));
    assert!(
        found.text.contains(r#""name": "job-3", "conclusion": "success", "branch": "feat/2""#),
        "{}",
        found.text
    );
    assert_eq!(ask(&text, Part::Query("zebra")).matches, Some(0));
    assert_eq!(ask(&text, Part::Query("zebra")).text, "");
}

#[test]
fn a_query_finds_the_line_in_its_surroundings_and_not_more() {
    let mut text = numbers(3_000);
    text.push_str("ERROR: connection refused by 10.0.0.7\nthe end\n");
    for query in ["connection refused", "CONNECTION", "10.0.0.7", "errors", "onnect"] {
        let found = ask(&text, Part::Query(query));
        assert!(found.text.contains("connection refused by 10.0.0.7"), "{query}");
        assert_eq!(
            (found.unit, found.from, found.to, found.total),
            (Unit::Lines, 2998, 3002, 3002),
            "{query}"
        );
        assert_eq!(found.matches, Some(1), "{query}");
        assert_eq!(ask(&text, Part::Lines(found.from, found.to)).text, found.text);
    }
    assert!(ask(&text, Part::Query("where is line 1234 shown?")).text.contains("line 1234 of"));
}

#[test]
fn one_line_that_has_it_all_is_better_than_many_that_have_some() {
    let mut text = "payment was late\n".repeat(500);
    text.push_str(&"nothing\n".repeat(3000));
    text.push_str("payment service restarted\n");
    let found = ask(&text, Part::Query("payment service restarted"));
    assert!(found.text.contains("payment service restarted"), "{}", found.text);
}

#[test]
fn the_value_of_a_column_is_found_where_its_name_stands_in_the_header() {
    let mut csv = "id,status,amount\n".to_owned();
    (0..2000).for_each(|n| {
        csv.push_str(&format!("{n},{},{}\n", if n == 1200 { "failed" } else { "paid" }, n * 3))
    });
    for query in ["status=failed", "status failed"] {
        let found = excerpt(&csv, Some(Kind::Table), Part::Query(query), PAGE_BYTES);
        assert!(found.text.contains("1200,failed,3600"), "{query}: {}", found.text);
    }
}

#[test]
fn what_stands_around_rows_is_found_too() {
    let text = format!("{{\"total\": 240, \"cursor\": \"abc-77\", \"runs\": {}}}", runs());
    let found = ask(&text, Part::Query("cursor"));
    assert!(found.text.contains("abc-77"), "{}", found.text);
    assert_eq!(ask(&text, Part::Characters(found.from, found.to)).text, found.text);
    let wrapped = serde_json::json!({"exitCode": 0, "stdout": numbers(90)}).to_string();
    let whole = ask(&wrapped, Part::Whole);
    assert_eq!((&*whole.text, whole.unit), (&*wrapped, Unit::Characters));
}

#[test]
fn words_in_scripts_without_blanks_are_found() {
    let text = "启动完成\n数据库连接发生错误了\n结束\n";
    assert!(ask(text, Part::Query("错误")).text.contains("发生错误"));
    assert!(ask("eins\nGRÖSSE 7\n", Part::Query("größse")).text.is_empty());
    assert!(ask("eins\nGRÖẞE 7\n", Part::Query("GRÖẞE")).text.contains('7'));
}

#[test]
fn the_classes_that_markers_count_are_found() {
    let text = format!("{}   ✓ creates 5ms\n✗ sinks\nwarn: x\n", numbers(3000));
    assert!(ask(&text, Part::Query("1 passed or done")).text.contains("✓ creates"));
    assert!(ask(&text, Part::Query("1 warning like those shown")).text.contains("warn: x"));
    let diff = format!("{}@@ -1 +1 @@\n-a\n+b\n", numbers(3000));
    assert!(ask(&diff, Part::Query("3 hunks")).text.contains("@@ -1"));
}

#[test]
fn a_query_without_words_finds_nothing() {
    for query in ["", "  ", "***", "\u{0}"] {
        assert_eq!(ask("a\nb", Part::Query(query)).text, "", "{query:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_asked_of_whatever_text_fits_a_page_and_comes_again(
        parts in prop::collection::vec(
            prop_oneof![
                Just("[".to_owned()), Just("{".to_owned()), Just("]".to_owned()), Just("}".to_owned()),
                Just("\"a\":".to_owned()), Just(",".to_owned()), Just("\n".to_owned()), Just("\"x\\ny\"".to_owned()),
                Just("error 5 ".to_owned()), Just("ü".to_owned()), Just("\\".to_owned()), Just("\"".to_owned()),
                "[a-z ]{0,90}",
            ],
            0..40,
        ),
        from in 0usize..20, to in 0usize..40, query in "[a-zü\"=. ]{0,20}", page in 0usize..300,
    ) {
        let text = parts.concat();
        for part in [Part::Whole, Part::Lines(from, to), Part::Rows(from, to), Part::Characters(from, to), Part::Query(&query)] {
            let found = excerpt(&text, None, part, page);
            prop_assert!(found.text.len() <= page.max(LEAST_PAGE));
            prop_assert!(found.to <= found.total || found.text.is_empty());
            if found.text.is_empty() {
                continue;
            }
            let again = match found.unit {
                Unit::Lines => Part::Lines(found.from, found.to),
                Unit::Rows => Part::Rows(found.from, found.to),
                Unit::Characters => Part::Characters(found.from, found.to),
            };
            let again = excerpt(&text, None, again, page);
            prop_assert_eq!(&again.text, &found.text);
            prop_assert_eq!((again.unit, again.from, again.to, again.total), (found.unit, found.from, found.to, found.total));
            prop_assert_eq!(again.rest, None);
        }
    }
}
