//! Runs `envoy/bedrock.yaml`: Envoy signs the body after Headroom's changes, and nothing changes it
//! afterwards. Only addresses and keys are this test's.

use std::fs;

use anyhow::{Context as _, Result};
use headroom_compress::{Api, Config, Memo, Request, compress};
use headroom_e2e::client::{Answer, Call, Connection, Protocol};
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::provider::{NAME_HEADER, RecordedRequest};
use headroom_e2e::sidecar::{Kind, Sidecar};
use headroom_e2e::{Provider, built};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::bodies::pretty_pets;
use crate::production::{plain, replaced};
use crate::stacks::forwarded;

const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const INVOKE: &str = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke";
const CONVERSE: &str = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream";

struct Signing {
    envoy: Envoy,
    provider: Provider,
    _sidecar: Sidecar,
    _folder: TempDir,
}

impl Signing {
    /// With rules in addition to the shipped plugin configuration.
    async fn start(rules: Value) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let provider = Provider::start(0).await?;
        let sidecar = Sidecar::start(Kind::Down, folder.path()).await?;
        let module = built::filter_module().await?;
        let neighbours = Neighbours {
            provider: provider.address(),
            sidecar_grpc: sidecar.grpc(),
            sidecar_http: sidecar.http(),
        };
        let text = fs::read_to_string(built::workspace().join("envoy/bedrock.yaml"))?;
        let socket = folder.path().join("admin.sock").display().to_string();
        let text = replaced(&text, "/run/headroom/admin.sock", &socket)?;
        let text = replaced(&text, "port_value: 8787", "port_value: 0")?;
        let text = replaced(&text, "port_value: 8789", &format!("port_value: {}", sidecar.grpc().port()))?;
        let text = replaced(&text, "/etc/headroom/filter.wasm", &module.display().to_string())?;
        let text = replaced(&text, "\"body_mode\":", &format!("\"rules\": {rules}, \"body_mode\":"))?;
        let key = format!("inline_credential: {{ access_key_id: {KEY_ID}, secret_access_key: {SECRET} }}");
        let service = "service_name: bedrock\n";
        let keyed = format!("{service}              credential_provider: {{ {key} }}\n");
        let text = replaced(&text, service, &keyed)?;
        let (head, clusters) =
            text.split_once("\n  clusters:\n").context("the configuration has clusters")?;
        let clusters: Vec<String> = clusters
            .split("\n\n")
            .map(|cluster| plain(cluster, provider.address()))
            .collect::<Result<_>>()?;
        let configuration = Some(format!("{head}\n  clusters:\n{}\n", clusters.join("\n\n")));
        let options = Options { configuration, ..Options::default() };
        let envoy = Envoy::start(&options, neighbours, &module, folder.path()).await?;
        Ok(Self { envoy, provider, _sidecar: sidecar, _folder: folder })
    }

    async fn send(&self, name: &str, call: Call) -> Result<Answer> {
        let mut connection = Connection::open(self.envoy.listener(), Protocol::Http1).await?;
        connection.send(call.header(NAME_HEADER, name)).await
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut block = [0u8; 64];
    let hashed = Sha256::digest(key);
    let key = if key.len() > block.len() { &hashed[..] } else { key };
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

/// Asserts that a received request has the signature that Bedrock would compute for it: Signature Version 4
/// of the AWS General Reference, written from its description.
fn assert_signed(request: &RecordedRequest) {
    let header = |name: &str| request.headers[name].to_str().expect("a text").to_owned();
    let body = hex(&Sha256::digest(&request.body));
    assert_eq!(header("x-amz-content-sha256"), body, "the body that arrived is the one that was signed");
    let authorization = header("authorization");
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=")).expect("a part of the signature");
        rest.split(',').next().unwrap_or_default().to_owned()
    };
    let credential = part("Credential");
    let scope = credential.strip_prefix(&format!("{KEY_ID}/")).expect("our key");
    let signed = part("SignedHeaders");
    let lines: String = signed.split(';').map(|name| format!("{name}:{}\n", header(name).trim())).collect();
    assert!(signed.split(';').any(|name| name == "host"), "{signed}");
    // Each segment of the path as it is sent is encoded once more.
    let path = request.path.replace('%', "%25");
    let canonical = format!("POST\n{path}\n\n{lines}\n{signed}\n{body}");
    let date = header("x-amz-date");
    let message = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
    let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part));
    assert_eq!(part("Signature"), hex(&hmac(&key, &message)), "{canonical}");
}

