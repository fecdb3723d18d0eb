//! Plans of Terraform and OpenTofu, whose attributes mostly have the same value: `(known after apply)`.
//!
//! ```text
//!       + arn, id, vpc_id        = (known after apply)
//! ```
//!
//! stands for three lines whose `=` are in one column. The inverse gives back every byte.

use memchr::memmem;

use crate::kinds::sink::{Comparison, Sink};
use crate::lines;
use crate::work;

const COMMENT: &str = "# ";

/// Words behind `# ADDRESS` that a plan says of a resource.
const ACTIONS: &[&str] = &[" will be ", " must be ", " is tainted", " has moved to "];

/// What a list of names means.
pub(super) const SENTENCE: &str = " \"+ a, b = v\" stands for the lines \"+ a = v\" and \"+ b = v\", their = in one column, as with - and ~";

/// Between the names of attributes.
const AND: &str = ", ";

/// Whether a text is a plan.
pub(super) fn is_plan(text: &str) -> bool {
    memmem::find_iter(text.as_bytes(), COMMENT.as_bytes()).any(|at| {
        let before = text.get(..at).unwrap_or_default();
        let before = before.trim_end_matches(|c: char| c != '\n' && c.is_whitespace());
        // Only what begins a line is read to its end, so that no line is read twice.
        (before.is_empty() || before.ends_with('\n'))
            && text
                .get(at + COMMENT.len()..)
                .and_then(|rest| lines::split(rest).next())
                .is_some_and(says_action)
    })
}

fn says_action(address: &str) -> bool {
    ACTIONS.iter().any(|action| address.contains(action))
}

/// The plan with neighbours that have one value on one line; `None` where there are none.
pub(super) fn listed(text: &str) -> Option<String> {
    if !is_plan(text) {
        return None;
    }
    work::spend(text.len());
    let mut out = String::with_capacity(text.len());
    let mut lines = lines::split(text).peekable();
    // Where the text of a value ends, of which any line may look like an attribute.
    let mut quoted: Option<&str> = None;
    while let Some(line) = lines.next() {
        let first = if quoted.is_none() { Attribute::read(line) } else { None };
        match quoted {
            Some(end) if line.trim_start_matches([' ', '+', '-', '~']) == end => quoted = None,
            Some(_) => {}
            None => quoted = end_of_text(line),
        }
        let mut names = first.map_or("", |first| first.name).to_owned();
        let mut last = first;
        while let (Some(own), Some(next)) = (last, lines.peek().copied().and_then(Attribute::read))
            && own.is_beside(&next)
        {
            names.push_str(AND);
            names.push_str(next.name);
            last = Some(next);
            lines.next();
        }
        match last.filter(|last| last.name.len() < names.len()) {
            Some(last) => {
                out.push_str(last.lead);
                out.push_str(&names);
                out.push_str(last.line.get(last.lead.len() + last.name.len()..).unwrap_or_default());
            }
            None => out.push_str(line),
        }
        if lines.peek().is_some() {
            out.push('\n');
        }
    }
    if out.len() >= text.len() {
        return None;
    }
    let mut again = Comparison::with(text);
    whole(&out, &mut again);
    again.is_equal().then_some(out)
}

/// The word that ends the text which begins behind a line, `+ user_data = <<-EOT`.
fn end_of_text(line: &str) -> Option<&str> {
    let (_, word) = line.split_once(" = <<")?;
    Some(word.trim_start_matches(['-', '~']).split(' ').next().unwrap_or_default())
}

/// Writes the plan that was listed.
pub(super) fn whole(listed: &str, out: &mut impl Sink) {
    for (at, line) in lines::split(listed).enumerate() {
        if out.differs() {
            return;
        }
        if at > 0 {
            out.push_str("\n");
        }
        let split = Attribute::read_listed(line);
        let Some(listed) = split.filter(|listed| listed.name.contains(AND)) else {
            out.push_str(line);
            continue;
        };
        let (names, last) = listed.name.rsplit_once(AND).unwrap_or_default();
        let behind = line.get(listed.lead.len() + listed.name.len()..).unwrap_or_default();
        // the column of the last one's sign
        let column = last.len() + behind.len() - behind.trim_start_matches(' ').len();
        for name in names.split(AND) {
            out.push_str(listed.lead);
            out.push_str(name);
            out.push_blanks(column.saturating_sub(name.len()));
            out.push_str(behind.trim_start_matches(' '));
            out.push_str("\n");
        }
        out.push_str(listed.lead);
        out.push_str(last);
        out.push_str(behind);
    }
}

