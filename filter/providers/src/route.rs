//! Where a request goes: its format and who answers.

use crate::api::Api;
use crate::format::Credentials;
use crate::path::{self, Path};

/// A request that can be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// The format.
    pub api: Api,
    /// Who answers, in reports and metrics.
    pub provider: &'static str,
    /// Where the path names the model and the body does not.
    pub model: Option<String>,
    /// Whether a call of `headroom_retrieve` in the answer could be answered by the filter.
    pub answer_can_be_followed: bool,
    /// What it is for.
    pub purpose: Purpose,
    /// Where the credential stands, if the path says so.
    pub(crate) own_credentials: Option<Credentials>,
}

/// What a request is for. Its body is rewritten in the same way for each: the counts have to be those of what is
/// sent, and the conversation that is compacted has to be the one that the provider knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Purpose {
    /// An answer of the model.
    #[default]
    Answer,
    /// To know how many tokens it has.
    Count,
    /// A shorter conversation.
    Compact,
}

/// What is known of where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'h> {
    /// As it stands in `:authority`.
    pub host: &'h [u8],
    /// As it is matched.
    pub path: &'h Path,
    /// Headers say that it is for GitHub Copilot, which behind Envoy's own name no host does.
    pub is_copilot: bool,
}

impl Route {
    pub(crate) fn new(provider: &'static str, api: Api) -> Self {
        Self {
            api,
            provider,
            model: None,
            answer_can_be_followed: true,
            purpose: Purpose::default(),
            own_credentials: None,
        }
    }

    pub(crate) fn only_for(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    pub(crate) fn with_credentials(self, credentials: Credentials) -> Self {
        Self { own_credentials: Some(credentials), ..self }
    }

    /// With a model as the path spells it: with its special characters encoded or not.
    pub(crate) fn with_model(self, segment: &str) -> Self {
        Self { model: Some(path::decode(segment)), ..self }
    }
}
