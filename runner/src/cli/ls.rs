//! Owns `ctp ls`: the probe points that a target has, for people. Attaches nothing.

use std::io::{self, Write};

use clap::Args;
use ctp_lang::debuginfo::facts::{Site, SiteKind};
use ctp_lang::render;
use ctp_lang::resolve::{Match, Resolver, describe};
use ctp_lang::source::Sources;
use ctp_lang::syntax::ast::{Point, PointKind, What};
use ctp_lang::syntax::parse_target;

use super::symbols::Symbols;
use crate::container::Settings;
use crate::output::escape::escape;
use crate::report::{self, Color};
use crate::world::live::LiveWorld;

/// List the probe points that a target has
#[derive(Args, Debug)]
pub struct Ls {
    /// What to list: a probe point, with globs where several are meant, or a target alone, for its binaries and libraries
    #[arg(value_name = "POINT")]
    pub point: String,
    /// Show the structs and enumerations that the functions take and return
    #[arg(long)]
    pub types: bool,
    #[command(flatten)]
    /// Where debug info is looked for
    pub symbols: Symbols,
}

/// Lists; what is wrong with the point goes to stderr.
///
/// # Errors
/// As writing fails.
pub fn run(ls: &Ls, color: Color, out: &mut impl Write) -> io::Result<u8> {
    let mut sources = Sources::default();
    let source = sources.add("POINT", ls.point.clone());
    let (point, mut diagnostics) = parse_target(source, &ls.point);
    let world = LiveWorld::new(Settings::from_env()).looking_in(ls.symbols.places());
    let mut resolver = Resolver::new(&world);
    if let Some(point) = point.filter(|_| diagnostics.is_empty()) {
        match &point.kind {
            PointKind::Site { what: What::Nothing, .. } => binaries(&mut resolver, &point, &mut diagnostics, out)?,
            PointKind::Site { what, .. } => {
                let matches = resolver.point(&point, &mut diagnostics);
                points(&resolver, what, &matches, ls.types, out)?;
            }
            PointKind::Begin | PointKind::End | PointKind::Every(_) => {
                writeln!(out, "{} is in no program", escape(ls.point.trim().as_bytes()))?;
            }
        }
    }
    let said = render::rich(&sources, &diagnostics, color.on_stderr());
    io::stderr().write_all(said.as_bytes())?;
    Ok(report::exit_code(&diagnostics))
}

fn binaries(
    resolver: &mut Resolver<'_>,
    point: &Point,
    diagnostics: &mut Vec<ctp_lang::diagnostic::Diagnostic>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut last = None;
    for binary in resolver.binaries(point, diagnostics) {
        if last != Some(binary.container) {
            last = Some(binary.container);
            let name = resolver.container(binary.container).map_or_else(String::new, |one| one.described());
            writeln!(out, "{}", escape(name.as_bytes()))?;
        }
        let about = match &binary.module {
            Ok(module) => {
                let debug = match (module.has_dwarf(), module.debug_file()) {
                    (true, None) => "debug info".to_owned(),
                    (true, Some(file)) => format!("debug info in {}", escape(file.as_bytes())),
                    (false, _) => "no debug info".to_owned(),
                };
                let marks = match module.marks().map_or(0, |marks| marks.len()) {
                    0 => String::new(),
                    1 => ", 1 mark".to_owned(),
                    count => format!(", {count} marks"),
                };
                let build = module.build_id().map_or_else(String::new, |id| format!(", build id {id}"));
                format!("{debug}{marks}{build}")
            }
            Err(why) => escape(why.as_bytes()),
        };
        writeln!(out, "  {}  {about}", escape(binary.path.as_bytes()))?;
    }
    Ok(())
}

fn points(
    resolver: &Resolver<'_>,
    what: &What,
    matches: &[Match],
    with_types: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut file = None;
    let mut types: Vec<(String, Vec<String>)> = Vec::new();
    for found in matches {
        if file != found.file() {
            file = found.file();
            let path = file.and_then(|file| resolver.file(file)).map_or_else(String::new, |file| file.path.clone());
            let holders: Vec<String> = found
                .containers()
                .filter_map(|index| resolver.container(index))
                .map(|container| escape(container.display_name().as_bytes()))
                .collect();
            let build = found.module.build_id().map_or_else(String::new, |id| format!(" (build id {id})"));
            writeln!(out, "{} in {}{build}", escape(path.as_bytes()), holders.join(", "))?;
        }
        match what {
            What::Mark { .. } => marks(found, out)?,
            What::Line(_) | What::Addr(_) => places(found, out)?,
            What::Fn { .. } | What::Nothing => function(found, out)?,
        }
        if with_types {
            for (name, lines) in describe::types(&found.module, &found.function) {
                if !types.iter().any(|(known, _)| *known == name) {
                    types.push((name, lines));
                }
            }
        }
    }
    for (name, lines) in types {
        writeln!(out, "{}", escape(name.as_bytes()))?;
        for line in lines {
            writeln!(out, "    {}", escape(line.as_bytes()))?;
        }
    }
    Ok(())
}

fn is_inlined(site: &Site) -> bool {
    match site.kind {
        SiteKind::Inlined { .. } => true,
        SiteKind::OutOfLine | SiteKind::Symbol => false,
    }
}

fn function(found: &Match, out: &mut impl Write) -> io::Result<()> {
    let function = &found.function;
    let signature = describe::signature(&found.module, function);
    let declared = function.declared.as_ref().map_or_else(String::new, |line| format!("  {line}"));
    let addresses: Vec<String> = function
        .sites
        .iter()
        .filter(|site| !is_inlined(site))
        .map(|site| match site.address.checked_sub(site.entry) {
            None | Some(0) => format!("{:#x}", site.entry),
            Some(behind) => format!("{:#x}+{behind}", site.entry),
        })
        .collect();
    let inlined = match function.sites.iter().filter(|site| is_inlined(site)).count() {
        0 => String::new(),
        1 => "  inlined in 1 place".to_owned(),
        count => format!("  inlined in {count} places"),
    };
    let addresses = if addresses.is_empty() { String::new() } else { format!("  {}", addresses.join(" ")) };
    writeln!(out, "  {}{}{addresses}{inlined}", escape(signature.as_bytes()), escape(declared.as_bytes()))
}

fn places(found: &Match, out: &mut impl Write) -> io::Result<()> {
    for site in &found.function.sites {
        let line = found.module.source_line(site.address).ok().flatten();
        let line = line.map_or_else(String::new, |line| format!("  {line}"));
        let place = match &site.kind {
            SiteKind::Inlined { into, .. } => format!(", inlined into {into}"),
            SiteKind::OutOfLine | SiteKind::Symbol => String::new(),
        };
        let function = format!("{}{place}", found.function.name);
        writeln!(out, "  {:#x}{}  {}", site.address, escape(line.as_bytes()), escape(function.as_bytes()))?;
    }
    Ok(())
}

fn marks(found: &Match, out: &mut impl Write) -> io::Result<()> {
    let sites = &found.function.sites;
    for mark in found.module.marks().unwrap_or_default() {
        if sites.iter().any(|site| site.address == mark.address) {
            let semaphore = if mark.semaphore.is_some() { "  with a semaphore" } else { "" };
            let text = format!("{}  in {}", describe::mark(&mark), found.function.name);
            writeln!(out, "  {:#x}  {}{semaphore}", mark.address, escape(text.as_bytes()))?;
        }
    }
    Ok(())
}
