//! Owns trees without places: what two texts of one program have in common. Never looks at text.

use super::ast::{
    Argument, Block, Expr, ExprKind, File, Function, GlobalDeclaration, Ident, Item, ItemKind, Point, PointKind, Stmt,
    StmtKind, Str, What, Where, Who,
};
use crate::source::Span;

/// The tree with every place at the start of its text and without its comments: equal for two texts that say the same.
#[must_use]
pub fn without_places(mut file: File) -> File {
    let nowhere = Span::new(file.source, 0, 0);
    let clear = Clear { nowhere };
    file.comments.clear();
    file.items.iter_mut().for_each(|item| clear.item(item));
    file
}

struct Clear {
    nowhere: Span,
}

impl Clear {
    fn item(&self, item: &mut Item) {
        item.span = self.nowhere;
        match &mut item.kind {
            ItemKind::Probe(probe) => {
                probe.points.iter_mut().for_each(|point| self.point(point));
                self.exprs(&mut probe.condition);
                probe.body.iter_mut().for_each(|body| self.block(body));
            }
            ItemKind::Global(declarations) => declarations.iter_mut().for_each(|declaration| {
                let GlobalDeclaration { name, size, value } = declaration;
                self.ident(name);
                self.exprs(size);
                self.exprs(value);
            }),
            ItemKind::Const { name, value } => {
                self.ident(name);
                self.expr(value);
            }
            ItemKind::Function(Function { name, parameters, returns, body }) => {
                self.ident(name);
                for (name, type_name) in parameters {
                    self.ident(name);
                    type_name.span = self.nowhere;
                }
                returns.iter_mut().for_each(|type_name| type_name.span = self.nowhere);
                self.block(body);
            }
            ItemKind::Import(path) => self.str(path),
            ItemKind::Broken => {}
        }
    }

    fn point(&self, point: &mut Point) {
        point.span = self.nowhere;
        match &mut point.kind {
            PointKind::Begin | PointKind::End => {}
            PointKind::Every(period) => self.expr(period),
            PointKind::Site { who: Who { kind: _, arguments, span }, place, what } => {
                *span = self.nowhere;
                for Argument { name, value } in arguments {
                    name.iter_mut().for_each(|name| self.ident(name));
                    self.expr(value);
                }
                match place {
                    Some(Where::Path { path, quoted: _ }) => self.str(path),
                    Some(Where::Exe(span)) => *span = self.nowhere,
                    Some(Where::Lib { name, span }) => {
                        *span = self.nowhere;
                        self.str(name);
                    }
                    None => {}
                }
                match what {
                    What::Fn { name, narrow: _, returns: _, span } => {
                        *span = self.nowhere;
                        self.str(name);
                    }
                    What::Line(line) => self.str(line),
                    What::Mark { provider, name } => {
                        provider.iter_mut().for_each(|provider| self.str(provider));
                        self.str(name);
                    }
                    What::Addr(address) => self.expr(address),
                    What::Nothing => {}
                }
            }
        }
    }

    fn block(&self, block: &mut Block) {
        block.span = self.nowhere;
        block.statements.iter_mut().for_each(|statement| self.stmt(statement));
    }

    fn stmt(&self, statement: &mut Stmt) {
        statement.span = self.nowhere;
        match &mut statement.kind {
            StmtKind::Expr(value) | StmtKind::Delete(value) => self.expr(value),
            StmtKind::Aggregate { target, value } => {
                self.expr(target);
                self.expr(value);
            }
            StmtKind::If { condition, then, otherwise } => {
                self.expr(condition);
                self.stmt(then);
                otherwise.iter_mut().for_each(|otherwise| self.stmt(otherwise));
            }
            StmtKind::While { condition, body } => {
                self.expr(condition);
                self.stmt(body);
            }
            StmtKind::For { start, condition, step, body } => {
                self.exprs(start);
                self.exprs(condition);
                self.exprs(step);
                self.stmt(body);
            }
            StmtKind::Foreach(each) => {
                each.value.iter_mut().for_each(|value| self.ident(value));
                each.keys.iter_mut().for_each(|(key, _)| self.ident(key));
                self.ident(&mut each.map);
                if let Some((Some(aggregate), _)) = &mut each.sort {
                    self.ident(aggregate);
                }
                self.exprs(&mut each.limit);
                self.stmt(&mut each.body);
            }
            StmtKind::Return(value) => self.exprs(value),
            StmtKind::Emit(fields) => fields.iter_mut().for_each(|(name, value)| {
                self.ident(name);
                self.expr(value);
            }),
            StmtKind::Block(block) => self.block(block),
            StmtKind::Break | StmtKind::Continue | StmtKind::Next | StmtKind::Broken => {}
        }
    }

    fn exprs<'e>(&self, expressions: impl IntoIterator<Item = &'e mut Expr>) {
        expressions.into_iter().for_each(|expression| self.expr(expression));
    }

    fn expr(&self, expression: &mut Expr) {
        expression.span = self.nowhere;
        match &mut expression.kind {
            ExprKind::Int { .. }
            | ExprKind::Str(_)
            | ExprKind::Bool(_)
            | ExprKind::Name(_)
            | ExprKind::Target(_)
            | ExprKind::TargetAll(_)
            | ExprKind::Broken => {}
            ExprKind::Dump { value: inner, deep: _ } | ExprKind::Unary { operand: inner, op: _ } => self.expr(inner),
            ExprKind::Step { target, up: _, prefix: _ } => self.expr(target),
            ExprKind::Paren(inner) => self.expr(inner),
            ExprKind::Call { name, arguments } | ExprKind::At { name, arguments } => {
                self.ident(name);
                self.exprs(arguments);
            }
            ExprKind::Member { base, arrow: _, name } => {
                self.expr(base);
                self.ident(name);
            }
            ExprKind::Index { base, indices } => {
                self.expr(base);
                self.exprs(indices);
            }
            ExprKind::Binary { op: _, left, right } => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Ternary { condition, then, otherwise } => {
                self.expr(condition);
                self.expr(then);
                self.expr(otherwise);
            }
            ExprKind::In { keys, map } => {
                self.exprs(keys);
                self.ident(map);
            }
            ExprKind::Assign { target, op: _, value } => {
                self.expr(target);
                self.expr(value);
            }
        }
    }

    fn ident(&self, ident: &mut Ident) {
        ident.span = self.nowhere;
    }

    fn str(&self, literal: &mut Str) {
        literal.span = self.nowhere;
    }
}
