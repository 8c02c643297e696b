//! Owns tree + world → probe sites: which containers a point means, which file in each, which addresses in that.
//! Reads no types and no handler; reports wrong names, each once, with what would have been right.

pub mod describe;
mod files;
mod functions;
mod places;
mod pods;
mod select;
mod target;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use crate::codes::Code;
use crate::debuginfo::Module;
use crate::debuginfo::facts;
use crate::diagnostic::Diagnostic;
use crate::ir::{ContainerIndex, File, FileIndex};
use crate::source::Span;
use crate::syntax::ast;
use crate::world::{Container, FileId, ListError, Place, TargetKind, World};
pub use files::is_library;

/// One function with the files and containers in which a point means it.
#[derive(Clone)]
pub struct Match {
    /// The file, and with it those that are the same inode; at least one.
    pub held: Arc<[Held]>,
    /// Its debug info.
    pub module: Rc<Module>,
    /// The function; its sites are those the point means.
    pub function: Rc<facts::Function>,
    /// Whether a glob matched it: one of several, of which some may be left out.
    pub glob: bool,
}

/// Whether a first process that executes this most likely only starts what a container is for: a shell, which runs a script,
/// or one of the programs that reap children.
fn starts_others(path: &str) -> bool {
    const STARTERS: [&str; 14] = [
        "sh",
        "bash",
        "dash",
        "ash",
        "busybox",
        "tini",
        "tini-static",
        "dumb-init",
        "docker-init",
        "catatonit",
        "s6-svscan",
        "su-exec",
        "gosu",
        "env",
    ];
    path.rsplit('/').next().is_some_and(|name| STARTERS.contains(&name))
}

/// A file with the containers in which a point means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The file.
    pub file: FileIndex,
    /// The containers, in the order of the program's.
    pub containers: Arc<[ContainerIndex]>,
}

impl Match {
    /// The first of its files, which stands for the others.
    pub fn file(&self) -> Option<FileIndex> {
        self.held.first().map(|held| held.file)
    }

    /// The containers of all of its files.
    pub fn containers(&self) -> impl Iterator<Item = ContainerIndex> {
        self.held.iter().flat_map(|held| held.containers.iter().copied())
    }
}

use functions::Wanted;

/// A file that a target executes or has mapped.
pub struct Binary {
    /// Whose it is.
    pub container: ContainerIndex,
    /// The path as the container sees it.
    pub path: String,
    /// Its debug info, or why it cannot be read.
    pub module: Result<Rc<Module>, String>,
}

/// What looking a name up in a file gave.
type FindResult = Result<Vec<Rc<facts::Function>>, facts::DebugError>;

/// Resolves the points of one program; remembers what it opened and read.
pub struct Resolver<'w> {
    world: &'w dyn World,
    listed: Option<Result<Arc<[Container]>, ListError>>,
    list_error_given: bool,
    containers: Vec<Container>,
    files: Vec<File>,
    file_of: HashMap<FileId, FileIndex>,
    opened: HashMap<(ContainerIndex, Place), files::OpenResult>,
    /// Files whose debug info was not asked for yet.
    unread: HashMap<FileId, files::Unread>,
    modules: HashMap<FileId, Result<Rc<Module>, facts::DebugError>>,
    /// Files that another one of the same inode stands for.
    stood_for: HashMap<FileId, FileId>,
    found: HashMap<(FileId, String), FindResult>,
}

