//! Owns statements: pairs of the grammar → their nodes.

use super::super::ast::{BinaryOp, Block, Expr, ExprKind, Foreach, Ident, Order, Stmt, StmtKind, UnaryOp};
use super::fault::Place;
use super::items::skipped_block;
use super::{Builder, Pair, Rule};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

impl Builder<'_> {
    /// `{ … }`
    pub(super) fn block(&self, pair: Pair<'_>) -> Block {
        let mut span = self.trimmed(&pair);
        let mut statements: Vec<Stmt> = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::lbrace | Rule::semicolon => {}
                Rule::rbrace => span = span.to(self.span(&part)),
                _ => {
                    let start = self.span(&part).range().start;
                    let begins_line =
                        statements.last().is_some_and(|s| self.newline_between(s.span.range().end, start));
                    self.operator_begins_line.set(begins_line);
                    statements.push(self.statement(part));
                }
            }
        }
        Block { statements, span }
    }

    fn newline_between(&self, start: usize, end: usize) -> bool {
        self.text.get(start..end).is_some_and(|t| t.contains('\n'))
    }

    /// Any statement.
    fn statement(&self, pair: Pair<'_>) -> Stmt {
        let mut span = self.trimmed(&pair);
        let behind_line_end = self.operator_begins_line.take();
        let allows = self.allows_before(span.start);
        let kind = match pair.as_rule() {
            Rule::simple_statement => {
                if pair.clone().into_inner().any(|p| p.as_rule() == Rule::stray) {
                    self.broken_statement(pair, span, behind_line_end)
                } else {
                    self.simple(pair, behind_line_end)
                }
            }
            Rule::broken_statement => self.broken_statement(pair, span, behind_line_end),
            Rule::missing => {
                self.report(
                    Diagnostic::new(
                        Code::E0001,
                        span,
                        format!("expected a statement, found {}", self.found(span.range().start)),
                    )
                    .help("write `{ }` for nothing"),
                );
                StmtKind::Broken
            }
            Rule::block => StmtKind::Block(self.block(pair)),
            _ => {
                // `else if` and bodies without braces nest too.
                let first = Span::new(span.source, span.range().start, span.range().start + 1);
                self.deeper(1, first, || self.compound(pair)).unwrap_or(StmtKind::Broken)
            }
        };
        if let StmtKind::Block(block) = &kind {
            span = block.span;
        }
        Stmt { kind, span, allows }
    }

    fn compound(&self, pair: Pair<'_>) -> StmtKind {
        match pair.as_rule() {
            Rule::if_statement => {
                let (mut conditions, bodies) = self.parts(pair);
                let mut bodies = bodies.into_iter();
                match (conditions.pop(), bodies.next()) {
                    (Some(condition), Some(then)) => {
                        StmtKind::If { condition, then: Box::new(then), otherwise: bodies.next().map(Box::new) }
                    }
                    _ => StmtKind::Broken,
                }
            }
            Rule::while_statement => {
                let (mut conditions, mut bodies) = self.parts(pair);
                match (conditions.pop(), bodies.pop()) {
                    (Some(condition), Some(body)) => StmtKind::While { condition, body: Box::new(body) },
                    _ => StmtKind::Broken,
                }
            }
            Rule::for_statement => self.for_statement(pair),
            Rule::foreach_statement => self.foreach(pair),
            Rule::emit_statement => StmtKind::Emit(
                pair.into_inner()
                    .filter(|p| p.as_rule() == Rule::emit_field)
                    .filter_map(|p| {
                        let name = p.clone().into_inner().find(|p| p.as_rule() == Rule::word)?;
                        Some((self.ident(&name), self.inner_expr(p)))
                    })
                    .collect(),
            ),
            _ => StmtKind::Broken,
        }
    }

    /// The expressions and the bodies directly under a pair.
    fn parts(&self, pair: Pair<'_>) -> (Vec<Expr>, Vec<Stmt>) {
        let mut expressions = Vec::new();
        let mut bodies = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::expr => expressions.push(self.expr(part)),
                Rule::body => bodies.extend(part.into_inner().next().map(|p| self.statement(p))),
                _ => {}
            }
        }
        (expressions, bodies)
    }

    fn for_statement(&self, pair: Pair<'_>) -> StmtKind {
        let (mut start, mut condition, mut step, mut body) = (None, None, None, None);
        let optional = |part: Pair<'_>| part.into_inner().next().map(|p| self.expr(p));
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::for_start => start = optional(part),
                Rule::for_condition => condition = optional(part),
                Rule::for_step => step = optional(part),
                Rule::body => body = part.into_inner().next().map(|p| self.statement(p)),
                _ => {}
            }
        }
        for effect in start.iter().chain(step.iter()) {
            self.check_effect(effect, false);
        }
        body.map_or(StmtKind::Broken, |body| StmtKind::For { start, condition, step, body: Box::new(body) })
    }

    fn foreach(&self, pair: Pair<'_>) -> StmtKind {
        let (mut value, mut keys, mut map, mut sort, mut limit, mut body) = (None, Vec::new(), None, None, None, None);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::foreach_value => {
                    value = part.into_inner().find(|p| p.as_rule() == Rule::name).map(|p| self.ident(&p))
                }
                Rule::foreach_keys => {
                    for key in part.into_inner().filter(|p| p.as_rule() == Rule::foreach_key) {
                        let mut inner = key.into_inner();
                        let name = inner.next().map(|p| self.ident(&p));
                        let order = inner.next().map(|p| order(&p));
                        keys.extend(name.map(|name| (name, order)));
                    }
                }
                Rule::name => map = Some(self.ident(&part)),
                Rule::sort => sort = self.sort(part),
                Rule::limit => limit = Some(self.inner_expr(part)),
                Rule::body => body = part.into_inner().next().map(|p| self.statement(p)),
                _ => {}
            }
        }
        match map.zip(body) {
            Some((map, body)) => StmtKind::Foreach(Box::new(Foreach { value, keys, map, sort, limit, body })),
            None => StmtKind::Broken,
        }
    }

    fn sort(&self, pair: Pair<'_>) -> Option<(Option<Ident>, Order)> {
        let mut aggregate = None;
        let mut direction = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::at_name => aggregate = part.into_inner().next().map(|p| self.ident(&p)),
                Rule::order => direction = Some(order(&part)),
                _ => {}
            }
        }
        direction.map(|direction| (aggregate, direction))
    }

    fn simple(&self, pair: Pair<'_>, behind_line_end: bool) -> StmtKind {
        let Some(part) = pair.into_inner().next() else { return StmtKind::Broken };
        match part.as_rule() {
            Rule::break_statement => StmtKind::Break,
            Rule::continue_statement => StmtKind::Continue,
            Rule::next_statement => StmtKind::Next,
            Rule::delete_statement => StmtKind::Delete(self.inner_expr(part)),
            Rule::return_statement => {
                StmtKind::Return(part.into_inner().find(|p| p.as_rule() == Rule::expr).map(|p| self.expr(p)))
            }
            _ => {
                let (mut expressions, _) = self.parts(part);
                match (expressions.pop(), expressions.pop()) {
                    (Some(value), Some(target)) => StmtKind::Aggregate { target, value },
                    (Some(expression), None) => {
                        let good = self.check_effect(&expression, behind_line_end);
                        // Its names are judged all the same; a name alone was most likely to be something else.
                        match &expression.kind {
                            ExprKind::Name(_) if !good => StmtKind::Broken,
                            _ => StmtKind::Expr(expression),
                        }
                    }
                    (None, _) => StmtKind::Broken,
                }
            }
        }
    }

    /// Reports an expression that does nothing; false where it does nothing.
    fn check_effect(&self, expression: &Expr, behind_line_end: bool) -> bool {
        if has_effect(expression) {
            return true;
        }
        let leading = match &expression_start(expression).kind {
            ExprKind::Unary { op: UnaryOp::Neg, .. } => Some('-'),
            ExprKind::Unary { op: UnaryOp::Deref, .. } => Some('*'),
            ExprKind::Unary { op: UnaryOp::AddressOf, .. } => Some('&'),
            _ => None,
        };
        let diagnostic = match leading.filter(|_| behind_line_end) {
            Some(operator) => Diagnostic::new(
                Code::E0006,
                expression.span,
                format!("this line begins with `{operator}` and is a statement of its own without effect"),
            )
            .help(format!(
                "to go on with the line above, end that line with `{operator}`, or put the whole in parentheses"
            )),
            None => {
                let diagnostic = Diagnostic::new(Code::E0006, expression.span, "this statement has no effect");
                match &expression.kind {
                    ExprKind::Binary { op: BinaryOp::Eq, .. } => diagnostic.help("to assign, write `=`"),
                    ExprKind::Name(name) if !name.is_empty() => diagnostic
                        .help(format!("to call a function, write `{name}()`; to show a value, `print({name})`")),
                    _ => diagnostic.help("assign it, or show it with `print(…)`"),
                }
            }
        };
        self.report(diagnostic);
        false
    }

    /// Reports a statement that recovery skipped, and the faults in its body.
    fn broken_statement(&self, pair: Pair<'_>, span: Span, behind_line_end: bool) -> StmtKind {
        // What stands in the braces of `emit` or of unknown words is no code.
        let text = self.text.get(span.range()).unwrap_or("");
        let word = text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
        let code = matches!(word, "if" | "elif" | "elsif" | "elseif" | "else" | "while" | "for" | "foreach");
        let block = skipped_block(pair).filter(|_| code);
        let head = block.as_ref().map_or(span, |block| Span { end: self.span(block).start, ..span });
        self.operator_begins_line.set(behind_line_end);
        self.explain(Rule::strict_statement, span, head, Place::Statement);
        self.operator_begins_line.set(false);
        if let Some(block) = block {
            self.block(block);
        }
        StmtKind::Broken
    }
}

