//! Holds long conversations with thinking models through the whole system during events of many kinds, and
//! prints whether each stayed append-only, was answered, and got its originals.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use clap::builder::PossibleValuesParser;
use comfy_table::{CellAlignment, Table, presets};
use headroom_e2e::agent::Format;
use headroom_e2e::proof::{Conversations, Event, ROUNDS, Row, hold};
use serde_json::Value;

/// Conversations through Envoy, the filter and headroomd to a provider that checks what reasoning is bound to.
#[derive(Parser)]
struct Arguments {
    /// How many conversations of each format, as JSON and again as streams.
    #[arg(long, default_value_t = 3)]
    each: usize,
    /// Rounds of tool calls in each.
    #[arg(long, default_value_t = ROUNDS)]
    rounds: usize,
    /// The model calls headroom_retrieve before each round that this divides; 0: never.
    #[arg(long, default_value_t = 2)]
    retrieve_every: usize,
    /// What happens; all of it by default.
    #[arg(long, value_parser = PossibleValuesParser::new(Event::ALL.map(Event::name)))]
    only: Vec<String>,
    /// The formats; all of them by default.
    #[arg(long, value_parser = PossibleValuesParser::new(Format::ALL.map(Format::name)))]
    format: Vec<String>,
    /// The agents read source files, with `code_aware` and `pressure` on.
    #[arg(long)]
    sources: bool,
    /// Old turns are rewritten in a window of so many tokens, without thinking, in Messages and Chat.
    #[arg(long, value_name = "TOKENS")]
    epochs: Option<u32>,
    /// More of the filter's configuration, as a JSON object.
    #[arg(long, default_value = "{}", value_parser = |text: &str| serde_json::from_str::<Value>(text))]
    plugin: Value,
    /// How many problems are printed.
    #[arg(long, default_value_t = 20)]
    problems: usize,
}

#[tokio::main]
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what it is for")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let is_wanted = |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    let can = |format: &Format| arguments.epochs.is_none() || Conversations::CAN_REWRITE.contains(format);
    let formats =
        Format::ALL.into_iter().filter(|format| is_wanted(&arguments.format, format.name()) && can(format));
    let conversations = Conversations {
        formats: formats.collect(),
        each: arguments.each,
        rounds: arguments.rounds,
        retrieve_every: arguments.retrieve_every,
        sources: arguments.sources,
        thinks: arguments.epochs.is_none(),
        epochs: arguments.epochs.map(Conversations::rewritten_in),
        plugin: arguments.plugin,
        ..Conversations::default()
    };
    let (mut rows, mut all_held) = (Vec::new(), true);
    for event in Event::ALL.into_iter().filter(|event| is_wanted(&arguments.only, event.name())) {
        let each = if event == Event::Crowd { arguments.each.max(3) } else { arguments.each };
        let held = hold(event, &Conversations { each, ..conversations.clone() }).await;
        match held {
            Ok(held) => rows.extend(held),
            Err(error) => {
                all_held = false;
                eprintln!("headroom-proof: {}: {error:#}", event.name());
            }
        }
    }
    println!("{}", table(&rows));
    let problems: Vec<String> = rows.iter().flat_map(Row::problems).collect();
    for problem in problems.iter().take(arguments.problems) {
        eprintln!("headroom-proof: {problem}");
    }
    if problems.len() > arguments.problems {
        eprintln!("headroom-proof: and {} more", problems.len() - arguments.problems);
    }
    Ok(if problems.is_empty() && all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header([
        "while",
        "format",
        "answers",
        "conversations",
        "requests",
        "failed",
        "prefix mismatches",
        "retrievals exact",
        "asked again",
        "begins as before",
        "byte for byte",
        "rewritten at boundaries",
    ]);
    for row in rows {
        let report = &row.report;
        let same = report.later_requests - report.rewritten.len() - report.at_boundaries;
        table.add_row([
            row.event.name().to_owned(),
            row.format.name().to_owned(),
            if row.stream { "stream" } else { "JSON" }.to_owned(),
            row.conversations.to_string(),
            report.requests.to_string(),
            row.failed.len().to_string(),
            row.mismatches().to_string(),
            format!("{} of {}", row.exact, report.retrievals.len()),
            report.asked_again.to_string(),
            format!("{same} of {}", report.later_requests),
            format!("{} of {}", same - report.respelled, report.later_requests),
            report.at_boundaries.to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
