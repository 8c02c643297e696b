//! Owns what one target must have: that it runs, that its program can be opened, and debug info in it.

use ctp_lang::debuginfo::Module;
use ctp_lang::diagnostic::nearest_names;
use ctp_lang::world::{OpenError, Place, World as _};

use super::{Finding, State};
use crate::world::live::LiveWorld;

/// A container by name or the beginning of its id, and a file in it: `web`, `web:/app/bin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    name: String,
    place: Place,
}

impl Target {
    /// Reads `NAME` or `NAME:/path`.
    pub fn parse(text: &str) -> Target {
        match text.split_once(":/") {
            Some((name, path)) => Target { name: name.to_owned(), place: Place::Path(format!("/{path}")) },
            None => Target { name: text.to_owned(), place: Place::Exe },
        }
    }
}

pub(super) fn examine(world: &LiveWorld, target: &Target) -> Vec<Finding> {
    let title = target.name.clone();
    let Ok(containers) = world.containers() else { return Vec::new() };
    let is_named = |name: Option<&str>, id: &str| {
        name == Some(target.name.as_str()) || target.name.len() >= 3 && id.starts_with(&target.name)
    };
    let meant: Vec<_> = containers.iter().filter(|one| is_named(one.name.as_deref(), &one.id)).collect();
    if meant.is_empty() {
        let names: Vec<&str> = containers.iter().map(|one| one.display_name()).collect();
        let nearest = nearest_names(&target.name, names, 1);
        let finding = Finding::new("target.container", title, State::Missing, "no such container is running");
        let remedy = match nearest.first() {
            Some(name) => format!("ctp doctor {name}"),
            None => "ctp ps lists those that run".to_owned(),
        };
        return vec![finding.remedy(remedy)];
    }
    let mut findings = Vec::new();
    for container in meant {
        let shown = container.display_name().to_owned();
        let id = match (&container.cgroup, crate::container::boundary::note(container)) {
            (Some(cgroup), _) => Finding::found(
                "target.container",
                &shown,
                format!("{} {}, its cgroup is {}", container.runtime.as_str(), container.short_id(), cgroup.folder),
            ),
            (None, Some(note)) => Finding::new("target.container", &shown, State::Limited, note)
                .remedy("give it a cgroup of its own, on a host with cgroup2"),
            (None, None) => Finding::new(
                "target.container",
                &shown,
                State::Missing,
                "it has no cgroup of its own: its tasks cannot be told from others",
            )
            .remedy("select its processes: pid(…)"),
        };
        findings.push(id);
        findings.push(file(world, container, &target.place, &shown));
    }
    findings
}

fn file(world: &LiveWorld, container: &ctp_lang::world::Container, place: &Place, shown: &str) -> Finding {
    let (id, title) = ("target.debug-info", format!("debug info of {shown}"));
    let opened = match world.open(container, place) {
        Ok(opened) => opened,
        Err(error) => {
            let missing = Finding::new(id, title, State::Missing, in_words(&error, place));
            return match error {
                OpenError::NotFound { nearest, .. } if !nearest.is_empty() => {
                    missing.remedy(format!("did you mean {}?", nearest.join(", ")))
                }
                OpenError::Denied { missing: Some(capability) } => missing.remedy(format!("run ctp with {capability}")),
                OpenError::NotFound { .. }
                | OpenError::NotAFile { .. }
                | OpenError::Escapes
                | OpenError::Denied { missing: None }
                | OpenError::Gone
                | OpenError::Other(_) => missing,
            };
        }
    };
    let path = opened.path.clone();
    match Module::open(opened.bytes) {
        Err(error) => Finding::new(id, title, State::Missing, format!("{path} cannot be read as a program: {error}")),
        Ok(module) => {
            let build = module.build_id().map_or_else(|| "no build id".to_owned(), |build| format!("build id {build}"));
            if module.has_dwarf() {
                return Finding::found(id, title, format!("DWARF in {path}, {build}"));
            }
            Finding::new(
                id,
                title,
                State::Limited,
                format!("none in {path} ({build}): functions by their symbols only, no parameters"),
            )
            .remedy("compile it with -g and do not strip it; where debug info is kept apart, install it on this host")
        }
    }
}

/// Why a file could not be opened, in a few words.
pub(crate) fn in_words(error: &OpenError, place: &Place) -> String {
    let what = match place {
        Place::Path(path) => path.as_str(),
        Place::Exe => "its executable",
    };
    match error {
        OpenError::NotFound { .. } => format!("{what} is not there"),
        OpenError::NotAFile { what: kind } => format!("{what} is {kind}"),
        OpenError::Escapes => format!("{what} is outside its root"),
        OpenError::Denied { missing: Some(capability) } => format!("reading {what} needs {capability}"),
        OpenError::Denied { missing: None } => format!("reading {what} is not allowed"),
        OpenError::Gone => "it has ended".to_owned(),
        OpenError::Other(reason) => reason.clone(),
    }
}
