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
    let bytes = [frame(false, false, TEXT, key, b"a"), frame(true, true, CONTINUATION, key, b"b")].concat();
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
                    assert_eq!((found.kind(), found.model(), passing.bytes()), ("t", "m", text.len() as u64));
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
