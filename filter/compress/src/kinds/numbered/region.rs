//! Numbered lines as the model sees them: a header that states the rule, and lines of which only some have a
//! number.
//!
//! ```text
//! [lines 258-272, every 20th numbered]
//!    258→func (env *TestEnv) InitRepo() {
//!     env.T.Helper()
//! 260→
//!     repo, err := git.PlainInit(env.RepoDir, false)
//! ```
//!
//! The first line is as the tool wrote it, and shows how the tool writes numbers. A line without number
//! follows the line above it. If a line does not, it keeps its number, and so does a line whose text could be
//! taken for something else. The region ends with its last number.

use super::prefix::{Prefix, Separator, Style, push_number, push_range};

/// The line that grep prints between groups of lines of a single file.
pub(crate) const GAP: &str = "--";
/// The start of every header and of every reference to lines of a region.
pub(crate) const MARK: &str = "[lines ";

/// Which lines of a region keep their number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rule {
    /// Lines whose number is divisible by this.
    pub(crate) every: u32,
    /// Whether grep's matches keep it too: they have a colon where lines of context have a dash.
    pub(crate) matches: bool,
    /// The separator, if a blank belongs to it. The first line alone cannot show that.
    pub(crate) blank: Option<Separator>,
}

/// A region: its rule, how its numbers are written, and its first and last number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Region {
    pub(crate) rule: Rule,
    pub(crate) style: Style,
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl Region {
    /// Whether a line keeps its number although it directly follows the line before.
    pub(crate) fn anchors(&self, number: u32, content: &str) -> bool {
        number.is_multiple_of(self.rule.every)
            || may_be_more(content)
                && (content == GAP || content.starts_with(MARK) || self.anchor(content, number).is_some())
    }

    /// The number of `line` and the length of its prefix, if the number is at least `expected` and not beyond
    /// the region.
    pub(crate) fn anchor(&self, line: &str, expected: u32) -> Option<(u32, Separator, usize)> {
        let bytes = line.as_bytes();
        if !matches!(bytes.first(), Some(b'0'..=b'9' | b'L')) {
            return None;
        }
        let prefix = Prefix::of(bytes)?;
        let separator = prefix.style.separator;
        let ours = separator == self.style.separator || self.rule.matches && separator == Separator::Colon;
        if !ours
            || prefix.style.letter != self.style.letter
            || !(expected..=self.last).contains(&prefix.number)
        {
            return None;
        }
        let mut len = prefix.len;
        if self.style.blank {
            match bytes.get(len) {
                None => {}
                Some(b' ') => len += 1,
                Some(_) => return None,
            }
        }
        Some((prefix.number, separator, len))
    }
}

/// Whether, by its first byte, a line of a region could be a gap, a reference or a number. Few can.
fn may_be_more(line: &str) -> bool {
    matches!(line.as_bytes().first(), Some(b'0'..=b'9' | b'L' | b'-' | b'['))
}

impl Rule {
    /// Appends the header of a region. `stated`: whether the header before it in this text had the same rule.
    pub(crate) fn push_header(&self, out: &mut String, first: u32, last: u32, stated: bool) {
        out.push_str(MARK);
        push_range(out, first, last);
        if !stated {
            out.push_str(", every ");
            push_number(out, self.every);
            out.push_str(if self.matches { "th and matches numbered" } else { "th numbered" });
            if let Some(separator) = self.blank {
                out.push_str(" as \"");
                push_number(out, first);
                out.push_str(separator.text());
                out.push_str(" \"");
            }
        }
        out.push_str("]\n");
    }

    /// Reads a header without its line end. Returns the rule, the first and the last number.
    fn read_header(line: &str, stated: Option<Self>) -> Option<(Self, u32, u32)> {
        let header = line.strip_prefix(MARK)?.strip_suffix(']')?;
        let (range, rest) = match header.split_once(", every ") {
            Some((range, rest)) => (range, Some(rest)),
            None => (header, None),
        };
        let (first, last) = read_range(range)?;
        let Some(rest) = rest else { return stated.map(|rule| (rule, first, last)) };
        let (every, rest) = rest.split_once("th ")?;
        let every = read_number(every).filter(|every| *every > 0)?;
        let (matches, rest) = match rest.strip_prefix("and matches numbered") {
            Some(rest) => (true, rest),
            None => (false, rest.strip_prefix("numbered")?),
        };
        let blank = match rest.strip_prefix(" as \"") {
            Some(example) => Some(Prefix::of(example.as_bytes())?.style.separator),
            None if rest.is_empty() => None,
            None => return None,
        };
        Some((Self { every, matches, blank }, first, last))
    }
}

