//! Owns where a program's output goes: a stream, buffered, with traced text made safe where it is a terminal.

use std::io::{self, IsTerminal as _, Write};

use ctp_lang::ir::{ExprKind, Piece, Print, Program, Show, Shown};
use ctp_lang::value::{Value, write_global, write_print};

use super::escape::escape;

/// Bytes gathered before they are written although more events wait.
const ENOUGH: usize = 64 << 10;

/// Writes what programs print.
pub struct Printer {
    out: Box<dyn Write>,
    terminal: bool,
    buffer: Vec<u8>,
}

impl Printer {
    /// To standard output.
    pub fn stdout() -> Printer {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Printer { out: Box::new(stdout), terminal, buffer: Vec::new() }
    }

    /// To a file, made new or emptied.
    ///
    /// # Errors
    /// As opening fails.
    pub fn file(path: &str) -> io::Result<Printer> {
        let file = std::fs::File::create(path)?;
        let terminal = file.is_terminal();
        Ok(Printer { out: Box::new(file), terminal, buffer: Vec::new() })
    }

    /// Takes one output statement with its values.
    ///
    /// # Errors
    /// As writing fails.
    pub fn print(&mut self, print: &Print, values: Vec<Value>, program: &Program) -> io::Result<()> {
        let values = if self.terminal { safe_values(print, values) } else { values };
        write_print(&mut self.buffer, print, &values, program);
        self.flush_if_full()
    }

    /// Takes a global, or an entry of a map, that nothing in the program prints.
    ///
    /// # Errors
    /// As writing fails.
    pub fn global(&mut self, name: &str, key: &[Value], value: &Value) -> io::Result<()> {
        let mut line = Vec::new();
        write_global(&mut line, name, key, value);
        match line.strip_suffix(b"\n") {
            Some(text) if self.terminal => {
                self.buffer.extend_from_slice(escape(text).as_bytes());
                self.buffer.push(b'\n');
            }
            Some(_) | None => self.buffer.extend_from_slice(&line),
        }
        self.flush_if_full()
    }

    /// Takes bytes that hold no traced text, or text already made safe.
    ///
    /// # Errors
    /// As writing fails.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.flush_if_full()
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// As writing fails; what was gathered is dropped then.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let done = self.out.write_all(&self.buffer).and_then(|()| self.out.flush());
        self.buffer.clear();
        done
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= ENOUGH { self.flush() } else { Ok(()) }
    }
}

/// The values of an output as a terminal may get them.
fn safe_values(print: &Print, values: Vec<Value>) -> Vec<Value> {
    let shown = print.pieces.iter().filter_map(|piece| match piece {
        Piece::Value(shown) => Some(shown),
        Piece::Text(_) | Piece::Unavailable { .. } => None,
        Piece::Whole(_) | Piece::Histogram { .. } | Piece::Table(_) => None,
    });
    shown.zip(values).map(|(shown, value)| safe(shown, value)).collect()
}

/// Traced text as a terminal may get it; a character is text too, unless the program itself names it.
fn safe(shown: &Shown, value: Value) -> Value {
    match value {
        Value::Str { bytes, truncated } => Value::Str { bytes: escape(bytes).into_bytes(), truncated },
        Value::Int(number) if shown.show == Show::Char && !matches!(shown.value.kind, ExprKind::Int(_)) => {
            Value::str(escape([number.to_le_bytes()[0]]))
        }
        Value::Int(_) | Value::Fault | Value::Stats(_) | Value::Table(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
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
        let mut printer = Printer { out: Box::new(out.clone()), terminal, buffer: Vec::new() };
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
    fn a_global_printed_at_the_end_cannot_control_a_terminal() {
        let hostile = Value::str("\u{9b}2J\x1b\u{202e}");
        let line = written(true, |out| out.global("last", std::slice::from_ref(&hostile), &hostile));
        let shown = "\\xc2\\x9b2J\\x1b\\xe2\\x80\\xae";
        assert_eq!(String::from_utf8(line).unwrap(), format!("last[\"{shown}\"] = \"{shown}\"\n"));
    }
}
