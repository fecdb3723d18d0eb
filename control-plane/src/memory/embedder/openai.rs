//! OpenAI's embeddings, or those of a service that speaks as OpenAI does.
//!
//! Each fact and each question is sent there, so the key has a variable of its own: one that stands in the environment for
//! an agent sends nothing.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use headroom_private::secrets::scrub;
use headroom_retry::Retry;
use headroom_retry::https::{Failure, Https, HttpsError, Key, Service};
use serde::Deserialize;
use serde_json::json;

use super::{EmbedError, of_length_one};

/// Where OpenAI is.
const BASE_URL: &str = "https://api.openai.com/v1";
/// The smaller of OpenAI's models.
const MODEL: &str = "text-embedding-3-small";
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Numbers of a vector at most. OpenAI's largest have 3,072.
const MAX_DIMENSIONS: usize = 8_192;

/// How the service is asked.
#[derive(Clone, Eq, PartialEq)]
pub struct OpenAiSettings {
    /// The key.
    pub key: String,
    /// Where it is; OpenAI where nothing is said.
    pub base_url: Option<String>,
    /// Which model; the smaller one where nothing is said.
    pub model: Option<String>,
}

impl fmt::Debug for OpenAiSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiSettings")
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// A service that has answered.
#[derive(Debug)]
pub struct OpenAi {
    https: Https,
    model: String,
    name: String,
    dimensions: usize,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f32>,
}

impl OpenAi {
    /// Asks for one vector, to find out now whether it works.
    pub(super) async fn connect(settings: &OpenAiSettings) -> Result<Self, EmbedError> {
        let service = Service {
            name: "the embedding service",
            setting: "HEADROOM_MEMORY_OPENAI_BASE_URL",
            timeout: TIMEOUT,
            retry: Retry::NEAR,
        };
        let key = Key {
            header: headroom_retry::https::AUTHORIZATION,
            scheme: "Bearer ",
            key: settings.key.clone(),
        };
        let base_url = settings.base_url.as_deref().unwrap_or(BASE_URL);
        let https = Https::new(service, base_url, Some(key))?;
        let model = settings.model.clone().unwrap_or_else(|| MODEL.to_owned());
        // vectors of another service's model of this name are not compared with its own
        let at = if base_url == BASE_URL { String::new() } else { format!("@{}", https.host()) };
        let mut service = Self { name: format!("openai:{model}{at}"), https, model, dimensions: 0 };
        let probe = service.ask(&["a fact".to_owned()]).await?;
        service.dimensions = probe.first().map_or(0, Vec::len);
        Ok(service)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The vectors of texts. Where the service refuses them together, one of them may be at fault: then each is asked for
    /// alone.
    pub(super) async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let outcome = self.ask(texts).await;
        if !outcome.as_ref().is_err_and(is_refusal) {
            return outcome;
        }
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            vectors.push(match self.ask(std::slice::from_ref(text)).await {
                Ok(mut one) => one.pop().unwrap_or_default(),
                Err(error) if is_refusal(&error) => {
                    tracing::warn!(message = "A text was not embedded.", %error);
                    vec![0.0; self.dimensions]
                }
                Err(error) => return Err(error),
            });
        }
        Ok(vectors)
    }

    async fn ask(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        // an empty text is refused, and a question may hold a credential, which facts do not
        let sent = texts.iter().map(|text| if text.is_empty() { Cow::from(" ") } else { scrub(text) });
        let input: Vec<Cow<'_, str>> = sent.collect();
        let body = json!({"model": self.model, "input": input, "encoding_format": "float"});
        let answer = self.https.post("/embeddings", &[], &body).await?;
        let Answer { data } =
            serde_json::from_value(answer).map_err(|error| EmbedError::Answer(error.to_string()))?;
        let mut vectors = vec![Vec::new(); texts.len()];
        for Embedding { index, embedding } in data {
            let is_right = (1..=MAX_DIMENSIONS).contains(&embedding.len())
                && (self.dimensions == 0 || self.dimensions == embedding.len());
            let vector = of_length_one(embedding).filter(|_| is_right);
            match (vectors.get_mut(index), vector) {
                (Some(place), Some(vector)) => *place = vector,
                _ => return Err(EmbedError::Answer("it has a vector that makes no sense".to_owned())),
            }
        }
        if vectors.iter().any(Vec::is_empty) {
            return Err(EmbedError::Answer(format!("expected {} vectors, found fewer", texts.len())));
        }
        Ok(vectors)
    }
}

