//! Owns how expressions are laid out: spaces, and where a long one goes on in the next line. A line ends only behind an
//! operator, a comma or an opening bracket, and before a closing bracket: wherever the language lets it.

use super::writer::{Gap, Writer};
use crate::syntax::ast::{BinaryOp, Expr, ExprKind, UnaryOp};

impl Writer<'_> {
    /// An expression. `inside` where a bracket around it has indented it already.
    pub(super) fn expr(&mut self, expression: &Expr, inside: bool) {
        match &expression.kind {
            ExprKind::Int { .. }
            | ExprKind::Str(_)
            | ExprKind::Bool(_)
            | ExprKind::Name(_)
            | ExprKind::Target(_)
            | ExprKind::TargetAll(_)
            | ExprKind::Broken => self.verbatim(Gap::None, expression.span),
            ExprKind::Dump { value, deep } => {
                self.expr(value, inside);
                self.token(Gap::None, if *deep { "$$" } else { "$" });
            }
            ExprKind::Call { name, arguments } => {
                self.verbatim(Gap::None, name.span);
                self.arguments("(", arguments, ")");
            }
            ExprKind::At { name, arguments } => {
                self.token(Gap::None, "@");
                self.verbatim(Gap::None, name.span);
                self.arguments("(", arguments, ")");
            }
            ExprKind::Member { base, arrow, name } => {
                self.expr(base, inside);
                self.token(Gap::None, if *arrow { "->" } else { "." });
                self.verbatim(Gap::None, name.span);
            }
            ExprKind::Index { base, indices } => {
                self.expr(base, inside);
                self.arguments("[", indices, "]");
            }
            ExprKind::Unary { op, operand } => self.prefix(unary(*op), operand, inside),
            ExprKind::Step { target, up, prefix } => {
                let sign = if *up { "++" } else { "--" };
                if *prefix {
                    self.prefix(sign, target, inside);
                } else {
                    self.expr(target, inside);
                    self.token(Gap::None, sign);
                }
            }
            ExprKind::Binary { op, .. } => self.chain(*op, expression, inside),
            ExprKind::Ternary { .. } => self.ternary(expression, inside),
            ExprKind::In { keys, map } => {
                match keys.as_slice() {
                    // `k in m` begins where its key does, `[k] in m` before it.
                    [key] if key.span.start == expression.span.start => self.expr(key, inside),
                    keys => self.arguments("[", keys, "]"),
                }
                self.token(Gap::Space, "in");
                self.verbatim(Gap::Space, map.span);
            }
            ExprKind::Assign { target, op, value } => {
                self.expr(target, inside);
                self.token(Gap::Space, &format!("{}=", op.map_or("", BinaryOp::as_str)));
                self.value(value, inside);
            }
            ExprKind::Paren(inner) => self.brackets("(", ")", |writer| {
                writer.gap(Gap::Soft);
                writer.expr(inner, true);
            }),
        }
    }

    /// What is assigned: behind the sign, or in the next line where it has no place to break itself.
    pub(super) fn value(&mut self, value: &Expr, inside: bool) {
        if is_leaf(value) {
            self.indent_if(!inside, |writer| {
                writer.gap(Gap::Fill);
                writer.group(|writer| writer.expr(value, true));
            });
        } else {
            self.gap(Gap::Space);
            self.expr(value, inside);
        }
    }

    /// An operator before its operand: a space stands between where the two would read as one sign.
    fn prefix(&mut self, sign: &str, operand: &Expr, inside: bool) {
        self.token(Gap::None, sign);
        let joins =
            sign.chars().next().is_some_and(|first| first != '!' && first != '*' && self.rest().starts_with(first));
        self.gap(if joins { Gap::Space } else { Gap::None });
        self.expr(operand, inside);
    }

    /// Brackets with what `build` lays out between them; both on lines of their own where that does not fit on one.
    pub(super) fn brackets(&mut self, open: &str, close: &str, build: impl FnOnce(&mut Self)) {
        self.token(Gap::None, open);
        self.group(|writer| {
            writer.indent(|writer| writer.bracketed(build));
            writer.token(Gap::Soft, close);
        });
    }

    /// Expressions in brackets.
    pub(super) fn arguments(&mut self, open: &str, list: &[Expr], close: &str) {
        // What fills the places of a format begins a line of its own where not all fits on one.
        let format = matches!(list.first(), Some(Expr { kind: ExprKind::Str(text), .. }) if text.contains(&b'%'));
        self.list(open, list, close, format, |writer, expression| writer.expr(expression, true));
    }

    /// Pieces in brackets, with commas between them.
    pub(super) fn list<T>(
        &mut self,
        open: &str,
        list: &[T],
        close: &str,
        first_alone: bool,
        each: impl Fn(&mut Self, &T),
    ) {
        let Some((first, others)) = list.split_first() else {
            self.token(Gap::None, open);
            self.token(Gap::None, close);
            return;
        };
        self.brackets(open, close, |writer| {
            writer.gap(Gap::Soft);
            writer.group(|writer| each(writer, first));
            let mut gap = if first_alone { Gap::Line } else { Gap::Fill };
            for piece in others {
                writer.token(Gap::None, ",");
                writer.gap(gap);
                writer.group(|writer| each(writer, piece));
                gap = Gap::Fill;
            }
        });
    }

    /// Operands with operators of one precedence between them.
    fn chain(&mut self, op: BinaryOp, whole: &Expr, inside: bool) {
        let mut behind: Vec<(BinaryOp, &Expr)> = Vec::new();
        let mut first = whole;
        while let ExprKind::Binary { op: inner, left, right } = &first.kind {
            if !joins(op, *inner) {
                break;
            }
            behind.push((*inner, right));
            first = left;
        }
        let each_alone = matches!(op, BinaryOp::LogicAnd | BinaryOp::LogicOr);
        self.group(|writer| {
            writer.group(|writer| writer.expr(first, false));
            writer.indent_if(!inside, |writer| {
                for (op, operand) in behind.into_iter().rev() {
                    writer.token(Gap::Space, op.as_str());
                    // `$a . b` on one line selects a member, on two lines it joins two texts.
                    let stays = op == BinaryOp::Concat
                        && writer.line_ends()
                        && writer.rest().starts_with(|c: char| c.is_alphabetic() || c == '_');
                    writer.gap(if stays {
                        Gap::Hard
                    } else if each_alone {
                        Gap::Line
                    } else {
                        Gap::Fill
                    });
                    writer.group(|writer| writer.expr(operand, false));
                }
            });
        });
    }

    /// `c ? a : b`, and those that stand where the last of the three stands.
    fn ternary(&mut self, whole: &Expr, inside: bool) {
        self.group(|writer| {
            let mut choice = whole;
            let mut first = true;
            while let ExprKind::Ternary { condition, then, otherwise } = &choice.kind {
                writer.indent_if(!inside && !first, |writer| {
                    writer.group(|writer| writer.expr(condition, false));
                    writer.token(Gap::Space, "?");
                });
                writer.indent_if(!inside, |writer| {
                    writer.gap(Gap::Line);
                    writer.group(|writer| writer.expr(then, false));
                    writer.token(Gap::Space, ":");
                    writer.gap(Gap::Line);
                });
                choice = otherwise;
                first = false;
            }
            writer.indent_if(!inside, |writer| {
                writer.group(|writer| writer.expr(choice, false));
            });
        });
    }
}

