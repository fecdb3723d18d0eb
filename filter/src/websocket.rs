//! WebSocket frames (RFC 6455): counting them as they pass in any pieces, and finding whole messages of a
//! client among them.
//!
//! Whatever is not plain, such as a compressed message or a frame that breaks the rules, passes and is not
//! looked at any more.

use std::ops::Range;

/// The header of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    last: bool,
    /// Bits that an extension has given a meaning, or a kind of frame that does not exist yet.
    unknown: bool,
    kind: Kind,
    mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    length: u64,
    /// Bytes of the header itself.
    size: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    /// Ping or pong.
    Control,
}

/// What stands at the beginning of some bytes.
enum Beginning {
    Header(Header),
    /// Not enough of it.
    Short,
    Broken,
}

/// What of a message is looked at as it passes: enough for the type of an event.
const START_BYTES: usize = 128;

/// The close code that stands for none (RFC 6455, 7.1.5).
const NO_CODE: u16 = 1005;

/// One direction of a session.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// The code of its close frame.
    pub(crate) closed: Option<u16>,
    /// The bytes are no frames.
    pub(crate) broken: bool,
    /// The last message that began a response or ended it was its completion.
    pub(crate) completed: bool,
    /// The last event was an error.
    pub(crate) failed: bool,
    /// Bytes of a header that is not complete.
    partial: Vec<u8>,
    now: Option<(Header, u64)>,
    start: Vec<u8>,
}

impl Frames {
    /// Takes in the bytes that pass next.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        while !bytes.is_empty() && !self.broken {
            let (header, seen) = match self.now {
                Some(now) => now,
                None => {
                    let Some((first, rest)) = bytes.split_first() else { return };
                    self.partial.push(*first);
                    bytes = rest;
                    match Header::of(&self.partial) {
                        Beginning::Short => continue,
                        Beginning::Broken => {
                            self.broken = true;
                            return;
                        }
                        Beginning::Header(header) => {
                            self.frames += 1;
                            self.partial.clear();
                            (header, 0)
                        }
                    }
                }
            };
            let left = usize::try_from(header.length - seen).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(left.min(bytes.len()));
            bytes = rest;
            if matches!(header.kind, Kind::Text | Kind::Close) {
                let room = START_BYTES.saturating_sub(self.start.len());
                self.start
                    .extend(piece.iter().take(room).zip(seen..).map(|(byte, at)| header.plain(*byte, at)));
            }
            let seen = seen + piece.len() as u64;
            self.now = Some((header, seen));
            if seen == header.length {
                self.now = None;
                self.ended(header);
            }
        }
    }

    fn ended(&mut self, header: Header) {
        let start = std::mem::take(&mut self.start);
        match header.kind {
            Kind::Close if self.closed.is_none() => {
                let code = start.first_chunk().map(|code| u16::from_be_bytes(*code));
                self.closed = Some(code.unwrap_or(NO_CODE));
            }
            Kind::Text if !header.unknown => {
                let says = |event: &[u8]| start.windows(event.len()).any(|window| window == event);
                self.failed = says(b"\"type\":\"error\"");
                self.completed = says(b"\"response.completed\"")
                    || self.completed && !says(b"\"response.created\"") && !self.failed;
            }
            _ => {}
        }
    }

    /// Whether its close frame says that all is well, or nothing.
    pub(crate) fn closed_well(&self) -> bool {
        const NORMAL: u16 = 1000;
        const GOING_AWAY: u16 = 1001;
        self.closed.is_none_or(|code| matches!(code, NORMAL | GOING_AWAY | NO_CODE))
    }
}

/// A text message, complete.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Message {
    /// Where its frames stand, with those that came between them.
    pub(crate) range: Range<usize>,
    /// What it says, unmasked.
    pub(crate) payload: Vec<u8>,
    mask: [u8; 4],
    /// Ping, pong and close frames between its frames, as they came.
    between: Vec<u8>,
}

impl Message {
    /// Another text in its place: one frame, with the client's own mask.
    pub(crate) fn frame(&self, text: &[u8]) -> Vec<u8> {
        const TEXT: u8 = 0x81;
        const MASKED: u8 = 0x80;
        let mut frame = self.between.clone();
        frame.reserve(text.len() + LONGEST_HEADER);
        frame.push(TEXT);
        match (u8::try_from(text.len()), u16::try_from(text.len())) {
            (Ok(length @ ..126), _) => frame.push(MASKED | length),
            (_, Ok(length)) => {
                frame.push(MASKED | 126);
                frame.extend(length.to_be_bytes());
            }
            _ => {
                frame.push(MASKED | 127);
                frame.extend((text.len() as u64).to_be_bytes());
            }
        }
        frame.extend(self.mask);
        frame.extend(text.iter().zip(self.mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }
}

/// What can be done with a client's bytes.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Look {
    /// They pass; these messages are in them.
    Go(Vec<Message>),
    /// They are kept until there are so many.
    Wait(usize),
}

/// A client's bytes, from one release of them to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outgoing {
    /// Bytes of a frame that has begun to pass.
    passing: u64,
    /// The rest of a message that has begun to pass.
    in_message: bool,
    /// Nothing is understood any more.
    lost: bool,
}

