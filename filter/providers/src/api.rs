//! The wire formats that can be read.

/// The format of requests to a provider, and of its answers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Api {
    /// Anthropic `POST /v1/messages`; on Vertex AI `:rawPredict` and `:streamRawPredict`.
    AnthropicMessages,
    /// Amazon Bedrock `POST /model/{model}/invoke` and `/invoke-with-response-stream`, where the body is
    /// Anthropic's.
    AnthropicBedrock,
    /// OpenAI `POST /v1/chat/completions`, also from Mistral, Azure, vLLM, …
    OpenAiChat,
    /// OpenAI `POST /v1/responses`.
    OpenAiResponses,
    /// Gemini `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.
    GeminiGenerateContent,
    /// Gemini Code Assist `POST /v1internal:generateContent` and `:streamGenerateContent`: Gemini's request
    /// and answer, each inside another object.
    GeminiCodeAssist,
    /// Amazon Bedrock `POST /model/{model}/converse` and `/converse-stream`.
    BedrockConverse,
    /// Cohere `POST /v2/chat`.
    CohereChat,
}

impl Api {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::AnthropicMessages,
        Self::AnthropicBedrock,
        Self::OpenAiChat,
        Self::OpenAiResponses,
        Self::GeminiGenerateContent,
        Self::GeminiCodeAssist,
        Self::BedrockConverse,
        Self::CohereChat,
    ];
}