/// The operand that an expression begins with.
fn expression_start(expression: &Expr) -> &Expr {
    let mut at = expression;
    loop {
        at = match &at.kind {
            ExprKind::Binary { left, .. } => left,
            ExprKind::Ternary { condition, .. } => condition,
            _ => return at,
        };
    }
}

fn has_effect(expression: &Expr) -> bool {
    match &expression.kind {
        ExprKind::Call { .. } | ExprKind::Assign { .. } | ExprKind::Step { .. } | ExprKind::Broken => true,
        ExprKind::Paren(inner) => has_effect(inner),
        ExprKind::Ternary { then, otherwise, .. } => has_effect(then) || has_effect(otherwise),
        ExprKind::Binary { op: BinaryOp::LogicAnd | BinaryOp::LogicOr, right, .. } => has_effect(right),
        ExprKind::Binary { .. }
        | ExprKind::Unary { .. }
        | ExprKind::In { .. }
        | ExprKind::Index { .. }
        | ExprKind::Member { .. }
        | ExprKind::At { .. }
        | ExprKind::Dump { .. }
        | ExprKind::TargetAll(_)
        | ExprKind::Target(_)
        | ExprKind::Name(_)
        | ExprKind::Bool(_)
        | ExprKind::Str(_)
        | ExprKind::Int { .. } => false,
    }
}

fn order(pair: &Pair<'_>) -> Order {
    if pair.as_str() == "+" { Order::Rising } else { Order::Falling }
}
