//! The tokens of the languages with braces.
//!
//! The lexer recognizes only what is needed to know where brackets open and close: strings and comments of
//! every kind, templates and JSX with the code inside them, regular expressions, directives of the
//! preprocessor.

use super::language::Language;
use crate::work;

/// What a token is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Word,
    Number,
    /// A string, a regular expression, or a piece of a template or of JSX.
    Text,
    /// `=>`
    FatArrow,
    /// `->`
    Arrow,
    Mark(u8),
    Open(u8),
    Close(u8),
    /// A preprocessor line, with its continuation lines.
    Directive,
    Comment,
}

/// A token, and the lines on which it begins and ends, from 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) line: usize,
    pub(super) last: usize,
}

/// The text is not valid in its language, as far as this lexer knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Unreadable;

/// What surrounds nested code.
#[derive(Clone, Copy, Debug)]
enum EnclosingSyntax {
    /// `${…}` in a template.
    Template,
    /// `{…}` in JSX, inside this many open elements; `tag`: among the attributes of one more.
    Jsx { open: usize, tag: bool },
}

/// The longest regular expression, in bytes. Longer ones are rare, and a file with one stays whole.
const LONGEST_REGULAR_EXPRESSION: usize = 500;

/// Deeper nesting of templates and JSX is not read.
const MOST_AROUND: usize = 200;

pub(super) struct Lexer<'s> {
    source: &'s str,
    bytes: &'s [u8],
    language: Language,
    at: usize,
    line: usize,
    /// Whether the line has had only white space so far.
    fresh: bool,
    /// The last token that is not a comment.
    before: Option<Token>,
    /// What surrounds the code, each with the number of braces that are open in it.
    around: Vec<(EnclosingSyntax, usize)>,
    /// What continues after the code that has just been closed.
    resume: Option<EnclosingSyntax>,
}

impl<'s> Lexer<'s> {
    pub(super) fn new(source: &'s str, language: Language) -> Self {
        Self {
            source,
            bytes: source.as_bytes(),
            language,
            at: 0,
            line: 0,
            fresh: true,
            before: None,
            around: Vec::new(),
            resume: None,
        }
    }

    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, Unreadable> {
        let resumed = self.resume.take();
        if resumed.is_none() {
            self.blanks();
        }
        let (start, line) = (self.at, self.line);
        let kind = match (resumed, self.peek(0)) {
            (Some(EnclosingSyntax::Template), _) => self.template()?,
            (Some(EnclosingSyntax::Jsx { open, tag }), _) => self.jsx(open, tag)?,
            (None, Some(byte)) => self.token(byte)?,
            (None, None) if self.around.is_empty() => return Ok(None),
            (None, None) => return Err(Unreadable),
        };
        work::spend(self.at.saturating_sub(start) + 1);
        let token = Token { kind, start, end: self.at, line, last: self.line };
        self.fresh = kind == Kind::Directive;
        if kind != Kind::Comment {
            self.before = Some(token);
        }
        Ok(Some(token))
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn starts(&self, text: &str) -> bool {
        self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(text.as_bytes()))
    }

    /// Moves to `to`, and counts the lines on the way.
    fn advance_to(&mut self, to: usize) {
        let to = to.min(self.bytes.len());
        let taken = self.bytes.get(self.at..to).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', taken).count();
        self.at = to;
    }

