//! Owns how statements are laid out. What its author wrote on one line stays on one line where it can: a block of
//! simple statements, a body without braces.

use super::doc::Doc;
use super::writer::{Edge, Gap, Writer};
use crate::syntax::ast::{Block, Expr, Foreach, Ident, Order, Stmt, StmtKind};

impl Writer<'_> {
    /// `{ … }`
    pub(super) fn block(&mut self, block: &Block) {
        self.token(Gap::None, "{");
        if block.statements.is_empty() {
            self.empty_block();
        } else if self.is_plain_line(block.span) && block.statements.iter().all(is_plain) {
            self.group(|writer| {
                writer.indent(|writer| {
                    for (index, statement) in block.statements.iter().enumerate() {
                        writer.doc(if index == 0 { Doc::Line } else { Doc::Semicolon });
                        writer.past_semicolons(|writer| writer.gap(Gap::None));
                        writer.statement(statement);
                    }
                });
                writer.past_semicolons(|writer| writer.token(Gap::Line, "}"));
            });
        } else {
            self.indent(|writer| {
                for (index, statement) in block.statements.iter().enumerate() {
                    writer.next_line(if index == 0 { Edge::First } else { Edge::Inner }, false);
                    writer.statement(statement);
                }
                writer.next_line(Edge::Last, false);
            });
            self.doc(Doc::Hard);
            self.token(Gap::None, "}");
        }
    }

    /// What stands between braces that hold no statement.
    fn empty_block(&mut self) {
        let mut comments = false;
        self.past_semicolons(|writer| comments = writer.comment_follows());
        if comments {
            self.indent(|writer| writer.next_line(Edge::Whole, false));
            self.doc(Doc::Hard);
            self.token(Gap::None, "}");
        } else {
            self.past_semicolons(|writer| writer.token(Gap::None, "}"));
        }
    }

    fn statement(&mut self, statement: &Stmt) {
        let end = statement.span.range().end;
        match &statement.kind {
            StmtKind::Expr(value) => self.expr(value, false),
            StmtKind::Aggregate { target, value } => {
                self.expr(target, false);
                self.token(Gap::Space, "<<<");
                self.value(value, false);
            }
            StmtKind::If { condition, then, otherwise } => {
                self.token(Gap::None, "if");
                self.condition(condition);
                let Some(otherwise) = otherwise else {
                    self.body(then);
                    return;
                };
                if matches!(then.kind, StmtKind::Block(_)) {
                    self.body(then);
                    self.otherwise(Gap::Space, otherwise);
                } else if self.is_plain_to(end) {
                    // All of it on one line, or each part on its own.
                    self.group(|writer| {
                        writer.indented(Gap::Line, then);
                        writer.otherwise(Gap::Line, otherwise);
                    });
                } else {
                    self.indented(Gap::Hard, then);
                    self.otherwise(Gap::Hard, otherwise);
                }
            }
            StmtKind::While { condition, body } => {
                self.token(Gap::None, "while");
                self.condition(condition);
                self.body(body);
            }
            StmtKind::For { start, condition, step, body } => {
                self.token(Gap::None, "for");
                self.gap(Gap::Space);
                self.for_head([start, condition, step]);
                self.body(body);
            }
            StmtKind::Foreach(each) => {
                self.token(Gap::None, "foreach");
                self.gap(Gap::Space);
                self.foreach_head(each);
                self.body(&each.body);
            }
            StmtKind::Break => self.token(Gap::None, "break"),
            StmtKind::Continue => self.token(Gap::None, "continue"),
            StmtKind::Next => self.token(Gap::None, "next"),
            StmtKind::Return(value) => {
                self.token(Gap::None, "return");
                if let Some(value) = value {
                    self.gap(Gap::Space);
                    self.expr(value, false);
                }
            }
            StmtKind::Delete(value) => {
                self.token(Gap::None, "delete");
                self.gap(Gap::Space);
                self.expr(value, false);
            }
            StmtKind::Emit(fields) => {
                self.token(Gap::None, "emit");
                self.token(Gap::Space, "{");
                if fields.is_empty() && !self.comment_follows() {
                    self.token(Gap::None, "}");
                    return;
                }
                self.group(|writer| {
                    writer.indent(|writer| {
                        writer.bracketed(|writer| writer.fields(fields));
                    });
                    writer.token(Gap::Line, "}");
                });
            }
            StmtKind::Block(block) => self.block(block),
            StmtKind::Broken => self.verbatim(Gap::None, statement.span),
        }
    }

    /// What stands between the braces of `emit`.
    fn fields(&mut self, fields: &[(Ident, Expr)]) {
        for (index, (name, value)) in fields.iter().enumerate() {
            if index > 0 {
                self.token(Gap::None, ",");
            }
            self.verbatim(Gap::Line, name.span);
            self.token(Gap::None, ":");
            self.gap(Gap::Space);
            self.expr(value, false);
        }
        // The last comma goes, unless a comment stands before it.
        self.leave_out(",");
        if self.sees(",") {
            self.token(Gap::None, ",");
        }
    }

    /// `(…)` behind `if` and `while`.
    pub(super) fn condition(&mut self, condition: &Expr) {
        self.gap(Gap::Space);
        self.brackets("(", ")", |writer| {
            writer.gap(Gap::Soft);
            writer.expr(condition, true);
        });
    }

    /// A body; one without braces stays on the line of its head if it was there and fits.
    fn body(&mut self, body: &Stmt) {
        if let StmtKind::Block(block) = &body.kind {
            self.gap(Gap::Space);
            self.block(block);
        } else if self.is_plain_to(body.span.range().end) {
            self.group(|writer| writer.indented(Gap::Line, body));
        } else {
            self.indented(Gap::Hard, body);
        }
    }

    fn indented(&mut self, gap: Gap, body: &Stmt) {
        self.indent(|writer| {
            writer.gap(gap);
            writer.statement(body);
        });
    }

    /// `else` and what belongs to it; `gap` as between the lines of an `if` without braces.
    fn otherwise(&mut self, gap: Gap, otherwise: &Stmt) {
        self.past_semicolons(|writer| writer.token(gap, "else"));
        if matches!(otherwise.kind, StmtKind::If { .. }) {
            self.gap(Gap::Space);
            self.statement(otherwise);
        } else if gap != Gap::Space && !matches!(otherwise.kind, StmtKind::Block(_)) {
            self.indented(gap, otherwise);
        } else {
            self.body(otherwise);
        }
    }

    fn for_head(&mut self, parts: [&Option<Expr>; 3]) {
        self.brackets("(", ")", |writer| {
            for (index, part) in parts.into_iter().enumerate() {
                if let Some(part) = part {
                    writer.gap(if index == 0 { Gap::Soft } else { Gap::Line });
                    writer.group(|writer| writer.expr(part, true));
                }
                if index < 2 {
                    writer.token(Gap::None, ";");
                }
            }
        });
    }

    fn foreach_head(&mut self, each: &Foreach) {
        self.brackets("(", ")", |writer| {
            writer.gap(Gap::Soft);
            if let Some(value) = &each.value {
                writer.verbatim(Gap::None, value.span);
                writer.token(Gap::Space, "=");
                writer.gap(Gap::Space);
            }
            let key = |writer: &mut Self, (name, order): &(Ident, Option<Order>)| {
                writer.verbatim(Gap::None, name.span);
                writer.order(*order);
            };
            match each.keys.as_slice() {
                [only] if !writer.sees("[") => key(writer, only),
                keys => writer.list("[", keys, "]", false, key),
            }
            writer.token(Gap::Space, "in");
            writer.verbatim(Gap::Space, each.map.span);
            if let Some((aggregate, order)) = &each.sort {
                if let Some(aggregate) = aggregate {
                    writer.token(Gap::Space, "@");
                    writer.verbatim(Gap::None, aggregate.span);
                }
                writer.order(Some(*order));
            }
            if let Some(limit) = &each.limit {
                writer.token(Gap::Space, "limit");
                writer.gap(Gap::Space);
                writer.expr(limit, true);
            }
        });
    }

    fn order(&mut self, order: Option<Order>) {
        match order {
            Some(Order::Rising) => self.token(Gap::None, "+"),
            Some(Order::Falling) => self.token(Gap::None, "-"),
            None => {}
        }
    }
}

/// Whether a statement has no braces that hold statements: several such may share a line.
fn is_plain(statement: &Stmt) -> bool {
    let plain_body = |body: &Stmt| match &body.kind {
        StmtKind::Block(block) => block.statements.is_empty(),
        StmtKind::Expr(_)
        | StmtKind::Aggregate { .. }
        | StmtKind::If { .. }
        | StmtKind::While { .. }
        | StmtKind::For { .. }
        | StmtKind::Foreach(_)
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Next
        | StmtKind::Return(_)
        | StmtKind::Delete(_)
        | StmtKind::Emit(_)
        | StmtKind::Broken => is_plain(body),
    };
    match &statement.kind {
        StmtKind::Expr(_)
        | StmtKind::Aggregate { .. }
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Next
        | StmtKind::Return(_)
        | StmtKind::Delete(_)
        | StmtKind::Emit(_) => true,
        StmtKind::If { then, otherwise, .. } => plain_body(then) && otherwise.as_deref().is_none_or(plain_body),
        StmtKind::While { body, .. } | StmtKind::For { body, .. } => plain_body(body),
        StmtKind::Foreach(each) => plain_body(&each.body),
        StmtKind::Block(_) | StmtKind::Broken => false,
    }
}
