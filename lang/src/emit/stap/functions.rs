//! Owns the program's functions (`fn`): SystemTap has functions of its own, so each stays one.

use super::body::{Body, Scope};
use super::fault::{can_stop, prints};
use super::{Emitter, Written, head};
use crate::ir::{ContainerIndex, Function, Local, Ty};

/// Writes the functions of a program, each behind its own lines of the source.
pub(super) fn emit(emitter: &mut Emitter<'_>, out: &mut String) {
    let program = emitter.program;
    let all: Vec<ContainerIndex> = (0u32..).map(ContainerIndex).take(program.containers.len()).collect();
    for (function, name) in program.functions.iter().zip(emitter.functions.clone()) {
        // Records of a run that was stopped are dropped, wherever they were written.
        let drops = emitter.options.written == Written::Records;
        if !drops && prints(&function.body) && function.body.iter().any(can_stop) {
            emitter.refuse(
                function.span,
                "a function that prints and can be stopped",
                "what it printed before could not be dropped",
            );
        }
        out.push('\n');
        out.push_str(&head::lines(emitter.sources, function.span, &function.body));
        let (parameters, lines) = Body::new(emitter, Scope::Function { containers: &all }).function(function);
        out.push_str(&format!("function {name}{} ({parameters}) {{\n", result(function)));
        for line in lines {
            out.push_str(&format!("    {line}\n"));
        }
        out.push_str("}\n");
    }
}

fn result(function: &Function) -> &'static str {
    match function.returns {
        Some(Ty::Int) => ":long",
        Some(Ty::Str) => ":string",
        None => "",
    }
}

/// A parameter as SystemTap declares it.
pub(super) fn parameter(local: &Local, name: &str) -> String {
    format!(
        "{name}:{}",
        match local.ty {
            Ty::Int => "long",
            Ty::Str => "string",
        }
    )
}
