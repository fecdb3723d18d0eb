//! A provider that is served: its address, how its paths are rewritten, and which key it gets.

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;

use super::table::{Format, Limit, Row, Table};
use crate::environment::Environment;
use crate::upstream::Upstream;

/// How the beginning of a path is rewritten.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Rewrite {
    /// Whole segments at the beginning of a path.
    pub from: String,
    /// The replacement: empty, or with a `/` at the start and none at the end.
    pub to: String,
}

/// The key that replaces the client's key.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Key {
    /// The header.
    pub header: String,
    /// The text before the key.
    pub prefix: &'static str,
    /// The variable of Envoy's environment that holds it.
    pub variable: String,
}

/// A provider that is served under `/NAME/`.
#[derive(Clone, Debug)]
pub struct ServedProvider {
    /// The first part of its paths.
    pub name: String,
    /// Its name in reports.
    pub label: String,
    /// Its address. The path prefix is in the rewrites.
    pub upstream: Upstream,
    /// Its wire formats.
    pub formats: Vec<Format>,
    /// For paths with its name; the first match counts.
    pub rewrites: Vec<Rewrite>,
    /// For paths without its name, which go to it because of the model or the backend.
    pub unnamed: Vec<Rewrite>,
    /// The header of the client's key.
    pub auth: Option<String>,
    /// The key that Headroom adds.
    pub key: Option<Key>,
    /// Models that always go to it.
    pub models: Vec<String>,
    /// How many requests one key may send.
    pub limit: Option<Limit>,
    /// Whether it gets requests that neither a path nor a model assigns to another.
    pub is_default: bool,
}

impl ServedProvider {
    /// A row of the table, with the variable of a key.
    pub fn new(name: &str, row: &Row, key: Option<&str>) -> anyhow::Result<Self> {
        let base = url(row, row.base.as_deref().unwrap_or_default())?;
        let messages = row.messages.as_deref().map(|messages| url(row, messages)).transpose()?;
        let is_native = row.native.unwrap_or_default();
        let named = format!("/{name}");
        let rewrite = |from: &str, to: &str| Rewrite { from: from.to_owned(), to: to.to_owned() };
        let mut rewrites = Vec::new();
        let mut unnamed = Vec::new();
        if let Some(messages) = &messages {
            ensure!(
                messages.authority() == base.authority() && messages.tls == base.tls,
                "base and messages: expected the same host, found {} and {}",
                base.authority(),
                messages.authority()
            );
            let to = format!("{}/v1/messages", messages.prefix);
            rewrites.push(rewrite(&format!("{named}/v1/messages"), &to));
            unnamed.push(rewrite("/v1/messages", &to));
        }
        let mut formats = row.formats();
        if messages.is_some() && !formats.contains(&Format::Messages) {
            formats.push(Format::Messages);
        }
        if is_native {
            rewrites.push(rewrite(&named, &base.prefix));
            if formats.contains(&Format::Messages) {
                unnamed.push(rewrite("/v1/messages", &format!("{}/v1/messages", base.prefix)));
            }
        } else {
            rewrites.push(rewrite(&format!("{named}/v1"), &base.prefix));
            rewrites.push(rewrite(&named, &base.prefix));
            for path in ["chat/completions", "responses", "completions", "embeddings", "models"] {
                unnamed.push(rewrite(&format!("/v1/{path}"), &format!("{}/{path}", base.prefix)));
            }
        }
        let auth = row.auth.clone().unwrap_or_else(|| "authorization".to_owned());
        let auth = (auth != "none").then_some(auth);
        let key = match (key, &auth) {
            (None, _) => None,
            (Some(_), None) => bail!("it takes no key"),
            (Some(variable), Some(header)) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                ensure!(
                    !variable.is_empty() && variable.bytes().all(plain),
                    "expected the name of a variable that holds the key, found {variable:?}"
                );
                Some(Key {
                    header: header.clone(),
                    prefix: if header == "authorization" { "Bearer " } else { "" },
                    variable: variable.to_owned(),
                })
            }
        };
        Ok(Self {
            name: name.to_owned(),
            label: row.label.clone().unwrap_or_else(|| name.to_owned()),
            upstream: Upstream { prefix: String::new(), ..base },
            formats,
            rewrites,
            unnamed,
            auth,
            key,
            models: row.models.clone().unwrap_or_default(),
            limit: row.limit,
            is_default: false,
        })
    }

    /// In the form of the option: `NAME` or `NAME=KEY_ENV`.
    pub(crate) fn asked(text: &str, table: &Table, env: Environment<'_>) -> anyhow::Result<Self> {
        let (name, key) = match text.split_once('=') {
            Some((name, key)) => (name.trim(), Some(key.trim())),
            None => (text.trim(), None),
        };
        let (name, row) = table.find(name).with_context(|| {
            format!(
                "{name:?} is not a known provider: `headroomctl providers` lists them, and a row in providers.toml \
                 adds one"
            )
        })?;
        let served = Self::new(name, row, key).with_context(|| name.to_owned())?;
        if let Some(key) = &served.key {
            ensure!(
                env.variable(&key.variable).is_some(),
                "{name}={}: the variable {} is not set, so there is no key",
                key.variable,
                key.variable
            );
        }
        Ok(served)
    }

    /// The name of its cluster in Envoy, and of its routes.
    pub fn cluster(&self) -> String {
        format!("provider-{}", self.name)
    }

    /// The base URLs for clients of OpenAI's and of Anthropic's format, after Headroom's own URL.
    pub fn base_urls(&self, headroom: &str) -> Vec<(&'static str, String)> {
        let named = format!("{headroom}/{}", self.name);
        let speaks = |format| self.formats.contains(&format);
        let is_native = !self.rewrites.iter().any(|it| it.from.ends_with("/v1"));
        let mut urls = Vec::new();
        if speaks(Format::Chat) || speaks(Format::Responses) {
            urls.push(("OPENAI_BASE_URL", if is_native { named.clone() } else { format!("{named}/v1") }));
        }
        if speaks(Format::Messages) {
            urls.push(("ANTHROPIC_BASE_URL", named.clone()));
        }
        if speaks(Format::GenerateContent) {
            urls.push(("GOOGLE_GEMINI_BASE_URL", named.clone()));
        }
        if urls.is_empty() {
            urls.push(("base URL", named));
        }
        urls
    }
}

