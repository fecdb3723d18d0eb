//! Where a request goes: its format and provider.

use crate::api::Api;
use crate::format::Credentials;
use crate::path::{self, Path};

/// The route of a request that can be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// The format.
    pub api: Api,
    /// The provider's name in reports and metrics.
    pub provider: &'static str,
    /// The model, if the path names it and the body does not.
    pub model: Option<String>,
    /// Whether a call of `headroom_retrieve` in the answer could be answered by the filter.
    pub answer_can_be_followed: bool,
    /// The purpose of the request.
    pub purpose: Purpose,
    /// Where the credential is found, if that depends on the path.
    pub(crate) own_credentials: Option<Credentials>,
}

/// What a request is for. Its body is rewritten in the same way for each purpose: tokens must be counted for
/// what is really sent, and compaction must get the conversation that the provider knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Purpose {
    /// An answer of the model.
    #[default]
    Answer,
    /// Counts the tokens of a request.
    Count,
    /// Makes a shorter conversation.
    Compact,
}

/// What is known about the target of a request.
#[derive(Clone, Copy, Debug)]
pub struct Target<'h> {
    /// The host from `:authority`.
    pub host: &'h [u8],
    /// The path in the form that is matched.
    pub path: &'h Path,
    /// Whether headers show that it is for GitHub Copilot. Behind Envoy's own host name the host does not.
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

    /// With the model as the path spells it, with its special characters encoded or not.
    pub(crate) fn with_model(self, segment: &str) -> Self {
        Self { model: Some(path::decode(segment)), ..self }
    }
}
