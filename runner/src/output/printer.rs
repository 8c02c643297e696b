//! Owns where a program's output goes: a stream, buffered, with traced text made safe where it is a terminal.

use std::io;

use ctp_lang::ir::{ExprKind, Piece, Print, PrintKind, Program, Show, Shown};
use ctp_lang::value::{Value, unicode, with_values, write_global, write_piece, write_print};

use super::escape::escape;
use super::sink::Sink;

/// Writes what programs print.
pub struct Printer {
    sink: Sink,
}

impl Printer {
    /// To standard output.
    pub fn stdout() -> Printer {
        Printer::new(Sink::stdout())
    }

    /// To a file, made new or emptied.
    ///
    /// # Errors
    /// As opening fails.
    pub fn file(path: &str) -> io::Result<Printer> {
        Ok(Printer::new(Sink::file(path)?))
    }

    pub(super) fn new(sink: Sink) -> Printer {
        Printer { sink }
    }

    /// Takes one output statement with its values.
    ///
    /// # Errors
    /// As writing fails.
    pub fn print(&mut self, print: &Print, values: Vec<Value>, program: &Program) -> io::Result<()> {
        if self.sink.terminal {
            write_safely(&mut self.sink.buffer, print, values, program);
        } else {
            write_print(&mut self.sink.buffer, print, &values, program);
        }
        self.sink.flush_if_full()
    }

    /// Takes a global, or an entry of a map, that nothing in the program prints.
    ///
    /// # Errors
    /// As writing fails.
    pub fn global(&mut self, name: &str, key: &[Value], value: &Value) -> io::Result<()> {
        let mut line = Vec::new();
        write_global(&mut line, name, key, value);
        if self.sink.terminal {
            write_lines_safely(&mut self.sink.buffer, &line);
        } else {
            self.sink.buffer.extend_from_slice(&line);
        }
        self.sink.flush_if_full()
    }

    /// Takes bytes that hold no traced text, or text already made safe.
    ///
    /// # Errors
    /// As writing fails.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.buffer.extend_from_slice(bytes);
        self.sink.flush_if_full()
    }

    /// How often what was gathered has gone out whole.
    pub(super) fn flushes(&self) -> u64 {
        self.sink.flushes
    }

    pub(super) fn holds_back(&self) -> bool {
        !self.sink.buffer.is_empty()
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// As writing fails; what was gathered is dropped then.
    pub fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Writes an output as a terminal may get it: all but the program's own text is made safe.
fn write_safely(out: &mut Vec<u8>, print: &Print, mut values: Vec<Value>, program: &Program) {
    match print.kind {
        PrintKind::Event(_) => {
            let mut line = Vec::new();
            write_print(&mut line, print, &values, program);
            write_lines_safely(out, &line);
        }
        // Changes of maps are no output, and come to nobody who prints.
        PrintKind::Keep(_) => {}
        PrintKind::Text | PrintKind::Error => {
            let mut at = 0;
            for piece in &print.pieces {
                if let (Piece::Value(shown), Some(value)) = (piece, values.get_mut(at)) {
                    *value = safe(shown, std::mem::replace(value, Value::Fault));
                }
                at += piece.values();
            }
            for (piece, values) in with_values(&print.pieces, &values) {
                write_piece_safely(out, piece, values, program);
            }
        }
    }
}

fn write_piece_safely(out: &mut Vec<u8>, piece: &Piece, values: &[Value], program: &Program) {
    let mut text = Vec::new();
    write_piece(&mut text, piece, values, program);
    match piece {
        Piece::Text(_) | Piece::Unavailable { .. } => out.extend_from_slice(&text),
        // Made safe before it was brought to its width, or the program's own character.
        Piece::Value(shown) if matches!(shown.show, Show::Text | Show::Char | Show::Unicode) => {
            out.extend_from_slice(&text)
        }
        // Names of enumerators and whole values.
        Piece::Value(_) | Piece::Whole(_) => out.extend_from_slice(escape(text).as_bytes()),
        Piece::Histogram { .. } | Piece::Table { .. } => write_lines_safely(out, &text),
    }
}

/// Makes lines safe whose ends are no traced text: in tables, headings and events newlines of texts are written `\n`.
fn write_lines_safely(out: &mut Vec<u8>, text: &[u8]) {
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let (text, end) = line.strip_suffix(b"\n").map_or((line, ""), |text| (text, "\n"));
        out.extend_from_slice(escape(text).as_bytes());
        out.extend_from_slice(end.as_bytes());
    }
}

