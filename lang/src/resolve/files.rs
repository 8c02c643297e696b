//! Owns container + place → opened file and module. Reads no function.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::{Binary, Held, Resolver, holders, list};
use crate::codes::Code;
use crate::debuginfo::Module;
use crate::debuginfo::facts::DebugError;
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::glob::{is_glob, matches_glob};
use crate::ir::{ContainerIndex, File, FileIndex};
use crate::source::Span;
use crate::syntax::ast::{self, Where, Who, WhoKind};
use crate::world::{Companions, Container, FileId, Mapped, OpenError, Opened, Place};

/// A file whose debug info was not asked for yet.
pub(super) struct Unread {
    opened: Opened,
    companions: Option<Arc<dyn Companions>>,
}

/// What opening gave.
pub(super) type OpenResult = Result<FileId, OpenError>;

/// The longest path the kernel takes (`PATH_MAX`, limits.h).
const PATH_MAX: usize = 4096;

/// How many files of one inode are tried before one stands for itself: containers have debug info of their own, or not.
const MOST_CANDIDATES: usize = 4;

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

/// Whether `lib(NAME)` means the file at a path: by its name, or by the path where NAME has folders.
pub fn is_library(name: &str, path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let text = if name.contains('/') { path } else { file };
    text == name || matches_glob(name, text)
}

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
        // By their paths, each with the containers that have mapped it.
        let mut found: BTreeMap<String, Vec<ContainerIndex>> = BTreeMap::new();
        for &index in containers {
            let Some(container) = self.container(index).cloned() else { continue };
            let Mapped { paths: mapped, of_first } = self.world.mapped(&container);
            let wanted: Vec<&String> = mapped.iter().filter(|path| is_library(name, path)).collect();
            if !wanted.is_empty() {
                for path in wanted {
                    found.entry(path.clone()).or_default().push(index);
                }
                continue;
            }
            // Not mapped (yet): where its loader would find it.
            let mut paths = FOLDERS.iter().map(|folder| format!("{folder}/{name}"));
            let mut is_there = |path: &String| self.open(index, &Place::Path(path.clone())).is_ok();
            if let Some(path) = paths.find(|path| !is_glob(name) && is_there(path)) {
                found.entry(path).or_default().push(index);
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
            if let Some(count) = of_first {
                problem = problem.note(format!("only {count} of its processes were looked at: it has more"));
            }
            problems.push(problem);
        }
        for (path, containers) in found {
            self.open_all(&containers, &Place::Path(path), span, by_file, problems);
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
                    let mapped = self.world.mapped(&container).paths.into_iter();
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
            let path = self.path_of(file);
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
            self.file_of.insert(id, FileIndex(u32::try_from(self.files.len()).unwrap_or(u32::MAX)));
            self.files.push(File { id, path: opened.path.clone(), build_id: None });
            let companions = self.world.companions(container, &opened);
            self.unread.insert(id, Unread { opened, companions });
        }
        id
    }

    /// The debug info of an opened file, or why it is none.
    pub(super) fn module(&mut self, file: FileId) -> Result<Rc<Module>, DebugError> {
        let file = self.stood_for.get(&file).copied().unwrap_or(file);
        if let Some(Unread { opened, companions }) = self.unread.remove(&file) {
            let module = Module::with_companions(opened.bytes, &opened.path, companions).map(Rc::new);
            self.modules.insert(file, module);
        }
        match self.modules.get(&file) {
            Some(module) => module.clone(),
            None => Err(DebugError::Read("the file was not opened".to_owned())),
        }
    }

    /// The path of an opened file.
    pub(super) fn path_of(&self, file: FileId) -> String {
        let known = self.file_of.get(&file).and_then(|index| self.file(*index));
        known.map_or_else(String::new, |file| file.path.clone())
    }

    /// Opened files with those who hold them, those together whose debug info is the same: containers of one image have
    /// one file, which is read once. The first of each stands for the others.
    pub(super) fn by_inode(&mut self, by_file: BTreeMap<FileId, Vec<ContainerIndex>>) -> Vec<(FileId, Arc<[Held]>)> {
        let files: Vec<FileId> = by_file.keys().copied().collect();
        let first = if files.len() > 1 { self.world.same_inodes(&files) } else { files };
        let mut all: Vec<(FileId, Vec<Held>)> = Vec::new();
        let mut place_of: HashMap<FileId, usize> = HashMap::new();
        // Those of one inode that stand for others, by the first of that inode.
        let mut of_inode: HashMap<FileId, Vec<FileId>> = HashMap::new();
        for ((file, containers), first) in by_file.into_iter().zip(first) {
            let Some(&index) = self.file_of.get(&file) else { continue };
            let held = Held { file: index, containers: containers.into() };
            let candidates = of_inode.entry(first).or_default();
            let known = self.stood_for.get(&file).copied().unwrap_or(file);
            let stands = candidates.iter().copied().find(|one| self.stands_for(*one, file)).unwrap_or(known);
            match place_of.get(&stands).and_then(|place| all.get_mut(*place)) {
                Some((_, same)) => same.push(held),
                None => {
                    place_of.insert(stands, all.len());
                    all.push((stands, vec![held]));
                    if candidates.len() < MOST_CANDIDATES {
                        candidates.push(stands);
                    }
                }
            }
        }
        all.into_iter().map(|(file, held)| (file, held.into())).collect()
    }

    /// Whether one file stands for another of the same inode: it lies at the same path, and debug info that is in other
    /// files is none of the containers' own.
    fn stands_for(&mut self, first: FileId, file: FileId) -> bool {
        if first == file || self.stood_for.get(&file) == Some(&first) {
            return true;
        }
        let Some(Unread { opened, companions }) = self.unread.get(&file) else { return false };
        let (path, companions) = (opened.path.clone(), companions.clone());
        let stands = self.path_of(first) == path
            && match self.module(first) {
                Ok(module) => module.stands_for(companions.as_deref()),
                // What is wrong is wrong with the bytes.
                Err(_) => true,
            };
        if stands {
            self.unread.remove(&file);
            self.stood_for.insert(file, first);
        }
        stands
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
