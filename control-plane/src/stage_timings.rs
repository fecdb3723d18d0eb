//! One log line per request for performance analysis: the time of each stage.
//!
//! At the level debug: `HEADROOM_LOG=info,stage_timings=debug` shows it.

use serde_json::{Map, Value, json};

use crate::ledger::contribution::{CountedRequest, stages};

/// The stages in a request's order, with their names in the log and in the ledger. A stage that a
/// request has not passed is `null`.
const STAGES: [(&str, &str); 8] = [
    ("body_wait", "body_wait"),
    ("parse", "parse"),
    ("compress", "compress"),
    ("memory_context", "memory_context"),
    ("admit", "admit"),
    ("total_pre_upstream", "overhead"),
    ("upstream_first_byte", "ttfb"),
    ("total", "latency"),
];

/// Writes the lines of stored requests, if the log level is on.
pub(crate) fn log(landed: &[CountedRequest]) {
    if !tracing::enabled!(target: "stage_timings", tracing::Level::DEBUG) {
        return;
    }
    for request in landed {
        let id = &request.record.request_id;
        tracing::debug!(target: "stage_timings", "[{id}] STAGE_TIMINGS {}", line(request));
    }
}

fn line(request: &CountedRequest) -> Value {
    let record = &request.record;
    let ms = |stage: &str| {
        let measured = stages(record).find(|(name, _)| *name == stage);
        measured.map(|(_, us)| f64::from(us) / 1e3)
    };
    let stages: Map<_, _> =
        STAGES.iter().map(|(name, stage)| ((*name).to_owned(), ms(stage).into())).collect();
    json!({
        "event": "stage_timings",
        "path": record.api,
        "request_id": record.request_id,
        "session_id": record.conversation_id,
        "stages": stages,
    })
}

#[cfg(test)]
mod tests {
    use headroom_api::v1::{RequestRecord, Timings};

    use super::*;
    use crate::ledger::contribution::{Accounting, Contribution};

    #[test]
    fn a_stage_that_was_not_gone_through_is_null() {
        let record = RequestRecord {
            request_id: "hr_1".to_owned(),
            api: "openai_chat".to_owned(),
            timings: Some(Timings { body_wait_us: 1_500, total_us: 9_000, ..Timings::default() }),
            ..RequestRecord::default()
        };
        let landed = Contribution::of([("vm", &record)], &Accounting::default(), 0).requests;
        let line = line(&landed[0]);
        assert_eq!(line["stages"]["body_wait"], 1.5);
        assert_eq!(line["stages"]["total"], 9.0);
        assert_eq!(line["stages"]["admit"], Value::Null);
        assert_eq!(line["stages"].as_object().unwrap().len(), STAGES.len());
        assert_eq!((&line["path"], &line["request_id"]), (&"openai_chat".into(), &"hr_1".into()));
    }
}
