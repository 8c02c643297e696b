//! Owns expressions: flat operands and operators of the grammar → nodes by precedence.
//!
//! Precedence, from the loosest to the tightest; as in C and SystemTap. `.` binds looser than `+`, as in SystemTap:
//!
//! | operators | group |
//! | --- | --- |
//! | `= += -= *= /= %= &= \|= ^= <<= >>= .=` | to the right |
//! | `? :` | to the right |
//! | `\|\|` | to the left |
//! | `&&` | to the left |
//! | `\|` | to the left |
//! | `^` | to the left |
//! | `&` | to the left |
//! | `in` | behind its key |
//! | `== !=` | to the left |
//! | `< <= > >=` | to the left |
//! | `<< >>` | to the left |
//! | `.` | to the left |
//! | `+ -` | to the left |
//! | `* / %` | to the left |
//! | `- ! ~ * & ++ --` before an operand | |
//! | `[ ] -> . ++ --` behind an operand | |

use super::super::ast::{BinaryOp, Expr, ExprKind, Ident, IntForm, Str, UnaryOp};
use super::super::{escape, number};
use super::{Builder, Pair, Rule};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use pest::pratt_parser::{Assoc, Op, PrattParser};
use std::sync::LazyLock;

static PRATT: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| Op::infix(rule, Assoc::Left);
    let right = |rule| Op::infix(rule, Assoc::Right);
    PrattParser::new()
        .op(right(Rule::assign))
        .op(right(Rule::ternary))
        .op(left(Rule::logic_or))
        .op(left(Rule::logic_and))
        .op(left(Rule::bit_or))
        .op(left(Rule::xor))
        .op(left(Rule::bit_and))
        .op(Op::postfix(Rule::membership))
        .op(left(Rule::eq) | left(Rule::ne))
        .op(left(Rule::lt) | left(Rule::le) | left(Rule::gt) | left(Rule::ge))
        .op(left(Rule::shl) | left(Rule::shr))
        .op(left(Rule::concat))
        .op(left(Rule::add) | left(Rule::sub))
        .op(left(Rule::mul) | left(Rule::div) | left(Rule::rem))
        .op(Op::prefix(Rule::step_up)
            | Op::prefix(Rule::step_down)
            | Op::prefix(Rule::negate)
            | Op::prefix(Rule::not)
            | Op::prefix(Rule::bit_not)
            | Op::prefix(Rule::deref)
            | Op::prefix(Rule::address_of))
});