const LONGEST_HEADER: usize = 14;

impl Outgoing {
    /// Looks at all bytes since the last release. A message that would not be complete within `most` bytes
    /// passes.
    pub(crate) fn look(&mut self, bytes: &[u8], most: usize) -> Look {
        let mut next = *self;
        let mut messages = Vec::new();
        match next.read(bytes, most, &mut messages) {
            Some(wanted) if wanted <= most => Look::Wait(wanted),
            unfinished => {
                // The rest of what has begun here would be taken for the beginning of something.
                next.lost |= unfinished.is_some();
                *self = next;
                Look::Go(messages)
            }
        }
    }

    /// Gives up: whatever comes passes.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
    }

    /// Whether nothing is understood any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Reads to the end of the bytes; `Some`: so many are needed to go on.
    fn read(&mut self, bytes: &[u8], most: usize, messages: &mut Vec<Message>) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() && !self.lost {
            if self.passing > 0 {
                let passed = usize::try_from(self.passing).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.passing -= passed as u64;
                at += passed;
                continue;
            }
            let header = match Header::of(bytes.get(at..)?) {
                Beginning::Header(header) => header,
                Beginning::Short => return Some(bytes.len() + 1),
                Beginning::Broken => {
                    self.lost = true;
                    return None;
                }
            };
            let begins = matches!(header.kind, Kind::Text | Kind::Binary);
            let continues = header.kind == Kind::Continuation;
            if header.unknown
                || header.mask.is_none()
                || begins && self.in_message
                || continues && !self.in_message
            {
                self.lost = true;
                return None;
            }
            if header.kind == Kind::Text {
                match Self::message(bytes, at, most) {
                    Ok(Some(message)) => {
                        at = message.range.end;
                        messages.push(message);
                        continue;
                    }
                    Ok(None) => {}
                    Err(Stop::Wait(wanted)) => return Some(wanted),
                    Err(Stop::Lost) => {
                        self.lost = true;
                        return None;
                    }
                }
            }
            at += header.size;
            self.passing = header.length;
            if begins || continues {
                self.in_message = !header.last;
            }
        }
        None
    }

    /// The text message whose first frame is at `at`; `None`: it is too long.
    fn message(bytes: &[u8], start: usize, most: usize) -> Result<Option<Message>, Stop> {
        let mut message =
            Message { range: start..start, payload: Vec::new(), mask: [0; 4], between: Vec::new() };
        let mut at = start;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let header = match Header::of(rest) {
                Beginning::Header(header) => header,
                Beginning::Short if bytes.len() >= most => return Ok(None),
                Beginning::Short => return Err(Stop::Wait(bytes.len() + 1)),
                Beginning::Broken => return Err(Stop::Lost),
            };
            let Some(mask) = header.mask.filter(|_| !header.unknown) else { return Err(Stop::Lost) };
            let length = usize::try_from(header.length).unwrap_or(usize::MAX);
            let end = at.saturating_add(header.size).saturating_add(length);
            if end > most {
                return Ok(None);
            }
            let Some(frame) = bytes.get(at..end) else { return Err(Stop::Wait(end)) };
            let payload = frame.get(header.size..).unwrap_or_default();
            at = end;
            match header.kind {
                Kind::Close | Kind::Control => {
                    message.between.extend_from_slice(frame);
                    continue;
                }
                Kind::Text if message.range.is_empty() => message.mask = mask,
                Kind::Continuation if !message.range.is_empty() => {}
                _ => return Err(Stop::Lost),
            }
            message.range.end = end;
            message.payload.extend(payload.iter().zip(0..).map(|(byte, at)| header.plain(*byte, at)));
            if header.last {
                return Ok(Some(message));
            }
        }
    }
}

enum Stop {
    /// For so many bytes.
    Wait(usize),
    Lost,
}

