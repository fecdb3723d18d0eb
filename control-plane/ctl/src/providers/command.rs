//! `headroomctl providers`: the table, for people, and parts of configurations for other Envoys.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};

use anyhow::{Context as _, ensure};
use clap::Args;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment as Templates, UndefinedBehavior};
use serde::Serialize;

use super::{Row, ServedProvider, Table, table};
use crate::environment::Environment;
use crate::figures;
use crate::misuse::Misuse;

const KUBERNETES: &str = include_str!("../../../../k8s/components/providers/provider.yaml.j2");
const PRODUCTION: &str = include_str!("../../../../envoy/provider.yaml.j2");

/// Lists the providers that Headroom knows by name.
#[derive(Args, Clone, Debug, Default)]
pub struct ProvidersArgs {
    /// Only these
    pub names: Vec<String>,
    /// Print their ServiceEntries and DestinationRules for Istio, as in k8s/components/providers
    #[arg(long, conflicts_with = "envoy")]
    pub kubernetes: bool,
    /// Print their routes, clusters and plugin configuration for an Envoy of your own, as in envoy/production.yaml
    #[arg(long)]
    pub envoy: bool,
}

/// Prints them.
pub fn providers(args: &ProvidersArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let table = table(env).map_err(|error| Misuse::of(error.into()))?;
    let text = if args.kubernetes || args.envoy {
        let names = args.names.iter();
        let served =
            names.map(|name| ServedProvider::asked(name, &table, env)).collect::<anyhow::Result<Vec<_>>>();
        let served = served.map_err(Misuse::of)?;
        ensure!(
            !served.is_empty(),
            Misuse::of(anyhow::anyhow!("name a provider: `headroomctl providers` lists them"))
        );
        if args.kubernetes { kubernetes(&served)? } else { production(&served)? }
    } else {
        list(&args.names, &table)?
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

fn list(names: &[String], table: &Table) -> anyhow::Result<String> {
    let rows: Vec<(&str, &Row)> = if names.is_empty() {
        table.rows().collect()
    } else {
        let found =
            |name: &String| table.find(name).with_context(|| format!("{name:?} is not a known provider"));
        names.iter().map(found).collect::<anyhow::Result<_>>().map_err(Misuse::of)?
    };
    let mut shown = figures::table(&["name", "formats", "key", "base URL"], 4);
    for (name, row) in rows {
        let mut formats: Vec<&str> = row.formats().iter().map(|format| format.name()).collect();
        if row.messages.is_some() && !formats.contains(&"messages") {
            formats.push("messages");
        }
        let key = row.key_variable(name).unwrap_or_else(|| "none".to_owned());
        shown.add_row([name, &formats.join(" "), &key, row.base.as_deref().unwrap_or_default()]);
    }
    let mut text = shown.to_string();
    writeln!(text)?;
    Ok(text)
}

#[derive(Serialize)]
struct Piece<'s> {
    name: &'s str,
    resource: String,
    label: &'s str,
    cluster: String,
    host: &'s str,
    authority: String,
    port: u16,
    tls: bool,
    rewrites: &'s [super::Rewrite],
}

#[derive(Serialize)]
struct Pieces<'s> {
    providers: Vec<Piece<'s>>,
}

fn render(name: &str, template: &str, served: &[ServedProvider]) -> anyhow::Result<String> {
    let pieces: Vec<Piece<'_>> = served
        .iter()
        .map(|it| Piece {
            name: &it.name,
            // Names in Kubernetes have neither `_` nor a dot at the end of a part.
            resource: it.name.replace(['_', '.'], "-"),
            label: &it.label,
            cluster: it.cluster(),
            host: &it.upstream.host,
            authority: it.upstream.authority(),
            port: it.upstream.port,
            tls: it.upstream.tls,
            rewrites: &it.rewrites,
        })
        .collect();
    let mut templates = Templates::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.set_syntax(
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?,
    );
    templates.add_template(name, template)?;
    Ok(templates.get_template(name)?.render(minijinja::value::Serde(&Pieces { providers: pieces }))?)
}

/// For Istio.
fn kubernetes(served: &[ServedProvider]) -> anyhow::Result<String> {
    if let Some(plain) = served.iter().find(|it| !it.upstream.tls || it.upstream.is_literal_address()) {
        return Err(Misuse::of(anyhow::anyhow!(
            "{} is a server on this machine, which a mesh cannot reach",
            plain.name
        )));
    }
    // The ending decides how values are printed: as text, since none of them can contain special characters.
    render("kubernetes.txt", KUBERNETES, served)
}

/// For an Envoy that the user runs.
fn production(served: &[ServedProvider]) -> anyhow::Result<String> {
    render("production.txt", PRODUCTION, served)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(names: &[&str]) -> Vec<ServedProvider> {
        let table = Table::built_in();
        let nothing = |_: &str| None;
        names
            .iter()
            .map(|name| ServedProvider::asked(name, &table, Environment::new(&nothing)).unwrap())
            .collect()
    }

    #[test]
    fn the_manifests_and_production_yaml_are_what_the_table_renders() {
        let three = served(&["anthropic", "openai", "gemini"]);
        let component = include_str!("../../../../k8s/components/providers/providers.yaml");
        assert_eq!(kubernetes(&three).unwrap(), component);

        let production_yaml: Vec<&str> = include_str!("../../../../envoy/production.yaml")
            .lines()
            .map(|line| line.split("  # <-").next().unwrap_or_default())
            .filter(|line| !line.trim_start().starts_with('#'))
            .collect();
        let production_yaml = production_yaml.join("\n");
        let rendered = production(&three).unwrap();
        let (_, clusters) = rendered.split_once("\n# clusters\n").unwrap();
        for cluster in clusters.split("\n\n").map(str::trim_end).filter(|cluster| !cluster.is_empty()) {
            // In that file the names lack the prefix that prevents collisions.
            let cluster = cluster.replace("provider-", "");
            assert!(production_yaml.contains(&cluster), "{cluster}");
        }
    }

    #[test]
    fn a_server_of_this_machine_is_none_for_a_mesh() {
        assert!(kubernetes(&served(&["ollama"])).unwrap_err().is::<Misuse>());
        assert!(production(&served(&["ollama"])).unwrap().contains("127.0.0.1"));
    }

    #[test]
    fn the_list_has_a_line_for_each() {
        let table = Table::built_in();
        assert_eq!(list(&[], &table).unwrap().trim().lines().count(), table.rows().count() + 1);
        let one = list(&["kimi".to_owned()], &table).unwrap();
        assert!(one.contains("moonshot") && one.contains("MOONSHOT_API_KEY"), "{one}");
        assert!(list(&["nobody".to_owned()], &table).is_err());
    }
}
