//! The reading test itself is sound: its keys come from originals, its readers get no keys, its scorer distinguishes
//! right from wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use headroom_reading::arm::{Arm, CODE_AWARE, shown};
use headroom_reading::document::{Document, Original};
use headroom_reading::question::Key;
use headroom_reading::score::{Answer, Worth};
use headroom_reading::{documents, folder, keys, score};

/// The document in a form, as if a tool had printed that.
fn of_form(document: Document, arm: Arm) -> Document {
    let mut outputs = shown(&document, arm).unwrap().outputs.into_iter();
    let mut next = || ("Bash", "{}", outputs.next().unwrap());
    let original = match document.original.outputs().len() {
        1 => Original::of_outputs([next()]),
        2 => Original::of_outputs([next(), next()]),
        3 => Original::of_outputs([next(), next(), next()]),
        more => panic!("{more} outputs"),
    };
    Document { original, ..document }
}

#[test]
fn there_are_two_hundred_questions_over_every_kind_and_each_has_one_answer() {
    let documents = documents::all();
    let keys = keys::of_originals(&documents).unwrap();
    assert!(keys.len() >= 200, "{} questions", keys.len());
    let ids: BTreeSet<&str> = keys.iter().map(|key| key.question.as_str()).collect();
    assert_eq!(ids.len(), keys.len());
    for key in &keys {
        match &key.key {
            Key::Text(text) => assert!(!text.trim().is_empty(), "{}", key.question),
            Key::Set(texts) => assert!(!texts.is_empty(), "{}", key.question),
            Key::Call { line, .. } => assert!(!line.trim().is_empty(), "{}", key.question),
        }
    }
}

#[test]
fn the_committed_keys_are_those_of_the_originals() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/keys.jsonl")).unwrap();
    let of_originals = keys::of_originals(&documents::all()).unwrap();
    keys::verify(&keys::read(&text).unwrap(), &of_originals).unwrap();
}

#[test]
fn a_key_that_is_computed_from_a_form_is_refused() {
    let all = documents::all();
    let right = keys::of_originals(&all).unwrap();
    let mut refused = 0;
    for arm in [Arm::Lossless, Arm::Default, Arm::CodeAware] {
        for document in documents::all()
            .into_iter()
            .filter(|document| arm.has(document))
            .map(|document| of_form(document, arm))
        {
            let original = &all.iter().find(|it| it.name == document.name).unwrap().original;
            let changed = document.original.address() != original.address();
            for question in &document.questions {
                let Ok(key) = question.ask.key(&document.original) else { continue };
                let mut keys = right.clone();
                let place = keys.iter_mut().find(|key| key.question == question.id).unwrap();
                *place = keys::RecordedKey { key, original: document.original.address(), ..place.clone() };
                assert_eq!(keys::verify(&keys, &right).is_err(), changed, "{}", question.id);
                refused += usize::from(changed);
            }
        }
    }
    assert!(refused > 50, "{refused}");
    // Also a key that claims to come from the original.
    let mut keys = right.clone();
    let key = keys.iter_mut().find(|key| key.question == "log-service/5").unwrap();
    key.key = Key::Text("0".to_owned());
    assert!(keys::verify(&keys, &right).is_err());
}

#[test]
fn most_documents_have_a_form_and_large_ones_leave_something_out() {
    let (mut forms, mut left_out) = (0, 0);
    let documents = documents::all();
    for document in &documents {
        let lossless = shown(document, Arm::Lossless).unwrap();
        assert!(lossless.left_out.is_empty());
        forms += usize::from(lossless.tokens.1 < lossless.tokens.0);
        let default = shown(document, Arm::Default).unwrap();
        left_out += usize::from(!default.left_out.is_empty());
        let lossy = if document.kind == CODE_AWARE { Arm::CodeAware } else { Arm::Default };
        let lossy = shown(document, lossy).unwrap();
        for question in document.questions.iter().filter(|question| question.of_marker) {
            assert!(lossy.asks(question), "{}: nobody is asked", question.id);
            if let Key::Call { hash, .. } = question.ask.key(&document.original).unwrap() {
                let shown = lossy.left_out.iter().any(|(address, _)| *address == hash);
                assert!(shown, "{}: its marker does not name the original", document.name);
            }
        }
    }
    assert!(forms * 4 >= documents.len() * 3, "{forms} of {}", documents.len());
    assert!(left_out >= 7, "{left_out}");
}