/// Whether a line cannot end within an expression.
fn is_leaf(expression: &Expr) -> bool {
    match &expression.kind {
        ExprKind::Int { .. }
        | ExprKind::Str(_)
        | ExprKind::Bool(_)
        | ExprKind::Name(_)
        | ExprKind::Target(_)
        | ExprKind::TargetAll(_)
        | ExprKind::Broken => true,
        ExprKind::Dump { value: inner, .. }
        | ExprKind::Unary { operand: inner, .. }
        | ExprKind::Step { target: inner, .. }
        | ExprKind::Member { base: inner, .. } => is_leaf(inner),
        ExprKind::Call { .. }
        | ExprKind::At { .. }
        | ExprKind::Index { .. }
        | ExprKind::Binary { .. }
        | ExprKind::Ternary { .. }
        | ExprKind::In { .. }
        | ExprKind::Assign { .. }
        | ExprKind::Paren(_) => false,
    }
}

/// Whether `a INNER b OUTER c` is one chain: both operators bind alike and to the left.
fn joins(outer: BinaryOp, inner: BinaryOp) -> bool {
    let class = |op| match op {
        BinaryOp::Add | BinaryOp::Sub => 1,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => 2,
        BinaryOp::Shl | BinaryOp::Shr => 3,
        BinaryOp::Eq | BinaryOp::Ne => 4,
        BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => 5,
        BinaryOp::And => 6,
        BinaryOp::Or => 7,
        BinaryOp::Xor => 8,
        BinaryOp::LogicAnd => 9,
        BinaryOp::LogicOr => 10,
        BinaryOp::Concat => 11,
    };
    class(outer) == class(inner)
}

fn unary(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Neg => "-",
        UnaryOp::Not => "!",
        UnaryOp::BitNot => "~",
        UnaryOp::Deref => "*",
        UnaryOp::AddressOf => "&",
    }
}
