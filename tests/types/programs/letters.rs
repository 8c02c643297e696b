//! Characters of one to four bytes of UTF-8.
use std::hint::black_box;

#[derive(Debug)]
struct Word {
    first: char,
    rest: [char; 2],
    none: Option<char>,
    some: Option<char>,
}

#[inline(never)]
fn take(letter: char, plain: char, last: char, word: &Word) {
    println!("{letter:?} {plain:?} {last:?} {word:?}");
    black_box((letter, plain, last, word));
}

fn main() {
    let word = Word { first: 'é', rest: ['z', '\u{4e16}'], none: None, some: Some('\u{1f600}') };
    take(black_box('\u{fc}'), black_box('a'), black_box('\u{10ffff}'), black_box(&word));
}
