//! Pages and prose: HTML, snapshots of pages, markdown, YAML.

use super::{Numbers, lines};
use crate::document::{Document, Original};
use crate::question::{Ask, Key, after, count, field, line_after};

pub(super) fn html(rows: u64) -> String {
    let mut n = Numbers::new(81);
    let rows: String = (0..rows)
        .map(|at| format!("<tr class=\"row\"><td>item {at}</td><td>{}.{:02}</td><td><a href=\"/items/{}\" class=\"link\">open</a></td></tr>\n", n.below(90), n.below(100), n.below(10_000)))
        .collect();
    let menu: String = (0..12)
        .map(|at| {
            format!("<li class=\"nav-item\"><a class=\"nav-link\" href=\"/area/{at}\">Area {at}</a></li>\n")
        })
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Prices of the week</title><style>.row{{color:#333}} .link{{font-weight:bold}}</style><script>var t = 1; function go() {{ return t + 1; }}</script></head>\n<body class=\"page\">\n<nav class=\"menu\"><ul>\n{menu}</ul></nav>\n<main>\n<h1>Prices of the week</h1>\n<p>All prices are for 10<sup>3</sup> pieces, without <abbr title=\"value added tax\">VAT</abbr>. They hold until <time datetime=\"2026-10-31\">the end of the month</time>.</p>\n<table>\n<tr><th>Item</th><th>Price</th><th>Page</th></tr>\n{rows}</table>\n<form action=\"/ask\"><input name=\"mail\" value=\"you@example.com\"><select name=\"unit\"><option value=\"pc\">pieces</option><option value=\"kg\" selected>kilograms</option></select></form>\n<p>The old price of item 3 was <del>17.20</del> <ins>19.85</ins>.</p>\n</main>\n<footer class=\"foot\"><p>Call us: 0800 4471 220</p></footer>\n</body>\n</html>\n"
    )
}

fn snapshot() -> String {
    let mut n = Numbers::new(82);
    let mut text =
        String::from("- main [ref=e2]:\n  - heading \"Orders\" [level=1] [ref=e3]\n  - list [ref=e4]:\n");
    for at in 0..26 {
        let reference = 10 + at * 4;
        text += &format!(
            "    - listitem [ref=e{reference}]:\n      - link \"Order {}\" [ref=e{}] [cursor=pointer]:\n        - /url: https://shop.example.com/orders/{at}{:x}\n      - button \"Cancel order {at}\" [ref=e{}] [cursor=pointer]\n",
            9000 + at,
            reference + 1,
            n.below(65_536),
            reference + 2
        );
    }
    text + "  - textbox \"Search orders\" [ref=e200]\n"
}

fn readme() -> String {
    let mut n = Numbers::new(83);
    lines(14, |at| {
        format!(
            "## Part {at}\n\nPart {at} reads rows from the queue and writes them to the store. It takes up to {} rows at a time, and waits {} ms between two looks.\n\n```sh\nrun --part {at} --seed {}\n```\n",
            10 + n.below(500),
            50 + n.below(900),
            n.below(100_000)
        )
    })
}

fn yaml() -> String {
    let mut n = Numbers::new(84);
    let items: String = (0..12)
        .map(|at| format!("- apiVersion: v1\n  kind: Service\n  metadata:\n    creationTimestamp: \"2026-09-{:02}T08:00:00Z\"\n    labels:\n      app: svc-{at}\n      tier: backend\n    name: svc-{at}\n    namespace: shop\n    resourceVersion: \"{}\"\n  spec:\n    clusterIP: 10.96.{}.{}\n    ports:\n    - name: http\n      port: {}\n      protocol: TCP\n      targetPort: 8080\n    selector:\n      app: svc-{at}\n    type: ClusterIP\n", 1 + n.below(28), n.below(1_000_000), n.below(250), n.below(250), 8000 + n.below(900)))
        .collect();
    format!("apiVersion: v1\nitems:\n{items}kind: List\nmetadata:\n  resourceVersion: \"\"\n")
}

pub(super) fn all() -> Vec<Document> {
    let service = |number: usize, label: &'static str| {
        Ask::by(move |text| {
            let mark = format!("    name: svc-{number}\n");
            let mut found = text.split("- apiVersion: v1\n").filter(|item| item.contains(&mark));
            let (Some(item), None) = (found.next(), found.next()) else {
                anyhow::bail!("not one svc-{number}")
            };
            let value = item.split(label).nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
            Ok(Key::Text(value.trim_matches('"').to_owned()))
        })
    };
    vec![
        Document::new(
            "html-page",
            "html",
            Original::of_outputs([("WebFetch", "{\"url\":\"https://shop.example.com/prices\"}", html(20))]),
        )
        .ask("What does item 7 cost?", after(&["<td>item 7</td>"], "item 7</td><td>", "<"))
        .ask(
            "For how many pieces are the prices? Answer as a power, like 2^5.",
            Ask::by(|text| {
                Ok(Key::Text(format!(
                    "{}^{}",
                    text.split("prices are for ")
                        .nth(1)
                        .and_then(|rest| rest.split('<').next())
                        .unwrap_or_default(),
                    text.split("<sup>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default()
                )))
            }),
        )
        .ask("Which price of item 3 was struck out (the old one)?", after(&["<del>"], "<del>", "<"))
        .ask(
            "Which unit is selected in the form (the text that is shown)?",
            after(&["selected>"], "selected>", "<"),
        )
        .ask("Until which date (YYYY-MM-DD) do the prices hold?", after(&["datetime="], "datetime=\"", "\""))
        .ask("Where does the link of item 12 lead (path)?", after(&["<td>item 12</td>"], "href=\"", "\""))
        .ask("Which telephone number is given?", after(&["Call us"], "Call us: ", "<")),
        Document::new(
            "snapshot-orders",
            "snapshot",
            Original::of_outputs([("browser_snapshot", "{}", snapshot())]),
        )
        .ask(
            "What is the ref of the button that cancels order 17?",
            after(&["Cancel order 17\""], "[ref=", "]"),
        )
        .ask(
            "Where does the link of Order 9011 lead (whole URL)?",
            Ask::by(|text| {
                match line_after(&["Order 9011\""], 1).key(&Original::of_outputs([(
                    "Bash",
                    "{}",
                    text.to_owned(),
                )]))? {
                    Key::Text(line) => Ok(Key::Text(line.trim_start_matches("- /url: ").to_owned())),
                    other => Ok(other),
                }
            }),
        )
        .ask("What is the ref of the link of Order 9022?", after(&["Order 9022\""], "[ref=", "]"))
        .ask("What is the ref of the text box?", after(&["textbox"], "[ref=", "]"))
        .ask("How many buttons are there?", count(&["- button "])),
        Document::of_command("prose-readme", "prose", "cat README.md", readme())
            .ask("How many rows does part 9 take at a time?", after(&["Part 9 reads"], "takes up to ", " "))
            .ask("How many ms does part 4 wait between two looks?", after(&["Part 4 reads"], "waits ", " "))
            .ask("Which seed does the example of part 11 use?", after(&["run --part 11 "], "--seed ", " "))
            .ask("How many parts are described?", count(&["## Part "])),
        Document::of_command("yaml-services", "yaml", "kubectl get services -o yaml", yaml())
            .ask("Which clusterIP has svc-7?", service(7, "clusterIP: "))
            .ask("Which port (not targetPort) has svc-3?", service(3, "\n      port: "))
            .ask("Which resourceVersion has svc-10?", service(10, "resourceVersion: "))
            .ask("When was svc-5 created, as printed without quotes?", service(5, "creationTimestamp: "))
            .ask("How many services are listed?", count(&["kind: Service"]))
            .ask("Which kind does the whole document have?", field(&["kind: List"], 1)),
    ]
}
