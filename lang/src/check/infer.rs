//! Owns the types of globals and locals, found from how they are used before anything is lowered. Reports nothing:
//! conflicts show when the uses are lowered.

use std::collections::HashMap;

use crate::ir::{Constant, Ty};
use crate::source::Span;
use crate::syntax::ast::{BinaryOp, Block, Expr, ExprKind, File, GlobalDeclaration, ItemKind, Stmt, StmtKind, UnaryOp};

/// What is known of a global.
#[derive(Clone, Debug)]
pub(super) struct GlobalUse {
    /// Its name.
    pub(super) name: String,
    /// Where it is declared.
    pub(super) span: Span,
    /// Types of the key's parts; `None` for a scalar.
    pub(super) keys: Option<Vec<Ty>>,
    /// Type of its values.
    pub(super) value: Ty,
    /// The place that fixed that it is a map or a scalar, or its type.
    pub(super) fixed_at: Option<Span>,
    /// Whether something reads it.
    pub(super) read: bool,
    /// Whether something changes it.
    pub(super) written: bool,
}

#[derive(Default)]
struct Guess {
    declared: Option<Span>,
    keys: Option<Vec<Option<Ty>>>,
    scalar: bool,
    value: Option<Ty>,
    fixed_at: Option<Span>,
    read: bool,
    written: bool,
}

/// The globals of a program, in the order of their declarations.
pub(super) fn globals(files: &[File]) -> Vec<GlobalUse> {
    let mut order = Vec::new();
    let mut inference = Inference { guesses: HashMap::new(), locals: HashMap::new(), constants: HashMap::new() };
    for item in files.iter().flat_map(|file| &file.items) {
        if let ItemKind::Const { name, value } = &item.kind
            && let Some(ty) = inference.ty(value)
        {
            inference.constants.insert(name.name.clone(), ty);
        }
    }
    for declaration in declarations(files) {
        let guess = inference.guesses.entry(declaration.name.name.clone()).or_default();
        if guess.declared.is_none() {
            guess.declared = Some(declaration.name.span);
            guess.scalar = declaration.value.is_some();
            order.push(declaration.name.name.clone());
        }
    }
    // Types flow from global to global (`a = b`): each round carries them one step on, so as many rounds as globals do.
    for _ in 0..=order.len().min(64) {
        for declaration in declarations(files) {
            if let Some(value) = &declaration.value {
                let ty = inference.ty(value);
                inference.fix_value(&declaration.name.name, ty, declaration.name.span);
            }
        }
        for (body, condition) in bodies(files) {
            inference.locals.clear();
            if let Some(condition) = condition {
                inference.expr(condition);
            }
            if let Some(body) = body {
                inference.block(body);
            }
        }
    }
    order
        .into_iter()
        .filter_map(|name| {
            let guess = inference.guesses.remove(&name)?;
            Some(GlobalUse {
                span: guess.declared?,
                keys: guess.keys.map(|keys| keys.into_iter().map(|key| key.unwrap_or(Ty::Int)).collect()),
                value: guess.value.unwrap_or(Ty::Int),
                fixed_at: guess.fixed_at,
                read: guess.read,
                written: guess.written,
                name,
            })
        })
        .collect()
}

/// The locals of a handler with their types, in the order they are first assigned: names that are no global.
pub(super) fn locals(body: &Block, globals: &[GlobalUse], constants: &HashMap<String, Constant>) -> Vec<(String, Ty)> {
    let guesses = globals
        .iter()
        .map(|global| {
            let guess = Guess { declared: Some(global.span), value: Some(global.value), ..Guess::default() };
            (global.name.clone(), guess)
        })
        .collect();
    let constants = constants.iter().map(|(name, constant)| (name.clone(), constant.ty())).collect();
    let mut inference = Inference { guesses, locals: HashMap::new(), constants };
    let mut names = Vec::new();
    // A local may be read in a line above the one that fixes its type (in a loop): two rounds see both.
    for _ in 0..2 {
        assignments(body, &mut |name: &str, value: &Expr| {
            if inference.guesses.contains_key(name) || inference.constants.contains_key(name) {
                return;
            }
            let ty = inference.ty(value);
            if !names.iter().any(|known: &String| known == name) {
                names.push(name.to_owned());
            }
            if let Some(ty) = ty {
                inference.locals.entry(name.to_owned()).or_insert(ty);
            }
        });
    }
    names
        .into_iter()
        .map(|name| {
            let ty = inference.locals.get(&name).copied().unwrap_or(Ty::Int);
            (name, ty)
        })
        .collect()
}