impl<'w> Resolver<'w> {
    /// A resolver that has looked at nothing yet.
    pub fn new(world: &'w dyn World) -> Resolver<'w> {
        Resolver {
            world,
            listed: None,
            list_error_given: false,
            containers: Vec::new(),
            files: Vec::new(),
            file_of: HashMap::new(),
            opened: HashMap::new(),
            unread: HashMap::new(),
            modules: HashMap::new(),
            stood_for: HashMap::new(),
            found: HashMap::new(),
        }
    }

    /// What all points together matched: containers and files, as the program's indices name them.
    pub fn finish(mut self) -> (Vec<Container>, Vec<File>) {
        let ids: Vec<FileId> = self.files.iter().map(|file| file.id).collect();
        let builds: Vec<_> = ids.into_iter().map(|id| self.module(id).ok()?.build_id().cloned()).collect();
        for (file, build_id) in self.files.iter_mut().zip(builds) {
            file.build_id = build_id;
        }
        (self.containers, self.files)
    }

    /// The container of an index it gave out.
    pub fn container(&self, index: ContainerIndex) -> Option<&Container> {
        self.containers.get(index.0 as usize)
    }

    /// The file of an index it gave out.
    pub fn file(&self, index: FileIndex) -> Option<&File> {
        self.files.get(index.0 as usize)
    }

    /// What a point means. Empty where something was wrong (then it was reported) or where the point is optional and
    /// matches nothing.
    pub fn point(&mut self, point: &ast::Point, diagnostics: &mut Vec<Diagnostic>) -> Vec<Match> {
        let ast::PointKind::Site { who, place, what } = &point.kind else { return Vec::new() };
        let Some(wanted) = functions::wanted(what, diagnostics) else { return Vec::new() };
        let Some((place, place_span)) = files::place(place.as_ref(), who, diagnostics) else { return Vec::new() };
        let mut problems = Vec::new();
        let selected = self.select(who, &mut problems);
        let mut by_file: BTreeMap<FileId, Vec<ContainerIndex>> = BTreeMap::new();
        if let Some(selected) = &selected {
            self.open_wanted(selected, &place, place_span, &mut by_file, &mut problems);
        }
        let mut matches = Vec::new();
        for (file, held) in self.by_inode(by_file) {
            match &wanted {
                Wanted::Function(wanted) => {
                    let before = problems.len();
                    self.functions(file, &held, wanted, place_span, &mut matches, &mut problems);
                    if matches!(&place, files::Wanted::Place(Place::Exe)) && starts_others(&self.path_of(file)) {
                        let new = problems.split_off(before);
                        problems.extend(new.into_iter().map(|problem| {
                            problem.help(format!(
                                "`{}` is what starts the program: name that by its path, {}:/PATH, which need not run yet",
                                self.path_of(file),
                                format_args!("{}(…)", who.kind.as_str())
                            ))
                        }));
                    }
                }
                Wanted::Place(wanted) => {
                    self.places(file, &held, wanted, place_span, &mut matches, &mut problems);
                }
            }
        }
        if !point.optional {
            diagnostics.extend(problems);
        } else {
            diagnostics.extend(problems.into_iter().filter(|problem| !is_absence(problem.code)));
        }
        matches
    }
}

/// Whether a point's selector means a container that came after the program was checked, among all that run; false for
/// selectors of no containers.
pub fn selects(point: &ast::Point, container: &Container, all: &[Container]) -> bool {
    let ast::PointKind::Site { who, .. } = &point.kind else { return false };
    match who.kind {
        ast::WhoKind::Container => Resolver::means_container(who, container),
        ast::WhoKind::Pod => Resolver::means_pod(who, container, all),
        ast::WhoKind::Pid | ast::WhoKind::Cgroup | ast::WhoKind::Host => false,
    }
}

/// Whether a code says that something is not there: what `?` behind a point allows.
fn is_absence(code: Code) -> bool {
    matches!(code, Code::E0101 | Code::E0103 | Code::E0104 | Code::E0112 | Code::E0113 | Code::E0114)
}

/// `a`, `b` and `c` as a list for messages, at most twelve of them.
pub(crate) fn list(names: &[String]) -> String {
    const MOST: usize = 12;
    let mut text = names.iter().take(MOST).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}

/// Those who hold a file, for messages: container `web`, containers `a`, `b`, process 12.
fn holders<'c>(containers: impl Iterator<Item = &'c Container>) -> String {
    let all: Vec<&Container> = containers.collect();
    match all.as_slice() {
        [one] => one.described(),
        several if several.iter().all(|one| one.kind == TargetKind::Container) => {
            let names: Vec<String> = several.iter().map(|one| one.display_name().to_owned()).collect();
            format!("containers {}", list(&names))
        }
        several => {
            let mut names: Vec<String> = several.iter().map(|one| one.described()).collect();
            names.dedup();
            names.join(", ")
        }
    }
}

/// A construct that is in the language but not in this version yet.
pub(crate) fn unsupported(span: Span, what: &str) -> Diagnostic {
    Diagnostic::new(Code::E0301, span, format!("{what} is not supported yet by this version of ctp"))
}
