//! A client's messages over a WebSocket: text messages are held until they are complete and can be replaced;
//! everything else passes as it comes.
//!
//! They are held here and not in the host: the host's limit on what it holds would end the session, and the
//! host can only hold everything. Control frames may stand between the frames of a message, and they overtake
//! one that is held. A message that is not replaced leaves as it came, in the same frames with the same
//! masks. The filter also reads messages that pass unheld, to learn their kind.

use headroom_providers::scan::Scanner;

use crate::frames::{CLOSE, CONTINUATION, Frames, Header, Part, TEXT, mask};

/// A message in more frames than this passes: each frame costs more memory than it carries. Clients that
/// split messages do so every few kilobytes.
const MAX_FRAMES: usize = 8_192;

/// What one side has sent so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// The code of its close frame; 0 if the frame has no code.
    pub(crate) close: Option<u16>,
    /// Whether its bytes are not WebSocket.
    pub(crate) broken: bool,
    /// The close code of the current frame.
    close_code: CloseCode,
}

impl Traffic {
    /// Counts bytes that have come.
    pub(crate) fn came(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }

    /// A frame has begun.
    pub(crate) fn begin(&mut self) {
        self.frames = self.frames.saturating_add(1);
        self.close_code = CloseCode::default();
    }

    /// Takes the next part of a frame's payload.
    pub(crate) fn payload(&mut self, header: &Header, payload: &[u8]) {
        if header.opcode == CLOSE {
            self.close_code.feed(payload, header.mask.unwrap_or_default());
        }
    }

    /// A frame is complete.
    pub(crate) fn end(&mut self, header: &Header) {
        if header.opcode == CLOSE && self.close.is_none() {
            self.close = Some(self.close_code.get());
        }
    }
}

/// Reads the code of a close frame, whose payload may come in parts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct CloseCode {
    read: usize,
    code: u16,
}

impl CloseCode {
    /// Takes the payload's next part, unmasked with the key of its frame.
    fn feed(&mut self, payload: &[u8], key: [u8; 4]) {
        for (byte, key) in
            payload.iter().zip(key.iter().skip(self.read)).take(2_usize.saturating_sub(self.read))
        {
            self.code = self.code << 8 | u16::from(byte ^ key);
            self.read += 1;
        }
    }

    fn get(self) -> u16 {
        if self.read == 2 { self.code } else { 0 }
    }
}

/// A text message.
pub(crate) enum Message<'m> {
    /// It is complete and can be replaced.
    Whole(&'m [u8]),
    /// It has passed already.
    Passed(&'m Passing),
}

/// A text message that passes unheld.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    /// Reads its text.
    scanner: Box<Scanner>,
    /// Bytes of its text.
    bytes: u64,
    /// Bytes of the current frame's payload.
    frame_bytes: u64,
    /// Whether its last frame has begun.
    last: bool,
}

/// The messages of a client.
#[derive(Debug)]
pub(crate) struct Outgoing {
    frames: Frames,
    /// The header of the current frame.
    header: Option<Header>,
    /// The part of the current message that is held.
    held: Option<Held>,
    /// The current message, if it passes and is readable text.
    passing: Option<Passing>,
    pub(crate) traffic: Traffic,
    /// Longer messages pass. Bytes; 0: all pass.
    max_bytes: usize,
}

/// A text message that is not complete yet.
#[derive(Debug, Default)]
struct Held {
    /// Its bytes as they came.
    bytes: Vec<u8>,
    frames: Vec<HeldFrame>,
    /// How many of `bytes` are headers.
    header_bytes: usize,
    /// Whether its last frame has begun.
    last: bool,
}

/// The position of a frame in the held bytes.
#[derive(Clone, Copy, Debug)]
struct HeldFrame {
    header_at: usize,
    payload_at: usize,
    key: [u8; 4],
}

impl Passing {
    /// What the message says about its kind and model.
    pub(crate) fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next part of the payload.
    fn feed(&mut self, payload: &[u8], key: [u8; 4]) {
        let mut text = payload.to_vec();
        let turn = (self.frame_bytes % 4) as usize;
        let mut turned = key;
        turned.rotate_left(turn);
        mask(&mut text, turned);
        self.scanner.feed(&text);
        let count = payload.len() as u64;
        self.bytes = self.bytes.saturating_add(count);
        self.frame_bytes = self.frame_bytes.saturating_add(count);
    }
}

