//! Owns how whole maps, aggregates and histograms are printed. Draws nothing itself: the bars are SystemTap's own,
//! which is what the embedded engine draws too.

use super::names::Names;
use super::{Emitter, quote};
use crate::ir::{GlobalIndex, GlobalKind, Linear, Ty};

/// The lines that print a map, the greatest value first. `format` is the map's name within a format.
pub(super) fn map(
    emitter: &mut Emitter<'_>,
    locals: &mut Names,
    format: &str,
    name: &str,
    keys: &[Ty],
    value: Ty,
) -> Vec<String> {
    let held = locals.own("value");
    let (names, conversions, shown) = key_parts(emitter, locals, keys);
    let (conversion, last) = emitter.quoted(value, &held);
    vec![
        format!("foreach ({held} = [{names}] in {name}-)"),
        format!("    printf(\"{format}[{conversions}] = {conversion}\\n\", {shown}, {last})"),
    ]
}

/// The lines that print an aggregate, or a map of them, the one of the most values first.
pub(super) fn stats(
    emitter: &mut Emitter<'_>,
    locals: &mut Names,
    format: &str,
    name: &str,
    keys: &[Ty],
) -> Vec<String> {
    let line = |place: &str, key: &str, shown: &str| {
        let some = ["count", "sum", "min", "max", "avg"].map(|op| format!("@{op}({place})")).join(", ");
        format!("printf(\"{format}{key} = count %d, sum %d, min %d, max %d, avg %d\\n\"{shown}, {some})")
    };
    if keys.is_empty() {
        return vec![
            format!("if (@count({name})) {}", line(name, "", "")),
            format!("else printf(\"{format} = count 0, sum 0\\n\")"),
        ];
    }
    let (names, conversions, shown) = key_parts(emitter, locals, keys);
    vec![
        format!("foreach ([{names}] in {name} @count-)"),
        format!("    {}", line(&format!("{name}[{names}]"), &format!("[{conversions}]"), &format!(", {shown}"))),
    ]
}

/// The lines that print what one question gives of each entry of a map of aggregates, the greatest first.
pub(super) fn asked(
    emitter: &mut Emitter<'_>,
    locals: &mut Names,
    format: &str,
    name: &str,
    keys: &[Ty],
    asked: &str,
) -> Vec<String> {
    let (names, conversions, shown) = key_parts(emitter, locals, keys);
    vec![
        format!("foreach ([{names}] in {name} @{asked}-)"),
        format!("    printf(\"@{asked}({format}[{conversions}]) = %d\\n\", {shown}, @{asked}({name}[{names}]))"),
    ]
}

/// The lines that print a histogram; nothing where nothing was fed. With `keys` empty, one for each key of a map.
pub(super) fn histogram(
    emitter: &mut Emitter<'_>,
    locals: &mut Names,
    global: GlobalIndex,
    keys: &[String],
    linear: Option<Linear>,
) -> Vec<String> {
    let at = global.0 as usize;
    let name = emitter.globals.get(at).cloned().unwrap_or_default();
    let draw = |place: &str| match linear {
        None => format!("print(@hist_log({place}))"),
        Some(Linear { low, high, step }) => format!("print(@hist_linear({place}, {low}, {high}, {step}))"),
    };
    let program = emitter.program;
    let types: &[Ty] = match program.globals.get(at).map(|global| &global.kind) {
        Some(GlobalKind::Stats { keys, .. }) => keys,
        Some(GlobalKind::Scalar { .. } | GlobalKind::Map { .. }) | None => &[],
    };
    if types.is_empty() || !keys.is_empty() {
        let place = if keys.is_empty() { name } else { format!("{name}[{}]", keys.join(", ")) };
        return vec![format!("if (@count({place})) {}", draw(&place))];
    }
    let mut format = String::new();
    quote::format(&mut format, program.globals.get(at).map_or(&[], |global| global.name.as_bytes()));
    let (names, conversions, shown) = key_parts(emitter, locals, types);
    vec![
        format!("foreach ([{names}] in {name} @count-) {{"),
        format!("    printf(\"{format}[{conversions}]:\\n\", {shown})"),
        format!("    {}", draw(&format!("{name}[{names}]"))),
        "}".to_owned(),
    ]
}

/// Locals that hold the parts of a key, the conversions that show them, and what these show.
fn key_parts(emitter: &mut Emitter<'_>, locals: &mut Names, keys: &[Ty]) -> (String, String, String) {
    let names: Vec<String> = keys.iter().map(|_| locals.own("key")).collect();
    let (conversions, shown): (Vec<_>, Vec<_>) =
        keys.iter().zip(&names).map(|(ty, key)| emitter.quoted(*ty, key)).unzip();
    (names.join(", "), conversions.join(", "), shown.join(", "))
}
