//! Owns statements that go round, and those that empty maps.

use super::body::Body;
use super::quote;
use crate::ir::{self, Constant, Expr, ExprKind, Foreach, GlobalIndex, GlobalKind, OrderBy, Stmt};

impl Body<'_, '_> {
    /// `while` and `for`. Its rounds are counted: SystemTap's own limit would end the run, not the handler. What stands
    /// behind each round is written before all but the first, so that `continue` runs it.
    pub(super) fn while_loop(&mut self, condition: &Expr, body: &[Stmt], step: &[Stmt], fault_behind: bool) {
        self.emitter.loops = true;
        let most = self.emitter.options.max_steps;
        let plain = match step {
            [] => Some(String::new()),
            [Stmt::SetLocal(local, value)] if !value.can_fault() && !condition.can_fault() => {
                Some(format!("{} = {}", self.local(*local), self.decided(|body| body.expr(value))))
            }
            _ => None,
        };
        if let Some(step) = plain {
            let text = self.decided(|body| body.expr(condition));
            self.line(if step.is_empty() {
                format!("while ({text}) {{")
            } else {
                format!("for (; {text}; {step}) {{")
            });
            self.depth += 1;
            self.conditions += 1;
            self.line(format!("if (++ctp_steps > {most}) error(\"too many rounds\")"));
            self.block(body, fault_behind);
            self.conditions -= 1;
            self.depth -= 1;
            return self.line("}");
        }
        self.line("while (1) {");
        self.depth += 1;
        self.conditions += 1;
        if !step.is_empty() {
            let again = self.names.own("again");
            self.lines.insert(self.lines.len() - 1, format!("{}{again} = 0", "    ".repeat(self.depth - 1)));
            self.line(format!("if ({again}++) {{"));
            self.branch(step, fault_behind);
            self.line("}");
        }
        let text = self.expr(condition);
        self.line(format!("if (!({text})) break"));
        self.line(format!("if (++ctp_steps > {most}) error(\"too many rounds\")"));
        self.block(body, fault_behind);
        self.conditions -= 1;
        self.depth -= 1;
        self.line("}");
    }

    pub(super) fn foreach(&mut self, foreach: &Foreach, fault_behind: bool) {
        let mut changes = false;
        ir::visit_statements(&foreach.body, &mut |stmt| {
            changes |= match stmt {
                Stmt::Delete { global, .. } | Stmt::Aggregate { global, .. } => *global == foreach.global,
                Stmt::SetLocal(..)
                | Stmt::Effect(_)
                | Stmt::If { .. }
                | Stmt::While { .. }
                | Stmt::Foreach(_)
                | Stmt::Break
                | Stmt::Continue
                | Stmt::Return(_)
                | Stmt::Print(_)
                | Stmt::Next
                | Stmt::Exit => false,
            };
        });
        ir::visit_expressions(&foreach.body, &mut |expr| {
            changes |= matches!(&expr.kind, ExprKind::Update { global, .. } if *global == foreach.global);
        });
        if changes {
            self.emitter.refuse(foreach.span, "a loop over a map that changes it", "the map is locked meanwhile");
        }
        if let Some(global) = self.emitter.program.globals.get(foreach.global.0 as usize) {
            self.emitter.goes_over(&global.kind);
        }
        let (map, mut sort) = (self.global(foreach.global), String::new());
        let mut keys: Vec<String> = foreach.keys.iter().map(|key| self.local(*key)).collect();
        if let Some(order) = foreach.order {
            let sign = if order.falling { "-" } else { "+" };
            match order.by {
                OrderBy::Value => sort.push_str(sign),
                OrderBy::Key(index) => keys.get_mut(index).into_iter().for_each(|key| key.push_str(sign)),
                OrderBy::Stat(op) => match self.stat_name(op, foreach.span) {
                    Some(name) => sort = format!(" @{name}{sign}"),
                    None => return,
                },
            }
        }
        let limit = foreach.limit.as_ref().map(|limit| format!(" limit {}", self.operand(limit))).unwrap_or_default();
        let list = format!("[{}]", keys.join(", "));
        let is_stats = matches!(
            self.emitter.program.globals.get(foreach.global.0 as usize).map(|global| &global.kind),
            Some(GlobalKind::Stats { .. })
        );
        let plain = foreach.keys.iter().map(|key| self.local(*key)).collect::<Vec<_>>().join(", ");
        let held = foreach.value.map(|value| self.local(value));
        match &held {
            Some(held) if !is_stats => self.line(format!("foreach ({held} = {list} in {map}{sort}{limit}) {{")),
            Some(_) | None => self.line(format!("foreach ({list} in {map}{sort}{limit}) {{")),
        }
        if let (Some(held), true) = (&held, is_stats) {
            self.line(format!("    {held} = @count({map}[{plain}])"));
        }
        self.branch(&foreach.body, fault_behind);
        self.line("}");
    }

    pub(super) fn delete(&mut self, global: GlobalIndex, keys: &[Expr]) {
        let name = self.global(global);
        let initial = match self.emitter.program.globals.get(global.0 as usize).map(|global| &global.kind) {
            Some(GlobalKind::Scalar { initial: Constant::Int(number), .. }) => Some(super::expr::int(*number)),
            Some(GlobalKind::Scalar { initial: Constant::Str(bytes), .. }) => quote::string(bytes),
            Some(GlobalKind::Map { .. } | GlobalKind::Stats { .. }) | None => None,
        };
        match initial {
            Some(initial) => self.line(format!("{name} = {initial}")),
            None if keys.is_empty() => self.line(format!("delete {name}")),
            None => {
                let keys = self.list(keys);
                self.line(format!("delete {name}[{keys}]"));
            }
        }
    }
}