impl Outgoing {
    /// Messages that are longer than `max_bytes` pass.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            frames: Frames::of_client(),
            header: None,
            held: None,
            passing: None,
            traffic: Traffic::default(),
            max_bytes,
        }
    }

    /// Whether a message has begun and is not complete.
    pub(crate) fn is_in_message(&self) -> bool {
        self.held.is_some() || self.passing.is_some()
    }

    /// Takes the message that has begun and will not be completed.
    pub(crate) fn unfinished(&mut self) -> Option<Passing> {
        match self.held.take() {
            Some(held) => Some(held.passing()),
            None => self.passing.take(),
        }
    }

    /// Bytes that are held.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.bytes.capacity())
    }

    /// Releases the held bytes: the rest of the message passes as well.
    pub(crate) fn release(&mut self, out: &mut Vec<u8>) {
        if let Some(held) = self.held.take() {
            self.passing = Some(held.passing());
            out.extend(held.bytes);
        }
    }

    /// Releases everything that has come and not left, at the end of the stream.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        self.release(out);
        out.extend_from_slice(self.frames.take_begun().get());
    }

    /// As [`Outgoing::flush`] if bytes are missing: what follows passes unread.
    pub(crate) fn give_up(&mut self, out: &mut Vec<u8>) {
        self.flush(out);
        self.traffic.broken = true;
    }

    /// Reads `bytes` and appends what is to be sent now to `out`. `say` is called with each text message, and
    /// may return a replacement for a whole one.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        mut say: impl FnMut(Message<'_>) -> Option<Vec<u8>>,
    ) {
        self.traffic.came(bytes);
        if self.traffic.broken {
            out.extend_from_slice(bytes);
            return;
        }
        loop {
            match self.frames.next(&mut bytes) {
                Ok(Some(Part::Header { header, bytes })) => self.begin(header, bytes.get(), out),
                Ok(Some(Part::Payload(payload))) => self.payload(payload, out),
                Ok(Some(Part::End)) => self.end(out, &mut say),
                Ok(None) => return,
                Err(_) => {
                    self.traffic.broken = true;
                    self.flush(out);
                    out.extend_from_slice(bytes);
                    return;
                }
            }
        }
    }

    fn begin(&mut self, header: Header, bytes: &[u8], out: &mut Vec<u8>) {
        self.traffic.begin();
        self.header = Some(header);
        if header.is_control() {
            if header.opcode == CLOSE {
                // Nothing comes after a close frame.
                self.release(out);
            }
            out.extend_from_slice(bytes);
            return;
        }
        let continues = header.opcode == CONTINUATION && !header.extended;
        if !continues {
            // The client has begun another message inside the held one.
            self.release(out);
            self.passing = None;
            if header.opcode == TEXT && !header.extended {
                self.held = Some(Held::default());
            }
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let too_long = |held: &Held| {
            held.payload_bytes().saturating_add(length) > self.max_bytes || held.frames.len() >= MAX_FRAMES
        };
        if self.max_bytes == 0 || self.held.as_ref().is_some_and(too_long) {
            self.release(out);
        }
        if let Some(passing) = &mut self.passing {
            passing.frame_bytes = 0;
            passing.last = header.last;
        }
        match &mut self.held {
            Some(held) => held.begin(header, bytes),
            None => out.extend_from_slice(bytes),
        }
    }

    fn payload(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let Some(header) = self.header else { return };
        self.traffic.payload(&header, payload);
        match &mut self.held {
            Some(held) if !header.is_control() => held.bytes.extend_from_slice(payload),
            _ => out.extend_from_slice(payload),
        }
        if let Some(passing) = self.passing.as_mut().filter(|_| !header.is_control()) {
            passing.feed(payload, header.mask.unwrap_or_default());
        }
    }

    fn end(&mut self, out: &mut Vec<u8>, say: &mut impl FnMut(Message<'_>) -> Option<Vec<u8>>) {
        let Some(header) = self.header.take() else { return };
        self.traffic.end(&header);
        if header.is_control() {
            return;
        }
        if let Some(passing) = self.passing.take_if(|passing| passing.last) {
            say(Message::Passed(&passing));
        }
        let Some(held) = self.held.take_if(|held| held.last) else { return };
        match say(Message::Whole(&held.text())) {
            None => out.extend(held.bytes),
            Some(mut text) => {
                // The client's own key, which the author of the text could not know.
                let key = held.frames.first().map(|frame| frame.key).unwrap_or_default();
                let length = text.len() as u64;
                Header { last: true, extended: false, opcode: TEXT, mask: Some(key), length }.write(out);
                mask(&mut text, key);
                out.extend(text);
            }
        }
    }
}

impl Held {
    fn payload_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(self.header_bytes)
    }

    fn begin(&mut self, header: Header, bytes: &[u8]) {
        let header_at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.header_bytes = self.header_bytes.saturating_add(bytes.len());
        let payload_at = self.bytes.len();
        self.frames.push(HeldFrame { header_at, payload_at, key: header.mask.unwrap_or_default() });
        self.last = header.last;
    }

    /// What has come of it, as a message that passes.
    fn passing(&self) -> Passing {
        let text = self.text();
        let mut scanner = Box::<Scanner>::default();
        scanner.feed(&text);
        let frame = self.frames.last().map_or(0, |frame| frame.payload_at);
        let frame_bytes = self.bytes.len().saturating_sub(frame) as u64;
        Passing { scanner, bytes: text.len() as u64, frame_bytes, last: self.last }
    }

    /// The message's text, unmasked.
    fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.payload_bytes());
        let ends = self.frames.iter().skip(1).map(|frame| frame.header_at).chain([self.bytes.len()]);
        for (frame, end) in self.frames.iter().zip(ends) {
            let from = text.len();
            text.extend_from_slice(self.bytes.get(frame.payload_at..end).unwrap_or_default());
            if let Some(payload) = text.get_mut(from..) {
                mask(payload, frame.key);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 5_000;

    fn frame(last: bool, extended: bool, opcode: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let header = Header { last, extended: false, opcode, mask: Some(key), length: payload.len() as u64 };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        bytes[0] |= if extended { 0x40 } else { 0 };
        let mut payload = payload.to_vec();
        mask(&mut payload, key);
        bytes.extend(payload);
        bytes
    }

    /// A text in frames of at most `size` bytes, with a ping after each but the last.
    fn fragmented(text: &[u8], size: usize, key: [u8; 4], pings: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count = text.chunks(size).len();
        for (at, part) in text.chunks(size).enumerate() {
            let last = at + 1 == count;
            bytes.extend(frame(last, false, if at == 0 { TEXT } else { CONTINUATION }, key, part));
            if pings && !last {
                bytes.extend(frame(true, false, 9, key, b"p"));
            }
        }
        bytes
    }

    /// The bytes that leave when `replace` may replace every complete message.
    fn fed(bytes: &[u8], size: usize, replace: impl Fn(&[u8]) -> Option<Vec<u8>>) -> (Vec<u8>, Outgoing) {
        let mut messages = Outgoing::new(MAX);
        let mut out = Vec::new();
        for piece in bytes.chunks(size) {
            messages.feed(piece, &mut out, |message| match message {
                Message::Whole(text) => replace(text),
                Message::Passed(_) => None,
            });
        }
        (out, messages)
    }

    fn texts(bytes: &[u8]) -> Vec<Vec<u8>> {
        let read = std::cell::RefCell::new(Vec::new());
        fed(bytes, 7, |text| {
            read.borrow_mut().push(text.to_vec());
            None
        });
        read.into_inner()
    }

    proptest! {
        #[test]
        fn a_message_is_replaced_however_it_is_cut_and_masked(
            text in proptest::collection::vec(any::<u8>(), 1..600),
            key: [u8; 4],
            frame_size in 1..700usize,
            size in 1..900usize,
            pings: bool,
        ) {
            let bytes = fragmented(&text, frame_size, key, pings);
            let (out, messages) = fed(&bytes, size, |found| {
                assert_eq!(found, text);
                Some(b"replaced".to_vec())
            });
            prop_assert_eq!(texts(&out), vec![b"replaced".to_vec()]);
            let frames = text.chunks(frame_size).len() as u64;
            prop_assert_eq!(messages.traffic.frames, if pings { 2 * frames - 1 } else { frames });
            prop_assert_eq!(messages.held_bytes(), 0);
        }

        #[test]
        fn a_message_that_is_not_replaced_leaves_as_it_came(
            text in proptest::collection::vec(any::<u8>(), 1..600),
            key: [u8; 4],
            frame_size in 1..700usize,
            size in 1..900usize,
        ) {
            let bytes = fragmented(&text, frame_size, key, false);
            prop_assert_eq!(fed(&bytes, size, |_| None).0, bytes);
        }

        #[test]
        fn whatever_comes_leaves_once(bytes: Vec<u8>, size in 1..40usize) {
            let (mut out, mut messages) = fed(&bytes, size, |_| None);
            messages.flush(&mut out);
            // Pings overtake what is held.
            let sorted = |bytes: &[u8]| { let mut bytes = bytes.to_vec(); bytes.sort_unstable(); bytes };
            prop_assert_eq!(sorted(&out), sorted(&bytes));
        }
    }

    #[test]
    fn what_is_no_plain_text_passes() {
        let key = [1, 2, 3, 4];
        let long = vec![b'x'; MAX + 1];
        let cases = [
            ("binary", frame(true, false, 2, key, b"{}")),
            ("compressed", frame(true, true, TEXT, key, b"{}")),
            ("too long", frame(true, false, TEXT, key, &long)),
            ("too long in parts", fragmented(&long, 999, key, false)),
            ("a continuation of nothing", frame(true, false, CONTINUATION, key, b"{}")),
            ("not WebSocket", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ];
        for (case, bytes) in cases {
            for size in [1, 5, usize::MAX] {
                let (out, _) = fed(&bytes, size, |_| panic!("{case}"));
                assert_eq!(out, bytes, "{case}");
            }
        }
    }

    #[test]
    fn a_compressed_continuation_is_not_taken_for_text() {
        let key = [9; 4];
        let bytes =
            [frame(false, false, TEXT, key, b"a"), frame(true, true, CONTINUATION, key, b"b")].concat();
        assert_eq!(fed(&bytes, 3, |_| panic!("half of it is compressed")).0, bytes);
    }

    #[test]
    fn of_a_message_that_passes_its_kind_and_length_are_known() {
        let text =
            [br#"{"input":""#.to_vec(), vec![b'x'; MAX], br#"","type":"t","model":"m"}"#.to_vec()].concat();
        for (max, frame_size) in [(0, text.len()), (0, 7), (MAX, text.len()), (MAX, 999)] {
            let bytes = fragmented(&text, frame_size, [1, 2, 3, 4], true);
            for size in [1, 6, 1_000, usize::MAX] {
                let mut messages = Outgoing::new(max);
                let (mut out, mut told) = (Vec::new(), 0);
                for piece in bytes.chunks(size) {
                    messages.feed(piece, &mut out, |message| {
                        let Message::Passed(passing) = message else { panic!("it is too long") };
                        let found = passing.scanner().found();
                        assert_eq!(
                            (found.kind(), found.model(), passing.bytes()),
                            ("t", "m", text.len() as u64)
                        );
                        told += 1;
                        None
                    });
                }
                assert_eq!(
                    (told, out.len()),
                    (1, bytes.len()),
                    "{max}, frames of {frame_size}, pieces of {size}"
                );
            }
        }
    }

    #[test]
    fn of_a_message_that_is_cut_off_the_beginning_is_known() {
        let bytes = frame(false, false, TEXT, [1, 2, 3, 4], br#"{"type":"t","input":"#);
        for (max, size) in [(0, 1), (0, 100), (MAX, 1), (MAX, 100)] {
            let mut messages = Outgoing::new(max);
            for piece in bytes.chunks(size) {
                messages.feed(piece, &mut Vec::new(), |_| panic!("it is not complete"));
            }
            let passing = messages.unfinished().expect("a message");
            assert_eq!(passing.scanner().found().kind(), "t");
            assert!(messages.unfinished().is_none());
        }
    }

    #[test]
    fn a_close_frame_lets_go_of_half_a_message_and_tells_its_code() {
        let key = [7, 8, 9, 10];
        let half = frame(false, false, TEXT, key, b"half");
        let close = frame(true, false, CLOSE, key, &[0x03, 0xe9, b'b']);
        let bytes = [half, close].concat();
        let (out, messages) = fed(&bytes, 1, |_| panic!("incomplete"));
        assert_eq!((out, messages.traffic.close), (bytes, Some(1001)));
    }
}
