//! A client's messages over a WebSocket: text messages are held until they are complete and can be replaced;
//! everything else passes as it comes.
//!
//! They are held here and not in the host: the host's limit on what it holds would end the session, and the
//! host can only hold everything. Control frames may stand between the frames of a message, and they overtake
//! one that is held. A message that is not replaced leaves as it came, in the same frames with the same
//! masks. The filter also reads messages that pass unheld, to learn their kind.

mod message;

use self::message::HeldMessage;
pub(crate) use self::message::PassingMessage;
use crate::frames::{CLOSE, CONTINUATION, Frames, Header, Part, TEXT, mask};
use crate::traffic::Traffic;

/// A message in more frames than this passes: each frame costs more memory than it carries. Clients that
/// split messages do so every few kilobytes.
const MAX_FRAMES: usize = 8_192;

/// A text message.
pub(crate) enum Message<'m> {
    /// It is complete and can be replaced.
    Whole(&'m [u8]),
    /// It has passed already.
    Passed(&'m PassingMessage),
}

/// The messages of a client.
#[derive(Debug)]
pub(crate) struct Outgoing {
    frames: Frames,
    /// The header of the current frame.
    header: Option<Header>,
    /// The part of the current message that is held.
    held: Option<HeldMessage>,
    /// The current message, if it passes and is readable text.
    passing: Option<PassingMessage>,
    pub(crate) traffic: Traffic,
    /// Longer messages pass. Bytes; 0: all pass.
    max_bytes: usize,
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
    pub(crate) fn unfinished(&mut self) -> Option<PassingMessage> {
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
                self.held = Some(HeldMessage::default());
            }
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let too_long = |held: &HeldMessage| {
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

#[cfg(test)]
mod tests;
