//! Content addresses and markers: how a lossy replacement names its original.
//!
//! A marker is one line at the end of a replacement:
//!
//! ```text
//! [headroom: 412 of 430 rows left out: 409 status=ok. Full text: headroom_retrieve hash=9f86d081884c7d659a2feaa0]
//! ```
//!
//! The hash is the first 96 bits of BLAKE3 over the original text, as 24 hexadecimal digits. Text
//! that merely looks like a marker is ordinary content: nothing in the engine reads markers back.

/// The content address of a text: the `hash` in a marker.
pub fn address(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().get(..24).unwrap_or_default().to_owned()
}

/// Appends the marker for what was left out of the text at `address`.
pub fn append_marker(replacement: &mut String, left_out: &str, address: &str) {
    if !replacement.ends_with('\n') && !replacement.is_empty() {
        replacement.push('\n');
    }
    replacement.push_str(BEGIN);
    replacement.push_str(left_out);
    replacement.push_str(HASH);
    replacement.push_str(address);
    replacement.push(']');
}

const BEGIN: &str = "[headroom: ";
const HASH: &str = ". Full text: headroom_retrieve hash=";

/// What the marker says that a replacement ends with. `None`: it does not end with one that names `address`.
pub(crate) fn marked<'t>(replacement: &'t str, address: &str) -> Option<&'t str> {
    let last = replacement.rsplit('\n').next()?;
    last.strip_prefix(BEGIN)?.strip_suffix(']')?.strip_suffix(address)?.strip_suffix(HASH)
}
