//! The output of the demo.

use std::fmt::Write as _;

use headroom_api::pages::Stats;
use headroom_prices::Price;
use serde_json::Value;

use super::Turn;
use super::conversation::Conversation;
use crate::figures::{milliseconds, shortened, table, wrapped};
use crate::number::{grouped, saved};

/// The number of lines of a tool output that are shown, and of characters of each.
const LINES: usize = 14;
const CHARACTERS: usize = 96;
/// Characters of what is new in a turn.
const NEWS: usize = 34;
/// Characters of a line of sentences.
const WIDTH: usize = 100;

pub(super) fn introduction(conversation: &Conversation, envoy: bool) -> String {
    let way = if envoy {
        "Each goes through Envoy with the filter to a provider in this program, which plays the answers back. Nothing \
         leaves this machine."
    } else {
        "The engine runs in this program: it gives the same bytes as the filter in Envoy. Nothing leaves this machine."
    };
    format!(
        "A recorded conversation: Claude Code repairs failing tests in {} requests to {}.\n{way}\n\n",
        conversation.turns(),
        conversation.model()
    )
}

/// One line per turn.
pub(super) fn turns(conversation: &Conversation, turns: &[Turn]) -> String {
    let price = price(conversation);
    let header = ["turn", "what is new in it", "tokens in", "out", "saved", "from cache", "without", "with"];
    let mut table = table(&header, 2);
    for (n, turn) in turns.iter().enumerate() {
        let (before, after) = (turn.before.usage, turn.after.usage);
        table.add_row([
            (n + 1).to_string(),
            shortened(&printable(&conversation.news(n)), NEWS),
            grouped(before.prompt()),
            grouped(after.prompt()),
            saved(before.prompt(), after.prompt()),
            grouped(after.read),
            cents(before.cost(price)),
            cents(after.cost(price)),
        ]);
    }
    let sum = |of: fn(&Turn) -> u64| turns.iter().map(of).sum::<u64>();
    let (before, after) = (sum(|it| it.before.usage.prompt()), sum(|it| it.after.usage.prompt()));
    table.add_row([
        String::new(),
        "together".to_owned(),
        grouped(before),
        grouped(after),
        saved(before, after),
        grouped(sum(|it| it.after.usage.read)),
        cents(turns.iter().map(|turn| turn.before.usage.cost(price)).sum()),
        cents(turns.iter().map(|turn| turn.after.usage.cost(price)).sum()),
    ]);
    format!("{table}\n")
}

/// What a reader of the figures may wonder about.
pub(super) fn own_tool() -> String {
    wrapped(
        "Each request also carries the definition of headroom_retrieve, with which the model gets back what \
         was left out. Prompts of less than 4,096 tokens are not cached by the provider.",
        "",
        WIDTH,
    )
}

/// The tool output with the largest saving, before and after.
pub(super) fn example(turns: &[Turn]) -> String {
    let Some(last) = turns.last() else { return String::new() };
    let after = outputs(&last.after.body);
    let pairs = outputs(&last.before.body).into_iter().filter_map(|(id, before)| {
        let (_, after) = after.iter().find(|(other, _)| *other == id)?;
        Some((id, before, *after))
    });
    let Some((id, before, after)) =
        pairs.max_by_key(|(_, before, after)| before.len().saturating_sub(after.len()))
    else {
        return String::new();
    };
    let mut out = format!("\nOne of its tool outputs, {}:\n", tool(&last.before.body, id));
    for (what, text) in [("as the agent sends it", before), ("as the provider gets it", after)] {
        let lines = text.lines().count();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n  {what}: {lines} lines, {} bytes", grouped(text.len() as u64));
        for line in text.lines().take(LINES) {
            let _ = writeln!(out, "  | {}", shortened(&printable(line), CHARACTERS).trim_start_matches('–'));
        }
        if lines > LINES {
            let _ = writeln!(out, "  | … {} lines more", lines - LINES);
        }
    }
    out
}

/// The total, and what to do next.
pub(super) fn bill(conversation: &Conversation, turns: &[Turn], stats: Option<&Stats>) -> String {
    let price = price(conversation);
    let without: f64 = turns.iter().map(|turn| turn.before.usage.cost(price)).sum();
    let with: f64 = turns.iter().map(|turn| turn.after.usage.cost(price)).sum();
    let bill = format!(
        "The bill: {} instead of {}, {:.1} % less, answers included: at the list prices of {} as of {}, with the provider's \
         cache read and written in both. The answers were the same.",
        cents(with),
        cents(without),
        (without - with) / without * 100.0,
        conversation.model(),
        headroom_prices::CHECKED.get(..10).unwrap_or_default()
    );
    let mut out = format!("\n{}", wrapped(&bill, "", WIDTH));
    if let Some(stats) = stats {
        let tokens = stats.tokens.clone().unwrap_or_default();
        let overhead = stats.overhead.as_ref();
        let counted = format!(
            "headroomd has counted {} requests and {} tokens not sent; the filter held half of them for at most {}.",
            stats.requests.as_ref().map_or(0, |it| it.total),
            grouped(u64::try_from(tokens.saved).unwrap_or(0)),
            milliseconds(overhead.and_then(|it| it.p50_ms)),
        );
        out.push_str(&wrapped(&counted, "", WIDTH));
    }
    out.push_str(
        "\nEverything has been stopped and removed. Next: `headroomctl up`, or `headroomctl wrap claude`.\n",
    );
    out
}

fn price(conversation: &Conversation) -> Price {
    headroom_prices::find("anthropic", conversation.model()).map(|listed| listed.price).unwrap_or_default()
}

/// Dollars to a hundredth of a cent.
fn cents(usd: f64) -> String {
    format!("${usd:.4}")
}

/// The tool outputs of a body that are texts, by the ids of their calls.
fn outputs(body: &Value) -> Vec<(&str, &str)> {
    blocks(body)
        .filter(|block| block["type"] == "tool_result")
        .filter_map(|block| Some((block["tool_use_id"].as_str()?, block["content"].as_str()?)))
        .collect()
}

/// The call with this id.
fn tool(body: &Value, id: &str) -> String {
    let call = blocks(body).find(|block| block["type"] == "tool_use" && block["id"] == *id);
    let Some(call) = call else { return "of an unknown tool".to_owned() };
    let name = call["name"].as_str().unwrap_or_default();
    let about = call["input"]["command"].as_str().or_else(|| call["input"]["file_path"].as_str());
    printable(&format!("of {name} {}", about.unwrap_or_default()))
}

fn blocks(body: &Value) -> impl Iterator<Item = &Value> {
    let messages = body["messages"].as_array().into_iter().flatten();
    messages.filter_map(|message| message["content"].as_array()).flatten()
}

/// Recorded colours and bells are not for this terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}
