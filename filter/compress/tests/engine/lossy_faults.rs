//! Outputs whose digest once left out something important or said something wrong: each with the right value.

use headroom_compress::excerpt::{PAGE_BYTES, Part, Unit, excerpt};
use headroom_compress::{Api, BlockOutcome, Config, Kind, Memo, Profile, Request, RetrieveTool, compress};
use serde_json::Value;

/// The text of the request's last tool output.
fn last_output(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    let content = &body["messages"].as_array().unwrap().last().unwrap()["content"][0]["content"];
    content.as_str().or_else(|| content[0]["text"].as_str()).unwrap().to_owned()
}

struct Form {
    original: String,
    text: String,
    lossy: bool,
    kind: Kind,
}

fn form(fault: &str) -> Form {
    let path = format!("{}/tests/fixtures/faults/{fault}.json", env!("CARGO_MANIFEST_DIR"));
    let body = std::fs::read(path).unwrap();
    let config = Config { profile: Profile::Balanced, ..Config::default() };
    let request = Request {
        reversible: true,
        retrieve_tool: RetrieveTool::Add,
        ..Request::new(Api::AnthropicMessages)
    };
    let outcome = compress(&body, &request, &config, &mut Memo::new(0));
    let block = outcome.blocks.last().unwrap();
    Form {
        original: last_output(&body),
        text: last_output(&outcome.body),
        lossy: matches!(block.outcome, BlockOutcome::Compressed { lossy: true, .. }),
        kind: block.kind,
    }
}

/// The number of lines in the text that contain this.
fn count(text: &str, part: &str) -> usize {
    text.lines().filter(|line| line.contains(part)).count()
}

#[test]
fn a_page_keeps_its_numbers_cells_states_and_values() {
    let Form { text, .. } = form("html-changes-numbers");
    for part in [
        "10^6 kg^2",
        "[deleted: Due 30 May] [inserted: Due 6 June]",
        "Sum | | $ 2,340.00 |",
        "A-1109 | Customer 9 | $ 27.09 | [failed]",
        "A-1110 | Customer 10 | $ 30.10 | [paid]",
        "[q=A-1009]",
        "[selected] Open",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!(count(&text, "[failed]"), 5);
}

#[test]
fn a_failure_keeps_its_difference_and_its_place_and_a_passed_test_is_no_error() {
    let Form { text, original, .. } = form("test-lossy-drops-diff-and-place");
    let start = original.find("   ✗ updates role").unwrap();
    let end = original.find("(src/user.test.ts:89:18)").unwrap() + "(src/user.test.ts:89:18)".len();
    assert!(text.contains(&original[start..end]), "{text}");
    assert!(!text.contains("errors like those"), "{text}");
    let gaps: usize = text
        .lines()
        .filter_map(|line| line.strip_prefix("… ")?.split(' ').next()?.parse::<usize>().ok())
        .sum();
    assert!(text.contains(&format!("[headroom: {gaps} of 260 lines left out: ")), "{text}");
    assert!(text.len() * 5 < original.len());
}

#[test]
fn what_no_kind_understands_stays_whole() {
    for fault in ["text-lossy-linter", "text-lossy-snapshot", "text-lossy-yaml"] {
        let form = form(fault);
        assert!(!form.lossy, "{fault}:\n{}", form.text);
    }
}

#[test]
fn offences_names_and_refs_can_all_be_told() {
    let linter = form("text-lossy-linter");
    let offences = |text: &str| count(text, ": W: ") + count(text, ": C: ") + count(text, ": E: ");
    assert_eq!((offences(&linter.text), offences(&linter.original)), (40, 40));
    let snapshot = form("text-lossy-snapshot");
    assert_eq!(count(&snapshot.text, "button \"upvote "), 90);
    assert!(
        snapshot.text.contains("@e5 = [ref=e5]") && snapshot.text.contains(" @e900\n```"),
        "{}",
        snapshot.text
    );
    assert!(form("text-lossy-yaml").text.contains("memory: 2Mi"));
}

#[test]
fn the_line_of_a_gap_is_no_row() {
    let Form { text, .. } = form("table-lossy-marker-with-bars");
    for line in text.lines().filter(|line| line.starts_with("… ")) {
        assert!(!line.ends_with([',', ';', '|']), "{line}");
    }
}

#[test]
fn the_words_of_a_marker_find_what_it_counts() {
    let Form { original, text, kind, lossy } = form("retrieve-says-none-matches");
    assert!(lossy && text.contains("conclusion=success"), "{text}");
    for (query, matches) in [
        ("conclusion=success", 237),
        ("branch=feat/2", 48),
        ("success feat/2", 48),
        ("feat/2 job-3", 3),
        ("name=job-3", 14),
        ("id=5120", 1),
    ] {
        let found = excerpt(&original, Some(kind), Part::Query(query), PAGE_BYTES);
        assert_eq!((found.matches, found.unit, found.total), (Some(matches), Unit::Rows, 240), "{query}");
        let again = excerpt(&original, Some(kind), Part::Rows(found.from, found.to), PAGE_BYTES);
        assert_eq!(again.text, found.text);
    }
    // the form numbers its rows, and these numbers find them
    assert!(text.contains("\n33,5033,job-16,failure,feat/3,"), "{text}");
    let row = excerpt(&original, Some(kind), Part::Rows(33, 33), PAGE_BYTES);
    assert!(row.text.contains("\"id\": 5033"), "{}", row.text);
}
