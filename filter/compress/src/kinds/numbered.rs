//! Line numbers that a tool puts before the lines of a file.

use memchr::memmem;

/// Bytes before the name of a line parameter in which the tool's purpose is looked for: a definition
/// names its tool, and describes it, ahead of its parameters.
const DEFINITION_BYTES: usize = 400;

/// Whether one of the tools that are described in `head`, the raw bytes of a request's system prompt
/// and tool definitions, changes files by line number.
pub(crate) fn edits_by_line(head: &[u8]) -> bool {
    let parameters: [&[u8]; 4] = [b"insert_line", b"start_line", b"startLine", b"line_start"];
    let purposes: [&[u8]; 4] = [b"edit", b"replace", b"insert", b"Edit"];
    parameters.iter().any(|parameter| {
        memmem::find_iter(head, parameter).any(|at| {
            let definition = &head[at.saturating_sub(DEFINITION_BYTES)..at + parameter.len()];
            purposes.iter().any(|purpose| memmem::find(definition, purpose).is_some())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_that_edit_by_line_number_are_told_from_those_that_read_by_it() {
        assert!(edits_by_line(b"edit:\n  signature: edit <start_line>:<end_line>\n"));
        assert!(edits_by_line(br#"{"name":"insert","parameters":{"insert_line":{"type":"integer"}}}"#));
        assert!(!edits_by_line(br#"{"name":"read_file","parameters":{"start_line":{"type":"integer"}}}"#));
        assert!(!edits_by_line(br#"{"name":"Edit","input_schema":{"old_string":{}}}"#));
    }
}
