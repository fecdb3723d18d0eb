//! Where a request goes: the cluster of its route, and the host that it is sent to.

use crate::host;

/// Properties that name the cluster, the first that the host knows counts.
const CLUSTER: [&str; 2] = ["xds\0cluster_name", "cluster_name"];

/// Envoy's name of the cluster. It is known from the request's headers on.
pub(crate) fn cluster() -> host::Result<Vec<u8>> {
    let [newer, older] = CLUSTER;
    host::property(newer).or_else(|_| host::property(older))
}

/// The address at the other end of the provider's connection; `None`: the host does not say.
pub(crate) fn address() -> Option<String> {
    let address = host::property("upstream\0address").ok().filter(|address| !address.is_empty())?;
    Some(String::from_utf8_lossy(&address).into_owned())
}
