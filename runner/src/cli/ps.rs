//! Owns `ctp ps`: the containers of this host as a table or JSON. Never decides what a container is.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use ctp_lang::debuginfo::Module;
use ctp_lang::world::{Container, Place, World};
use serde::Serialize;

use crate::doctor::in_words;
use crate::output::escape::{escape, in_json};
use crate::world::live::LiveWorld;

/// List the containers of this host
#[derive(Args, Clone, Copy, Debug)]
pub struct Ps {
    /// How to write the list
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns, for people
    #[default]
    Table,
    /// One JSON object
    Json,
}

/// What is shown of one container.
#[derive(Serialize)]
struct Row<'a> {
    name: Option<&'a str>,
    id: &'a str,
    runtime: &'static str,
    image: Option<&'a str>,
    pod: Option<Pod<'a>>,
    pid: u32,
    /// Path of what its first process executes, as the container sees it.
    exe: Option<String>,
    /// Whether that holds DWARF; `None` where it cannot be read.
    debug_info: Option<bool>,
    /// Why `exe` or `debug_info` is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    labels: std::collections::BTreeMap<&'a str, &'a str>,
    cgroup: Option<&'a str>,
}

#[derive(Serialize)]
struct Pod<'a> {
    namespace: &'a str,
    name: &'a str,
    container: &'a str,
}

/// The JSON form; `v` counts changes that are no additions.
#[derive(Serialize)]
struct Document<'a> {
    v: u32,
    containers: &'a [Row<'a>],
    notes: &'a [String],
}

/// Writes the containers to `out`, and what is to be said about the list to `err`. Returns the exit code.
///
/// # Errors
/// As writing fails.
pub fn run(ps: Ps, world: &LiveWorld, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let (containers, listing) = match (world.containers(), world.listing()) {
        (Ok(containers), Ok(listing)) => (containers, listing),
        (Err(e), _) | (_, Err(e)) => {
            writeln!(err, "ctp: containers cannot be listed: {}", escape(&e.reason))?;
            if let Some(help) = e.help {
                writeln!(err, "ctp: {}", escape(help))?;
            }
            return Ok(1);
        }
    };
    let rows: Vec<Row> = containers.iter().enumerate().map(|(index, container)| row(world, index, container)).collect();
    match ps.format {
        Format::Json => {
            let document = Document { v: 1, containers: &rows, notes: &listing.notes };
            writeln!(out, "{}", in_json(&serde_json::to_string(&document)?))?;
        }
        Format::Table if rows.is_empty() => {}
        Format::Table => table(&rows, out)?,
    }
    for note in &listing.notes {
        writeln!(err, "ctp: {}", escape(note))?;
    }
    if rows.is_empty() {
        writeln!(
            err,
            "ctp: no container runs here: none of {} processes in /proc is in a container's cgroup",
            listing.processes
        )?;
    }
    Ok(0)
}

fn row<'a>(world: &LiveWorld, index: usize, container: &'a Container) -> Row<'a> {
    let opened = world.open(container, &Place::Exe);
    let (exe, debug_info, problem) = match opened {
        Ok(opened) => match Module::open(opened.bytes) {
            Ok(module) => (Some(opened.path), Some(module.has_dwarf()), None),
            Err(e) => (Some(opened.path), None, Some(e.to_string())),
        },
        Err(e) => (None, None, Some(in_words(&e, &Place::Exe))),
    };
    world.release(index);
    Row {
        name: container.name.as_deref(),
        id: &container.id,
        runtime: container.runtime.as_str(),
        image: container.image.as_deref(),
        pod: container.pod.as_ref().map(|pod| Pod {
            namespace: &pod.namespace,
            name: &pod.name,
            container: &pod.container,
        }),
        pid: container.init_pid,
        exe,
        debug_info,
        problem,
        labels: container.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        cgroup: container.cgroup.as_ref().map(|cgroup| cgroup.folder.as_str()).filter(|folder| !folder.is_empty()),
    }
}

fn table(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    let heads = ["NAME", "ID", "RUNTIME", "IMAGE", "POD", "PID", "EXE", "DEBUG-INFO"].map(str::to_owned);
    let or_dash = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), escape);
    let lines = rows.iter().map(|row| {
        [
            or_dash(row.name),
            escape(row.id.get(..12).unwrap_or(row.id)),
            row.runtime.to_owned(),
            or_dash(row.image),
            row.pod.as_ref().map_or_else(|| "-".to_owned(), |pod| escape(format!("{}/{}", pod.namespace, pod.name))),
            row.pid.to_string(),
            or_dash(row.exe.as_deref()),
            match (row.debug_info, &row.problem) {
                (Some(true), _) => "yes".to_owned(),
                (Some(false), _) => "no".to_owned(),
                (None, Some(problem)) => format!("? ({})", escape(problem)),
                (None, None) => "?".to_owned(),
            },
        ]
    });
    let lines: Vec<[String; 8]> = std::iter::once(heads).chain(lines).collect();
    let mut widths = [0; 8];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect::<Vec<_>>();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}
