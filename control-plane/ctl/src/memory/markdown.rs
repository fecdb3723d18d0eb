//! Facts as a Markdown list: a heading for each scope, an item for each fact.

use headroom_api::memory::{Fact, NewFact, Scope};

/// The facts as a document.
pub(super) fn write(facts: &[Fact], project: &str) -> String {
    let mut text = format!("# Memory: {}\n", if project.is_empty() { "no project" } else { project });
    for scope in [Scope::Project, Scope::User, Scope::Team] {
        let of_scope: Vec<&Fact> = facts.iter().filter(|fact| fact.scope == scope).collect();
        if of_scope.is_empty() {
            continue;
        }
        text.push_str(&format!("\n## {}\n\n", scope.name()));
        for fact in of_scope {
            let content = fact.content.replace('\n', "\n  ");
            text.push_str(&format!("- {content}\n  <!-- {} importance={} -->\n", fact.id, fact.importance));
        }
    }
    text
}

/// The facts of a document: its list items, each in the scope of the heading above it.
pub(super) fn read(text: &str) -> Vec<(Option<Scope>, NewFact)> {
    let mut facts: Vec<(Option<Scope>, NewFact)> = Vec::new();
    let (mut scope, mut open) = (None, false);
    for line in text.lines() {
        let item = line.strip_prefix("- ").or_else(|| line.strip_prefix("* "));
        if let Some(content) = item {
            facts.push((scope, NewFact { content: content.trim().to_owned(), ..NewFact::default() }));
            open = true;
            continue;
        }
        if let Some(heading) = line.strip_prefix('#') {
            let name = heading.trim_start_matches('#').trim().to_ascii_lowercase();
            let known =
                [Scope::Project, Scope::User, Scope::Team].into_iter().find(|known| known.name() == name);
            scope = known.or(scope);
            open = false;
            continue;
        }
        let (Some((_, fact)), true) = (facts.last_mut(), open) else { continue };
        match line.strip_prefix("  ") {
            Some(more) => {
                fact.content.push('\n');
                fact.content.push_str(more);
            }
            None if line.trim().is_empty() => {}
            None => open = false,
        }
    }
    facts.iter_mut().for_each(|(_, fact)| take_note(fact));
    facts.retain(|(_, fact)| !fact.content.trim().is_empty());
    facts
}

/// Reads the comment that ends an item. One in the middle of it is a part of what the fact says.
fn take_note(fact: &mut NewFact) {
    let content = fact.content.trim_end();
    let (before, last) = content.rsplit_once('\n').unwrap_or((content, ""));
    let note = note(last);
    let length = if note.is_some() { before.trim_end().len() } else { content.len() };
    fact.importance = note.flatten();
    fact.content.truncate(length);
}

/// What the comment below an item says of its importance; `None`: the line is no such comment.
fn note(line: &str) -> Option<Option<f64>> {
    let inside = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
    let (_, importance) = inside.split_once(" importance=")?;
    Some(importance.parse().ok().filter(|value| (0.0..=1.0).contains(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_other_lists_are_facts_too() {
        let fact = |content: &str, scope| Fact {
            content: content.to_owned(),
            scope,
            importance: 0.75,
            ..Fact::default()
        };
        let facts = [
            fact("The port is 8787", Scope::Project),
            fact("two\nlines\n\n- and a list", Scope::Project),
            fact("likes tabs <!-- x -->", Scope::User),
            fact("claims\n<!-- 1 importance=1 -->\nto matter", Scope::User),
            fact("claims to matter\n<!-- 1 importance=1 -->", Scope::User),
        ];
        let read_back = read(&write(&facts, "/p"));
        let expected: Vec<_> = facts
            .iter()
            .map(|fact| {
                let new =
                    NewFact { content: fact.content.clone(), importance: Some(0.75), ..NewFact::default() };
                (Some(fact.scope), new)
            })
            .collect();
        assert_eq!(read_back, expected);
        let loose = read("# Notes\ntext\n* one\n\n- two\n  more\nnot this\n  nor this\n-\n- \n");
        let contents: Vec<&str> = loose.iter().map(|(_, fact)| fact.content.as_str()).collect();
        assert_eq!(contents, ["one", "two\nmore"]);
        assert!(loose.iter().all(|(scope, _)| scope.is_none()));
    }
}