impl Header {
    fn of(bytes: &[u8]) -> Beginning {
        let (Some(first), Some(second)) = (bytes.first(), bytes.get(1)) else { return Beginning::Short };
        let kind = match first & 0x0f {
            0 => Kind::Continuation,
            1 => Kind::Text,
            2 => Kind::Binary,
            8 => Kind::Close,
            9 | 10 => Kind::Control,
            opcode => {
                // Reserved: data below 8, control above.
                if opcode < 8 { Kind::Binary } else { Kind::Control }
            }
        };
        let unknown = first & 0x70 != 0 || matches!(first & 0x0f, 3..8 | 11..);
        let last = first & 0x80 != 0;
        let control = matches!(kind, Kind::Close | Kind::Control);
        if control && (!last || second & 0x7f > 125) {
            return Beginning::Broken;
        }
        let (length, extended) = match second & 0x7f {
            126 => {
                (bytes.get(2..4).and_then(|it| it.try_into().ok()).map(|it| u16::from_be_bytes(it).into()), 2)
            }
            127 => (bytes.get(2..10).and_then(|it| it.try_into().ok()).map(u64::from_be_bytes), 8),
            short => (Some(u64::from(short)), 0),
        };
        let Some(length) = length else { return Beginning::Short };
        if length >> 63 != 0 {
            return Beginning::Broken;
        }
        let mut size = 2 + extended;
        let mut mask = None;
        if second & 0x80 != 0 {
            mask = bytes.get(size..size + 4).and_then(|it| it.try_into().ok());
            if mask.is_none() {
                return Beginning::Short;
            }
            size += 4;
        }
        Beginning::Header(Self { last, unknown, kind, mask, length, size })
    }

    /// A byte of the payload without its mask.
    fn plain(&self, byte: u8, at: u64) -> u8 {
        match self.mask {
            Some(mask) => byte ^ mask.get((at % 4) as usize).copied().unwrap_or_default(),
            None => byte,
        }
    }
}

