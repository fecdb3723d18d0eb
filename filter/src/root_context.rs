//! The callbacks of the host for a plugin configuration.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::http_context::HttpFilter;
use crate::root::Root;
use crate::sent::HttpAnswer;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::vm;

/// A root context: one plugin configuration in one VM.
pub(crate) struct Plugin {
    id: u32,
    root: Rc<Root>,
}

impl Plugin {
    pub(crate) fn new(id: u32) -> Self {
        let root = Rc::new(Root::new());
        vm::add_root(id, Rc::clone(&root));
        Self { id, root }
    }

    /// Gives one of the VM's waiting requests its turn, whichever root it belongs to: a root may end before
    /// its streams.
    fn work(&self, settings: &Settings) {
        let in_work = &settings.requests.in_work;
        while let Some(id) = in_work.next(settings.config.bodies_in_work) {
            let Some(stream) = vm::stream(id) else { continue };
            let mut has_waited = false;
            let ran = vm::on_behalf_of((id, &stream), self.id, settings, |stream| {
                has_waited = stream.take_turn();
            });
            if !ran {
                in_work.put_back(id);
                break;
            }
            if has_waited {
                break;
            }
        }
        if in_work.has_any() {
            settings.hurry();
        } else {
            settings.calm();
        }
    }
}

impl RootContext for Plugin {
    /// Always true: Envoy must start, whatever the configuration is.
    fn on_configure(&mut self, size: usize) -> bool {
        self.root.on_configure(size, &vm::other_roots(self.id));
        true
    }

    /// Sends reports, and ends waits that have become pointless.
    fn on_tick(&mut self) {
        let settings = self.root.settings();
        self.work(&settings);
        if !settings.is_round_due() {
            return;
        }
        self.root.on_tick(vm::open_records);
        let now = settings.now();
        // Also streams that wait for the sidecar whose root may be gone.
        let is_overdue = |stream: &Stream| {
            (Rc::ptr_eq(&stream.settings, &settings) || stream.waits_for_sidecar()) && stream.is_overdue(now)
        };
        for (id, stream) in vm::streams(is_overdue) {
            vm::on_behalf_of((id, &stream), self.id, &settings, |stream| stream.release());
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(HttpFilter::new(id, self.root.settings())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Answers to calls. The crate gives them to the context that was running when the call was made. So answers
/// to calls that a stream made in a tick come here, and the token finds the stream.
impl Context for Plugin {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _trailers: usize) {
        let settings = self.root.settings();
        let answer = HttpAnswer::told(&settings, headers, body_size);
        if let Some((id, stream)) = vm::streams(|stream| stream.waits_for_http(token)).pop() {
            vm::on_behalf_of((id, &stream), self.id, &settings, |stream| {
                stream.on_http_answer(token, answer);
            });
        }
    }

    fn on_grpc_call_response(&mut self, token: u32, status: u32, size: usize) {
        let settings = self.root.settings();
        let answer = settings.grpc_message(status, size);
        match vm::streams(|stream| stream.waits_for_grpc(token)).pop() {
            Some((id, stream)) => {
                vm::on_behalf_of((id, &stream), self.id, &settings, |stream| {
                    stream.on_grpc_answer(token, answer.as_deref());
                });
            }
            None => settings.on_grpc_answer(token, answer.as_deref()),
        }
    }

    /// Always true: Envoy need not wait. What a root has not sent is left to another VM.
    fn on_done(&mut self) -> bool {
        let settings = self.root.settings();
        if !vm::is_reporter_shared(self.id, &settings) {
            settings.finish_deferred();
            settings.note_open(vm::open_records(&settings));
            settings.hand_over();
        }
        true
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        vm::remove(self.id);
    }
}