/// Whether the service does not like what it was asked, whoever asks it and when.
fn is_refusal(error: &EmbedError) -> bool {
    matches!(
        error,
        EmbedError::Service(HttpsError::Service { failure: Failure::Refused { status, .. }, .. })
            if status.as_u16() == 400
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::Value;

    use super::*;
    use crate::memory::embedder::{Detection, Models, detect};

    /// A service whose vector of a text is (its length, 1), which is busy at first, and does not like one word.
    async fn answer(
        State(asked): State<Arc<AtomicU32>>,
        headers: HeaderMap,
        Json(body): Json<Value>,
    ) -> (StatusCode, Json<Value>) {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            return (StatusCode::TOO_MANY_REQUESTS, Json(json!({})));
        }
        assert_eq!(headers["authorization"], "Bearer sk-test");
        let texts: Vec<&str> =
            body["input"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        if texts.contains(&"bad") {
            return (StatusCode::BAD_REQUEST, Json(json!({"error": {"message": "sk-test is bad"}})));
        }
        let vector = match body["model"].as_str().unwrap() {
            "longer" => json!([1.0, 2.0, 3.0]),
            "empty" => json!([]),
            "words" => json!(["a"]),
            _ => Value::Null,
        };
        let one = |(index, text): (usize, &&str)| {
            let own = json!([text.len() as f32, 1.0]);
            json!({"index": index, "embedding": if vector.is_null() { &own } else { &vector }})
        };
        // in no particular order
        let data: Vec<Value> = texts.iter().enumerate().map(one).rev().collect();
        (StatusCode::OK, Json(json!({"data": data})))
    }

    async fn service() -> (Arc<AtomicU32>, OpenAiSettings) {
        let asked = Arc::new(AtomicU32::new(0));
        let router = Router::new().route("/v1/embeddings", post(answer)).with_state(Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = Some(format!("http://{}/v1", listener.local_addr().unwrap()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (asked, OpenAiSettings { key: "sk-test".to_owned(), base_url, model: None })
    }

    #[tokio::test]
    async fn a_service_is_asked_where_there_is_no_folder_and_a_key_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (asked, settings) = service().await;
        let models = Models { folder: dir.path().join("none"), openai: Some(settings.clone()) };
        let Detection::Model(embedder) = detect(&models).await.unwrap() else { panic!() };
        assert!(
            !embedder.is_local() && embedder.name().starts_with("openai:text-embedding-3-small@127.0.0.1")
        );
        assert_eq!(asked.load(Ordering::SeqCst), 2, "it was busy once");
        let texts = ["a", "abc", "bad", ""].map(str::to_owned);
        let vectors = embedder.embed(texts[..2].to_vec()).await.unwrap();
        assert!((vectors[0][0] - 0.5f32.sqrt()).abs() < 1e-6 && (vectors[1][0] - 0.9f32.sqrt()).abs() < 1e-6);
        let vectors = embedder.embed(texts.to_vec()).await.unwrap();
        assert_eq!((vectors.len(), &vectors[2]), (4, &vec![0.0, 0.0]), "one that is refused costs no other");
        let secret = embedder.embed(vec!["use sk-0123456789abcdefgh".to_owned()]).await.unwrap();
        let told = "use [secret]".len() as f32;
        assert!((secret[0][0] - told / told.hypot(1.0)).abs() < 1e-6, "no credential is sent");

        // a folder that holds something else is not a reason to send facts away
        let models = Models { folder: dir.path().to_owned(), openai: Some(settings) };
        let before = asked.load(Ordering::SeqCst);
        assert!(detect(&models).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), before);
    }

    #[tokio::test]
    async fn answers_that_make_no_sense_are_errors_and_the_key_is_in_none_of_them() {
        let (_, settings) = service().await;
        for model in ["empty", "words"] {
            let settings = OpenAiSettings { model: Some(model.to_owned()), ..settings.clone() };
            assert!(matches!(OpenAi::connect(&settings).await, Err(EmbedError::Answer(_))), "{model}");
        }
        let settings = OpenAiSettings { base_url: Some("http://api.example/v1".to_owned()), ..settings };
        let error = OpenAi::connect(&settings).await.unwrap_err().to_string();
        assert!(error.contains("HEADROOM_MEMORY_OPENAI_BASE_URL: expected https"), "{error}");
        assert!(!format!("{settings:?}").contains("sk-test"));
    }
}
