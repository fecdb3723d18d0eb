//! The text model, loaded when it is wanted.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hashlink::LruCache;
use headroom_api::llmlingua::Rates;
use headroom_text_model::{Options, Service, ServiceSettings, Source, Status, Turn, TurnError};
use tokio_util::sync::CancellationToken;

use super::{Shorten, TextModelSettings, TextModelState};

/// How long the first load may take, with a download, before the log says that no caller waits for it any more.
const FIRST_LOAD: Duration = Duration::from_secs(3600);
/// The answer to a caller who asks for a model that is not switched on.
const DISABLED: &str = "the text model is not switched on: start headroomd with --llmlingua";

/// Answers that are remembered: conversations come again with every turn.
const MAX_REMEMBERED: usize = 1024;
/// Bytes of an answer that is remembered at most, so that all take 64 MiB.
const MAX_ANSWER: usize = 64 << 10;

/// What stays of texts, by their hash and the rate.
type Remembered = Mutex<LruCache<(blake3::Hash, u64), String>>;

/// The text model, where it is switched on.
pub(crate) struct TextModel {
    service: Option<Arc<Service>>,
    rates: Rates,
    remembered: Arc<Remembered>,
}

/// The model, for one call, until a point in time.
pub(crate) struct Shortener {
    turn: Turn,
    until: Instant,
    remembered: Arc<Remembered>,
}

impl Shorten for Shortener {
    fn shorten(&self, text: &str, rate: f64) -> Option<String> {
        let key = (blake3::hash(text.as_bytes()), rate.to_bits());
        let remembered = || self.remembered.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(short) = remembered().get(&key) {
            return Some(short.clone());
        }
        let goes_on = || Instant::now() < self.until;
        match self.turn.model().compress(text, &Options::of_rate(rate), &goes_on) {
            Ok(compressed) => {
                if compressed.text.len() <= MAX_ANSWER {
                    remembered().insert(key, compressed.text.clone());
                }
                Some(compressed.text)
            }
            Err(error) => {
                tracing::debug!(message = "A text was not shortened by the text model.", %error);
                None
            }
        }
    }
}

impl TextModel {
    pub(crate) fn new(settings: &TextModelSettings) -> Arc<Self> {
        if let Some(folder) = settings.unused() {
            tracing::info!(
                message = "There is a text model, but it is not used: --llmlingua switches it on.",
                folder = %folder.display(),
            );
        }
        let service = settings.enabled.then(|| {
            let source = match &settings.model {
                Some(name) => Source::named(name, settings.cache.clone()),
                None => Source::Folder(settings.folder.clone()),
            };
            // one core stays for everything else
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let threads = threads.saturating_sub(1).max(1);
            Service::new(ServiceSettings { source, threads, idle: settings.idle })
        });
        let remembered = Arc::new(Mutex::new(LruCache::new(MAX_REMEMBERED)));
        Arc::new(Self { service, rates: settings.rates, remembered })
    }

    /// Loads the model, so that the first caller does not wait for that, and unloads it whenever it is not used.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let Some(service) = self.service.clone() else { return };
        let work = async {
            match service.turn(FIRST_LOAD).await {
                Ok(_) => tracing::info!(message = "The text model is loaded."),
                Err(error) => tracing::warn!(message = "There is no text model.", %error),
            }
            service.tend().await;
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
        }
    }

    pub(crate) fn rates(&self) -> Rates {
        self.rates
    }

    pub(crate) fn state(&self) -> TextModelState {
        let Some(service) = &self.service else {
            return TextModelState { status: "disabled", ..TextModelState::default() };
        };
        let (status, error) = match service.status() {
            Status::Unloaded => ("unloaded", None),
            Status::Loading => ("loading", None),
            Status::Loaded => ("loaded", None),
            Status::Failed(why) => ("error", Some(why)),
        };
        let model = match service.source() {
            Source::Folder(folder) => folder.display().to_string(),
            Source::Hub { name, .. } => name.clone(),
        };
        TextModelState { status, error, model: Some(model) }
    }

    pub(crate) fn unload(&self) {
        if let Some(service) = &self.service {
            service.unload();
        }
    }

    /// The model until a point in time, as soon as it is free.
    pub(crate) async fn shortener(&self, until: Instant) -> Result<Shortener, String> {
        let service = self.service.as_ref().ok_or(DISABLED)?;
        let within = until.saturating_duration_since(Instant::now());
        let turn = service.turn(within).await.map_err(|error: TurnError| error.to_string())?;
        Ok(Shortener { turn, until, remembered: Arc::clone(&self.remembered) })
    }
}
