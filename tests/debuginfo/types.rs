//! Types as gdb sees them.

use std::collections::BTreeMap;

use ctp_lang::debuginfo::Module;
use ctp_lang::debuginfo::facts::{Encoding, Type, TypeId};

use crate::build::{Program, VARIANTS};

/// The parameters of `take` with their types.
fn parameters(module: &Module) -> BTreeMap<String, TypeId> {
    let function = module.functions("take").unwrap().remove(0);
    let site = &function.sites[0];
    site.variables.iter().map(|variable| (variable.name.clone(), variable.ty.unwrap())).collect()
}

fn gdb(program: &Program, expression: &str) -> i128 {
    let output = std::process::Command::new("gdb")
        .args(["-batch", "-nx", "-iex", "set debuginfod enabled off"])
        .args(["-ex", &format!("output/d {expression}")])
        .arg(&program.path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim().parse().unwrap_or_else(|_| panic!("gdb: {expression}: {text}"))
}

#[test]
fn types_are_gdbs() {
    for variant in &VARIANTS {
        let program = Program::compile("types", variant.compiler, variant.flags, &["types.c"]);
        let module = program.module();
        let parameters = parameters(&module);
        let ty = |name: &str| module.ty(parameters[name]).unwrap();
        let target = |ty: Type| match ty {
            Type::Pointer { to, .. } => module.ty(to.unwrap()).unwrap(),
            other => panic!("{other:?}"),
        };

        let Type::Aggregate { name, size, members, .. } = target(ty("t")) else { panic!() };
        assert_eq!(name.as_deref(), Some("tree"));
        assert_eq!(i128::from(size.unwrap()), gdb(&program, "sizeof(struct tree)"));
        for member in &members {
            let Some(name) = &member.name else { continue };
            match member.bits {
                None => {
                    let offset = gdb(&program, &format!("(unsigned long)&((struct tree *)0)->{name}"));
                    assert_eq!(i128::from(member.offset), offset, "{variant:?}: {name}");
                }
                // gdb shows `/* 288: 5 */`-like places only in ptype/o; the C standard's order and the psABI (3.1.2)
                // give these: a is 3 bits, then 2 without name, then 9, then 1.
                Some((from, width)) => {
                    let start = gdb(&program, "(unsigned long)&((struct tree *)0)->key") as u64 * 8 + 64;
                    let expected = match name.as_str() {
                        "a" => (start, 3),
                        "b" => (start + 5, 9),
                        "flag" => (start + 14, 1),
                        other => panic!("{other}"),
                    };
                    assert_eq!((from, width), expected, "{variant:?}: {name}");
                }
            }
        }
        assert!(members.iter().any(|member| member.name.is_none()), "the anonymous union");
        let name = members.iter().find(|member| member.name.as_deref() == Some("name")).unwrap();
        let mut array = module.ty(name.ty.unwrap()).unwrap();
        while let Type::Qualified { target, .. } = array {
            array = module.ty(target.unwrap()).unwrap();
        }
        assert!(matches!(&array, Type::Array { counts, .. } if *counts == [Some(256)]), "{array:?}");

        let Type::Enum { size, signed, enumerators, .. } = ty("s") else { panic!() };
        assert_eq!((i128::from(size), signed), (gdb(&program, "sizeof(enum sign)"), true));
        let values: Vec<(&str, i128)> = enumerators.iter().map(|one| (one.name.as_str(), one.value)).collect();
        assert_eq!(values, [("MINUS", -1), ("ZERO", 0), ("PLUS", 1)]);
        let Type::Enum { size, signed, enumerators, .. } = ty("w") else { panic!() };
        assert_eq!((size, signed, enumerators[1].value), (8, false, 0xfedc_ba98_7654_3210));

        assert!(matches!(target(ty("f")), Type::Function));
        assert!(matches!(target(ty("v")), Type::Qualified { .. }));
        assert!(matches!(ty("d"), Type::Base { encoding: Encoding::Float, size: 8, .. }));
        assert!(matches!(ty("c"), Type::Base { encoding: Encoding::SignedChar, size: 1, .. }));
        assert!(matches!(ty("b"), Type::Base { encoding: Encoding::Boolean, size: 1, .. }));
        assert!(matches!(target(ty("g")), Type::Array { counts, .. } if counts == [Some(5)]));
    }
}
