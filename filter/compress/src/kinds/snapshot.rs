//! The elements of a page as a tree, in the output of browser tools: accessibility snapshots of Playwright
//! and of Chrome DevTools.
//!
//! ```text
//! [page snapshot: one blank per level, "- " left out, @e5 = [ref=e5], ^ = [cursor=pointer], -> x = child "/url: x"]
//! main @e2:
//!  listitem @e10:
//!   link "Story" @e11 ^ -> https://example.org/story
//! ```
//!
//! A form is used only if its inverse gives exactly the same text.

use super::sink::{Comparison, Sink};
use crate::block::Context;

/// The statement is not worth it for fewer lines.
const MIN_LINES: usize = 8;
/// How many lines decide about a text.
const SAMPLE: usize = 200;

/// How a tool writes trees.
struct Style {
    head: &'static str,
    /// The beginning of each line, after its indentation.
    mark: &'static str,
    /// The texts before and after an element's name.
    name: (&'static str, &'static str),
    /// The short form of the text before the name.
    short_name: &'static str,
    /// The end of many lines, and its short form.
    flag: Option<(&'static str, &'static str)>,
    /// The beginning of a child that holds a link's address, and its short form on the link's own line.
    url: Option<(&'static str, &'static str)>,
}

const PLAYWRIGHT: Style = Style {
    head: "[page snapshot: one blank per level, \"- \" left out, @e5 = [ref=e5], ^ = [cursor=pointer], -> x = child \"/url: x\"]\n",
    mark: "- ",
    name: (" [ref=", "]"),
    short_name: " @",
    flag: Some((" [cursor=pointer]", " ^")),
    url: Some(("/url: ", " -> ")),
};

const DEVTOOLS: Style = Style {
    head: "[page snapshot: one blank per level, 1_5 = uid=1_5]\n",
    mark: "uid=",
    name: ("", ""),
    short_name: "",
    flag: None,
    url: None,
};

/// Whether a text is such a tree.
pub(crate) fn is_snapshot(text: &str) -> bool {
    style(text).is_some()
}

/// The short form.
pub(crate) fn lossless(text: &str, _: &Context<'_>) -> Option<String> {
    let style = style(text)?;
    let form = style.form(text)?;
    let mut again = Comparison::with(text);
    style.text(&form, &mut again)?;
    again.is_equal().then_some(form)
}

fn style(text: &str) -> Option<&'static Style> {
    if !text.trim_start().starts_with(['-', 'u', '#']) {
        return None;
    }
    let (mut all, mut playwright, mut devtools) = (0, 0, 0);
    for line in text.lines().take(SAMPLE).filter(|line| !line.trim().is_empty()) {
        all += 1;
        let line = line.trim_start();
        playwright += usize::from(line.starts_with("- ") && line.contains(" [ref="));
        devtools += usize::from(line.starts_with("uid="));
    }
    match () {
        () if all < MIN_LINES => None,
        () if playwright * 3 > all => Some(&PLAYWRIGHT),
        () if devtools * 3 > all * 2 => Some(&DEVTOOLS),
        () => None,
    }
}

impl Style {
    fn form(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        out.push_str(self.head);
        // The indentation of the line before, if that ends with a colon and a line end.
        let mut parent: Option<usize> = None;
        for line in text.split_inclusive('\n') {
            let rest = line.trim_start_matches(' ');
            let indent = line.len() - rest.len();
            let above = parent.take();
            if is_beside(rest) {
                out.push_str(line);
                continue;
            }
            let rest = rest.strip_prefix(self.mark).filter(|_| indent.is_multiple_of(2))?;
            if let Some((child, arrow)) = self.url
                && above.is_some_and(|above| above + 2 == indent)
                && let Some(url) = rest.strip_prefix(child)
            {
                out.truncate(out.len() - ":\n".len());
                out.push_str(arrow);
                out.push_str(url);
                continue;
            }
            parent = rest.ends_with(":\n").then_some(indent);
            out.extend(std::iter::repeat_n(' ', indent / 2));
            let (open, close) = self.name;
            let named = if open.is_empty() { None } else { rest.split_once(open) };
            let Some((role, (name, rest))) =
                named.and_then(|(role, rest)| Some((role, rest.split_once(close)?)))
            else {
                out.push_str(rest);
                continue;
            };
            out.push_str(role);
            out.push_str(self.short_name);
            out.push_str(name);
            match self.flag.and_then(|(flag, short)| Some((short, rest.strip_prefix(flag)?))) {
                Some((short, rest)) => {
                    out.push_str(short);
                    out.push_str(rest);
                }
                None => out.push_str(rest),
            }
        }
        Some(out)
    }

