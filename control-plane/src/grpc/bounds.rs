//! Counts the parts of a message while it arrives: a part takes two bytes at least in it, and hundreds once it is
//! decoded.

use tonic::Status;

use super::report::MAX_RECORDS;
use super::text_model::MAX_OUTPUTS;
use crate::originals::MAX_ORIGINALS;

/// The most parts of a kind that a message may have.
struct Bound {
    /// The numbers of the fields that lead to it.
    path: &'static [u32],
    name: &'static str,
    most: usize,
}

const fn bound(path: &'static [u32], name: &'static str, most: usize) -> Bound {
    Bound { path, name, most }
}

/// Parts of all records of a report together: four times those of a thousand records with fifty blocks each.
const MAX_IN_RECORDS: usize = 200_000;
/// Messages of all logs of a report together. A filter sends a megabyte of logs at most, and a message is three bytes of it at
/// least: a report that is refused would be sent again and again.
const MAX_LOGGED: usize = 400_000;
/// Originals that are counted as too many, one by one, beyond those that are taken.
const MAX_COUNTED_ORIGINALS: usize = 64 * MAX_ORIGINALS;

const REPORT: [Bound; 10] = [
    bound(&[3], "records", MAX_RECORDS),
    bound(&[3, 12], "records.blocks", MAX_IN_RECORDS),
    bound(&[3, 42], "records.rate_limits", MAX_IN_RECORDS),
    bound(&[3, 44, 6], "records.cache_layout.breakpoints", MAX_IN_RECORDS),
    bound(&[3, 44, 15], "records.cache_layout.volatile_tokens", MAX_IN_RECORDS),
    bound(&[3, 81], "records.retrievals", MAX_IN_RECORDS),
    bound(&[6], "logged_messages", MAX_RECORDS),
    bound(&[6, 2], "logged_messages.request_messages", MAX_LOGGED),
    bound(&[6, 6], "logged_messages.blocks", MAX_IN_RECORDS),
    bound(&[7], "websocket_sessions", MAX_RECORDS),
];
const ADMIT: [Bound; 1] = [bound(&[3], "originals", MAX_COUNTED_ORIGINALS)];
const DECIDE: [Bound; 1] = [bound(&[4], "outputs", MAX_OUTPUTS)];

/// Reads the messages of a call, and counts their parts.
#[derive(Debug)]
pub(super) struct PartCounter {
    bounds: &'static [Bound],
    /// For each bound.
    counts: Vec<usize>,
    next: Next,
    /// Bytes of the message that have not come.
    left: usize,
    /// The fields that are open, each with the bytes of the message that follow it.
    open: Vec<(u32, usize)>,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// The head of a message, of which so many bytes have come, and the length in them.
    Head(u8, usize),
    /// The rest of a message that is compressed, which nobody here reads.
    Compressed,
    Tag(Varint),
    /// The length of a field.
    Length(u32, Varint),
    /// A number.
    Number,
    /// So many bytes of a field that are not looked into.
    Content(usize),
}

/// A number of which some bytes have come.
#[derive(Clone, Copy, Debug, Default)]
struct Varint {
    value: u64,
    bits: u32,
}

impl Varint {
    /// With the next byte; the number if that is its last.
    fn with(self, byte: u8) -> Result<u64, Self> {
        let value = self.value | u64::from(byte & 0x7f).checked_shl(self.bits).unwrap_or(0);
        if byte < 0x80 { Ok(value) } else { Err(Self { value, bits: self.bits + 7 }) }
    }
}

impl PartCounter {
    /// For the messages of a method; `None`: they have no parts that need to be counted.
    pub(super) fn of(method: &str) -> Option<Self> {
        let bounds: &[Bound] = match method {
            "/headroom.v1.ControlPlane/Report" => &REPORT,
            "/headroom.v1.Originals/Admit" => &ADMIT,
            "/headroom.v1.TextModel/Decide" => &DECIDE,
            _ => return None,
        };
        Some(Self {
            bounds,
            counts: vec![0; bounds.len()],
            next: Next::Head(0, 0),
            left: 0,
            open: Vec::new(),
        })
    }

