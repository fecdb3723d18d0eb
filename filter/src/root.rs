//! A root context: applies configurations, and sends on its ticks what is queued.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::types::BufferType;

use crate::config::{BodyMode, Config, Parsed};
use crate::deferred;
use crate::hold::GRACE_MS;
use crate::host;
use crate::settings::Settings;

/// Longer than any configuration; Envoy's own limits are far below.
const MAX_CONFIGURATION_BYTES: usize = 16 << 20;

/// A root context: one plugin configuration in one VM.
pub(crate) struct Root {
    /// The plugin's name in the VM, the same for all its configurations.
    name: Vec<u8>,
    settings: RefCell<Rc<Settings>>,
}

impl Root {
    pub(crate) fn new() -> Self {
        Self {
            name: host::property("plugin_root_id").unwrap_or_default(),
            settings: RefCell::new(Rc::new(Settings::new())),
        }
    }

    pub(crate) fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.settings.borrow())
    }

    /// Applies a plugin configuration. `others` are the VM's other root contexts: for a new configuration
    /// Envoy makes a new root and drops the old one later. What the VM has learned is taken over from them.
    pub(crate) fn on_configure(&self, size: usize, others: &[Rc<Root>]) {
        let (parsed, last_good) = match read_configuration(size) {
            Ok(parsed) => (parsed, false),
            Err(reason) => {
                let last = others.iter().find(|other| other.name == self.name);
                let (config, now) = match last {
                    Some(other) => (other.settings().config.clone(), "the last configuration stays in force"),
                    None => (Config::passthrough(), "every request passes untouched"),
                };
                log::error!("headroom: cannot read the configuration: {reason}; {now}");
                (Parsed { config, warnings: Vec::new(), errors: 1 }, last.is_some())
            }
        };
        for warning in &parsed.warnings {
            log::warn!("headroom: configuration: {warning}");
        }
        let Parsed { config, errors, .. } = parsed;

        let siblings: Vec<Rc<Settings>> =
            others.iter().map(|other| other.settings()).chain([self.settings()]).collect();
        let settings = Rc::new(Settings::configured(config, errors, &siblings));
        let reports =
            settings.config.control_plane.as_ref().map(|it| it.report_interval_ms.min(deferred::TICK_MS));
        let holds = (settings.config.body_mode == BodyMode::Hold).then_some(GRACE_MS);
        let tick = reports.into_iter().chain(holds).min();
        if let Some(tick) = tick {
            settings.tick_every(tick);
        }
        if !last_good {
            let Config { mode, body_mode, engine, .. } = &settings.config;
            log::info!(
                "headroom {}: mode {mode:?}, body {body_mode:?}, profile {:?}, {errors} configuration errors",
                env!("CARGO_PKG_VERSION"),
                engine.profile
            );
        }
        self.settings.replace(settings);
    }

    /// Sends what is queued, if it is time. `open_records`: how many open requests will have a record.
    pub(crate) fn on_tick(&self, open_records: impl Fn(&Settings) -> usize) {
        let settings = self.settings();
        let complete = settings.requests.deferred.work(&settings.memo, || settings.now());
        for (outlet, told) in complete {
            outlet.report(told);
        }
        settings.report_what_is_due(open_records);
        settings.take_over();
    }
}

fn read_configuration(size: usize) -> Result<Parsed, String> {
    if size == 0 {
        return Config::parse(b"");
    }
    if size > MAX_CONFIGURATION_BYTES {
        return Err(format!("it has {size} bytes, more than {MAX_CONFIGURATION_BYTES}"));
    }
    let bytes = host::buffer(BufferType::PluginConfiguration, size).map_err(|refused| refused.to_string())?;
    Config::parse(&bytes)
}
