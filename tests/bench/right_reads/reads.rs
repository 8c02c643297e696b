//! Owns what is asked of each tracer and how its answers are judged. Asked are single values: numbers, truth values,
//! characters, enumerators, pointers, floats, and C's texts. Numbers are compared at the width of their type, whatever the
//! tracer makes of the bits above it or of the sign. Hits that are fewer or more than the calls of a function cannot be told
//! apart: none of its values counts as read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_lang::debuginfo::facts::{Encoding, Language, Type, TypeId, VariableKind};
use ctp_tests::matrix::{self, Call, plain};

/// What a parameter is to those who read it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A number of so many bits, with names that stand for some.
    Number { bits: u32, names: Vec<(String, i128)>, character: bool, pointer: bool },
    /// A float of so many bytes.
    Float(u64),
    /// A C text.
    Text,
    /// Anything else: a structure, a reference, a text of another language.
    Whole,
}

/// A function of a build.
#[derive(Debug)]
pub(crate) struct Function {
    /// By what its calls are printed.
    pub(crate) plain: String,
    /// As ctp names it.
    pub(crate) name: String,
    /// What its symbols begin with.
    pub(crate) symbol: String,
    pub(crate) parameters: Vec<(String, Kind)>,
}

/// Those of a build.
#[derive(Debug)]
pub(crate) struct Functions {
    pub(crate) all: Vec<Function>,
    pub(crate) go: bool,
}

impl Functions {
    pub(crate) fn of(path: &Path, pattern: &str) -> Functions {
        let module = Module::open(Arc::new(std::fs::read(path).unwrap())).unwrap();
        let mut all = Vec::new();
        for function in module.functions(pattern).unwrap() {
            let site = function.sites.iter().max_by_key(|site| site.variables.len());
            let parameters = site.into_iter().flat_map(|site| &site.variables);
            let parameters = parameters.filter(|one| one.kind == VariableKind::Parameter);
            all.push(Function {
                plain: plain(&function.name).to_owned(),
                symbol: function.linkage_name.clone().unwrap_or_else(|| function.name.clone()),
                parameters: parameters.map(|one| (one.name.clone(), kind(&module, one.ty))).collect(),
                name: function.name,
            });
        }
        assert!(!all.is_empty(), "no functions in {}", path.display());
        Functions { all, go: pattern.starts_with("main.") }
    }

    /// The function that a call is of: the one of its parameters where there are several of its name.
    fn called(&self, call: &Call<'_>) -> &Function {
        let mut named = self.all.iter().filter(|function| function.plain == call.function);
        let fits = |function: &&Function| {
            function.parameters.len() >= call.parameters.len()
                && call.parameters.iter().all(|(name, _)| function.parameters.iter().any(|one| one.0 == *name))
                && (function.parameters.len() == call.parameters.len() || call.function == "m_variadic")
        };
        named.clone().find(fits).or_else(|| named.next()).unwrap_or_else(|| panic!("no function {}", call.function))
    }
}

fn kind(module: &Module, ty: Option<TypeId>) -> Kind {
    let Some(id) = ty else { return Kind::Whole };
    let number = |size: u64| Kind::Number {
        bits: u32::try_from(size * 8).unwrap(),
        names: Vec::new(),
        character: false,
        pointer: false,
    };
    match module.ty(id).unwrap() {
        Type::Base { encoding: Encoding::Float, size: size @ (4 | 8), .. } => Kind::Float(size),
        Type::Base { encoding: Encoding::Float | Encoding::Other(_), .. } => Kind::Whole,
        Type::Base { size: 9.., .. } => Kind::Whole,
        Type::Base { name, size, .. } => match number(size) {
            Kind::Number { bits, names, .. } => {
                Kind::Number { bits, names, character: name == "char" && matches!(size, 1 | 4), pointer: false }
            }
            other => other,
        },
        Type::Enum { size, enumerators, .. } => {
            let names = enumerators.into_iter().map(|one| (one.name, one.value)).collect();
            Kind::Number { bits: u32::try_from(size * 8).unwrap(), names, character: false, pointer: false }
        }
        Type::Pointer { reference: true, .. } => Kind::Whole,
        Type::Pointer { to, .. } => {
            let c = matches!(module.language(id), Language::C | Language::Cpp);
            match to.map(|to| kind(module, Some(to))) {
                Some(Kind::Number { character: true, .. }) if c => Kind::Text,
                _ => Kind::Number { bits: 64, names: Vec::new(), character: false, pointer: true },
            }
        }
        Type::Typedef { target, .. } | Type::Qualified { target, .. } => kind(module, target),
        Type::Aggregate { .. }
        | Type::Array { .. }
        | Type::Function
        | Type::MemberPointer { .. }
        | Type::Unknown(_) => Kind::Whole,
    }
}

