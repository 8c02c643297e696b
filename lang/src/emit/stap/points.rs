//! Owns which probe points stand for a program's sites: functions by name where stap finds the same addresses,
//! addresses otherwise; marks by theirs, as they begin no statement and stap takes no other address.

use std::sync::Arc;

use super::body::{Body, Form, Scope};
use super::{Emitter, Point, head, quote, returns, slot_path, write_probe};
use crate::debuginfo::facts::{AddressRule, MarkName, SiteKind};
use crate::ir::{ContainerIndex, FileIndex, Probe, Site, Variant};

/// Sites that one probe point by name covers.
struct Group<'p> {
    file: FileIndex,
    function: Arc<str>,
    containers: Arc<[ContainerIndex]>,
    inlined: bool,
    mark: Option<&'p MarkName>,
    members: Vec<(&'p Variant, &'p Site)>,
}

/// One `probe` of the script.
pub(super) struct Block {
    points: Vec<Named>,
    comments: Vec<String>,
    body: Vec<String>,
}

/// A block at an address.
pub(super) fn at(file: FileIndex, address: u64, comments: Vec<String>, body: Vec<String>) -> Block {
    Block { points: vec![Named::Statement { file, address }], comments, body }
}

/// A probe point.
#[derive(Clone, PartialEq, Eq)]
enum Named {
    /// A function's own code, its inlined instances, or both.
    Function { file: FileIndex, function: Arc<str>, call: bool, inline: bool },
    /// An address.
    Statement { file: FileIndex, address: u64 },
    /// A mark, wherever the file has one of that name.
    Mark { file: FileIndex, mark: MarkName },
    /// Where the function that an address is in returns. (By its name stap would take every function of that name.)
    Return { file: FileIndex, address: u64 },
}

impl Named {
    /// As a script has it, with the file in its slot.
    fn text(&self, folder: &str) -> String {
        match self {
            Named::Function { file, function, call, inline } => {
                let kind = match (call, inline) {
                    (true, false) => ".call",
                    (false, true) => ".inline",
                    (true, true) | (false, false) => "",
                };
                format!("process(\"{}\").function(\"{function}\"){kind}", slot_path(folder, *file))
            }
            Named::Return { file, address } => {
                format!("process(\"{}\").function({address:#x}).return", slot_path(folder, *file))
            }
            Named::Mark { file, mark: MarkName { provider, name } } => {
                format!("process(\"{}\").provider(\"{provider}\").mark(\"{name}\")", slot_path(folder, *file))
            }
            Named::Statement { file, address } => {
                format!("process(\"{}\").statement({address:#x})", slot_path(folder, *file))
            }
        }
    }
}

/// A block at the returns of the function that an address is in.
pub(super) fn on_return(file: FileIndex, address: u64, body: Vec<String>) -> Block {
    Block { points: vec![Named::Return { file, address }], comments: Vec::new(), body }
}

/// Writes the probes of all sites of a probe of the program.
pub(super) fn emit(emitter: &mut Emitter<'_>, out: &mut String, probe: &Probe, variants: &[Variant]) {
    let mut blocks: Vec<Block> = Vec::new();
    for variant in variants {
        let Some(kept) = &variant.returns else { continue };
        emitter.addresses = true;
        for block in returns::blocks(emitter, probe, variant, kept) {
            add(&mut blocks, block);
        }
    }
    for group in groups(variants) {
        for (_, site) in &group.members {
            emitter.points.push(Point { slot: site.file.0 as usize, address: named(site) });
        }
        if let Some(marks) = by_mark(emitter, probe, &group) {
            marks.into_iter().for_each(|block| add(&mut blocks, block));
            continue;
        }
        match by_name(emitter, probe, &group) {
            Some(block) => add(&mut blocks, block),
            None => {
                emitter.addresses = true;
                for (variant, site) in &group.members {
                    let block = by_address(emitter, probe, variant, site);
                    add(&mut blocks, block);
                }
            }
        }
    }
    for (index, block) in blocks.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        block.comments.iter().for_each(|line| out.push_str(line));
        let folder = &emitter.options.folder;
        let points: Vec<String> = block.points.iter().map(|point| point.text(folder)).collect();
        write_probe(out, &points, &block.body);
    }
}

/// Sites of one function of one file, its own code apart from inlined instances, in the order they come.
fn groups(variants: &[Variant]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for variant in variants.iter().filter(|variant| variant.returns.is_none()) {
        for site in &variant.sites {
            let inlined = match site.kind {
                SiteKind::Inlined { .. } => true,
                SiteKind::OutOfLine | SiteKind::Symbol => false,
            };
            let mark = site.mark.as_ref();
            let same = groups.iter_mut().find(|g| {
                g.file == site.file
                    && (g.function == site.function || mark.is_some())
                    && g.mark == mark
                    && (g.inlined == inlined || mark.is_some())
                    && g.containers == site.containers
            });
            match same {
                Some(group) => group.members.push((variant, site)),
                None => groups.push(Group {
                    file: site.file,
                    function: site.function.clone(),
                    containers: site.containers.clone(),
                    inlined,
                    mark,
                    members: vec![(variant, site)],
                }),
            }
        }
    }
    groups
}

/// Where stap puts a probe that names the function, and the one that it takes by address: where a statement begins, not
/// at the cheaper instruction behind it. (What is passed to that changes nothing that is read.)
pub(super) fn named(site: &Site) -> u64 {
    site.address.saturating_sub(site.passed)
}

