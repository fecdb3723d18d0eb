//! Trees drawn with branches (`tree`, `cargo tree`, `npm ls`), drawn by indentation instead.
//!
//! ```text
//! [headroom: a tree, each level one blank deeper]
//! src
//!  main
//!   a.rs
//!  test
//! ```
//!
//! The branches follow from the depths. They are only left out if drawing them again gives the same text.

#![allow(clippy::indexing_slicing, reason = "depths are indices of lists that are as long as the deepest")]

/// How a tool draws branches.
struct Style {
    /// Under an ancestor that has later siblings.
    bar: &'static str,
    /// Under an ancestor that is the last sibling.
    blank: &'static str,
    /// Before a child that is followed by another.
    more: &'static str,
    /// Before the last child.
    last: &'static str,
    /// The same two for children that have children, if the tool distinguishes them.
    more_parent: &'static str,
    last_parent: &'static str,
}

const STYLES: &[Style] = &[
    Style {
        bar: "│\u{a0}\u{a0} ",
        blank: "    ",
        more: "├── ",
        last: "└── ",
        more_parent: "├── ",
        last_parent: "└── ",
    },
    Style {
        bar: "│   ",
        blank: "    ",
        more: "├── ",
        last: "└── ",
        more_parent: "├── ",
        last_parent: "└── ",
    },
    Style {
        bar: "│ ", blank: "  ", more: "├── ", last: "└── ", more_parent: "├─┬ ", last_parent: "└─┬ "
    },
    Style {
        bar: "|   ",
        blank: "    ",
        more: "|-- ",
        last: "`-- ",
        more_parent: "|-- ",
        last_parent: "`-- ",
    },
    Style { bar: "|  ", blank: "   ", more: "+- ", last: "\\- ", more_parent: "+- ", last_parent: "\\- " },
];

const HEADER: &str = "[headroom: a tree, each level one blank deeper]\n";

/// A header is not worth it for fewer branches.
const FEWEST_BRANCHES: usize = 8;

/// The deepest tree that is read.
const DEEPEST: usize = 200;

/// One line of a tree.
#[derive(Clone, Copy)]
struct Node<'a> {
    /// 0 for lines without a branch.
    depth: usize,
    /// A heading inside a node's children (`[dev-dependencies]`): without a branch of its own.
    label: bool,
    name: &'a str,
}

/// The text with its trees drawn by indentation.
pub(super) fn indented(text: &str) -> Option<String> {
    // The style that draws most of the lines; in practice only one draws any.
    STYLES.iter().find_map(|style| indented_from(text, style))
}

fn indented_from(text: &str, style: &Style) -> Option<String> {
    let nodes: Vec<Node<'_>> = text.split('\n').map(|line| style.read(line)).collect();
    if nodes.iter().filter(|node| node.depth > 0).count() < FEWEST_BRANCHES
        || nodes.iter().any(|node| node.name.starts_with(' '))
    {
        return None;
    }
    if style.draw(&nodes) != text {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    out.push_str(HEADER);
    for (number, node) in nodes.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        out.extend(std::iter::repeat_n(' ', node.depth));
        out.push_str(node.name);
    }
    Some(out)
}

/// Whether a line is a heading inside a node's children.
fn is_label(name: &str) -> bool {
    name.starts_with('[') && name.ends_with("dependencies]")
}

