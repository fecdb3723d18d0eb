//! Functions and statements of Python, from logical lines and their indentation.

use super::language::Language;
use super::lexer::Unreadable;
use super::outline::{Block, Function, Outline, Statement};
use crate::work;

/// Deeper nested suites are not read.
const MOST_DEPTH: usize = 100;
/// The same for brackets, and for strings inside the fields of strings.
const MOST_BRACKETS: usize = 200;
const MOST_FIELDS: usize = 8;

pub(super) fn outline(source: &str) -> Result<Outline, Unreadable> {
    let lines = memchr::memchr_iter(b'\n', source.as_bytes()).count() + 1;
    let mut outline = Outline::of_lines(lines);
    let mut reader = Reader { source, bytes: source.as_bytes(), at: 0, line: 0 };
    let mut suites = Suites {
        open: vec![Suite { indent: "", block: None, statement: None, decorated: false }],
        functions: Vec::new(),
    };
    while let Some(logical) = reader.logical_line(&mut outline)? {
        suites.take(&logical, source, &mut outline)?;
    }
    suites.close_to(0, lines, &mut outline);
    Ok(outline)
}

/// A logical line: lines joined by brackets, strings and backslashes.
struct Logical<'s> {
    indent: &'s str,
    first: usize,
    last: usize,
    /// Its first word.
    word: &'s str,
    /// The place of its second word.
    second: std::ops::Range<usize>,
    /// Whether it ends with a colon.
    opens: bool,
    /// Whether it is a single string.
    documents: bool,
    raises: bool,
    /// Whether it is a decorator.
    decorates: bool,
    /// Whether it names a variable of an outer function, which has to be bound there.
    nonlocal: bool,
}

struct Reader<'s> {
    source: &'s str,
    bytes: &'s [u8],
    at: usize,
    line: usize,
}

