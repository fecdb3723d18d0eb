//! Tenants by their certificates: `tenant_from: peer` behind a listener that requires one.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use headroom_e2e::client::{Answer, Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::provider::NAME_HEADER;
use headroom_e2e::sidecar::{Kind, Sidecar};
use headroom_e2e::{Provider, built};
use headroomctl::bootstrap::{Bootstrap, Endpoint, Providers};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A certificate authority.
struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
struct Identity {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut root = CertificateParams::new(Vec::new())?;
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::CommonName, name);
        let certificate = root.self_signed(&key)?;
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Ok(Self { pem, der, issuer: Issuer::new(root, key) })
    }

    fn identity(&self, name: &str) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.issuer)?;
        Ok(Identity { pem: certificate.pem(), der: certificate.der().clone(), key })
    }
}

/// The listener of `headroomctl up`, with TLS that requires a client certificate.
fn configuration(folder: &Path, provider: SocketAddr, sidecar: &Sidecar, module: &Path) -> Result<String> {
    let mut bootstrap = Bootstrap::new(Providers::all(format!("http://{provider}").parse()?));
    bootstrap.listen = Endpoint::loopback(0);
    bootstrap.admin = folder.join("admin.sock");
    bootstrap.sidecar_http = Endpoint::loopback(sidecar.http().port());
    bootstrap.sidecar_grpc = Endpoint::loopback(sidecar.grpc().port());
    bootstrap.module = Some(module.to_owned());
    bootstrap.plugin_config = json!({
        "tenant_from": "peer",
        "reversible": true,
        "store_originals": true,
        "control_plane": {"cluster": "headroom", "http_cluster": "headroomd_http", "report_interval_ms": 50},
    });
    let socket = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": {"filename": folder.join("server.pem")},
                    "private_key": {"filename": folder.join("server.key")},
                }],
                "validation_context": {"trusted_ca": {"filename": folder.join("clients.pem")}},
            },
        },
    });
    const CHAINS: &str = "    filter_chains:\n    - filters:\n";
    let text = bootstrap.render()?;
    anyhow::ensure!(text.contains(CHAINS), "the rendered bootstrap has no filter chain of the expected form");
    Ok(text.replacen(
        CHAINS,
        &format!("    filter_chains:\n    - transport_socket: {socket}\n      filters:\n"),
        1,
    ))
}

async fn send(
    envoy: SocketAddr,
    servers: &Authority,
    client: Option<&Identity>,
    call: Call,
) -> Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(servers.der.clone())?;
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match client {
        Some(Identity { der, key, .. }) => config.with_client_auth_cert(
            vec![der.clone()],
            PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?,
        )?,
        None => config.with_no_client_auth(),
    };
    let stream = TcpStream::connect(envoy).await?;
    let stream =
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, stream).await?;
    Connection::over(stream, envoy, Protocol::Http1).await?.send(call).await
}

#[tokio::test]
async fn a_tenant_is_who_its_certificate_says() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (servers, clients) = (Authority::new("servers")?, Authority::new("clients")?);
    let server = servers.identity("localhost")?;
    fs::write(folder.path().join("server.pem"), &server.pem)?;
    fs::write(folder.path().join("server.key"), server.key.serialize_pem())?;
    fs::write(folder.path().join("clients.pem"), &clients.pem)?;
    let provider = Provider::start(0).await?;
    let sidecar = Sidecar::start(Kind::Real, folder.path()).await?;
    let module = built::filter_module().await?;
    let configuration = Some(configuration(folder.path(), provider.address(), &sidecar, &module)?);
    let options = Options { filter: None, configuration, ..Options::default() };
    let neighbours = Neighbours {
        provider: provider.address(),
        sidecar_grpc: sidecar.grpc(),
        sidecar_http: sidecar.http(),
    };
    let envoy = Envoy::start(&options, neighbours, Path::new(""), folder.path()).await?;
    let (ann, bob) = (clients.identity("ann.example")?, clients.identity("bob.example")?);
    let listener = envoy.listener();

    let call = Call::post("/v1/messages", super::body(400, 7)).header(NAME_HEADER, "ann");
    assert_eq!(send(listener, &servers, Some(&ann), call).await?.status, 200);
    let got = provider.requests("ann");
    let text = String::from_utf8_lossy(&got[0].body).into_owned();
    let hash = text.split_once("hash=").context("something is left out")?.1[..24].to_owned();
    let retrieve = async |client: Option<&Identity>, said: Option<&str>| -> Result<u16> {
        let mut call = Call::get(&format!("/v1/retrieve/{hash}"));
        for name in ["x-headroom-user-id", "x-forwarded-client-cert"] {
            call = said.map_or(call.clone(), |said| call.header(name, said));
        }
        Ok(send(listener, &servers, client, call).await?.status.as_u16())
    };
    until("the copy is there for its tenant", || async {
        (retrieve(Some(&ann), None).await.ok()? == 200).then_some(())
    })
    .await?;
    assert_eq!(
        retrieve(Some(&ann), Some("bob.example")).await?,
        200,
        "what it says of itself does not count"
    );
    for said in [None, Some("ann.example"), Some("By=x;URI=ann.example;DNS=ann.example")] {
        assert_eq!(retrieve(Some(&bob), said).await?, 404, "{said:?}");
    }
    // A certificate with the same name from another authority, and a client without a certificate.
    let forged = Authority::new("clients")?.identity("ann.example")?;
    for nobody in [Some(&forged), None] {
        assert!(retrieve(nobody, Some("ann.example")).await.is_err(), "Envoy lets nobody in");
    }
    Ok(())
}