fn anthropic(output: &str) -> Vec<u8> {
    json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64, "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "list_pets", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": output}]}]})
    .to_string()
    .into_bytes()
}

fn converse(output: &str) -> Vec<u8> {
    json!({"messages": [
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "list_pets", "input": {}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": output}]}}]}]})
    .to_string()
    .into_bytes()
}

async fn the_signature_is_of_the_compressed_body(signing: &Signing) -> Result<()> {
    for (path, api, body) in [
        (INVOKE, Api::AnthropicBedrock, anthropic(&pretty_pets(40))),
        (CONVERSE, Api::BedrockConverse, converse(&pretty_pets(40))),
    ] {
        let request = Request { model: Some(MODEL), ..Request::new(api) };
        let expected =
            compress(&body, &request, &Config::default(), &mut Memo::new(1 << 20)).body.into_owned();
        assert!(expected.len() < body.len());
        // A client's own signature is for its own body, and must not arrive.
        let call = Call::post(path, body)
            .header("authorization", "AWS4-HMAC-SHA256 Credential=OTHER/x, SignedHeaders=host, Signature=00")
            .header("x-amz-content-sha256", "00")
            .header("x-amz-date", "20000101T000000Z")
            .header("x-headroom-stack", "test");
        assert_eq!(signing.send(path, call).await?.status, 200);
        let got = forwarded(&signing.provider, path);
        assert_eq!(got.body, expected, "{path}");
        assert_eq!(got.headers["content-length"], expected.len().to_string());
        assert_eq!(got.headers["host"], "bedrock-runtime.us-east-1.amazonaws.com");
        assert_signed(&got);
    }
    Ok(())
}

async fn nothing_of_a_web_page_is_signed(signing: &Signing) -> Result<()> {
    let body = anthropic(&pretty_pets(40));
    for (name, header, value) in [
        ("pointed here", "host", "evil.example"),
        ("pointed here with a port", "host", "evil.example:8787"),
        ("like an address", "host", "127.0.0.1.evil.example"),
        ("another site", "origin", "https://evil.example"),
        ("no site", "origin", "null"),
    ] {
        let call = Call::post(INVOKE, body.clone()).header(header, value);
        let answer = signing.send(name, call).await?;
        assert_eq!(answer.status, 403, "{name}");
        assert!(answer.text().contains("this Envoy"), "{name}: {}", answer.text());
        assert!(signing.provider.requests(name).is_empty(), "{name}");
    }
    for host in ["localhost:8787", "headroom"] {
        let call = Call::post(INVOKE, body.clone()).header("host", host);
        assert_eq!(signing.send(host, call).await?.status, 200, "{host}");
        assert_signed(&forwarded(&signing.provider, host));
    }
    Ok(())
}

async fn what_passes_is_signed_as_well(signing: &Signing) -> Result<()> {
    let body = anthropic(&pretty_pets(40));
    for path in ["/model/amazon.titan-text/invoke", "/model/anthropic.claude/count-tokens"] {
        assert_eq!(signing.send(path, Call::post(path, body.clone())).await?.status, 200);
        let got = forwarded(&signing.provider, path);
        assert_eq!(got.body, body);
        assert_signed(&got);
    }
    Ok(())
}

#[tokio::test]
async fn the_body_that_leaves_is_the_one_that_is_signed() -> Result<()> {
    // one Envoy, since each compiles the module
    let signing = Signing::start(json!([])).await?;
    the_signature_is_of_the_compressed_body(&signing).await?;
    nothing_of_a_web_page_is_signed(&signing).await?;
    what_passes_is_signed_as_well(&signing).await
}

#[tokio::test]
async fn a_rule_by_the_routes_name_only_measures() -> Result<()> {
    let signing = Signing::start(json!([{"route": "mod*", "mode": "audit"}])).await?;
    let body = anthropic(&pretty_pets(40));
    let answer = signing.send("audited", Call::post(INVOKE, body.clone())).await?;
    assert_eq!(answer.header("x-headroom-outcome"), Some("audited"));
    let got = forwarded(&signing.provider, "audited");
    assert_eq!(got.body, body);
    assert_eq!(got.headers["content-length"], body.len().to_string());
    assert_signed(&got);
    Ok(())
}
