//! The one table of formats and providers.

use memchr::memmem;

use crate::answer::AnswerReader;
use crate::api::Api;
use crate::arguments::Range;
use crate::format::{Credentials, Format, Part, Refusal};
use crate::own_tools::OwnTools;
use crate::prompt::Prompt;
use crate::provider::Provider;
use crate::rounds::ids::Ids;
use crate::rounds::{Editor, MARK, Outputs, Pages, RestoredBody, call_id};
use crate::route::Route;
use crate::tape::{NotUnderstood, Tape, Value};
use crate::usage::Key;
use crate::walk::Walk;
use crate::{
    anthropic, azure, bedrock, chatgpt, cohere, copilot, deepseek, gemini, openai, openai_chat,
    openai_responses, vertex,
};

/// The providers, in the order in which their paths are tried. Those without a folder serve OpenAI's formats
/// and have nothing of their own.
pub(crate) static PROVIDERS: [Provider; 19] = [
    anthropic::PROVIDER,
    openai::PROVIDER,
    cohere::PROVIDER,
    chatgpt::PROVIDER,
    gemini::PROVIDER,
    gemini::CODE_ASSIST,
    azure::PROVIDER,
    bedrock::PROVIDER,
    vertex::PROVIDER,
    copilot::PROVIDER,
    deepseek::PROVIDER,
    Provider::like_openai("mistral", &["mistral.ai"]),
    Provider::like_openai("groq", &["groq.com"]),
    Provider::like_openai("openrouter", &["openrouter.ai"]),
    Provider::like_openai("xai", &["x.ai"]),
    Provider::like_openai("together", &["together.xyz"]),
    Provider::like_openai("fireworks", &["fireworks.ai"]),
    Provider::like_openai("cerebras", &["cerebras.ai"]),
    Provider::like_openai("perplexity", &["perplexity.ai"]),
];

impl Api {
    fn format(self) -> &'static dyn Format {
        match self {
            Self::AnthropicMessages => &anthropic::Messages,
            Self::AnthropicBedrock => &bedrock::Invoke,
            Self::OpenAiChat => &openai_chat::ChatCompletions,
            Self::OpenAiResponses => &openai_responses::Responses,
            Self::GeminiGenerateContent => &gemini::GenerateContent,
            Self::GeminiCodeAssist => &gemini::CodeAssist,
            Self::BedrockConverse => &bedrock::Converse,
            Self::CohereChat => &cohere::Chat,
        }
    }
}

/// The meaning of a key in an answer. The keys of different formats do not collide, so one reader serves all,
/// and an answer in another format than the request's is read too.
pub(crate) fn key(name: &[u8]) -> Key {
    Key::shared(name)
        .or_else(|| anthropic::usage::key(name))
        .or_else(|| openai_chat::usage::key(name))
        .or_else(|| openai_responses::usage::key(name))
        .or_else(|| gemini::usage::key(name))
        .or_else(|| bedrock::usage::key(name))
        .or_else(|| cohere::usage::key(name))
        .unwrap_or_default()
}

