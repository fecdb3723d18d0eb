//! Writes the documents of the reading test, and scores answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use headroom_reading::arm::{Arm, shown};
use headroom_reading::{documents, folder, keys, score};

/// The reading test.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write documents and questions, without keys, into FOLDER/ARM.
    Documents {
        /// The folder.
        folder: PathBuf,
        /// Only this arm.
        #[arg(long)]
        arm: Option<Arm>,
    },
    /// Read the right answers from the originals and write them to keys.jsonl.
    Keys,
    /// Print the errors of files of answers by kind and arm; without files, of those that are committed.
    Score {
        /// JSON Lines: question, arm, answer, reader.
        answers: Vec<PathBuf>,
    },
}

#[allow(clippy::print_stdout, reason = "the report is what it is for")]
fn main() -> Result<ExitCode> {
    let documents = documents::all();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match Arguments::parse().command {
        Command::Documents { folder, arm } => {
            for arm in Arm::ALL.into_iter().filter(|it| arm.is_none_or(|arm| arm == *it)) {
                folder::write(&folder.join(arm.name()), &documents, arm)?;
                let (mut count, mut tokens) = (0, (0, 0));
                for document in documents.iter().filter(|document| arm.has(document)) {
                    count += 1;
                    let (before, after) = shown(document, arm)?.tokens;
                    tokens = (tokens.0 + before, tokens.1 + after);
                }
                println!("{}: {count} documents, {} -> {} tokens", arm.name(), tokens.0, tokens.1);
            }
        }
        Command::Keys => {
            let keys = keys::of_originals(&documents)?;
            let lines: Result<Vec<String>, _> = keys.iter().map(serde_json::to_string).collect();
            fs::write(here.join("keys.jsonl"), lines?.join("\n") + "\n")?;
        }
        Command::Score { mut answers } => {
            if answers.is_empty() {
                for entry in fs::read_dir(here.join("answers"))? {
                    answers.push(entry?.path());
                }
                answers.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
                answers.sort();
            }
            let mut all = Vec::new();
            for path in answers {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                all.extend(score::read(&text).with_context(|| path.display().to_string())?);
            }
            let (report, faults) = score::report(&documents, &all)?;
            print!("{report}");
            if faults > 0 {
                println!("{faults} faults of forms");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
