//! Owns how functions, marks and types are written for people: `ctp ls`. Resolves nothing.

use crate::check::type_name;
use crate::debuginfo::facts::{AggregateKind, Function, Mark, SiteKind, Type, TypeId, Variable, VariableKind};
use crate::debuginfo::{Module, without_parameters};

/// How many typedefs, qualifiers and pointers are followed to the type behind them.
const DEEPEST: usize = 16;

/// A function as C would declare it: `int handle(struct request * req)`; its name alone where nothing more is known.
pub fn signature(module: &Module, function: &Function) -> String {
    let known = function.sites.iter().find(|site| site.kind != SiteKind::Symbol);
    let Some(site) = known else { return function.name.clone() };
    let plain = without_parameters(&function.name);
    let parameters: Vec<String> = parameters(&site.variables)
        .map(|variable| format!("{} {}", type_name(module, variable.ty), variable.name))
        .collect();
    let list = if parameters.is_empty() { "void".to_owned() } else { parameters.join(", ") };
    format!("{} {plain}({list})", type_name(module, function.returns))
}

fn parameters(variables: &[Variable]) -> impl Iterator<Item = &Variable> {
    variables.iter().filter(|variable| match variable.kind {
        VariableKind::Parameter => true,
        VariableKind::Local => false,
    })
}

/// A mark with its arguments as the file has them: `app:start(-4@%edi 8@(%rsi))`.
pub fn mark(mark: &Mark) -> String {
    let arguments: Vec<&str> = mark.arguments.iter().map(|argument| argument.written.as_str()).collect();
    format!("{}:{}({})", mark.provider, mark.name, arguments.join(" "))
}

/// The structs, unions, classes and enumerations behind a function's parameters and result, each once: its name and the
/// lines that define it.
pub fn types(module: &Module, function: &Function) -> Vec<(String, Vec<String>)> {
    let mut wanted: Vec<TypeId> = function.returns.into_iter().collect();
    for site in &function.sites {
        wanted.extend(parameters(&site.variables).filter_map(|variable| variable.ty));
    }
    let mut defined: Vec<(String, Vec<String>)> = Vec::new();
    for id in wanted {
        let Some((id, ty)) = behind(module, id) else { continue };
        let name = type_name(module, Some(id));
        if defined.iter().any(|(known, _)| *known == name) {
            continue;
        }
        if let Some(lines) = definition(module, &ty) {
            defined.push((name, lines));
        }
    }
    defined
}

/// The type that a pointer, an array, a typedef or a qualified one leads to.
fn behind(module: &Module, mut id: TypeId) -> Option<(TypeId, Type)> {
    for _ in 0..DEEPEST {
        let ty = module.ty(id).ok()?;
        id = match &ty {
            Type::Pointer { to, .. } => (*to)?,
            Type::Array { element, .. } => (*element)?,
            Type::Typedef { target, .. } | Type::Qualified { target, .. } => (*target)?,
            _ => return Some((id, ty)),
        };
    }
    None
}

fn definition(module: &Module, ty: &Type) -> Option<Vec<String>> {
    match ty {
        Type::Aggregate { kind, members, size, .. } => {
            let mut lines: Vec<String> = members
                .iter()
                .map(|member| {
                    let ty = type_name(module, member.ty);
                    let name = member.name.as_deref().unwrap_or("");
                    let bits = member.bits.map_or_else(String::new, |(_, width)| format!(" : {width}"));
                    format!("{ty} {name}{bits};  at {}", member.offset)
                })
                .collect();
            match (size, kind) {
                (Some(size), AggregateKind::Struct | AggregateKind::Class | AggregateKind::Union) => {
                    lines.push(format!("{size} bytes"));
                }
                (None, _) => lines.push("declared only".to_owned()),
            }
            Some(lines)
        }
        Type::Enum { enumerators, .. } => {
            Some(enumerators.iter().map(|one| format!("{} = {}", one.name, one.value)).collect())
        }
        _ => None,
    }
}