#[test]
fn a_reader_gets_documents_and_questions_but_no_keys() {
    let documents = documents::all();
    let folder = std::env::temp_dir().join(format!("headroom-reading-{}", std::process::id()));
    folder::write(&folder, &documents, Arm::Default).unwrap();
    let questions = fs::read_to_string(folder.join("questions.jsonl")).unwrap();
    let files = fs::read_dir(folder.join("documents")).unwrap().count();
    let names: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(files, documents.len());
    let asked = documents.iter().map(|document| {
        let seen = shown(document, Arm::Default).unwrap();
        document.questions.iter().filter(|question| seen.asks(question)).count()
    });
    assert_eq!(questions.lines().count(), asked.sum::<usize>());
    for line in questions.lines() {
        let question: serde_json::Value = serde_json::from_str(line).unwrap();
        let members: Vec<&str> = question.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["document", "question", "text"]);
    }
    assert_eq!(
        names.iter().map(String::as_str).collect::<Vec<_>>(),
        ["TASK.md", "documents", "questions.jsonl"]
    );
}

#[test]
fn the_scorer_knows_right_asked_and_wrong() {
    let documents = documents::all();
    let document = documents.iter().find(|document| document.name == "large-log").unwrap();
    let seen = shown(document, Arm::Default).unwrap();
    let (hash, _) = &seen.left_out[0];
    let worth = |number: usize, answer: &str| {
        score::worth(document, &document.questions[number - 1], answer, &seen).unwrap()
    };
    assert_eq!(worth(1, "node-17"), Worth::Right);
    assert_eq!(worth(1, "node-18"), Worth::Wrong);
    assert_eq!(worth(3, &format!("retrieve {hash} words batch 60140")), Worth::Asked);
    assert_eq!(worth(3, &format!("retrieve {hash} lines 1-20")), Worth::Wrong);
    assert_eq!(worth(3, "retrieve 000000000000000000000000 words batch 60140"), Worth::Wrong);
    assert_eq!(worth(5, &format!("retrieve {hash} lines 140-160")), Worth::Right);
    assert_eq!(worth(5, &format!("retrieve {hash} lines 1-20")), Worth::Wrong);

    let answer = |arm, answer: &str| Answer {
        question: "large-log/1".to_owned(),
        arm,
        answer: answer.to_owned(),
        reader: "a test".to_owned(),
    };
    let both = [answer(Arm::Original, "node-17"), answer(Arm::Default, "node-3")];
    let (report, faults) = score::report(&documents, &both).unwrap();
    assert_eq!(faults, 1);
    assert!(report.contains("a fault of the form") && report.contains("large "), "{report}");
    assert!(score::report(&documents, &[both[0].clone(), both[0].clone()]).is_err());
}

#[test]
fn readers_of_the_code_aware_arm_get_source_files_alone() {
    let documents = documents::all();
    let answer = |question: &str, arm, answer: &str| Answer {
        question: question.to_owned(),
        arm,
        answer: answer.to_owned(),
        reader: "a test".to_owned(),
    };
    let sources: Vec<&Document> = documents.iter().filter(|document| Arm::CodeAware.has(document)).collect();
    assert!(sources.len() >= 4);
    assert!(sources.iter().map(|document| document.questions.len()).sum::<usize>() >= 30);
    for document in sources {
        let seen = shown(document, Arm::CodeAware).unwrap();
        let (hash, original) = &seen.left_out[0];
        assert_eq!(original, document.original.outputs()[0].text());
        let all = format!("retrieve {hash}");
        for question in document.questions.iter().filter(|question| !question.of_marker) {
            let worth = score::worth(document, question, &all, &seen).unwrap();
            assert_eq!(worth, Worth::Asked, "{}", question.id);
        }
    }
    let elsewhere = answer("large-log/1", Arm::CodeAware, "node-17");
    assert!(score::report(&documents, &[elsewhere]).is_err());
    let nothing_left_out = answer("source-go/14", Arm::Default, "no");
    assert!(score::report(&documents, &[nothing_left_out]).is_err());
    let right = answer("source-go/14", Arm::CodeAware, "no");
    let (report, _) = score::report(&documents, &[right]).unwrap();
    assert!(report.contains("a test answered 1 of") && !report.contains("wrong:"), "{report}");
}

/// Answers to questions that no longer exist do not count for the forms.
#[test]
fn the_committed_answers_are_to_these_questions() {
    let documents = documents::all();
    let questions: BTreeMap<&str, bool> = documents
        .iter()
        .flat_map(|document| &document.questions)
        .map(|question| (&*question.id, question.of_marker))
        .collect();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/answers")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "jsonl") {
            continue;
        }
        for answer in score::read(&fs::read_to_string(&path).unwrap()).unwrap() {
            assert!(questions.contains_key(&*answer.question), "{}: {}", path.display(), answer.question);
            assert!(!answer.reader.trim().is_empty(), "{}: {}", path.display(), answer.question);
        }
    }
}