impl Api {
    /// The name in reports and metrics.
    pub fn name(self) -> &'static str {
        self.format().name()
    }

    /// The name of the provider that made the format, for reports and metrics.
    pub fn provider(self) -> &'static str {
        self.format().provider()
    }

    /// The format whose SDKs send a header of this name; `None`: several do.
    pub fn of_sdk_header(name: &[u8]) -> Option<Self> {
        if anthropic::is_sdk_header(name) {
            Some(Self::AnthropicMessages)
        } else {
            gemini::is_sdk_header(name).then_some(Self::GeminiGenerateContent)
        }
    }

    /// Reads a body.
    pub fn walk(self, body: &[u8]) -> Result<Walk<'_>, NotUnderstood> {
        let (walk, understood) = self.walk_as_far(body)?;
        understood.map(|()| walk)
    }

    /// Reads a body as far as it is understood, and returns whether that is all of it.
    pub fn walk_as_far(self, body: &[u8]) -> Result<(Walk<'_>, Result<(), NotUnderstood>), NotUnderstood> {
        let tape = Tape::of(body)?;
        let mut walk = Walk::new(tape.body());
        let understood = self.format().read(tape.root(), &mut walk);
        Ok((walk, understood))
    }

    /// The system prompt and the messages of a body.
    pub fn conversation<'t, 'b>(
        self,
        root: Value<'t, 'b>,
    ) -> Result<[Option<Value<'t, 'b>>; 2], NotUnderstood> {
        let format = self.format();
        match format.conversation(root)? {
            Some(conversation) => conversation.pick([format.system(), format.messages()]),
            None => Ok([None, None]),
        }
    }

    /// The system prompt of a body.
    pub(crate) fn prompt<'t, 'b>(self, root: Value<'t, 'b>) -> Result<Option<Prompt<'t, 'b>>, NotUnderstood> {
        let format = self.format();
        match format.conversation(root)? {
            Some(conversation) => format.prompt(conversation),
            None => Ok(None),
        }
    }

    /// Whether clients mark with `cache_control` how far the provider's cache is written.
    pub fn takes_breakpoints(self) -> bool {
        self.format().takes_breakpoints()
    }

    /// The role of a member of a body, as far as reasoning is bound to it. The content of [`Part::Request`]
    /// is in the format that [`Api::inner`] names.
    pub fn part(self, key: &[u8]) -> Part {
        self.format().part(key)
    }

    /// The format of a request inside a request.
    pub fn inner(self) -> Self {
        if self == Self::GeminiCodeAssist { Self::GeminiGenerateContent } else { self }
    }

    /// Whether the provider treats a plain text and a list of that one text as the same.
    pub fn takes_text_for_list(self) -> bool {
        self.format().takes_text_for_list()
    }

    /// Whether tools of ours can be added to requests of this format: the filter has to answer their calls,
    /// also in streams. The streams of Bedrock are AWS event streams, which it cannot do.
    pub fn takes_own_tools(self) -> bool {
        self.definition().is_some()
    }

    /// The definition of `headroom_retrieve`, with the comma that joins it to the list of tools; `None` if it
    /// cannot be added.
    pub fn definition(self) -> Option<&'static str> {
        self.format().definition()
    }

    /// The definitions of the memory tools, in the same form.
    pub fn memory_definitions(self) -> Option<&'static str> {
        self.format().memory_definitions()
    }

    /// The definition of the provider's own memory tool, if it has one, in the same form.
    pub fn memory_files_definition(self) -> Option<&'static str> {
        self.format().memory_files_definition()
    }

    /// Whether ids of calls may carry traces of hidden rounds.
    pub fn carries_traces(self) -> bool {
        self.format().carries_traces()
    }

    /// The id of a call of ours, unique in the conversation. `calls` is the number of calls of the client's
    /// tools before this turn, `ordinal` the number of the retrieval in it.
    pub fn call_id(self, calls: usize, ordinal: usize, hash: &str, range: Option<Range>) -> String {
        call_id(self.format().ids(), calls, ordinal, hash, range)
    }

    /// Removes traces from the ids in a body and puts back the rounds in them. `None`: there is no trace, or
    /// the body is not understood.
    pub fn restore(self, body: &[u8], pages: &dyn Pages) -> Option<RestoredBody> {
        memmem::find(body, MARK.as_bytes())?;
        let format = self.format();
        let tape = Tape::of(body).ok()?;
        let root = tape.root();
        let messages = match format.conversation(root) {
            Ok(Some(conversation)) => {
                conversation.pick([format.messages()]).ok().and_then(|[messages]| messages)
            }
            _ => None,
        };
        let ids = Ids::new(format.ids(), messages);
        let mut editor = Editor::new(tape.body(), format.ids(), ids, pages);
        let (walk, _) = self.walk_as_far(body).ok()?;
        // Up to a message that is not understood.
        let (Ok(()) | Err(NotUnderstood)) = format.restore(root, Outputs::new(&walk), &mut editor);
        editor.finish()
    }

    /// The reader for answers to requests with these tools of ours, for the tool loop.
    pub fn answer(self, tools: OwnTools) -> Box<dyn AnswerReader> {
        self.format().answer(tools)
    }

    /// The answer to a request that is over its budget.
    pub fn refusal(self, message: &str) -> Refusal {
        self.format().refusal(message)
    }
}

