//! Owns `arg(n)`: the arguments of a mark, and those of a function by the calling convention where its debug info does
//! not name them.

use std::rc::Rc;

use super::nature::Nature;
use super::returns::Moment;
use super::{AtSite, Checker, Missing, Scope, Typed, place};
use crate::codes::Code;
use crate::debuginfo::facts::{AddressRule, BinaryOp, Compute, Location, Register};
use crate::diagnostic::Diagnostic;
use crate::ir::{Constant, Expr, Ty};
use crate::source::Span;
use crate::syntax::ast;

/// Where integers and addresses are passed, in order: rdi, rsi, rdx, rcx, r8, r9 (System V psABI 3.2.3), by DWARF's
/// numbers.
const REGISTERS: [Register; 6] = [Register(5), Register(4), Register(1), Register(2), Register(8), Register(9)];
/// rsp
const STACK: Register = Register(7);
/// The most arguments of a function that can be asked for.
const MOST: i64 = 32;

impl Checker<'_> {
    /// `arg(n)`
    pub(super) fn nth_argument(&mut self, arguments: &[ast::Expr], span: Span, scope: &Scope<'_>) -> Option<Typed> {
        let number = arguments.first()?;
        let at = self.site_for("`arg()`", span, scope)?;
        let Some(Constant::Int(wanted)) = self.constant(number) else { return None };
        let typed = if at.site.rule == AddressRule::Mark {
            self.of_mark(wanted, &at, span)?
        } else {
            self.by_convention(wanted, &at, span)?
        };
        match at.moment {
            Moment::Return => self.keep(typed, span),
            Moment::Hit | Moment::Entry => Some(typed),
        }
    }

    fn of_mark(&mut self, wanted: i64, at: &AtSite<'_>, span: Span) -> Option<Typed> {
        let arguments = &at.site.arguments;
        let index = usize::try_from(wanted).ok().and_then(|number| number.checked_sub(1));
        let Some(argument) = index.and_then(|index| arguments.get(index)) else {
            let has = match arguments.len() {
                0 => "no arguments".to_owned(),
                1 => "1 argument".to_owned(),
                count => format!("{count} arguments"),
            };
            let mut problem =
                Diagnostic::new(Code::E0105, span, format!("the mark has {has}, none is number {wanted}"));
            if !arguments.is_empty() {
                let written: Vec<&str> = arguments.iter().map(|argument| argument.written.as_str()).collect();
                problem = problem.note(format!("they are, as the file has them: {}", written.join(" ").escape_debug()));
            }
            self.report(problem.note("they count from 1"));
            return None;
        };
        let nature = Nature::Number { bytes: argument.size, signed: argument.signed };
        Some(match place::bits(&argument.location, 0, argument.size * 8, argument.signed, span) {
            Ok(value) => Typed { value, nature, missing: None, object: None },
            Err(why) => {
                let missing = Some(Missing { name: format!("arg({wanted})"), why, module: Rc::clone(at.module) });
                Typed { value: Expr::int(0, span), nature, missing, object: None }
            }
        })
    }

    fn by_convention(&mut self, wanted: i64, at: &AtSite<'_>, span: Span) -> Option<Typed> {
        if !(1..=MOST).contains(&wanted) {
            let message = format!("arguments count from 1 to {MOST}");
            self.report(Diagnostic::new(Code::E0201, span, message));
            return None;
        }
        if at.module.is_go(at.site.entry) {
            let message =
                format!("`arg()` counts by C's calling convention, which `{}` does not have", at.function.name);
            self.report(
                Diagnostic::new(Code::E0206, span, message)
                    .note("Go's compiler made it, which passes arguments in other registers")
                    .help("built without `-ldflags=-w`, its debug info names the parameters: println($$parms)"),
            );
            return None;
        }
        if at.site.address.saturating_sub(at.site.passed) != at.site.entry {
            self.report(
                Diagnostic::new(
                    Code::E0206,
                    span,
                    format!(
                        "`arg()` counts by the calling convention, which holds at the first address of `{}` only",
                        at.function.name
                    ),
                )
                .note("the probe stands behind its beginning")
                .help("its debug info names the parameters: println($$parms)"),
            );
            return None;
        }
        let index = usize::try_from(wanted - 1).unwrap_or(usize::MAX);
        let location = match REGISTERS.get(index) {
            Some(register) => Location::Register(*register),
            None => {
                // The return address, then the others.
                let offset = i64::try_from(index - REGISTERS.len()).unwrap_or(0) * 8 + 8;
                let stack = Box::new(Compute::Register(STACK));
                Location::Memory(Compute::Binary(BinaryOp::Add, stack, Box::new(Compute::Const(offset))))
            }
        };
        let value = place::bits(&location, 0, 64, true, span).ok()?;
        Some(Typed { value: Expr { ty: Ty::Int, ..value }, nature: Nature::Int, missing: None, object: None })
    }
}
