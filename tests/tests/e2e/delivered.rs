//! The filter as Istio delivers it: by ECDS, as a resource with a long name, without a VM id, with the
//! configuration as JSON text, and with Istio's name for the sidecar's cluster.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use headroom_compress::Api;
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::delivery::{CLUSTER, RESOURCE, as_text, bootstrap, deliver, resource};
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::provider::NAME_HEADER;
use headroom_e2e::sidecar::{Kind, Sidecar};
use headroom_e2e::{Provider, built};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bodies::{anthropic, pretty_pets, shortened};
use crate::stacks::forwarded;
use crate::thinking::Thinking;

/// Provider, sidecar, and an Envoy that watches a file for its filter.
struct Mesh {
    envoy: Envoy,
    sidecar: Sidecar,
    provider: Provider,
    folder: TempDir,
}

impl Mesh {
    async fn start(first: impl FnOnce(&Path) -> Value) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let provider = Provider::start(0).await?;
        let sidecar = Sidecar::start(Kind::Real, folder.path()).await?;
        deliver(folder.path(), &first(&built::filter_module().await?))?;
        let configuration = Some(bootstrap(provider.address(), &sidecar, folder.path())?);
        let options = Options { filter: None, configuration, workers: 2, ..Options::default() };
        let neighbours = Neighbours {
            provider: provider.address(),
            sidecar_grpc: sidecar.grpc(),
            sidecar_http: sidecar.http(),
        };
        let envoy = Envoy::start(&options, neighbours, &PathBuf::new(), folder.path()).await?;
        Ok(Self { envoy, sidecar, provider, folder })
    }

    /// Sends one request and asserts that it arrived at the provider compressed.
    async fn assert_compresses(&self, name: &str, pets: usize) -> Result<()> {
        let body = anthropic(&pretty_pets(pets));
        let call = Call::post("/v1/messages", body.clone()).header(NAME_HEADER, name);
        let answer = Connection::open(self.envoy.listener(), Protocol::Http1).await?.send(call).await?;
        ensure!(answer.status == 200, "{name}: {}", answer.status);
        assert_eq!(forwarded(&self.provider, name).body, shortened(Api::AnthropicMessages, &body), "{name}");
        Ok(())
    }
}

/// The plugin configuration of the manifests, with quicker reports.
fn plugin_config() -> Value {
    json!({
        "body_mode": "strip",
        "control_plane": {"cluster": CLUSTER, "report_interval_ms": 50},
    })
}

/// The same bytes in the other wrapper that Envoy unpacks.
fn as_bytes(config: &Value) -> Value {
    let value = BASE64_STANDARD.encode(config.to_string());
    json!({"@type": "type.googleapis.com/google.protobuf.BytesValue", "value": value})
}

/// The form in hand-written configurations and EnvoyFilters. Envoy passes it on as protobuf.
fn as_struct(config: &Value) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": config})
}

#[tokio::test]
async fn a_filter_delivered_as_istio_does_compresses_and_reports() -> Result<()> {
    let mesh = Mesh::start(|module| resource(1, module, &as_text(&plugin_config()))).await?;
    mesh.assert_compresses("delivered", 30).await?;
    assert_eq!(mesh.envoy.stat("wasmcustom.headroom.config_errors").await?, 0);
    until("headroomd has counted it", || async {
        (mesh.sidecar.stats().await.ok()?["requests"]["by_outcome"]["compressed"] == 1).then_some(())
    })
    .await
}

#[tokio::test]
async fn what_is_no_configuration_is_counted_and_requests_pass_until_text_bytes_or_a_structure_is_one()
-> Result<()> {
    let duration = json!({"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"});
    let mesh = Mesh::start(|module| resource(1, module, &duration)).await?;
    let module = built::filter_module().await?;
    let (mut version, mut counted) = (1, 0);
    for (name, form) in
        [("text", as_text as fn(&Value) -> Value), ("bytes", as_bytes), ("structure", as_struct)]
    {
        until("what is no configuration is counted", || async {
            (mesh.envoy.stat("wasmcustom.headroom.config_errors").await.ok()? == 1).then_some(())
        })
        .await?;
        let body = anthropic(&pretty_pets(30));
        let passed = format!("before the {name}");
        let call = Call::post("/v1/messages", body.clone()).header(NAME_HEADER, &passed);
        let answer = Connection::open(mesh.envoy.listener(), Protocol::Http1).await?.send(call).await?;
        assert_eq!(answer.status, 200);
        assert_eq!(forwarded(&mesh.provider, &passed).body, body);

        // The next delivery repairs it.
        version += 1;
        deliver(mesh.folder.path(), &resource(version, &module, &form(&plugin_config())))?;
        until("Envoy takes a configuration", || async {
            (mesh.envoy.stat("wasmcustom.headroom.config_errors").await.ok()? == 0).then_some(())
        })
        .await?;
        mesh.assert_compresses(name, 31).await?;
        counted += 1;
        until("headroomd has counted it", || async {
            (mesh.sidecar.stats().await.ok()?["requests"]["by_outcome"]["compressed"] == counted)
                .then_some(())
        })
        .await?;
        version += 1;
        deliver(mesh.folder.path(), &resource(version, &module, &duration))?;
    }
    Ok(())
}