/// Traced text as a terminal may get it; a character is text too, unless the program itself names it.
fn safe(shown: &Shown, value: Value) -> Value {
    match value {
        Value::Str { bytes, truncated } => Value::Str { bytes: escape(bytes).into_bytes(), truncated },
        Value::Int(number) if shown.show == Show::Char && !matches!(shown.value.kind, ExprKind::Int(_)) => {
            Value::str(escape([number.to_le_bytes()[0]]))
        }
        Value::Int(number) if shown.show == Show::Unicode => match unicode(number) {
            Ok(character) => Value::str(escape(character.into_bytes())),
            Err(_) => value,
        },
        // A frame is a line.
        Value::Stack(stack) => {
            let lines: Vec<String> = stack.text("\n").lines().map(escape).collect();
            Value::str(lines.join("\n"))
        }
        Value::Int(_) | Value::Fault | Value::Stats(_) | Value::Table(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Write;
    use std::rc::Rc;

    use ctp_lang::ir::{Context, Expr, PrintKind, Spec, Ty};
    use ctp_lang::source::{SourceId, Span};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Rc<RefCell<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(terminal: bool, write: impl FnOnce(&mut Printer) -> io::Result<()>) -> Vec<u8> {
        let out = Shared::default();
        let mut printer = Printer::new(Sink::new(Box::new(out.clone()), terminal));
        write(&mut printer).unwrap();
        printer.flush().unwrap();
        out.0.take()
    }

    fn print(kind: ExprKind, show: Show) -> Print {
        let span = Span { source: SourceId(0), start: 0, end: 0 };
        let value = Expr { ty: Ty::Int, kind, span };
        let shown = Shown { value, show, spec: Spec::default(), fault_is_shown: false };
        Print { kind: PrintKind::Text, pieces: vec![Piece::Text(b"\x1b[1m".to_vec()), Piece::Value(shown)], span }
    }

    #[test]
    fn a_character_of_the_traced_program_cannot_control_a_terminal() {
        let traced = print(ExprKind::Context(Context::Pid), Show::Char);
        let given = |terminal| written(terminal, |out| out.print(&traced, vec![Value::Int(0x1b)], &Program::default()));
        assert_eq!(given(true), b"\x1b[1m\\x1b");
        assert_eq!(given(false), b"\x1b[1m\x1b");
        let own = print(ExprKind::Int(10), Show::Char);
        assert_eq!(written(true, |out| out.print(&own, vec![Value::Int(10)], &Program::default())), b"\x1b[1m\n");
    }

    #[test]
    fn names_of_frames_cannot_control_a_terminal() {
        let place = ctp_lang::stack::Place {
            module: "/app/\u{9b}2J".into(),
            build_id: None,
            address: 1,
            function: Some("f\x1b[2J".to_owned()),
            offset: Some(0),
            line: None,
            inlined: false,
        };
        let frame = ctp_lang::stack::Frame::Code(place.into());
        let stack = ctp_lang::stack::Stack { frames: vec![frame.clone(), frame], stopped: None };
        let shown = print(ExprKind::Context(Context::Stack(8)), Show::Text);
        let line = "f\\x1b[2J+0x0 in /app/\\xc2\\x9b2J";
        let given = |terminal| {
            let value = Value::Stack(stack.clone().into());
            written(terminal, |out| out.print(&shown, vec![value], &Program::default()))
        };
        assert_eq!(String::from_utf8(given(true)).unwrap(), format!("\x1b[1m{line}\n{line}"));
        assert!(given(false).contains(&0x1b));
        let key = Value::Stack(stack.clone().into());
        let text = written(true, |out| out.global("by", &[key], &Value::Int(1)));
        assert_eq!(String::from_utf8(text).unwrap(), format!("by[{line} < {line}] = 1\n"));
    }

    #[test]
    fn a_global_printed_at_the_end_cannot_control_a_terminal() {
        let hostile = Value::str("\u{9b}2J\x1b\u{202e}");
        let line = written(true, |out| out.global("last", std::slice::from_ref(&hostile), &hostile));
        let shown = "\\xc2\\x9b2J\\x1b\\xe2\\x80\\xae";
        assert_eq!(String::from_utf8(line).unwrap(), format!("last[\"{shown}\"] = \"{shown}\"\n"));
    }
}