/// The type a call of the language gives; `None` for one that gives none or is unknown.
pub(super) fn call_type(name: &str) -> Option<Ty> {
    match name {
        "comm" | "container" | "container_id" | "image" | "pod" | "runtime" | "exe" | "probefunc" | "pp" | "caller"
        | "ustack" | "user_string" | "user_buffer" | "substr" | "sprintf" | "strftime" | "ipv4" | "ipv6"
        | "errno_str" | "signal_str" => Some(Ty::Str),
        "pid" | "tid" | "ns_pid" | "ns_tid" | "uid" | "gid" | "cpu" | "now" | "walltime" | "elapsed" | "strlen"
        | "strtol" | "isinstr" | "min" | "max" | "abs" | "ntohs" | "ntohl" | "arg" | "sample" => Some(Ty::Int),
        _ => None,
    }
}

fn declarations(files: &[File]) -> impl Iterator<Item = &GlobalDeclaration> {
    files.iter().flat_map(|file| &file.items).flat_map(|item| match &item.kind {
        ItemKind::Global(list) => list.as_slice(),
        ItemKind::Probe(_)
        | ItemKind::Const { .. }
        | ItemKind::Function(_)
        | ItemKind::Import(_)
        | ItemKind::Broken => &[],
    })
}

fn bodies(files: &[File]) -> impl Iterator<Item = (Option<&Block>, Option<&Expr>)> {
    files.iter().flat_map(|file| &file.items).filter_map(|item| match &item.kind {
        ItemKind::Probe(probe) => Some((probe.body.as_ref(), probe.condition.as_ref())),
        ItemKind::Function(function) => Some((Some(&function.body), None)),
        ItemKind::Global(_) | ItemKind::Const { .. } | ItemKind::Import(_) | ItemKind::Broken => None,
    })
}

struct Inference {
    guesses: HashMap<String, Guess>,
    locals: HashMap<String, Ty>,
    constants: HashMap<String, Ty>,
}

impl Inference {
    fn fix_value(&mut self, name: &str, ty: Option<Ty>, at: Span) {
        if let (Some(guess), Some(ty)) = (self.guesses.get_mut(name), ty)
            && guess.value.is_none()
        {
            guess.value = Some(ty);
            guess.fixed_at.get_or_insert(at);
        }
    }

    fn indexed(&mut self, name: &str, keys: &[Expr], at: Span) {
        let types: Vec<Option<Ty>> = keys.iter().map(|key| self.ty(key)).collect();
        let Some(guess) = self.guesses.get_mut(name) else { return };
        if guess.scalar {
            return;
        }
        match &mut guess.keys {
            None => {
                guess.keys = Some(types);
                guess.fixed_at.get_or_insert(at);
            }
            Some(known) if known.len() == types.len() => {
                known.iter_mut().zip(types).for_each(|(known, ty)| *known = known.or(ty));
            }
            Some(_) => {}
        }
    }

    /// A name used without index: a scalar, unless an index said otherwise before.
    fn bare(&mut self, name: &str, at: Span) {
        if let Some(guess) = self.guesses.get_mut(name)
            && guess.keys.is_none()
        {
            guess.scalar = true;
            guess.fixed_at.get_or_insert(at);
        }
    }

