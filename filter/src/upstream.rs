//! Where a request goes: the cluster of its route, and the host that it is sent to.

use crate::host;
use crate::name::name;

/// Properties that name the cluster, the first that the host knows counts.
const CLUSTER: [&str; 2] = ["xds\0cluster_name", "cluster_name"];

/// Envoy's name of the cluster. It is known from the request's headers on.
pub(crate) fn cluster() -> host::Result<Vec<u8>> {
    let [newer, older] = CLUSTER;
    host::property(newer).or_else(|_| host::property(older))
}

/// Host and path of a request that has left, without the query: as the route has rewritten them. Where it still has
/// the host that the client has asked for (`asked`: host and path), that of the connection. `None`: the host does not say.
pub(crate) fn address(asked: &str) -> Option<String> {
    let property = |path| host::property(path).ok().filter(|value| !value.is_empty());
    let (host, path) = (property("request\0host")?, property("request\0url_path")?);
    let is_asked = !host.is_empty() && asked.as_bytes().starts_with(&host);
    let host = if is_asked { property("upstream\0address").unwrap_or(host) } else { host };
    Some(name(&String::from_utf8_lossy(&[host, path].concat())))
}
