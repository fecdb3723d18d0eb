//! The path of a string in a value: `stdout`, `content[0].text`.

/// A reader would not look up longer paths.
const MAX_BYTES: usize = 64;
/// The longest key in a path, in bytes.
const MAX_KEY: usize = 32;

/// The steps from a value down to the current one.
#[derive(Debug, Default)]
pub(super) struct Path<'a>(Vec<Step<'a>>);

#[derive(Debug)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
    /// After a name that a path cannot show, or in a place without a name.
    Unnamed,
    /// Inside brackets without a name, such as those of a call in Python.
    Transparent,
}

impl<'a> Path<'a> {
    pub(super) fn key(&mut self, key: &'a str) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$');
        let shown = (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(plain);
        self.0.push(if shown { Step::Key(key) } else { Step::Unnamed });
    }

    pub(super) fn index(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }

    pub(super) fn transparent(&mut self) {
        self.0.push(Step::Transparent);
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    /// The path as programs write it; `None` if a step has no name, or if it is too long.
    pub(super) fn written(&self) -> Option<String> {
        let mut out = String::new();
        for step in &self.0 {
            match step {
                Step::Key(key) => {
                    if !out.is_empty() {
                        out.push('.');
                    }
                    out.push_str(key);
                }
                Step::Index(index) => out.push_str(&format!("[{index}]")),
                Step::Transparent => {}
                Step::Unnamed => return None,
            }
            if out.len() > MAX_BYTES {
                return None;
            }
        }
        Some(out)
    }
}
