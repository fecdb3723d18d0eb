//! `headroomctl history`: what was saved over time.

use std::io::{Write as _, stdout};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use headroom_api::pages::{SeriesPoint, StatsHistory};

use crate::figures::{dollars, number, percent, table};
use crate::running::SidecarArgs;

/// Shows what was saved over time.
#[derive(Args, Clone, Debug, Default)]
pub struct HistoryArgs {
    /// One line per hour, day, week (from Monday) or month, in UTC
    #[arg(long, value_enum, default_value_t)]
    pub series: Series,
    /// Only the newest hours, days or weeks: 24h, 30d, 12w
    #[arg(long, value_name = "SPAN", value_parser = span, conflicts_with = "from")]
    pub last: Option<Duration>,
    /// From this time on: ISO 8601, as 2026-03-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only of this project
    #[arg(long, value_name = "NAME", group = "scope")]
    pub project: Option<String>,
    /// Only of this model
    #[arg(long, value_name = "NAME", group = "scope")]
    pub model: Option<String>,
    /// Only of this provider
    #[arg(long, value_name = "NAME", group = "scope")]
    pub provider: Option<String>,
    /// Only of this client stack
    #[arg(long, value_name = "NAME", group = "scope")]
    pub stack: Option<String>,
    /// Print the JSON of /stats-history unchanged
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV, with the columns of the dashboard's export
    #[arg(long)]
    pub csv: bool,
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: SidecarArgs,
}

/// The length of a line's bucket.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Series {
    /// By hour.
    Hourly,
    /// By day.
    #[default]
    Daily,
    /// By week.
    Weekly,
    /// By month.
    Monthly,
}

impl Series {
    fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }
}

/// Asks `/stats-history` and prints the answer.
pub async fn history(args: &HistoryArgs) -> anyhow::Result<()> {
    let running = args.at.running()?;
    let (path, query) = ("/stats-history", query(args, SystemTime::now()));
    let out = if args.csv {
        running.text(path, &query).await?
    } else if args.json {
        running.text(path, &query).await? + "\n"
    } else {
        lines(&running.page(path, &query).await?, args.series)
    };
    stdout().write_all(out.as_bytes())?;
    Ok(())
}

fn query(args: &HistoryArgs, now: SystemTime) -> Vec<(&'static str, String)> {
    let mut query = vec![("series", args.series.name().to_owned())];
    if args.csv {
        query.push(("format", "csv".to_owned()));
    }
    let since = args.last.map(|span| ago(now, span));
    for (name, value) in [
        ("from", &since),
        ("from", &args.from),
        ("to", &args.to),
        ("project", &args.project),
        ("model", &args.model),
        ("provider", &args.provider),
        ("stack", &args.stack),
    ] {
        if let Some(value) = value {
            query.push((name, value.clone()));
        }
    }
    query
}

/// The buckets as a table, and their sum.
pub fn lines(page: &StatsHistory, series: Series) -> String {
    let points = page.series.get(series.name()).map(Vec::as_slice).unwrap_or_default();
    if points.is_empty() {
        return "Nothing was counted in this range.\n".to_owned();
    }
    let mut table =
        table(&["", "requests", "tokens sent", "saved", "", "dollars, list price", "cache-adjusted"], 1);
    // an hour needs its time, a day its date, a month no day
    let shown = match series {
        Series::Hourly => 16,
        Series::Daily | Series::Weekly => 10,
        Series::Monthly => 7,
    };
    let mut together = SeriesPoint::default();
    for point in points {
        let start = point.timestamp.get(..shown).unwrap_or("–");
        table.add_row(cells(&start.replace('T', " "), point));
        together.requests += point.requests;
        together.tokens_before += point.tokens_before;
        together.tokens_saved += point.tokens_saved;
        together.compression_savings_usd_delta += point.compression_savings_usd_delta;
        together.compression_savings_cache_adjusted_usd_delta +=
            point.compression_savings_cache_adjusted_usd_delta;
    }
    table.add_row(cells("together", &together));
    format!("{table}\n")
}

fn cells(name: &str, point: &SeriesPoint) -> [String; 7] {
    let share = || point.tokens_saved as f64 / point.tokens_before as f64 * 100.0;
    [
        name.to_owned(),
        number(Some(point.requests)),
        number(Some(point.tokens_before)),
        number(Some(point.tokens_saved)),
        percent((point.tokens_before > 0).then(share)),
        dollars(Some(point.compression_savings_usd_delta)),
        dollars(Some(point.compression_savings_cache_adjusted_usd_delta)),
    ]
}

/// The time so long before another, in milliseconds since 1970.
pub(crate) fn ago(now: SystemTime, span: Duration) -> String {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(span).as_millis().to_string()
}

/// A number of hours, days or weeks.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    const HOUR: u64 = 3600;
    let expected =
        || format!("expected a number of hours, days or weeks, as 24h, 30d or 12w, found {text:?}");
    let unit = text.chars().last().ok_or_else(expected)?;
    let seconds = match unit {
        'h' => HOUR,
        'd' => 24 * HOUR,
        'w' => 7 * 24 * HOUR,
        _ => return Err(expected()),
    };
    let count: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| expected())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        assert_eq!(span("24h"), span("1d"));
        assert_eq!(span("2w").unwrap().as_secs(), 14 * 24 * 3600);
        for bad in ["", "d", "7", "-1d", "1y", "99999999999999999999d", "é"] {
            assert!(span(bad).unwrap_err().contains("24h"), "{bad}");
        }
    }

    #[test]
    fn a_span_counts_back_from_now() {
        let args =
            HistoryArgs { last: span("1d").ok(), model: Some("m".to_owned()), ..HistoryArgs::default() };
        let query = query(&args, UNIX_EPOCH + Duration::from_secs(100_000));
        let expected = [("series", "daily"), ("from", "13600000"), ("model", "m")];
        assert_eq!(query, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn each_bucket_is_a_line_and_the_last_line_is_their_sum() {
        let point = |day: u32, saved: i64| {
            json!({"timestamp": format!("2026-03-0{day}T00:00:00.000000Z"), "requests": 2,
                   "tokens_before": 1000, "tokens_saved": saved, "compression_savings_usd_delta": 0.5,
                   "compression_savings_cache_adjusted_usd_delta": 0.25})
        };
        let page = json!({"series": {"daily": [point(1, 100), point(2, 300)]}});
        let text = lines(&serde_json::from_value(page).unwrap(), Series::Daily);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["2026-03-01", "2", "1,000", "100", "10.0", "%", "$0.50", "$0.25"]);
        assert_eq!(rows[3], ["together", "4", "2,000", "400", "20.0", "%", "$1.00", "$0.50"]);
        assert!(lines(&StatsHistory::default(), Series::Weekly).starts_with("Nothing"));
    }
}
