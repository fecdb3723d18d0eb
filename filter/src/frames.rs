//! WebSocket frames (RFC 6455, section 5), read as the bytes come.
//!
//! The reader follows only the framing. It keeps an incomplete header, and never a payload.

/// The opcodes that are used here.
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;

/// Two bytes, a length of eight and a mask.
const MAX_HEADER_BYTES: usize = 14;
/// The most that a control frame may carry.
const MAX_CONTROL_BYTES: u64 = 125;

/// The fields of a frame's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    /// Whether it is the last frame of its message.
    pub(crate) last: bool,
    /// Whether extension bits are set: then the payload cannot be read as it is.
    pub(crate) extended: bool,
    pub(crate) opcode: u8,
    pub(crate) mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub(crate) length: u64,
}

impl Header {
    pub(crate) fn is_control(&self) -> bool {
        self.opcode & 0x8 != 0
    }

    /// Appends the header as it is sent.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        out.push(if self.last { 0x80 } else { 0 } | self.opcode);
        if let Ok(length @ 0..=125) = u8::try_from(self.length) {
            out.push(mask_bit | length);
        } else if let Ok(length) = u16::try_from(self.length) {
            out.push(mask_bit | 126);
            out.extend(length.to_be_bytes());
        } else {
            out.push(mask_bit | 127);
            out.extend(self.length.to_be_bytes());
        }
        out.extend(self.mask.into_iter().flatten());
    }
}

/// Masks or unmasks a payload: both are the same operation.
pub(crate) fn mask(payload: &mut [u8], key: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// A part of the bytes that were fed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part<'b> {
    /// A frame begins. `bytes` is the whole header, which may have begun in an earlier feed.
    Header { header: Header, bytes: HeaderBytes },
    /// Payload of the frame, as it came.
    Payload(&'b [u8]),
    /// The frame is complete.
    End,
}

/// The bytes of a header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct HeaderBytes {
    bytes: [u8; MAX_HEADER_BYTES],
    len: usize,
}

impl HeaderBytes {
    pub(crate) fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The length of the header, as far as its bytes so far show it.
    fn wanted(&self) -> usize {
        let Some(second) = self.get().get(1) else { return 2 };
        let length = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if second & 0x80 == 0 { 0 } else { 4 }
    }

    fn read(&self) -> Option<Header> {
        let (&[first, second], rest) = self.get().split_first_chunk()?;
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u16::from_be_bytes(*length).into(), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            length => (length.into(), rest),
        };
        let mask = rest.first_chunk().copied();
        Some(Header {
            last: first & 0x80 != 0,
            extended: first & 0x70 != 0,
            opcode: first & 0x0f,
            mask,
            length,
        })
    }
}

/// The bytes are not WebSocket. Nothing after them can be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InvalidFrame;

/// Reads what one side sends.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Clients mask what they send, servers do not.
    masked: bool,
    header: HeaderBytes,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Header,
    /// This many bytes of the payload are still to come.
    Payload(u64),
    Broken,
}

impl Frames {
    pub(crate) fn of_client() -> Self {
        Self { masked: true, header: HeaderBytes::default(), state: State::Header }
    }

    pub(crate) fn of_server() -> Self {
        Self { masked: false, ..Self::of_client() }
    }

    /// Takes the bytes of an incomplete header, when nothing more will be read.
    pub(crate) fn take_begun(&mut self) -> HeaderBytes {
        std::mem::take(&mut self.header)
    }

