//! `headroomctl compress`: the engine without Envoy, on request bodies or on texts.
//!
//! The engine and its configuration are the filter's, so the same body under the same configuration
//! gives the same bytes here and there.

mod explain;
mod format;
mod input;
mod line;
mod plan;
mod record;
mod text_model;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Stderr, Write, stderr, stdout};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use headroom_compress::{Api, Config, Explanation, Memo, Outcome, Request, RetrieveTool};

pub use self::format::Format;
pub(crate) use self::input::Input;
use self::line::Line;
use self::plan::Change;
use self::record::{Record, Totals};
use self::text_model::TextModel;
pub use self::text_model::TextModelArgs;
use crate::environment::{CODE_AWARE, Environment};
use crate::profile::ProfileName;
use crate::text;

/// Memory for remembered blocks by default. Bytes. Several conversations may interleave, and no VM shares
/// this memory.
const DEFAULT_MEMO_MIB: usize = 128;

/// How the model gets back what a lossy replacement leaves out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum RetrieveToolName {
    /// In a way that the request does not show
    #[default]
    Assume,
    /// Through headroom_retrieve, if the request lists it
    Require,
    /// Through headroom_retrieve, which is added to the request's tools
    Add,
}

/// Compresses request bodies, one JSON body per line, or texts.
#[derive(Args, Clone, Debug, Default)]
pub struct CompressArgs {
    /// Bodies: a line each, or one in a file of several lines; `-` is standard input [default: standard input]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Compress a text, as if a tool had printed it; `-` is standard input. May be given several times
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["files", "envelope", "format", "retrieve_tool", "model"]
    )]
    pub text: Vec<PathBuf>,
    /// Print a plan for each request instead: tokens before and after, and each tool output's form and diff
    #[arg(long, conflicts_with = "diff")]
    pub simulate: bool,
    /// Print the tool outputs that change instead, as a unified diff
    #[arg(long)]
    pub diff: bool,
    /// Lines are {"id", "turn", "format", "body"}; everything but the body comes back unchanged
    #[arg(long)]
    pub envelope: bool,
    /// The wire format of all lines; an envelope's own wins [default: recognized from each body]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// How strongly tool outputs may be shortened
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileName,
    /// Leave out bodies of functions of source files that are read as a whole [env: HEADROOM_CODE_AWARE_ENABLED]
    #[arg(long)]
    pub code_aware: bool,
    /// Press new outputs harder as a conversation passes 90,000, 180,000 and 260,000 tokens
    #[arg(long)]
    pub pressure: bool,
    /// Use lossless forms only, as if no original could be stored
    #[arg(long)]
    pub without_store: bool,
    /// How the model gets back what a lossy replacement leaves out
    #[arg(long, value_enum, default_value_t)]
    pub retrieve_tool: RetrieveToolName,
    /// The model, if only the path names it (Gemini)
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Write what happened to each block to FILE, one JSON object per request
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print what happened to each block, in readable form, on standard error
    #[arg(long)]
    pub explain: bool,
    /// Memory for remembered blocks; it changes the speed, never the result
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT_MEMO_MIB)]
    pub memo: usize,
    /// The text model
    #[command(flatten)]
    pub text_model: TextModelArgs,
}

/// The tool that a text comes from.
const SOME_TOOL: &str = "tool";

