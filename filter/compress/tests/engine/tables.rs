//! The files in `tokens/`: vocabularies from the crate `tiktoken-rs`, classes of characters from `regex-syntax`.
//! `WRITE_TOKENS=1` writes them (`make tokens`).

use std::path::Path;
use std::{env, fs};

use regex_syntax::hir::{Class, HirKind};

#[path = "../../src/tokens/layout.rs"]
mod layout;

/// The texts of all tokens in the order of their ids, each behind its length.
fn tokens(encoding: &tiktoken_rs::CoreBPE) -> Vec<u8> {
    let texts = (0..).map_while(|id| encoding.decode_bytes(&[id]).ok());
    texts.flat_map(|text| [&[u8::try_from(text.len()).unwrap()], text.as_slice()].concat()).collect()
}

/// One byte per character, in blocks; equal blocks are stored once. First the number of the block for each
/// run of [`layout::BLOCK`] characters, then the blocks.
fn classes() -> Vec<u8> {
    let mut of = vec![layout::SIGN; char::MAX as usize + 1];
    for (pattern, class) in [
        (r"[\p{Lu}\p{Lt}]", layout::UPPER),
        (r"\p{Ll}", layout::LOWER),
        (r"[\p{Lm}\p{Lo}]", layout::CASELESS),
        (r"\p{M}", layout::MARK),
        (r"\p{N}", layout::NUMBER),
        (r"\s", layout::BLANK),
        (r"[\r\n]", layout::LINE_END),
    ] {
        let hir = regex_syntax::parse(pattern).unwrap();
        let HirKind::Class(Class::Unicode(ranges)) = hir.kind() else { panic!("{pattern}") };
        for range in ranges.ranges() {
            of[range.start() as usize..=range.end() as usize].fill(class);
        }
    }
    let mut index = Vec::new();
    let mut blocks: Vec<&[u8]> = Vec::new();
    for block in of.chunks(layout::BLOCK) {
        let at = blocks.iter().position(|known| *known == block).unwrap_or_else(|| {
            blocks.push(block);
            blocks.len() - 1
        });
        index.push(u8::try_from(at).unwrap());
    }
    [index, blocks.concat()].concat()
}

fn is_in_the_repository(name: &str, wanted: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tokens").join(name);
    if env::var_os("WRITE_TOKENS").is_some() {
        fs::write(&path, wanted).unwrap();
    }
    assert!(fs::read(&path).unwrap() == wanted, "{name} differs: make tokens");
}

#[test]
fn the_vocabularies_are_those_of_the_reference() {
    is_in_the_repository("o200k_base.tokens", &tokens(tiktoken_rs::o200k_base_singleton()));
    is_in_the_repository("cl100k_base.tokens", &tokens(tiktoken_rs::cl100k_base_singleton()));
}

#[test]
fn the_classes_are_those_of_unicode() {
    is_in_the_repository("classes", &classes());
}
