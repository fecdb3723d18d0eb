//! Requests that do not go to a model: pages of the sidecar, and provider paths that the filter does not
//! read.
//!
//! The tokens of such requests cannot be counted. So the filter also refuses them for a key that is over its
//! budget, and counts the others by path.

use headroom_providers::{Api, path};
use proxy_wasm::types::{Action, MapType};

use crate::config::Config;
use crate::host;
use crate::limits::BudgetScope;
use crate::request_headers::RequestHeaders;
use crate::settings::Settings;
use crate::{tenant, upstream};

/// Whether the current request goes to headroomd.
pub(crate) fn is_for_sidecar(config: &Config) -> bool {
    let control_plane = config.control_plane.as_ref();
    let cluster = control_plane.map(|it| it.http_cluster.as_bytes()).filter(|cluster| !cluster.is_empty());
    cluster.is_some_and(|own| upstream::cluster().is_ok_and(|cluster| cluster == own))
}

/// Writes the tenant into the request to headroomd, whatever the client has written.
pub(crate) fn name_tenant(settings: &Settings, tenant: &str) {
    let done = if tenant.is_empty() {
        host::remove_header(MapType::HttpRequestHeaders, tenant::HEADER.as_bytes())
    } else {
        host::set_header(MapType::HttpRequestHeaders, tenant::HEADER, tenant.as_bytes())
    };
    if let Err(refused) = done {
        settings.refused(refused);
    }
}

/// Passes a request, unless a budget is used up.
pub(crate) fn pass_or_refuse(settings: &Settings, asked: &RequestHeaders, now: u64) -> Action {
    let providers = &settings.config.providers;
    let is_providers = asked.is_providers_host
        || !providers.is_empty()
            && upstream::cluster()
                .is_ok_and(|cluster| providers.iter().any(|it| it.cluster.as_bytes() == cluster));
    let payer = BudgetScope { keys: &asked.keys, team: &asked.team, is_providers };
    let api = asked.sdk.unwrap_or(Api::OpenAiChat);
    let refusal = settings.limits.borrow().refusal(payer, api, now);
    if let Some(refusal) = refusal {
        match refusal.send() {
            Ok(()) => {
                settings.metrics.unrecognized_refused();
                return Action::Pause;
            }
            Err(refused) => settings.refused(refused),
        }
    }
    if is_providers {
        settings.metrics.unrecognized(&path::shape(asked.path.plain()));
    }
    Action::Continue
}
