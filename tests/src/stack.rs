//! Everything at once: provider, sidecar, Envoy with the filter.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use crate::built;
use crate::client::{Answer, Call, Connection, Protocol};
use crate::envoy::{Envoy, Neighbours, Options};
use crate::provider::{NAME_HEADER, Provider, Recorded};
use crate::sidecar::{Kind, Sidecar};

/// A running stack. Dropping it ends its processes and removes their files.
#[derive(Debug)]
pub struct Stack {
    /// Envoy goes down before those that it talks to.
    pub envoy: Envoy,
    /// The sidecar.
    pub sidecar: Sidecar,
    /// The provider.
    pub provider: Provider,
    folder: TempDir,
}

impl Stack {
    /// Starts the four and waits until each is ready.
    pub async fn start(options: Options, sidecar: Kind) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let provider = Provider::start(0).await?;
        let sidecar = Sidecar::start(sidecar, folder.path()).await?;
        let neighbours = Neighbours {
            provider: provider.address(),
            sidecar_grpc: sidecar.grpc(),
            sidecar_http: sidecar.http(),
        };
        let module = if options.filter.is_some() { built::filter_module().await? } else { PathBuf::new() };
        let envoy = Envoy::start(&options, neighbours, &module, folder.path()).await?;
        Ok(Self { envoy, sidecar, provider, folder })
    }

    /// A connection to Envoy.
    pub async fn connect(&self, protocol: Protocol) -> Result<Connection> {
        Connection::open(self.envoy.listener(), protocol).await
    }

    /// Sends one request on a connection of its own and gives its answer and what reached the provider.
    pub async fn exchange(
        &self,
        name: &str,
        protocol: Protocol,
        call: Call,
    ) -> Result<(Answer, Vec<Recorded>)> {
        let answer = self.connect(protocol).await?.send(call.header(NAME_HEADER, name)).await?;
        Ok((answer, self.provider.requests(name)))
    }

    /// Where the processes keep their files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