impl<'s> Reader<'s> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn starts(&self, text: &[u8]) -> bool {
        self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(text))
    }

    fn step(&mut self) {
        self.line += usize::from(self.peek(0) == Some(b'\n'));
        self.at += 1;
    }

    fn take_line(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    }

    /// The white space before the next line that has more than a comment. `None` at the end.
    fn indent(&mut self) -> Option<&'s str> {
        if self.at == 0 && self.starts(b"\xef\xbb\xbf") {
            self.at = 3;
        }
        loop {
            let start = self.at;
            while matches!(self.peek(0), Some(b' ' | b'\t' | 0x0c)) {
                self.at += 1;
            }
            let indent = self.source.get(start..self.at).unwrap_or_default();
            match self.peek(0)? {
                b'#' => self.take_line(),
                b'\n' => self.step(),
                b'\r' if matches!(self.peek(1), Some(b'\n') | None) => self.at += 1,
                _ => return Some(indent),
            }
        }
    }

    fn logical_line(&mut self, outline: &mut Outline) -> Result<Option<Logical<'s>>, Unreadable> {
        let start = self.at;
        let Some(indent) = self.indent() else { return Ok(None) };
        let mut line = Logical {
            indent,
            first: self.line,
            last: self.line,
            word: "",
            second: 0..0,
            opens: false,
            documents: true,
            raises: false,
            decorates: self.peek(0) == Some(b'@'),
            nonlocal: false,
        };
        let mut brackets: Vec<u8> = Vec::new();
        let mut words = 0;
        while let Some(byte) = self.peek(0) {
            line.last = self.line;
            match byte {
                b'\n' if brackets.is_empty() => {
                    self.step();
                    break;
                }
                b'\n' | b' ' | b'\t' | b'\r' | 0x0c => self.step(),
                b'\\' if matches!(self.peek(1), Some(b'\n' | b'\r')) => {
                    self.at += 1 + usize::from(self.peek(1) == Some(b'\r'));
                    self.step();
                }
                b'#' => self.take_line(),
                b'"' | b'\'' => {
                    self.string(&[], 0)?;
                    line.opens = false;
                }
                b'(' | b'[' | b'{' => {
                    if brackets.len() > MOST_BRACKETS {
                        return Err(Unreadable);
                    }
                    brackets.push(byte);
                    self.at += 1;
                    (line.opens, line.documents) = (false, false);
                }
                b')' | b']' | b'}' => {
                    let fits = matches!(
                        (brackets.pop(), byte),
                        (Some(b'('), b')') | (Some(b'['), b']') | (Some(b'{'), b'}')
                    );
                    if !fits {
                        return Err(Unreadable);
                    }
                    self.at += 1;
                    line.opens = false;
                }
                _ if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 => {
                    let start = self.at;
                    while self.peek(0).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80) {
                        self.at += 1;
                    }
                    let word = self.source.get(start..self.at).unwrap_or_default();
                    line.opens = false;
                    if matches!(self.peek(0), Some(b'"' | b'\'')) && is_prefix(word) {
                        self.string(word.as_bytes(), 0)?;
                    } else {
                        line.documents = false;
                        line.raises |= Language::Python.raises(word);
                        line.nonlocal |= word == "nonlocal";
                        match words {
                            0 => line.word = word,
                            1 => line.second = start..self.at,
                            // `async def name`
                            2 if line.word == "async" => line.second = start..self.at,
                            _ => {}
                        }
                        words += 1;
                    }
                }
                b':' => {
                    self.at += 1;
                    (line.opens, line.documents) = (brackets.is_empty(), false);
                }
                _ => {
                    self.at += 1;
                    (line.opens, line.documents) = (false, false);
                    // A decorator, or anything else that does not begin with a word.
                    words += 1;
                }
            }
        }
        if !brackets.is_empty() {
            return Err(Unreadable);
        }
        work::spend(self.at - start);
        outline.spans(line.first, line.last);
        Ok(Some(line))
    }

    /// Reads a string from its quotes on.
    fn string(&mut self, prefix: &[u8], fields: usize) -> Result<(), Unreadable> {
        let has = |letter: u8| prefix.iter().any(|byte| byte.eq_ignore_ascii_case(&letter));
        let formatted = has(b'f') || has(b't');
        let quote = self.peek(0).ok_or(Unreadable)?;
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        self.at += if triple { 3 } else { 1 };
        loop {
            let byte = self.peek(0).ok_or(Unreadable)?;
            if byte == b'\\' {
                self.at += 1;
                if self.peek(0) == Some(b'\r') && self.peek(1) == Some(b'\n') {
                    self.at += 1;
                }
                self.step();
            } else if byte == quote && !triple {
                self.at += 1;
                return Ok(());
            } else if byte == quote && self.peek(1) == Some(quote) && self.peek(2) == Some(quote) {
                self.at += 3;
                return Ok(());
            } else if byte == b'\n' && !triple {
                return Err(Unreadable);
            } else if formatted && byte == b'{' {
                if self.peek(1) == Some(b'{') {
                    self.at += 2;
                } else {
                    self.field(quote, triple, fields)?;
                }
            } else {
                self.step();
            }
        }
    }

    /// Reads `{…}` in a formatted string: an expression, and after a colon a format. The quotes of the string
    /// end the format.
    fn field(&mut self, quote: u8, triple: bool, fields: usize) -> Result<(), Unreadable> {
        if fields >= MOST_FIELDS {
            return Err(Unreadable);
        }
        self.at += 1;
        let mut depth = 0_usize;
        loop {
            match self.peek(0).ok_or(Unreadable)? {
                b'(' | b'[' | b'{' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' if depth == 0 => {
                    self.at += 1;
                    return Ok(());
                }
                b')' | b']' | b'}' => {
                    depth = depth.checked_sub(1).ok_or(Unreadable)?;
                    self.at += 1;
                }
                b'"' | b'\'' => {
                    let start = self.at;
                    let before = self.bytes.get(..start).unwrap_or_default();
                    let letters =
                        before.iter().rev().take(2).take_while(|byte| byte.is_ascii_alphabetic()).count();
                    let prefix = before.get(start - letters..).unwrap_or_default();
                    self.string(prefix, fields + 1)?;
                }
                b'!' if depth == 0 && self.peek(1) != Some(b'=') => self.at += 1,
                b':' if depth == 0 => {
                    self.at += 1;
                    return self.format(quote, triple, fields);
                }
                b'\n' if !triple && depth == 0 => return Err(Unreadable),
                _ => self.step(),
            }
        }
    }

    fn format(&mut self, quote: u8, triple: bool, fields: usize) -> Result<(), Unreadable> {
        loop {
            match self.peek(0).ok_or(Unreadable)? {
                b'}' => {
                    self.at += 1;
                    return Ok(());
                }
                b'{' => self.field(quote, triple, fields + 1)?,
                byte if byte == quote && !triple => return Err(Unreadable),
                _ => self.step(),
            }
        }
    }
}

fn is_prefix(word: &str) -> bool {
    word.len() <= 2 && word.bytes().all(|byte| b"rRbBuUfFtT".contains(&byte))
}

/// An open suite. The first one is the module.
struct Suite<'s> {
    indent: &'s str,
    /// The block, if it is in a function.
    block: Option<usize>,
    /// Its last statement, if it has a block.
    statement: Option<usize>,
    /// Whether that statement is only a decorator so far.
    decorated: bool,
}

struct Suites<'s> {
    open: Vec<Suite<'s>>,
    /// The open functions, each with the number of suites around its body.
    functions: Vec<(usize, usize)>,
}

/// What the last line opened.
enum OpenedScope {
    Nothing,
    Block,
    Function(std::ops::Range<usize>),
}

