//! Tables: aligned columns, CSV, pipes.

use super::{Numbers, lines};
use crate::document::Document;
use crate::question::{self, cell, count, field, line_number, whether};

fn pods() -> String {
    let mut n = Numbers::new(41);
    let rows = lines(45, |at| {
        format!(
            "{:12} {:22} {}/1     {:18} {:<10} {:<8} 10.42.{}.{:<6} {:8}",
            n.pick(&["default", "kube-system", "shop"]),
            format!("api-{at}-{:05x}", n.below(1 << 20)),
            n.below(2),
            n.pick(&["Running", "Running", "CrashLoopBackOff", "Pending"]),
            n.below(60),
            format!("{}d", n.below(200)),
            n.below(4),
            n.below(250),
            n.pick(&["node-a", "node-b"])
        )
        .trim_end()
        .to_owned()
    });
    format!(
        "NAMESPACE    NAME                   READY   STATUS             RESTARTS   AGE      IP              NODE\n{rows}"
    )
}

fn processes() -> String {
    let mut n = Numbers::new(42);
    let rows = lines(45, |at| {
        let command = match at % 6 {
            0 => "/usr/bin/python3 /srv/app/worker.py --queue mail".to_owned(),
            1 => format!("nginx: worker process {}", n.below(9)),
            2 => "[kworker/u8:1-events]".to_owned(),
            _ => format!("/usr/lib/jvm/bin/java -Xmx{}m -jar /srv/jar/service-{at}.jar", 128 << n.below(4)),
        };
        format!(
            "{:8} {:>7} {:>4}.{} {:>4}.{} {:>7} {:>6} ?        {:4} {:>5} {:>6} {command}",
            n.pick(&["root", "www-data", "app"]),
            1000 + at * 13,
            n.below(30),
            n.below(10),
            n.below(9),
            n.below(10),
            n.below(900_000),
            n.below(90_000),
            n.pick(&["S", "Ss", "Sl"]),
            format!("{:02}:{:02}", n.below(24), n.below(60)),
            format!("{}:{:02}", n.below(50), n.below(60))
        )
    });
    format!("USER         PID  %CPU  %MEM     VSZ    RSS TTY      STAT START   TIME COMMAND\n{rows}")
}

pub(super) fn orders(count: u64, seed: u64) -> String {
    let mut n = Numbers::new(seed);
    let rows = lines(count, |at| {
        format!(
            "{},{},{},{}.{:02},2026-09-{:02},{}",
            5000 + at,
            n.pick(&["acme", "birch", "\"cole, inc\"", "dune"]),
            n.pick(&["paid", "paid", "open", "refunded"]),
            n.below(900),
            n.below(100),
            1 + n.below(30),
            n.pick(&["DE", "FR", "US", "JP"])
        )
    });
    format!("order,customer,state,amount,day,country\n{rows}")
}

fn psql() -> String {
    let mut n = Numbers::new(44);
    let rows = lines(30, |at| {
        format!(
            " {:>4} | {:15} | {:>10} | {:19} | {}",
            210 + at,
            format!("key_{:x}", n.below(1 << 24)),
            n.below(1_000_000),
            format!("2026-10-0{} {:02}:{:02}:00", 1 + n.below(9), n.below(24), n.below(60)),
            n.pick(&["t", "f"])
        )
    });
    format!(
        "  id  |       key       |    hits    |        seen         | hot\n------+-----------------+------------+---------------------+-----\n{rows}(30 rows)\n"
    )
}

fn markdown() -> String {
    let mut n = Numbers::new(45);
    let rows = lines(24, |at| {
        format!(
            "| crate-{at} | {}.{}.{} | {} | {} |",
            n.below(3),
            n.below(30),
            n.below(9),
            n.pick(&["MIT", "Apache-2.0", "BSD-3-Clause"]),
            n.below(90_000)
        )
    });
    format!("| crate | version | licence | downloads |\n| --- | --- | --- | --- |\n{rows}")
}

fn tsv() -> String {
    let mut n = Numbers::new(46);
    let rows = lines(30, |at| {
        format!("{}\t{}\t{}\t{}", 1990 + at, n.below(90_000), n.below(900), n.pick(&["north", "south"]))
    });
    format!("year\texports\timports\tport\n{rows}")
}