    /// The type of an expression as far as it can be told from its shape.
    fn ty(&self, expr: &Expr) -> Option<Ty> {
        match &expr.kind {
            ExprKind::Int { .. } | ExprKind::Bool(_) | ExprKind::In { .. } | ExprKind::Step { .. } => Some(Ty::Int),
            ExprKind::Str(_) => Some(Ty::Str),
            ExprKind::Name(name) => {
                let known = self.locals.get(name).or_else(|| self.constants.get(name));
                self.guesses.get(name).and_then(|guess| guess.value).or(known.copied())
            }
            // What is assigned, compared or a key is a number; text is asked for by user_string().
            ExprKind::Target(_) | ExprKind::Member { .. } => Some(Ty::Int),
            ExprKind::TargetAll(_) | ExprKind::Dump { .. } => Some(Ty::Str),
            ExprKind::Call { name, .. } => call_type(&name.name),
            ExprKind::At { .. } => Some(Ty::Int),
            ExprKind::Index { base, .. } => match &base.kind {
                ExprKind::Name(name) => self.guesses.get(name).and_then(|guess| guess.value),
                _ => Some(Ty::Int),
            },
            ExprKind::Unary { op, .. } => match op {
                UnaryOp::Neg | UnaryOp::Not | UnaryOp::BitNot | UnaryOp::Deref | UnaryOp::AddressOf => Some(Ty::Int),
            },
            ExprKind::Binary { op: BinaryOp::Concat, .. } => Some(Ty::Str),
            ExprKind::Binary { .. } => Some(Ty::Int),
            ExprKind::Ternary { then, otherwise, .. } => self.ty(then).or_else(|| self.ty(otherwise)),
            ExprKind::Assign { op, value, .. } => self.assigned(*op, value),
            ExprKind::Paren(inner) => self.ty(inner),
            ExprKind::Broken => None,
        }
    }

    /// The type of what an assignment stores.
    fn assigned(&self, op: Option<BinaryOp>, value: &Expr) -> Option<Ty> {
        match op {
            None => self.ty(value),
            Some(BinaryOp::Concat) => Some(Ty::Str),
            Some(_) => Some(Ty::Int),
        }
    }

    fn block(&mut self, block: &Block) {
        block.statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Stmt) {
        match &statement.kind {
            StmtKind::Expr(expr) => self.effect(expr),
            StmtKind::Aggregate { target, value } => {
                self.write(target, None, false);
                self.expr(value);
            }
            StmtKind::If { condition, then, otherwise } => {
                self.expr(condition);
                self.statement(then);
                if let Some(otherwise) = otherwise {
                    self.statement(otherwise);
                }
            }
            StmtKind::While { condition, body } => {
                self.expr(condition);
                self.statement(body);
            }
            StmtKind::For { start, condition, step, body } => {
                [start, condition, step].into_iter().flatten().for_each(|expr| self.expr(expr));
                self.statement(body);
            }
            StmtKind::Foreach(foreach) => {
                if let Some(guess) = self.guesses.get_mut(&foreach.map.name) {
                    guess.read = true;
                }
                self.statement(&foreach.body);
            }
            StmtKind::Return(Some(value)) => self.expr(value),
            StmtKind::Delete(target) => self.write(target, None, false),
            StmtKind::Emit(fields) => fields.iter().for_each(|(_, value)| self.expr(value)),
            StmtKind::Block(block) => self.block(block),
            StmtKind::Break | StmtKind::Continue | StmtKind::Next | StmtKind::Return(None) | StmtKind::Broken => {}
        }
    }

