"""Checks that the Dockerfile, the compose file, Envoy's production configuration and the manifests fit each
other and the sources: every name, path, port, user and version that one of them takes from another.

    python containers.py [--root DIR]

The Dockerfile is read, not built: that needs a container engine.
"""

import argparse
import ast
import fnmatch
import json
import pathlib
import re
import sys

import compose_spec
import yaml

HERE = pathlib.Path(__file__).resolve().parent


class Sources:
    """The files, and what is read out of them."""

    def __init__(self, root):
        self.root = root
        self.compose_text = self.text("envoy/compose.yaml")
        self.compose = yaml.safe_load(self.compose_text)
        self.envoy = yaml.safe_load(self.text("envoy/production.yaml"))
        self.docker = dockerfile(self.text("control-plane/Dockerfile"))
        self.version = self.found("Cargo.toml", r'(?m)^version = "(.+)"')
        settings = "control-plane/src/settings.rs"
        self.ports = {
            int(self.found(settings, rf'DEFAULT_{name}: &str = "127\.0\.0\.1:(\d+)"')) for name in ("HTTP", "GRPC")
        }

    def text(self, path):
        return (self.root / path).read_text()

    def found(self, path, pattern):
        match = re.search(pattern, self.text(path))
        if not match:
            raise ValueError(f"{path}: nothing matches {pattern}")
        return match.group(1)

    def listener(self):
        return self.envoy["static_resources"]["listeners"][0]

    def manager(self):
        return self.listener()["filter_chains"][0]["filters"][0]["typed_config"]

    def plugin(self):
        named = {entry["name"]: entry["typed_config"] for entry in self.manager()["http_filters"]}
        return named["headroom"]["config"]


