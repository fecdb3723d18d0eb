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

/// Host and path of a request that has left, without the query: as the route has rewritten them. `None`: the host does
/// not say.
pub(crate) fn address() -> Option<String> {
    let [upstream, path] =
        ["request\0host", "request\0url_path"].map(|property| host::property(property).ok());
    let (upstream, path) = (upstream.filter(|host| !host.is_empty())?, path?);
    Some(name(&String::from_utf8_lossy(&[upstream, path].concat())))
}
