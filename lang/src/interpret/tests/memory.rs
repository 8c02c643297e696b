//! Numbers, texts and blocks of the traced program's memory.

use super::build::*;
use crate::interpret::Stop;
use crate::interpret::recorded::Recorded;
use crate::ir::{Block, ExprKind, Program};
use crate::value::Value;

fn machine(program: &Program) -> Recorded<'_> {
    let mut machine = Recorded { string_limit: 6, ..Recorded::new(program) };
    machine.memory.push((0x1000, vec![0xff, 0xfe, 1, 0x80, 5, 6, 7, 0x88, 9]));
    machine.memory.push((0x2000, b"hello\0rest".to_vec()));
    machine.memory.push((0x3000, b"longer than six\0".to_vec()));
    // Ends where its page ends.
    machine.memory.push((0x4000, b"abc".to_vec()));
    machine
}

fn cut(bytes: &str) -> Result<Value, Stop> {
    Ok(Value::Str { bytes: bytes.into(), truncated: true })
}

const FAULT: Result<Value, Stop> = Err(Stop::Fault(HERE));

#[test]
fn loads_have_the_width_and_sign_of_their_type() {
    let cases = [
        (0x1000, 1, false, Ok(0xff)),
        (0x1000, 1, true, Ok(-1)),
        (0x1000, 2, false, Ok(0xfeff)),
        (0x1002, 2, true, Ok(-32767)),
        (0x1000, 4, true, Ok(i64::from(i32::from_le_bytes([0xff, 0xfe, 1, 0x80])))),
        (0x1000, 4, false, Ok(0x8001_feff)),
        (0x1000, 8, false, Ok(i64::from_le_bytes([0xff, 0xfe, 1, 0x80, 5, 6, 7, 0x88]))),
        (0x1002, 8, true, Err(())),
        (0, 4, true, Err(())),
        (-1, 8, true, Err(())),
    ];
    let program = Program::default();
    for (address, size, signed, expected) in cases {
        let kind = ExprKind::Load { address: Box::new(int(address)), size, signed };
        let expected = expected.map(Value::Int).map_err(|()| Stop::Fault(HERE));
        assert_eq!(value(&mut machine(&program), kind), expected, "{address:#x} {size} {signed}");
    }
}

#[test]
fn a_user_string_ends_at_its_nul_or_is_cut_and_marked() {
    let program = Program::default();
    let read = |address| value(&mut machine(&program), ExprKind::UserString(Box::new(int(address))));
    assert_eq!(read(0x2000), Ok(Value::str("hello")));
    assert_eq!(read(0x2005), Ok(Value::str("")));
    assert_eq!(read(0x3000), cut("longer"));
    // Exactly as long as the limit: whole.
    assert_eq!(read(0x3009), Ok(Value::str("an six")));
    assert_eq!(read(0x4000), FAULT);
    assert_eq!(read(0), FAULT);
}

#[test]
fn a_bounded_text_needs_no_nul() {
    let program = Program::default();
    let read = |address, most| {
        let kind = ExprKind::UserText { address: Box::new(int(address)), most: Box::new(int(most)) };
        value(&mut machine(&program), kind)
    };
    assert_eq!(read(0x2000, 3), Ok(Value::str("hel")));
    assert_eq!(read(0x2000, 100), Ok(Value::str("hello")));
    assert_eq!(read(0x4000, 3), Ok(Value::str("abc")), "what lies behind the array is not read");
    assert_eq!(read(0x4000, 4), FAULT);
    assert_eq!(read(0x3000, 6), Ok(Value::str("longer")), "the array is full, nothing was cut");
    assert_eq!(read(0x3000, 7), cut("longer"));
    assert_eq!(read(0, 0), Ok(Value::str("")));
    assert_eq!(read(0, -1), Ok(Value::str("")));
}

#[test]
fn bytes_are_taken_whatever_they_are() {
    let program = Program::default();
    let read = |address, length| {
        let kind = ExprKind::UserBytes { address: Box::new(int(address)), length: Box::new(int(length)) };
        value(&mut machine(&program), kind)
    };
    assert_eq!(read(0x2003, 4), Ok(Value::str("lo\0r")));
    assert_eq!(read(0x3000, 6), Ok(Value::str("longer")));
    assert_eq!(read(0x3000, 7), cut("longer"));
    assert_eq!(read(0x3000, i64::MAX), cut("longer"));
    assert_eq!(read(0x4000, 4), FAULT);
    assert_eq!(read(0, 0), Ok(Value::str("")));
    assert_eq!(read(0, -7), Ok(Value::str("")));
}

#[test]
fn blocks_are_never_cut() {
    let program = Program::default();
    let in_memory = |address, size| {
        value(&mut machine(&program), ExprKind::Block(Block::Memory { address: Box::new(int(address)), size }))
    };
    assert_eq!(in_memory(0x3000, 15), Ok(Value::str("longer than six")));
    assert_eq!(in_memory(0x4000, 4), FAULT);
    let parts = Block::Parts(vec![(int(0x0102_0304), 2), (int(-1), 1), (int(5), 8)]);
    let given = value(&mut machine(&program), ExprKind::Block(parts));
    assert_eq!(given, Ok(Value::str([4, 3, 0xff, 5, 0, 0, 0, 0, 0, 0, 0])));
}
