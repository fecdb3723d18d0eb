//! Where a request goes: the cluster of its route.

use crate::host;

/// Properties that name the cluster, the first that the host knows counts.
const CLUSTER: [&str; 2] = ["xds\0cluster_name", "cluster_name"];

/// Envoy's name of the cluster. It is known from the request's headers on.
pub(crate) fn cluster() -> host::Result<Vec<u8>> {
    let [newer, older] = CLUSTER;
    host::property(newer).or_else(|_| host::property(older))
}