def dockerfile(text):
    """The instructions as (name, arguments), comments gone and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def arguments(docker, name):
    return [text for instruction, text in docker if instruction == name]


def compose_faults(sources):
    try:
        compose_spec.PyCompose.from_yaml(sources.compose_text)
    except ValueError as error:
        yield str(error)
        return
    services = sources.compose["services"]
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            if not source.startswith("."):
                continue
            path = (sources.root / "envoy" / source).resolve()
            inside = path.relative_to(sources.root.resolve())
            module = "wasm32-wasip1/wasm/headroom_filter.wasm"
            built = inside == pathlib.Path("target", module) and f"$(target)/{module}" in sources.text("Makefile")
            if not path.is_file() and not built:
                yield f"{name}: {source} is neither a file nor what `make module` builds"
            if target.endswith(".wasm") and target != sources.plugin()["vm_config"]["code"]["local"]["filename"]:
                yield f"{name}: {target} is not where production.yaml looks for the filter"
            if target.endswith(".yaml") and target not in service["command"]:
                yield f"{name}: the command does not name {target}"
        if service.get("read_only") is not True or service.get("cap_drop") != ["ALL"]:
            yield f"{name}: the root file system is to be read-only, and no capability is needed"
    published = {int(port.split(":")[-1]) for port in services["envoy"]["ports"]}
    if published != {sources.listener()["address"]["socket_address"]["port_value"]}:
        yield f"envoy publishes {published}, production.yaml listens elsewhere"
    build = services["headroomd"]["build"]
    if not (sources.root / "envoy" / build["context"] / build["dockerfile"]).is_file():
        yield f"headroomd: {build} is no Dockerfile"
    installed = sources.found("envoy/install.sh", r"(?m)^version=(.+)$")
    if services["envoy"]["image"] != f"envoyproxy/envoy:v{installed}":
        yield f"envoy: {services['envoy']['image']}, but envoy/install.sh has {installed}"


def image_faults(sources):
    base = yaml.safe_load(sources.text("k8s/base/kustomization.yaml"))["images"][0]
    headroomd = f"{base['newName']}:{base['newTag']}"
    if base["newTag"] != sources.version:
        yield f"base: {headroomd}, but the workspace is at {sources.version}"
    if sources.compose["services"]["headroomd"]["image"] != headroomd:
        yield f"compose.yaml: headroomd is not {headroomd}, as in k8s/base"
    if headroomd not in sources.text("control-plane/Dockerfile"):
        yield f"Dockerfile: its first lines do not build {headroomd}"
    expected = f"{base['newName'].rsplit('/', 1)[0]}/filter:{sources.version}"
    found = {}
    for path in sorted((sources.root / "k8s").rglob("*.yaml")):
        for image in re.findall(r"(?:oci://|url: )([\w./-]+/filter:[\w.-]+)", path.read_text()):
            found.setdefault(image, path)
    if not found:
        yield "no manifest names the filter's image"
    for image, path in found.items():
        if image != expected:
            yield f"{path.relative_to(sources.root)}: {image}, expected {expected}"


def docker_faults(sources):
    docker = sources.docker
    channel = sources.found("rust-toolchain.toml", r'channel = "(.+)"')
    build, final = arguments(docker, "FROM")
    if not build.startswith(f"rust:{channel.rsplit('.', 1)[0]}-"):
        yield f"FROM {build}: rust-toolchain.toml says {channel}"
    if f"RUSTUP_TOOLCHAIN={channel}" not in arguments(docker, "ENV"):
        yield f"RUSTUP_TOOLCHAIN is not {channel}"
    if not (build.split()[0].endswith("bookworm") and "debian12" in final and ":nonroot" in final):
        yield f"{build} and {final} are to have the same C library, and the second no root"
    ignored = sources.text(".dockerignore").split()
    if "*" not in ignored:
        yield ".dockerignore does not begin with everything"
    members = ast.literal_eval(re.search(r"members = (\[.*?\])", sources.text("Cargo.toml"), re.S).group(1))
    for needed in ["Cargo.toml", "Cargo.lock", *members]:
        if f"!{needed.split('/')[0]}" not in ignored:
            yield f".dockerignore keeps {needed} out, which the workspace needs"
    for path in ("control-plane/src/main.rs", "filter/compress/build.rs", "control-plane/api/src/headroom.v1.rs"):
        if any(fnmatch.fnmatch(path, pattern) for pattern in ignored if pattern not in ("*",) and pattern[0] != "!"):
            yield f".dockerignore keeps {path} out"
    built = "/out/headroomd"
    copied = [text.split() for text in arguments(docker, "COPY") if text.startswith("--from=build")]
    binary = next((words[-1] for words in copied if words[-2] == built), None)
    if binary is None or built not in " ".join(arguments(docker, "RUN")):
        yield f"{built} is not built and copied"
    [entry], [health] = arguments(docker, "ENTRYPOINT"), arguments(docker, "HEALTHCHECK")
    if json.loads(entry) != [binary]:
        yield f"ENTRYPOINT {entry} is not {binary}"
    if json.loads(health.split("CMD", 1)[1]) != [binary, "healthcheck"]:
        yield f"HEALTHCHECK {health}: expected {binary} healthcheck"
    if not re.search(r"enum Command \{[^}]*\bHealthcheck\b", sources.text("control-plane/src/settings/args.rs")):
        yield "headroomd has no command healthcheck"
    pod = yaml.safe_load(sources.text("k8s/base/deployment.yaml"))["spec"]["template"]["spec"]
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    if arguments(docker, "USER") != [user]:
        yield f"USER {arguments(docker, 'USER')}: the Deployment runs as {user}"
    exposed = {int(port) for port in arguments(docker, "EXPOSE")[0].split()}
    service = yaml.safe_load(sources.text("k8s/base/service.yaml"))["spec"]["ports"]
    container = {port["containerPort"] for port in pod["containers"][0]["ports"]}
    if not exposed == sources.ports == container == {port["port"] for port in service}:
        yield f"ports: headroomd {sources.ports}, EXPOSE {exposed}, Deployment {container}, Service {service}"
    [state] = arguments(docker, "VOLUME")
    if f"HEADROOM_WORKSPACE_DIR={state}" not in " ".join(arguments(docker, "ENV")):
        yield f"VOLUME {state} is not the workspace"
    mounted = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    if state not in mounted or not any(volume.endswith(f":{state}") for volume in
                                       sources.compose["services"]["headroomd"]["volumes"]):
        yield f"{state} is not mounted by the Deployment or by compose.yaml"


def envoy_faults(sources):
    limit = json.loads(sources.plugin()["configuration"]["value"])
    if sources.listener()["per_connection_buffer_limit_bytes"] < 2 * limit["max_body_bytes"]:
        yield "production.yaml: the buffer is shorter than twice max_body_bytes"
    yield from admin_faults(sources)
    clusters = {cluster["name"]: cluster for cluster in sources.envoy["static_resources"]["clusters"]}
    if limit["control_plane"]["cluster"] not in clusters:
        yield "production.yaml: the filter's cluster does not exist"

    def address(cluster):
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        return endpoint["address"]["socket_address"]

    sidecar = address(clusters["headroom"])
    if sidecar["port_value"] not in sources.ports or sidecar["address"] != "127.0.0.1":
        yield f"production.yaml: headroomd is looked for at {sidecar}"
    routed = set()
    for route in sources.manager()["route_config"]["virtual_hosts"][0]["routes"]:
        if "route" in route:
            name = route["route"]["cluster"]
            routed.add(name)
            host = address(clusters[name])["address"]
            if route["route"]["host_rewrite_literal"] != host:
                yield f"production.yaml: {name} is at {host}, the route says {route['route']['host_rewrite_literal']}"
    for name in routed:
        host = address(clusters[name])
        tls = clusters[name].get("transport_socket", {}).get("typed_config", {})
        if tls.get("sni") != host["address"] or not tls.get("auto_sni_san_validation") or host["port_value"] != 443:
            yield f"production.yaml: {name} has no validated TLS to {host}"
    if routed != set(clusters) - {"headroom", "admin"}:
        yield f"production.yaml: routes lead to {routed}, clusters are {set(clusters)}"


def admin_faults(sources):
    """The admin interface is a socket for its owner alone, in a folder that the container has; what a port gives of
    it are two pages, to read."""
    for name in ("production.yaml", "bedrock.yaml"):
        pipe = yaml.safe_load(sources.text(f"envoy/{name}"))["admin"]["address"].get("pipe", {})
        if pipe.get("mode") != 0o600:
            yield f"{name}: the admin interface is not a socket with mode 0600: {pipe}"
    folder = str(pathlib.PurePosixPath(sources.envoy["admin"]["address"]["pipe"]["path"]).parent)
    envoy = sources.compose["services"]["envoy"]
    [uid, gid] = envoy["user"].split(":")
    if f"{folder}:uid={uid},gid={gid},mode=0700" not in envoy.get("tmpfs", []):
        yield f"compose.yaml: {folder}, for the admin interface's socket, is not a tmpfs of the user's own with mode 0700"
    for listener in sources.envoy["static_resources"]["listeners"]:
        routes = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
        for route in routes:
            match = route["match"]
            reads = [{"name": ":method", "string_match": {"exact": "GET"}}]
            shown = match.get("path") in ("/stats/prometheus", "/ready") and match.get("headers") == reads
            if route.get("route", {}).get("cluster") == "admin" and not shown:
                yield f"production.yaml: {listener['name']} gives {match} of the admin interface"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--root", type=pathlib.Path, default=HERE.parent.parent)
    sources = Sources(options.parse_args().root)
    faults = [
        fault
        for check in (compose_faults, image_faults, docker_faults, envoy_faults)
        for fault in check(sources)
    ]
    for fault in faults:
        print(f"containers: {fault}")
    print(f"Dockerfile, compose.yaml, production.yaml: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