    fn blanks(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.fresh = true;
                }
                b' ' | b'\t' | b'\r' | 0x0c => {}
                // A line that continues on the next one.
                b'\\' if matches!(self.peek(1), Some(b'\n' | b'\r')) => {}
                // a byte order mark
                0xef if self.at == 0 && self.starts("\u{feff}") => self.at += 2,
                _ => return,
            }
            self.at += 1;
        }
    }

    fn token(&mut self, byte: u8) -> Result<Kind, Unreadable> {
        match byte {
            b'/' if self.peek(1) == Some(b'/') => {
                self.take_line();
                Ok(Kind::Comment)
            }
            b'/' if self.peek(1) == Some(b'*') => {
                self.block_comment()?;
                Ok(Kind::Comment)
            }
            b'#' if self.fresh && self.language.is_c() => self.directive(),
            b'#' if self.at == 0 && self.peek(1) == Some(b'!') && self.peek(2) != Some(b'[') => {
                self.take_line();
                Ok(Kind::Comment)
            }
            b'"' => self.quoted(),
            b'\'' => self.single_quoted(),
            b'`' if self.language == Language::Go => self.until("`", 1).map(|()| Kind::Text),
            b'`' if self.language.is_script() => {
                self.at += 1;
                self.template()
            }
            b'/' if self.language.is_script() && self.expects_operand() => self.regular_expression(),
            b'<' if self.language.has_jsx() && self.expects_operand() && self.begins_jsx() => {
                self.jsx(0, false)
            }
            b'(' | b'[' => self.mark(Kind::Open(byte)),
            b'{' => {
                if let Some((_, braces)) = self.around.last_mut() {
                    *braces += 1;
                }
                self.mark(Kind::Open(byte))
            }
            b')' | b']' => self.mark(Kind::Close(byte)),
            b'}' => {
                if let Some((around, braces)) = self.around.last_mut() {
                    *braces = braces.saturating_sub(1);
                    if *braces == 0 {
                        self.resume = Some(*around);
                        self.around.pop();
                    }
                }
                self.mark(Kind::Close(byte))
            }
            b'=' if self.peek(1) == Some(b'>') => {
                self.at += 2;
                Ok(Kind::FatArrow)
            }
            b'-' if self.peek(1) == Some(b'>') => {
                self.at += 2;
                Ok(Kind::Arrow)
            }
            b'0'..=b'9' => {
                self.number();
                Ok(Kind::Number)
            }
            _ if is_word(byte) => self.word(),
            _ => self.mark(Kind::Mark(byte)),
        }
    }

    fn mark(&mut self, kind: Kind) -> Result<Kind, Unreadable> {
        self.at += 1;
        Ok(kind)
    }

    fn take_line(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    }

    /// Moves past `skip` bytes and on to the end of `close`.
    fn until(&mut self, close: &str, skip: usize) -> Result<(), Unreadable> {
        let from = (self.at + skip).min(self.bytes.len());
        let rest = self.bytes.get(from..).unwrap_or_default();
        let found = memchr::memmem::find(rest, close.as_bytes()).ok_or(Unreadable)?;
        self.advance_to(from + found + close.len());
        Ok(())
    }

    fn block_comment(&mut self) -> Result<(), Unreadable> {
        if self.language != Language::Rust {
            return self.until("*/", 2);
        }
        let mut depth = 0_usize;
        loop {
            if self.starts("/*") {
                depth += 1;
                self.at += 2;
            } else if self.starts("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else {
                let byte = self.peek(0).ok_or(Unreadable)?;
                self.line += usize::from(byte == b'\n');
                self.at += 1;
            }
        }
    }

    fn directive(&mut self) -> Result<Kind, Unreadable> {
        while let Some(byte) = self.peek(0) {
            if byte == b'\n' {
                break;
            }
            if byte == b'\\' {
                let end = self.at + if self.peek(1) == Some(b'\r') { 3 } else { 2 };
                self.advance_to(end);
            } else if self.starts("/*") {
                self.until("*/", 2)?;
            } else if self.starts("//") {
                self.take_line();
            } else {
                self.at += 1;
            }
        }
        Ok(Kind::Directive)
    }

    fn quoted(&mut self) -> Result<Kind, Unreadable> {
        if self.language == Language::Java && self.starts("\"\"\"") {
            self.at += 3;
            loop {
                match self.peek(0).ok_or(Unreadable)? {
                    b'\\' => self.advance_to(self.at + 2),
                    b'"' if self.starts("\"\"\"") => {
                        self.at += 3;
                        return Ok(Kind::Text);
                    }
                    _ => self.advance_to(self.at + 1),
                }
            }
        }
        self.string(b'"', self.language == Language::Rust)
    }

    /// Reads a string up to this quote, with escapes. `lines`: it may have several lines.
    fn string(&mut self, quote: u8, lines: bool) -> Result<Kind, Unreadable> {
        self.at += 1;
        loop {
            match self.peek(0).ok_or(Unreadable)? {
                b'\\' if self.peek(1) == Some(b'\r') && self.peek(2) == Some(b'\n') => {
                    self.advance_to(self.at + 3)
                }
                b'\\' => self.advance_to(self.at + 2),
                b'\n' if !lines => return Err(Unreadable),
                byte => {
                    self.advance_to(self.at + 1);
                    if byte == quote {
                        return Ok(Kind::Text);
                    }
                }
            }
        }
    }

    fn single_quoted(&mut self) -> Result<Kind, Unreadable> {
        if self.language != Language::Rust || self.peek(1) == Some(b'\\') {
            return self.string(b'\'', false);
        }
        // 'a' is a character, 'a a lifetime.
        let rest = self.source.get(self.at + 1..).unwrap_or_default();
        let length = rest.chars().next().map_or(0, char::len_utf8);
        if self.peek(1 + length) == Some(b'\'') {
            self.advance_to(self.at + length + 2);
            return Ok(Kind::Text);
        }
        self.at += 1;
        self.letters();
        Ok(Kind::Text)
    }

    fn letters(&mut self) {
        while self.peek(0).is_some_and(|byte| is_word(byte) || byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn number(&mut self) {
        loop {
            self.letters();
            let goes_on = match self.peek(0) {
                Some(b'.') => self.peek(1).is_some_and(|next| next.is_ascii_digit()),
                Some(b'\'') if self.language.is_c() => {
                    self.peek(1).is_some_and(|next| next.is_ascii_alphanumeric())
                }
                _ => false,
            };
            if !goes_on {
                return;
            }
            self.at += 1;
        }
    }

    fn word(&mut self) -> Result<Kind, Unreadable> {
        let start = self.at;
        self.letters();
        let word = self.bytes.get(start..self.at).unwrap_or_default();
        let next = self.peek(0);
        match self.language {
            Language::Rust if matches!(word, b"r" | b"br" | b"cr") && matches!(next, Some(b'"' | b'#')) => {
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                let hashes = rest.iter().take_while(|byte| **byte == b'#').count();
                if rest.get(hashes) == Some(&b'"') {
                    let close = format!("\"{}", "#".repeat(hashes));
                    return self.until(&close, hashes + 1).map(|()| Kind::Text);
                }
                if hashes == 1 {
                    self.at += 1;
                    self.letters();
                }
            }
            Language::Rust if matches!(word, b"b" | b"c") && next == Some(b'"') => {
                return self.string(b'"', true);
            }
            Language::Rust if word == b"b" && next == Some(b'\'') => return self.string(b'\'', false),
            Language::Cpp if matches!(word, b"R" | b"u8R" | b"uR" | b"UR" | b"LR") && next == Some(b'"') => {
                let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
                let length = rest.iter().take(17).position(|byte| *byte == b'(').ok_or(Unreadable)?;
                let delimiter = rest.get(..length).map(String::from_utf8_lossy).ok_or(Unreadable)?;
                let close = format!("){delimiter}\"");
                return self.until(&close, length + 2).map(|()| Kind::Text);
            }
            _ => {}
        }
        Ok(Kind::Word)
    }

    /// Whether a value is expected, so that `/` begins a regular expression and `<` begins JSX.
    fn expects_operand(&self) -> bool {
        let Some(before) = self.before else { return true };
        match before.kind {
            Kind::Word => {
                let word = self.source.get(before.start..before.end).unwrap_or_default();
                [
                    "return",
                    "typeof",
                    "case",
                    "in",
                    "of",
                    "delete",
                    "void",
                    "throw",
                    "new",
                    "else",
                    "do",
                    "instanceof",
                    "await",
                    "yield",
                    "default",
                    "extends",
                ]
                .contains(&word)
            }
            Kind::Number | Kind::Text | Kind::Close(b')' | b']') => false,
            // A statement begins after a block, but seldom on the line where an object ends.
            Kind::Close(_) => before.last < self.line,
            Kind::Mark(mark) => !self.is_postfix(mark, before),
            _ => true,
        }
    }

    /// Whether the mark is `++`, `--` or TypeScript's `!` after a value.
    fn is_postfix(&self, mark: u8, before: Token) -> bool {
        let earlier = before.start.checked_sub(1).and_then(|at| self.bytes.get(at)).copied();
        match mark {
            b'+' | b'-' => earlier == Some(mark),
            b'!' => earlier.is_some_and(|byte| is_word(byte) || matches!(byte, b')' | b']')),
            _ => false,
        }
    }

    fn regular_expression(&mut self) -> Result<Kind, Unreadable> {
        let mut at = self.at + 1;
        let mut class = false;
        loop {
            // It may be tried at every slash of a line.
            if at - self.at > LONGEST_REGULAR_EXPRESSION {
                return Err(Unreadable);
            }
            work::spend(1);
            match self.bytes.get(at) {
                // A regular expression has no line end, so this slash is a division.
                None | Some(b'\n') => return self.mark(Kind::Mark(b'/')),
                Some(b'\\') => at += 1,
                Some(b'[') => class = true,
                Some(b']') => class = false,
                Some(b'/') if !class => break,
                Some(_) => {}
            }
            at += 1;
        }
        self.at = at + 1;
        self.letters();
        Ok(Kind::Text)
    }

    /// Reads the rest of a template, up to its end or to code in it.
    fn template(&mut self) -> Result<Kind, Unreadable> {
        loop {
            match self.peek(0).ok_or(Unreadable)? {
                b'\\' => self.advance_to(self.at + 2),
                b'`' => {
                    self.at += 1;
                    return Ok(Kind::Text);
                }
                b'$' if self.peek(1) == Some(b'{') => {
                    self.at += 1;
                    return self.enter(EnclosingSyntax::Template);
                }
                _ => self.advance_to(self.at + 1),
            }
        }
    }

    /// `{` and nested code follow.
    fn enter(&mut self, around: EnclosingSyntax) -> Result<Kind, Unreadable> {
        if self.around.len() >= MOST_AROUND {
            return Err(Unreadable);
        }
        self.around.push((around, 0));
        Ok(Kind::Text)
    }

    /// Whether `<` begins an element, not the parameters of a type.
    fn begins_jsx(&self) -> bool {
        let rest = self.source.get(self.at + 1..).unwrap_or_default();
        if rest.starts_with('>') {
            return true;
        }
        if !rest.bytes().next().is_some_and(is_word) {
            return false;
        }
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '-' | ':');
        let behind = rest.trim_start_matches(is_name).trim_start();
        !behind.starts_with(',') && !behind.starts_with("extends ")
    }

    /// Reads the rest of JSX, up to its end or to code in it, inside this many open elements. `tag`: it
    /// continues among the attributes of one.
    fn jsx(&mut self, mut open: usize, mut tag: bool) -> Result<Kind, Unreadable> {
        loop {
            let byte = self.peek(0).ok_or(Unreadable)?;
            match byte {
                b'{' => return self.enter(EnclosingSyntax::Jsx { open, tag }),
                b'/' if tag && self.starts("/>") => {
                    self.at += 2;
                    tag = false;
                    if open == 0 {
                        return Ok(Kind::Text);
                    }
                }
                b'/' if tag && self.starts("/*") => self.until("*/", 2)?,
                b'/' if tag && self.starts("//") => self.take_line(),
                b'>' if tag => {
                    self.at += 1;
                    open += 1;
                    tag = false;
                }
                b'"' | b'\'' if tag => self.until(if byte == b'"' { "\"" } else { "'" }, 1)?,
                b'<' if !tag && self.starts("</") => {
                    self.until(">", 2)?;
                    open = open.checked_sub(1).ok_or(Unreadable)?;
                    if open == 0 {
                        return Ok(Kind::Text);
                    }
                }
                b'<' if !tag && self.begins_jsx() => {
                    self.at += 1;
                    tag = true;
                }
                // The parameters of a type inside an element are not read.
                b'<' => return Err(Unreadable),
                _ => self.advance_to(self.at + 1),
            }
        }
    }
}

/// Whether a byte is a letter of a word. Digits are not.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$') || byte >= 0x80
}