    /// Reads what comes next. An error: there is too much of something.
    pub(super) fn read(&mut self, mut data: &[u8]) -> Result<(), Status> {
        loop {
            if matches!(self.next, Next::Tag(_)) {
                self.open.truncate(self.open.iter().take_while(|(_, behind)| *behind < self.left).count());
                if self.left == 0 {
                    self.counts.fill(0);
                    self.next = Next::Head(0, 0);
                }
            }
            if let Next::Content(bytes) = self.next {
                let come = bytes.min(data.len());
                data = data.get(come..).unwrap_or_default();
                self.left -= come;
                if come < bytes {
                    self.next = Next::Content(bytes - come);
                    return Ok(());
                }
                self.next = Next::Tag(Varint::default());
                continue;
            }
            let Some((&byte, rest)) = data.split_first() else { return Ok(()) };
            data = rest;
            self.next = match self.next {
                Next::Head(come, length) => self.after_head(come, length, byte),
                Next::Compressed => return Ok(()),
                _ if self.left == 0 => return Err(malformed()),
                within => {
                    self.left -= 1;
                    self.after(within, byte)?
                }
            };
        }
    }

    fn after_head(&mut self, come: u8, length: usize, byte: u8) -> Next {
        match come {
            0 if byte == 0 => Next::Head(1, 0),
            0 => Next::Compressed,
            come => {
                let length = length << 8 | usize::from(byte);
                if come < 4 {
                    return Next::Head(come + 1, length);
                }
                self.left = length;
                Next::Tag(Varint::default())
            }
        }
    }

    fn after(&mut self, next: Next, byte: u8) -> Result<Next, Status> {
        Ok(match next {
            Next::Tag(come) => match come.with(byte) {
                Err(come) => Next::Tag(come),
                Ok(key) => match (u32::try_from(key >> 3), key & 7) {
                    (Ok(_), 0) => Next::Number,
                    (Ok(_), 1) => self.content(8)?,
                    (Ok(field), 2) => Next::Length(field, Varint::default()),
                    (Ok(_), 5) => self.content(4)?,
                    // No message here has groups, and a decoder passes over what is in them.
                    _ => return Err(malformed()),
                },
            },
            Next::Length(field, come) => match come.with(byte) {
                Err(come) => Next::Length(field, come),
                Ok(length) => self.field(field, usize::try_from(length).unwrap_or(usize::MAX))?,
            },
            Next::Number if byte < 0x80 => Next::Tag(Varint::default()),
            other => other,
        })
    }

    /// What comes behind the length of a field.
    fn field(&mut self, field: u32, length: usize) -> Result<Next, Status> {
        let fields = || self.open.iter().map(|(field, _)| *field).chain([field]);
        let depth = self.open.len() + 1;
        let mut is_open = false;
        for (bound, count) in self.bounds.iter().zip(&mut self.counts) {
            if !bound.path.iter().copied().take(depth).eq(fields()) {
                continue;
            }
            if bound.path.len() > depth {
                is_open = true;
                continue;
            }
            *count += 1;
            if *count > bound.most {
                let Bound { name, most, .. } = bound;
                return Err(Status::invalid_argument(format!(
                    "{name}: expected at most {most} in one message, found more: send them in parts"
                )));
            }
        }
        let content = self.content(length)?;
        if !is_open {
            return Ok(content);
        }
        self.open.push((field, self.left - length));
        Ok(Next::Tag(Varint::default()))
    }

    /// So many bytes, which the innermost open field has to have.
    fn content(&self, bytes: usize) -> Result<Next, Status> {
        let behind = self.open.last().map_or(0, |(_, behind)| *behind);
        if bytes <= self.left.saturating_sub(behind) { Ok(Next::Content(bytes)) } else { Err(malformed()) }
    }
}

/// What no decoder reads, or this one would read differently.
fn malformed() -> Status {
    Status::invalid_argument("the message cannot be read")
}

