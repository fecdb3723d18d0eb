//! Functions and statements of languages with braces.
//!
//! One pass over the tokens. What a brace opens is decided by what its container has seen since the statement
//! began: the keywords, the last brackets, whether something is assigned. Anything uncertain is opaque: no
//! statement in it can be left out alone. To take a statement for longer than it is does no harm, because
//! only whole statements are left out. So in case of doubt a statement goes on.

mod opened;

use std::ops::Range;

use super::language::Language;
use super::lexer::{Kind, Lexer, Token, Unreadable};
use super::outline::{Block, Function, Outline, Statement};
use crate::work;

/// Deeper nesting of brackets is not read.
const MOST_DEPTH: usize = 200;

pub(super) fn outline(source: &str, language: Language) -> Result<Outline, Unreadable> {
    let lines = memchr::memchr_iter(b'\n', source.as_bytes()).count() + 1;
    let mut scanner = Scanner {
        source,
        language,
        outline: Outline { whole: language.is_c(), ..Outline::of_lines(lines) },
        open: vec![Open::new(Container::Plain, b' ', None)],
        functions: Vec::new(),
        formats: false,
    };
    let mut lexer = Lexer::new(source, language);
    while let Some(token) = lexer.next()? {
        if token.kind == Kind::Text || matches!(token.kind, Kind::Comment | Kind::Directive) {
            scanner.outline.spans(token.line, token.last);
        }
        match token.kind {
            Kind::Comment => {}
            Kind::Directive => scanner.directive(token),
            _ => scanner.token(token)?,
        }
    }
    Ok(scanner.outline)
}

/// The content of a pair of brackets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Container {
    /// The file, a namespace, a module: declarations, and statements in scripts.
    Plain,
    /// The members of a type.
    Class,
    /// The constants of an enumeration in Java, before its members.
    Enum,
    /// An object of a script, or anything else that is not a list of statements.
    Object,
    /// Parentheses and square brackets.
    Group,
    /// Statements of a function.
    Body,
    /// Not read.
    Opaque,
}

/// An open bracket, and what its innermost level has shown since the last statement or element ended.
#[derive(Debug)]
struct Open {
    container: Container,
    bracket: u8,
    /// The block, if it is a body.
    block: Option<usize>,
    /// Whether it is the body of a function.
    function: bool,
    head: Head,
    /// The last token on this level.
    before: Option<Token>,
    /// Whether the statement ended with it.
    ended: bool,
    /// What the last brace on this level enclosed.
    closed: Option<Container>,
    closed_function: bool,
}

/// What a statement has shown so far on its own level.
#[derive(Debug, Default)]
struct Head {
    first: Option<Token>,
    /// The place of its first word.
    word: Range<usize>,
    /// Whether it has `fn`, `func` or `function`, and the name after it.
    function: bool,
    name: Range<usize>,
    wants_name: bool,
    /// Whether it has `class` or a similar word.
    class: bool,
    enumeration: bool,
    namespace: bool,
    /// Whether something is assigned.
    assigned: bool,
    /// The text before the first `=` or `:`.
    target: Range<usize>,
    /// The number of parentheses so far, and the word before the last ones.
    groups: usize,
    called: Range<usize>,
    /// Whether `:` or `->` follows the last parentheses.
    colon: bool,
    arrow: bool,
    /// Whether the parentheses that were closed last belong to `if (…)` or a similar word.
    condition: bool,
    /// How many blocks have been closed on this level.
    blocks: usize,
    statement: Option<usize>,
    requires: bool,
    creates: bool,
    /// Whether a type is declared.
    types: bool,
}

impl Open {
    fn new(container: Container, bracket: u8, block: Option<usize>) -> Self {
        Self {
            container,
            bracket,
            block,
            function: false,
            head: Head::default(),
            before: None,
            ended: false,
            closed: None,
            closed_function: false,
        }
    }
}

struct Scanner<'s> {
    source: &'s str,
    language: Language,
    outline: Outline,
    open: Vec<Open>,
    /// The functions that are open.
    functions: Vec<usize>,
    /// Whether Go makes an error of the next text, or wraps one that it passes on.
    formats: bool,
}

/// Words that begin a statement with its own block.
const CONTROL: [&str; 12] = [
    "if",
    "for",
    "while",
    "do",
    "try",
    "switch",
    "synchronized",
    "with",
    "loop",
    "unsafe",
    "match",
    "select",
];

/// Words that continue the statement before them.
const CONTINUE: [&str; 14] = [
    "else",
    "catch",
    "finally",
    "instanceof",
    "in",
    "of",
    "as",
    "is",
    "satisfies",
    "extends",
    "implements",
    "and",
    "or",
    "from",
];

