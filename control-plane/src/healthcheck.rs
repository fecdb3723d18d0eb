//! `headroomd healthcheck`: asks the sidecar of this machine whether it is ready. An image without a shell
//! has no other program for this.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use headroom_retry::Retry;

use crate::settings::Bind;

/// Longer than `/readyz` waits for its store; a container engine's own limit is 30 seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns an error with the reason if the sidecar is not ready.
pub async fn healthcheck(http: &Bind) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    let (client, authority) = match http {
        Bind::Tcp(address) => (client, reachable(*address).to_string()),
        Bind::Unix(path) => (client.unix_socket(path.as_path()), "localhost".to_owned()),
    };
    let request = client.build()?.get(format!("http://{authority}/readyz"));
    let answer = Retry::NEAR
        .send(request)
        .await
        .map_err(reqwest::Error::without_url)
        .with_context(|| format!("nothing answers at {http}"))?;
    let status = answer.status();
    if !status.is_success() {
        bail!("{http} is not ready: {status}: {}", answer.text().await.unwrap_or_default());
    }
    Ok(())
}

/// Replaces an unspecified address (0.0.0.0) with one that can be called.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_called_on_loopback() {
        let called = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(called("0.0.0.0:8788"), "127.0.0.1:8788");
        assert_eq!(called("[::]:8788"), "[::1]:8788");
        assert_eq!(called("10.1.2.3:80"), "10.1.2.3:80");
    }
}
