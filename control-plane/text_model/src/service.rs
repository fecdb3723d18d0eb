//! One model for a process: loaded when it is wanted, unloaded when it was not for a while, and run by one caller at a time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::file::ModelError;
use crate::hub;
use crate::model::TextModel;

/// Callers that may wait for their turn. A turn takes seconds, so that more would not be answered in time.
const MAX_WAITING: usize = 8;
/// For this long after a model could not be loaded, callers get the same error without another attempt.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// How often is looked whether the model was used.
const LOOK: Duration = Duration::from_secs(1);

/// Where a model is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// In a folder.
    Folder(PathBuf),
    /// On the hub, from where it is downloaded to a folder once.
    Hub {
        /// `owner/name`.
        name: String,
        /// Where downloaded models are kept.
        cache: PathBuf,
    },
}

impl Source {
    /// A folder, or the name of a model on the hub: what is there, and what has the form of one.
    pub fn named(name: &str, cache: PathBuf) -> Self {
        let path = PathBuf::from(name);
        if !path.exists() && hub::is_name(name) {
            return Self::Hub { name: name.to_owned(), cache };
        }
        Self::Folder(path)
    }
}

/// How a model is run.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// Where it is.
    pub source: Source,
    /// Threads that it runs on.
    pub threads: usize,
    /// It is unloaded after this time without use.
    pub idle: Duration,
}

/// What a model is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Status {
    /// It takes no memory, and is loaded for the next text.
    Unloaded,
    /// It is being loaded, or downloaded.
    Loading,
    /// It can be used.
    Loaded,
    /// It could not be loaded, and why.
    Failed(String),
}

/// Why a caller gets no turn.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// Too many wait already.
    #[error("{MAX_WAITING} texts wait for the text model already")]
    Busy,
    /// It was not free, or not loaded, in time.
    #[error("the text model was not free in time")]
    Late,
    /// It could not be loaded.
    #[error("the text model could not be loaded: {0}")]
    Failed(String),
}

#[derive(Debug)]
enum State {
    Unloaded,
    Loading,
    Loaded { model: Arc<TextModel>, used: Instant },
    Failed { why: String, since: Instant },
}

/// A model for a process.
#[derive(Debug)]
pub struct Service {
    settings: ServiceSettings,
    state: Mutex<State>,
    turn: Arc<Semaphore>,
    waiting: Semaphore,
}

/// The model, for one caller.
#[derive(Debug)]
pub struct Turn {
    model: Arc<TextModel>,
    service: Arc<Service>,
    _turn: OwnedSemaphorePermit,
}

impl Turn {
    /// The model.
    pub fn model(&self) -> &TextModel {
        &self.model
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let State::Loaded { used, .. } = &mut *self.service.state() {
            *used = Instant::now();
        }
    }
}

impl Service {
    /// A model that is not loaded yet.
    pub fn new(settings: ServiceSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            state: Mutex::new(State::Unloaded),
            turn: Arc::new(Semaphore::new(1)),
            waiting: Semaphore::new(MAX_WAITING),
        })
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        match &*self.state() {
            State::Unloaded => Status::Unloaded,
            State::Loading => Status::Loading,
            State::Loaded { .. } => Status::Loaded,
            State::Failed { why, .. } => Status::Failed(why.clone()),
        }
    }

    /// Where the model is.
    pub fn source(&self) -> &Source {
        &self.settings.source
    }

    /// The model, as soon as it is free and loaded. A load that takes longer goes on, for the next caller.
    pub async fn turn(self: &Arc<Self>, within: Duration) -> Result<Turn, TurnError> {
        let _waits = self.waiting.try_acquire().map_err(|_| TurnError::Busy)?;
        let this = Arc::clone(self);
        let turn = async move {
            let turn = Arc::clone(&this.turn).acquire_owned().await.map_err(|_| TurnError::Late)?;
            // a task of its own, so that the load goes on after its caller has stopped waiting
            let loaded = tokio::spawn(async move { this.loaded(turn).await }).await;
            loaded.unwrap_or_else(|error| Err(TurnError::Failed(format!("it broke off: {error}"))))
        };
        tokio::time::timeout(within, turn).await.unwrap_or(Err(TurnError::Late))
    }

    async fn loaded(self: Arc<Self>, turn: OwnedSemaphorePermit) -> Result<Turn, TurnError> {
        match &mut *self.state() {
            State::Loaded { model, used } => {
                *used = Instant::now();
                let model = Arc::clone(model);
                return Ok(Turn { model, service: Arc::clone(&self), _turn: turn });
            }
            State::Failed { why, since } if since.elapsed() < AFTER_FAILURE => {
                return Err(TurnError::Failed(why.clone()));
            }
            state => *state = State::Loading,
        }
        match self.load().await {
            Ok(model) => {
                let model = Arc::new(model);
                *self.state() = State::Loaded { model: Arc::clone(&model), used: Instant::now() };
                Ok(Turn { model, service: Arc::clone(&self), _turn: turn })
            }
            Err(why) => {
                *self.state() = State::Failed { why: why.clone(), since: Instant::now() };
                Err(TurnError::Failed(why))
            }
        }
    }

    async fn load(&self) -> Result<TextModel, String> {
        let folder = match &self.settings.source {
            Source::Folder(folder) => folder.clone(),
            Source::Hub { name, cache } => {
                hub::fetch(&hub::base(), name, cache, &|_, _| {}).await.map_err(|error| error.to_string())?
            }
        };
        let threads = self.settings.threads;
        let loaded = tokio::task::spawn_blocking(move || TextModel::load(&folder, threads)).await;
        let loaded: Result<TextModel, ModelError> =
            loaded.map_err(|error| format!("it broke off: {error}"))?;
        loaded.map_err(|error| error.to_string())
    }

    /// Frees the model's memory, as soon as no turn is under way. It is loaded again for the next text.
    pub fn unload(&self) {
        let mut state = self.state();
        if matches!(*state, State::Loaded { .. } | State::Failed { .. }) {
            *state = State::Unloaded;
        }
    }

    /// Unloads the model whenever it was not used for a while. Does not end.
    pub async fn tend(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK.min(self.settings.idle)).await;
            let idle = match &*self.state() {
                State::Loaded { used, .. } => used.elapsed() >= self.settings.idle,
                _ => false,
            };
            // only if no turn is under way: a long turn is use as well
            if idle && self.turn.available_permits() > 0 {
                self.unload();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
