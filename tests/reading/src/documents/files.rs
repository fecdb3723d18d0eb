//! Search results and listings.

use super::{Numbers, lines};
use crate::document::{Document, Original};
use crate::question::{Ask, Key, after, before, count, field, line_after, line_number, whether};

fn hits(separator: char) -> String {
    let mut n = Numbers::new(51);
    let mut number = 0;
    lines(60, |at| {
        if at % 6 == 0 {
            number = 0;
        }
        number += 1 + n.below(90);
        let path = format!("src/net/part_{}/session.rs", at / 6);
        let path = if separator == '\\' { format!("C:\\work\\{}", path.replace('/', "\\")) } else { path };
        format!("{path}:{number}:    let id_{at} = open(\"{:x}\");", n.below(1 << 28))
    })
}

fn paths() -> String {
    let mut n = Numbers::new(52);
    lines(70, |at| {
        let folder =
            ["./app/models", "./app/views/admin", "./app/views/shop/cart", "./lib", "./test/fixtures"]
                .get(usize::try_from(at / 14).unwrap_or(0))
                .copied()
                .unwrap_or(".");
        format!(
            "{folder}/{}_{at}.{}",
            n.pick(&["user", "order", "item", "basket"]),
            n.pick(&["rb", "yml", "erb"])
        )
    })
}

fn long_listing() -> String {
    let mut n = Numbers::new(53);
    let rows = lines(40, |at| {
        format!(
            "-rw-r--r-- 1 {} staff {:>7} Oct {:>2} {:02}:{:02} report_{at}_{}.pdf",
            n.pick(&["ann", "ann", "ann", "bo"]),
            n.below(2_000_000),
            1 + n.below(9),
            n.below(24),
            n.below(60),
            n.pick(&["eu", "us"])
        )
    });
    format!(
        "total 9312\ndrwxr-xr-x 4 ann staff    4096 Oct  1 08:00 .\ndrwxr-xr-x 9 root root     4096 Sep 12 17:41 ..\n{rows}lrwxrwxrwx 1 ann staff      14 Oct  4 12:00 latest -> report_38_x.pdf\n"
    )
}

fn tree() -> String {
    let mut n = Numbers::new(54);
    let mut text = String::from("service\n");
    for part in 0..7 {
        text += &format!("├── module_{part}\n");
        for file in 0..5 {
            let bar = if file == 4 { "└" } else { "├" };
            text += &format!(
                "│   {bar}── {}_{part}{file}.go\n",
                n.pick(&["client", "store", "types", "handler"])
            );
        }
    }
    text + "└── go.mod\n\n7 directories, 36 files\n"
}

pub(super) fn all() -> Vec<Document> {
    vec![
        Document::of_command("search-lines", "search", "grep -rn open src", hits('/'))
            .ask("In which file is id_27 set? Answer the path.", before(&["id_27 "], ":"))
            .ask("On which line of its file is id_44 set?", Ask::by(|text| hit(text, "id_44 ", 1)))
            .ask("Which string is opened for id_13?", after(&["id_13 "], "open(\"", "\""))
            .ask("How many hits lie in src/net/part_3/session.rs?", count(&["src/net/part_3/"]))
            .ask("Which string is opened for id_51?", after(&["id_51 "], "open(\"", "\"")),
        Document::new(
            "search-windows",
            "search",
            Original::of_outputs([("Grep", "{\"pattern\":\"open\",\"-n\":true}", hits('\\'))]),
        )
        .ask("In which file is id_35 set? Answer the whole path.", Ask::by(|text| hit(text, "id_35 ", 0)))
        .ask("On which line of its file is id_8 set?", Ask::by(|text| hit(text, "id_8 ", 1)))
        .ask("Which string is opened for id_57?", after(&["id_57 "], "open(\"", "\""))
        .ask("Are there hits in part_9? (yes or no)", whether(&["part_9\\"])),
        Document::of_command("listing-paths", "listing", "find . -type f", paths())
            .ask("What is the whole path of the file with number 23 (…_23.…)?", field(&["_23."], 0))
            .ask("What is the whole path of the file with number 58?", field(&["_58."], 0))
            .ask(
                "Which file follows the one with number 40? Answer its whole path.",
                line_after(&["_40."], 1),
            )
            .ask("How many files lie in ./app/views/shop/cart?", count(&["./app/views/shop/cart/"]))
            .ask("Which ending has the file with number 7 (without the dot)?", after(&["_7."], "_7.", " ")),
        Document::of_command("listing-long", "listing", "ls -la reports", long_listing())
            .ask("How many bytes has the file report_17_…?", field(&["report_17_"], 4))
            .ask("Who owns the file report_33_…?", field(&["report_33_"], 2))
            .ask("At what time of day was report_8_… changed (HH:MM)?", field(&["report_8_"], 7))
            .ask("On which day of October was report_25_… changed (the number)?", field(&["report_25_"], 6))
            .ask("Where does the link latest lead?", after(&["latest"], "-> ", " "))
            .ask("Which group has the folder above (..)?", field(&["drwxr-xr-x 9"], 3)),
        Document::of_command("listing-tree", "listing", "tree service", tree())
            .ask(
                "In which module is the file whose name ends in _42.go?",
                Ask::by(|text| {
                    let at = text.lines().position(|line| line.contains("_42.go")).unwrap_or(0);
                    let above: Vec<&str> = text.lines().take(at).collect();
                    let module =
                        above.iter().rev().find(|line| line.starts_with("├── ")).copied().unwrap_or_default();
                    Ok(Key::Text(module.trim_start_matches("├── ").to_owned()))
                }),
            )
            .ask("What is the name of the file that ends in _13.go?", after(&["_13.go"], "── ", " "))
            .ask("How many files does the last line speak of?", after(&["directories"], ", ", " "))
            .ask("What is the name of the last file of module_5?", after(&["_54.go"], "── ", " "))
            .ask("Which line number (from 1) names module_3?", line_number(&["module_3"])),
    ]
}

/// A part of the only hit that contains a mark: 0 the path, 1 the line's number.
fn hit(text: &str, mark: &str, part: usize) -> anyhow::Result<Key> {
    let mut found = text.lines().filter(|line| line.contains(mark));
    let (Some(line), None) = (found.next(), found.next()) else { anyhow::bail!("not one line with {mark}") };
    let (head, _) = line.split_once(":    ").ok_or_else(|| anyhow::anyhow!("no hit"))?;
    let (path, number) = head.rsplit_once(':').ok_or_else(|| anyhow::anyhow!("no number"))?;
    Ok(Key::Text(if part == 0 { path } else { number }.to_owned()))
}