    /// An expression whose value nobody takes: `x++` as a statement writes without reading.
    fn effect(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Step { target, .. } => self.write(target, Some(Ty::Int), false),
            ExprKind::Paren(inner) => self.effect(inner),
            ExprKind::Assign { target, op, value } => {
                self.expr(value);
                let ty = self.assigned(*op, value);
                self.write(target, ty, false);
            }
            _ => self.expr(expr),
        }
    }

    fn write(&mut self, target: &Expr, ty: Option<Ty>, read: bool) {
        match &target.kind {
            ExprKind::Name(name) => {
                self.bare(name, target.span);
                self.fix_value(name, ty, target.span);
                if !self.guesses.contains_key(name)
                    && let Some(ty) = ty
                {
                    self.locals.entry(name.clone()).or_insert(ty);
                }
                self.mark(name, read);
            }
            ExprKind::Index { base, indices } => {
                indices.iter().for_each(|index| self.expr(index));
                if let ExprKind::Name(name) = &base.kind {
                    self.indexed(name, indices, target.span);
                    self.fix_value(name, ty, target.span);
                    self.mark(name, read);
                }
            }
            ExprKind::Paren(inner) => self.write(inner, ty, read),
            _ => self.expr(target),
        }
    }

    fn mark(&mut self, name: &str, read: bool) {
        if let Some(guess) = self.guesses.get_mut(name) {
            guess.written = true;
            guess.read |= read;
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Name(name) => {
                self.bare(name, expr.span);
                if let Some(guess) = self.guesses.get_mut(name) {
                    guess.read = true;
                }
            }
            ExprKind::Index { base, indices } => {
                indices.iter().for_each(|index| self.expr(index));
                if let ExprKind::Name(name) = &base.kind {
                    self.indexed(name, indices, expr.span);
                    if let Some(guess) = self.guesses.get_mut(name) {
                        guess.read = true;
                    }
                } else {
                    self.expr(base);
                }
            }
            ExprKind::In { keys, map } => {
                keys.iter().for_each(|key| self.expr(key));
                self.indexed(&map.name, keys, expr.span);
                if let Some(guess) = self.guesses.get_mut(&map.name) {
                    guess.read = true;
                }
            }
            ExprKind::Step { target, .. } => self.write(target, Some(Ty::Int), true),
            ExprKind::Assign { target, op, value } => {
                self.expr(value);
                let ty = self.assigned(*op, value);
                self.write(target, ty, true);
            }
            ExprKind::Call { arguments, .. } | ExprKind::At { arguments, .. } => {
                arguments.iter().for_each(|argument| self.expr(argument));
            }
            ExprKind::Member { base: inner, .. }
            | ExprKind::Dump { value: inner, .. }
            | ExprKind::Unary { operand: inner, .. }
            | ExprKind::Paren(inner) => self.expr(inner),
            ExprKind::Binary { left, right, .. } => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Ternary { condition, then, otherwise } => {
                self.expr(condition);
                self.expr(then);
                self.expr(otherwise);
            }
            ExprKind::Int { .. }
            | ExprKind::Str(_)
            | ExprKind::Bool(_)
            | ExprKind::Target(_)
            | ExprKind::TargetAll(_)
            | ExprKind::Broken => {}
        }
    }
}

/// Every assignment to a plain name, in order.
fn assignments(block: &Block, found: &mut dyn FnMut(&str, &Expr)) {
    block.statements.iter().for_each(|statement| statement_assignments(statement, found));
}

fn statement_assignments(statement: &Stmt, found: &mut dyn FnMut(&str, &Expr)) {
    match &statement.kind {
        StmtKind::Expr(expr) => expr_assignment(expr, found),
        StmtKind::If { then, otherwise, .. } => {
            statement_assignments(then, found);
            if let Some(otherwise) = otherwise {
                statement_assignments(otherwise, found);
            }
        }
        StmtKind::While { body, .. } => statement_assignments(body, found),
        StmtKind::For { start, step, body, .. } => {
            [start, step].into_iter().flatten().for_each(|expr| expr_assignment(expr, found));
            statement_assignments(body, found);
        }
        StmtKind::Foreach(foreach) => statement_assignments(&foreach.body, found),
        StmtKind::Block(block) => assignments(block, found),
        StmtKind::Aggregate { .. }
        | StmtKind::Break
        | StmtKind::Continue
        | StmtKind::Next
        | StmtKind::Return(_)
        | StmtKind::Delete(_)
        | StmtKind::Emit(_)
        | StmtKind::Broken => {}
    }
}

fn expr_assignment(expr: &Expr, found: &mut dyn FnMut(&str, &Expr)) {
    match &expr.kind {
        ExprKind::Assign { target, value, .. } => {
            if let ExprKind::Name(name) = &target.kind {
                found(name, value);
            }
        }
        ExprKind::Step { target, .. } => {
            if let ExprKind::Name(name) = &target.kind {
                let one = Expr { kind: ExprKind::Bool(true), span: target.span };
                found(name, &one);
            }
        }
        ExprKind::Paren(inner) => expr_assignment(inner, found),
        _ => {}
    }
}