impl Style {
    fn read<'a>(&self, line: &'a str) -> Node<'a> {
        let (mut rest, mut depth) = (line, 0);
        while depth < DEEPEST {
            if let Some(after) = rest.strip_prefix(self.bar).or_else(|| rest.strip_prefix(self.blank)) {
                rest = after;
                depth += 1;
                continue;
            }
            let branch = [self.more, self.last, self.more_parent, self.last_parent];
            if let Some(name) = branch.iter().find_map(|branch| rest.strip_prefix(branch)) {
                return Node { depth: depth + 1, label: false, name };
            }
            break;
        }
        if depth > 0 && is_label(rest) {
            return Node { depth: depth + 1, label: true, name: rest };
        }
        Node { depth: 0, label: false, name: line }
    }

    /// Draws the nodes with their branches.
    fn draw(&self, nodes: &[Node<'_>]) -> String {
        // From the end: whether a line of each depth follows before one with a smaller depth.
        let mut follows = vec![false; DEEPEST + 2];
        let mut last = vec![Vec::new(); nodes.len()];
        let mut deepest = 0;
        for (node, open) in nodes.iter().zip(&mut last).rev() {
            let depth = node.depth;
            *open = follows.get(..=depth).unwrap_or_default().to_vec();
            for deeper in &mut follows[depth + 1..=deepest.max(depth + 1)] {
                *deeper = false;
            }
            follows[depth] = !node.label;
            deepest = depth;
        }
        let mut out = String::new();
        for (number, (node, open)) in nodes.iter().zip(&last).enumerate() {
            if number > 0 {
                out.push('\n');
            }
            let levels = open.get(1..node.depth).unwrap_or_default();
            for more in levels {
                out.push_str(if *more { self.bar } else { self.blank });
            }
            if node.depth > 0 && !node.label {
                let parent = nodes.get(number + 1).is_some_and(|next| next.depth == node.depth + 1);
                out.push_str(match (open[node.depth], parent) {
                    (true, false) => self.more,
                    (true, true) => self.more_parent,
                    (false, false) => self.last,
                    (false, true) => self.last_parent,
                });
            }
            out.push_str(node.name);
        }
        out
    }
}

/// How far a line is indented by branches, in bytes; 0 without any.
pub(super) fn depth(line: &str) -> usize {
    // Drawings start with a blank or a piece of a branch.
    if !line.starts_with([' ', '│', '├', '└', '|', '`', '+', '\\']) {
        return 0;
    }
    STYLES
        .iter()
        .flat_map(|style| [style.more, style.last, style.more_parent, style.last_parent])
        .filter_map(|branch| line.find(branch).map(|at| at + branch.len()))
        .min()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restore(short: &str, style: &Style) -> String {
        let nodes: Vec<Node<'_>> = short
            .strip_prefix(HEADER)
            .expect("a header")
            .split('\n')
            .map(|line| {
                let name = line.trim_start_matches(' ');
                let depth = line.len() - name.len();
                Node { depth, label: depth > 0 && is_label(name), name }
            })
            .collect();
        style.draw(&nodes)
    }

    fn check(text: &str) {
        let style = STYLES.iter().find(|style| indented_from(text, style).is_some()).expect("a style");
        let short = indented(text).expect("a form");
        assert!(short.len() < text.len());
        assert_eq!(restore(&short, style), text);
    }

    #[test]
    fn a_directory_tree_is_given_back() {
        check(
            "src\n├── a\n│\u{a0}\u{a0} ├── b c.rs\n│\u{a0}\u{a0} └── d\n│\u{a0}\u{a0}     └── e\n├── f\n├── g\n└── h\n    └── i\n\n4 directories, 5 files\n",
        );
    }

    #[test]
    fn a_package_tree_is_given_back() {
        check(
            "x@1 /a\n├─┬ b@2\n│ ├── c@3 deduped\n│ └─┬ d@1\n│   └── e@2\n├── f@1\n├── g@2\n└─┬ h@3\n  └── i@1\n\n",
        );
    }

    #[test]
    fn headings_inside_a_tree_are_given_back() {
        check(
            "a v1\n├── b v1\n│   └── c v1\n│   [build-dependencies]\n│   └── d v1\n├── e\n├── f\n├── g\n└── h\n    [dev-dependencies]\n    └── i\n",
        );
    }

    #[test]
    fn a_tree_that_does_not_follow_from_its_depths_stays() {
        assert_eq!(indented("a\n└── b\n└── c\n├── d\n├── e\n├── f\n├── g\n├── h\n├── i\n"), None);
        assert_eq!(indented("plain\ntext\n"), None);
    }
}