/// Reads files, or standard input, to their end.
pub fn compress(args: &CompressArgs) -> anyhow::Result<()> {
    input::check(&args.files)?;
    input::check(&args.text)?;
    let report = match &args.report {
        None => None,
        Some(path) => {
            let file = File::create(path).with_context(|| format!("--report: {}", path.display()))?;
            Some(BufWriter::new(file))
        }
    };
    let code_aware = args.code_aware || Environment::of_process().flag(CODE_AWARE)?;
    let args = &CompressArgs { code_aware, ..args.clone() };
    let text_model = TextModel::load(&args.text_model, Environment::of_process())?;
    let mut run = Run {
        compressor: Compressor::new(args),
        text_model,
        answers: Answers::of(args),
        output: stdout().lock(),
        report,
        explain: args.explain.then(stderr),
        totals: Totals::default(),
    };
    match run.all(args) {
        // The reader has closed the pipe, as in `… | head`.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        outcome => outcome,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What is written for a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answers {
    /// The body that would be forwarded.
    Bodies,
    /// The plan for it.
    Plans,
    /// The differences.
    Diffs,
}

impl Answers {
    fn of(args: &CompressArgs) -> Self {
        match (args.simulate, args.diff) {
            (true, _) => Self::Plans,
            (_, true) => Self::Diffs,
            _ => Self::Bodies,
        }
    }
}

/// The outputs and sums of a run over all inputs.
struct Run<O> {
    compressor: Compressor,
    text_model: Option<TextModel>,
    answers: Answers,
    output: O,
    report: Option<BufWriter<File>>,
    explain: Option<Stderr>,
    totals: Totals,
}

impl<O: Write> Run<O> {
    fn all(&mut self, args: &CompressArgs) -> anyhow::Result<()> {
        for path in &args.text {
            self.text(Input::open(path)?)?;
        }
        for path in &args.files {
            let input = Input::open(path)?;
            self.lines(input).with_context(|| format!("{} was not read to its end", path.display()))?;
        }
        if args.text.is_empty() && args.files.is_empty() {
            let outcome = self.lines(Input::stdin(args.explain));
            outcome.context("standard input could not be compressed to its end")?;
        }
        if let Some(report) = &mut self.report {
            report.flush().context("--report")?;
        }
        if let Some(explain) = &mut self.explain {
            explain::totals(explain, &self.totals)?;
        }
        Ok(())
    }

    /// Writes an answer for each line, in order and immediately.
    fn lines(&mut self, mut input: Input) -> io::Result<()> {
        let mut line = Vec::new();
        for number in 1.. {
            if !input.line(number == 1, &mut line)? {
                break;
            }
            let (content, end) = match line.strip_suffix(b"\n") {
                Some(content) => (content, "\n"),
                None => (line.as_slice(), ""),
            };
            let mut answer = self.compressor.answer(number, content);
            answer.record.file.clone_from(&input.name);
            answer.after[1] = end;
            self.write(&answer)?;
        }
        Ok(())
    }

    fn text(&mut self, input: Input) -> anyhow::Result<()> {
        let name = input.name.clone();
        let text = input.text()?;
        let mut answer = self.compressor.text(&text);
        answer.record.file = name;
        if let Some(model) = &self.text_model {
            answer.shorten(&text, model)?;
        }
        Ok(self.write(&answer)?)
    }

    fn write(
        &mut self,
        Answer { before, body, after, record, changes, messages }: &Answer<'_>,
    ) -> io::Result<()> {
        let out = &mut self.output;
        match self.answers {
            Answers::Bodies => {
                out.write_all(before.as_bytes())?;
                out.write_all(body)?;
                after.iter().try_for_each(|after| out.write_all(after.as_bytes()))?;
            }
            Answers::Plans => plan::simulated(out, record, changes, messages)?,
            Answers::Diffs => plan::differences(out, record, changes, messages)?,
        }
        out.flush()?;
        if let Some(report) = &mut self.report {
            serde_json::to_writer(&mut *report, record)?;
            report.write_all(b"\n")?;
        }
        if let Some(explain) = &mut self.explain {
            explain::request(explain, record)?;
        }
        self.totals.add(record);
        Ok(())
    }
}

/// The result for a line, or for a text.
struct Answer<'l> {
    before: &'l str,
    body: Cow<'l, [u8]>,
    after: [&'l str; 2],
    record: Record,
    /// For each block, if they are to be shown.
    changes: Vec<Option<Change>>,
    /// The message of each block, if they are to be shown.
    messages: Vec<Option<usize>>,
}

impl<'l> Answer<'l> {
    fn unread(content: &'l [u8], record: Record) -> Self {
        let body = Cow::Borrowed(content);
        Self { before: "", body, after: [""; 2], record, changes: Vec::new(), messages: Vec::new() }
    }
}

impl Answer<'_> {
    /// A text that no form has shortened, shortened by a text model.
    fn shorten(&mut self, text: &str, model: &TextModel) -> anyhow::Result<()> {
        let ([block], false) = (&mut *self.record.blocks, matches!(self.changes.first(), Some(Some(_))))
        else {
            return Ok(());
        };
        let Some(short) = model.shorten(text, block.kind, block.tokens_before)? else { return Ok(()) };
        self.record.note_shortened(&short);
        self.changes = vec![Some(Change::new(text, &short.text))];
        self.body = Cow::Owned(short.text.into_bytes());
        self.record.bytes_after = self.body.len();
        Ok(())
    }
}

