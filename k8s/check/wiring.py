"""What no schema sees: that the manifests of one rendering fit each other.

A selector that matches nothing, or everything, is valid YAML for a valid object that does nothing, or too much.
"""


def selects(selector, labels):
    """Whether the labels satisfy a selector's matchLabels; matchExpressions are not used here."""
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())


def pods(documents):
    """The labels of each workload's pods, by namespace."""
    found = {}
    for document in documents:
        template = document.get("spec", {}).get("template") if document["kind"] == "Deployment" else None
        if template:
            found.setdefault(document["metadata"].get("namespace"), []).append(template["metadata"]["labels"])
    return found


def selector_faults(documents):
    workloads = pods(documents)
    for document in documents:
        kind, spec = document["kind"], document.get("spec", {})
        if kind == "Service":
            selector = {"matchLabels": spec.get("selector", {})}
        elif kind in ("PodDisruptionBudget", "Deployment"):
            selector = spec.get("selector", {})
        elif kind == "NetworkPolicy":
            selector = spec["podSelector"]
        else:
            continue
        namespace = document["metadata"].get("namespace")
        name = f"{kind} {document['metadata']['name']}"
        if not selector.get("matchLabels"):
            yield f"{name}: selects every pod of the namespace, or none"
        elif not any(selects(selector, labels) for labels in workloads.get(namespace, [])):
            yield f"{name}: selects no pod"
        if kind == "NetworkPolicy":
            yield from peer_faults(name, spec, workloads.get(namespace, []))


def peer_faults(name, spec, own):
    """Labels of the policy's own pods in a rule about another namespace's."""
    labels = {item for pod in own for item in pod.items()}
    rules = [peer for rule in spec.get("egress", []) for peer in rule.get("to", [])]
    rules += [peer for rule in spec.get("ingress", []) for peer in rule.get("from", [])]
    for peer in rules:
        asked = peer.get("podSelector", {}).get("matchLabels", {})
        if "namespaceSelector" in peer and labels & set(asked.items()):
            yield f"{name}: asks pods of another namespace for labels that only its own have: {asked}"


def plugins(node):
    """Every configuration of the filter in a document."""
    if isinstance(node, dict):
        if "control_plane" in node:
            yield node
        for child in node.values():
            yield from plugins(child)
    elif isinstance(node, list):
        for child in node:
            yield from plugins(child)


def rewrite_faults(documents):
    """The filter goes on with an answer by a request to the cluster, past the routes: it has to know what they
    rewrite."""
    for plugin in (plugin for document in documents for plugin in plugins(document)):
        told = {provider["authority"]: provider["cluster"] for provider in plugin.get("providers", [])}
        for route in (document for document in documents if document["kind"] == "HTTPRoute"):
            for rule in route["spec"]["rules"]:
                for part in rule.get("filters", []):
                    host = part.get("urlRewrite", {}).get("hostname")
                    if plugin.get("reversible") and host and host not in told:
                        yield f"HTTPRoute {route['metadata']['name']}: the filter does not know of {host}"


def faults(documents):
    yield from selector_faults(documents)
    yield from rewrite_faults(documents)
