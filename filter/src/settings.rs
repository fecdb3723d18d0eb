//! The active configuration and what its streams share: memo, queues for the sidecar, budgets, metrics.

mod sidecar;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use headroom_compress::Memo;
use proxy_wasm::types::{BufferType, GrpcStatusCode};

use crate::answer_cache::sidecar::AnswerSidecar;
use crate::config::{Config, ControlPlane};
use crate::contexts::Contexts;
use crate::copies::{self, Copies};
use crate::deferred::{Deferred, Outlet};
use crate::encoding::DecodeError;
use crate::handover::{self, Handover};
use crate::hold::HoldSupport;
use crate::host::{self, NANOS_PER_MS, RefusedCall};
use crate::in_work::{self, InWork};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::recoveries::Recoveries;
use crate::report::{PendingRecord, Reporter};

/// The longest answer of the sidecar that is read; pages of an original are a few hundred kilobytes.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// What the streams of a root context share. A stream keeps the settings with which it began.
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// Never borrowed during a host call: the host may call back.
    pub(crate) memo: Rc<RefCell<Memo>>,
    /// As `memo`. `None`: no sidecar, no reports.
    reporter: Option<Rc<RefCell<Reporter>>>,
    /// As `memo`; copies for the sidecar's store.
    copies: Rc<RefCell<Copies>>,
    /// As `memo`; reports that other VMs of this Envoy could not send.
    handover: Rc<RefCell<Handover>>,
    /// As `memo`; budgets that are used up.
    pub(crate) limits: Rc<RefCell<Limits>>,
    pub(crate) metrics: Rc<Metrics>,
    pub(crate) answers: AnswerSidecar,
    pub(crate) requests: Rc<Requests>,
    pub(crate) hold: HoldSupport,
    refusals: Cell<u64>,
    /// When the next report may go. Nanoseconds.
    next_report: Cell<u64>,
    /// The tick period while no request waits for a tick; `None`: no ticks. Milliseconds.
    tick_ms: Cell<Option<u32>>,
    /// Whether ticks come faster, because requests wait.
    hurries: Cell<bool>,
    /// When a tick is due that does more than serve waiting requests. Nanoseconds.
    next_round: Cell<u64>,
}

/// The queues for the sidecar, and what it has answered.
struct Sidecar {
    reporter: Option<Rc<RefCell<Reporter>>>,
    copies: Rc<RefCell<Copies>>,
    handover: Rc<RefCell<Handover>>,
    limits: Rc<RefCell<Limits>>,
}

/// What the requests of a VM share.
pub(crate) struct Requests {
    vm: u64,
    last: Cell<u32>,
    /// The budget for everything that is kept for requests.
    pub(crate) memory: Rc<Memory>,
    /// Conversations that have needed a recovery.
    pub(crate) recoveries: RefCell<Recoveries>,
    /// What conversations begin with.
    pub(crate) contexts: RefCell<Contexts>,
    /// What was decided on texts.
    pub(crate) decisions: RefCell<Contexts>,
    pub(crate) deferred: Rc<Deferred>,
    pub(crate) in_work: Rc<InWork>,
}

impl Settings {
    /// Settings before there is a configuration.
    pub(crate) fn new() -> Self {
        let config = Config::default();
        let memo = Rc::new(RefCell::new(memo(config.memo_bytes)));
        let sidecar = Sidecar {
            reporter: None,
            copies: Rc::new(RefCell::new(Copies::new(copy_limits(&ControlPlane::default())))),
            handover: Rc::default(),
            limits: Rc::default(),
        };
        Self::of(config, memo, sidecar, Metrics::none(), Rc::new(Requests::new()))
    }

