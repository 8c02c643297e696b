//! Enumerations with fields, text, sequences and tuples; each function is called once.
#![allow(dead_code)]
use std::hint::black_box;

#[derive(Debug)]
enum Shape {
    Empty,
    Circle(u32),
    Named { name: String, sides: u8 },
}

#[derive(Debug)]
struct Order {
    id: u64,
    item: String,
    note: Option<String>,
    none: Option<String>,
    amounts: Vec<u16>,
    at: (i32, i8),
    shape: Shape,
    first: Option<u32>,
    last: Result<u8, i16>,
    link: Option<&'static u32>,
}

static NUMBER: u32 = 6;

#[inline(never)]
fn take(order: &Order, text: &str, slice: &[i32], small: Option<u32>, shape: &Shape) {
    println!("{order:?} {text} {slice:?} {small:?} {shape:?}");
    black_box((order, text, slice, small, shape));
}

fn main() {
    let order = Order {
        id: 5,
        item: "boots".to_owned(),
        note: Some("fragile".to_owned()),
        none: None,
        amounts: vec![1, 2, 300],
        at: (-7, 8),
        shape: Shape::Named { name: "hexagon".to_owned(), sides: 6 },
        first: Some(11),
        last: Err(-2),
        link: Some(&NUMBER),
    };
    take(black_box(&order), black_box("some text"), black_box(&[4, -5, 6]), black_box(Some(9)), &Shape::Circle(3));
    take(black_box(&order), black_box(""), black_box(&[]), black_box(None), black_box(&Shape::Empty));
}
