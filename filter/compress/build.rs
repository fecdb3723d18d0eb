//! Writes the vocabularies and the character classes of the tokenizers as tables that are read in place.
//!
//! The vocabularies come from the crate `tiktoken`, the classes from `regex-syntax`. Neither is in the engine
//! itself: a table in the data section needs no set-up at start, and V8 has no code to compile for it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use regex_syntax::hir::{Class, HirKind};

#[path = "src/tokens/layout.rs"]
mod layout;

use layout::{BLOCK, EMPTY, GROUP, ID_BITS, hash};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/tokens/layout.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for name in ["o200k_base", "cl100k_base"] {
        vocabulary(name, &out)?;
    }
    classes(&out)
}

/// Writes five files: the texts of all tokens one after the other; where the tokens of each group begin, and each in
/// its group; a hash table over them; and the tokens of two characters of ASCII.
fn vocabulary(name: &str, out: &Path) -> Result<(), Box<dyn Error>> {
    let encoding = tiktoken::get_encoding(name).ok_or("an encoding of the crate")?;
    let (mut texts, mut starts) = (Vec::new(), vec![0]);
    // Ids are ranks, without gaps.
    for id in 0..u32::try_from(encoding.vocab_size())? {
        let text = encoding.decode(&[id]);
        if text.is_empty() {
            return Err(format!("{name} has no token {id}").into());
        }
        texts.extend_from_slice(&text);
        starts.push(u32::try_from(texts.len())?);
    }
    let mut slots = vec![EMPTY; layout::slots(starts.len() - 1)];
    let mut pairs = vec![EMPTY; layout::PAIRS];
    for (id, place) in starts.windows(2).enumerate() {
        let text = &texts[place[0] as usize..place[1] as usize];
        let hash = hash(text);
        let mut at = layout::slot(hash, slots.len());
        while slots[at] != EMPTY {
            at = layout::next(at, slots.len());
        }
        if id >= (1 << ID_BITS) - 1 {
            return Err(format!("{name} has more tokens than an id has room for").into());
        }
        let rank = u32::try_from(id)?;
        slots[at] = layout::tag(hash) | rank;
        if let [a, b] = text
            && text.is_ascii()
        {
            pairs[layout::pair(*a, *b)] = rank;
        }
    }
    fs::write(out.join(format!("{name}.texts")), &texts)?;
    let groups: Vec<u32> = starts.iter().copied().step_by(GROUP).collect();
    let mut places = Vec::new();
    for (group, starts) in groups.iter().zip(starts.chunks(GROUP)) {
        for start in starts {
            places.extend(u16::try_from(start - group)?.to_le_bytes());
        }
    }
    fs::write(out.join(format!("{name}.groups")), words(&groups))?;
    fs::write(out.join(format!("{name}.places")), places)?;
    fs::write(out.join(format!("{name}.slots")), words(&slots))?;
    fs::write(out.join(format!("{name}.pairs")), words(&pairs))?;
    Ok(())
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// One byte per character, in blocks; equal blocks are stored once. First the number of the block for each
/// run of [`BLOCK`] characters, then the blocks.
fn classes(out: &Path) -> Result<(), Box<dyn Error>> {
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
        let hir = regex_syntax::parse(pattern)?;
        let HirKind::Class(Class::Unicode(ranges)) = hir.kind() else {
            return Err("a class of characters".into());
        };
        for range in ranges.ranges() {
            of[range.start() as usize..=range.end() as usize].fill(class);
        }
    }
    let mut index = Vec::new();
    let mut blocks: Vec<&[u8]> = Vec::new();
    for block in of.chunks(BLOCK) {
        let at = blocks.iter().position(|known| *known == block).unwrap_or_else(|| {
            blocks.push(block);
            blocks.len() - 1
        });
        index.push(u8::try_from(at)?);
    }
    fs::write(out.join("classes"), [index, blocks.concat()].concat())?;
    Ok(())
}
