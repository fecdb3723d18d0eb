//! Everything at once: provider, sidecar, Envoy with the filter.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use crate::built;
use crate::client::{Answer, Call, Connection, Protocol};
use crate::envoy::{Envoy, Neighbours, Options};
use crate::provider::{NAME_HEADER, Provider, RecordedRequest};
use crate::sidecar::{Kind, Sidecar};

/// A running stack. Dropping it ends its processes and removes their files.
#[derive(Debug)]
pub struct Stack {
    /// Envoy is dropped before the servers that it talks to.
    pub envoy: Envoy,
    /// The sidecar.
    pub sidecar: Sidecar,
    /// The provider.
    pub provider: Provider,
    options: Options,
    envoys: usize,
    folder: TempDir,
}

async fn envoy(options: &Options, provider: &Provider, sidecar: &Sidecar, folder: &Path) -> Result<Envoy> {
    let neighbours = Neighbours {
        provider: provider.address(),
        sidecar_grpc: sidecar.grpc(),
        sidecar_http: sidecar.http(),
    };
    let module = if options.filter.is_some() { built::filter_module().await? } else { PathBuf::new() };
    Envoy::start(options, neighbours, &module, folder).await
}

impl Stack {
    /// Starts the four and waits until each is ready.
    pub async fn start(options: Options, sidecar: Kind) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let provider = Provider::start(0).await?;
        let sidecar = Sidecar::start(sidecar, folder.path()).await?;
        let envoy = envoy(&options, &provider, &sidecar, folder.path()).await?;
        Ok(Self { envoy, sidecar, provider, options, envoys: 1, folder })
    }

    /// Starts one more Envoy like the first, which shares only the neighbours.
    pub async fn another_envoy(&mut self) -> Result<Envoy> {
        let options = self.options.clone();
        self.envoy_with(&options).await
    }

    async fn envoy_with(&mut self, options: &Options) -> Result<Envoy> {
        let folder = self.folder.path().join(format!("envoy-{}", self.envoys));
        self.envoys += 1;
        std::fs::create_dir(&folder)?;
        envoy(options, &self.provider, &self.sidecar, &folder).await
    }

    /// Starts a new process in the place of Envoy. It listens on another port.
    pub async fn restart_envoy(&mut self) -> Result<()> {
        self.envoy = self.envoy_with(&Options { own_process: true, ..self.options.clone() }).await?;
        Ok(())
    }

    /// A connection to Envoy.
    pub async fn connect(&self, protocol: Protocol) -> Result<Connection> {
        Connection::open(self.envoy.listener(), protocol).await
    }

    /// Sends one request on a separate connection, and returns its answer and the request that reached
    /// the provider.
    pub async fn exchange(
        &self,
        name: &str,
        protocol: Protocol,
        call: Call,
    ) -> Result<(Answer, Vec<RecordedRequest>)> {
        let answer = self.connect(protocol).await?.send(call.header(NAME_HEADER, name)).await?;
        Ok((answer, self.provider.requests(name)))
    }

    /// The folder of the processes' files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
