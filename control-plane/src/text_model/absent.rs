//! No text model is in this build.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use headroom_api::llmlingua::{NOT_BUILT, Rates};
use tokio_util::sync::CancellationToken;

use super::{Shorten, TextModelSettings, TextModelState};

/// No text model.
#[derive(Debug)]
pub(crate) struct TextModel {
    rates: Rates,
}

/// There is no text model in this build.
#[derive(Debug)]
pub(crate) struct Shortener(Infallible);

impl Shorten for Shortener {
    fn shorten(&self, _: &str, _: f64) -> Option<String> {
        match self.0 {}
    }
}

impl TextModel {
    pub(crate) fn new(settings: &TextModelSettings) -> Arc<Self> {
        if let Some(folder) = settings.unused() {
            tracing::info!(
                message = "There is a text model, but it cannot be used.",
                folder = %folder.display(),
                reason = NOT_BUILT,
            );
        }
        Arc::new(Self { rates: settings.rates })
    }

    pub(crate) async fn keep(self: Arc<Self>, _: CancellationToken) {}

    pub(crate) fn rates(&self) -> Rates {
        self.rates
    }

    pub(crate) fn state(&self) -> TextModelState {
        TextModelState { status: "disabled", error: Some(NOT_BUILT.to_owned()), model: None }
    }

    pub(crate) fn unload(&self) {}

    pub(crate) async fn shortener(&self, _: Instant) -> Result<Shortener, String> {
        Err(NOT_BUILT.to_owned())
    }
}