    /// Writes the text of a form; `None` if it is not a form.
    fn text(&self, form: &str, out: &mut impl Sink) -> Option<()> {
        for line in form.strip_prefix(self.head)?.split_inclusive('\n') {
            if out.differs() {
                return None;
            }
            let rest = line.trim_start_matches(' ');
            if is_beside(rest) {
                out.push_str(line);
                continue;
            }
            let indent = line.len() - rest.len();
            out.push_blanks(2 * indent);
            out.push_str(self.mark);
            let body = rest.strip_suffix('\n').unwrap_or(rest);
            let linked = self.url.and_then(|(child, arrow)| Some((child, body.rsplit_once(arrow)?)));
            let (rest, url) = match linked {
                Some((child, (body, url))) => (body, Some((child, url))),
                None => (rest, None),
            };
            // The name is the last such word: roles and texts may contain any.
            let body = rest.strip_suffix('\n').unwrap_or(rest);
            self.element(body, out)?;
            if let Some((child, url)) = url {
                out.push_str(":\n");
                out.push_blanks(2 * (indent + 1));
                out.push_str(self.mark);
                out.push_str(child);
                out.push_str(url);
            }
            if line.ends_with('\n') {
                out.push_str("\n");
            }
        }
        Some(())
    }

    /// Appends an element as the tool writes it, without its mark.
    fn element(&self, body: &str, out: &mut impl Sink) -> Option<()> {
        let at = if self.short_name.is_empty() { None } else { body.rfind(self.short_name) };
        let Some(at) = at else {
            out.push_str(body);
            return Some(());
        };
        let (role, named) = body.split_at(at);
        let named = named.get(self.short_name.len()..)?;
        let length = named.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(named.len());
        let (name, rest) = named.split_at(length);
        out.push_str(role);
        out.push_str(self.name.0);
        out.push_str(name);
        out.push_str(self.name.1);
        match self.flag.and_then(|(flag, short)| Some((flag, rest.strip_prefix(short)?))) {
            Some((flag, rest)) => {
                out.push_str(flag);
                out.push_str(rest);
            }
            None => out.push_str(rest),
        }
        Some(())
    }
}

/// Whether a line is not an element: it is empty, or a heading of the tool. It stays as it is.
fn is_beside(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kinds::sink::written;

    fn shown(text: &str) -> Option<String> {
        let config = crate::Config::default();
        let cx = Context { reversible: false, ..Context::of(&config) };
        lossless(text, &cx)
    }

    #[test]
    fn a_tree_has_one_blank_per_level_and_short_marks() {
        let text = "- main [ref=e2]:\n  - list:\n".to_owned()
            + &(0..6)
                .map(|n| {
                    format!("    - link \"Story {n}\" [ref=f1e{n}] [cursor=pointer]:\n      - /url: /s/{n}\n")
                })
                .collect::<String>();
        let form = shown(&text).unwrap();
        assert!(
            form.starts_with(&format!(
                "{}main @e2:\n list:\n  link \"Story 0\" @f1e0 ^ -> /s/0\n  link",
                PLAYWRIGHT.head
            )),
            "{form}"
        );
        let devtools: String =
            (0..9).map(|n| format!("{}uid=1_{n} link \"a\" url=\"b\"\n", "  ".repeat(n / 3))).collect();
        assert!(shown(&devtools).unwrap().ends_with("\n  1_8 link \"a\" url=\"b\"\n"));
    }

    proptest! {
        #[test]
        fn a_form_gives_back_its_text(
            parts in prop::collection::vec(
                "( {0,6}- [a-z]{1,4}( \"[a-z @^\\[\\]=]{0,8}\")?( \\[ref=e[0-9]{1,3}\\])?( \\[cursor=pointer\\])?:?|[ -~]{0,12}|)\n",
                0..30,
            ),
            named in prop::collection::vec("( {0,6})(- link \\[ref=e[0-9]\\]|uid=[0-9]_[0-9] a)\n", 0..30),
        ) {
            let text = parts.concat() + &named.concat();
            for style in [&PLAYWRIGHT, &DEVTOOLS] {
                if let Some(form) = style.form(&text) {
                    prop_assert!(form.starts_with(style.head));
                    style.text(&form, &mut String::new());
                }
            }
            if let Some(form) = shown(&text) {
                let style = if form.starts_with(PLAYWRIGHT.head) { &PLAYWRIGHT } else { &DEVTOOLS };
                prop_assert_eq!(written(|out| style.text(&form, out).unwrap()), text);
            }
        }
    }
}
