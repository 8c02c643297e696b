// As values.c: what is passed is printed before the call.
use std::hint::black_box;
use std::rc::Rc;

pub struct Point { pub x: i32, pub y: i32 }
pub struct Order { pub id: u64, pub name: String, pub tags: Vec<String> }
pub struct Large { pub a: [u64; 3], pub b: u8 }
#[derive(Clone, Copy)]
pub enum State { Idle, Busy }
pub enum Shape { Circle(u32), Named { name: &'static str, sides: u8 }, Empty }

fn input(at: usize) -> i64 { black_box([0, 1, 2, 3, 4])[at] }

#[inline(never)]
fn m_widths(a: i8, b: u8, c: i16, d: u16, e: i32, f: u32) -> i64 {
    black_box(i64::from(a) + i64::from(b) + i64::from(c) + i64::from(d) + i64::from(e) + i64::from(f))
}
#[inline(never)]
fn m_longs(a: i64, b: u64, c: isize, d: usize) -> i64 { black_box(a ^ b as i64 ^ c as i64 ^ d as i64) }
#[inline(never)]
fn m_kinds(a: bool, b: char, c: State, d: &'static str) -> usize {
    black_box(usize::from(a) + b as usize + c as usize + d.len())
}
#[inline(never)]
fn m_many(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, h: i64, i: u8) -> i64 {
    black_box(i64::from(a + b + c + d + e + f + g) + h + i64::from(i))
}
#[inline(never)]
fn m_doubles(a: f64, b: i32, c: f32) -> f64 { black_box(a * f64::from(b) + f64::from(c)) }
#[inline(never)]
fn m_by_value(p: Point, t: (i32, u8), n: u8) -> i32 { black_box(p.x + p.y + t.0 + i32::from(t.1) + i32::from(n)) }
// Behind the last register, on the stack.
#[inline(never)]
fn m_stacked(a: i64, b: i64, c: i64, d: i64, e: i64, f: i64, g: Large, h: i16) -> i64 {
    black_box(a + b + c + d + e + f + g.a[1] as i64 + i64::from(g.b) + i64::from(h))
}
#[inline(never)]
fn m_wide(a: i128, b: u128, c: i32) -> i128 { black_box(a.wrapping_add((b >> 3) as i128).wrapping_add(c as i128)) }
#[inline(never)]
fn m_text(a: &str, b: &String, c: String) -> usize { black_box(a.len() + b.len() + c.len()) }
#[inline(never)]
fn m_sequences(a: &[i32], b: Vec<u16>, c: &[&str], d: [String; 2]) -> usize {
    black_box(a.len() + b.len() + c.len() + d[1].len())
}
#[inline(never)]
fn m_options(a: Option<u32>, b: Option<&str>, c: Result<i32, u8>) -> usize {
    black_box(a.unwrap_or(0) as usize + b.map_or(0, str::len) + c.map_or(1, |c| usize::from(c > 0)))
}
#[inline(never)]
fn m_shape(a: Shape, b: i32) -> usize {
    black_box(match a { Shape::Circle(r) => r as usize, Shape::Named { name, sides } => name.len() + usize::from(sides), Shape::Empty => 0 } + b as usize)
}
#[inline(never)]
fn m_texts(order: Order, n: i32) -> u64 { black_box(order.id + order.name.len() as u64 + order.tags.len() as u64 + n as u64) }
#[inline(never)]
fn m_generic<T: Copy + Into<i64>>(a: T, b: i32) -> i64 { black_box(a.into() + i64::from(b)) }
#[inline(never)]
fn m_unused(_a: i32, b: i32, _c: &str) -> i32 { black_box(b) }
#[inline(never)]
fn m_recurses(depth: u32, sum: u64) -> u64 {
    if depth == 0 { return black_box(sum); }
    println!("m_recurses|depth={}|sum={}", depth - 1, sum + u64::from(depth));
    black_box(m_recurses(depth - 1, sum + u64::from(depth))) + 1
}
#[inline]
fn m_inlined(a: i32, b: i64) -> i64 { black_box(i64::from(a) * 3 ^ b) }
#[inline(never)]
fn m_shared(a: Rc<i32>, b: i32) -> i32 { black_box(*a + b) }

impl Point {
    #[inline(never)]
    fn m_method(&self, by: i32, label: &str) -> i32 { black_box(self.x + by + label.len() as i32) }
}

fn main() {
    for round in 0..3 {
        let r = input(round);
        println!("m_widths|a=-128|b=255|c=-32768|d=65535|e={}|f=4294967295", r);
        m_widths(-128, 255, -32768, 65535, r as i32, u32::MAX);
        println!("m_longs|a=-1|b={}|c={}|d={}", u64::MAX, i64::MIN, r);
        m_longs(-1, u64::MAX, isize::MIN, r as usize);
        println!("m_kinds|a={}|b=é|c={}|d=text", r == 1, if r == 1 { "Busy" } else { "Idle" });
        m_kinds(r == 1, 'é', if r == 1 { State::Busy } else { State::Idle }, "text");
        println!("m_many|a=1|b=-2|c=3|d=-4|e=5|f=-6|g={}|h=-8|i=200", r + 7);
        m_many(1, -2, 3, -4, 5, -6, r as i32 + 7, -8, 200);
        println!("m_doubles|a={:.1}|b=42|c=-2.25", r as f64 + 0.5);
        m_doubles(r as f64 + 0.5, 42, -2.25);
        println!("m_by_value|p={{.x={r}, .y=-1}}|t=({}, 9)|n=3", r + 1);
        m_by_value(Point { x: r as i32, y: -1 }, (r as i32 + 1, 9), 3);
        println!("m_stacked|a=1|b=2|c=3|d=4|e=5|f={r}|g={{.a=[7, {r}, 9], .b=200}}|h=-{}", r + 1);
        m_stacked(1, 2, 3, 4, 5, r, Large { a: [7, r as u64, 9], b: 200 }, -(r as i16 + 1));
        println!("m_wide|a={}|b={}|c={r}", i128::MIN + r as i128, u128::MAX);
        m_wide(i128::MIN + r as i128, u128::MAX, r as i32);
        let text = format!("text {r}");
        println!("m_text|a={text}|b={text}|c={text}");
        m_text(&text, &text, text.clone());
        println!("m_sequences|a=[{r}, -2, 3]|b=[7, {r}]|c=[\"one\", \"two\"]|d=[\"\", \"{text}\"]");
        m_sequences(&[r as i32, -2, 3], vec![7, r as u16], &["one", "two"], [String::new(), text.clone()]);
        let (some, result) = (if r == 1 { Some(5) } else { None }, if r == 1 { Err(7) } else { Ok(-3) });
        println!("m_options|a={}|b=Some(\"opt\")|c={}", if r == 1 { "Some(5)" } else { "None" }, if r == 1 { "Err(7)" } else { "Ok(-3)" });
        m_options(some, Some("opt"), result);
        let (shape, shown) = match r {
            0 => (Shape::Circle(9), "Circle(9)"),
            1 => (Shape::Named { name: "hex", sides: 6 }, "Named{.name=\"hex\", .sides=6}"),
            _ => (Shape::Empty, "Empty"),
        };
        println!("m_shape|a={shown}|b=4");
        m_shape(shape, 4);
        println!("m_texts|order={{.id={r}, .name=\"order\", .tags=[\"new\", \"text {r}\"]}}|n=5");
        m_texts(Order { id: r as u64, name: "order".to_owned(), tags: vec!["new".to_owned(), text.clone()] }, 5);
        println!("m_generic<i16>|a={r}|b=-5");
        m_generic(r as i16, -5);
        println!("m_generic<u32>|a={r}|b=-5");
        m_generic(r as u32, -5);
        println!("m_unused|_a={r}|b={}|_c=unused", r + 1);
        m_unused(r as i32, r as i32 + 1, "unused");
        println!("m_recurses|depth={r}|sum=0");
        m_recurses(r as u32, 0);
        println!("m_inlined|a={r}|b={}", r * 2);
        m_inlined(r as i32, r * 2);
        println!("m_shared|a=?|b=8");
        m_shared(Rc::new(r as i32), 8);
        let point = Point { x: r as i32, y: 2 };
        println!("m_method|self={:p}|by={r}|label=label", &point);
        point.m_method(r as i32, "label");
    }
}
