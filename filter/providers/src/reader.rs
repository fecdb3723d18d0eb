//! Reads an answer as it passes, in whatever encoding it comes, for its usage and status.

use crate::event_stream::Messages;
use crate::scan::Scanner;
use crate::sse::{Piece, Pieces};
use crate::usage::Findings;

/// How an answer is encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// One JSON document.
    Json,
    /// Server-sent events.
    Events,
    /// An AWS event stream.
    Messages,
    /// Something that is not read.
    Other,
}

impl Form {
    /// The encoding that a `content-type` names.
    pub fn from_content_type(content_type: &[u8]) -> Self {
        let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        match kind.to_ascii_lowercase().as_slice() {
            b"text/event-stream" => Self::Events,
            b"application/json" => Self::Json,
            b"application/vnd.amazon.eventstream" => Self::Messages,
            _ => Self::Other,
        }
    }
}

/// Reads an answer.
#[derive(Debug, Default)]
pub struct Reader(Kind);

#[derive(Debug, Default)]
enum Kind {
    #[default]
    None,
    Json(Box<Scanner>),
    Events(Box<(Pieces, Scanner)>),
    Messages(Box<Messages>),
}

impl Reader {
    /// A reader for an answer in this form.
    pub fn new(form: Form) -> Self {
        Self(match form {
            Form::Json => Kind::Json(Box::default()),
            Form::Events => Kind::Events(Box::default()),
            Form::Messages => Kind::Messages(Box::new(Messages::new())),
            Form::Other => Kind::None,
        })
    }

    /// Whether this form is read at all.
    pub fn reads(&self) -> bool {
        !matches!(self.0, Kind::None)
    }

    /// Reads the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Kind::None => {}
            Kind::Json(scanner) => scanner.feed(bytes),
            Kind::Events(events) => {
                let (pieces, scanner) = &mut **events;
                pieces.feed(bytes, |piece| match piece {
                    Piece::Data(data) => scanner.feed(data),
                    Piece::End => scanner.next_document(),
                });
            }
            Kind::Messages(messages) => messages.feed(bytes),
        }
    }

    /// Ends a document: another one may follow.
    pub fn next_document(&mut self) {
        if let Kind::Json(scanner) = &mut self.0 {
            scanner.next_document();
        }
    }

    /// What was found so far.
    pub fn found(&self) -> Option<&Findings> {
        match &self.0 {
            Kind::None => None,
            Kind::Json(scanner) => Some(scanner.found()),
            Kind::Events(events) => Some(events.1.found()),
            Kind::Messages(messages) => Some(messages.scanner.found()),
        }
    }
}
