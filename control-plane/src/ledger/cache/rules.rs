//! What each provider's prompt cache goes by: lifetimes, least lengths, breakpoints, how far it looks back.
//!
//! From the providers' documents as of November 2026; `docs/cache.md` has the table with its sources. Where a provider
//! promises nothing, the figure is the longest time for which its documents say that entries usually stay.

use headroom_api::v1::RequestRecord;

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

/// How a cache is asked to keep something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// What stands before a breakpoint is kept, and nothing else.
    Breakpoints,
    /// Beginnings of prompts are kept without being asked for.
    Automatic,
    /// The provider has no prompt cache.
    None,
}

/// The rules of one cache.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules {
    /// How it is asked.
    pub kind: Kind,
    /// Tokens from which on something is kept.
    pub minimum: u64,
    /// Seconds for which an entry stays after it was last written or read, unless the request says otherwise.
    pub lifetime: u32,
    /// Content blocks that are looked at before a breakpoint, its own included; `None`: all of them.
    pub look_back: Option<u32>,
    /// Tokens that a full hit may read less than what was written: caches are read in pieces.
    pub slack: u64,
    /// Whether a lifetime of an hour is sold at another price.
    pub sells_an_hour: bool,
}

/// The least length that Claude models cache, by the beginning of their names without `claude-`; the longest that fits.
const CLAUDE_MINIMUM: &[(&str, u64)] = &[
    ("fable-5", 512),
    ("mythos", 512),
    ("opus-5", 512),
    ("opus-4-8", 1_024),
    ("opus-4-7", 2_048),
    ("opus-4-6", 4_096),
    ("opus-4-5", 4_096),
    ("haiku-4-5", 4_096),
    ("3-5-haiku", 2_048),
    ("3-haiku", 2_048),
];

impl Rules {
    /// The rules that a request was under.
    pub fn of(record: &RequestRecord) -> Self {
        let model = record.model.to_ascii_lowercase();
        if record.provider == "cohere" || record.api == "cohere_chat" {
            return Self { kind: Kind::None, ..AUTOMATIC };
        }
        if let Some((_, name)) = model.split_once("claude-") {
            let minimum = CLAUDE_MINIMUM.iter().filter(|(prefix, _)| name.starts_with(prefix));
            let minimum =
                minimum.max_by_key(|(prefix, _)| prefix.len()).map_or(1_024, |(_, minimum)| *minimum);
            return Self { minimum, ..CLAUDE };
        }
        match record.api.as_str() {
            "bedrock_converse" => NOVA,
            "anthropic_messages" | "anthropic_bedrock" if record.provider == "anthropic" => CLAUDE,
            "gemini_generate_content" | "gemini_code_assist" => gemini(&model),
            _ if record.provider == "deepseek" || model.contains("deepseek") => DEEPSEEK,
            _ => openai(&model),
        }
    }
}

const CLAUDE: Rules = Rules {
    kind: Kind::Breakpoints,
    minimum: 1_024,
    lifetime: 5 * MINUTE,
    look_back: Some(20),
    slack: 16,
    sells_an_hour: true,
};

/// Amazon's own models. What was written is looked for at cache points alone.
const NOVA: Rules = Rules { look_back: Some(1), sells_an_hour: false, ..CLAUDE };

/// OpenAI before GPT-5.6, and those who do as it does: pieces of 128 tokens, five to ten minutes.
const AUTOMATIC: Rules = Rules {
    kind: Kind::Automatic,
    minimum: 1_024,
    lifetime: 10 * MINUTE,
    look_back: None,
    slack: 256,
    sells_an_hour: false,
};

const DEEPSEEK: Rules = Rules { minimum: 64, lifetime: DAY, slack: 128, ..AUTOMATIC };

fn openai(model: &str) -> Rules {
    let name = model.rsplit('/').next().unwrap_or_default();
    let version = name.strip_prefix("gpt-").unwrap_or_default();
    let digits = |text: &str| -> Option<u32> {
        text.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
    };
    let major = digits(version);
    let minor = version.split_once('.').and_then(|(_, minor)| digits(minor));
    let keeps_half_an_hour = major.is_some_and(|major| (major, minor.unwrap_or(0)) >= (5, 6));
    if keeps_half_an_hour { Rules { lifetime: 30 * MINUTE, ..AUTOMATIC } } else { AUTOMATIC }
}

/// Nothing is promised for how long. Large pieces are read.
fn gemini(model: &str) -> Rules {
    let minimum = if model.contains("gemini-2") { 2_048 } else { 4_096 };
    Rules { minimum, lifetime: HOUR, slack: 2_048, ..AUTOMATIC }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(provider: &str, api: &str, model: &str) -> Rules {
        Rules::of(&RequestRecord {
            provider: provider.to_owned(),
            api: api.to_owned(),
            model: model.to_owned(),
            ..RequestRecord::default()
        })
    }

    #[test]
    fn each_provider_has_its_own() {
        let anthropic = |model| rules("anthropic", "anthropic_messages", model);
        for (model, minimum) in [
            ("claude-opus-5-5", 512),
            ("claude-fable-5-1", 512),
            ("claude-sonnet-4-5-20250929", 1_024),
            ("claude-opus-4-8", 1_024),
            ("claude-opus-4-5", 4_096),
            ("claude-haiku-4-5", 4_096),
            ("claude-3-5-haiku-latest", 2_048),
            ("anything", 1_024),
        ] {
            assert_eq!(anthropic(model).minimum, minimum, "{model}");
            assert_eq!(anthropic(model).look_back, Some(20));
        }
        let bedrock = rules("bedrock", "bedrock_converse", "us.anthropic.claude-haiku-4-5-v1:0");
        assert_eq!((bedrock.kind, bedrock.minimum), (Kind::Breakpoints, 4_096));
        assert!(!rules("bedrock", "bedrock_converse", "amazon.nova-pro-v1:0").sells_an_hour);
        assert_eq!(rules("openrouter", "openai_chat", "anthropic/claude-sonnet-5").kind, Kind::Breakpoints);
        for (model, lifetime) in [
            ("gpt-4o", 600),
            ("gpt-5.1", 600),
            ("gpt-5.6", 1_800),
            ("gpt-5.12-mini", 1_800),
            ("gpt-6", 1_800),
            ("o3", 600),
        ] {
            assert_eq!(rules("openai", "openai_responses", model).lifetime, lifetime, "{model}");
        }
        let gemini = |model| rules("gemini", "gemini_generate_content", model).minimum;
        assert_eq!((gemini("gemini-2.5-pro"), gemini("gemini-3.8-flash")), (2_048, 4_096));
        assert_eq!(rules("deepseek", "anthropic_messages", "deepseek-chat").kind, Kind::Automatic);
        assert_eq!(rules("cohere", "cohere_chat", "command-a").kind, Kind::None);
    }
}