#[cfg(test)]
mod tests {
    use headroom_api::v1::{
        AdmitRequest, BlockRecord, Breakpoint, CacheLayout, DecideRequest, LoggedBlock, LoggedMessages,
        Original, RateLimit, ReportRequest, RequestRecord, Retrieval, TextOutput, VolatileToken,
        WebSocketSession,
    };
    use prost::Message;

    use super::*;

    const REPORT: &str = "/headroom.v1.ControlPlane/Report";
    const ADMIT: &str = "/headroom.v1.Originals/Admit";
    const DECIDE: &str = "/headroom.v1.TextModel/Decide";

    fn frame(message: &[u8]) -> Vec<u8> {
        [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
    }

    /// The name of what is too much.
    fn excess(method: &str, message: &impl Message) -> Option<String> {
        let frame = frame(&message.encode_to_vec());
        let read = |piece: usize| {
            let mut counter = PartCounter::of(method).unwrap();
            frame.chunks(piece).find_map(|piece| counter.read(piece).err())
        };
        let [whole, pieces] = [frame.len(), 7]
            .map(read)
            .map(|status| status.map(|status| status.message().split_once(':').unwrap().0.to_owned()));
        assert_eq!(whole, pieces);
        whole
    }

    fn report(record: RequestRecord) -> ReportRequest {
        ReportRequest { vm_id: "vm".to_owned(), records: vec![record], ..ReportRequest::default() }
    }

    #[test]
    fn too_many_parts_of_each_kind_are_found() {
        let most = MAX_IN_RECORDS + 1;
        let record = RequestRecord { sequence: 1, request_id: "r".to_owned(), ..RequestRecord::default() };
        let layout =
            |cache_layout| report(RequestRecord { cache_layout: Some(cache_layout), ..record.clone() });
        let reports = [
            (
                "records",
                ReportRequest { records: vec![record.clone(); MAX_RECORDS + 1], ..report(record.clone()) },
            ),
            (
                "records.blocks",
                report(RequestRecord { blocks: vec![BlockRecord::default(); most], ..record.clone() }),
            ),
            (
                "records.rate_limits",
                report(RequestRecord { rate_limits: vec![RateLimit::default(); most], ..record.clone() }),
            ),
            (
                "records.retrievals",
                report(RequestRecord { retrievals: vec![Retrieval::default(); most], ..record.clone() }),
            ),
            (
                "records.cache_layout.breakpoints",
                layout(CacheLayout {
                    breakpoints: vec![Breakpoint::default(); most],
                    ..CacheLayout::default()
                }),
            ),
            (
                "records.cache_layout.volatile_tokens",
                layout(CacheLayout {
                    volatile_tokens: vec![VolatileToken::default(); most],
                    ..CacheLayout::default()
                }),
            ),
            (
                "logged_messages",
                ReportRequest {
                    logged_messages: vec![LoggedMessages::default(); MAX_RECORDS + 1],
                    ..report(record.clone())
                },
            ),
            (
                "logged_messages.request_messages",
                ReportRequest {
                    logged_messages: vec![LoggedMessages {
                        request_messages: vec![String::new(); MAX_LOGGED + 1],
                        ..LoggedMessages::default()
                    }],
                    ..report(record.clone())
                },
            ),
            (
                "logged_messages.blocks",
                ReportRequest {
                    logged_messages: vec![LoggedMessages {
                        blocks: vec![LoggedBlock::default(); most],
                        ..LoggedMessages::default()
                    }],
                    ..report(record.clone())
                },
            ),
            (
                "websocket_sessions",
                ReportRequest {
                    websocket_sessions: vec![WebSocketSession::default(); MAX_RECORDS + 1],
                    ..report(record.clone())
                },
            ),
        ];
        for (name, report) in &reports {
            assert_eq!(excess(REPORT, report).as_deref(), Some(*name));
        }
        let originals = vec![Original::default(); MAX_COUNTED_ORIGINALS + 1];
        assert_eq!(
            excess(ADMIT, &AdmitRequest { originals, ..AdmitRequest::default() }).as_deref(),
            Some("originals")
        );
        let outputs = vec![TextOutput::default(); MAX_OUTPUTS + 1];
        assert_eq!(
            excess(DECIDE, &DecideRequest { outputs, ..DecideRequest::default() }).as_deref(),
            Some("outputs")
        );
    }

    #[test]
    fn as_many_as_may_be_pass_and_each_message_counts_by_itself() {
        let original = Original { content: vec![0x1a; 300], tokens_before: 1 << 20, ..Original::default() };
        let full =
            AdmitRequest { originals: vec![original; MAX_COUNTED_ORIGINALS / 32], ..AdmitRequest::default() };
        assert_eq!(excess(ADMIT, &full), None);
        let request_messages = vec!["1".to_owned(); (1 << 20) / 3];
        let logged = LoggedMessages { request_messages, ..LoggedMessages::default() };
        let logs = ReportRequest { logged_messages: vec![logged], ..ReportRequest::default() };
        assert_eq!(excess(REPORT, &logs), None, "what a filter may send");
        let records = vec![RequestRecord { sequence: 1, ..RequestRecord::default() }; MAX_RECORDS];
        let full = frame(&ReportRequest { records, ..ReportRequest::default() }.encode_to_vec());
        let mut counter = PartCounter::of(REPORT).unwrap();
        assert!(counter.read(&full).is_ok() && counter.read(&full).is_ok());
        assert!(PartCounter::of("/headroom.v1.Memory/Call").is_none());
    }

    #[test]
    fn what_is_counted_is_what_a_decoder_reads() {
        use proptest::prelude::*;
        let mut runner = proptest::test_runner::TestRunner::default();
        // keys of fields that exist, of groups, lengths and contents that are often right
        let bytes = prop::collection::vec(
            prop::sample::select(
                &[0x1a, 0x22, 0, 0, 2, 4, 0x0a, 0x80, 0x08, 9, 0x1b, 0x1c, 0x62, 0xa3, 0x06, 0xa4, 7][..],
            ),
            0..60,
        );
        let counts = |method: &str, message: &[u8]| {
            let mut counter = PartCounter::of(method).unwrap();
            counter.next = Next::Tag(Varint::default());
            // one byte stays, so that the counts do
            counter.left = message.len() + 1;
            counter.read(message).is_ok().then_some(counter.counts)
        };
        let read = |message: Vec<u8>| {
            if let (Some(counts), Ok(decoded)) =
                (counts(ADMIT, &message), AdmitRequest::decode(message.as_slice()))
            {
                prop_assert!(decoded.originals.len() <= counts[0], "{message:?}");
            }
            if let (Some(counts), Ok(decoded)) =
                (counts(REPORT, &message), ReportRequest::decode(message.as_slice()))
            {
                let blocks: usize = decoded.records.iter().map(|record| record.blocks.len()).sum();
                prop_assert!(decoded.records.len() <= counts[0] && blocks <= counts[1], "{message:?}");
            }
            Ok(())
        };
        runner.run(&bytes, read).unwrap();
    }

    /// A group that a decoder does not know hid everything behind it from the count.
    #[test]
    fn a_message_that_a_decoder_reads_differently_is_refused() {
        let hidden = [&[0xa3, 0x06, 0x1a, 1, 7, 0xa4, 0x06][..], &[0x1a, 0].repeat(MAX_RECORDS + 1)].concat();
        assert!(ReportRequest::decode(&hidden[..]).is_ok_and(|decoded| decoded.records.len() > MAX_RECORDS));
        // longer than the field around it, than the message, and an unknown type of field
        let beyond: [&[u8]; 3] = [&[0x1a, 2, 0x62, 4, 0x1a, 0, 0x1a, 0], &[0x1a, 9, 0], &[0x1f, 0]];
        for message in beyond.into_iter().chain([&hidden[..]]) {
            let refused = PartCounter::of(REPORT).unwrap().read(&frame(message)).unwrap_err();
            assert_eq!(refused.message(), "the message cannot be read");
        }
    }
}
