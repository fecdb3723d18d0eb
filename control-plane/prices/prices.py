#!/usr/bin/env python3
"""Writes builtin.rs from the price table that the PyPI package litellm carries (MIT licence).

    pip download --no-deps litellm==1.110.2 --dest /tmp
    python3 control-plane/prices/prices.py /tmp/litellm-1.110.2-*.whl
    python3 control-plane/prices/prices.py --check /tmp/litellm-1.110.2-*.whl

Only the file of figures is read; nothing of the package runs. A newer version is pinned below, with its day.
"""

import argparse
import hashlib
import json
import math
import re
import sys
import tomllib
import zipfile
from pathlib import Path

VERSION = "1.110.2"
# The day on which this version was compared with the previous table.
CHECKED = "2026-11-29"
MEMBER = "litellm/model_prices_and_context_window_backup.json"
SHA256 = "8943af58bf9f979c6a4bef815687117ffa341e462a41faed9be17b5c33d3dcc2"

HERE = Path(__file__).resolve().parent
OUT = HERE / "src/builtin.rs"
OVERRIDES = HERE / "overrides.toml"
PROVIDERS = HERE.parents[1] / "envoy/providers.toml"

# Rows of providers.toml whose names are not LiteLLM's.
LITELLM = {
    "azure_openai": ["azure"],
    "vertex_ai": ["vertex_ai"],
    "bedrock": ["bedrock", "bedrock_converse", "bedrock_mantle"],
    "workers_ai": ["cloudflare"],
    "featherless": ["featherless_ai"],
    "fireworks": ["fireworks_ai"],
    "together": ["together_ai"],
    "codestral": ["codestral"],
}
# Providers whose prices apply to a name on any host: the makers of the models, and then those with unique
# names. An open model may run anywhere, so its name alone has no price.
EVERYWHERE = ["anthropic", "openai", "gemini", "deepseek", "xai", "mistral", "moonshot", "zai", "minimax", "bedrock"]
OPEN_WEIGHTS = re.compile(r"\d+b(?![a-z0-9])")
# Bedrock's names contain the model's maker, and those of inference profiles also the region.
BEDROCK = re.compile(r"[a-z-]*\.?[a-z0-9]+\.[a-z]")
REGIONS = re.compile(r"^(us|eu|apac|jp|au|ca|global|us-gov)\.")
# Names of AWS's own offers at Bedrock have a region, a commitment or a size in their path.
IN_A_REGION = re.compile(r"^(bedrock|azure)/([a-z-]+-\d+|us|eu|global|global-standard|us-gov[a-z0-9-]*)/|/\d+-month-commitment/")
MODES = {"chat", "responses"}


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("source", type=Path, help="the wheel, or the JSON file in it")
    options.add_argument("--check", action="store_true", help="write nothing, fail where builtin.rs is another")
    arguments = options.parse_args()
    text = render(table(json.loads(read(arguments.source))))
    if not arguments.check:
        OUT.write_text(text)
    elif OUT.read_text() != text:
        sys.exit(f"{OUT} is not what {Path(__file__).name} makes of LiteLLM {VERSION}")


def read(source):
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            data = wheel.read(MEMBER)
    else:
        data = source.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        sys.exit(f"{source}: expected the figures of LiteLLM {VERSION} ({SHA256}), found {found}")
    return data


# From LiteLLM's rows to ours


def table(litellm):
    """Rows by (label, name); the label "" holds wherever the request goes."""
    overrides = tomllib.loads(OVERRIDES.read_text())
    offers = {}
    for label, sources in providers():
        for key, model in litellm.items():
            source = model.get("litellm_provider", "").split("-", 1)[0] if label == "vertex" else model.get("litellm_provider")
            if source in sources and model.get("mode") in MODES and not IN_A_REGION.search(key):
                figures = figures_of(model, "claude" in key)
                if figures:
                    offers.setdefault(label, {}).setdefault(bare(key), figures)
    rows = Rows()
    for label in EVERYWHERE:
        names = offers.get(label, {})
        own = BEDROCK.match if label == "bedrock" else lambda name: not OPEN_WEIGHTS.search(name)
        rows.add("", {name: figures for name, figures in names.items() if own(name)})
    for name, override in overrides.items():
        rows.put(("", name), override_figures(override))
    for label, names in sorted(offers.items()):
        rows.add(label, names)
    return rows.rows


def providers():
    """The label that records have, and LiteLLM's names of the same."""
    for name, row in tomllib.loads(PROVIDERS.read_text()).items():
        yield row.get("label", name), LITELLM.get(name, [name, *row.get("also", [])])


def bare(key):
    """The name as a client sends it: without the provider and folders before it."""
    return key.lower().rsplit("/", 1)[-1]