impl Route {
    /// Where the credential is found.
    pub fn credentials(&self) -> Credentials {
        self.own_credentials
            .or_else(|| (named(self.provider)?.credentials)(self.api))
            .unwrap_or_else(|| self.api.format().credentials())
    }

    /// Whether it serves only subscriptions.
    pub fn is_of_subscriptions(&self) -> bool {
        named(self.provider).is_some_and(|provider| provider.is_of_subscriptions)
    }
}

fn named(name: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrieve_tool::Listing;

    /// The listing of a tool list at its place in a body of this format.
    fn list(api: Api, tools: &str) -> Listing {
        let (before, after) = match api {
            Api::OpenAiResponses => (r#"{"tools":"#, r#","input":[]}"#),
            Api::GeminiGenerateContent => (r#"{"tools":"#, r#","contents":[]}"#),
            Api::GeminiCodeAssist => (r#"{"request":{"tools":"#, r#","contents":[]}}"#),
            Api::BedrockConverse => (r#"{"toolConfig":{"tools":"#, r#"},"messages":[]}"#),
            Api::AnthropicBedrock => (r#"{"anthropic_version":"1","tools":"#, r#","messages":[]}"#),
            Api::AnthropicMessages | Api::OpenAiChat | Api::CohereChat => {
                (r#"{"tools":"#, r#","messages":[]}"#)
            }
        };
        let body = [before, tools, after].concat();
        match api.walk(body.as_bytes()).unwrap().own_tools.retrieve {
            Listing::Absent(at) => Listing::Absent(at - before.len()),
            other => other,
        }
    }

    #[test]
    fn names_are_each_of_one() {
        for (at, provider) in PROVIDERS.iter().enumerate() {
            assert!(PROVIDERS[at + 1..].iter().all(|other| other.name != provider.name), "{}", provider.name);
        }
        for api in Api::ALL {
            assert_eq!(Api::ALL.iter().filter(|other| other.name() == api.name()).count(), 1);
            assert!(named(api.provider()).is_some(), "{api:?}");
        }
    }

    #[test]
    fn the_definition_goes_before_the_first_tool() {
        let tools = r#"[ {"name":"a"} , {"name":"b"} ]"#;
        assert_eq!(list(Api::AnthropicMessages, tools), Listing::Absent(2));
        let gemini = r#"[{"functionDeclarations":[{"name":"a"}]},{"googleSearch":{}}]"#;
        assert_eq!(
            list(Api::GeminiGenerateContent, gemini),
            Listing::Absent(gemini.find(r#"{"name""#).unwrap())
        );
        assert_eq!(list(Api::GeminiGenerateContent, r#"[{"googleSearch":{}}]"#), Listing::NoTools);
        assert_eq!(list(Api::OpenAiChat, "[]"), Listing::NoTools);
    }

    #[test]
    fn a_tool_that_the_client_brings_is_seen_in_every_format() {
        for (api, tools) in [
            (Api::AnthropicMessages, r#"[{"name":"a"},{"name":"mcp__headroom__headroom_retrieve"}]"#),
            (Api::OpenAiChat, r#"[{"type":"function","function":{"name":"headroom_retrieve"}}]"#),
            (Api::OpenAiResponses, r#"[{"type":"function","name":"headroom\u005fretrieve"}]"#),
            (Api::GeminiGenerateContent, r#"[{"function_declarations":[{"name":"headroom_retrieve"}]}]"#),
            (Api::AnthropicBedrock, r#"[{"name":"headroom_retrieve"}]"#),
            (Api::CohereChat, r#"[{"type":"function","function":{"name":"headroom_retrieve"}}]"#),
            (Api::BedrockConverse, r#"[{"cachePoint":{}},{"toolSpec":{"name":"headroom_retrieve"}}]"#),
        ] {
            assert_eq!(list(api, tools), Listing::Listed, "{api:?}");
        }
    }

    #[test]
    fn what_a_list_of_tools_should_not_hold_is_left_alone() {
        for tools in ["[1]", r#"["headroom_retrieve"]"#, "[null]", r#"[{"name":7},[]]"#] {
            for api in Api::ALL {
                assert_eq!(list(api, tools), Listing::NoTools, "{tools}");
            }
        }
    }
}