/// `      + name    = value`.
#[derive(Clone, Copy)]
struct Attribute<'a> {
    line: &'a str,
    /// Indentation and sign.
    lead: &'a str,
    name: &'a str,
    /// Where its `=` stands.
    column: usize,
    value: &'a str,
}

impl<'a> Attribute<'a> {
    fn read(line: &'a str) -> Option<Self> {
        Self::read_listed(line).filter(|read| !read.name.contains([' ', ',']))
    }

    /// An attribute whose name may be several.
    fn read_listed(line: &'a str) -> Option<Self> {
        let bare = line.trim_start_matches(' ');
        let sign = ["+ ", "- ", "~ "].iter().find_map(|sign| bare.strip_prefix(sign))?;
        let lead = line.get(..line.len() - sign.len())?;
        let column = line.find(" = ")? + 1;
        let name = line.get(lead.len()..column)?.trim_end_matches(' ');
        let value = line.get(column + 2..)?;
        let is_name = !name.is_empty() && !name.starts_with(' ') && name.matches('"').count() % 2 == 0;
        let is_value = !value.ends_with(['{', '[', '(', ',']) && !value.contains("<<");
        (is_name && is_value).then_some(Self { line, lead, name, column, value })
    }

    fn is_beside(&self, other: &Self) -> bool {
        self.lead == other.lead && self.column == other.column && self.value == other.value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kinds::sink::written;

    const PLAN: &str = "  # aws_instance.web will be created
  + resource \"aws_instance\" \"web\" {
      + ami           = \"ami-1\"
      + arn           = (known after apply)
      + id            = (known after apply)
      + instance_type = (known after apply)
      + tags          = {
          + \"Name\" = \"web\"
          + \"Env\"  = \"web\"
        }
    }
";

    proptest! {
        #[test]
        fn a_text_is_a_plan_where_a_line_of_it_says_an_action(
            parts in prop::collection::vec("# |#|a| will be | must be|will be created| is tainted|\t|\u{a0}|\r|\n", 0..12)
        ) {
            let text = parts.concat();
            let by_line = text.lines().any(|line| line.trim_start().strip_prefix("# ").is_some_and(says_action));
            prop_assert_eq!(is_plan(&text), by_line, "{:?}", text);
        }
    }

    #[test]
    fn neighbours_with_one_value_share_a_line() {
        let short = listed(PLAN).unwrap();
        assert!(
            short.contains(
                "      + arn, id, instance_type = (known after apply)\n      + tags          = {\n"
            ),
            "{short}"
        );
        assert!(short.contains("          + \"Name\", \"Env\"  = \"web\"\n"), "{short}");
        assert_eq!(written(|out| whole(&short, out)), PLAN);
        assert_eq!(listed("      + a = 1\n      + b = 1\n"), None);
    }

    proptest! {
        #[test]
        fn the_inverse_gives_back_every_byte(
            lines in prop::collection::vec(
                ("  |    ", "[+~-]? ?", "a|bb|ccc|a, b|\"x y\"| ", " = |  = |   =  |", "1|1 -> 2|\\[|(known after apply)|"), 0..20),
            end in "\n?",
        ) {
            let lines: Vec<String> = lines.into_iter().map(|(a, b, c, d, e)| format!("{a}{b}{c}{d}{e}")).collect();
            let text = format!("  # a.b will be created\n{}{end}", lines.join("\n"));
            if let Some(short) = listed(&text) {
                prop_assert_eq!(written(|out| whole(&short, out)), text);
            }
        }
    }
}
