"""Checks every overlay offline: renders it with kubectl's kustomize, then holds each manifest against
the schema of its kind, strictly: an unknown field is an error.

    python manifests.py --kubectl KUBECTL [--k8s DIR] [--envoy ENVOY --module MODULE]

Every component is rendered too, on top of the base where no overlay uses it. wiring.py says what is checked across
the manifests of one rendering.

With --envoy the parts of EnvoyFilters that end up in Envoy's configuration are rendered into a whole
bootstrap, which the real binary validates.
"""

import argparse
import copy
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import jsonschema
import kubernetes_validate
import wiring
import yaml

# The oldest and the newest Kubernetes that the base is meant for.
KUBERNETES = ("1.31", "1.35")
HERE = pathlib.Path(__file__).resolve().parent


def closed(schema):
    """The schema with every object closed that does not say it is open: the API server prunes unknown
    fields without a word, and a misspelt field is then a setting that does not exist."""
    schema = copy.deepcopy(schema)

    def close(node):
        if not isinstance(node, dict):
            return
        if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
            node.setdefault("additionalProperties", False)
        for child in node.get("properties", {}).values():
            close(child)
        for key in ("items", "additionalProperties"):
            close(node.get(key))

    schema.setdefault("properties", {}).update(
        apiVersion={"type": "string"}, kind={"type": "string"}, metadata={"type": "object"}
    )
    close(schema)
    schema["properties"]["metadata"] = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "namespace": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "additionalProperties": False,
    }
    return schema


def load_schemas():
    schemas = {}
    for path in sorted((HERE / "schemas").glob("*.json")):
        entry = json.loads(path.read_text())
        schemas[f"{entry['group']}/{entry['version']}", entry["kind"]] = closed(entry["schema"])
    return schemas


def render(kubectl, directory):
    run = subprocess.run([kubectl, "kustomize", directory], capture_output=True, text=True)
    if run.returncode != 0:
        raise ValueError(f"kustomize: {run.stderr.strip()}")
    return [document for document in yaml.safe_load_all(run.stdout) if document]


def unused(k8s):
    """The components that no overlay uses."""
    used = set()
    for path in (k8s / "overlays").rglob("kustomization.yaml"):
        for component in yaml.safe_load(path.read_text()).get("components", []):
            used.add((path.parent / component).resolve())
    return [path for path in sorted((k8s / "components").iterdir()) if path.resolve() not in used]


def render_on_base(kubectl, k8s, component):
    with tempfile.TemporaryDirectory() as directory:
        here = pathlib.Path(directory).resolve()
        kustomization = {
            "resources": [os.path.relpath((k8s / "base").resolve(), here)],
            "components": [os.path.relpath(component.resolve(), here)],
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return render(kubectl, here)


def faults(document, schemas):
    """What is wrong with one manifest, a sentence each."""
    schema = schemas.get((document["apiVersion"], document["kind"]))
    if schema is not None:
        for error in jsonschema.Draft7Validator(schema).iter_errors(document):
            yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        return
    if "." in document["apiVersion"] and not document["apiVersion"].split("/")[0].endswith(".k8s.io"):
        yield "no schema for this kind is kept under check/schemas"
        return
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message[:300]}"


def bootstrap(patches, module):
    """A whole bootstrap around the fragments of EnvoyFilters, as istiod would place them."""
    extension, http_filters, listener = None, [], {}
    for patch in patches:
        value = patch["patch"]["value"]
        if patch["applyTo"] == "EXTENSION_CONFIG":
            extension = copy.deepcopy(value)
            # The agent replaces the download with the fetched file.
            extension["typed_config"]["config"]["vm_config"]["code"] = {"local": {"filename": module}}
        elif patch["applyTo"] == "HTTP_FILTER":
            http_filters.append(value)
        elif patch["applyTo"] == "LISTENER":
            listener.update(value)
        else:
            raise ValueError(f"no rule for {patch['applyTo']}")
    for http_filter in http_filters:
        if "config_discovery" in http_filter and http_filter["name"] != (extension or {}).get("name"):
            raise ValueError(f"{http_filter['name']}: discovered, but no EXTENSION_CONFIG has this name")
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "check",
        "http_filters": ([extension] if extension else []) + http_filters + [router],
        "route_config": {"name": "check", "virtual_hosts": []},
    }
    if extension and http_filters:
        # the same name twice: as the resource that ECDS would deliver, and as the reference to it
        manager["http_filters"][0] = dict(extension, name="delivered")
    return {
        "node": {"id": "check", "cluster": "check"},
        "dynamic_resources": {
            "ads_config": {"api_type": "GRPC", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]}
        },
        "static_resources": {
            "clusters": [{"name": "xds", "type": "STATIC", "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}}}}}],
            "listeners": [dict(listener, name="check",
                               address={"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                               filter_chains=[{"filters": [{"name": "http", "typed_config": manager}]}])],
        },
    }


def validate_envoy(envoy, config):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        run = subprocess.run(
            [envoy, "--mode", "validate", "-c", file.name], capture_output=True, text=True, timeout=120
        )
    return None if run.returncode == 0 else (run.stderr or run.stdout).strip()[-600:]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kubectl", default="kubectl")
    arguments.add_argument("--k8s", type=pathlib.Path, default=HERE.parent)
    arguments.add_argument("--envoy")
    arguments.add_argument("--module")
    options = arguments.parse_args()

    schemas = load_schemas()
    wrong = manifests = bootstraps = 0
    components = unused(options.k8s)
    directories = [options.k8s / "base", *sorted((options.k8s / "overlays").iterdir()), *components]
    for directory in directories:
        try:
            if directory in components:
                documents = render_on_base(options.kubectl, options.k8s, directory)
            else:
                documents = render(options.kubectl, directory)
        except ValueError as error:
            print(f"{directory.name}: {error}")
            wrong += 1
            continue
        for document in documents:
            manifests += 1
            for fault in faults(document, schemas):
                print(f"{directory.name}: {document['kind']} {document['metadata'].get('name')}: {fault}")
                wrong += 1
        for fault in wiring.faults(documents):
            print(f"{directory.name}: {fault}")
            wrong += 1
        patches = [
            patch
            for document in documents
            if document["kind"] == "EnvoyFilter"
            for patch in document["spec"]["configPatches"]
        ]
        if options.envoy and patches:
            bootstraps += 1
            refused = validate_envoy(options.envoy, bootstrap(patches, options.module))
            if refused:
                print(f"{directory.name}: Envoy refuses the EnvoyFilters: {refused}")
                wrong += 1
    if not options.envoy:
        print("SKIPPED: EnvoyFilters were not run through Envoy (no --envoy)")
    print(f"{len(directories)} folders, {manifests} manifests, {bootstraps} bootstraps: {wrong} faults")
    return 1 if wrong or not manifests else 0


if __name__ == "__main__":
    sys.exit(main())
