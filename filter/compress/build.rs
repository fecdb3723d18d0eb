//! Lays out the vocabularies of the tokenizers as tables that are read in place: a table in the data section needs no set-up
//! at start, and V8 has no code to compile for it. `tokens/` has what they are made of.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/tokens/layout.rs"]
mod layout;

use layout::{EMPTY, GROUP, ID_BITS, hash};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/tokens/layout.rs");
    println!("cargo::rerun-if-changed=tokens");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for name in ["o200k_base", "cl100k_base"] {
        vocabulary(name, &out)?;
    }
    Ok(())
}

/// Writes five files: the texts of all tokens one after the other; where the tokens of each group begin, and each in
/// its group; a hash table over them; and the tokens of two characters of ASCII.
fn vocabulary(name: &str, out: &Path) -> Result<(), Box<dyn Error>> {
    let file = fs::read(format!("tokens/{name}.tokens"))?;
    let (mut texts, mut starts) = (Vec::new(), vec![0]);
    // Ids are ranks, without gaps. Each text stands behind its length.
    let mut rest = file.as_slice();
    while let Some((length, behind)) = rest.split_first() {
        let (text, behind) = behind.split_at_checked(usize::from(*length)).ok_or("a token is cut off")?;
        texts.extend_from_slice(text);
        starts.push(u32::try_from(texts.len())?);
        rest = behind;
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
