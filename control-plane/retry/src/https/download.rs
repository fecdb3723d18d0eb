//! Large files from the internet, to the disk.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::LOCATION;
use hyper::{Request, Response, StatusCode};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use url::{Host, Url};

/// Redirections that are followed: a hub sends to its storage, and storage to a nearer one.
const MAX_REDIRECTIONS: usize = 5;
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(60);

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// Not a URL that is asked for files.
    #[error("expected https://…, or http://… on this machine, found {0:?}")]
    Url(String),
    /// No certificate of an authority could be found.
    #[error("the system's certificates cannot be read: {0}")]
    Certificates(io::Error),
    /// There is no connection.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// What happened.
        why: String,
    },
    /// Another status than 200.
    #[error("{host} answered {status}")]
    Refused {
        /// Who was asked.
        host: String,
        /// The status.
        status: StatusCode,
    },
    /// It was sent on and on.
    #[error("it was redirected more than {MAX_REDIRECTIONS} times")]
    Redirections,
    /// It did not come whole.
    #[error("it broke off after {0} bytes")]
    Broken(u64),
    /// It is larger than it may be.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// It cannot be written.
    #[error("{}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Downloads a file, of at most so many bytes. It appears under its name once it is whole; `progress` is called with the
/// number of bytes so far.
pub async fn to_file(
    url: &str,
    path: &Path,
    most: u64,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), DownloadError> {
    let part = path.with_extension("part");
    let written = |error| DownloadError::Write { path: part.clone(), error };
    let response = get(url).await?;
    let expected = response.headers().get(hyper::header::CONTENT_LENGTH);
    let expected: Option<u64> = expected.and_then(|length| length.to_str().ok()?.parse().ok());
    if expected.is_some_and(|length| length > most) {
        return Err(DownloadError::TooLarge(most));
    }
    let mut file = File::create(&part).map_err(written)?;
    let (mut body, mut length) = (response.into_body(), 0_u64);
    loop {
        let broken = |_| DownloadError::Broken(length);
        let frame = tokio::time::timeout(SILENCE, body.frame()).await.map_err(broken)?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| DownloadError::Broken(length))?.into_data() else { continue };
        length += data.len() as u64;
        if length > most {
            return Err(DownloadError::TooLarge(most));
        }
        file.write_all(&data).map_err(written)?;
        progress(length);
    }
    if expected.is_some_and(|expected| expected != length) {
        return Err(DownloadError::Broken(length));
    }
    file.sync_all().map_err(written)?;
    std::fs::rename(&part, path).map_err(written)
}

async fn get(url: &str) -> Result<Response<hyper::body::Incoming>, DownloadError> {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(DownloadError::Certificates)?
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let mut url = checked(url)?;
    for _ in 0..=MAX_REDIRECTIONS {
        let host = url.host_str().unwrap_or_default().to_owned();
        let unreachable = |why: String| DownloadError::Unreachable { host: host.clone(), why };
        let request = Request::get(url.as_str())
            .header(hyper::header::USER_AGENT, concat!("headroom/", env!("CARGO_PKG_VERSION")))
            .body(Full::default())
            .map_err(|error| unreachable(error.to_string()))?;
        let answer = tokio::time::timeout(SILENCE, client.request(request)).await;
        let answer = answer.map_err(|_| unreachable(format!("no answer within {} s", SILENCE.as_secs())))?;
        let answer = answer.map_err(|error| {
            // what is behind it says more than "client error (Connect)"
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            unreachable(cause.to_string())
        })?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        match location {
            Some(location) if status.is_redirection() => {
                let next = url.join(location).map_err(|_| DownloadError::Url(location.to_owned()))?;
                url = checked(next.as_str())?;
            }
            _ => return Err(DownloadError::Refused { host, status }),
        }
    }
    Err(DownloadError::Redirections)
}

/// Plain HTTP is for this machine alone: what comes is run.
fn checked(url: &str) -> Result<Url, DownloadError> {
    let parsed = Url::parse(url).map_err(|_| DownloadError::Url(url.to_owned()))?;
    let local = match parsed.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if parsed.scheme() == "https" || (parsed.scheme() == "http" && local) {
        return Ok(parsed);
    }
    Err(DownloadError::Url(url.to_owned()))
}
