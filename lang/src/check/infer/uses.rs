//! Owns what each use of a name says of it: statement by statement, expression by expression.

use super::super::{aggregate, walk};
use super::{Inference, Loop, Var, global_of, variables};
use crate::ir::Ty;
use crate::syntax::ast::{BinaryOp, Block, Expr, ExprKind, Foreach, Stmt, StmtKind};

impl<'a> Inference<'a> {
    pub(super) fn block(&mut self, block: &'a Block) {
        block.statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &'a Stmt) {
        match &statement.kind {
            StmtKind::Expr(expr) => self.effect(expr),
            StmtKind::Aggregate { target, value } => {
                self.expr(value);
                self.place(target);
                if let Some(guess) = global_of(target).and_then(|name| self.globals.get_mut(name)) {
                    guess.written = true;
                    guess.aggregated_at.get_or_insert(target.span);
                }
            }
            StmtKind::For { start, condition, step, body } => {
                start.iter().for_each(|start| self.effect(start));
                condition.iter().for_each(|condition| self.expr(condition));
                step.iter().for_each(|step| self.effect(step));
                self.statement(body);
            }
            StmtKind::Foreach(foreach) => self.foreach(foreach),
            StmtKind::Delete(target) => {
                match &walk::bare(target).kind {
                    // A whole map or a scalar: other uses say which.
                    ExprKind::Name(_) => {}
                    _ => self.place(target),
                }
                if let Some(guess) = global_of(target).and_then(|name| self.globals.get_mut(name)) {
                    guess.written = true;
                }
            }
            StmtKind::Emit(fields) => fields.iter().for_each(|(_, value)| self.shown(value)),
            StmtKind::If { .. }
            | StmtKind::While { .. }
            | StmtKind::Block(_)
            | StmtKind::Return(_)
            | StmtKind::Break
            | StmtKind::Continue
            | StmtKind::Next
            | StmtKind::Broken => {
                walk::expressions_of(statement, &mut |expr| self.expr(expr));
                walk::statements_of(statement, &mut |inner| self.statement(inner));
            }
        }
    }

    fn foreach(&mut self, foreach: &'a Foreach) {
        foreach.limit.iter().for_each(|limit| self.expr(limit));
        let at = foreach.map.span;
        let keys = self.keys_of(&foreach.map.name, foreach.keys.len(), at);
        let value = self.globals.get_mut(foreach.map.name.as_str()).map(|guess| {
            guess.read = true;
            if foreach.sort.as_ref().is_some_and(|(stat, _)| stat.is_some()) {
                guess.asked_at.get_or_insert(at);
            }
            (guess.value, guess.aggregated_at.is_some())
        });
        let outside = self.body.around.len();
        for ident in variables(foreach) {
            let var = self.var();
            let part = foreach.keys.iter().position(|(key, _)| key.span == ident.span);
            match part {
                Some(part) => {
                    if let Some(from) = keys.as_ref().and_then(|keys| keys.get(part)) {
                        self.flow(*from, var, ident.span);
                    }
                }
                None => match value {
                    Some((from, false)) => self.flow(from, var, ident.span),
                    // The count of an aggregate.
                    Some((_, true)) => self.fix(var, Ty::Int, ident.span),
                    None => {}
                },
            }
            let Some(&index) = self.body.by_name.get(ident.name.as_str()) else { continue };
            if let Some(local) = self.body.locals.get_mut(index) {
                // What comes from a map is not judged by whether it is read.
                let (base, first) = (local.var, !local.assigned && !local.parameter);
                local.read |= first;
                if first {
                    self.flow(var, base, ident.span);
                }
            }
            self.body.loops.push(Loop { span: ident.span, local: index, var });
            self.body.around.push((&ident.name, var, index));
        }
        self.statement(&foreach.body);
        self.body.around.truncate(outside);
    }

