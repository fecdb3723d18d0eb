//! One path per line, grouped by directory.
//!
//! ```text
//! [headroom: "directory/: names" stands for one path per name]
//! src/kinds/: diff.rs html.rs log.rs
//! src/lib.rs
//! ```
//!
//! The order of the lines stays, so a directory is repeated if its entries are not in a row.

pub(super) const HEADER: &str = "[headroom: \"directory/: names\" stands for one path per name]\n";

/// Shorter listings stay as they are: they have few paths, and an agent copies those.
const FEWEST_PATHS: usize = 12;

/// The largest size of the short form, in percent of the listing, if there are fewer than [`MANY_PATHS`]
/// paths.
const MOST_OF_A_FEW: usize = 75;
const MANY_PATHS: usize = 100;

/// A directory is stated once for at least this many neighbours.
const FEWEST_NAMES: usize = 2;

/// The listing with directories stated once per run of neighbours.
pub(super) fn grouped(text: &str) -> Option<String> {
    if text.contains("/: ") {
        return None;
    }
    let lines: Vec<&str> = text.split('\n').collect();
    let paths = lines.iter().filter(|line| split(line).is_some()).count();
    if paths < FEWEST_PATHS {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    out.push_str(HEADER);
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        if at > 0 {
            out.push('\n');
        }
        let Some((directory, _)) = split(line) else {
            out.push_str(line);
            at += 1;
            continue;
        };
        let names = lines
            .get(at..)
            .unwrap_or_default()
            .iter()
            .map_while(|line| split(line).filter(|(d, _)| *d == directory));
        let count = names.clone().count();
        if count < FEWEST_NAMES {
            out.push_str(line);
            at += 1;
            continue;
        }
        out.push_str(directory);
        out.push(':');
        for (_, name) in names {
            out.push(' ');
            out.push_str(name);
        }
        at += count;
    }
    (paths >= MANY_PATHS || out.len() * 100 <= text.len() * MOST_OF_A_FEW).then_some(out)
}

/// The directory of a path, with its slash, and the name in it; `None` if it is not a plain path.
fn split(line: &str) -> Option<(&str, &str)> {
    let slash = line.rfind('/')?;
    let (directory, name) = line.split_at(slash + 1);
    let plain = !name.is_empty() && !line.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control());
    plain.then_some((directory, name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn restore(short: &str) -> String {
        let lines = short.strip_prefix(HEADER).expect("a header").split('\n');
        let lines: Vec<String> = lines
            .flat_map(|line| match line.split_once("/: ") {
                Some((directory, names)) => {
                    names.split(' ').map(|name| format!("{directory}/{name}")).collect()
                }
                None => vec![line.to_owned()],
            })
            .collect();
        lines.join("\n")
    }

    #[test]
    fn paths_are_grouped_and_given_back() {
        let text: String = (0..200).map(|i| format!("./src/part{}/file_{i}.rs\n", i / 9)).collect();
        let short = grouped(&text).expect("a form");
        assert!(short.len() * 3 < text.len() * 2);
        assert_eq!(restore(&short), text);
    }

    #[test]
    fn a_few_paths_stay_as_they_are() {
        let text: String = (0..11).map(|i| format!("src/file_{i}.rs\n")).collect();
        assert_eq!(grouped(&text), None);
    }

    proptest! {
        #[test]
        fn any_listing_is_given_back(lines in prop::collection::vec("[a-c]{0,1}(/|: | |)[a-b]{0,2}/?[ab:]{0,2}", 12..160)) {
            let text = lines.join("\n");
            if let Some(short) = grouped(&text) {
                prop_assert_eq!(restore(&short), text);
            }
        }
    }
}
