//! Agents whose requests cannot be sent to an address on this machine, and why.

/// Names that people try, each with the reason.
const KNOWN: [(&str, &str); 4] = [
    (
        "cursor",
        "Cursor cannot be wrapped: its requests go to Cursor's own servers, and those call the model. They cannot \
         reach an address on this machine. The override of OpenAI's base URL in its settings is called from there as \
         well",
    ),
    (
        "cursor-agent",
        "Cursor's agent cannot be wrapped: it speaks a protocol of its own to Cursor's servers, which call the model",
    ),
    (
        "windsurf",
        "Windsurf cannot be wrapped: its requests go to Windsurf's own servers, and it has no setting for another \
         address",
    ),
    (
        "amp",
        "Amp cannot be wrapped: its requests go to Amp's own servers, and it has no setting for another address",
    ),
];

/// Why an agent of this name cannot be wrapped; `None` where that is not known.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, reason)| *reason)
}

/// The names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, _)| *name)
}