    /// An expression whose value nobody takes: `x++` as a statement writes without reading.
    fn effect(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Step { target, .. } => self.step(target, false),
            ExprKind::Assign { target, op, value } => self.assign(target, *op, value, false),
            ExprKind::Paren(inner) => self.effect(inner),
            ExprKind::Ternary { condition, then, otherwise } => {
                self.expr(condition);
                self.effect(then);
                self.effect(otherwise);
            }
            ExprKind::Binary { op: BinaryOp::LogicAnd | BinaryOp::LogicOr, left, right } => {
                self.expr(left);
                self.effect(right);
            }
            _ => self.expr(expr),
        }
    }

    fn step(&mut self, target: &'a Expr, read: bool) {
        self.place(target);
        if let Some(var) = self.written(target, read) {
            self.fix(var, Ty::Int, target.span);
        }
    }

    fn assign(&mut self, target: &'a Expr, op: Option<BinaryOp>, value: &'a Expr, read: bool) {
        self.expr(value);
        self.place(target);
        let Some(var) = self.written(target, read) else { return };
        match op {
            None => self.give(var, value, target.span),
            Some(BinaryOp::Concat) => self.fix(var, Ty::Str, target.span),
            Some(_) => self.fix(var, Ty::Int, target.span),
        }
    }

    /// What is written: its type.
    fn written(&mut self, target: &'a Expr, read: bool) -> Option<Var> {
        let target = walk::bare(target);
        if let ExprKind::Name(name) = &target.kind
            && let Some((var, local)) = self.find(name)
        {
            if let Some(local) = self.body.locals.get_mut(local) {
                local.read |= read;
            }
            return Some(var);
        }
        let guess = self.globals.get_mut(global_of(target)?)?;
        guess.written = true;
        guess.read |= read;
        guess.assigned_at.get_or_insert(target.span);
        Some(guess.value)
    }

    /// What is changed: its key is read, and that it has one or none is a fact.
    fn place(&mut self, target: &'a Expr) {
        let target = walk::bare(target);
        match &target.kind {
            ExprKind::Name(name) => {
                if self.find(name).is_none() {
                    self.scalar(name, target.span);
                }
            }
            ExprKind::Index { base, indices } => {
                indices.iter().for_each(|index| self.expr(index));
                match &base.kind {
                    ExprKind::Name(name) => self.indexed(name, indices, target.span),
                    _ => self.expr(base),
                }
            }
            _ => self.expr(target),
        }
    }

    /// A value that is shown: a name alone may be a whole map.
    fn shown(&mut self, expr: &'a Expr) {
        if let ExprKind::Name(name) = &walk::bare(expr).kind
            && self.find(name).is_none()
            && let Some(guess) = self.globals.get_mut(name.as_str())
        {
            guess.read = true;
            return;
        }
        self.expr(expr);
    }

    /// What an aggregate is asked of.
    fn asked(&mut self, expr: &'a Expr) {
        let expr = walk::bare(expr);
        match &expr.kind {
            ExprKind::Name(_) => {}
            _ => self.expr(expr),
        }
        if let Some(guess) = global_of(expr).and_then(|name| self.globals.get_mut(name)) {
            guess.read = true;
            guess.asked_at.get_or_insert(expr.span);
        }
    }

    pub(super) fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Name(name) => match self.find(name) {
                Some((_, local)) => {
                    if let Some(local) = self.body.locals.get_mut(local) {
                        local.read = true;
                    }
                }
                None => {
                    self.scalar(name, expr.span);
                    if let Some(guess) = self.globals.get_mut(name.as_str()) {
                        guess.read = true;
                    }
                    if self.constants.contains_key(name.as_str()) {
                        self.used.insert(name.clone());
                    }
                }
            },
            ExprKind::Index { base, .. } => {
                self.place(expr);
                if let ExprKind::Name(name) = &base.kind
                    && let Some(guess) = self.globals.get_mut(name.as_str())
                {
                    guess.read = true;
                }
            }
            ExprKind::In { keys, map } => {
                keys.iter().for_each(|key| self.expr(key));
                self.indexed(&map.name, keys, expr.span);
                if let Some(guess) = self.globals.get_mut(map.name.as_str()) {
                    guess.read = true;
                }
            }
            ExprKind::Step { target, .. } => self.step(target, true),
            ExprKind::Assign { target, op, value } => self.assign(target, *op, value, true),
            ExprKind::Call { name, arguments } if matches!(name.name.as_str(), "print" | "println") => {
                arguments.iter().for_each(|argument| self.shown(argument));
            }
            ExprKind::Call { name, .. } => {
                if self.functions.contains_key(name.name.as_str()) {
                    self.used.insert(name.name.clone());
                }
                walk::operands(expr, &mut |operand| self.expr(operand));
            }
            ExprKind::At { name, arguments } if aggregate::is_one(&name.name) => {
                let mut arguments = arguments.iter();
                arguments.next().into_iter().for_each(|first| self.asked(first));
                arguments.for_each(|argument| self.expr(argument));
            }
            ExprKind::At { .. }
            | ExprKind::Member { .. }
            | ExprKind::Dump { .. }
            | ExprKind::Unary { .. }
            | ExprKind::Paren(_)
            | ExprKind::Binary { .. }
            | ExprKind::Ternary { .. }
            | ExprKind::Int { .. }
            | ExprKind::Str(_)
            | ExprKind::Bool(_)
            | ExprKind::Target(_)
            | ExprKind::TargetAll(_)
            | ExprKind::Broken => walk::operands(expr, &mut |operand| self.expr(operand)),
        }
    }
}
