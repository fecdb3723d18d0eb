//! What a brace opens, by what its statement has shown before it.

use std::ops::Range;

use super::{CONTROL, Container, Head, Open, Scanner};
use crate::kinds::code::language::Language;
use crate::kinds::code::lexer::Kind;

impl Scanner<'_> {
    /// What a brace opens, and the name if it is a function.
    pub(super) fn brace(&self) -> (Container, Option<Range<usize>>) {
        let Some(open) = self.open.last() else { return (Container::Opaque, None) };
        if open.container == Container::Opaque {
            return (Container::Opaque, None);
        }
        match self.language {
            Language::Go => self.go_brace(open),
            Language::Rust => self.rust_brace(open),
            Language::Java => self.java_brace(open),
            Language::C | Language::Cpp => self.c_brace(open),
            _ => self.script_brace(open),
        }
    }

    /// What a brace in a statement of a body opens.
    fn control_brace(&self, open: &Open, plain: &[&str]) -> (Container, Option<Range<usize>>) {
        let first = self.text(&open.head.word);
        let bare =
            open.before.is_none() || open.head.first.is_some_and(|first| first.kind == Kind::Open(b'{'));
        let begins = bare && open.head.word.is_empty();
        let own =
            open.container == Container::Body && (begins || plain.contains(&first)) && !open.head.assigned;
        (if own { Container::Body } else { Container::Object }, None)
    }

    fn go_brace(&self, open: &Open) -> (Container, Option<Range<usize>>) {
        let before = open.before.map(|before| (before.kind, self.word(before)));
        let of_type = matches!(before, Some((_, "struct" | "interface")));
        if open.head.function && !of_type && open.head.groups > 0 && !open.closed_function {
            return (Container::Body, Some(open.head.function_name()));
        }
        if of_type {
            return (Container::Object, None);
        }
        if ["switch", "select"].contains(&self.text(&open.head.word)) {
            return (Container::Plain, None);
        }
        // `if a := f(); a {`
        let first = self.text(&open.head.word);
        if open.container == Container::Body && ["if", "for"].contains(&first) {
            return (Container::Body, None);
        }
        self.control_brace(open, &[])
    }

    fn rust_brace(&self, open: &Open) -> (Container, Option<Range<usize>>) {
        let head = &open.head;
        let before = open.before.map(|before| before.kind);
        if matches!(before, Some(Kind::Mark(b'!'))) || self.text(&head.word) == "macro_rules" {
            return (Container::Opaque, None);
        }
        if head.function && !head.name.is_empty() && head.groups > 0 {
            let argument = matches!(before, Some(Kind::Mark(b'<' | b',')));
            return match argument {
                true => (Container::Opaque, None),
                false => (Container::Body, Some(head.name.clone())),
            };
        }
        if open.container == Container::Body {
            return self.control_brace(open, &["if", "for", "while", "loop", "unsafe"]);
        }
        let declares = open.container == Container::Plain || open.container == Container::Class;
        if declares && (head.class || head.namespace) {
            return (Container::Class, None);
        }
        (Container::Opaque, None)
    }

    fn java_brace(&self, open: &Open) -> (Container, Option<Range<usize>>) {
        let head = &open.head;
        if open.container == Container::Body {
            if head.class || head.enumeration || head.creates {
                return (Container::Object, None);
            }
            return self.control_brace(open, &["if", "for", "while", "do", "try", "synchronized"]);
        }
        if head.assigned || head.creates || matches!(open.container, Container::Group | Container::Object) {
            return (Container::Opaque, None);
        }
        if head.enumeration {
            return (Container::Enum, None);
        }
        let record = head.class && self.text(&head.called) == "record";
        if head.class && !record {
            return (Container::Class, None);
        }
        if open.container == Container::Enum && !open.head.has_two_words() {
            return (Container::Class, None);
        }
        let listed = matches!(open.container, Container::Class | Container::Enum);
        if listed && head.groups > 0 && !head.called.is_empty() && !head.annotates(self.source) {
            return (Container::Body, Some(head.called.clone()));
        }
        (Container::Opaque, None)
    }

    fn c_brace(&self, open: &Open) -> (Container, Option<Range<usize>>) {
        let head = &open.head;
        if open.container == Container::Body {
            return self.control_brace(open, &["if", "for", "while", "do", "try"]);
        }
        if !matches!(open.container, Container::Plain | Container::Class) {
            return (Container::Opaque, None);
        }
        let before = open.before.map(|before| (before.kind, self.word(before)));
        let first = self.text(&head.word);
        if head.requires || ["if", "for", "while", "switch", "do", "else", "return"].contains(&first) {
            return (Container::Opaque, None);
        }
        let qualifier = ["const", "noexcept", "override", "final", "volatile", "try"];
        let initializes = head.colon && matches!(before, Some((Kind::Word | Kind::Mark(b'>'), _)));
        let behind = match before {
            Some((Kind::Close(b')'), _)) => true,
            Some((Kind::Close(b'}' | b']'), _)) => head.colon,
            Some((Kind::Word, word)) => qualifier.contains(&word) && !initializes || head.arrow,
            Some((Kind::Mark(b'&' | b'>' | b'*'), _)) => {
                head.arrow || head.groups > 0 && !initializes && !head.class
            }
            _ => false,
        };
        if head.groups > 0 && behind && !initializes {
            return (Container::Body, Some(head.called.clone()));
        }
        if head.enumeration || head.assigned {
            return (Container::Opaque, None);
        }
        if head.namespace && head.groups == 0 {
            return (Container::Plain, None);
        }
        if head.class && !initializes {
            return (Container::Class, None);
        }
        (Container::Opaque, None)
    }

    fn script_brace(&self, open: &Open) -> (Container, Option<Range<usize>>) {
        let head = &open.head;
        let before = open.before.map(|before| (before.kind, self.word(before)));
        let first = self.text(&head.word);
        if head.types && !head.function {
            return (Container::Opaque, None);
        }
        if matches!(before, Some((Kind::FatArrow, _))) {
            return (Container::Body, Some(head.target.clone()));
        }
        let in_annotation = matches!(
            before,
            Some(
                (Kind::Mark(b':' | b'<' | b',' | b'|' | b'&' | b'?'), _)
                    | (Kind::Word, "keyof" | "typeof" | "extends" | "is")
            )
        );
        if in_annotation {
            return (Container::Object, None);
        }
        if head.function && head.groups > 0 {
            return (Container::Body, Some(head.function_name()));
        }
        if head.class && matches!(before, Some((Kind::Word | Kind::Mark(b'>') | Kind::Close(_), _))) {
            return (Container::Class, None);
        }
        let statement = CONTROL.contains(&first) || first == "else";
        if matches!(open.container, Container::Class | Container::Object)
            && head.groups > 0
            && !head.called.is_empty()
            && !statement
            && !head.assigned
            && matches!(before, Some((Kind::Close(_) | Kind::Word | Kind::Mark(b'>'), _)))
        {
            return (Container::Body, Some(head.called.clone()));
        }
        if open.container == Container::Body {
            return self.control_brace(open, &["if", "for", "while", "do", "try"]);
        }
        if open.container == Container::Plain
            && (statement && first != "switch"
                || head.namespace
                || head.first.is_some_and(|first| first.kind == Kind::Open(b'{')))
        {
            return (Container::Plain, None);
        }
        (Container::Object, None)
    }
}

impl Head {
    /// The function's own name, or the name of the variable that it is assigned to.
    fn function_name(&self) -> Range<usize> {
        if self.name.is_empty() { self.target.clone() } else { self.name.clone() }
    }

    /// Whether there is a type or a modifier before the name, as in a declaration.
    fn has_two_words(&self) -> bool {
        !self.called.is_empty() && self.word != self.called
    }

    /// Whether the parentheses belong to an annotation.
    fn annotates(&self, source: &str) -> bool {
        let before = source.get(..self.called.start).unwrap_or_default();
        before.ends_with('@')
    }
}
