//! Owns functions of the program: declared, checked, called. None calls itself.

use std::collections::HashMap;

use super::scope::{Body, Needs, Scope};
use super::{Checker, Typed, call, library, order, stmt, walk};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{self, ExprKind, FunctionIndex, Ty};
use crate::source::Span;
use crate::syntax::ast::{self, File, ItemKind};

/// What calls of a function need to know.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) parameters: Vec<(String, Ty)>,
    pub(super) returns: Option<Ty>,
}

impl Signature {
    /// As it is written: `label(code: int) -> str`.
    fn written(&self) -> String {
        let parameters = self.parameters.iter().map(|(name, ty)| format!("{name}: {ty}"));
        let returns = self.returns.map_or_else(String::new, |ty| format!(" -> {ty}"));
        format!("{}({}){returns}", self.name, parameters.collect::<Vec<_>>().join(", "))
    }
}

impl Checker<'_> {
    /// Takes in all signatures.
    pub(super) fn signatures(&mut self, files: &[File]) {
        for function in declared(files) {
            let name = &function.name;
            if library::find(&name.name).is_some() {
                self.report(
                    Diagnostic::new(Code::E0107, name.span, format!("the language has a function `{}`", name.name))
                        .help("take another name"),
                );
            }
            let mut parameters: Vec<(String, Ty)> = Vec::new();
            for (parameter, ty) in &function.parameters {
                if parameters.iter().any(|(known, _)| *known == parameter.name) {
                    self.report(Diagnostic::new(
                        Code::E0107,
                        parameter.span,
                        format!("two parameters are called `{}`", parameter.name),
                    ));
                }
                parameters.push((parameter.name.clone(), super::infer::type_of(ty.kind)));
            }
            let returns = function.returns.map(|ty| super::infer::type_of(ty.kind));
            self.function_of.entry(name.name.clone()).or_insert(self.functions.len());
            self.functions.push(Signature { name: name.name.clone(), span: name.span, parameters, returns });
            self.needs.push(Needs::default());
        }
    }

    /// Checks and lowers all functions, those that others call first.
    pub(super) fn lower_functions(&mut self, files: &[File]) -> Vec<ir::Function> {
        let functions: Vec<&ast::Function> = declared(files).collect();
        let calls: Vec<Vec<(usize, Span)>> = functions.iter().map(|function| self.calls(&function.body)).collect();
        let needs: Vec<Vec<usize>> =
            calls.iter().map(|calls| calls.iter().map(|(callee, _)| *callee).collect()).collect();
        let (ordered, circles) = order::order(&needs);
        for circle in circles {
            self.circle(&circle, &calls);
        }
        let mut lowered: HashMap<usize, ir::Function> = HashMap::new();
        for index in ordered {
            if let Some(function) = functions.get(index).and_then(|function| self.lower_function(index, function)) {
                lowered.insert(index, function);
            }
        }
        (0..functions.len()).filter_map(|index| lowered.remove(&index)).collect()
    }

    fn calls(&self, body: &ast::Block) -> Vec<(usize, Span)> {
        let mut calls = Vec::new();
        walk::expressions(body, &mut |expr| {
            if let ast::ExprKind::Call { name, .. } = &expr.kind
                && let Some(index) = self.function_of.get(&name.name)
            {
                calls.push((*index, expr.span));
            }
        });
        calls
    }

    fn circle(&mut self, circle: &[usize], calls: &[Vec<(usize, Span)>]) {
        let Some(first) = circle.first().and_then(|first| self.functions.get(*first)).cloned() else { return };
        let others = circle.iter().skip(1).filter_map(|index| Some(self.functions.get(*index)?.name.as_str()));
        let way: Vec<&str> = others.chain([first.name.as_str()]).collect();
        let message = match way.as_slice() {
            [_] => format!("`{}` calls itself", first.name),
            _ => format!("`{}` calls itself: by way of {}", first.name, way.join(", ")),
        };
        let mut problem = Diagnostic::new(Code::E0211, first.span, message);
        for (position, from) in circle.iter().enumerate() {
            let to = circle.get((position + 1) % circle.len());
            let call = calls.get(*from).into_iter().flatten().find(|(callee, _)| Some(callee) == to);
            if let (Some((_, span)), Some(from), Some(to)) =
                (call, self.functions.get(*from), to.and_then(|to| self.functions.get(*to)))
            {
                problem = problem.also(*span, format!("`{}` calls `{}` here", from.name, to.name));
            }
        }
        self.report(problem.note("how deep it would go is not known before it runs").help("write a loop"));
    }

    fn lower_function(&mut self, index: usize, function: &ast::Function) -> Option<ir::Function> {
        let errors = self.errors;
        let signature = self.functions.get(index)?.clone();
        let index = FunctionIndex(u32::try_from(index).ok()?);
        let locals = self.locals_of(function.body.span);
        let scope = Scope::new(Body::Function(index, signature.returns), None, locals);
        let mut body = Vec::new();
        self.block(&function.body, &scope, &mut body);
        if let Some(ty) = signature.returns
            && self.errors == errors
            && !body.iter().any(stmt::leaves)
        {
            let end = Span::new(
                function.body.span.source,
                function.body.span.range().end.saturating_sub(1),
                function.body.span.range().end,
            );
            self.report(
                Diagnostic::new(Code::E0201, end, format!("`{}` can end without giving a value", signature.name))
                    .also(function.returns.map_or(signature.span, |ty| ty.span), format!("it is to give {ty}"))
                    .help("end it with `return VALUE`"),
            );
        }
        let parameters = signature.parameters.len();
        (self.errors == errors).then(|| ir::Function {
            name: signature.name,
            span: signature.span,
            parameters,
            locals: scope.into_locals(),
            returns: signature.returns,
            body,
        })
    }

    /// The function of the program of that name.
    pub(super) fn function_index(&self, name: &str) -> Option<usize> {
        self.function_of.get(name).copied()
    }

    /// A call of a function of the program, and what that gives.
    pub(super) fn function_call(
        &mut self,
        index: usize,
        arguments: &[ast::Expr],
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<(Typed, Option<Ty>)> {
        let signature = self.functions.get(index)?.clone();
        if signature.parameters.len() != arguments.len() {
            let takes = call::count(signature.parameters.len());
            self.report(
                Diagnostic::new(
                    Code::E0203,
                    arguments.get(signature.parameters.len()).map_or(span, |extra| extra.span),
                    format!("`{}` takes {takes}, not {}", signature.name, arguments.len()),
                )
                .also(signature.span, signature.written()),
            );
            arguments.iter().for_each(|argument| drop(self.expr(argument, scope)));
            return None;
        }
        let mut values = Vec::new();
        for ((_, ty), argument) in signature.parameters.iter().zip(arguments) {
            let takes = match ty {
                Ty::Int => library::Takes::Int,
                Ty::Str => library::Takes::Str,
            };
            values.push(self.argument(takes, argument, scope));
        }
        let there = self.needs_of_call(index, &signature.name, span, scope);
        let values = values.into_iter().collect::<Option<Vec<_>>>().filter(|_| there)?;
        let callee = FunctionIndex(u32::try_from(index).ok()?);
        let ty = signature.returns.unwrap_or(Ty::Int);
        Some((Typed::new(ty, ExprKind::Call(callee, values), span), signature.returns))
    }

    /// What a function needs must be there where it is called.
    fn needs_of_call(&mut self, index: usize, name: &str, span: Span, scope: &Scope<'_>) -> bool {
        let Some(needs) = self.needs.get(index).cloned() else { return true };
        let mut problem = None;
        match scope.body {
            Body::Function(caller, _) => {
                if let Some(own) = self.needs.get_mut(caller.0 as usize) {
                    own.task = own.task.take().or(needs.task);
                    own.host = own.host.take().or(needs.host);
                    let known = |racy: &Diagnostic| own.racy.iter().any(|known| known == racy);
                    let new: Vec<Diagnostic> = needs.racy.into_iter().filter(|racy| !known(racy)).collect();
                    own.racy.extend(new);
                }
            }
            Body::Host => {
                if let Some((place, what)) = needs.task {
                    let message = format!("`{name}` uses {what}, which needs a task that hit a probe");
                    problem = Some(
                        Diagnostic::new(Code::E0206, span, message)
                            .also(place, "used here")
                            .note("`begin`, `end` and `every` run outside the traced programs"),
                    );
                }
            }
            Body::Site | Body::Unresolved => {
                needs.racy.into_iter().for_each(|racy| self.report(racy));
                if let Some((place, what)) = needs.host {
                    let message = format!("`{name}` uses {what}, which belongs to `begin`, `end` and `every`");
                    problem = Some(Diagnostic::new(Code::E0206, span, message).also(place, "used here"));
                }
            }
            Body::Constant => problem = Some(super::scope::not_constant(span)),
        }
        let there = problem.is_none();
        problem.into_iter().for_each(|problem| self.report(problem));
        there
    }

    /// `return` and `return VALUE`.
    pub(super) fn return_statement(
        &mut self,
        value: Option<&ast::Expr>,
        span: Span,
        scope: &Scope<'_>,
        out: &mut Vec<ir::Stmt>,
    ) {
        let Body::Function(index, returns) = scope.body else {
            self.report(
                Diagnostic::new(Code::E0206, span, "`return` belongs to a function of the program")
                    .help("`next` ends a handler"),
            );
            value.into_iter().for_each(|value| drop(self.expr(value, scope)));
            return;
        };
        let name = self.functions.get(index.0 as usize).map(|f| (f.name.clone(), f.span));
        let (name, place) = name.unwrap_or((String::new(), span));
        match (value, returns) {
            (None, None) => out.push(ir::Stmt::Return(None)),
            (Some(value), Some(ty)) => {
                let takes = match ty {
                    Ty::Int => library::Takes::Int,
                    Ty::Str => library::Takes::Str,
                };
                if let Some(value) = self.argument(takes, value, scope) {
                    out.push(ir::Stmt::Return(Some(value)));
                }
            }
            (Some(value), None) => {
                let ty = self.expr(value, scope).map_or(Ty::Int, |typed| typed.value.ty);
                self.report(
                    Diagnostic::new(Code::E0201, value.span, format!("`{name}` gives no value"))
                        .also(place, "no `->` behind its parameters")
                        .help(format!("say what it gives: fn {name}(…) -> {ty}")),
                );
            }
            (None, Some(ty)) => self.report(
                Diagnostic::new(Code::E0201, span, format!("`{name}` gives {ty}: a value is missing"))
                    .also(place, format!("it is to give {ty}")),
            ),
        }
    }
}

fn declared(files: &[File]) -> impl Iterator<Item = &ast::Function> {
    files.iter().flat_map(|file| &file.items).filter_map(|item| match &item.kind {
        ItemKind::Function(function) => Some(function),
        ItemKind::Probe(_) | ItemKind::Global(_) | ItemKind::Const { .. } | ItemKind::Import(_) | ItemKind::Broken => {
            None
        }
    })
}
