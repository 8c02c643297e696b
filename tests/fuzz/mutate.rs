//! Owns changes: a text → one that is slightly, or not so slightly, wrong.

use crate::random::Random;

/// Pieces that mean something somewhere.
const PIECES: [&str; 58] = [
    "probe ",
    "begin",
    "end",
    "every(1s)",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    "\n",
    " ",
    "\"",
    "'",
    "\\",
    "/*",
    "*/",
    "//",
    "#",
    "$",
    "$$",
    "@",
    "->",
    ".",
    "..",
    "++",
    "--",
    "<<<",
    "<<",
    "==",
    "=",
    "!=",
    "&&",
    "||",
    "?",
    ":",
    "if (",
    "else ",
    "for (;;) ",
    "foreach (k in m) ",
    "emit { ",
    "return ",
    "global ",
    "fn f() {",
    "import \"x\"",
    "0x",
    "1.5",
    "99999999999999999999",
    "container(\"",
    ":/app",
    ".fn(\"",
    ").return",
    "é",
    "\u{202e}",
    "\r",
    "# ctp: allow(W",
];

/// The longest text that is made.
const LONGEST: usize = 1 << 20;

/// `text` with some changes; `other` is what pieces are taken from.
pub(crate) fn mutate(random: &mut Random, text: &str, other: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(6) {
        change(random, &mut bytes, other.as_bytes());
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len() + 1);
    let end = (at + 1 + random.below(12)).min(bytes.len());
    match random.below(14) {
        0 => drop(bytes.drain(at..end)),
        1 => drop(bytes.drain(at..(at + random.below(200)).min(bytes.len()))),
        2 => bytes.truncate(at),
        3..=5 => {
            let piece = random.pick(&PIECES).bytes();
            drop(bytes.splice(at..at, piece));
        }
        6 => {
            let piece = random.pick(&PIECES).bytes();
            drop(bytes.splice(at..end, piece));
        }
        7 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        8 => {
            let byte = u8::try_from(random.below(256)).unwrap_or(0);
            bytes.insert(at, byte);
        }
        9 => {
            let copy = bytes[at..(at + random.below(60)).min(bytes.len())].to_vec();
            let to = random.below(bytes.len() + 1);
            drop(bytes.splice(to..to, copy));
        }
        10 => {
            let from = random.below(other.len() + 1);
            let piece = other[from..(from + random.below(120)).min(other.len())].to_vec();
            drop(bytes.splice(at..at, piece));
        }
        11 => repeat(random, bytes, at),
        12 => {
            // A line elsewhere.
            let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
            let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n + 1);
            let line: Vec<u8> = bytes.drain(start..end).collect();
            let to = random.below(bytes.len() + 1);
            drop(bytes.splice(to..to, line));
        }
        _ => {
            // Two places change sides.
            let to = random.below(bytes.len() + 1);
            let (low, high) = (at.min(to), at.max(to));
            bytes[low..high].reverse();
        }
    }
}

/// A piece many times over: what nests, and what is long.
fn repeat(random: &mut Random, bytes: &mut Vec<u8>, at: usize) {
    let piece = if random.once_in(2) {
        random.pick(&PIECES).as_bytes().to_vec()
    } else {
        bytes[at..(at + 1 + random.below(30)).min(bytes.len())].to_vec()
    };
    // Seldom as long as a program may be: those take their time.
    let most = if random.once_in(200) { LONGEST } else { 3000 };
    let times = 1 + random.below(most) / piece.len().max(1);
    drop(bytes.splice(at..at, piece.repeat(times)));
}
