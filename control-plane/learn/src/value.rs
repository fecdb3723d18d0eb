//! Reads values of session logs and requests: texts, exit codes, and outcomes of calls.

use serde_json::Value;

/// What a plugin knows about a result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    /// The log's own flag, if it has one
    pub failed: Option<bool>,
    /// The exit code, if the log has it
    pub exit_code: Option<i64>,
    /// Whether the log marks it as cancelled or rejected
    pub refused: bool,
}

pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The text of a content that is a string or a list of blocks.
pub(crate) fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let text = |block: &Value| {
                let own = block.as_str().or_else(|| block.get("text").and_then(Value::as_str));
                own.map(str::to_owned)
            };
            blocks.iter().filter_map(text).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// The exit code that a line of a result names.
pub(crate) fn exit_code(output: &str, labels: &[&str]) -> Option<i64> {
    let code = |label: &&str| {
        let at = output.rfind(*label)?;
        let digits = output[at + label.len()..].trim_start();
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(digits.len());
        digits[..end].parse().ok()
    };
    labels.iter().find_map(code)
}

/// The verdict on a shell's result without a flag.
pub(crate) fn by_exit_code(output: &str, labels: &[&str]) -> Verdict {
    Verdict { failed: None, exit_code: exit_code(output, labels), refused: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_read_from_the_last_label() {
        assert_eq!(exit_code("Exit Code: 0\nx\nExit Code: 127\nSignal: 0", &["Exit Code:"]), Some(127));
        assert_eq!(exit_code("exited with code 2", &["code:", "with code"]), Some(2));
        assert_eq!(exit_code("no code", &["Exit Code:"]), None);
    }
}
