//! Decodes base64 in pieces of any length: the alphabet of RFC 4648.

/// The state between two pieces.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bits: u32,
    /// Sextets in `bits`, fewer than four.
    sextets: u8,
}

impl Decoder {
    /// Decodes `text` and passes on the complete bytes. Characters outside the alphabet are skipped: a
    /// damaged text gives meaningless bytes, which is no worse than giving none.
    pub(crate) fn feed(&mut self, text: &[u8], mut each: impl FnMut(&[u8])) {
        // Collects bytes, so that they are not passed on in threes.
        const PIECE: usize = 96;
        let mut piece = [0; PIECE];
        let mut len = 0;
        for sextet in text.iter().filter_map(|byte| value(*byte)) {
            self.bits = self.bits << 6 | u32::from(sextet);
            self.sextets += 1;
            if self.sextets == 4 {
                let [_, three @ ..] = self.bits.to_be_bytes();
                if let Some(room) = piece.get_mut(len..len + 3) {
                    room.copy_from_slice(&three);
                }
                len += 3;
                (self.bits, self.sextets) = (0, 0);
                if len == PIECE {
                    each(&piece);
                    len = 0;
                }
            }
        }
        if text.contains(&b'=') {
            self.end(&mut each, &mut piece, &mut len);
        }
        each(piece.get(..len).unwrap_or_default());
    }

    /// The padding ends the text.
    fn end<const N: usize>(&mut self, each: &mut impl FnMut(&[u8]), piece: &mut [u8; N], len: &mut usize) {
        each(piece.get(..*len).unwrap_or_default());
        *len = 0;
        let bytes = (self.bits << (6 * (4 - u32::from(self.sextets)))).to_be_bytes();
        each(bytes.get(1..usize::from(self.sextets).max(1)).unwrap_or_default());
        (self.bits, self.sextets) = (0, 0);
    }
}

fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &[u8], piece: usize) -> String {
        let mut decoder = Decoder::default();
        let mut bytes = Vec::new();
        for piece in text.chunks(piece) {
            decoder.feed(piece, |some| bytes.extend_from_slice(some));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn any_text_is_decoded_wherever_it_is_cut() {
        // The vectors of RFC 4648, and one that is longer than a piece.
        for (text, expected) in [
            ("", String::new()),
            ("Zg==", "f".to_owned()),
            ("Zm8=", "fo".to_owned()),
            ("Zm9v", "foo".to_owned()),
            ("Zm9vYg==", "foob".to_owned()),
            ("Zm9vYmE=", "fooba".to_owned()),
            ("Zm9vYmFy", "foobar".to_owned()),
            (&"Zm9v".repeat(100), "foo".repeat(100)),
        ] {
            for piece in 1..=text.len().max(1) {
                assert_eq!(decoded(text.as_bytes(), piece), expected, "{text} by {piece}");
            }
        }
    }
}
