//! The processes for conversations, and how events are caused there.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Event;
use crate::client::{Call, Connection, Protocol};
use crate::deadline::until;
use crate::delivery::{self, CLUSTER, RESOURCE, as_text, deliver, resource};
use crate::envoy::{Envoy, Neighbours, Options};
use crate::sidecar::{Kind, Sidecar};
use crate::{Provider, Stack, built};

/// A provider, and the processes before it.
pub(super) struct Setting {
    event: Event,
    place: Place,
    /// More of the filter's configuration.
    more: Value,
}

#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Place {
    Alone(Provider),
    Stack { stack: Stack, second: Option<Envoy> },
    Delivered { envoy: Envoy, provider: Provider, folder: tempfile::TempDir, versions: u32, sidecar: Sidecar },
}

/// As `headroomctl up` sets the filter up, with quicker reports.
fn plugin(cluster: &str, more: &Value) -> Value {
    let mut plugin = json!({
        "reversible": true,
        "control_plane": {"cluster": cluster, "report_interval_ms": 50, "max_backoff_ms": 200},
    });
    merge(&mut plugin, more);
    plugin
}

/// Objects are merged, everything else is replaced.
fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            more.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, more) => *into = more.clone(),
    }
}

impl Setting {
    pub(super) async fn start(event: Event, more: &Value) -> Result<Self> {
        let place = match event {
            Event::WithoutHeadroom => Place::Alone(Provider::start(0).await?),
            Event::Reloaded => delivered(more).await?,
            _ => {
                let mut filter = plugin("headroom", more);
                if event == Event::NoMemo {
                    filter["memo_bytes"] = 0.into();
                }
                let options = Options { filter: Some(filter), workers: 2, ..Options::default() };
                let mut stack = Stack::start(options, Kind::Real).await?;
                let second =
                    if event == Event::TwoEnvoys { Some(stack.another_envoy().await?) } else { None };
                Place::Stack { stack, second }
            }
        };
        Ok(Self { event, place, more: more.clone() })
    }

    /// Has memory hold these facts.
    pub(super) async fn remember(&self, facts: &[String]) -> Result<()> {
        let sidecar = match &self.place {
            Place::Stack { stack, .. } => &stack.sidecar,
            Place::Delivered { sidecar, .. } => sidecar,
            Place::Alone(_) => return Ok(()),
        };
        for fact in facts {
            let asked = json!({"scope": "team", "facts": [{"content": fact}]}).to_string();
            let mut http = Connection::open(sidecar.http(), Protocol::Http1).await?;
            let answer = http.send(Call::post("/v1/memory/save", asked)).await?;
            ensure!(answer.status == 200, "{}", answer.text());
        }
        Ok(())
    }

    pub(super) fn provider(&self) -> &Provider {
        match &self.place {
            Place::Alone(provider) | Place::Delivered { provider, .. } => provider,
            Place::Stack { stack, .. } => &stack.provider,
        }
    }

    /// The address for the requests of a round.
    pub(super) fn listener(&self, round: usize) -> SocketAddr {
        match &self.place {
            Place::Alone(provider) => provider.address(),
            Place::Stack { second: Some(second), .. } if round % 2 == 1 => second.listener(),
            Place::Stack { stack, .. } => stack.envoy.listener(),
            Place::Delivered { envoy, .. } => envoy.listener(),
        }
    }

    /// Causes the event before a round.
    pub(super) async fn before(&mut self, round: usize, rounds: usize) -> Result<()> {
        let (first, last) = (rounds / 4, 3 * rounds / 4);
        match &mut self.place {
            Place::Alone(_) => {}
            Place::Stack { stack, .. } => match self.event {
                Event::Killed if round == first => stack.sidecar.kill()?,
                Event::Stopped if round == first => stack.sidecar.suspend()?,
                Event::Stopped if round == last => stack.sidecar.resume()?,
                Event::DiskFull if round == first => stack.sidecar.fill_disk()?,
                Event::DiskFull if round == last => stack.sidecar.empty_disk()?,
                Event::Restarted if round % 3 == 2 => {
                    stack.sidecar.kill()?;
                    stack.sidecar.run().await?;
                }
                Event::EnvoyRestarted if round % 4 == 3 => stack.restart_envoy().await?,
                _ => {}
            },
            Place::Delivered { envoy, folder, versions, .. } if round % 4 == 3 => {
                *versions += 1;
                let mut config = plugin(CLUSTER, &self.more);
                // This setting does not affect the provider.
                config["response_headers"] = (*versions % 2 == 0).into();
                let updates = format!("extension_config_discovery.http_filter.{RESOURCE}.config_reload");
                let before = envoy.stat(&updates).await?;
                let module = built::filter_module().await?;
                deliver(folder.path(), &resource(*versions, &module, &as_text(&config)))?;
                until("Envoy has taken the configuration", || async {
                    (envoy.stat(&updates).await.ok()? > before).then_some(())
                })
                .await?;
            }
            Place::Delivered { .. } => {}
        }
        Ok(())
    }

    /// Checks that no VM was lost.
    pub(super) async fn assert_no_trap(&self) -> Result<()> {
        let Place::Stack { stack, .. } = &self.place else { return Ok(()) };
        for outcome in ["success", "backoff", "failure"] {
            let reloads = stack.envoy.stat(&format!("wasm.headroom.vm_reload_{outcome}")).await?;
            ensure!(reloads == 0, "{reloads} VM reloads: {outcome}");
        }
        Ok(())
    }
}

async fn delivered(more: &Value) -> Result<Place> {
    let folder = tempfile::tempdir()?;
    let provider = Provider::start(0).await?;
    let sidecar = Sidecar::start(Kind::Real, folder.path()).await?;
    let module = built::filter_module().await?;
    deliver(folder.path(), &resource(1, &module, &as_text(&plugin(CLUSTER, more))))?;
    let configuration = Some(delivery::bootstrap(provider.address(), &sidecar, folder.path())?);
    let options = Options { filter: None, configuration, workers: 2, ..Options::default() };
    let neighbours = Neighbours {
        provider: provider.address(),
        sidecar_grpc: sidecar.grpc(),
        sidecar_http: sidecar.http(),
    };
    let envoy = Envoy::start(&options, neighbours, &PathBuf::new(), folder.path()).await?;
    Ok(Place::Delivered { envoy, provider, folder, versions: 1, sidecar })
}