impl<'s> Suites<'s> {
    fn take(&mut self, line: &Logical<'s>, source: &'s str, outline: &mut Outline) -> Result<(), Unreadable> {
        self.find_suite(line, outline)?;
        self.add_statement(line, outline);
        if !line.opens {
            return Ok(());
        }
        let definition = line.word == "def" || line.word == "async" && self.is_definition(line, source);
        let opened = if definition {
            OpenedScope::Function(line.second.clone())
        } else if self.open.last().is_some_and(|suite| suite.block.is_some()) && line.word != "class" {
            OpenedScope::Block
        } else {
            OpenedScope::Nothing
        };
        self.open_suite(line, opened, outline)
    }

    fn is_definition(&self, line: &Logical<'s>, source: &'s str) -> bool {
        let before = source.get(..line.second.start).unwrap_or_default();
        before.trim_end().ends_with("def")
    }

    /// Closes the suites that end before a line, and sets the indentation of the suite that begins with it.
    fn find_suite(&mut self, line: &Logical<'s>, outline: &mut Outline) -> Result<(), Unreadable> {
        let around =
            self.open.len().checked_sub(2).and_then(|at| self.open.get(at)).map(|suite| suite.indent);
        if let (Some(suite), Some(around)) = (self.open.last_mut(), around)
            && suite.indent == PENDING
        {
            if line.indent.len() <= around.len() || !line.indent.starts_with(around) {
                return Err(Unreadable);
            }
            suite.indent = line.indent;
            return Ok(());
        }
        let depth = self.open.iter().rposition(|suite| suite.indent == line.indent).ok_or(Unreadable)?;
        self.close_to(depth, line.first, outline);
        Ok(())
    }

    /// Closes all suites after the first `depth` ones, before a line.
    fn close_to(&mut self, depth: usize, line: usize, outline: &mut Outline) {
        for suite in self.open.drain((depth + 1).min(self.open.len())..) {
            if let Some(block) = suite.block.and_then(|block| outline.blocks.get_mut(block)) {
                block.close = Some(line);
            }
        }
        while self.functions.last().is_some_and(|(_, around)| *around > depth) {
            self.functions.pop();
        }
    }

    fn add_statement(&mut self, line: &Logical<'s>, outline: &mut Outline) {
        let Some((suite, around)) = self.open.split_last_mut() else { return };
        // What happens in a suite also happens in the statements around it.
        for suite in around {
            let (Some(block), Some(statement)) = (suite.block, suite.statement) else { continue };
            let statement =
                outline.blocks.get_mut(block).and_then(|block| block.statements.get_mut(statement));
            if let Some(statement) = statement {
                statement.raises |= line.raises;
                statement.keeps |= line.nonlocal;
                statement.last = line.last;
            }
        }
        let Some(block) = suite.block.and_then(|block| outline.blocks.get_mut(block)) else { return };
        let clause = ["elif", "else", "except", "finally", "case"].contains(&line.word) && line.opens;
        let decorated = std::mem::replace(&mut suite.decorated, line.decorates);
        if let Some(last) = block.statements.last_mut().filter(|_| clause || decorated) {
            last.last = line.last;
            last.raises |= line.raises;
            return;
        }
        suite.statement = Some(block.statements.len());
        block.statements.push(Statement {
            first: line.first,
            last: line.last,
            blocks: Vec::new(),
            raises: line.raises,
            documents: line.documents && block.statements.is_empty(),
            keeps: line.nonlocal,
        });
    }

    fn open_suite(
        &mut self,
        line: &Logical<'s>,
        opened: OpenedScope,
        outline: &mut Outline,
    ) -> Result<(), Unreadable> {
        if self.open.len() > MOST_DEPTH {
            return Err(Unreadable);
        }
        let block = match opened {
            OpenedScope::Nothing => None,
            OpenedScope::Block | OpenedScope::Function(_) => {
                outline.blocks.push(Block { open: line.last, close: None, statements: Vec::new() });
                Some(outline.blocks.len() - 1)
            }
        };
        match (opened, block) {
            (OpenedScope::Function(name), Some(block)) => {
                let parent = self.functions.last().map(|(function, _)| *function);
                self.functions.push((outline.functions.len(), self.open.len()));
                outline.functions.push(Function { name, block, parent });
            }
            (OpenedScope::Block, Some(block)) => {
                if let Some(suite) = self.open.last()
                    && let (Some(around), Some(statement)) = (suite.block, suite.statement)
                    && let Some(statement) =
                        outline.blocks.get_mut(around).and_then(|around| around.statements.get_mut(statement))
                {
                    statement.blocks.push(block);
                }
            }
            _ => {}
        }
        self.open.push(Suite { indent: PENDING, block, statement: None, decorated: false });
        Ok(())
    }
}

/// The indentation of a suite before its first line. No real line has it.
const PENDING: &str = "\n";
