//! What one side of a WebSocket session has sent: frames, bytes, and the code of its close frame.

use crate::frames::{CLOSE, Header};

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
