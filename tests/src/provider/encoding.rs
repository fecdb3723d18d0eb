//! Answers with a content-encoding, as providers send them if a client accepts one.

use std::io::{self, Read as _, Write as _};

use brotli::{CompressorWriter, Decompressor};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hyper::header::{ACCEPT_ENCODING, HeaderMap};

/// Bytes that brotli works on at a time.
const BUFFER: usize = 4096;
/// Fast; the size of the result does not matter here.
const QUALITY: u32 = 2;
/// Brotli's window, as a power of two.
const WINDOW: u32 = 20;

/// A content-encoding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    /// gzip
    Gzip,
    /// Brotli
    Brotli,
}

impl Encoding {
    /// The first known encoding that a request names.
    pub(super) fn asked_for(headers: &HeaderMap) -> Option<Self> {
        let named = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        named.flat_map(|value| value.split(',')).find_map(|name| match name.split(';').next()?.trim() {
            "gzip" => Some(Self::Gzip),
            "br" => Some(Self::Brotli),
            _ => None,
        })
    }

    /// Its name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }

    pub(super) fn encode(self, plain: &[u8]) -> io::Result<Bytes> {
        let encoded = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(plain)?;
                encoder.finish()?
            }
            Self::Brotli => {
                let mut encoder = CompressorWriter::new(Vec::new(), BUFFER, QUALITY, WINDOW);
                encoder.write_all(plain)?;
                encoder.flush()?;
                encoder.into_inner()
            }
        };
        Ok(encoded.into())
    }

    /// Decodes.
    pub fn decode(self, encoded: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        match self {
            Self::Gzip => GzDecoder::new(encoded).read_to_end(&mut plain)?,
            Self::Brotli => Decompressor::new(encoded, BUFFER).read_to_end(&mut plain)?,
        };
        Ok(plain)
    }
}
