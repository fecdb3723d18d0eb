//! `headroomctl perf`: what Headroom adds to a request, stage by stage.

use std::collections::BTreeMap;
use std::io::{Write as _, stdout};

use clap::Args;
use serde::Serialize;

use crate::figures::table;
use crate::number::grouped;
use crate::running::SidecarArgs;

/// Shows latency and overhead by stage.
#[derive(Args, Clone, Debug, Default)]
pub struct PerfArgs {
    /// Print JSON: one object per stage and wire format
    #[arg(long)]
    pub json: bool,
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: SidecarArgs,
}

/// The measurements of one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// The stage, as named in `/metrics`.
    pub stage: String,
    /// The wire format; empty for all formats together.
    pub api: String,
    /// How many were measured.
    pub count: u64,
    /// Their mean in milliseconds.
    pub mean_ms: f64,
    /// In milliseconds, accurate to 1 %; estimated from the histogram's buckets if headroomd does not show
    /// percentiles.
    pub p50_ms: Option<f64>,
    /// As above.
    pub p90_ms: Option<f64>,
    /// As above. `None`: beyond the last bucket.
    pub p99_ms: Option<f64>,
}

/// The stages, in the order in which a request passes them.
const STAGES: [(&str, &str); 7] = [
    ("body_wait", "the client sends its body"),
    ("parse", "the engine finds the tool outputs"),
    ("compress", "the engine walks, compresses and splices"),
    ("admit", "the sidecar stores originals"),
    ("overhead", "the whole time that the filter held the request"),
    ("ttfb", "the provider begins to answer"),
    ("latency", "from the request's headers to the end of its answer"),
];

/// Asks `/metrics` and prints its histograms.
pub async fn perf(args: &PerfArgs) -> anyhow::Result<()> {
    let running = args.at.running()?;
    let stages = stages(&running.text("/metrics", &[]).await?);
    let out = if args.json { serde_json::to_string_pretty(&stages)? + "\n" } else { lines(&stages) };
    stdout().write_all(out.as_bytes())?;
    Ok(())
}

/// The stages as a table.
pub fn lines(stages: &[Stage]) -> String {
    if stages.is_empty() {
        return "This headroomd has counted no request since it started.\n".to_owned();
    }
    let mut table = table(&["", "", "requests", "mean ms", "p50", "p90", "p99"], 2);
    let ms = |value: Option<f64>| value.map_or_else(|| "beyond".to_owned(), |ms| format!("{ms:.2}"));
    for stage in stages {
        let about = STAGES.iter().find(|(name, _)| *name == stage.stage).map_or("", |(_, about)| about);
        let name = match stage.api.as_str() {
            "" => stage.stage.clone(),
            api => format!("{} of {api}", stage.stage),
        };
        table.add_row([
            name,
            about.to_owned(),
            grouped(stage.count),
            format!("{:.2}", stage.mean_ms),
            ms(stage.p50_ms),
            ms(stage.p90_ms),
            ms(stage.p99_ms),
        ]);
    }
    format!("{table}\n\nSince this headroomd started.\n")
}

#[derive(Default)]
struct Histogram {
    /// Upper bound, and the number of values up to it.
    buckets: Vec<(f64, f64)>,
    sum: f64,
    count: f64,
    /// The largest, if known.
    max: Option<f64>,
    /// Percentiles that headroomd reports, by their share.
    known: BTreeMap<String, f64>,
}

/// The histograms in a text of `/metrics`.
pub fn stages(metrics: &str) -> Vec<Stage> {
    let mut found: BTreeMap<(usize, String, String), Histogram> = BTreeMap::new();
    for line in metrics.lines() {
        let Some((name, labels, value)) = sample(line) else { continue };
        let Some((name, part)) = ["_bucket", "_sum", "_count", "_max", "_quantile_ms"]
            .iter()
            .find_map(|part| Some((name.strip_suffix(part)?, *part)))
        else {
            continue;
        };
        let stage = match name {
            "headroom_stage_timing_ms" | "headroom_stage" => labels.get("stage").copied().unwrap_or_default(),
            _ => name.strip_prefix("headroom_").and_then(|name| name.strip_suffix("_ms")).unwrap_or_default(),
        };
        let Some(place) = STAGES.iter().position(|(known, _)| *known == stage) else { continue };
        let api = labels.get("path").copied().unwrap_or_default().to_owned();
        let histogram = found.entry((place, stage.to_owned(), api)).or_default();
        match part {
            "_sum" => histogram.sum = value,
            "_count" => histogram.count = value,
            "_max" => histogram.max = Some(value),
            "_quantile_ms" => {
                let share = labels.get("quantile").copied().unwrap_or_default();
                histogram.known.insert(share.to_owned(), value);
            }
            _ => {
                let bound = labels.get("le").and_then(|le| le.replace("+Inf", "inf").parse().ok());
                histogram.buckets.extend(bound.map(|bound: f64| (bound, value)));
            }
        }
    }
    let measured = found.into_iter().filter(|(_, histogram)| histogram.count > 0.0);
    measured
        .map(|((_, stage, api), histogram)| Stage {
            stage,
            api,
            count: histogram.count as u64,
            mean_ms: histogram.sum / histogram.count,
            p50_ms: histogram.percentile("0.5", 0.5),
            p90_ms: histogram.percentile("0.9", 0.9),
            p99_ms: histogram.percentile("0.99", 0.99),
        })
        .collect()
}

