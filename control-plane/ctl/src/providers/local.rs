//! Servers of models on this machine, found at their usual ports.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Client;
use serde_json::Value;

use super::served::ServedProvider;
use super::table::{Row, Table};

/// The name for all servers that are found.
pub(crate) const LOCAL: &str = "local";
/// A running server answers at once.
const TIMEOUT: Duration = Duration::from_millis(800);

/// The servers that answer now.
pub(crate) async fn find_local(table: &Table) -> anyhow::Result<Vec<ServedProvider>> {
    let client =
        Client::builder().no_proxy().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
    let mut found = Vec::new();
    for (name, row) in table.rows() {
        if let Some(path) = &row.find
            && answers(&client, row, path).await
        {
            found.push(ServedProvider::new(name, row, None).with_context(|| name.to_owned())?);
        }
    }
    Ok(found)
}

/// Whether a server of models answers: another program may use the port.
async fn answers(client: &Client, row: &Row, path: &str) -> bool {
    let Some(origin) = row.base.as_deref().and_then(|base| url::Url::parse(base).ok()) else { return false };
    let Ok(url) = origin.join(path) else { return false };
    let Ok(answer) = client.get(url).send().await else { return false };
    if !answer.status().is_success() {
        return false;
    }
    let Ok(bytes) = answer.bytes().await else { return false };
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    // OpenAI's list of models, or Ollama's version.
    body["data"].is_array() || body["version"].is_string()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with this body; returns its port.
    fn server(body: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        });
        port
    }

    #[tokio::test]
    async fn a_server_of_models_is_found_and_another_program_at_its_port_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("providers.toml");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (models, version, page) = (
            server(r#"{"object":"list","data":[]}"#),
            server(r#"{"version":"0.9"}"#),
            server("<html>hello</html>"),
        );
        let at = |name: &str, port: u16| format!("{name} = {{ base = \"http://127.0.0.1:{port}/v1\" }}\n");
        let file = [
            at("vllm", models),
            at("ollama", version),
            at("llamacpp", page),
            at("lmstudio", closed),
            at("sglang", closed),
        ];
        std::fs::write(&path, file.concat()).unwrap();
        let mut table = Table::built_in();
        table.add_file(&path).unwrap();
        let found = find_local(&table).await.unwrap();
        let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["ollama", "vllm"]);
    }
}
