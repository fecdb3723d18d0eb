//! A text in pieces that the model reads at once. Each token has its place in the caller's text.
//!
//! The Python package puts each piece's tokens together to a string and takes that apart again, which gives other tokens
//! here and there, most often at a piece's beginning. So does this, since the model's answer depends on it.

use std::ops::Range;

use tokenizers::{Decoder as _, Tokenizer};

use crate::config::{Family, SEQUENCE};

/// A text in which tokens were replaced, and the place of each of its bytes in the caller's text.
#[derive(Debug)]
pub(crate) struct ReplacedText {
    pub(crate) text: String,
    /// `None`: nothing was replaced.
    original: Option<Vec<Range<usize>>>,
}

impl ReplacedText {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), original: None }
    }

    /// Puts `to` in the place of each `from`.
    pub(crate) fn replace(&mut self, from: &str, to: &str) {
        if from.is_empty() || !self.text.contains(from) {
            return;
        }
        let places = |text: &str| (0..text.len()).map(|at| at..at + 1).collect();
        let original = self.original.take().unwrap_or_else(|| places(&self.text));
        let (mut text, mut kept, mut done) = (String::new(), Vec::new(), 0);
        for (at, found) in self.text.match_indices(from) {
            text.push_str(self.text.get(done..at).unwrap_or_default());
            kept.extend_from_slice(original.get(done..at).unwrap_or_default());
            text.push_str(to);
            let end = at + found.len();
            let span = covered(original.get(at..end).unwrap_or_default());
            kept.extend(std::iter::repeat_n(span, to.len()));
            done = end;
        }
        text.push_str(self.text.get(done..).unwrap_or_default());
        kept.extend_from_slice(original.get(done..).unwrap_or_default());
        (self.text, self.original) = (text, Some(kept));
    }

    /// Where the bytes of a range stood before.
    fn original(&self, range: Range<usize>) -> Range<usize> {
        match &self.original {
            None => range,
            Some(original) => covered(original.get(range).unwrap_or_default()),
        }
    }
}

/// From the first byte to the last.
fn covered(bytes: &[Range<usize>]) -> Range<usize> {
    let start = bytes.iter().map(|byte| byte.start).min().unwrap_or_default();
    start..bytes.iter().map(|byte| byte.end).max().unwrap_or_default()
}

/// A token as the model is given it.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: u32,
    pub(crate) text: String,
    /// The bytes of the caller's text that it stands for. Empty if it stands for no bytes.
    pub(crate) span: Range<usize>,
}

/// Takes texts apart.
#[derive(Debug)]
pub(crate) struct Chunks<'m> {
    pub(crate) tokenizer: &'m Tokenizer,
    pub(crate) family: Family,
    pub(crate) unknown: u32,
}

impl Chunks<'_> {
    /// The text's own tokens, in pieces: each ends behind the last of `ends` in it, or where the model's room does.
    pub(crate) fn split(&self, text: &ReplacedText, ends: &[&str]) -> tokenizers::Result<Vec<Vec<Token>>> {
        let room = SEQUENCE - 2;
        let tokens = self.tokens(&text.text)?;
        let (mut pieces, mut start) = (Vec::new(), 0);
        while start < tokens.len() {
            // with the token at `start + room`, which is one more than there is room for: the package's own count
            let Some(most) = tokens.get(start..=start + room) else {
                pieces.push(tokens.get(start..).unwrap_or_default().to_vec());
                break;
            };
            // the first token alone is not a piece
            let end = most.iter().skip(1).rposition(|token| ends.contains(&token.text.as_str()));
            let length = end.map_or(most.len(), |end| end + 2);
            pieces.push(most.iter().take(length).cloned().collect());
            start += length;
        }
        for token in pieces.iter_mut().flatten() {
            token.span = trimmed(&text.text, token.span.clone());
        }
        for token in pieces.iter_mut().flatten() {
            token.span = text.original(token.span.clone());
        }
        Ok(pieces)
    }

    /// The tokens of a piece as the model is given them.
    pub(crate) fn again(&self, piece: &[Token]) -> tokenizers::Result<Vec<Token>> {
        let texts = piece.iter().map(|token| token.text.clone()).collect();
        let parts = match self.tokenizer.get_decoder() {
            Some(decoder) => decoder.decode_chain(texts)?,
            None => texts,
        };
        if parts.len() != piece.len() {
            return Err("its decoder does not keep tokens apart".into());
        }
        let mut text = String::new();
        // what each part's own bytes stand for, in order
        let mut origins = Vec::with_capacity(parts.len());
        for (place, (part, token)) in parts.iter().zip(piece).enumerate() {
            let mut own = part.trim_start_matches(' ');
            if self.family == Family::Bert && place == 0 && token.text != "##" {
                own = own.strip_prefix("##").unwrap_or(own);
            }
            let start = text.len() + (part.len() - own.len());
            text.push_str(part);
            origins.push((start..text.len(), token.span.clone()));
        }
        let mut tokens = self.tokens(&text)?;
        let mut first = 0;
        for token in &mut tokens {
            let range = token.span.clone();
            // both are in order, so that each origin is looked at by few tokens
            while origins.get(first).is_some_and(|(own, _)| own.end <= range.start) {
                first += 1;
            }
            let touched = origins.iter().skip(first).take_while(|(own, _)| own.start < range.end);
            let spans = touched.filter(|(own, span)| own.end > range.start && !span.is_empty());
            token.span = spans
                .map(|(_, span)| span.clone())
                .reduce(|all, span| all.start.min(span.start)..all.end.max(span.end))
                .unwrap_or_default();
        }
        Ok(tokens)
    }

    /// The tokens of a text, with where they stand in it. One that the vocabulary lacks has the unknown token's id, and its
    /// own text.
    fn tokens(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let encoded = self.tokenizer.encode(text, false)?;
        let tokens = encoded.get_tokens().iter().zip(encoded.get_offsets());
        let token = |(token, &(start, end)): (&String, &(usize, usize))| Token {
            id: self.tokenizer.token_to_id(token).unwrap_or(self.unknown),
            text: token.clone(),
            span: start..end.max(start),
        };
        Ok(tokens.map(token).collect())
    }
}

/// A range without the blanks around it, on the boundaries of characters.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(range.start.min(text.len()));
    let end = text.ceil_char_boundary(range.end.min(text.len()));
    let found = text.get(start..end).unwrap_or_default();
    let start = start + (found.len() - found.trim_start().len());
    start..start + found.trim().len()
}