/// The blocks that name the mark, where its name is a plain one: stap puts each of them wherever the file has a mark of
/// that name, and where these differ in their arguments a handler takes its own by what loading does not change of its
/// address.
fn by_mark(emitter: &mut Emitter<'_>, probe: &Probe, group: &Group<'_>) -> Option<Vec<Block>> {
    const PAGE: u64 = 4096;
    let mark = group.mark?;
    let plain = quote::is_identifier(&mark.provider) && quote::is_identifier(&mark.name);
    let known = |site: &Site| !emitter.options.by_address.contains(&(site.file, named(site)));
    if !plain || !group.members.iter().all(|(_, site)| known(site)) {
        return None;
    }
    let mut blocks: Vec<Block> = Vec::new();
    for (variant, site) in &group.members {
        let mut block = by_address(emitter, probe, variant, site);
        block.points = vec![Named::Mark { file: group.file, mark: mark.clone() }];
        blocks.push(block);
    }
    let bodies = || blocks.iter().map(|block| &block.body);
    if bodies().zip(bodies().skip(1)).any(|(one, other)| one != other) {
        let mut places: Vec<u64> = group.members.iter().map(|(_, site)| named(site) % PAGE).collect();
        places.sort_unstable();
        if places.windows(2).any(|pair| pair.first() == pair.last()) {
            emitter.refuse(
                probe.span,
                format!("the mark `{}`", mark.name.escape_debug()),
                "it stands at several places, with other arguments at each, which the script cannot tell apart",
            );
        }
        for (block, (_, site)) in blocks.iter_mut().zip(&group.members) {
            block.body.insert(0, format!("if ((uaddr() & {:#x}) != {:#x}) next", PAGE - 1, named(site) % PAGE));
        }
    }
    Some(blocks)
}

/// The block that names the function, where that is right: stap picks the same addresses (so the rule by which ours
/// were found is one it has), its name is a plain one, and all its sites run the same.
fn by_name(emitter: &mut Emitter<'_>, probe: &Probe, group: &Group<'_>) -> Option<Block> {
    let plain = quote::is_identifier(&group.function);
    let known = group.members.iter().all(|(_, site)| match site.rule {
        AddressRule::LowPc
        | AddressRule::PrologueEnd
        | AddressRule::SecondLine
        | AddressRule::InlineEntry
        | AddressRule::Symbol => !emitter.options.by_address.contains(&(site.file, named(site))),
        AddressRule::StackCheck
        | AddressRule::InlineBody
        | AddressRule::Address
        | AddressRule::Line
        | AddressRule::Mark => false,
    });
    if !plain || !known {
        return None;
    }
    let compute = group.members.iter().any(|(_, site)| match site.rule {
        // What clang and rustc write (frame bases in registers, DW_OP_convert) stap 4.8 does not read.
        AddressRule::PrologueEnd | AddressRule::InlineEntry => true,
        // What gcc writes it does.
        AddressRule::LowPc
        | AddressRule::SecondLine
        | AddressRule::StackCheck
        | AddressRule::InlineBody
        | AddressRule::Symbol
        | AddressRule::Address
        | AddressRule::Line
        | AddressRule::Mark => false,
    });
    let address = match group.members.as_slice() {
        [(_, site)] => Some(named(site)),
        _ => None,
    };
    // What the attempt would bring along is taken back if it fails.
    let (library, refused, longest) = (emitter.library.clone(), emitter.diagnostics.len(), emitter.longest);
    let mut bodies = group.members.iter().map(|(variant, _)| {
        let scope = Scope::Site {
            point: &probe.point,
            function: &group.function,
            containers: &group.containers,
            form: Form::Named { compute, address },
        };
        Body::new(emitter, scope).handler(&variant.handler)
    });
    let body = bodies.next()?;
    let same = bodies.all(|other| other == body);
    if !same || emitter.diagnostics.len() > refused {
        emitter.library = library;
        emitter.longest = longest;
        emitter.diagnostics.truncate(refused);
        return None;
    }
    let point = Named::Function {
        file: group.file,
        function: group.function.clone(),
        call: !group.inlined,
        inline: group.inlined,
    };
    Some(Block { points: vec![point], comments: comments(emitter, group), body })
}

fn by_address(emitter: &mut Emitter<'_>, probe: &Probe, variant: &Variant, site: &Site) -> Block {
    let scope = Scope::Site {
        point: &probe.point,
        function: &site.function,
        containers: &site.containers,
        form: Form::Address(named(site)),
    };
    let body = Body::new(emitter, scope).handler(&variant.handler);
    let point = Named::Statement { file: site.file, address: named(site) };
    Block { points: vec![point], comments: vec![head::site(emitter.program, site)], body }
}

fn comments(emitter: &Emitter<'_>, group: &Group<'_>) -> Vec<String> {
    group.members.iter().map(|(_, site)| head::site(emitter.program, site)).collect()
}

/// Adds a block to the one that runs the same, if there is one; a function's own code and its inlined instances then
/// become one point.
fn add(blocks: &mut Vec<Block>, new: Block) {
    let Some(block) = blocks.iter_mut().find(|block| block.body == new.body) else {
        return blocks.push(new);
    };
    block.comments.extend(new.comments);
    for point in new.points {
        if block.points.contains(&point) {
            continue;
        }
        let both = block.points.iter_mut().find_map(|known| match (known, &point) {
            (
                Named::Function { file, function, call, inline },
                Named::Function { file: other_file, function: other, call: other_call, inline: other_inline },
            ) if file == other_file && function == other => Some((call, inline, *other_call, *other_inline)),
            (
                Named::Function { .. } | Named::Mark { .. } | Named::Statement { .. } | Named::Return { .. },
                Named::Function { .. } | Named::Mark { .. } | Named::Statement { .. } | Named::Return { .. },
            ) => None,
        });
        match both {
            Some((call, inline, other_call, other_inline)) => {
                *call |= other_call;
                *inline |= other_inline;
            }
            None => block.points.push(point),
        }
    }
}
