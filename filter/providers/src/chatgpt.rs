//! Codex with a ChatGPT login.

use crate::allowance::{Fact, number, seconds};
use crate::api::Api;
use crate::provider::Provider;
use crate::route::Route;

/// ChatGPT.
pub(crate) const PROVIDER: Provider =
    Provider { domains: &["chatgpt.com"], route, is_of_subscriptions: true, ..Provider::named("chatgpt") };

fn route(path: &str) -> Option<Route> {
    (path == "/backend-api/codex/responses").then(|| Route::new(PROVIDER.name, Api::OpenAiResponses))
}

/// The header that names the account of a login.
pub const ACCOUNT_HEADER: &[u8] = b"chatgpt-account-id";

/// The window of a subscription's allowance in a header's name, and the fact in its value:
/// `x-codex-primary-used-percent: 42.5`.
pub(crate) fn allowance<'h>(name: &'h [u8], value: &'h str) -> Option<(&'h str, Fact<'h>)> {
    let (window, what) = std::str::from_utf8(name.strip_prefix(b"x-codex-")?).ok()?.split_once('-')?;
    let fact = match what {
        "used-percent" => Fact::Used(number(value)? / 100.0),
        "reset-at" => Fact::ResetsAt(seconds(value)?),
        "reset-after-seconds" => Fact::ResetsAfter(seconds(value)?),
        "window-minutes" => Fact::Minutes(value.parse().ok()?),
        _ => return None,
    };
    matches!(window, "primary" | "secondary").then_some((window, fact))
}
