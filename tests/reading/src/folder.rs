//! Writes the folder for a reader: documents, questions without keys, and instructions.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::arm::{Arm, shown};
use crate::document::Document;

/// Fills a folder for the reader of an arm.
pub fn write(folder: &Path, documents: &[Document], arm: Arm) -> Result<()> {
    fs::create_dir_all(folder.join("documents"))?;
    let mut questions = String::new();
    for document in documents.iter().filter(|document| arm.has(document)) {
        let shown = shown(document, arm)?;
        let mut text = String::new();
        let several = shown.outputs.len() > 1;
        for (at, (output, form)) in document.original.outputs().iter().zip(&shown.outputs).enumerate() {
            if several {
                writeln!(text, "======== output {} ========", at + 1)?;
            }
            writeln!(text, "======== call: {} {}", output.tool(), output.arguments())?;
            writeln!(text, "{}", form.strip_suffix('\n').unwrap_or(form))?;
        }
        fs::write(folder.join("documents").join(format!("{}.txt", document.name)), text)?;
        for question in document.questions.iter().filter(|question| shown.asks(question)) {
            let file = format!("documents/{}.txt", document.name);
            let line = json!({"question": question.id, "document": file, "text": question.text});
            writeln!(questions, "{line}")?;
        }
    }
    fs::write(folder.join("questions.jsonl"), questions)?;
    fs::write(folder.join("TASK.md"), task(arm))?;
    Ok(())
}

fn task(arm: Arm) -> String {
    let name = arm.name();
    let retrieve = if arm.is_lossy() {
        "\nSome outputs were shortened by leaving something out. Such an output ends with a line like\n\
         `[headroom: … left out: …. Full text: headroom_retrieve hash=0123456789abcdef01234567]`. An agent could call `headroom_retrieve`\n\
         with that hash and get the original, or a part of it. You cannot, but where the answer is not in what you see, answer with the call\n\
         you would make instead of a guess: `retrieve HASH lines A-B` (lines of the original, from 1), `retrieve HASH rows A-B` (rows of a JSON list, from 0),\n\
         `retrieve HASH words SOME WORDS TO LOOK FOR`, or `retrieve HASH` for all of it. What you see comes first: do not ask for what is shown.\n"
    } else {
        ""
    };
    format!(
        "# Reading\n\n\
         `documents/` has outputs of tools as an agent gets them. Each file begins with the call; a file with several outputs has them in the order in which\n\
         they came, and a later one may say that lines are the same as in an earlier one. `questions.jsonl` has one question a line:\n\
         its id, its document and its text.\n\n\
         Answer every question by reading the document alone: no scripts, no search tools, no other files, nobody's help. \"Line N\" and \"how many\"\n\
         always mean the output as the tool printed it, whatever was done to it since.\n\
         {retrieve}\n\
         Write `answers.jsonl`, one JSON object a line:\n\n\
         {{\"question\": \"ID\", \"arm\": \"{name}\", \"answer\": \"…\", \"reader\": \"…\"}}\n\n\
         * `answer` is the bare value: a word, a number, a name, a path; no sentence, no unit unless it is part of the value. Several values: with commas, in any order. Yes or no: `yes`, `no`.\n\
         * `reader` says who you are: the model's name and version, or \"person\".\n\
         * Do not guess: answer `unknown` where the document does not tell.\n"
    )
}