/// Reads `12-66`, with rising numbers.
pub(crate) fn read_range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-')?;
    let range = (read_number(first)?, read_number(last)?);
    (range.0 <= range.1).then_some(range)
}

fn read_number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// One line of a text that may contain regions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    /// Where it starts and ends in the text, without line end.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The start of the line's content in the file; `start` outside a region.
    pub(crate) content: usize,
    pub(crate) role: Role,
}

/// The role of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// A line outside regions.
    Plain,
    /// A line of a region. `ruled`: it directly follows the line before, and has its number exactly if
    /// [`Region::anchors`] says so. Then it can be written again from content and number.
    Numbered { number: u32, ruled: bool, colon: bool },
    /// The header of a region.
    Header,
    /// A reference that stands for lines of a region.
    Reference { first: u32, last: u32 },
    /// A gap inside a region.
    Gap,
}

/// Reads a text line by line.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    state: State,
    stated: Option<Rule>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Outside,
    /// After a header: the rule, the first and the last number.
    First(Rule, u32, u32),
    /// In a region, or after it: the number of the next line if it has none.
    Inside(Region, u32),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, state: State::Outside, stated: None }
    }

    /// The region that was read last. Numbered lines, gaps and references to lines of a region belong to it.
    #[cfg(test)]
    pub(crate) fn region(&self) -> Option<&Region> {
        match &self.state {
            State::Inside(region, _) => Some(region),
            _ => None,
        }
    }

    fn role(&mut self, line: &str) -> (Role, usize) {
        if let State::Inside(region, expected) = &mut self.state
            && *expected <= region.last
            && !may_be_more(line)
        {
            let number = *expected;
            *expected += 1;
            let ruled = !number.is_multiple_of(region.rule.every);
            return (Role::Numbered { number, ruled, colon: false }, 0);
        }
        match self.state {
            State::Inside(region, expected) if expected <= region.last => self.line(region, expected, line),
            State::Outside | State::Inside(..) => {
                if line.starts_with(MARK)
                    && let Some((rule, first, last)) = Rule::read_header(line, self.stated)
                {
                    self.stated = Some(rule);
                    self.state = State::First(rule, first, last);
                    return (Role::Header, 0);
                }
                (Role::Plain, 0)
            }
            State::First(rule, first, last) => match Prefix::of(line.as_bytes()) {
                Some(prefix) if prefix.number == first => self.first_line(rule, last, prefix, line),
                _ => {
                    self.state = State::Outside;
                    (Role::Plain, 0)
                }
            },
        }
    }

    fn first_line(&mut self, rule: Rule, last: u32, prefix: Prefix, line: &str) -> (Role, usize) {
        let mut style = prefix.style;
        let colon = rule.matches && style.separator == Separator::Colon;
        if colon {
            style.separator = Separator::Dash;
        }
        style.blank = rule.blank.is_some();
        let len = prefix.len + usize::from(style.blank && line.as_bytes().get(prefix.len) == Some(&b' '));
        self.go_on(Region { rule, style, first: prefix.number, last }, prefix.number);
        (Role::Numbered { number: prefix.number, ruled: false, colon }, len)
    }

    fn line(&mut self, region: Region, expected: u32, line: &str) -> (Role, usize) {
        if line == GAP {
            return (Role::Gap, 0);
        }
        if let Some(rest) = line.strip_prefix(MARK)
            && let Some((range, _)) = rest.split_once(':')
            && let Some((first, last)) = read_range(range)
        {
            self.go_on(region, last);
            return (Role::Reference { first, last }, 0);
        }
        let (number, separator, len) =
            region.anchor(line, expected).unwrap_or((expected, region.style.separator, 0));
        self.go_on(region, number);
        let anchored = len > 0;
        let colon = separator != region.style.separator;
        // An empty line shows the end of its separator only if it has its number.
        let told = !(anchored && region.style.blank && len == line.len());
        let ruled = number == expected
            && !colon
            && told
            && anchored == region.anchors(number, line.get(len..).unwrap_or_default());
        (Role::Numbered { number, ruled, colon }, len)
    }

    fn go_on(&mut self, region: Region, number: u32) {
        self.state = State::Inside(region, number + 1);
    }
}

impl Iterator for Reader<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let text = self.text;
        if self.at > text.len() {
            return None;
        }
        let start = self.at;
        let end = memchr::memchr(b'\n', text.as_bytes().get(start..).unwrap_or_default())
            .map_or(text.len(), |len| start + len);
        self.at = end + 1;
        let (role, len) = self.role(text.get(start..end).unwrap_or_default());
        Some(Line { start, end, content: start + len, role })
    }
}