/// The engine with everything that stays the same from line to line.
#[derive(Debug)]
struct Compressor {
    config: Config,
    reversible: bool,
    retrieve_tool: RetrieveTool,
    model: Option<String>,
    format: Option<Format>,
    envelope: bool,
    /// Whether forms that were only tried are counted too.
    explain: bool,
    /// Whether the texts of blocks are shown.
    shows: bool,
    memo: Memo,
}

impl Compressor {
    /// The engine with the settings from the arguments.
    fn new(args: &CompressArgs) -> Self {
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
            shows: Answers::of(args) != Answers::Bodies,
            memo: Memo::new(args.memo.saturating_mul(1 << 20)),
        }
    }

    fn answer<'l>(&mut self, number: u64, content: &'l [u8]) -> Answer<'l> {
        let line = if self.envelope { Line::envelope(content) } else { Line::bare(content) };
        let Some(line) = line else {
            return Answer::unread(content, Record::not_read(number, None, "not_json"));
        };
        let body = line.body();
        let format = match line.format {
            Some(name) => Format::named(name),
            None => self.format.or_else(|| Format::detect(body)),
        };
        let Some(format) = format else {
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
            let outcome = if is_json { "unknown_format" } else { "not_json" };
            return Answer::unread(content, Record::not_read(number, Some(&line), outcome));
        };
        let (outcome, explanations) = self.outcome(body, format.into());
        let record = Record::read(number, &line, format, &outcome, explanations);
        let (changes, messages) = if self.shows {
            (plan::changes(body, &outcome), plan::messages(body, &outcome))
        } else {
            Default::default()
        };
        Answer {
            before: line.before(),
            body: outcome.body,
            after: [line.after(), ""],
            record,
            changes,
            messages,
        }
    }

    /// A text, as the only tool output of a request.
    fn text<'t>(&mut self, text: &'t str) -> Answer<'t> {
        let body = text::request(text, SOME_TOOL, "");
        let (outcome, explanations) = self.outcome(&body, Api::OpenAiChat);
        let changes = plan::changes(&body, &outcome);
        let line = Line::whole(&body);
        let mut record = Record::read(1, &line, Format::OpenaiChat, &outcome, explanations);
        let body = match changes.first() {
            Some(Some(change)) => Cow::Owned(change.after.clone().into_bytes()),
            _ => Cow::Borrowed(text.as_bytes()),
        };
        record = record.of_text(text.len(), body.len());
        Answer { before: "", body, after: [""; 2], record, changes, messages: Vec::new() }
    }

    fn outcome<'b>(&mut self, body: &'b str, api: Api) -> (Outcome<'b>, Vec<Option<Explanation>>) {
        let request = Request {
            model: self.model.as_deref(),
            reversible: self.reversible,
            retrieve_tool: self.retrieve_tool,
            ..Request::new(api)
        };
        let body = body.as_bytes();
        if self.explain {
            headroom_compress::compress_explained(body, &request, &self.config, &mut self.memo)
        } else {
            (headroom_compress::compress(body, &request, &self.config, &mut self.memo), Vec::new())
        }
    }
}