impl Histogram {
    /// headroomd's own figure, else an estimate.
    fn percentile(&self, name: &str, share: f64) -> Option<f64> {
        self.known.get(name).copied().or_else(|| self.quantile(share))
    }

    /// Prometheus's estimate, which spreads values evenly inside a bucket, but at most the largest measured value.
    /// `None` beyond the last bound.
    fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count;
        let mut below = (0.0, 0.0);
        for &(bound, count) in &self.buckets {
            if count >= rank {
                let inside = if count > below.1 { (rank - below.1) / (count - below.1) } else { 1.0 };
                let estimate = (below.0 + (bound - below.0) * inside).min(self.max.unwrap_or(f64::INFINITY));
                return bound.is_finite().then_some(estimate);
            }
            below = (bound, count);
        }
        None
    }
}

/// A line's name, labels and value. The label values of the histograms hold no quotes.
fn sample(line: &str) -> Option<(&str, BTreeMap<&str, &str>, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = series.split_once('{') else { return Some((series, BTreeMap::new(), value)) };
    let labels = labels.strip_suffix('}')?.split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name, value.trim_matches('"')))
    });
    Some((name, labels.collect(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "\
# TYPE headroom_overhead_ms histogram
headroom_overhead_ms_bucket{le=\"0.5\"} 50
headroom_overhead_ms_bucket{le=\"1\"} 90
headroom_overhead_ms_bucket{le=\"+Inf\"} 100
headroom_overhead_ms_sum 60
headroom_overhead_ms_count 100
headroom_overhead_ms_max 7
headroom_ttfb_ms_count 0
headroom_latency_ms_bucket{le=\"50\"} 4
headroom_latency_ms_bucket{le=\"+Inf\"} 4
headroom_latency_ms_sum 12
headroom_latency_ms_count 4
headroom_latency_ms_max 5
headroom_stage_timing_ms_bucket{path=\"openai_chat\",stage=\"compress\",le=\"1\"} 4
headroom_stage_timing_ms_bucket{path=\"openai_chat\",stage=\"compress\",le=\"+Inf\"} 4
headroom_stage_timing_ms_sum{path=\"openai_chat\",stage=\"compress\"} 2
headroom_stage_timing_ms_count{path=\"openai_chat\",stage=\"compress\"} 4
headroom_requests_total 100
";

    #[test]
    fn percentiles_lie_inside_their_bucket_and_none_beyond_the_last() {
        let found = stages(METRICS);
        let names: Vec<_> = found.iter().map(|stage| (stage.stage.as_str(), stage.api.as_str())).collect();
        assert_eq!(names, [("compress", "openai_chat"), ("overhead", ""), ("latency", "")]);
        let overhead = &found[1];
        assert_eq!((overhead.count, overhead.mean_ms), (100, 0.6));
        assert_eq!((overhead.p50_ms, overhead.p90_ms, overhead.p99_ms), (Some(0.5), Some(1.0), None));
        assert_eq!(found[0].p50_ms, Some(0.5));
        assert_eq!(found[2].p50_ms, Some(5.0), "no request took longer");
        assert!(lines(&found).contains("beyond"));
    }

    #[test]
    fn what_headroomd_says_of_a_percentile_wins_over_the_buckets() {
        let said = "headroom_stage_quantile_ms{path=\"\",quantile=\"0.99\",stage=\"overhead\"} 6.71\n\
                    headroom_stage_quantile_ms{path=\"openai_chat\",quantile=\"0.5\",stage=\"compress\"} 0.43\n";
        let found = stages(&format!("{METRICS}{said}"));
        assert_eq!((found[1].p50_ms, found[1].p99_ms), (Some(0.5), Some(6.71)));
        assert_eq!(found[0].p50_ms, Some(0.43));
    }

    #[test]
    fn what_is_no_metric_is_no_stage() {
        assert_eq!(stages("<html>{</html>\nheadroom_overhead_ms_count{ 3\n"), []);
        assert!(lines(&[]).starts_with("This headroomd has counted no request"));
    }
}
