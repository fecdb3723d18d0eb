//! `headroomctl mcp`: Headroom's tools for clients that speak the Model Context Protocol.
//!
//! `headroom_compress` runs the engine here and stores what it leaves out in the sidecar before it answers.
//! `headroom_retrieve` reads that back, and `headroom_stats` shows what was saved. If the sidecar does not have a text,
//! the tool answers with a placeholder, and the filter puts the text into the conversation. `--memory` adds the tools
//! of memory. They are optional because each request of a client pays for their definitions.

mod compress;
mod definition;
mod memory;
mod originals;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;
use headroom_api::memory::Caller;
use rmcp::ServiceExt as _;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::compress::Compressor;
use self::memory::Memory;
use self::originals::Originals;
use self::server::Server;
use crate::environment::Environment;
use crate::memory::{Client, project};
use crate::misuse::Misuse;
use crate::profile::ProfileName;
use crate::running::{SidecarArgs, is_local};
use crate::token;

/// The distance of the sidecar's gRPC port from Envoy's port.
const GRPC_AFTER_PORT: u16 = 2;

/// Serves Headroom's tools over MCP, on standard input and output unless --http is given.
#[derive(Args, Clone, Debug, Default)]
pub struct McpArgs {
    /// Serve streamable HTTP under /mcp at this loopback address instead (port 0: any free one)
    #[arg(long, value_name = "IP:PORT")]
    pub http: Option<SocketAddr>,
    /// Address of headroomd's gRPC server: ip:port or unix:/path [env: HEADROOM_GRPC] [default: 127.0.0.1, two after HEADROOM_PORT]
    #[arg(long, value_name = "ADDR")]
    pub grpc: Option<String>,
    /// Where it answers HTTP, for the figures.
    #[command(flatten)]
    pub at: SidecarArgs,
    /// The tenant whose originals are served, as x-headroom-user-id or the filter's `tenant` says
    #[arg(long, value_name = "NAME", default_value = "")]
    pub tenant: String,
    /// Serve memory_save, memory_search, memory_update, memory_delete and memory_list as well
    #[arg(long)]
    pub memory: bool,
    /// The project of the facts: a folder, or a name [env: HEADROOM_PROJECT] [default: the repository of this folder; over HTTP what x-headroom-project says]
    #[arg(long, value_name = "PROJECT", requires = "memory")]
    pub project: Option<String>,
    /// The user of the facts, within the tenant [default: the tenant's name, or the user who started headroomd]
    #[arg(long, value_name = "NAME", requires = "memory")]
    pub user: Option<String>,
    /// How strongly headroom_compress may shorten
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileName,
}

/// Serves until the client disconnects or a signal arrives.
pub async fn mcp(args: &McpArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let running = args.at.running()?;
    if let Some(address) = args.http.filter(|address| !address.ip().is_loopback()) {
        let error =
            anyhow!("--http {address}: expected a loopback address, because MCP clients send no token");
        return Err(Misuse::of(error));
    }
    let address = grpc(args, env).map_err(Misuse::of)?;
    let here = address.starts_with("unix:") || is_local(&format!("http://{address}"));
    let token = if here { token::local(env, None)? } else { token::configured(env)? };
    let originals = Originals::at(&address, token, args.tenant.clone())?;
    let compressor = Compressor::new(args.profile.into());
    let memory = if args.memory { Some(memory(args, env)?) } else { None };
    let server = Server::new(Arc::new(originals), compressor, running, memory);
    match args.http {
        None => {
            let service = server
                .serve(rmcp::transport::stdio())
                .await
                .context("the client did not begin with an MCP handshake")?;
            service.waiting().await?;
            Ok(())
        }
        Some(address) => serve_http(address, server).await,
    }
}

/// A server over HTTP runs in one folder, and its clients in others. A project that they do not name is unknown.
fn memory(args: &McpArgs, env: Environment<'_>) -> anyhow::Result<Memory> {
    let folder = std::env::current_dir().ok().filter(|_| args.http.is_none());
    let caller = Caller {
        project: project(args.project.as_deref(), env, folder.as_deref()),
        user: args.user.clone().unwrap_or_default(),
        via: "mcp".to_owned(),
        ..Caller::default()
    };
    Ok(Memory::new(Client::new(args.at.sidecar()?, args.tenant.clone(), caller)?))
}

fn grpc(args: &McpArgs, env: Environment<'_>) -> anyhow::Result<String> {
    if let Some(address) = env.or(args.grpc.as_ref(), "HEADROOM_GRPC") {
        return Ok(address);
    }
    Ok(format!("127.0.0.1:{}", env.port(None)?.saturating_add(GRPC_AFTER_PORT)))
}

async fn serve_http(address: SocketAddr, server: Server) -> anyhow::Result<()> {
    let listener =
        tokio::net::TcpListener::bind(address).await.with_context(|| format!("--http {address}"))?;
    let stop = CancellationToken::new();
    // protects against DNS rebinding and against calls from other origins by a page in a browser
    let config = StreamableHttpServerConfig::default()
        .with_cancellation_token(stop.clone())
        .enforce_origin_validation();
    let sessions = Arc::new(LocalSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(server.clone()), sessions, config);
    let router = axum::Router::new().nest_service("/mcp", service);
    eprintln!("headroomctl: MCP at http://{}/mcp", listener.local_addr()?);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.cancel();
        })
        .await?;
    Ok(())
}
