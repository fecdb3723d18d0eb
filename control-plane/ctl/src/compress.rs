//! `headroomctl compress`: the engine without Envoy, one request body per line.
//!
//! The engine and its configuration are the filter's, so the same body under the same configuration
//! gives the same bytes here and there.

mod explain;
mod format;
mod line;
mod record;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write, stderr, stdin, stdout};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use headroom_compress::{Config, Memo, Request, RetrieveTool};
use indicatif::ProgressBar;

pub use self::format::Format;
use self::line::Line;
use self::record::{Record, Totals};
use crate::environment::{CODE_AWARE, Environment};
use crate::profile::ProfileName;
use crate::progress;

/// Memory for remembered blocks when nothing is said. Bytes. Several conversations may interleave, and
/// no VM has to be shared.
const DEFAULT_MEMO_MIB: usize = 128;

/// How the model gets back what a lossy replacement leaves out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum RetrieveToolName {
    /// In some way that the request does not show
    #[default]
    Assume,
    /// Through headroom_retrieve, where the request lists it
    Require,
    /// Through headroom_retrieve, which is added to the request's tools
    Add,
}

/// Compresses request bodies: one JSON body per line on standard input, one per line on standard output.
#[derive(Args, Clone, Debug, Default)]
pub struct CompressArgs {
    /// Lines are {"id", "turn", "format", "body"}; all but the body comes back as it was
    #[arg(long)]
    pub envelope: bool,
    /// The wire format of all lines; an envelope's own wins [default: told from each body]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// How far the engine may go
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileName,
    /// Leave out bodies of functions of source files that are read as a whole [env: HEADROOM_CODE_AWARE_ENABLED]
    #[arg(long)]
    pub code_aware: bool,
    /// Press new outputs harder as a conversation passes 90,000, 180,000 and 260,000 tokens
    #[arg(long)]
    pub pressure: bool,
    /// Nothing can be stored: only lossless forms
    #[arg(long)]
    pub without_store: bool,
    /// How the model gets back what a lossy replacement leaves out
    #[arg(long, value_enum, default_value_t)]
    pub retrieve_tool: RetrieveToolName,
    /// The model, where the path names it and the body does not (Gemini)
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Write what happened to each block to FILE, one JSON object per request
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Say what happened to each block, for people, on standard error
    #[arg(long)]
    pub explain: bool,
    /// Memory for remembered blocks; decides how long an answer takes, never which
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT_MEMO_MIB)]
    pub memo: usize,
}

/// Reads standard input to its end.
pub fn compress(args: &CompressArgs) -> anyhow::Result<()> {
    let report = match &args.report {
        None => None,
        Some(path) => {
            let file = File::create(path).with_context(|| format!("--report: {}", path.display()))?;
            Some(BufWriter::new(file))
        }
    };
    let code_aware = args.code_aware || Environment::of_process().flag(CODE_AWARE)?;
    let args = &CompressArgs { code_aware, ..args.clone() };
    let explain = args.explain.then(stderr);
    let progress = if args.explain { ProgressBar::hidden() } else { progress::of_input(&stdin()) };
    let input = BufReader::new(progress.wrap_read(stdin().lock()));
    let outcome = Compressor::new(args).run(input, stdout().lock(), report, explain);
    progress.finish_and_clear();
    match outcome {
        // Whoever reads has enough, as in `… | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("standard input could not be compressed to its end"),
    }
}

/// The engine with everything that stays the same from line to line.
#[derive(Debug)]
pub struct Compressor {
    config: Config,
    reversible: bool,
    retrieve_tool: RetrieveTool,
    model: Option<String>,
    format: Option<Format>,
    envelope: bool,
    /// Whether forms are counted that were tried only.
    explain: bool,
    memo: Memo,
}

impl Compressor {
    /// The engine as the arguments want it.
    pub fn new(args: &CompressArgs) -> Self {
        Self {
            config: Config {
                profile: args.profile.into(),
                code_aware: args.code_aware,
                pressure: args.pressure,
                ..Config::default()
            },
            reversible: !args.without_store,
            retrieve_tool: match args.retrieve_tool {
                RetrieveToolName::Assume => RetrieveTool::Assume,
                RetrieveToolName::Require => RetrieveTool::Require,
                RetrieveToolName::Add => RetrieveTool::Add,
            },
            model: args.model.clone(),
            format: args.format,
            envelope: args.envelope,
            explain: args.explain,
            memo: Memo::new(args.memo.saturating_mul(1 << 20)),
        }
    }

    /// Answers each line of `input` by one of `output`, in order and at once.
    pub fn run(
        &mut self,
        mut input: impl BufRead,
        mut output: impl Write,
        mut report: Option<impl Write>,
        mut explain: Option<impl Write>,
    ) -> io::Result<()> {
        let mut totals = Totals::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let (content, end) = match line.strip_suffix(b"\n") {
                Some(content) => (content, "\n"),
                None => (line.as_slice(), ""),
            };
            let record = self.answer(number, content, &mut output)?;
            output.write_all(end.as_bytes())?;
            output.flush()?;
            if let Some(report) = &mut report {
                serde_json::to_writer(&mut *report, &record)?;
                report.write_all(b"\n")?;
            }
            if let Some(explain) = &mut explain {
                explain::request(explain, &record)?;
            }
            totals.add(&record);
        }
        if let Some(report) = &mut report {
            report.flush()?;
        }
        if let Some(explain) = &mut explain {
            explain::totals(explain, &totals)?;
        }
        Ok(())
    }

    fn answer(&mut self, number: u64, content: &[u8], output: &mut impl Write) -> io::Result<Record> {
        let line = if self.envelope { Line::envelope(content) } else { Line::bare(content) };
        let Some(line) = line else {
            output.write_all(content)?;
            return Ok(Record::not_read(number, None, "not_json"));
        };
        let body = line.body();
        let format = match line.format {
            Some(name) => Format::named(name),
            None => self.format.or_else(|| Format::detect(body)),
        };
        let Some(format) = format else {
            output.write_all(content)?;
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
            let outcome = if is_json { "unknown_format" } else { "not_json" };
            return Ok(Record::not_read(number, Some(&line), outcome));
        };
        let request = Request {
            model: self.model.as_deref(),
            reversible: self.reversible,
            retrieve_tool: self.retrieve_tool,
            ..Request::new(format.into())
        };
        let body = body.as_bytes();
        let (outcome, explanations) = if self.explain {
            headroom_compress::compress_explained(body, &request, &self.config, &mut self.memo)
        } else {
            (headroom_compress::compress(body, &request, &self.config, &mut self.memo), Vec::new())
        };
        output.write_all(line.before().as_bytes())?;
        output.write_all(&outcome.body)?;
        output.write_all(line.after().as_bytes())?;
        Ok(Record::read(number, &line, format, &outcome, explanations))
    }
}
