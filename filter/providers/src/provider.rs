//! Who answers requests.

use crate::api::Api;
use crate::format::Credentials;
use crate::route::Route;

/// A provider: its hosts, and the paths that are its own.
pub(crate) struct Provider {
    /// In reports and metrics.
    pub(crate) name: &'static str,
    /// Its hosts are these domains or stand below them.
    pub(crate) domains: &'static [&'static str],
    /// It has hosts like `REGION-DOMAIN` too.
    pub(crate) has_hosts_by_dash: bool,
    /// Of the hosts below its domains, those that begin like this serve models and nothing else.
    pub(crate) hosts_begin: &'static [u8],
    /// Whose formats it serves at their paths. Behind Envoy's own name every host is the same: a rule of the
    /// configuration can say who it is.
    pub(crate) serves: &'static [&'static str],
    /// Where a path leads, whatever the host is.
    pub(crate) route: fn(&str) -> Option<Route>,
    /// Where a path leads at one of its hosts only.
    pub(crate) route_at_host: fn(&str) -> Option<Route>,
    /// Where it reads the credential, if not where the format says.
    pub(crate) credentials: fn(Api) -> Option<Credentials>,
    /// Whether only subscriptions are served there.
    pub(crate) is_of_subscriptions: bool,
}

impl Provider {
    /// One that has no hosts and no paths yet.
    pub(crate) const fn named(name: &'static str) -> Self {
        Self {
            name,
            domains: &[],
            has_hosts_by_dash: false,
            hosts_begin: b"",
            serves: &[],
            route: |_| None,
            route_at_host: |_| None,
            credentials: |_| None,
            is_of_subscriptions: false,
        }
    }

    /// One that serves OpenAI's formats at a domain of its own.
    pub(crate) const fn like_openai(name: &'static str, domains: &'static [&'static str]) -> Self {
        Self { domains, serves: &["openai"], ..Self::named(name) }
    }

    /// Whether a host is one of its domains or stands below one.
    pub(crate) fn has_host(&self, host: &[u8]) -> bool {
        self.domains.iter().any(|domain| is_at(host, domain, self.has_hosts_by_dash))
    }
}

/// Whether a host is this domain or one below it.
pub(crate) fn is_below(host: &[u8], domain: &str) -> bool {
    is_at(host, domain, false)
}

fn is_at(host: &[u8], domain: &str, by_dash: bool) -> bool {
    let host = without_port(host);
    let Some((before, end)) = host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at))
    else {
        return false;
    };
    let is_whole = before.is_empty() || before.ends_with(b".") || by_dash && before.ends_with(b"-");
    is_whole && end.eq_ignore_ascii_case(domain.as_bytes())
}

/// A host as it stands in `:authority`, without its port.
pub fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (name, _) = host.split_at(host.len() - digits);
    match name.strip_suffix(b":") {
        Some(name) if digits > 0 => name,
        _ => host,
    }
}