    /// Takes the next part off `bytes`; `None`: more bytes are needed. Bytes that cannot be read stay in
    /// `bytes`; an incomplete header before them is left for [`Frames::take_begun`].
    pub(crate) fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Option<Part<'b>>, InvalidFrame> {
        match self.state {
            State::Broken => Err(InvalidFrame),
            State::Header => self.next_header(bytes),
            State::Payload(0) => {
                self.state = State::Header;
                Ok(Some(Part::End))
            }
            State::Payload(left) => {
                if bytes.is_empty() {
                    return Ok(None);
                }
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let (payload, rest) = bytes.split_at(here);
                *bytes = rest;
                self.state = State::Payload(left.saturating_sub(here as u64));
                Ok(Some(Part::Payload(payload)))
            }
        }
    }

    /// Reads nothing any more.
    pub(crate) fn give_up(&mut self) {
        self.state = State::Broken;
    }

    fn next_header<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Option<Part<'b>>, InvalidFrame> {
        loop {
            if self.header.len == self.header.wanted() {
                break;
            }
            let Some((byte, rest)) = bytes.split_first() else { return Ok(None) };
            let Some(slot) = self.header.bytes.get_mut(self.header.len) else { return self.broken() };
            *slot = *byte;
            self.header.len += 1;
            *bytes = rest;
        }
        let Some(header) = self.header.read() else { return self.broken() };
        let bad_control = header.is_control() && (header.length > MAX_CONTROL_BYTES || !header.last);
        let too_long = i64::try_from(header.length).is_err();
        if bad_control || too_long || header.mask.is_some() != self.masked {
            return self.broken();
        }
        self.state = State::Payload(header.length);
        Ok(Some(Part::Header { header, bytes: std::mem::take(&mut self.header) }))
    }

    fn broken<T>(&mut self) -> Result<T, InvalidFrame> {
        self.state = State::Broken;
        Err(InvalidFrame)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as it was written, and its bytes.
    fn frame(masked: bool) -> impl Strategy<Value = (Header, Vec<u8>, Vec<u8>)> {
        let length =
            prop_oneof![Just(0), Just(1), Just(125), Just(126), Just(65_535), Just(65_536), 0..400usize,];
        (any::<bool>(), 0..11u8, any::<[u8; 4]>(), length, any::<u8>()).prop_map(
            move |(last, opcode, key, length, seed)| {
                let opcode = if (3..8).contains(&opcode) { TEXT } else { opcode };
                let control = opcode & 8 != 0;
                let length = if control { length.min(125) } else { length };
                let header = Header {
                    last: last || control,
                    extended: false,
                    opcode,
                    mask: masked.then_some(key),
                    length: length as u64,
                };
                let payload: Vec<u8> = (0..length).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
                let mut bytes = Vec::new();
                header.write(&mut bytes);
                let mut sent = payload.clone();
                if let Some(key) = header.mask {
                    mask(&mut sent, key);
                }
                bytes.extend(sent);
                (header, payload, bytes)
            },
        )
    }

    /// Headers and unmasked payloads of what is fed in these pieces.
    fn read<'b>(mut frames: Frames, pieces: impl IntoIterator<Item = &'b [u8]>) -> Vec<(Header, Vec<u8>)> {
        let mut read = Vec::new();
        let mut open: Option<(Header, Vec<u8>)> = None;
        for mut piece in pieces {
            while let Some(part) = frames.next(&mut piece).unwrap() {
                match part {
                    Part::Header { header, .. } => open = Some((header, Vec::new())),
                    Part::Payload(bytes) => open.as_mut().unwrap().1.extend(bytes),
                    Part::End => {
                        let (header, mut payload) = open.take().unwrap();
                        if let Some(key) = header.mask {
                            mask(&mut payload, key);
                        }
                        read.push((header, payload));
                    }
                }
            }
            assert!(piece.is_empty());
        }
        read
    }

    fn fresh(masked: bool) -> Frames {
        if masked { Frames::of_client() } else { Frames::of_server() }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_however_it_is_cut(
            masked: bool,
            (of_client, of_server) in (
                proptest::collection::vec(frame(true), 1..6),
                proptest::collection::vec(frame(false), 1..6),
            ),
            size in 1..3000usize,
        ) {
            let frames = if masked { of_client } else { of_server };
            let bytes: Vec<u8> = frames.iter().flat_map(|(_, _, bytes)| bytes.clone()).collect();
            let expected: Vec<_> = frames.into_iter().map(|(header, payload, _)| (header, payload)).collect();
            prop_assert_eq!(read(fresh(masked), bytes.chunks(size)), expected);
        }

        #[test]
        fn a_header_has_the_same_meaning_wherever_it_is_cut((header, payload, bytes) in frame(true)) {
            let cuts = bytes.len().min(MAX_HEADER_BYTES + 2);
            for at in 0..=cuts {
                let (first, second) = bytes.split_at(at);
                let found = read(Frames::of_client(), [first, second]);
                prop_assert_eq!(found, vec![(header, payload.clone())]);
            }
        }

        #[test]
        fn no_bytes_are_lost_whatever_they_are(bytes: Vec<u8>, masked: bool, size in 1..40usize) {
            let mut frames = fresh(masked);
            let mut seen = Vec::new();
            for mut piece in bytes.chunks(size) {
                loop {
                    match frames.next(&mut piece) {
                        Ok(Some(Part::Header { bytes, .. })) => seen.extend_from_slice(bytes.get()),
                        Ok(Some(Part::Payload(bytes))) => seen.extend_from_slice(bytes),
                        Ok(Some(Part::End)) => {}
                        Ok(None) => break,
                        Err(InvalidFrame) => {
                            seen.extend_from_slice(frames.take_begun().get());
                            seen.extend_from_slice(piece);
                            break;
                        }
                    }
                }
            }
            seen.extend_from_slice(frames.take_begun().get());
            prop_assert_eq!(seen, bytes);
        }
    }

    #[test]
    fn a_length_that_no_frame_can_have_breaks_the_stream() {
        let mut bytes = vec![0x81, 0xff];
        bytes.extend((1_u64 << 63).to_be_bytes());
        bytes.extend([1, 2, 3, 4, 5]);
        let mut frames = Frames::of_client();
        let mut rest = &bytes[..];
        assert_eq!(frames.next(&mut rest), Err(InvalidFrame));
        assert_eq!([frames.take_begun().get(), rest].concat(), bytes);
        assert_eq!(frames.next(&mut rest), Err(InvalidFrame), "and it stays broken");
    }

    #[test]
    fn the_longest_length_is_only_a_number() {
        let mut bytes = vec![0x82, 0xff];
        bytes.extend((u64::MAX >> 1).to_be_bytes());
        bytes.extend([1, 2, 3, 4, 5]);
        let mut frames = Frames::of_client();
        let mut rest = &bytes[..];
        let Ok(Some(Part::Header { header, .. })) = frames.next(&mut rest) else { panic!("no header") };
        assert_eq!(header.length, u64::MAX >> 1);
        assert_eq!(frames.next(&mut rest), Ok(Some(Part::Payload(&[5]))));
    }

    #[test]
    fn masks_and_control_frames_are_as_the_rfc_has_them() {
        let unmasked_client = (Frames::of_client(), &[0x81, 0x01, b'x'][..]);
        let masked_server = (Frames::of_server(), &[0x81, 0x81, 0, 0, 0, 0, b'x'][..]);
        let long_ping = (Frames::of_server(), &[0x89, 126, 0, 126][..]);
        let cut_ping = (Frames::of_server(), &[0x09, 0][..]);
        for (mut frames, mut bytes) in [unmasked_client, masked_server, long_ping, cut_ping] {
            assert_eq!(frames.next(&mut bytes), Err(InvalidFrame));
        }
    }
}