#[cfg(test)]
#[path = "../tests/filter/frames.rs"]
mod frames;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::frames::frame;
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn text(payload: &[u8]) -> Vec<u8> {
        frame(0x81, payload, Some(MASK))
    }

    fn payloads(look: Look) -> Vec<Vec<u8>> {
        match look {
            Look::Go(messages) => messages.into_iter().map(|message| message.payload).collect(),
            Look::Wait(bytes) => panic!("waits for {bytes} bytes"),
        }
    }

    #[test]
    fn the_masked_frame_of_the_rfc_is_hello() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(payloads(Outgoing::default().look(&hello, 100)), [b"Hello"]);
        assert_eq!(text(b"Hello"), hello);
    }

    #[test]
    fn a_message_in_fragments_with_a_ping_between_them_is_one_and_the_ping_stays() {
        let ping = frame(0x89, b"?", Some([1, 2, 3, 4]));
        let bytes = [
            frame(0x01, b"one ", Some(MASK)),
            ping.clone(),
            frame(0x00, b"two ", Some([9, 9, 9, 9])),
            frame(0x80, b"three", Some(MASK)),
            text(b"next"),
        ]
        .concat();
        let Look::Go(messages) = Outgoing::default().look(&bytes, 1000) else { panic!("waits") };
        assert_eq!(
            messages.iter().map(|it| &it.payload[..]).collect::<Vec<_>>(),
            [&b"one two three"[..], b"next"]
        );
        assert_eq!(messages[1].range.end, bytes.len());
        assert_eq!(messages[0].frame(b"123"), [ping, text(b"123")].concat());
    }

    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        let Look::Go(messages) = Outgoing::default().look(&text(b"x"), 1000) else { panic!("waits") };
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            let payload = vec![b'a'; length];
            assert_eq!(messages[0].frame(&payload), text(&payload), "{length}");
        }
    }

    #[test]
    fn bytes_wait_for_the_end_of_their_message_and_long_messages_do_not() {
        let message = text(&[b'a'; 300]);
        let mut outgoing = Outgoing::default();
        for cut in 1..message.len() {
            let Look::Wait(wanted) = outgoing.look(&message[..cut], 1000) else { panic!("goes at {cut}") };
            assert!(wanted > cut && wanted <= message.len());
        }
        let fragments =
            [frame(0x01, &[b'a'; 300], Some(MASK)), frame(0x80, &[b'b'; 300], Some(MASK)), text(b"c")];
        let bytes = fragments.concat();
        // Too long in all: it passes from where that is known, and the next message is read.
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.look(&bytes[..310], 400), Look::Wait(311));
        assert_eq!(payloads(outgoing.look(&bytes[..320], 400)), Vec::<Vec<u8>>::new());
        assert_eq!(payloads(outgoing.look(&bytes[320..], 400)), [b"c"]);
    }

    #[test]
    fn what_is_not_plain_passes_from_there_on() {
        for odd in [
            frame(0xc1, b"deflated", Some(MASK)),
            frame(0x81, b"not masked", None),
            frame(0x83, b"no such kind", Some(MASK)),
            frame(0x80, b"continues nothing", Some(MASK)),
            frame(0x09, b"a ping in fragments", Some(MASK)),
            frame(0x89, &[b'p'; 126], Some(MASK)),
            [frame(0x01, b"begins", Some(MASK)), text(b"begins again")].concat(),
            [frame(0x02, b"begins", Some(MASK)), text(b"begins again")].concat(),
            vec![0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            let mut outgoing = Outgoing::default();
            let bytes = [text(b"before"), odd.clone()].concat();
            assert_eq!(payloads(outgoing.look(&bytes, 1000)), [b"before"], "{odd:?}");
            assert!(outgoing.is_lost());
            assert_eq!(payloads(outgoing.look(&text(b"after"), 1000)), Vec::<Vec<u8>>::new());
        }
    }

    #[test]
    fn a_binary_message_passes_without_waiting() {
        let bytes =
            [frame(0x02, &[0; 200], Some(MASK)), frame(0x80, &[0; 200], Some(MASK)), text(b"t")].concat();
        let mut outgoing = Outgoing::default();
        assert_eq!(payloads(outgoing.look(&bytes[..50], 1000)), Vec::<Vec<u8>>::new());
        assert_eq!(payloads(outgoing.look(&bytes[50..], 1000)), [b"t"]);
    }

    #[test]
    fn a_direction_knows_its_close_code_and_whether_the_response_is_complete() {
        let event = |kind: &str| frame(0x81, format!(r#"{{"type":"{kind}","x":1}}"#).as_bytes(), None);
        let mut frames = Frames::default();
        let mut pass = |bytes: &[u8]| {
            frames.pass(bytes);
            (frames.completed, frames.failed, frames.closed)
        };
        assert_eq!(pass(&event("response.created")), (false, false, None));
        assert_eq!(pass(&event("response.completed")), (true, false, None));
        assert_eq!(pass(&event("rate_limits")), (true, false, None));
        assert_eq!(pass(&event("response.created")), (false, false, None));
        assert_eq!(pass(&event("error")), (false, true, None));
        assert_eq!(pass(&frame(0x88, &[0x03, 0xf3, b'!'], None)), (false, true, Some(1011)));
        assert!(!frames.closed_well());
        let mut frames = Frames::default();
        frames.pass(&frame(0x88, b"", Some(MASK)));
        assert_eq!((frames.closed, frames.closed_well()), (Some(NO_CODE), true));
    }

    fn bytes_of_a_client() -> impl Strategy<Value = Vec<u8>> {
        let payload = prop::collection::vec(any::<u8>(), 0..200);
        let frame = (any::<u8>(), payload, prop::option::weighted(0.9, any::<[u8; 4]>()))
            .prop_map(|(first, payload, mask)| frame(first, &payload, mask));
        let plain = prop::collection::vec(any::<u8>(), 0..200).prop_map(|payload| text(&payload));
        let noise = prop::collection::vec(any::<u8>(), 0..20);
        prop::collection::vec(prop_oneof![6 => plain, 2 => frame, 1 => noise], 0..8)
            .prop_map(|it| it.concat())
    }

    proptest! {
        #[test]
        fn the_same_messages_are_found_wherever_the_bytes_are_cut(
            bytes in bytes_of_a_client(), cuts in prop::collection::vec(1usize..60, 1..40), most in 100usize..600,
        ) {
            let mut frames = Frames::default();
            let mut outgoing = Outgoing::default();
            let (mut kept, mut found) = (Vec::new(), Vec::new());
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                rest = after;
                frames.pass(piece);
                kept.extend_from_slice(piece);
                match outgoing.look(&kept, most) {
                    Look::Wait(wanted) => prop_assert!(wanted > kept.len() && wanted <= most),
                    Look::Go(messages) => {
                        let ends: Vec<usize> = messages.iter().map(|message| message.range.end).collect();
                        prop_assert!(ends.is_sorted() && ends.iter().all(|end| *end <= kept.len()));
                        found.extend(messages.into_iter().map(|message| message.payload));
                        kept.clear();
                    }
                }
                if rest.is_empty() { break }
            }
            let mut whole = Frames::default();
            whole.pass(&bytes);
            prop_assert_eq!(
                (whole.frames, whole.bytes, whole.closed, whole.broken),
                (frames.frames, frames.bytes, frames.closed, frames.broken)
            );
            if most >= bytes.len() {
                let mut outgoing = Outgoing::default();
                let whole = match outgoing.look(&bytes, usize::MAX) {
                    Look::Go(messages) => messages.into_iter().map(|message| message.payload).collect(),
                    Look::Wait(_) => found.clone(),
                };
                prop_assert!(found.starts_with(&whole) || whole.starts_with(&found));
            }
        }
    }
}
