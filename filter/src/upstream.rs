//! Where a request goes: the cluster of its route, and the host behind it.

use crate::host;

/// Properties that name the cluster; the first one that the host knows is used.
const CLUSTER: [&str; 2] = ["xds\0cluster_name", "cluster_name"];

/// Envoy's name of the cluster. It is known as soon as the request's headers are.
pub(crate) fn cluster() -> host::Result<Vec<u8>> {
    let [newer, older] = CLUSTER;
    host::property(newer).or_else(|_| host::property(older))
}

/// The address at the other end of the provider's connection; `None`: the host does not know it.
pub(crate) fn address() -> Option<String> {
    let address = host::property("upstream\0address").ok().filter(|address| !address.is_empty())?;
    Some(String::from_utf8_lossy(&address).into_owned())
}