    /// Settings for a configuration with this many errors. What the VM has learned is taken over: `siblings`
    /// are the current settings of other roots, the newest first.
    pub(crate) fn configured(config: Config, errors: u64, siblings: &[Rc<Self>]) -> Self {
        let memo = siblings
            .iter()
            .find(|it| it.config.engine == config.engine && it.config.memo_bytes == config.memo_bytes)
            .map_or_else(|| Rc::new(RefCell::new(memo(config.memo_bytes))), |it| Rc::clone(&it.memo));
        let requests =
            siblings.first().map_or_else(|| Rc::new(Requests::new()), |it| Rc::clone(&it.requests));
        requests.memory.configure(&config);
        let reporter = config.control_plane.as_ref().map(|control_plane| {
            let reporter = reporter(control_plane, siblings, &requests);
            reporter.borrow_mut().configure(control_plane.clone(), errors);
            reporter
        });

        // What was sent to one store says nothing about another.
        let cluster = |it: &Config| it.control_plane.as_ref().map(|it| it.cluster.clone());
        let same_store = siblings.iter().find(|it| cluster(&it.config) == cluster(&config));
        let copy_limits = copy_limits(config.control_plane.as_ref().unwrap_or(&ControlPlane::default()));
        let copies = match same_store {
            Some(it) => Rc::clone(&it.copies),
            None => Rc::new(RefCell::new(Copies::new(copy_limits))),
        };
        copies.borrow_mut().configure(copy_limits);
        let limits = same_store.map_or_else(Rc::default, |it| Rc::clone(&it.limits));
        let handover = same_store.map_or_else(Rc::default, |it| Rc::clone(&it.handover));

        let metrics = Metrics::define();
        metrics.config_errors(errors);
        let settings =
            Self::of(config, memo, Sidecar { reporter, copies, handover, limits }, metrics, requests);
        if let Some(control_plane) = &settings.config.control_plane
            && let Err(refused) = handover::prepare(&control_plane.cluster)
        {
            settings.refused(refused);
        }
        settings
    }

    fn of(
        config: Config,
        memo: Rc<RefCell<Memo>>,
        Sidecar { reporter, copies, handover, limits }: Sidecar,
        metrics: Metrics,
        requests: Rc<Requests>,
    ) -> Self {
        Self {
            answers: AnswerSidecar::new(&config),
            config,
            memo,
            reporter,
            copies,
            handover,
            limits,
            metrics: Rc::new(metrics),
            requests,
            hold: HoldSupport::default(),
            refusals: Cell::new(0),
            next_report: Cell::new(0),
            tick_ms: Cell::new(None),
            hurries: Cell::new(false),
            next_round: Cell::new(0),
        }
    }

    /// Asks the host for ticks with this period in milliseconds, unless they come faster anyway.
    pub(crate) fn tick_every(&self, milliseconds: u32) {
        let milliseconds = self.tick_ms.get().map_or(milliseconds, |ms| ms.min(milliseconds));
        if self.tick_ms.replace(Some(milliseconds)) == Some(milliseconds) || self.hurries.get() {
            return;
        }
        if let Err(refused) = host::set_tick_period(milliseconds) {
            self.refused(refused);
        }
    }

    /// Makes ticks come fast, because a stream waits for one. False: the host refused.
    pub(crate) fn hurry(&self) -> bool {
        if !self.hurries.get() {
            match host::set_tick_period(in_work::TICK_MS) {
                Ok(()) => self.hurries.set(true),
                Err(refused) => self.refused(refused),
            }
        }
        self.hurries.get()
    }

    /// Ends the fast ticks: no stream waits any more.
    pub(crate) fn calm(&self) {
        if self.hurries.replace(false)
            // 0 stops the ticks.
            && let Err(refused) = host::set_tick_period(self.tick_ms.get().unwrap_or(0))
        {
            self.refused(refused);
        }
    }

    /// Whether this tick is a regular one.
    pub(crate) fn is_round_due(&self) -> bool {
        let Some(every) = self.tick_ms.get() else { return false };
        let now = self.now();
        let is_due = !self.hurries.get() || now >= self.next_round.get();
        if is_due {
            self.next_round.set(now.saturating_add(u64::from(every) * NANOS_PER_MS));
        }
        is_due
    }

    /// The host's clock; 0 if it gives no time.
    pub(crate) fn now(&self) -> u64 {
        host::now().unwrap_or_else(|refused| {
            self.refused(refused);
            0
        })
    }

