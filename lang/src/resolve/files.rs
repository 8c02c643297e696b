//! Owns container + place → opened file and module. Reads no function.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Binary, Resolver, holders, list};
use crate::codes::Code;
use crate::debuginfo::Module;
use crate::debuginfo::facts::DebugError;
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::glob::{is_glob, matches_glob};
use crate::ir::{ContainerIndex, File, FileIndex};
use crate::source::Span;
use crate::syntax::ast::{self, Where, Who, WhoKind};
use crate::world::{Container, FileId, OpenError, Opened, Place};

/// What opening gave.
pub(super) type OpenResult = Result<FileId, OpenError>;

/// The longest path the kernel takes (`PATH_MAX`, limits.h).
const PATH_MAX: usize = 4096;

/// Which file a point means.
pub(super) enum Wanted {
    /// One file.
    Place(Place),
    /// The shared objects of that name, path or glob.
    Library(String),
}

/// Where loaders look besides (ld.so(8), and the folders of Debian, Fedora and Alpine).
const FOLDERS: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/lib64",
];

/// What a point's `where` asks for, and where that is written; `None` where it cannot be done, which was reported.
pub(super) fn place(place: Option<&Where>, who: &Who, diagnostics: &mut Vec<Diagnostic>) -> Option<(Wanted, Span)> {
    let has_exe = match who.kind {
        WhoKind::Container | WhoKind::Pod | WhoKind::Pid => true,
        WhoKind::Cgroup | WhoKind::Host => false,
    };
    match place {
        None | Some(Where::Exe(_)) if !has_exe => {
            let (what, span) = match place {
                Some(Where::Exe(span)) => ("`exe`", *span),
                Some(_) | None => ("no file", who.span),
            };
            let word = who.kind.as_str();
            let example = match who.kind {
                WhoKind::Cgroup => "cgroup(\"/system.slice/x.service\"):/usr/bin/x",
                WhoKind::Host | WhoKind::Container | WhoKind::Pod | WhoKind::Pid => "host:/usr/bin/x",
            };
            diagnostics.push(
                Diagnostic::new(Code::E0103, span, format!("`{word}` with {what} means no program"))
                    .note("its tasks execute many programs; only containers, pods and processes have one that is first")
                    .help(format!("name the file: {example}")),
            );
            None
        }
        None => Some((Wanted::Place(Place::Exe), who.span)),
        Some(Where::Exe(span)) => Some((Wanted::Place(Place::Exe), *span)),
        Some(Where::Path { path, .. }) => {
            let problem = |message: &str| Diagnostic::new(Code::E0103, path.span, message.to_owned());
            let Ok(text) = std::str::from_utf8(&path.bytes) else {
                diagnostics.push(problem("the path is not UTF-8 text"));
                return None;
            };
            if text.contains('\0') {
                diagnostics.push(problem("a path cannot hold a NUL byte"));
                return None;
            }
            if text.len() >= PATH_MAX {
                diagnostics.push(problem("the path is longer than the kernel takes (4095 bytes)"));
                return None;
            }
            if !text.starts_with('/') {
                diagnostics.push(
                    problem("the path is not absolute")
                        .help(format!("write it as the container sees it, from the root: \"/{text}\"")),
                );
                return None;
            }
            Some((Wanted::Place(Place::Path(text.to_owned())), path.span))
        }
        Some(Where::Lib { name, .. }) => Some((Wanted::Library(name.text().into_owned()), name.span)),
    }
}

