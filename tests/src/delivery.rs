//! The filter as a control plane delivers it: by ECDS, as a resource that may be replaced while Envoy runs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use headroomctl::bootstrap::{Bootstrap, Endpoint, Providers};
use serde_json::{Value, json};

use crate::sidecar::Sidecar;

/// istiod names the resource after the WasmPlugin and its namespace.
pub const RESOURCE: &str = "extensions.istio.io/wasmplugin/istio-system.headroom";
/// Istio's name of the cluster for a Service's port.
pub const CLUSTER: &str = "outbound|8789||headroomd.headroom.svc.cluster.local";

/// A bootstrap with the filter that [`deliver`] puts into `folder`.
pub fn bootstrap(provider: SocketAddr, sidecar: &Sidecar, folder: &Path) -> Result<String> {
    let mut bootstrap = Bootstrap::new(Providers::all(format!("http://{provider}").parse()?));
    bootstrap.listen = Endpoint::loopback(0);
    bootstrap.admin = folder.join("admin.sock");
    bootstrap.sidecar_http = Endpoint::loopback(sidecar.http().port());
    bootstrap.http_filters = vec![json!({
        "name": RESOURCE,
        "config_discovery": {
            "config_source": {
                "path_config_source": {"path": folder.join("ecds.json"), "watched_directory": {"path": folder}},
                "resource_api_version": "V3",
                // The listener waits for the filter, as in a sidecar that starts.
                "initial_fetch_timeout": "0s",
            },
            "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
        },
    })];
    let protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let address = json!({"address": "127.0.0.1", "port_value": sidecar.grpc().port()});
    let cluster = json!({
        "name": CLUSTER,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": address}}}]}],
        },
        "typed_extension_protocol_options": {protocol: {
            "@type": format!("type.googleapis.com/{protocol}"),
            "explicit_http_config": {"http2_protocol_options": {}},
        }},
    });
    bootstrap.clusters.insert("headroom".to_owned(), cluster);
    Ok(bootstrap.render()?)
}

/// WasmPlugin's `pluginConfig` arrives as JSON text.
pub fn as_text(config: &Value) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()})
}

/// The resource that istiod sends once the agent has replaced the image by a local file.
pub fn resource(version: u32, module: &Path, configuration: &Value) -> Value {
    json!({
        "version_info": version.to_string(),
        "resources": [{
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": RESOURCE,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": {
                    "name": RESOURCE,
                    "root_id": "headroom",
                    "failure_policy": "FAIL_RELOAD",
                    "vm_config": {
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": {"local": {"filename": module}},
                        "environment_variables": {
                            "key_values": {"ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION": version.to_string()},
                        },
                    },
                    "configuration": configuration,
                },
            },
        }],
    })
}

/// Delivers the resource in one step: Envoy watches for files that are moved into the folder.
pub fn deliver(folder: &Path, resource: &Value) -> Result<()> {
    let new = folder.join("ecds.new");
    fs::write(&new, resource.to_string())?;
    Ok(fs::rename(new, folder.join("ecds.json"))?)
}