impl Builder<'_> {
    /// The expression directly under a pair; `Broken` where there is none.
    pub(super) fn inner_expr(&self, pair: Pair<'_>) -> Expr {
        let span = self.trimmed(&pair);
        let expression = pair.into_inner().find(|p| p.as_rule() == Rule::expr);
        expression.map_or(Expr { kind: ExprKind::Broken, span }, |p| self.expr(p))
    }

    fn exprs(&self, pair: Pair<'_>) -> Vec<Expr> {
        pair.into_inner().filter(|p| p.as_rule() == Rule::expr).map(|p| self.expr(p)).collect()
    }

    /// Any expression.
    pub(super) fn expr(&self, pair: Pair<'_>) -> Expr {
        let span = self.trimmed(&pair);
        let parts = pair.into_inner();
        // Each operator makes the tree one level deeper; brackets are counted by the layout.
        let levels = parts.clone().filter(|p| p.as_rule() != Rule::operand).count();
        let first = Span::new(span.source, span.range().start, (span.range().start + 1).min(span.range().end));
        self.deeper(levels, first, || {
            PRATT
                .map_primary(|operand| self.operand(operand))
                .map_prefix(|op, operand| self.prefix(&op, operand))
                .map_postfix(|left, op| self.membership(left, op))
                .map_infix(|left, op, right| self.infix(left, op, right))
                .parse(parts)
        })
        .unwrap_or(Expr { kind: ExprKind::Broken, span })
    }

    fn prefix(&self, op: &Pair<'_>, operand: Expr) -> Expr {
        let span = self.span(op).to(operand.span);
        let operand = Box::new(operand);
        let unary = match op.as_rule() {
            Rule::negate => UnaryOp::Neg,
            Rule::not => UnaryOp::Not,
            Rule::bit_not => UnaryOp::BitNot,
            Rule::deref => UnaryOp::Deref,
            Rule::address_of => UnaryOp::AddressOf,
            rule => {
                return Expr {
                    kind: ExprKind::Step { target: operand, up: rule == Rule::step_up, prefix: true },
                    span,
                };
            }
        };
        let kind = ExprKind::Unary { op: unary, operand };
        Expr { kind, span }
    }

    fn membership(&self, left: Expr, op: Pair<'_>) -> Expr {
        let span = left.span.to(self.trimmed(&op));
        let map = op.into_inner().find(|p| p.as_rule() == Rule::name).map(|p| self.ident(&p));
        let kind = map.map_or(ExprKind::Broken, |map| ExprKind::In { keys: vec![left], map });
        Expr { kind, span }
    }

    fn infix(&self, left: Expr, op: Pair<'_>, right: Expr) -> Expr {
        let span = left.span.to(right.span);
        let binary = match op.as_rule() {
            Rule::assign => {
                let op = assigned(op.as_str());
                return Expr { kind: ExprKind::Assign { target: Box::new(left), op, value: Box::new(right) }, span };
            }
            Rule::ternary => {
                let kind = ExprKind::Ternary {
                    condition: Box::new(left),
                    then: Box::new(self.inner_expr(op)),
                    otherwise: Box::new(right),
                };
                return Expr { kind, span };
            }
            Rule::logic_or => BinaryOp::LogicOr,
            Rule::logic_and => BinaryOp::LogicAnd,
            Rule::bit_or => BinaryOp::Or,
            Rule::xor => BinaryOp::Xor,
            Rule::bit_and => BinaryOp::And,
            Rule::eq => BinaryOp::Eq,
            Rule::ne => BinaryOp::Ne,
            Rule::lt => BinaryOp::Lt,
            Rule::le => BinaryOp::Le,
            Rule::gt => BinaryOp::Gt,
            Rule::ge => BinaryOp::Ge,
            Rule::shl => BinaryOp::Shl,
            Rule::shr => BinaryOp::Shr,
            Rule::concat => BinaryOp::Concat,
            Rule::add => BinaryOp::Add,
            Rule::sub => BinaryOp::Sub,
            Rule::mul => BinaryOp::Mul,
            Rule::div => BinaryOp::Div,
            Rule::rem => BinaryOp::Mod,
            _ => return Expr { kind: ExprKind::Broken, span },
        };
        Expr { kind: ExprKind::Binary { op: binary, left: Box::new(left), right: Box::new(right) }, span }
    }

    /// A primary with what stands behind it: indices, members, `++`.
    fn operand(&self, pair: Pair<'_>) -> Expr {
        let whole = self.trimmed(&pair);
        let mut parts = pair.into_inner();
        let levels = parts.clone().count().saturating_sub(1);
        let built = self.deeper(levels, whole, || {
            let first = parts.next()?;
            let base = self.primary(first);
            Some(parts.fold(base, |base, suffix| self.suffix(base, suffix)))
        });
        built.flatten().unwrap_or(Expr { kind: ExprKind::Broken, span: whole })
    }

    fn primary(&self, pair: Pair<'_>) -> Expr {
        let span = self.trimmed(&pair);
        let kind = match pair.as_rule() {
            Rule::number => self.number(&pair, span),
            Rule::char => self.char(&pair, span),
            Rule::string => ExprKind::Str(self.string(&pair).bytes),
            Rule::boolean => ExprKind::Bool(pair.as_str() == "true"),
            Rule::named => self.named(pair, span),
            Rule::target_name => ExprKind::Target(inner_word(pair)),
            Rule::target_all => ExprKind::TargetAll(inner_word(pair)),
            Rule::paren => ExprKind::Paren(Box::new(self.inner_expr(pair))),
            Rule::at_call => self.at_call(pair),
            Rule::key_tuple => self.key_tuple(pair),
            _ => ExprKind::Broken,
        };
        Expr { kind, span }
    }

    /// `name` or `name(…)`
    fn named(&self, pair: Pair<'_>, span: Span) -> ExprKind {
        let mut parts = pair.into_inner();
        let Some(name) = parts.next() else { return ExprKind::Broken };
        if let Some(arguments) = parts.next() {
            return ExprKind::Call { name: self.ident(&name), arguments: self.exprs(arguments) };
        }
        // An unterminated string stands as `___` in the text laid out.
        let stands_for_string = name.as_str().bytes().all(|b| b == b'_') && self.was_reported(span);
        if stands_for_string { ExprKind::Broken } else { ExprKind::Name(name.as_str().to_owned()) }
    }

    /// `@name(…)`
    fn at_call(&self, pair: Pair<'_>) -> ExprKind {
        let mut name = None;
        let mut arguments = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::at_name => name = part.into_inner().next().map(|p| self.ident(&p)),
                Rule::arguments => arguments = self.exprs(part),
                _ => {}
            }
        }
        name.map_or(ExprKind::Broken, |name| ExprKind::At { name, arguments })
    }

    fn key_tuple(&self, pair: Pair<'_>) -> ExprKind {
        let membership = pair.clone().into_inner().find(|p| p.as_rule() == Rule::membership);
        let map = membership.and_then(|p| p.into_inner().find(|p| p.as_rule() == Rule::name)).map(|p| self.ident(&p));
        map.map_or(ExprKind::Broken, |map| ExprKind::In { keys: self.exprs(pair), map })
    }

    fn suffix(&self, base: Expr, pair: Pair<'_>) -> Expr {
        let span = base.span.to(self.trimmed(&pair));
        let base = Box::new(base);
        let member = |base, arrow, pair: Pair<'_>| {
            let word = pair.into_inner().find(|p| p.as_rule() == Rule::word).map(|p| self.ident(&p));
            word.map_or(ExprKind::Broken, |name| ExprKind::Member { base, arrow, name })
        };
        let kind = match pair.as_rule() {
            Rule::index => ExprKind::Index { base, indices: self.exprs(pair) },
            Rule::arrow_member => member(base, true, pair),
            Rule::dot_member => member(base, false, pair),
            Rule::dump => ExprKind::Dump { value: base, deep: pair.as_str() == "$$" },
            Rule::step_up => ExprKind::Step { target: base, up: true, prefix: false },
            Rule::step_down => ExprKind::Step { target: base, up: false, prefix: false },
            _ => ExprKind::Broken,
        };
        Expr { kind, span }
    }

    fn number(&self, pair: &Pair<'_>, span: Span) -> ExprKind {
        match number::parse(pair.as_str()) {
            Ok((value, form)) => ExprKind::Int { value, form },
            Err(bad) => {
                let mut diagnostic = Diagnostic::new(Code::E0004, span, bad.message);
                diagnostic.helps.extend(bad.help);
                self.report(diagnostic);
                ExprKind::Broken
            }
        }
    }

    /// `'c'`: the number of its character (`'\xff'` is 255).
    fn char(&self, pair: &Pair<'_>, span: Span) -> ExprKind {
        let whole = pair.as_str();
        let inside = whole.get(1..whole.len().saturating_sub(1)).unwrap_or("");
        let (bytes, good) = self.unescape(inside, span);
        if !good {
            return ExprKind::Broken;
        }
        let text = std::str::from_utf8(&bytes);
        let mut chars = text.map(str::chars).unwrap_or_else(|_| "".chars());
        let value = match (bytes.as_slice(), chars.next(), chars.next()) {
            (&[byte], ..) => Some(i64::from(byte)),
            (_, Some(c), None) => Some(i64::from(u32::from(c))),
            _ => None,
        };
        if let Some(value) = value {
            return ExprKind::Int { value, form: IntForm::Char };
        }
        let diagnostic = if inside.is_empty() {
            Diagnostic::new(Code::E0001, span, "there is no character between the quotes")
                .help("an empty text is `\"\"`")
        } else {
            Diagnostic::new(Code::E0001, span, "single quotes hold one character")
                .help(format!("text goes between double quotes: `\"{}\"`", inside.replace('"', "\\\"")))
        };
        self.report(diagnostic);
        ExprKind::Broken
    }

    /// A string literal; escapes that mean nothing are reported and left out.
    pub(super) fn string(&self, pair: &Pair<'_>) -> Str {
        let span = self.span(pair);
        let whole = pair.as_str();
        let (bytes, _) = self.unescape(whole.get(1..whole.len().saturating_sub(1)).unwrap_or(""), span);
        Str { bytes, span }
    }

    /// The bytes of the text between the quotes of `literal`, and whether all its escapes mean something.
    fn unescape(&self, inside: &str, literal: Span) -> (Vec<u8>, bool) {
        let (bytes, bad) = escape::unescape(inside);
        for wrong in &bad {
            let start = literal.range().start + 1;
            let span = Span::new(self.source, start + wrong.range.start, start + wrong.range.end);
            self.report(
                Diagnostic::new(Code::E0007, span, wrong.reason.clone())
                    .help("escapes are `\\n \\t \\r \\\\ \\\" \\' \\0 \\xNN \\u{NNNN}` and those of C; a backslash itself is `\\\\`"),
            );
        }
        (bytes, bad.is_empty())
    }

    /// A name with its place.
    pub(super) fn ident(&self, pair: &Pair<'_>) -> Ident {
        Ident { name: pair.as_str().to_owned(), span: self.span(pair) }
    }
}

fn inner_word(pair: Pair<'_>) -> String {
    pair.into_inner().next().map(|p| p.as_str().to_owned()).unwrap_or_default()
}

fn assigned(text: &str) -> Option<BinaryOp> {
    match text {
        "+=" => Some(BinaryOp::Add),
        "-=" => Some(BinaryOp::Sub),
        "*=" => Some(BinaryOp::Mul),
        "/=" => Some(BinaryOp::Div),
        "%=" => Some(BinaryOp::Mod),
        "&=" => Some(BinaryOp::And),
        "|=" => Some(BinaryOp::Or),
        "^=" => Some(BinaryOp::Xor),
        "<<=" => Some(BinaryOp::Shl),
        ">>=" => Some(BinaryOp::Shr),
        ".=" => Some(BinaryOp::Concat),
        _ => None,
    }
}
