//! Inputs like those of a corpus, with something wrong.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::Corpus;

/// Most changes of one input.
const CHANGES: usize = 5;
/// How many times a part is repeated, most often at most.
const TIMES: usize = 40;
/// No input grows beyond this, in bytes: some lines reach the 64 KiB of a handshake.
const LARGEST: usize = 80 * 1024;

/// What goes wrong in texts, numbers and formats.
const NASTY: [&[u8]; 24] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\t",
    b"\x1b[31m",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    "\u{feff}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{2028}".as_bytes(),
    b"..",
    b"/",
    b"-",
    b"|",
    b"%00",
    b"~",
    b"{}",
    b"[[[[[[[[",
    b"&a [*a, *a]",
    b"18446744073709551616",
    b"-0",
    b"1e999",
    b"null",
];

/// One change; places and lengths are relative to what there is.
#[derive(Debug, Clone)]
enum Change {
    Cut { at: Index, length: Index },
    Flip { at: Index, bit: u8 },
    Splice { at: Index, file: Index, from: Index, length: Index },
    Repeat { at: Index, length: Index, times: usize },
    Word { at: Index, word: Index },
    Nasty { at: Index, text: Index },
}

/// Mutations of the corpus, and every now and then any bytes.
pub(crate) fn mutations(corpus: &Corpus) -> impl Strategy<Value = Vec<u8>> + use<> {
    let corpus = corpus.clone();
    let mutated = (any::<Index>(), vec(change(), 0..=CHANGES)).prop_map(move |(file, changes)| {
        let mut bytes = corpus.file(&file).to_vec();
        for change in changes {
            change.apply(&mut bytes, &corpus);
            bytes.truncate(LARGEST);
        }
        bytes
    });
    prop_oneof![12 => mutated, 1 => vec(any::<u8>(), 0..300)]
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), at()).prop_map(|(at, length)| Change::Cut { at, length }),
        2 => (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip { at, bit }),
        2 => (at(), at(), at(), at())
            .prop_map(|(at, file, from, length)| Change::Splice { at, file, from, length }),
        1 => (at(), at(), prop_oneof![3 => 1..TIMES, 1 => Just(LARGEST)])
            .prop_map(|(at, length, times)| Change::Repeat { at, length, times }),
        3 => (at(), at()).prop_map(|(at, word)| Change::Word { at, word }),
        2 => (at(), at()).prop_map(|(at, text)| Change::Nasty { at, text }),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, corpus: &Corpus) {
        match self {
            Self::Cut { at, length } => {
                drop(bytes.drain(part(bytes, at, length)));
            }
            Self::Flip { at, bit } => {
                let at = at.index(bytes.len() + 1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Splice { at, file, from, length } => {
                let other = corpus.file(file);
                insert(bytes, at, &other[part(other, from, length)]);
            }
            Self::Repeat { at, length, times } => {
                let repeated = &bytes[part(bytes, at, length)];
                let most = LARGEST / repeated.len().max(1);
                let repeated = repeated.repeat(most.min(*times));
                insert(bytes, at, &repeated);
            }
            Self::Word { at, word } => insert(bytes, at, corpus.word(word)),
            Self::Nasty { at, text } => insert(bytes, at, NASTY[text.index(NASTY.len())]),
        }
    }
}

fn part(bytes: &[u8], at: &Index, length: &Index) -> std::ops::Range<usize> {
    let at = at.index(bytes.len() + 1);
    at..at + length.index(bytes.len() - at + 1)
}

fn insert(bytes: &mut Vec<u8>, at: &Index, inserted: &[u8]) {
    let at = at.index(bytes.len() + 1);
    bytes.splice(at..at, inserted.iter().copied());
}