/// Keywords of Go after which a line end does not end the statement.
const GO_OPEN: [&str; 20] = [
    "case",
    "chan",
    "const",
    "default",
    "defer",
    "else",
    "for",
    "func",
    "go",
    "goto",
    "if",
    "import",
    "interface",
    "map",
    "package",
    "range",
    "select",
    "struct",
    "switch",
    "type",
];

/// Words of scripts after which a line end does not end the statement.
const SCRIPT_OPEN: [&str; 29] = [
    "else",
    "do",
    "typeof",
    "new",
    "in",
    "of",
    "instanceof",
    "const",
    "let",
    "var",
    "async",
    "await",
    "void",
    "delete",
    "case",
    "default",
    "extends",
    "import",
    "export",
    "from",
    "as",
    "throw",
    "try",
    "finally",
    "class",
    "function",
    "static",
    "abstract",
    "implements",
];

impl Scanner<'_> {
    fn word(&self, token: Token) -> &str {
        if token.kind == Kind::Word {
            self.source.get(token.start..token.end).unwrap_or_default()
        } else {
            ""
        }
    }

    fn text(&self, range: &Range<usize>) -> &str {
        self.source.get(range.clone()).unwrap_or_default()
    }

    /// Directives stay, and a statement that contains one is not left out.
    fn directive(&mut self, token: Token) {
        for line in token.line..=token.last {
            if let Some(directive) = self.outline.directives.get_mut(line) {
                *directive = true;
            }
        }
    }

    fn token(&mut self, token: Token) -> Result<(), Unreadable> {
        match token.kind {
            Kind::Open(bracket) => self.opens(token, bracket),
            Kind::Close(bracket) => self.closes(token, bracket),
            _ => {
                self.begins(token);
                self.takes(token);
                Ok(())
            }
        }
    }

    /// Ends the statement before this token, if it has ended, and begins the next.
    fn begins(&mut self, token: Token) {
        let ends = self.ends_before(token);
        let Some(open) = self.open.last_mut() else { return };
        open.ended = false;
        if ends {
            open.head = Head::default();
            (open.closed, open.closed_function) = (None, false);
        }
        if open.head.first.is_some() {
            return;
        }
        open.head.first = Some(token);
        if let (Container::Body, Some(block)) = (open.container, open.block)
            && let Some(block) = self.outline.blocks.get_mut(block)
        {
            open.head.statement = Some(block.statements.len());
            block.statements.push(Statement {
                first: token.line,
                last: token.last,
                blocks: Vec::new(),
                raises: false,
                documents: false,
                keeps: false,
            });
        }
    }

    /// Whether the statement of the innermost container ended before this token.
    fn ends_before(&self, token: Token) -> bool {
        let Some(open) = self.open.last() else { return false };
        let Some(before) = open.before else { return false };
        let (head, word) = (&open.head, self.word(token));
        let lists = matches!(
            open.container,
            Container::Group | Container::Object | Container::Enum | Container::Opaque
        );
        if lists {
            return matches!(before.kind, Kind::Mark(b',' | b';'));
        }
        if open.ended {
            // `if (a) b; else c;`
            return word != "else" && !(word == "while" && self.text(&head.word) == "do");
        }
        let next_line = token.line > before.last;
        let first = self.text(&head.word);
        let goes_on = CONTINUE.contains(&word) || word == "while" && first == "do";
        if let Kind::Close(b'}') = before.kind {
            return match self.language {
                Language::Go => next_line,
                Language::Rust => {
                    let declared = open.closed_function || open.closed == Some(Container::Class);
                    open.closed.is_some()
                        && (!head.assigned || declared && open.container != Container::Body)
                        && !["let", "return", "break"].contains(&first)
                        && (token.kind == Kind::Word && !goes_on
                            || matches!(token.kind, Kind::Mark(b'#'))
                            || token.kind == Kind::Text && self.is_lifetime(token))
                }
                Language::Java => {
                    open.closed.is_some_and(|closed| closed != Container::Object)
                        && !head.assigned
                        && !["return", "throw", "assert", "yield"].contains(&first)
                        && (token.kind == Kind::Word && !goes_on
                            || open.container != Container::Body && token.kind == Kind::Mark(b'@'))
                }
                Language::C | Language::Cpp => {
                    let block = open.closed_function
                        || open.closed == Some(Container::Body) && !head.assigned
                        || open.closed == Some(Container::Plain);
                    block
                        && !["return", "typedef", "throw"].contains(&first)
                        && (token.kind == Kind::Word && !goes_on
                            || open.container != Container::Body
                                && matches!(token.kind, Kind::Mark(b'~' | b'[' | b':')))
                }
                _ => {
                    next_line
                        && (token.kind == Kind::Word && !goes_on
                            || open.container == Container::Class
                                && matches!(token.kind, Kind::Mark(b'@' | b'#' | b'*') | Kind::Text))
                }
            };
        }
        let ends_value = match before.kind {
            Kind::Number | Kind::Text | Kind::Close(_) => true,
            Kind::Word => {
                let word = self.word(before);
                match self.language {
                    Language::Go => !GO_OPEN.contains(&word),
                    _ => !SCRIPT_OPEN.contains(&word),
                }
            }
            Kind::Mark(mark @ (b'+' | b'-')) => {
                before.start.checked_sub(1).and_then(|at| self.source.as_bytes().get(at)) == Some(&mark)
            }
            _ => false,
        };
        match self.language {
            Language::Go => next_line && ends_value,
            language if language.is_script() => {
                let decorates = matches!(head.first.map(|first| first.kind), Some(Kind::Mark(b'@')));
                next_line
                    && ends_value
                    && !head.condition
                    && !decorates
                    && !goes_on
                    && (token.kind == Kind::Word
                        || open.container == Container::Class
                            && matches!(token.kind, Kind::Mark(b'@' | b'#')))
            }
            _ => false,
        }
    }

    fn is_lifetime(&self, token: Token) -> bool {
        let text = self.source.get(token.start..token.end).unwrap_or_default();
        text.starts_with('\'') && !text.ends_with('\'')
    }

    /// Reads a token that is not a bracket.
    fn takes(&mut self, token: Token) {
        let (language, source) = (self.language, self.source);
        let word = if token.kind == Kind::Word {
            source.get(token.start..token.end).unwrap_or_default()
        } else {
            ""
        };
        if !word.is_empty() && language.raises(word) {
            self.raises();
        }
        if token.kind == Kind::Text && std::mem::take(&mut self.formats) {
            let text = source.get(token.start..token.end).unwrap_or_default();
            if !text.contains("%w") {
                self.raises();
            }
        }
        self.formats |= language == Language::Go && word == "Errorf";
        self.extend(token);
        let Some(open) = self.open.last_mut() else { return };
        let head = &mut open.head;
        match token.kind {
            Kind::Word => {
                if head.word.is_empty() {
                    head.word = token.start..token.end;
                }
                let receiver = language == Language::Go
                    && open.container == Container::Plain
                    && head.groups == 1
                    && head.name.is_empty()
                    && source.get(head.word.clone()) == Some("func")
                    && matches!(open.before.map(|before| before.kind), Some(Kind::Close(b')')));
                if std::mem::take(&mut head.wants_name) || receiver {
                    head.name = token.start..token.end;
                }
                head.condition = false;
                let function = match language {
                    Language::Go => word == "func",
                    Language::Rust => word == "fn",
                    _ => language.is_script() && word == "function",
                };
                if function {
                    head.function = true;
                    head.wants_name = true;
                    head.name = 0..0;
                }
                let is = |words: &[&str]| words.contains(&word);
                let member = matches!(open.before.map(|before| before.kind), Some(Kind::Mark(b'.' | b':')));
                head.class |= !member
                    && is(&["class", "struct", "union", "interface", "trait", "impl", "record"])
                    && (language != Language::Go);
                head.enumeration |= word == "enum";
                head.namespace |= is(&["namespace", "module", "extern", "mod"]);
                let declares = ["type", "interface", "export", "declare"];
                head.types |= language.is_script()
                    && is(&["type", "interface"])
                    && declares.contains(&source.get(head.word.clone()).unwrap_or_default());
                // Their types follow from their bodies.
                let deduced = language.is_c() && is(&["constexpr", "consteval", "auto"]) && !head.arrow;
                head.requires |= deduced || is(&["requires", "concept"]);
                head.creates |= word == "new";
            }
            Kind::Mark(b'=') => {
                let operator = open.before.is_some_and(|before| {
                    before.kind == Kind::Word && source.get(before.start..before.end) == Some("operator")
                });
                let bytes = source.as_bytes();
                let compares = bytes.get(token.end) == Some(&b'=')
                    || token.start > 0
                        && matches!(bytes.get(token.start - 1), Some(b'=' | b'<' | b'>' | b'!'));
                let control = CONTROL.contains(&source.get(head.word.clone()).unwrap_or_default());
                // `impl Iterator<Item = T>` is not an assignment.
                let signature = language == Language::Rust && head.function;
                if !operator && !compares && !control && !signature {
                    if head.target.is_empty() {
                        head.target = named(open.before);
                    }
                    head.assigned = true;
                }
            }
            Kind::Mark(b':') => {
                if head.target.is_empty() && head.groups == 0 {
                    head.target = named(open.before);
                }
                let bytes = source.as_bytes();
                let path = bytes.get(token.end) == Some(&b':')
                    || token.start > 0 && bytes.get(token.start - 1) == Some(&b':');
                head.colon |= head.groups > 0 && !path;
                head.condition = false;
            }
            Kind::Mark(b'*') if head.wants_name => {}
            Kind::Mark(b';') => {
                // `for i := 0; i < n; i++ {`
                let header = language == Language::Go
                    && head.blocks == 0
                    && ["if", "for", "switch"].contains(&source.get(head.word.clone()).unwrap_or_default());
                open.ended = !header;
            }
            Kind::Arrow => head.arrow |= head.groups > 0,
            _ => {
                head.condition = false;
                head.wants_name = false;
            }
        }
        open.before = Some(token);
    }

    /// Notes that the statement of the innermost body deals with failure, and all statements around it.
    fn raises(&mut self) {
        for open in self.open.iter().rev() {
            work::spend(1);
            if let (Some(block), Some(statement)) = (open.block, open.head.statement)
                && let Some(statement) =
                    self.outline.blocks.get_mut(block).and_then(|block| block.statements.get_mut(statement))
                && std::mem::replace(&mut statement.raises, true)
            {
                return;
            }
        }
    }

    /// Extends the statement of this level to the end of a token.
    fn extend(&mut self, token: Token) {
        if let Some(open) = self.open.last()
            && let (Some(block), Some(statement)) = (open.block, open.head.statement)
            && let Some(statement) =
                self.outline.blocks.get_mut(block).and_then(|block| block.statements.get_mut(statement))
        {
            statement.last = statement.last.max(token.last);
        }
    }

    fn opens(&mut self, token: Token, bracket: u8) -> Result<(), Unreadable> {
        if self.open.len() > MOST_DEPTH {
            return Err(Unreadable);
        }
        self.begins(token);
        self.extend(token);
        let (container, function) = if bracket == b'{' { self.brace() } else { (Container::Group, None) };
        let Some(open) = self.open.last_mut() else { return Err(Unreadable) };
        let before = open.before;
        open.before = Some(token);
        if bracket == b'(' {
            let head = &mut open.head;
            head.groups += 1;
            head.wants_name = false;
            let called = named(before);
            let word = self.source.get(called.clone()).unwrap_or_default();
            head.condition = ["if", "for", "while", "with", "await"].contains(&word);
            // Members follow the `:` of a constructor, and these names are not functions either.
            if !head.colon && !["noexcept", "decltype", "alignas", "__attribute__", "throws"].contains(&word)
            {
                head.called = called;
            }
        }
        let statement = open.head.statement.zip(open.block);
        let mut inner = Open::new(container, bracket, None);
        if container == Container::Body {
            let block = self.outline.blocks.len();
            self.outline.blocks.push(Block { open: token.last, close: None, statements: Vec::new() });
            inner.block = Some(block);
            if let Some(name) = function {
                inner.function = true;
                let parent = self.functions.last().copied();
                self.functions.push(self.outline.functions.len());
                self.outline.functions.push(Function { name, block, parent });
            } else if let Some((statement, around)) = statement
                && let Some(statement) =
                    self.outline.blocks.get_mut(around).and_then(|block| block.statements.get_mut(statement))
            {
                statement.blocks.push(block);
            }
        }
        self.open.push(inner);
        Ok(())
    }

    fn closes(&mut self, token: Token, bracket: u8) -> Result<(), Unreadable> {
        let inner = self.open.pop().ok_or(Unreadable)?;
        let fits = matches!((inner.bracket, bracket), (b'{', b'}') | (b'(', b')') | (b'[', b']'));
        if !fits || self.open.is_empty() {
            return Err(Unreadable);
        }
        if let Some(block) = inner.block.and_then(|block| self.outline.blocks.get_mut(block)) {
            block.close = Some(token.line);
        }
        if inner.function {
            self.functions.pop();
        }
        self.extend(token);
        let Some(open) = self.open.last_mut() else { return Err(Unreadable) };
        open.before = Some(token);
        if bracket == b'}' {
            open.closed = Some(inner.container);
            open.closed_function = inner.function;
            open.head.blocks += 1;
        }
        Ok(())
    }
}

/// The place of a word; empty for anything else.
fn named(token: Option<Token>) -> Range<usize> {
    token.filter(|token| token.kind == Kind::Word).map_or(0..0, |token| token.start..token.end)
}
