//! Rules of the plugin configuration: which requests are treated differently.
//!
//! Envoy has no configuration of a WASM filter by route, so the plugin's own configuration lists them. Globs
//! are those of the rules by tool: `*` matches any run of characters, `?` one; case does not matter.

use headroom_compress::{Profile, glob_matches};
use headroom_providers::cache_edits::Lifetime;
use headroom_providers::without_port;

use crate::answer_cache::settings::{ASKED, CACHE_MODES, CacheMode};
use crate::epochs::{APPEND, HISTORIES};
use crate::host;
use crate::lenient::Reader;
use crate::mode::{MODES, Mode, PROFILES};
use crate::prompt_cache::{ALIGN, BREAKPOINTS, NO_BREAKPOINTS};
use crate::text_model::settings::{PLAIN, TEXT_MODELS};

/// What is done to a request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Treatment {
    /// Whether it is compressed, measured or passed.
    pub mode: Mode,
    /// How strongly tool outputs may be shortened.
    pub profile: Profile,
    /// The lifetime of the breakpoints that are set; `None`: none are set.
    pub breakpoints: Option<Lifetime>,
    /// Whether lines of its system prompt may move.
    pub align: bool,
    /// Whether its answer may come from the cache.
    pub cache: CacheMode,
    /// Whether old turns of its conversation may be rewritten.
    pub rewrites_history: bool,
    /// Whether a text model may shorten its prose.
    pub text_model: bool,
}

/// A rule. A condition that is not set holds for every request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// A glob over the host, without its port.
    pub host: Option<String>,
    /// A glob over the path, without its query.
    pub path: Option<String>,
    /// A glob over Envoy's name of the route; the name of an unnamed route is empty.
    pub route: Option<String>,
    /// What is done to the requests for which the conditions hold.
    pub treatment: Treatment,
    /// The provider's name in reports; `None`: it follows from path and host.
    pub provider: Option<String>,
    /// The project in reports, if the request's own header names none.
    pub project: Option<String>,
}

/// Properties that name the route; the first one that the host knows is used.
const ROUTE_NAME: [&str; 2] = ["xds\0route_name", "route_name"];

/// The first rule whose conditions hold. `route_name` is called at most once.
pub(crate) fn find<'r>(
    rules: &'r [Rule],
    host: &[u8],
    path: &[u8],
    route_name: impl Fn() -> String,
) -> Option<&'r Rule> {
    if rules.is_empty() {
        return None;
    }
    let host = String::from_utf8_lossy(without_port(host));
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let path = String::from_utf8_lossy(path);
    let mut route = None;
    rules.iter().find(|rule| {
        let holds = |pattern: &Option<String>, value: &str| {
            pattern.as_deref().is_none_or(|pattern| glob_matches(pattern, value))
        };
        holds(&rule.host, &host)
            && holds(&rule.path, &path)
            && (rule.route.is_none() || holds(&rule.route, route.get_or_insert_with(&route_name)))
    })
}

/// Envoy's name of the stream's route.
pub(crate) fn route_name() -> String {
    let name = ROUTE_NAME.into_iter().find_map(|property| host::property(property).ok());
    String::from_utf8_lossy(&name.unwrap_or_default()).into_owned()
}

/// What happens to the requests of a rule that cannot be read.
const PASS: &str = "its requests pass untouched";

/// Reads the rules; `default` is what the rest of the configuration says.
///
/// Requests for which the operator wrote a rule must not be treated by default if the rule cannot be read
/// completely, not even with one misspelt key. Such a rule passes its requests: those that match its readable
/// conditions, or all requests if no condition can be read. Only an unreadable profile has a careful value of
/// its own.
pub(crate) fn read(reader: &mut Reader, default: Treatment) -> Vec<Rule> {
    let hands_off = Treatment { mode: Mode::Off, ..default };
    let mut rules = Vec::new();
    for section in
        reader.guarded_sections("rules", "requests without an earlier matching rule pass untouched")
    {
        let Some(mut section) = section else {
            let everything = Rule {
                host: None,
                path: None,
                route: None,
                treatment: hands_off,
                provider: None,
                project: None,
            };
            rules.push(everything);
            continue;
        };
        let conditions = ["host", "path", "route"].map(|key| section.pattern(key, PASS));
        let treatment = Treatment {
            mode: section.guarded("mode", MODES, default.mode, (Mode::Off, PASS)),
            profile: section.guarded(
                "profile",
                PROFILES,
                default.profile,
                (Profile::Lossless, "its requests stay lossless"),
            ),
            breakpoints: section.guarded("breakpoints", BREAKPOINTS, default.breakpoints, NO_BREAKPOINTS),
            align: section.guarded("align", ALIGN, default.align, (false, "no lines of its prompts move")),
            cache: section.guarded("cache", CACHE_MODES, default.cache, (CacheMode::Off, ASKED)),
            rewrites_history: section.guarded("history", HISTORIES, default.rewrites_history, APPEND),
            text_model: section.guarded("text_model", TEXT_MODELS, default.text_model, PLAIN),
        };
        let [provider, project] =
            ["provider", "project"].map(|key| Some(section.text(key)).filter(|text| !text.is_empty()));
        let misspelt = section.refuse_unknown_keys(PASS);
        let unreadable = misspelt || conditions.iter().any(Result::is_err);
        let treatment = if unreadable { hands_off } else { treatment };
        let [host, path, route] = conditions.map(Result::unwrap_or_default);
        rules.push(Rule { host, path, route, treatment, provider, project });
        reader.close(section);
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(host: Option<&str>, path: Option<&str>, provider: &str) -> Rule {
        Rule {
            host: host.map(str::to_owned),
            path: path.map(str::to_owned),
            route: None,
            treatment: Treatment::default(),
            provider: Some(provider.to_owned()),
            project: None,
        }
    }

    #[test]
    fn the_first_rule_whose_conditions_all_hold_decides() {
        let rules = [
            rule(Some("api.groq.com"), Some("/openai/v1/chat/*"), "exact host"),
            rule(Some("*.internal"), None, "any path"),
            rule(None, Some("/v1/messages"), "any host"),
            rule(None, Some("/v1/*"), "prefix"),
        ];
        for (host, path, expected) in [
            ("API.groq.com:443", "/openai/v1/chat/completions?x=1", Some("exact host")),
            ("api.groq.com", "/openai/v1/responses", None),
            ("llm.internal", "/v1/messages", Some("any path")),
            ("api.example", "/v1/messages?beta=true", Some("any host")),
            ("api.example", "/v1/responses", Some("prefix")),
            ("api.example", "/v2/chat?path=/v1/messages", None),
        ] {
            let found = find(&rules, host.as_bytes(), path.as_bytes(), || unreachable!());
            let provider = found.and_then(|rule| rule.provider.as_deref());
            assert_eq!(provider, expected, "{host} {path}");
        }
    }

    #[test]
    fn a_rule_without_conditions_is_for_every_request() {
        let rules = [rule(None, None, "all")];
        assert!(find(&rules, b"", b"", String::new).is_some());
        assert!(find(&rules, b"\xff:1", b"/\xff", String::new).is_some());
    }
}
