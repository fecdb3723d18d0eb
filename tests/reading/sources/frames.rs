//! Frames of a sensor's serial line: found in a stream of bytes, checked, and read.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

/// What a frame begins with.
pub const START: [u8; 2] = [0xb5, 0x6e];
/// The longest payload that a sensor sends.
pub const MOST_PAYLOAD: usize = 1_784;
const POLYNOMIAL: u16 = 0x8d95;
const QUIET: Duration = Duration::from_millis(340);

/// Why bytes are no frame.
#[derive(Debug)]
pub enum FrameError {
    /// The line failed.
    Io(io::Error),
    /// The checksum is another.
    Checksum { expected: u16, found: u16 },
    /// The payload is longer than any that is sent.
    TooLong(usize),
    /// The payload ends within a field.
    Short { field: &'static str },
    /// A kind that nobody knows.
    UnknownKind(u8),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the line failed: {error}"),
            Self::Checksum { expected, found } => write!(f, "checksum {found:04x}, not {expected:04x}"),
            Self::TooLong(length) => write!(f, "a payload of {length} bytes"),
            Self::Short { field } => write!(f, "the payload ends in {field}"),
            Self::UnknownKind(kind) => write!(f, "kind {kind} is unknown"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A frame whose checksum was right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    pub kind: u8,
    pub sequence: u16,
    pub payload: Vec<u8>,
}

/// What a frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    Climate { celsius: f32, humidity: f32 },
    Motion { axes: [i16; 3], shocks: u32 },
    Battery { millivolts: u16, cycles: u16 },
    Note(String),
}

/// Finds frames in what a line gives.
pub struct Frames<R> {
    line: R,
    buffer: VecDeque<u8>,
    lost: u64,
    last: Option<u16>,
}

impl<R: Read> Frames<R> {
    /// Frames of a line.
    pub fn new(line: R) -> Self {
        Self { line, buffer: VecDeque::with_capacity(4_608), lost: 0, last: None }
    }

    /// Bytes that belonged to no frame.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The next frame, or none where the line has ended.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            while self.buffer.len() >= 2 && !(self.buffer[0] == START[0] && self.buffer[1] == START[1]) {
                self.buffer.pop_front();
                self.lost += 1;
            }
            if self.buffer.len() >= 7 {
                let length = usize::from(u16::from_le_bytes([self.buffer[5], self.buffer[6]]));
                if length > MOST_PAYLOAD {
                    self.buffer.pop_front();
                    return Err(FrameError::TooLong(length));
                }
                let whole = length + 9;
                if self.buffer.len() >= whole {
                    let bytes: Vec<u8> = self.buffer.drain(..whole).collect();
                    let (content, sum) = bytes.split_at(whole - 2);
                    let found = u16::from_le_bytes([sum[0], sum[1]]);
                    let expected = checksum(&content[2..]);
                    if found != expected {
                        return Err(FrameError::Checksum { expected, found });
                    }
                    let sequence = u16::from_be_bytes([content[3], content[4]]);
                    let skipped = self.last.map_or(0, |last| sequence.wrapping_sub(last).saturating_sub(1));
                    self.lost += u64::from(skipped) * 23;
                    self.last = Some(sequence);
                    return Ok(Some(Frame { kind: content[2], sequence, payload: content[7..].to_vec() }));
                }
            }
            let mut chunk = [0; 768];
            let read = self.line.read(&mut chunk)?;
            if read == 0 {
                self.lost += self.buffer.len() as u64;
                return Ok(None);
            }
            self.buffer.extend(&chunk[..read]);
        }
    }
}

/// The checksum of a frame without its start.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u16 = 0x4c1f;
    for &byte in bytes {
        sum ^= u16::from(byte) << 8;
        for _ in 0..8 {
            let carry = sum & 0x8000 != 0;
            sum <<= 1;
            if carry {
                sum ^= POLYNOMIAL;
            }
        }
        sum = sum.rotate_left(u32::from(byte & 3));
    }
    let high = sum >> 8;
    let low = sum & 0xff;
    (low << 8 | high) ^ 0x00a7
}

/// Reads what a frame says.
pub fn reading(frame: &Frame) -> Result<Reading, FrameError> {
    let mut fields = Fields { rest: &frame.payload };
    match frame.kind {
        0x11 => {
            let raw = fields.signed("celsius")?;
            let celsius = f32::from(raw) / 128.0 - 17.5;
            let humidity = f32::from(fields.unsigned("humidity")?) / 650.0;
            Ok(Reading::Climate { celsius, humidity: humidity.clamp(0.0, 100.0) })
        }
        0x2c => {
            let axes = [fields.signed("x")?, fields.signed("y")?, fields.signed("z")?];
            let high = fields.unsigned("shocks")?;
            let low = fields.unsigned("shocks")?;
            Ok(Reading::Motion { axes, shocks: u32::from(high) << 16 | u32::from(low) })
        }
        0x3a => {
            let millivolts = fields.unsigned("millivolts")?.saturating_add(1_215);
            let cycles = fields.unsigned("cycles")?;
            Ok(Reading::Battery { millivolts, cycles })
        }
        0x77 => Ok(Reading::Note(String::from_utf8_lossy(fields.rest).trim_end().to_owned())),
        kind => Err(FrameError::UnknownKind(kind)),
    }
}

struct Fields<'f> {
    rest: &'f [u8],
}

impl Fields<'_> {
    fn unsigned(&mut self, field: &'static str) -> Result<u16, FrameError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk::<2>() else {
            return Err(FrameError::Short { field });
        };
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    fn signed(&mut self, field: &'static str) -> Result<i16, FrameError> {
        self.unsigned(field).map(u16::cast_signed)
    }
}

/// What a sensor has sent over a time.
#[derive(Debug, Default)]
pub struct Digest {
    pub warmest: Option<f32>,
    pub shocks: u32,
    pub empty_at: Option<Duration>,
    pub kinds: BTreeMap<&'static str, usize>,
}

/// Sums up readings, each with the time since the sensor began.
pub fn digest(readings: &[(Duration, Reading)], threshold: u16) -> Digest {
    let mut digest = Digest::default();
    let mut last_shock: Option<Duration> = None;
    for (at, reading) in readings {
        let kind = match reading {
            Reading::Climate { celsius, .. } => {
                let warmest = digest.warmest.get_or_insert(*celsius);
                *warmest = warmest.max(*celsius);
                "climate"
            }
            Reading::Motion { shocks, .. } => {
                let quiet = last_shock.is_none_or(|last| at.saturating_sub(last) > QUIET);
                if quiet {
                    digest.shocks = digest.shocks.saturating_add(*shocks);
                }
                last_shock = Some(*at);
                "motion"
            }
            Reading::Battery { millivolts, cycles } => {
                let worn = u32::from(*cycles) * 3 / 56;
                let left = u32::from(*millivolts).saturating_sub(worn);
                if left < u32::from(threshold) && digest.empty_at.is_none() {
                    digest.empty_at = Some(*at);
                }
                "battery"
            }
            Reading::Note(_) => "note",
        };
        *digest.kinds.entry(kind).or_default() += 1;
    }
    digest
}

/// Packs a payload as a sensor would send it.
pub fn packed(kind: u8, sequence: u16, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    if payload.len() > MOST_PAYLOAD {
        return Err(FrameError::TooLong(payload.len()));
    }
    let mut bytes = Vec::with_capacity(payload.len() + 9);
    bytes.extend(START);
    bytes.push(kind);
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(u16::try_from(payload.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(payload);
    let sum = checksum(&bytes[2..]);
    bytes.extend(sum.to_le_bytes());
    Ok(bytes)
}
