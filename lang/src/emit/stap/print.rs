//! Owns outputs as text for people: SystemTap's own printf writes them. A run that a fault stops prints nothing: what has
//! a possible fault behind it is put off to the end of the handler.

use super::body::Body;
use super::fault::has_update;
use super::library::Part;
use super::records::Category;
use super::show::{self, Conversion};
use super::{quote, tables};
use crate::ir::{Expr, GlobalKind, Piece, Print, PrintKind, Show, Shown, Ty};

/// The most bytes that one run may gather.
const GATHERED: usize = 4000;

impl Body<'_, '_> {
    /// Outputs that were put off, in the order of the program. They stay in the list: another way through the handler
    /// ends elsewhere.
    pub(super) fn flush(&mut self) {
        if self.writes_records() {
            return self.end_records();
        }
        if self.gathers {
            self.line("print(ctp_out)");
        }
        for line in self.deferred.clone() {
            self.line(line);
        }
    }

    pub(super) fn print(&mut self, print: &Print, fault_behind: bool) {
        let table = print.pieces.iter().any(|piece| matches!(piece, Piece::Histogram { .. } | Piece::Table { .. }));
        if table {
            return self.print_tables(print);
        }
        // What is gathered is written in its order, whatever comes behind it.
        let (format, arguments) = self.format(print, fault_behind && !self.gathers);
        let list: String = arguments.iter().map(|argument| format!(", {argument}")).collect();
        if print.kind == PrintKind::Error {
            // Outside `try`, where it would be caught: behind the handler's output, ended by the `exit` that follows.
            return self.line(format!("ctp_error = sprintf(\"{format}\"{list})"));
        }
        if self.gathers {
            let most = GATHERED;
            self.emitter.longest = self.emitter.longest.max(most);
            self.line(format!("ctp_out = ctp_out . sprintf(\"{format}\"{list})"));
            return self.line(format!("if (strlen(ctp_out) >= {most}) error(\"too much output in one run\")"));
        }
        let line = format!("printf(\"{format}\"{list})");
        if !fault_behind {
            return self.line(line);
        }
        if self.conditions == 0 {
            return self.deferred.push(line);
        }
        let flag = self.names.own("print");
        self.line(format!("{flag} = 1"));
        self.deferred.push(format!("if ({flag}) {line}"));
    }

    /// Pieces of which one is a whole map or a histogram: only in `begin`, `end` and timers, where nothing is put off.
    pub(super) fn print_tables(&mut self, print: &Print) {
        if self.gathers {
            self.line("print(ctp_out)");
            self.line("ctp_out = \"\"");
        }
        for piece in &print.pieces {
            self.goes_over(piece);
            match piece {
                Piece::Histogram { global, keys, linear, .. } => {
                    let keys: Vec<String> = keys.iter().map(|key| self.expr(key)).collect();
                    let lines = tables::histogram(self.emitter, &mut self.names, *global, &keys, *linear);
                    lines.into_iter().for_each(|line| self.line(line));
                }
                Piece::Table { global, asked } => {
                    let asked = match asked {
                        None => None,
                        Some(op) => match self.stat_name(*op, print.span) {
                            None => continue,
                            named => named,
                        },
                    };
                    let name = self.global(*global);
                    let Some(declared) = self.emitter.program.globals.get(global.0 as usize) else { continue };
                    let mut format = String::new();
                    quote::format(&mut format, declared.name.as_bytes());
                    let lines = match &declared.kind {
                        GlobalKind::Stats { keys, .. } => match asked {
                            Some(asked) => tables::asked(self.emitter, &mut self.names, &format, &name, keys, asked),
                            None => tables::stats(self.emitter, &mut self.names, &format, &name, keys),
                        },
                        GlobalKind::Map { keys, value, .. } => {
                            tables::map(self.emitter, &mut self.names, &format, &name, keys, *value)
                        }
                        GlobalKind::Scalar { .. } => Vec::new(),
                    };
                    lines.into_iter().for_each(|line| self.line(line));
                }
                // A table ends its own lines.
                Piece::Text(text) if text == b"\n" => {}
                Piece::Text(_) | Piece::Value(_) | Piece::Whole(_) | Piece::Unavailable { .. } => {
                    let one = Print { kind: PrintKind::Text, pieces: vec![piece.clone()], span: print.span };
                    self.print(&one, false);
                }
            }
        }
    }

    /// Says that the global of a piece is gone over, where it is.
    pub(super) fn goes_over(&mut self, piece: &Piece) {
        let global = match piece {
            Piece::Histogram { global, .. } | Piece::Table { global, .. } => *global,
            Piece::Text(_) | Piece::Value(_) | Piece::Whole(_) | Piece::Unavailable { .. } => return,
        };
        if let Some(global) = self.emitter.program.globals.get(global.0 as usize) {
            self.emitter.goes_over(&global.kind);
        }
    }

