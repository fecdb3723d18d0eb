//! tree-sitter as the oracle: wherever the scanners see a function, there is one.

use tree_sitter::{Node, Parser};

use super::*;

#[path = "../../../tests/engine/judged/sources.rs"]
mod sources;

/// A body according to tree-sitter: the line on which its function begins, and the first and the last line of
/// the body.
struct Body {
    function: usize,
    first: usize,
    last: usize,
    outer: bool,
}

fn grammar(language: Language) -> tree_sitter::Language {
    match language {
        Language::Python => tree_sitter_python::LANGUAGE.into(),
        Language::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
        Language::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        Language::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
        Language::Go => tree_sitter_go::LANGUAGE.into(),
        Language::Rust => tree_sitter_rust::LANGUAGE.into(),
        Language::Java => tree_sitter_java::LANGUAGE.into(),
        Language::C => tree_sitter_c::LANGUAGE.into(),
        Language::Cpp => tree_sitter_cpp::LANGUAGE.into(),
    }
}

/// `None` if the grammar does not know everything in the file.
fn bodies(source: &str, language: Language) -> Option<Vec<Body>> {
    let mut parser = Parser::new();
    parser.set_language(&grammar(language)).unwrap();
    let tree = parser.parse(source, None)?;
    if tree.root_node().has_error() {
        return None;
    }
    let mut found = Vec::new();
    let mut open: Vec<(Node<'_>, bool)> = vec![(tree.root_node(), true)];
    while let Some((node, outer)) = open.pop() {
        let body = node.child_by_field_name("body").filter(|body| {
            matches!(body.kind(), "block" | "statement_block" | "compound_statement" | "constructor_body")
                && ["function", "method", "constructor", "func_literal", "arrow", "lambda"]
                    .iter()
                    .any(|name| node.kind().contains(name))
        });
        if let Some(body) = body {
            let (first, last) = (body.start_position().row, body.end_position().row);
            found.push(Body { function: node.start_position().row, first, last, outer });
        }
        let mut cursor = node.walk();
        open.extend(node.children(&mut cursor).map(|child| (child, outer && body.is_none())));
    }
    Some(found)
}

#[derive(Default)]
struct Figures {
    files: usize,
    unread: usize,
    unknown: usize,
    seen: usize,
    outer: usize,
    missed: usize,
}

#[test]
fn tree_sitter_sees_the_same_bodies() {
    let mut figures: std::collections::BTreeMap<String, Figures> = std::collections::BTreeMap::new();
    let mut wrong = Vec::new();
    for source in sources::sources() {
        let Some(language) = Language::of_path(&source.name) else { continue };
        let figures = figures.entry(format!("{language:?}")).or_default();
        let Some(bodies) = bodies(&source.text, language) else {
            figures.unknown += 1;
            continue;
        };
        figures.files += 1;
        let Some(outline) = outline(&source.text, language) else {
            figures.unread += 1;
            continue;
        };
        let mut ours = Vec::new();
        for function in &outline.functions {
            let block = &outline.blocks[function.block];
            let Some(close) = block.close.filter(|_| length(&outline, function.block) >= LONG_BODY) else {
                continue;
            };
            figures.seen += 1;
            let theirs = bodies.iter().any(|body| match language {
                Language::Python => {
                    let last = block.statements.last().map_or(0, |statement| statement.last);
                    // Comments after the last statement may belong to either.
                    body.function <= block.open
                        && block.open < body.first
                        && (last..close).contains(&body.last)
                }
                _ => body.first == block.open && body.last == close,
            });
            ours.push((block.open, close));
            if !theirs {
                wrong.push(format!("{}:{}-{}", source.path.display(), block.open + 1, close + 1));
            }
        }
        for body in bodies.iter().filter(|body| body.outer && body.last - body.first > LONG_BODY + 1) {
            figures.outer += 1;
            let seen = ours
                .iter()
                .any(|(open, close)| (body.function..=body.first).contains(open) && *close >= body.last);
            figures.missed += usize::from(!seen);
        }
    }
    eprintln!("language    files  not known  not read   bodies  outer of theirs  missed");
    for (language, Figures { files, unread, unknown, seen, outer, missed }) in &figures {
        eprintln!("{language:<10} {files:6} {unknown:10} {unread:9} {seen:8} {outer:16} {missed:7}");
    }
    // What is wrongly taken for a body is also the inside of braces: a literal, a switch. The languages' own
    // parsers check that the rest is valid (tests/engine/judged.rs).
    let seen: usize = figures.values().map(|figures| figures.seen).sum();
    assert!(
        wrong.len() * 200 <= seen,
        "{} found bodies are not bodies:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(60)].join("\n")
    );
    for (language, Figures { files, unread, outer, missed, .. }) in figures {
        assert!(unread * 20 <= files.max(20), "{language}: {unread} of {files} files are not read");
        assert!(missed * 10 <= outer.max(50), "{language}: {missed} of {outer} bodies are missed");
    }
}