/// What a tracer read of one parameter.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    /// Bits, with how many of them are the parameter's.
    Number(u64, u32),
    Text(String),
    /// As ctp shows it.
    Shown(String),
}

/// One hit: the plain name of the function, and what was read of which parameter.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) function: String,
    pub(crate) values: Vec<(String, Read)>,
}

/// What a parameter was called with, as number: `None` where it is none.
fn number(printed: &str, kind: &Kind) -> Option<i128> {
    match kind {
        Kind::Number { pointer: true, .. } => i128::from_str_radix(printed.strip_prefix("0x")?, 16).ok(),
        Kind::Number { character: true, .. } => {
            let mut characters = printed.chars();
            characters.next().filter(|_| characters.next().is_none()).map(|one| i128::from(u32::from(one)))
        }
        Kind::Number { names, .. } => match printed {
            "true" => Some(1),
            "false" => Some(0),
            _ => {
                names.iter().find(|(name, _)| name == printed).map(|(_, value)| *value).or_else(|| printed.parse().ok())
            }
        },
        Kind::Float(4) => printed.parse::<f32>().ok().map(|value| i128::from(value.to_bits())),
        Kind::Float(_) => printed.parse::<f64>().ok().map(|value| i128::from(value.to_bits())),
        Kind::Text | Kind::Whole => None,
    }
}

/// The calls that a program printed.
pub(crate) fn calls(printed: &str) -> Vec<Call<'_>> {
    printed.lines().filter_map(matrix::call).collect()
}

/// What a tracer read of all that was asked.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    pub(crate) right: usize,
    pub(crate) wrong: usize,
    pub(crate) none: usize,
    /// The same of values that are not single ones, which only ctp is asked for.
    pub(crate) whole: (usize, usize, usize),
}

impl Score {
    pub(crate) const fn new() -> Score {
        Score { right: 0, wrong: 0, none: 0, whole: (0, 0, 0) }
    }

    pub(crate) fn asked(&self) -> usize {
        self.right + self.wrong + self.none
    }

    pub(crate) fn changes(before: &[Score], after: &[Score]) -> String {
        let each = before.iter().zip(after).map(|(before, after)| {
            format!(
                "{} right {} wrong {} not",
                after.right - before.right,
                after.wrong - before.wrong,
                after.none - before.none
            )
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// Counts the calls of one build. The first wrong value of each parameter is told.
    pub(crate) fn add(&mut self, functions: &Functions, calls: &[Call<'_>], hits: &[Hit], tracer: &str, label: &str) {
        let mut by_function: BTreeMap<&str, Vec<&Call<'_>>> = BTreeMap::new();
        calls.iter().for_each(|call| by_function.entry(call.function).or_default().push(call));
        assert!(!by_function.is_empty(), "{label} printed nothing to {tracer}");
        let mut told: BTreeMap<(&str, &str), String> = BTreeMap::new();
        for (function, calls) in by_function {
            let hits: Vec<&Hit> = hits.iter().filter(|hit| hit.function == function).collect();
            let counted = hits.len() == calls.len();
            for (at, call) in calls.iter().enumerate() {
                let called = functions.called(call);
                for (name, printed) in &call.parameters {
                    if *printed == "?" {
                        continue;
                    }
                    let kind = &called.parameters.iter().find(|one| one.0 == *name).unwrap().1;
                    let truth = number(printed, kind);
                    let single = truth.is_some() || *kind == Kind::Text;
                    let hit = hits.get(at).filter(|_| counted);
                    let read = hit.and_then(|hit| hit.values.iter().find(|one| one.0 == *name)).map(|one| &one.1);
                    let right = match read {
                        None => None,
                        Some(Read::Shown(shown))
                            if shown.contains("<optimized out>") || shown.contains("<unavailable") =>
                        {
                            None
                        }
                        Some(Read::Shown(shown)) => Some(shown == printed),
                        Some(Read::Text(text)) => (*kind == Kind::Text).then(|| text == printed),
                        Some(Read::Number(bits, width)) => {
                            let mask = u64::MAX >> (64 - width);
                            truth.map(|truth| truth as u64 & mask == bits & mask)
                        }
                    };
                    if right == Some(false) {
                        told.entry((function, *name)).or_insert_with(|| format!("printed {printed}, read {read:?}"));
                    }
                    let (right_ones, wrong, none) = if single {
                        (&mut self.right, &mut self.wrong, &mut self.none)
                    } else {
                        (&mut self.whole.0, &mut self.whole.1, &mut self.whole.2)
                    };
                    *match right {
                        Some(true) => right_ones,
                        Some(false) => wrong,
                        None => none,
                    } += 1;
                }
            }
        }
        for ((function, name), what) in told {
            println!("wrong: {tracer}, {label}: {function} {name}: {what}");
        }
    }
}
