//! One text message of a client: its bytes while they are held, or what is known of it when it passes.

use headroom_providers::scan::Scanner;

use crate::frames::{Header, mask};

/// A text message that passes unheld.
#[derive(Debug, Default)]
pub(crate) struct PassingMessage {
    /// Reads its text.
    scanner: Box<Scanner>,
    /// Bytes of its text.
    bytes: u64,
    /// Bytes of the current frame's payload.
    pub(super) frame_bytes: u64,
    /// Whether its last frame has begun.
    pub(super) last: bool,
}

impl PassingMessage {
    /// What the message says about its kind and model.
    pub(crate) fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next part of the payload.
    pub(super) fn feed(&mut self, payload: &[u8], key: [u8; 4]) {
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

/// A text message that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct HeldMessage {
    /// Its bytes as they came.
    pub(super) bytes: Vec<u8>,
    pub(super) frames: Vec<HeldFrame>,
    /// How many of `bytes` are headers.
    header_bytes: usize,
    /// Whether its last frame has begun.
    pub(super) last: bool,
}

/// The position of a frame in the held bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldFrame {
    header_at: usize,
    payload_at: usize,
    pub(super) key: [u8; 4],
}

impl HeldMessage {
    pub(super) fn payload_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(self.header_bytes)
    }

    pub(super) fn begin(&mut self, header: Header, bytes: &[u8]) {
        let header_at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.header_bytes = self.header_bytes.saturating_add(bytes.len());
        let payload_at = self.bytes.len();
        self.frames.push(HeldFrame { header_at, payload_at, key: header.mask.unwrap_or_default() });
        self.last = header.last;
    }

    /// What has come of it, as a message that passes.
    pub(super) fn passing(&self) -> PassingMessage {
        let text = self.text();
        let mut scanner = Box::<Scanner>::default();
        scanner.feed(&text);
        let frame = self.frames.last().map_or(0, |frame| frame.payload_at);
        let frame_bytes = self.bytes.len().saturating_sub(frame) as u64;
        PassingMessage { scanner, bytes: text.len() as u64, frame_bytes, last: self.last }
    }

    /// The message's text, unmasked.
    pub(super) fn text(&self) -> Vec<u8> {
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