/// A base URL of the row, with its values in place of the parts in braces.
fn url(row: &Row, text: &str) -> anyhow::Result<Upstream> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').with_context(|| format!("{text:?}: a brace has no end"))?;
        let value = row.values.as_ref().and_then(|values| values.get(name));
        let value = value.with_context(|| {
            format!(
                "its base URL is {text}: say what {name} is in providers.toml, with values = {{ {name} = \"…\" }} or \
                 with a whole base"
            )
        })?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        ensure!(
            !value.is_empty() && value.bytes().all(plain),
            "values.{name}: expected letters, digits, `.`, `-` and `_`, found {value:?}"
        );
        whole.push_str(before);
        whole.push_str(value);
        rest = after;
    }
    whole.push_str(rest);
    Ok(Upstream::verbatim(&whole)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(text: &str) -> ServedProvider {
        let table = Table::built_in();
        let lookup = |name: &str| (name == "MY_KEY").then(|| "k".to_owned());
        ServedProvider::asked(text, &table, Environment::new(&lookup)).unwrap()
    }

    fn rewrites(served: &ServedProvider) -> Vec<(&str, &str)> {
        served.rewrites.iter().map(|it| (it.from.as_str(), it.to.as_str())).collect()
    }

    #[test]
    fn a_base_url_is_taken_as_it_is_whatever_it_ends_in() {
        assert_eq!(rewrites(&served("groq")), [("/groq/v1", "/openai/v1"), ("/groq", "/openai/v1")]);
        assert_eq!(
            rewrites(&served("zai")),
            [
                ("/zai/v1/messages", "/api/anthropic/v1/messages"),
                ("/zai/v1", "/api/paas/v4"),
                ("/zai", "/api/paas/v4")
            ]
        );
        assert_eq!(rewrites(&served("perplexity")), [("/perplexity/v1", ""), ("/perplexity", "")]);
        assert_eq!(rewrites(&served("google")), [("/gemini", "")]);
        assert_eq!(served("github").upstream.authority(), "models.github.ai");
    }

    #[test]
    fn a_key_goes_into_the_providers_own_header() {
        let key = served("groq=MY_KEY").key.unwrap();
        assert_eq!((key.header.as_str(), key.prefix), ("authorization", "Bearer "));
        let key = served("anthropic=MY_KEY").key.unwrap();
        assert_eq!((key.header.as_str(), key.prefix), ("x-api-key", ""));
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let table = Table::built_in();
        let nothing = |_: &str| None;
        for (text, word) in [
            ("groqq", "not a known provider"),
            ("groq=MY_KEY", "MY_KEY is not set"),
            ("groq=", "name of a variable"),
            ("groq=A B", "name of a variable"),
            ("ollama=K", "takes no key"),
            ("azure_openai", "resource"),
        ] {
            let error = ServedProvider::asked(text, &table, Environment::new(&nothing)).unwrap_err();
            assert!(format!("{error:#}").contains(word), "{text}: {error:#}");
        }
        let row = Row {
            base: Some("https://{a}.example".to_owned()),
            values: Some([("a".to_owned(), "evil/".to_owned())].into()),
            ..Row::default()
        };
        assert!(ServedProvider::new("x", &row, None).is_err());
        let row = Row {
            base: Some("https://a.example/v1".to_owned()),
            messages: Some("https://b.example".to_owned()),
            ..Row::default()
        };
        assert!(ServedProvider::new("x", &row, None).unwrap_err().to_string().contains("same host"));
    }

    #[test]
    fn clients_are_told_the_base_url_that_their_format_wants() {
        let urls = |text: &str| served(text).base_urls("http://h");
        assert_eq!(urls("groq"), [("OPENAI_BASE_URL", "http://h/groq/v1".to_owned())]);
        assert_eq!(
            urls("deepseek"),
            [
                ("OPENAI_BASE_URL", "http://h/deepseek/v1".to_owned()),
                ("ANTHROPIC_BASE_URL", "http://h/deepseek".to_owned())
            ]
        );
        assert_eq!(urls("anthropic"), [("ANTHROPIC_BASE_URL", "http://h/anthropic".to_owned())]);
    }
}