    /// Counts a call that the host did not carry out. It is logged at counts that are powers of two, so that
    /// a host that always refuses cannot fill the log.
    pub(crate) fn refused(&self, refused: RefusedCall) {
        let refusals = self.refusals.get().saturating_add(1);
        self.refusals.set(refusals);
        self.metrics.host_error();
        if refusals.is_power_of_two() {
            log::warn!("headroom: {refused}; refusals so far: {refusals}");
        }
    }

    /// The answer that has just come. `None`: the call failed, or the host does not hand it over.
    pub(crate) fn grpc_message(&self, status: u32, size: usize) -> Option<Vec<u8>> {
        if status != GrpcStatusCode::Ok as u32 {
            return None;
        }
        let message = host::buffer(BufferType::GrpcReceiveBuffer, size.min(MAX_ANSWER_BYTES));
        message.map_err(|refused| self.refused(refused)).ok()
    }

    /// `hr_` and 24 hexadecimal digits.
    pub(crate) fn next_request_id(&self) -> String {
        let number = self.requests.last.get().wrapping_add(1);
        self.requests.last.set(number);
        format!("hr_{:016x}{number:08x}", self.requests.vm)
    }

    /// Completes the records of requests that have ended.
    pub(crate) fn finish_deferred(&self) {
        // A clock that stands still: everything is done now, because there is no later tick.
        for (outlet, told) in self.requests.deferred.work(&self.memo, || 0) {
            outlet.report(told);
        }
    }

    /// Counts a body whose encoding could not be read.
    pub(crate) fn undecoded(&self, error: &DecodeError) {
        self.metrics.undecoded();
        log::info!("headroom: a request's body: {error}");
    }

    pub(crate) fn blocks_per_record(&self) -> usize {
        self.config.control_plane.as_ref().map_or(0, |control_plane| control_plane.blocks_per_record)
    }

    /// Whether there is a sidecar for reports.
    pub(crate) fn reports(&self) -> bool {
        self.reporter.is_some()
    }

    /// How many bytes of a request's messages, and of its answer, are reported; `None`: messages are not
    /// reported.
    pub(crate) fn log_bytes(&self) -> Option<usize> {
        self.config.control_plane.as_ref().filter(|it| it.log_messages).map(|it| it.log_bytes)
    }
}

impl Outlet for Settings {
    fn memo(&self) -> &RefCell<Memo> {
        &self.memo
    }

    fn report(&self, told: PendingRecord) {
        Self::report(self, told);
    }

    fn queue(&self) -> usize {
        self.reporter.as_ref().map_or(0, |reporter| Rc::as_ptr(reporter).addr())
    }
}

/// Memory for copies that wait for the sidecar's store.
const COPIES_BYTES: usize = 32 << 20;
const COPIES_PAUSE_MS: u32 = 1_000;

fn copy_limits(control_plane: &ControlPlane) -> copies::Limits {
    copies::Limits {
        queue_bytes: COPIES_BYTES,
        timeout_ms: control_plane.timeout_ms,
        pause_ms: COPIES_PAUSE_MS,
        max_pause_ms: control_plane.max_backoff_ms,
    }
}

impl Requests {
    fn new() -> Self {
        let memory = Rc::<Memory>::default();
        Self {
            vm: crate::report::random(0),
            last: Cell::new(0),
            deferred: Rc::new(Deferred::new(Rc::clone(&memory))),
            memory,
            recoveries: RefCell::default(),
            contexts: RefCell::default(),
            decisions: RefCell::default(),
            in_work: Rc::default(),
        }
    }
}

/// A memo with random keys: a client cannot compute the keys of another VM.
fn memo(bytes: usize) -> Memo {
    Memo::new(bytes).seeded(crate::report::random(1))
}

/// The queue for a sidecar, shared by all configurations of a VM that name it.
fn reporter(
    control_plane: &ControlPlane,
    siblings: &[Rc<Settings>],
    requests: &Requests,
) -> Rc<RefCell<Reporter>> {
    siblings
        .iter()
        .filter_map(|it| it.reporter.as_ref())
        .find(|it| it.borrow().control_plane().cluster == control_plane.cluster)
        .map_or_else(|| Rc::new(RefCell::new(Reporter::new(control_plane.clone(), requests.vm))), Rc::clone)
}
