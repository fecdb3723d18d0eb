//! `headroomctl toin`: what models ask back; `headroomctl tune`: the configuration that follows from it.
//!
//! Forms stay a function of the request and the configuration: what is learned here counts once an operator deploys it.

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use headroom_api::pages::{LONGEST_TOOL, ToinPage, ToinPattern};
use serde_json::{Value, json};

use crate::running::SidecarArgs;

/// What models ask back, by tool, kind and form.
#[derive(Args, Clone, Debug)]
pub struct ToinArgs {
    /// Print the page as JSON
    #[arg(long)]
    pub json: bool,
    /// Which Headroom.
    #[command(flatten)]
    pub at: SidecarArgs,
}

/// The filter's configuration that follows from what models ask back.
#[derive(Args, Clone, Debug)]
pub struct TuneArgs {
    /// Ignore tools with fewer outputs
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub min_samples: i64,
    /// Leave nothing out where models fetched at least this share of the outputs, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 50)]
    pub lossless_above: u32,
    /// Write to FILE, for `up --filter-config`, instead of printing
    #[arg(long, short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Which Headroom.
    #[command(flatten)]
    pub at: SidecarArgs,
}

/// Asks `/v1/toin/stats` and prints it.
pub async fn toin(args: &ToinArgs) -> anyhow::Result<()> {
    let page: ToinPage = args.at.running()?.page("/v1/toin/stats", &[]).await?;
    if args.json {
        writeln!(stdout(), "{}", serde_json::to_string_pretty(&page)?)?;
        return Ok(());
    }
    if page.patterns.is_empty() {
        writeln!(stdout(), "Nothing was left out of any output so far.")?;
        return Ok(());
    }
    writeln!(stdout(), "{}", table(&page))?;
    Ok(())
}

fn table(page: &ToinPage) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "tool",
        "kind",
        "form",
        "outputs",
        "asked back",
        "rate",
        "parts",
        "advice",
    ]);
    for it in &page.patterns {
        let parts: Vec<String> = it.parts.iter().map(|(part, times)| format!("{part} {times}")).collect();
        let rate = it.retrieval_rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.0} %", rate * 100.0));
        table.add_row([
            it.tool.clone(),
            it.kind.clone(),
            it.form.clone(),
            it.outputs.to_string(),
            it.retrievals.to_string(),
            rate,
            parts.join(", "),
            it.recommendation.replace('_', " "),
        ]);
    }
    for column in 3..=5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Asks `/v1/toin/stats` and writes what follows.
pub async fn tune(args: &TuneArgs) -> anyhow::Result<()> {
    let page: ToinPage = args.at.running()?.page("/v1/toin/stats", &[]).await?;
    let text = serde_json::to_string_pretty(&tuned(&page, args.min_samples, args.lossless_above))?;
    match &args.output {
        None => writeln!(stdout(), "{text}")?,
        Some(file) => std::fs::write(file, text + "\n")
            .with_context(|| format!("{} cannot be written", file.display()))?,
    }
    Ok(())
}

/// Tools of which too much is asked back become lossless, and how often each was asked back goes into the scores of old
/// outputs.
fn tuned(page: &ToinPage, least: i64, lossless_above: u32) -> Value {
    let mut tools: Vec<(&str, i64, i64)> = Vec::new();
    for ToinPattern { tool, outputs, retrievals, .. } in &page.patterns {
        // What has no name of its own cannot be named in a rule.
        if tool.is_empty() || matches!(tool.as_str(), "other" | "unknown") || tool.contains(['*', '?']) {
            continue;
        }
        // Rules match names whatever their case.
        match tools.iter_mut().find(|(known, ..)| known.eq_ignore_ascii_case(tool)) {
            Some((_, sum, asked)) => {
                *sum = sum.saturating_add(*outputs);
                *asked = asked.saturating_add(*retrievals);
            }
            None => tools.push((tool, *outputs, *retrievals)),
        }
    }
    let rated = tools.into_iter().filter(|(_, outputs, _)| *outputs >= least.max(1));
    let mut rated: Vec<(String, i64)> = rated
        .map(|(tool, outputs, asked)| (rule(tool), (asked.saturating_mul(100) / outputs).clamp(0, 100)))
        .collect();
    rated.sort_unstable();
    let lossless: Vec<Value> = rated
        .iter()
        .filter(|(_, percent)| *percent > i64::from(lossless_above))
        .map(|(tool, _)| json!({"tool": tool, "policy": "lossless"}))
        .collect();
    let asked_back: Vec<Value> =
        rated.iter().take(256).map(|(tool, percent)| json!({"tool": tool, "percent": percent})).collect();
    json!({ "tools": lossless, "epochs": { "asked_back": asked_back } })
}

/// The name of a tool in a rule: headroomd counts long ones by how they begin.
fn rule(tool: &str) -> String {
    let is_cut = tool.chars().count() >= LONGEST_TOOL;
    if is_cut { format!("{tool}*") } else { tool.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(tool: &str, kind: &str, outputs: i64, retrievals: i64) -> ToinPattern {
        ToinPattern {
            tool: tool.to_owned(),
            kind: kind.to_owned(),
            outputs,
            retrievals,
            ..ToinPattern::default()
        }
    }

    #[test]
    fn tools_of_which_too_much_is_asked_back_become_lossless() {
        let patterns = vec![
            pattern("query", "log", 6, 5),
            pattern("query", "json", 6, 4),
            pattern("Bash", "log", 100, 8),
            pattern("rare", "log", 9, 9),
            pattern("other", "log", 90, 90),
            pattern("a*", "log", 90, 90),
            pattern("Read", "source", 0, 7),
        ];
        let page = ToinPage { patterns, ..ToinPage::default() };
        let expected = json!({
            "tools": [{"tool": "query", "policy": "lossless"}],
            "epochs": {"asked_back": [{"tool": "Bash", "percent": 8}, {"tool": "query", "percent": 75}]},
        });
        assert_eq!(tuned(&page, 10, 50), expected);
        assert_eq!(tuned(&page, 10, 80)["tools"], json!([]));
        let long = "mcp__".repeat(10)[..LONGEST_TOOL].to_owned();
        let patterns = vec![
            pattern(&long, "log", 10, i64::MAX),
            pattern("bash", "log", 8, 0),
            pattern("Bash", "json", i64::MAX, 8),
        ];
        let expected = json!([{"tool": "bash", "percent": 0}, {"tool": format!("{long}*"), "percent": 100}]);
        assert_eq!(
            tuned(&ToinPage { patterns, ..ToinPage::default() }, 10, 50)["epochs"]["asked_back"],
            expected
        );
        assert_eq!(tuned(&ToinPage::default(), 0, 0), json!({"tools": [], "epochs": {"asked_back": []}}));
        table(&page);
    }
}