/// A filter that works until a request has the header `x-trap`. There is no known way to make ours trap.
const TRAPS: &str = r#"(module
    (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 1024))
    (data (i32.const 0) "x-trap")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "_initialize"))
    (func (export "malloc") (param i32) (result i32)
        global.get $free
        (global.set $free (i32.add (global.get $free) (local.get 0))))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 1)
    (func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 1)
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (if (i32.eqz (call $get (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 16) (i32.const 20)))
            (then unreachable))
        i32.const 0))"#;

#[tokio::test]
async fn a_trap_costs_its_own_request_and_the_next_ones_until_envoy_has_a_new_vm() -> Result<()> {
    let traps = tempfile::tempdir()?;
    let module = traps.path().join("traps.wasm");
    fs::write(&module, wat::parse_str(TRAPS)?)?;
    let mesh = Mesh::start(|_| resource(1, &module, &as_text(&json!({})))).await?;
    let send = async |call: Call| -> Result<u16> {
        let answer = Connection::open(mesh.envoy.listener(), Protocol::Http1).await?.send(call).await?;
        Ok(answer.status.into())
    };
    let call = || Call::post("/v1/messages", anthropic(&pretty_pets(3))).header(NAME_HEADER, "trap");
    assert_eq!(send(call()).await?, 200);
    assert_eq!(send(call().header("x-trap", "1")).await?, 503);
    // The other worker has its own VM and continues; requests to this one make Envoy start it again.
    let reloads = format!("wasm.{RESOURCE}.vm_reload_success");
    until("Envoy has a new VM", || async {
        send(call()).await.ok()?;
        (mesh.envoy.stat(&reloads).await.ok()? > 0).then_some(())
    })
    .await?;
    for _ in 0..20 {
        assert_eq!(send(call()).await?, 200);
    }
    Ok(())
}

/// The same module with other bytes: a custom section, which every runtime skips.
fn another(module: &Path, folder: &Path) -> Result<PathBuf> {
    let mut bytes = fs::read(module)?;
    bytes.extend_from_slice(b"\0\x05\x04next");
    let path = folder.join("next.wasm");
    fs::write(&path, bytes)?;
    Ok(path)
}

/// Counts of the clients during a reload.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    answered: AtomicUsize,
    by_the_new_one: AtomicUsize,
}