def figures_of(model, is_claude):
    """Context, five prices in USD per million tokens, and the steps; None where LiteLLM has no price."""
    tiers = model.get("tiered_pricing")
    first = tiers[0] if tiers else model
    price = lambda name, of=first: of.get(name) or None
    plain, output = price("input_cost_per_token"), price("output_cost_per_token")
    if not plain or not output:
        return None
    read = price("cache_read_input_token_cost") or plain
    # Zero means that writing costs nothing more than the input; a lower price is the price of reading.
    write = max(price("cache_creation_input_token_cost") or plain, plain)
    # Anthropic's rule, if LiteLLM leaves it out.
    twice = 2 * plain if is_claude and math.isclose(write, 1.25 * plain) else write
    hour = price("cache_creation_input_token_cost_above_1hr") or twice
    prices = [round(it * 1e6, 6) for it in (plain, min(read, plain), write, hour, output)]
    return int(model.get("max_input_tokens") or 0), prices, steps_of(model, tiers, plain, output)


def steps_of(model, tiers, plain, output):
    """Beyond so many tokens all of a request costs so many times as much: input, then output."""
    if tiers:
        found = [(int(it["range"][0]), it["input_cost_per_token"], it["output_cost_per_token"]) for it in tiers[1:]]
    else:
        found = []
        for name, cost in model.items():
            above = re.fullmatch(r"input_cost_per_token_above_(\d+)k_tokens", name)
            if above:
                dear = model.get(f"output_cost_per_token_above_{above[1]}k_tokens", output)
                found.append((int(above[1]) * 1000, cost, dear))
    return [(above, round(i / plain, 4), round(o / output, 4)) for above, i, o in sorted(found)]


def override_figures(row):
    steps = [tuple(step) for step in row.get("steps", [])]
    prices = [float(row[it]) for it in ("input", "cached_read", "cached_write", "cached_write_1h", "output")]
    return row["context"], prices, steps


class Rows:
    """The smallest table that finds what it is given, as models.rs looks names up."""

    def __init__(self):
        self.rows = {}

    def add(self, label, names):
        families = {}
        for name, figures in names.items():
            families.setdefault(family(name), []).append(figures)
        offers = dict(names)
        for name, all_figures in families.items():
            if name not in names and all(it[1:] == all_figures[0][1:] for it in all_figures):
                offers[name] = all_figures[0]
        for name in sorted(offers, key=lambda name: (len(name), name)):
            # A context of an earlier release may be shorter; it does not need a row.
            found = self.find(label, name)
            if found is None or found[1:] != offers[name][1:]:
                if label or ("", name) not in self.rows:
                    self.put((label, name), offers[name])

    def put(self, key, figures):
        self.rows[key] = figures

    def find(self, label, name):
        """What a lookup gives, where it is of the model itself and of none that it resembles."""
        found = (self.longest(label, candidate) for candidate in candidates(name))
        return next((self.rows[key] for key, rest in found if key and is_release(rest)), None)

    def longest(self, label, name):
        for end in range(len(name), 0, -1):
            for key in [(label, name[:end]), ("", name[:end])]:
                if key in self.rows:
                    return key, name[end:]
        return None, name


def candidates(name):
    without_region = REGIONS.sub("", name)
    return dict.fromkeys([name, without_region, name.split("anthropic.", 1)[-1]])


def is_release(rest):
    return rest == "" or re.match(r"[-@:](\d{4}|latest|preview|v1)", rest) is not None


def family(name):
    """A name without the part that says which release of it; with it, where nothing else tells models apart."""
    cut = re.search(r"[-@](\d{4,}|latest|preview|v1).*$", name)
    return name[: cut.start()] if cut and re.search(r"\d", name[: cut.start()]) else name


# Rust


def render(rows):
    lines = [
        "//! The built-in table of context limits and list prices.",
        "//!",
        f"//! Made by prices.py from the table of LiteLLM {VERSION} (MIT licence) and from overrides.toml: change those.",
        "//! USD per million tokens at the standard tier, for chat models of the providers in envoy/providers.toml.",
        "",
        '#![allow(clippy::approx_constant, reason = "a price is not a part of pi")]',
        "",
        "use super::{Row, row};",
        "",
        "/// When the table was last checked: ISO 8601.",
        f'pub(super) const CHECKED: &str = "{CHECKED}T00:00:00Z";',
        "",
    ]
    kinds = sorted({tuple(steps) for _, _, steps in rows.values() if steps})
    names = {kind: f"S{n}" for n, kind in enumerate(kinds)}
    for kind, name in names.items():
        steps = ", ".join(f"({above:_}, {number(i)}, {number(o)})" for above, i, o in kind)
        lines.append(f"const {name}: &[(u64, f64, f64)] = &[{steps}];")
    lines += [
        "",
        "/// Sorted by provider and name. Input, read from the cache, written for five minutes and for an hour, output.",
        "#[rustfmt::skip]",
        "pub(super) const TABLE: &[Row] = &[",
    ]
    for (label, name), (context, prices, steps) in sorted(rows.items()):
        kind = names[tuple(steps)] if steps else "&[]"
        figures = ", ".join(map(number, prices))
        lines.append(f"    row({json.dumps(label)}, {json.dumps(name)}, {context:_}, [{figures}], {kind}),")
    return "\n".join([*lines, "];", ""])


def number(value):
    text = f"{value:.6f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


if __name__ == "__main__":
    main()