    /// Format and arguments of an output; what an `emit` names stands before each value.
    pub(super) fn format(&mut self, print: &Print, fault_behind: bool) -> (String, Vec<String>) {
        let updates = print.pieces.iter().any(|piece| {
            let mut any = false;
            piece.operands(&mut |value| any |= has_update(value));
            any
        });
        let mut format = String::new();
        let mut arguments = Vec::new();
        for (index, piece) in print.pieces.iter().enumerate() {
            if let PrintKind::Event(names) = &print.kind {
                let gap = if index > 0 { " " } else { "" };
                let name = names.get(index).map_or("", String::as_str);
                quote::format(&mut format, format!("{gap}{name}=").as_bytes());
            }
            match piece {
                Piece::Text(bytes) => {
                    let nuls = quote::format(&mut format, bytes);
                    arguments.extend(std::iter::repeat_n("0".to_owned(), nuls));
                    if nuls > 0 && (self.gathers || print.kind == PrintKind::Error) {
                        self.emitter.refuse(print.span, "a NUL byte here", "its strings end at a NUL");
                    }
                }
                Piece::Unavailable { text, spec } => {
                    quote::format(&mut format, show::pad(text, *spec).as_bytes());
                }
                Piece::Value(shown) => {
                    let quoted = matches!(print.kind, PrintKind::Event(_)) && shown.value.ty == Ty::Str;
                    let (conversion, argument) = self.shown(shown, fault_behind || updates);
                    if quoted && conversion == "%s" {
                        self.emitter.longest =
                            self.emitter.longest.max(4 * (self.emitter.options.strlen as usize + 16));
                        arguments.push(self.emitter.library.quoted(&argument));
                    } else {
                        arguments.push(argument);
                    }
                    format.push_str(&conversion);
                }
                // Shown by ctp itself; within a string of the script there is nobody to do it.
                Piece::Whole(whole) => self.emitter.refuse(
                    whole.block.span,
                    "a whole value in a string",
                    "it does not know the value's type when it runs",
                ),
                // Drawn by themselves.
                Piece::Histogram { .. } | Piece::Table { .. } => {}
            }
        }
        if let PrintKind::Event(_) = &print.kind {
            format.push_str("\\n");
        }
        (format, arguments)
    }

    /// `sprintf`: what of it may be a fault is computed before its statement, unless something decides whether it is
    /// computed at all.
    pub(super) fn sprintf(&mut self, pieces: &[Piece], expr: &Expr) -> String {
        let before = self.lines.len();
        let print = Print { kind: PrintKind::Text, pieces: pieces.to_vec(), span: expr.span };
        let (format, arguments) = self.format(&print, false);
        if self.lines.len() > before && self.decided > 0 {
            self.emitter.refuse(
                expr.span,
                "this `sprintf`",
                "a value in it may be a fault, and something decides whether it is computed: assign it to a variable first",
            );
            self.lines.truncate(before);
        }
        let list: String = arguments.iter().map(|argument| format!(", {argument}")).collect();
        self.emitter.library.uses(Part::Cut);
        format!("ctp_cut(sprintf(\"{format}\"{list}))")
    }

    /// Conversion and argument of a shown value.
    pub(super) fn shown(&mut self, shown: &Shown, hoist: bool) -> (String, String) {
        self.emitter.longest = self.emitter.longest.max(show::width(shown.spec));
        let catches = shown.fault_is_shown && shown.value.can_fault();
        let value = self.value(&shown.value, hoist && !catches);
        let ways = match shown.value.ty {
            Ty::Str => Show::Text,
            Ty::Int if shown.show == Show::Text => Show::Signed,
            Ty::Int => shown.show,
        };
        let (before, conversion, argument) = self.converted(shown, ways, value);
        if !catches {
            if let Some(before) = before {
                self.line(before);
            }
            return (conversion, argument);
        }
        let name = self.temporary(&shown.value);
        let text = if conversion == "%s" { argument } else { format!("sprintf(\"{conversion}\", {argument})") };
        let before = before.map(|line| line + "; ").unwrap_or_default();
        let fault = quote::string(show::fault(shown.spec).as_bytes()).unwrap_or_default();
        let count = self.count(Category::FaultsShown);
        self.line(format!("try {{ {before}{name} = {text} }} catch {{ {name} = {fault}; {count} }}"));
        ("%s".to_owned(), name)
    }

    /// A statement that must run before, the conversion, and its argument.
    pub(super) fn converted(&mut self, shown: &Shown, ways: Show, value: String) -> (Option<String>, String, String) {
        if let Show::Float { .. } = ways {
            // Shown by ctp itself; within a string of the script there is nobody to do it.
            self.emitter.refuse(shown.value.span, "a floating-point number in a string", "it has none");
        }
        match show::conversion(ways, shown.spec, self.emitter.options.strlen) {
            Conversion::Direct(conversion) => (None, conversion, value),
            Conversion::Nested { outer, inner } => (None, outer, format!("sprintf(\"{inner}\", {value})")),
            Conversion::Zero { outer, other, zero } => {
                let name = self.names.own("number");
                let argument = format!("({name} ? sprintf(\"{other}\", {name}) : sprintf(\"{zero}\", {name}))");
                (Some(format!("{name} = {value}")), outer, argument)
            }
            Conversion::Named(conversion) => {
                let argument = match ways {
                    Show::Enum(index) => match self.emitter.library.enumeration(index) {
                        Some(function) => format!("{function}({value})"),
                        None => format!("sprintf(\"%d\", {value})"),
                    },
                    Show::Bool
                    | Show::Signed
                    | Show::Unsigned
                    | Show::Hex { .. }
                    | Show::Octal
                    | Show::Pointer
                    | Show::Char
                    | Show::Unicode
                    | Show::Float { .. }
                    | Show::Text => {
                        self.emitter.library.uses(Part::Bool);
                        format!("ctp_bool({value})")
                    }
                };
                (None, conversion, argument)
            }
            Conversion::Text { conversion, marked } => {
                let marked = marked && self.can_be_cut(&shown.value);
                let argument = if marked { self.emitter.library.text_of(&value) } else { value };
                (None, conversion, argument)
            }
        }
    }
}