/// Sends one request after the other until it is stopped, and between them takes turns of conversations with models
/// that think; the number of those sent.
async fn client(number: usize, envoy: SocketAddr, load: Arc<Load>, thinking: Arc<Thinking>) -> Result<usize> {
    let mut connection = Connection::open(envoy, Protocol::Http1).await?;
    let body = anthropic(&pretty_pets(10 + number));
    let mut sent = 0;
    while !load.stop.load(Ordering::Relaxed) {
        let call = Call::post("/v1/messages", body.clone()).header(NAME_HEADER, &format!("client {number}"));
        thinking.turn_beside(sent, envoy).await?;
        sent += 1;
        let answer = connection.send(call).await?;
        ensure!(answer.status == 200, "request {sent} of client {number}: {}", answer.status);
        // The second configuration switches these headers off.
        if !answer.headers.contains_key("x-headroom-tokens-saved") {
            load.by_the_new_one.fetch_add(1, Ordering::Relaxed);
        }
        load.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(sent)
}

/// Another module creates new VMs; another configuration alone keeps them. The old VMs do not deliver their remaining
/// reports themselves: their next report is due in an hour.
async fn reload_loses_nothing(has_new_module: bool) -> Result<()> {
    // Reports are an hour apart, and the queue has room for all requests until the new module is compiled.
    let slow = json!({"control_plane": {"cluster": CLUSTER, "report_interval_ms": 3_600_000,
        "queue_records": 1 << 16, "queue_bytes": 8 << 20}});
    let mesh = Mesh::start(|module| resource(1, module, &as_text(&slow))).await?;
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, sent, envoy) = (Arc::clone(&stop), Arc::clone(&sent), mesh.envoy.listener());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut connection = Connection::open(envoy, Protocol::Http1).await?;
                    let answer =
                        connection.send(Call::post("/v1/messages", anthropic(&pretty_pets(9)))).await?;
                    ensure!(answer.status == 200, "{}", answer.status);
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    let reached = |wanted: usize| {
        let sent = Arc::clone(&sent);
        async move {
            until("requests are answered", || async {
                (sent.load(Ordering::Relaxed) >= wanted).then_some(())
            })
            .await
        }
    };
    reached(400).await?;
    let module = built::filter_module().await?;
    let module = if has_new_module { another(&module, mesh.folder.path())? } else { module };
    deliver(
        mesh.folder.path(),
        &resource(1 + u32::from(has_new_module), &module, &as_text(&plugin_config())),
    )?;
    let before = sent.load(Ordering::Relaxed);
    until("the new configuration reports", || async {
        (mesh.sidecar.counted_requests().await.ok()? > before as u64).then_some(())
    })
    .await?;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await??;
    }
    until("every request is counted", || async {
        (mesh.sidecar.counted_requests().await.ok()? == sent.load(Ordering::Relaxed) as u64).then_some(())
    })
    .await
    .with_context(|| format!("{} were sent", sent.load(Ordering::Relaxed)))
}

#[tokio::test]
async fn a_reload_in_the_middle_of_traffic_loses_no_record() -> Result<()> {
    reload_loses_nothing(true).await
}

#[tokio::test]
async fn another_configuration_in_the_middle_of_traffic_loses_no_record() -> Result<()> {
    reload_loses_nothing(false).await
}

#[tokio::test]
async fn a_new_module_is_loaded_under_load_without_dropping_a_request() -> Result<()> {
    const CLIENTS: usize = 4;
    let mut config = plugin_config();
    config["reversible"] = json!(true);
    let mesh = Mesh::start(|module| resource(1, module, &as_text(&config))).await?;
    let load = Arc::new(Load::default());
    let thinking = Arc::new(Thinking::with(&mesh.provider));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            tokio::spawn(client(number, mesh.envoy.listener(), Arc::clone(&load), Arc::clone(&thinking)))
        })
        .collect();
    let reached = |counter: &'static str, wanted: usize| {
        let load = Arc::clone(&load);
        async move {
            until(counter, || async {
                let count = if counter == "answers by the new module" {
                    &load.by_the_new_one
                } else {
                    &load.answered
                };
                (count.load(Ordering::Relaxed) >= wanted).then_some(())
            })
            .await
        }
    };
    reached("answers by the old module", 10 * CLIENTS).await?;
    assert_eq!(load.by_the_new_one.load(Ordering::Relaxed), 0);

    let turns = thinking.turns();
    ensure!(turns > 0, "no model has thought before the reload");
    let next = another(&built::filter_module().await?, mesh.folder.path())?;
    config["response_headers"] = json!(false);
    deliver(mesh.folder.path(), &resource(2, &next, &as_text(&config)))?;
    reached("answers by the new module", 10 * CLIENTS).await?;
    let turns_at_first = thinking.turns();
    until("models think with the new module", || async {
        (thinking.turns() > turns_at_first + CLIENTS).then_some(())
    })
    .await?;
    load.stop.store(true, Ordering::Relaxed);

    for (number, client) in clients.into_iter().enumerate() {
        let sent = client.await??;
        let body = shortened(Api::AnthropicMessages, &anthropic(&pretty_pets(10 + number)));
        let arrived = mesh.provider.requests(&format!("client {number}"));
        assert_eq!(arrived.len(), sent, "client {number}: each request arrives once");
        assert!(arrived.iter().all(|request| request.complete && request.body == body), "client {number}");
    }
    let thought = thinking.end(mesh.envoy.listener()).await?;
    headroom_e2e::say(&format!("a new module under load; {}", thought.line()));
    let resets = mesh.envoy.stat("http.headroom.downstream_rq_rx_reset").await?;
    assert_eq!((mesh.envoy.stat("http.headroom.downstream_rq_5xx").await?, resets), (0, 0));
    Ok(())
}
