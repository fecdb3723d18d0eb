//! Character references.

/// The longest reference that is decoded: pages do not use names such as `&CounterClockwiseContourIntegral;`.
const LONGEST: usize = 12;

const NAMED: &[(&str, &str)] = &[
    ("amp", "&"),
    ("lt", "<"),
    ("gt", ">"),
    ("quot", "\""),
    ("apos", "'"),
    ("nbsp", " "),
    ("ndash", "–"),
    ("mdash", "—"),
    ("hellip", "…"),
    ("lsquo", "‘"),
    ("rsquo", "’"),
    ("ldquo", "“"),
    ("rdquo", "”"),
    ("laquo", "«"),
    ("raquo", "»"),
    ("copy", "©"),
    ("reg", "®"),
    ("trade", "™"),
    ("middot", "·"),
    ("bull", "•"),
    ("times", "×"),
    ("larr", "←"),
    ("rarr", "→"),
    ("deg", "°"),
    ("para", "¶"),
    ("sect", "§"),
    ("shy", ""),
    ("zwj", ""),
];

/// `text` with its character references resolved; unknown ones stay as they are.
pub(super) fn decode(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        out.push_str(rest.get(..at).unwrap_or_default());
        let tail = rest.get(at + 1..).unwrap_or_default();
        let end = tail.bytes().take(LONGEST).position(|b| b == b';');
        match end.map(|end| (end, tail.get(..end).unwrap_or_default())).filter(|(_, name)| push(name, out)) {
            Some((end, _)) => rest = tail.get(end + 1..).unwrap_or_default(),
            None => {
                out.push('&');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
}

fn push(name: &str, out: &mut String) -> bool {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        };
        let Some(c) = code.and_then(char::from_u32) else { return false };
        out.push(c);
        return true;
    }
    let Some((_, text)) = NAMED.iter().find(|(known, _)| *known == name) else { return false };
    out.push_str(text);
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn references_are_resolved_and_others_stay() {
        let mut out = String::new();
        super::decode("a &lt;b&gt; &#39;c&#x27; &amp;amp; &nope; & d&", &mut out);
        assert_eq!(out, "a <b> 'c' &amp; &nope; & d&");
    }
}
