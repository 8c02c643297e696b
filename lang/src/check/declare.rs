//! Owns what a program declares: names defined twice, constants in whichever order, what globals hold at first.

use std::collections::HashMap;

use super::{Checker, Nothing, order, scope, walk};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::interpret;
use crate::ir::Constant;
use crate::source::Span;
use crate::syntax::ast::{self, File, ItemKind};
use crate::value::Value;

use super::scope::{Body, Scope};

/// The most entries a map may be declared with.
const LARGEST_MAP: i64 = 16_777_216;

impl Checker<'_> {
    /// Names that are defined twice, and those of what could not be read.
    pub(super) fn names(&mut self, files: &[File]) {
        let mut defined: HashMap<&str, Span> = HashMap::new();
        for item in files.iter().flat_map(|file| &file.items) {
            let names: Vec<&ast::Ident> = match &item.kind {
                ItemKind::Global(list) => list.iter().map(|declaration| &declaration.name).collect(),
                ItemKind::Const { name, .. } => vec![name],
                ItemKind::Function(function) => vec![&function.name],
                ItemKind::Import(_) | ItemKind::Probe(_) => Vec::new(),
                ItemKind::Broken => {
                    self.not_understood(item.span);
                    Vec::new()
                }
            };
            match &item.kind {
                ItemKind::Probe(probe) => {
                    probe.condition.iter().for_each(|condition| self.broken_in(condition));
                    probe.body.iter().for_each(|body| self.broken_within(body));
                }
                ItemKind::Function(function) => self.broken_within(&function.body),
                ItemKind::Global(_) | ItemKind::Const { .. } | ItemKind::Import(_) | ItemKind::Broken => {}
            }
            for name in names {
                match defined.get(name.name.as_str()) {
                    None => {
                        defined.insert(&name.name, name.span);
                    }
                    Some(before) => self.report(
                        Diagnostic::new(Code::E0107, name.span, format!("`{}` is defined twice", name.name))
                            .also(*before, "first defined here"),
                    ),
                }
            }
        }
    }

    /// Text that could not be read. What it would have defined, assigned or used is not known: uses of its words
    /// elsewhere are no faults of their own.
    fn not_understood(&mut self, span: Span) {
        let words = self.sources.slice(span).split(|c: char| !c.is_alphanumeric() && c != '_');
        self.broken.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
        self.incomplete = true;
    }

    fn broken_within(&mut self, body: &ast::Block) {
        walk::statements(body, &mut |stmt| {
            if stmt.kind == ast::StmtKind::Broken {
                self.not_understood(stmt.span);
            }
        });
        walk::expressions(body, &mut |expr| {
            if expr.kind == ast::ExprKind::Broken {
                self.not_understood(expr.span);
            }
        });
    }

    fn broken_in(&mut self, expr: &ast::Expr) {
        walk::expression(expr, &mut |expr| {
            if expr.kind == ast::ExprKind::Broken {
                self.not_understood(expr.span);
            }
        });
    }

    /// The values of constants, those that others need first.
    pub(super) fn constants(&mut self, files: &[File]) {
        let mut constants: Vec<(&ast::Ident, &ast::Expr)> = Vec::new();
        let mut index_of: HashMap<&str, usize> = HashMap::new();
        for item in files.iter().flat_map(|file| &file.items) {
            if let ItemKind::Const { name, value } = &item.kind
                && !index_of.contains_key(name.name.as_str())
            {
                index_of.insert(&name.name, constants.len());
                constants.push((name, value));
            }
        }
        let needs: Vec<Vec<usize>> = constants
            .iter()
            .map(|(_, value)| {
                let mut needs = Vec::new();
                walk::expression(value, &mut |expr| {
                    if let ast::ExprKind::Name(name) = &expr.kind {
                        needs.extend(index_of.get(name.as_str()));
                    }
                });
                needs
            })
            .collect();
        let (ordered, circles) = order::order(&needs);
        for circle in circles {
            let names: Vec<&ast::Ident> = circle.iter().filter_map(|i| Some(constants.get(*i)?.0)).collect();
            let Some(first) = names.first() else { continue };
            let mut problem =
                Diagnostic::new(Code::E0211, first.span, format!("the constant `{}` is defined by itself", first.name));
            for (name, next) in names.iter().zip(names.iter().cycle().skip(1)) {
                problem = problem.also(name.span, format!("`{}` needs `{}`", name.name, next.name));
            }
            self.report(problem);
            self.broken.extend(names.iter().map(|name| name.name.clone()));
        }
        for (name, value) in ordered.into_iter().filter_map(|index| constants.get(index)) {
            if self.broken.contains(&name.name) {
                continue;
            }
            match self.constant(value) {
                Some(constant) => {
                    self.constants.insert(name.name.clone(), constant);
                }
                None => {
                    self.broken.insert(name.name.clone());
                }
            }
        }
    }

    /// What the declarations of globals say of their values and sizes.
    pub(super) fn declarations(&mut self, files: &[File]) {
        for item in files.iter().flat_map(|file| &file.items) {
            let ItemKind::Global(list) = &item.kind else { continue };
            for declaration in list {
                let name = &declaration.name.name;
                if let Some(initial) = declaration.value.as_ref().and_then(|value| self.constant(value)) {
                    self.initials.insert(name.clone(), initial);
                }
                let Some(size) = &declaration.size else { continue };
                match self.constant(size) {
                    Some(Constant::Int(entries)) if (1..=LARGEST_MAP).contains(&entries) => {
                        self.sizes.insert(name.clone(), u32::try_from(entries).unwrap_or(u32::MAX));
                    }
                    Some(_) => self.report(
                        Diagnostic::new(Code::E0201, size.span, format!("a map holds from 1 to {LARGEST_MAP} entries"))
                            .help(format!("global {name}[10000]")),
                    ),
                    None => {}
                }
            }
        }
    }

    /// The value of an expression known when compiled; otherwise reported.
    pub(super) fn constant(&mut self, expr: &ast::Expr) -> Option<Constant> {
        let scope = Scope::new(Body::Constant, None, Vec::new());
        let typed = self.expr(expr, &scope)?;
        match interpret::evaluate(&typed.value, &mut Nothing) {
            Ok(Value::Int(number)) => Some(Constant::Int(number)),
            Ok(Value::Str { bytes, .. }) => Some(Constant::Str(bytes)),
            Ok(Value::Fault | Value::Stack(_) | Value::Stats(_) | Value::Table(_))
            | Err(interpret::Stop::Fault(_) | interpret::Stop::StepLimit(_) | interpret::Stop::NotHere(_)) => {
                self.report(scope::not_constant(expr.span));
                None
            }
            Err(interpret::Stop::DivisionByZero(span)) => {
                self.report(Diagnostic::new(Code::E0208, span, "division by zero"));
                None
            }
        }
    }
}