pub(super) fn all() -> Vec<Document> {
    vec![
        Document::of_command("table-pods", "table", "kubectl get pods -A -o wide", pods())
            .ask("Which IP address has the pod whose name begins with api-17-?", field(&["api-17-"], 6))
            .ask("Which status has the pod whose name begins with api-31-?", field(&["api-31-"], 3))
            .ask("In which namespace is the pod whose name begins with api-22-?", field(&["api-22-"], 0))
            .ask("How many restarts has the pod whose name begins with api-40-?", field(&["api-40-"], 4))
            .ask("On which node runs the pod whose name begins with api-8-?", field(&["api-8-"], 7))
            .ask("How many pods are in CrashLoopBackOff?", count(&["CrashLoopBackOff"])),
        Document::of_command("table-processes", "table", "ps aux", processes())
            .ask("Which process id (PID) runs service-21.jar?", field(&["service-21.jar"], 1))
            .ask("Which user runs service-33.jar?", field(&["service-33.jar"], 0))
            .ask("How much memory in % does service-15.jar use?", field(&["service-15.jar"], 3))
            .ask("What is the RSS of the process with PID 1325?", field(&[" 1325 "], 5))
            .ask("How many lines show worker.py?", count(&["worker.py"])),
        Document::of_command("csv-orders", "csv", "cat orders.csv", orders(60, 43))
            .ask("Which amount has order 5017?", csv_cell("5017,", 3))
            .ask("Which state has order 5042?", csv_cell("5042,", 2))
            .ask("From which country is order 5008?", csv_cell("5008,", 5))
            .ask("Which customer has order 5033?", csv_cell("5033,", 1))
            .ask("On which day (as printed) was order 5055?", csv_cell("5055,", 4))
            .ask("How many orders were refunded?", count(&[",refunded,"])),
        Document::of_command("table-psql", "table", "psql -c 'select * from hits'", psql())
            .ask("Which key has id 219?", cell(&["  219 |"], '|', 1))
            .ask("How many hits has id 231?", cell(&["  231 |"], '|', 2))
            .ask("When was id 226 seen, as printed?", cell(&["  226 |"], '|', 3))
            .ask("Is id 213 hot (t or f)?", cell(&["  213 |"], '|', 4))
            .ask("How many rows are hot (t)?", count(&[" | t"])),
        Document::of_command("table-markdown", "table", "cat LICENCES.md", markdown())
            .ask("Which version has crate-13?", cell(&["| crate-13 "], '|', 2))
            .ask("Which licence has crate-6?", cell(&["| crate-6 "], '|', 3))
            .ask("How many downloads has crate-20?", cell(&["| crate-20 "], '|', 4))
            .ask("How many crates are under BSD-3-Clause?", count(&["BSD-3-Clause"]))
            .ask(
                "Which crates (names) are under BSD-3-Clause?",
                question::all(&["BSD-3-Clause"], |line| Some(line.split('|').nth(1)?.trim().to_owned())),
            ),
        Document::of_command("table-years", "table", "cat trade.tsv", tsv())
            .ask("How large were the exports of 2004?", cell(&["2004\t"], '\t', 1))
            .ask("How large were the imports of 2011?", cell(&["2011\t"], '\t', 2))
            .ask("Which port had 1997?", cell(&["1997\t"], '\t', 3))
            .ask("Which line number (from 1) has the year 2001?", line_number(&["2001\t"]))
            .ask("Is there a row for the year 2021? (yes or no)", whether(&["2021\t"])),
    ]
}

/// A cell of CSV with quotes, of the only line that starts with a mark.
pub(super) fn csv_cell(start: &'static str, cell: usize) -> crate::question::Ask {
    crate::question::Ask::by(move |text| {
        let mut found = text.lines().filter(|line| line.starts_with(start));
        let (Some(line), None) = (found.next(), found.next()) else {
            anyhow::bail!("not one line starts with {start}")
        };
        let (mut cells, mut quoted) = (vec![String::new()], false);
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => cells.last_mut().into_iter().for_each(|cell| cell.push(c)),
            }
        }
        Ok(crate::question::Key::Text(
            cells.get(cell).ok_or_else(|| anyhow::anyhow!("no such cell"))?.clone(),
        ))
    })
}
