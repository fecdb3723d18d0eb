//! The names under which the sums of blocks count what forms left out, and what models asked back.

use headroom_api::pages::LONGEST_TOOL;
use headroom_api::v1::Retrieval;
use headroom_compress::rounds::RetrieveArguments;

use crate::originals::store::StoredOriginal;

/// Separates the parts of a name. A tool's name stands last, since it alone may have one in it.
pub(crate) const SEPARATOR: char = '/';
/// Characters of a kind, a form or a part. The longest has 15, and with a tool's name there are as many as a label may have.
const LONGEST_PART: usize = 15;

/// What was asked of a stored original, as the filter describes what it has answered itself.
pub(crate) fn retrieval(about: &StoredOriginal, asked: &RetrieveArguments) -> Retrieval {
    Retrieval {
        tool: about.tool.clone(),
        kind: about.kind.clone(),
        form: about.form.clone(),
        part: asked.part().to_owned(),
    }
}

/// The name under which outputs of which something is left out are counted.
pub(crate) fn left_out(kind: &str, form: &str, tool: &str) -> String {
    named(&[kind, form], tool)
}

/// The name under which what was asked back is counted.
pub(crate) fn asked_back(kind: &str, form: &str, what: &str, tool: &str) -> String {
    named(&[kind, form, what], tool)
}

fn named(parts: &[&str], tool: &str) -> String {
    let mut name = String::new();
    for part in parts {
        name.extend(known(part).chars().take(LONGEST_PART).map(|c| if c == SEPARATOR { '_' } else { c }));
        name.push(SEPARATOR);
    }
    name.extend(known(tool).chars().take(LONGEST_TOOL));
    name
}

fn known(name: &str) -> &str {
    if name.is_empty() { "unknown" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::labels::tidy;

    #[test]
    fn parts_are_found_again_whatever_a_record_says() {
        let tool = "mcp__a/b".repeat(20);
        for (kind, form, what) in [
            ("log", "superseded_read", "characters"),
            ("", "", ""),
            ("a/b", "c//d", "/"),
            (&*tool, &*tool, &*tool),
        ] {
            let (left, asked) = (left_out(kind, form, &tool), asked_back(kind, form, what, &tool));
            assert_eq!((tidy(&left), tidy(&asked)), (left.clone(), asked.clone()), "nothing is cut off");
            let left: Vec<&str> = left.splitn(3, SEPARATOR).collect();
            let asked: Vec<&str> = asked.splitn(4, SEPARATOR).collect();
            assert_eq!((left[0], left[1], left[2]), (asked[0], asked[1], asked[3]));
            assert_eq!(left[2], tool.get(..LONGEST_TOOL).unwrap());
        }
    }
}