impl Resolver<'_> {
    /// Opens what a point asks for in every container.
    pub(super) fn open_wanted(
        &mut self,
        containers: &[ContainerIndex],
        wanted: &Wanted,
        span: Span,
        by_file: &mut BTreeMap<FileId, Vec<ContainerIndex>>,
        problems: &mut Vec<Diagnostic>,
    ) {
        let name = match wanted {
            Wanted::Place(place) => return self.open_all(containers, place, span, by_file, problems),
            Wanted::Library(name) => name,
        };
        for &index in containers {
            let Some(container) = self.container(index).cloned() else { continue };
            let mapped = self.world.mapped(&container);
            let is_wanted = |path: &&String| {
                let file = path.rsplit('/').next().unwrap_or(path);
                let text = if name.contains('/') { path.as_str() } else { file };
                text == name || matches_glob(name, text)
            };
            let found: Vec<String> = mapped.iter().filter(is_wanted).cloned().collect();
            if !found.is_empty() {
                for path in found {
                    self.open_all(&[index], &Place::Path(path), span, by_file, problems);
                }
                continue;
            }
            // Not mapped (yet): where its loader would find it.
            let path = FOLDERS.iter().map(|folder| format!("{folder}/{name}"));
            let there = path.map(Place::Path).find(|place| !is_glob(name) && self.open(index, place).is_ok());
            if let Some(place) = there {
                self.open_all(&[index], &place, span, by_file, problems);
                continue;
            }
            let names: Vec<&str> = mapped.iter().filter_map(|path| path.rsplit('/').next()).collect();
            let who = holders(std::iter::once(&container));
            let mut problem =
                Diagnostic::new(Code::E0103, span, format!("no process of {who} has mapped a library `{name}`"))
                    .nearest(&nearest_names(name, names.iter().copied(), 3));
            if names.len() > 1 {
                let known: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
                problem = problem.note(format!("mapped are {}", list(&known)));
            }
            if !is_glob(name) {
                problem = problem.note("nor is it in the folders where loaders look by default");
            }
            problems.push(problem);
        }
    }

    /// The files of a target that names none: what its first process executes, and what its processes have mapped.
    pub fn binaries(&mut self, point: &ast::Point, diagnostics: &mut Vec<Diagnostic>) -> Vec<Binary> {
        let ast::PointKind::Site { who, place: named, .. } = &point.kind else { return Vec::new() };
        let mut found = Vec::new();
        let Some(selected) = self.select(who, diagnostics) else { return found };
        let mut by_file = BTreeMap::new();
        match named {
            Some(_) => {
                let Some((wanted, span)) = place(named.as_ref(), who, diagnostics) else { return found };
                self.open_wanted(&selected, &wanted, span, &mut by_file, diagnostics);
            }
            None => {
                for index in selected {
                    let Some(container) = self.container(index).cloned() else { continue };
                    let exe = self.open(index, &Place::Exe).into_iter();
                    let mapped = self.world.mapped(&container).into_iter();
                    let mapped: Vec<_> = mapped.filter_map(|path| self.open(index, &Place::Path(path)).ok()).collect();
                    for file in exe.chain(mapped) {
                        let containers: &mut Vec<ContainerIndex> = by_file.entry(file).or_default();
                        if !containers.contains(&index) {
                            containers.push(index);
                        }
                    }
                }
            }
        }
        for (file, containers) in by_file {
            let Some(&index) = self.file_of.get(&file) else { continue };
            let path = self.file(index).map_or_else(String::new, |file| file.path.clone());
            let module = self.module(file).map_err(|error| error.to_string());
            found.extend(containers.into_iter().map(|container| Binary {
                container,
                path: path.clone(),
                module: module.clone(),
            }));
        }
        found.sort_by_key(|binary| binary.container);
        found
    }

    /// Opens the place in every container; what cannot be opened is reported once for all containers alike.
    pub(super) fn open_all(
        &mut self,
        containers: &[ContainerIndex],
        place: &Place,
        span: Span,
        by_file: &mut BTreeMap<FileId, Vec<ContainerIndex>>,
        problems: &mut Vec<Diagnostic>,
    ) {
        let mut failed: Vec<(OpenError, Vec<Container>)> = Vec::new();
        for &index in containers {
            match self.open(index, place) {
                Ok(file) => by_file.entry(file).or_default().push(index),
                Err(error) => {
                    let Some(name) = self.container(index).cloned() else { continue };
                    match failed.iter_mut().find(|(known, _)| *known == error) {
                        Some((_, names)) => names.push(name),
                        None => failed.push((error, vec![name])),
                    }
                }
            }
        }
        problems.extend(failed.into_iter().map(|(error, names)| open_problem(&error, place, &names, span)));
    }

    fn open(&mut self, index: ContainerIndex, place: &Place) -> OpenResult {
        let Some(container) = self.containers.get(index.0 as usize).cloned() else { return Err(OpenError::Gone) };
        let key = (index, place.clone());
        if let Some(known) = self.opened.get(&key) {
            return known.clone();
        }
        let opened = self.world.open(&container, place).map(|opened| self.remember(&container, opened));
        self.opened.insert(key, opened.clone());
        opened
    }

    fn remember(&mut self, container: &Container, opened: Opened) -> FileId {
        let id = opened.file;
        if !self.file_of.contains_key(&id) {
            let companions = self.world.companions(container, &opened);
            let module = Module::with_companions(opened.bytes, &opened.path, companions).map(Rc::new);
            let build_id = module.as_ref().ok().and_then(|module| module.build_id().cloned());
            self.modules.insert(id, module);
            self.file_of.insert(id, FileIndex(u32::try_from(self.files.len()).unwrap_or(u32::MAX)));
            self.files.push(File { id, path: opened.path, build_id });
        }
        id
    }

    /// The debug info of an opened file, or why it is none.
    pub(super) fn module(&self, file: FileId) -> Result<Rc<Module>, DebugError> {
        match self.modules.get(&file) {
            Some(module) => module.clone(),
            None => Err(DebugError::Read("the file was not opened".to_owned())),
        }
    }
}

fn open_problem(error: &OpenError, place: &Place, containers: &[Container], span: Span) -> Diagnostic {
    let who = holders(containers.iter());
    let what = match place {
        Place::Path(path) => format!("`{path}`"),
        Place::Exe => "the executable of the first process".to_owned(),
    };
    match error {
        OpenError::NotFound { folder, nearest } => {
            Diagnostic::new(Code::E0103, span, format!("{who} has no file {what}"))
                .nearest(nearest)
                .note(format!("the deepest folder of that path it has is `{folder}`"))
        }
        OpenError::NotAFile { what: kind } => {
            Diagnostic::new(Code::E0103, span, format!("{what} in {who} is {kind}, not a program"))
        }
        OpenError::Escapes => Diagnostic::new(
            Code::E0103,
            span,
            format!("{what} in {who} leads through a link that cannot be followed inside its root"),
        )
        .note("links are resolved within the container's root; those of /proc (root, cwd, exe, fd) are refused")
        .help("name the file itself"),
        OpenError::Denied { missing } => {
            let problem = Diagnostic::new(Code::E0401, span, format!("ctp may not open {what} in {who}"));
            match missing {
                Some(capability) => problem.note(format!("{capability} would suffice")).help("run ctp as root"),
                None => problem.help("run ctp as root"),
            }
        }
        OpenError::Gone => {
            Diagnostic::new(Code::E0406, span, format!("{who} ended while its files were opened")).help("run ctp again")
        }
        OpenError::Other(reason) => {
            Diagnostic::new(Code::E0405, span, format!("{what} in {who} cannot be opened: {reason}"))
        }
    }
}
