// A Rust program with much that its compiler describes in different ways: generics, enumerations with methods, closures,
// traits, tuples, slices, and values that are kept in pieces.

use std::collections::BTreeMap;

mod whole {
    #[derive(Clone, Debug, PartialEq)]
    pub enum Shape {
        Circle(f64),
        Rectangle { width: u32, height: u32 },
        Nothing,
    }

    impl Shape {
        #[inline(never)]
        pub fn area(&self, scale: u32) -> u64 {
            match self {
                Shape::Circle(radius) => (radius * radius * 3.0) as u64 * u64::from(scale),
                Shape::Rectangle { width, height } => u64::from(*width) * u64::from(*height) * u64::from(scale),
                Shape::Nothing => 0,
            }
        }
    }

    pub trait Named {
        fn name(&self, prefix: &str) -> String;
    }

    impl Named for Shape {
        #[inline(never)]
        fn name(&self, prefix: &str) -> String {
            format!("{prefix}{self:?}")
        }
    }

    #[inline(never)]
    pub fn largest<T: PartialOrd + Copy>(first: T, rest: &[T]) -> T {
        rest.iter().fold(first, |best, one| if *one > best { *one } else { best })
    }

    #[inline(never)]
    pub fn apply(number: i32, text: &str, function: &dyn Fn(i32, &str) -> i64) -> i64 {
        function(number, text)
    }

    #[inline(never)]
    pub fn wide(a: u8, b: i16, c: u32, d: i64, e: u128, f: (u8, u64), g: Option<u32>, h: [u16; 5]) -> u128 {
        u128::from(a) + b as u128 + u128::from(c) + d as u128 + e + u128::from(f.1) + u128::from(g.unwrap_or(1))
            + u128::from(h[2])
    }
}

use whole::{Named, Shape};

#[inline(never)]
fn whole_count(words: &str, into: &mut BTreeMap<String, usize>) -> usize {
    for word in words.split(' ') {
        *into.entry(word.to_owned()).or_default() += 1;
    }
    into.len()
}

fn main() {
    let count = std::env::args().count() as u32;
    let shapes = [Shape::Circle(2.0), Shape::Rectangle { width: 3, height: count }, Shape::Nothing];
    let total: u64 = shapes.iter().map(|shape| shape.area(count)).sum();
    let mut words = BTreeMap::new();
    println!("{total} {} {}", whole_count("a b a", &mut words), shapes[1].name("> "));
    println!("{} {}", whole::largest(count, &[1, 5, 3]), whole::largest(0.5, &[f64::from(count)]));
    println!("{}", whole::apply(7, "seven", &|number, text| i64::from(number) * text.len() as i64));
    println!("{}", whole::wide(1, -2, 3, -4, 5, (6, 7), Some(count), [8, 9, 10, 11, 12]));
}
