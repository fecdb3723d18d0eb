//! Where a piece of ASCII ends: the expressions of `split.rs` as tables with a state for what the piece is
//! so far and a column for the next byte.
//!
//! A word of source code has four bytes. Asking each of them for its class, and then the class, costs more
//! than finding the word in the vocabulary.

use super::Encoding;
use super::layout::{BLANK, LINE_END, LOWER, NUMBER, SIGN, UPPER};

/// The classes of ASCII.
pub(super) static CLASSES: [u8; 128] = classes();

/// Where a piece ends, from its start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    At(usize),
    /// A word that ends before an apostrophe; what follows may belong to it.
    Word(usize),
    /// White space, of which the piece is all up to the last line end.
    Lines(usize),
    /// A character decides that is not ASCII, or what may be a contraction.
    Unknown,
}

/// What a piece is, as far as it was read.
#[derive(Clone, Copy)]
#[repr(u8)]
enum State {
    Start,
    /// Large letters, perhaps behind one blank or sign.
    Upper,
    /// A word's small letters; with cl100k_base any.
    Lower,
    Digit,
    TwoDigits,
    ThreeDigits,
    Space,
    /// A blank that is no space.
    Tab,
    Blanks,
    /// White space up to a line end, and behind one.
    Lines,
    LinesAndBlanks,
    Sign,
    Signs,
    /// Signs, and behind them line ends.
    SignsAndLines,
}

/// What a table says where a piece does not go on: numbers behind those of the states.
const HERE: u8 = 16;
const BEFORE_THE_LAST: u8 = 17;
const BEHIND_LINE_END: u8 = 18;
const APOSTROPHE: u8 = 19;
const UNKNOWN: u8 = 20;

type Table = [[u8; 256]; 16];

static O200K_BASE: Table = table(Encoding::O200kBase);
static CL100K_BASE: Table = table(Encoding::Cl100kBase);

/// Where the piece ends with which a text begins.
#[inline]
pub(super) fn end(text: &[u8], encoding: Encoding) -> End {
    let table = match encoding {
        Encoding::O200kBase => &O200K_BASE,
        Encoding::Cl100kBase => &CL100K_BASE,
    };
    let mut state = State::Start as u8;
    for (at, byte) in text.iter().enumerate() {
        let next = table[usize::from(state & 15)][usize::from(*byte)];
        match next {
            HERE => return End::At(at),
            BEFORE_THE_LAST => return End::At(at - 1),
            BEHIND_LINE_END => return End::Lines(at),
            APOSTROPHE => return End::Word(at),
            UNKNOWN => return End::Unknown,
            _ => state = next,
        }
    }
    if state == State::LinesAndBlanks as u8 && matches!(encoding, Encoding::O200kBase) {
        return End::Lines(text.len());
    }
    End::At(text.len())
}

const fn classes() -> [u8; 128] {
    let mut classes = [SIGN; 128];
    let mut byte = 0;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => NUMBER,
            b'\r' | b'\n' => LINE_END,
            b' ' | b'\t' | 0x0b | 0x0c => BLANK,
            _ => SIGN,
        };
        byte += 1;
    }
    classes
}

const fn table(encoding: Encoding) -> Table {
    use State::{
        Blanks, Digit, Lines, LinesAndBlanks, Lower, Sign, Signs, SignsAndLines, Space, Start, Tab,
        ThreeDigits, TwoDigits, Upper,
    };
    const STATES: [State; 14] = [
        Start,
        Upper,
        Lower,
        Digit,
        TwoDigits,
        ThreeDigits,
        Space,
        Tab,
        Blanks,
        Lines,
        LinesAndBlanks,
        Sign,
        Signs,
        SignsAndLines,
    ];
    let mut table = [[UNKNOWN; 256]; 16];
    let mut at = 0;
    while at < STATES.len() {
        let state = STATES[at];
        let mut byte = 0;
        while byte < 128 {
            table[state as usize][byte as usize] = match encoding {
                Encoding::O200kBase => o200k_base(state, byte),
                Encoding::Cl100kBase => cl100k_base(state, byte),
            };
            byte += 1;
        }
        at += 1;
    }
    table
}

const fn o200k_base(state: State, byte: u8) -> u8 {
    match (state, byte) {
        (State::Upper | State::Lower, b'\'') => APOSTROPHE,
        (State::Lower, b'A'..=b'Z') => HERE,
        (State::SignsAndLines, b'/') => State::SignsAndLines as u8,
        _ => either(state, byte),
    }
}

const fn cl100k_base(state: State, byte: u8) -> u8 {
    match (state, byte) {
        // Perhaps a contraction, which is a piece of its own.
        (State::Start, b'\'') => UNKNOWN,
        (State::Upper | State::Lower, b'A'..=b'Z') => State::Lower as u8,
        _ => either(state, byte),
    }
}

/// What both encodings say.
const fn either(state: State, byte: u8) -> u8 {
    use State::{
        Blanks, Digit, Lines, LinesAndBlanks, Lower, Sign, Signs, SignsAndLines, Space, Start, Tab,
        ThreeDigits, TwoDigits, Upper,
    };
    let next = match (state, CLASSES[byte as usize]) {
        (Start | Space | Tab | Sign | Upper, UPPER) => Upper,
        (Start | Space | Tab | Sign | Upper | Lower, LOWER) => Lower,
        (Start, NUMBER) => Digit,
        (Digit, NUMBER) => TwoDigits,
        (TwoDigits, NUMBER) => ThreeDigits,
        (Start, BLANK) if byte == b' ' => Space,
        (Start, BLANK) => Tab,
        (Space | Tab | Blanks, BLANK) => Blanks,
        (Lines | LinesAndBlanks, BLANK) => LinesAndBlanks,
        (Start | Space | Tab | Blanks | Lines | LinesAndBlanks, LINE_END) => Lines,
        (Sign | Signs | SignsAndLines, LINE_END) => SignsAndLines,
        (Start, SIGN) => Sign,
        (Space | Sign | Signs, SIGN) => Signs,
        // The last blank belongs to what follows.
        (Blanks, _) => return BEFORE_THE_LAST,
        (LinesAndBlanks, _) => return BEHIND_LINE_END,
        _ => return HERE,
    };
    next as u8
}
