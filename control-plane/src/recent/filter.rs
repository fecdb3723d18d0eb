//! The filter for requests.

use std::collections::BTreeMap;

use headroom_api::names::outcome_name;
use headroom_api::v1::RequestRecord;

use crate::ledger::contribution::CountedRequest;

/// Maximum characters of a value.
const LONGEST: usize = 256;

/// The filter; empty parts match every request.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentFilter {
    /// Names of attributes and their required values.
    values: Vec<(&'static str, String)>,
    status: Status,
    /// In lower case: a name in the request must contain it.
    text: String,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Status {
    #[default]
    Any,
    Ok,
    Failed,
    /// From one to below another.
    Between(u32, u32),
}

impl RecentFilter {
    /// Attributes of the filter, with their names in the query.
    pub(crate) const ATTRIBUTES: [&'static str; 10] = [
        "model",
        "provider",
        "project",
        "stack",
        "tenant",
        "team",
        "key",
        "outcome",
        "conversation",
        "request",
    ];

    /// Reads a query; the message says what was expected.
    pub(crate) fn read(query: &BTreeMap<String, String>) -> Result<Self, String> {
        let value = |name: &str| {
            let value = query.get(name).map(|value| value.trim()).unwrap_or_default();
            if value.chars().count() > LONGEST {
                return Err(format!("{name}: expected {LONGEST} characters at most"));
            }
            Ok(value.to_owned())
        };
        let mut wanted = Self { text: value("q")?.to_lowercase(), ..Self::default() };
        for name in Self::ATTRIBUTES {
            let value = value(name)?;
            if !value.is_empty() {
                wanted.values.push((name, value));
            }
        }
        wanted.status = Status::read(&value("status")?)?;
        Ok(wanted)
    }

    /// Whether every request matches.
    pub(crate) fn is_everything(&self) -> bool {
        self.values.is_empty() && self.status == Status::Any && self.text.is_empty()
    }

    /// Whether a request matches.
    pub(crate) fn matches(&self, landed: &CountedRequest) -> bool {
        let record = &landed.record;
        self.values.iter().all(|(name, value)| attribute(record, name) == value)
            && self.status.matches(landed)
            && (self.text.is_empty() || self.is_named_in(record))
    }

    fn is_named_in(&self, record: &RequestRecord) -> bool {
        let names = Self::ATTRIBUTES.iter().map(|name| attribute(record, name));
        let tools = record.blocks.iter().map(|block| block.tool.as_str());
        let others = [&record.error_class, &record.answered_model, &record.stop_reason];
        let mut all = names.chain(tools).chain(others.map(String::as_str));
        all.any(|name| name.to_lowercase().contains(&self.text))
    }
}

/// The value of an attribute of a request; empty if it has none.
pub(super) fn attribute<'r>(record: &'r RequestRecord, name: &str) -> &'r str {
    match name {
        "model" => &record.model,
        "provider" => &record.provider,
        "project" => &record.project,
        "stack" => &record.stack,
        "tenant" => &record.tenant,
        "team" => &record.team,
        "key" => &record.key,
        "outcome" => outcome_name(record.outcome()),
        "conversation" => &record.conversation_id,
        "request" => &record.request_id,
        "error" => &record.error_class,
        _ => "",
    }
}

impl Status {
    fn read(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|status| *status <= 999);
        match text {
            "" => Ok(Self::Any),
            "ok" => Ok(Self::Ok),
            "failed" => Ok(Self::Failed),
            _ => {
                let hundred = text.strip_suffix("xx").and_then(number).filter(|digit| *digit < 10);
                let range = hundred.map(|digit| (digit * 100, digit * 100 + 100));
                let range = range.or_else(|| number(text).map(|status| (status, status + 1)));
                let (from, to) = range.ok_or("status: expected ok, failed, a status, or 4xx")?;
                Ok(Self::Between(from, to))
            }
        }
    }

    fn matches(self, landed: &CountedRequest) -> bool {
        match self {
            Self::Any => true,
            Self::Ok => landed.sums.failed == 0,
            Self::Failed => landed.sums.failed != 0,
            Self::Between(from, to) => (from..to).contains(&landed.record.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use headroom_api::v1::BlockRecord;

    use super::*;
    use crate::clock::now_ms;
    use crate::ledger::contribution::{Accounting, Contribution};

    fn landed(status: u32) -> CountedRequest {
        let record = RequestRecord {
            request_id: "hr_1".to_owned(),
            model: "Claude-X".to_owned(),
            project: "my app".to_owned(),
            conversation_id: "c1".to_owned(),
            error_class: "overloaded_error".to_owned(),
            status,
            blocks: vec![BlockRecord { tool: "Read".to_owned(), ..BlockRecord::default() }],
            ..RequestRecord::default()
        };
        let requests = Contribution::of([("vm", &record)], &Accounting::default(), now_ms()).requests;
        requests.into_iter().next().unwrap()
    }

    fn wanted(pairs: &[(&str, &str)]) -> Result<RecentFilter, String> {
        RecentFilter::read(
            &pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn a_request_is_meant_where_everything_holds() {
        let request = landed(529);
        for meant in [
            &[][..],
            &[("model", "Claude-X"), ("project", " my app ")],
            &[("status", "failed")],
            &[("status", "5xx")],
            &[("status", "529"), ("request", "hr_1")],
            &[("q", "OVERLOADED")],
            &[("q", "read")],
            &[("q", "claude"), ("conversation", "c1")],
            &[("outcome", "unspecified"), ("unknown", "x")],
        ] {
            assert!(wanted(meant).unwrap().matches(&request), "{meant:?}");
        }
        for other in [
            &[("model", "claude-x")][..],
            &[("model", "Claude-X"), ("project", "other")],
            &[("status", "ok")],
            &[("status", "4xx")],
            &[("status", "528")],
            &[("q", "nothing of this")],
            &[("tenant", "t")],
        ] {
            assert!(!wanted(other).unwrap().matches(&request), "{other:?}");
        }
        assert!(wanted(&[("status", "ok")]).unwrap().matches(&landed(200)));
        assert!(wanted(&[("q", " "), ("model", "")]).unwrap().is_everything());
        assert!(!wanted(&[("q", "x")]).unwrap().is_everything());
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        for bad in ["x", "-1", "99999999999", "xx", "55xx", "4XX", "1000"] {
            assert!(wanted(&[("status", bad)]).is_err(), "{bad}");
        }
        assert!(wanted(&[("q", &"x".repeat(LONGEST + 1))]).is_err());
        assert!(wanted(&[("model", &"\u{e9}".repeat(LONGEST))]).is_ok());
    }
}
