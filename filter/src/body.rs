//! A complete body in the host's buffer: how it is read and replaced.

use std::rc::Rc;

use headroom_api::v1::RequestOutcome;
use headroom_compress::rounds::{self, RestoredBody};
use headroom_providers::route::Route;
use proxy_wasm::types::{BufferType, MapType};

use crate::encoding::{self, Encoding};
use crate::exchange::Exchange;
use crate::host::{self, RefusedCall};
use crate::mode::Mode;
use crate::rules::Treatment;

/// A complete body in the host's buffer.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) route: Route,
    pub(crate) treatment: Treatment,
    /// Whether the headers are held with it.
    pub(crate) held: bool,
    pub(crate) encoding: Option<Encoding>,
    /// Bytes.
    pub(crate) size: usize,
}

/// Stands for a host status: the host gave fewer bytes than it had announced.
const SHORT: u32 = u32::MAX;

const CONTENT_ENCODING: &str = "content-encoding";

/// How many times its own length an encoded body may be. Recorded conversations are 3 to 12 times as long.
const MAX_RATIO: usize = 100;

impl Body {
    fn read(&self) -> host::Result<Vec<u8>> {
        let bytes = host::buffer(BufferType::HttpRequestBody, self.size)?;
        if bytes.len() != self.size {
            // Part of a body must never be taken for the whole.
            return Err(RefusedCall { call: "get_buffer", status: SHORT });
        }
        Ok(bytes)
    }

    /// The bytes that the engine reads, and whether rounds were put back into them. `None`: there is nothing
    /// to read, and the body is settled.
    pub(crate) fn prepare(&self, exchange: &mut Exchange) -> host::Result<Option<(Rc<Vec<u8>>, bool)>> {
        let mut bytes = self.read()?;
        if let Some(encoding) = self.encoding {
            let cap = exchange.settings.config.engine.max_body_bytes;
            match encoding::decode(encoding, &bytes, cap, MAX_RATIO) {
                Ok(content) => bytes = content,
                Err(error) => {
                    exchange.settings.undecoded(&error);
                    exchange.settle(RequestOutcome::Encoded);
                    return Ok(None);
                }
            }
        }
        let restored = rounds::restore(&bytes, self.route.api);
        let is_restored = restored.is_some();
        if let Some(RestoredBody { body, retrievals }) = restored {
            bytes = body;
            exchange.settings.metrics.restored(retrievals);
            exchange.record.restored_rounds = retrievals;
        }
        if self.treatment.mode == Mode::Off {
            if is_restored {
                self.put(exchange, &bytes)?;
            }
            exchange.settle(RequestOutcome::Bypassed);
            return Ok(None);
        }
        Ok(Some((Rc::new(bytes), is_restored)))
    }

    /// Replaces the body. If the headers are held, they are changed first, while that can still be undone. If
    /// the headers have left, or cannot be changed, the body keeps its encoding.
    pub(crate) fn put(&self, exchange: &mut Exchange, bytes: &[u8]) -> host::Result<()> {
        let mut encoding = self.encoding;
        if self.held && encoding.is_some() {
            match host::remove_header(MapType::HttpRequestHeaders, CONTENT_ENCODING.as_bytes()) {
                Ok(()) => encoding = None,
                Err(refused) => exchange.settings.refused(refused),
            }
        }
        let encoded = encoding.map(|it| encoding::store(it, bytes));
        let bytes = encoded.as_deref().unwrap_or(bytes);
        let put = self.put_with_length(bytes);
        if let (Err(_), Some(was), None) = (&put, self.encoding, encoding) {
            host::set_header(MapType::HttpRequestHeaders, CONTENT_ENCODING, was.name().as_bytes())?;
        }
        put?;
        exchange.record.body_bytes_after = bytes.len() as u64;
        Ok(())
    }

    fn put_with_length(&self, bytes: &[u8]) -> host::Result<()> {
        if !self.held {
            return host::replace_buffer(BufferType::HttpRequestBody, self.size, bytes);
        }
        set_length(bytes.len())?;
        let put = host::replace_buffer(BufferType::HttpRequestBody, self.size, bytes);
        if put.is_err() {
            set_length(self.size)?;
        }
        put
    }
}

fn set_length(bytes: usize) -> host::Result<()> {
    host::set_header(MapType::HttpRequestHeaders, "content-length", bytes.to_string().as_bytes())
}
