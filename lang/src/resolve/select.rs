//! Owns `container(…)` → containers: names, id prefixes, globs and the named arguments; the other selectors are in
//! files of their own. Opens nothing.

use std::sync::Arc;

use super::{Resolver, list};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::glob::{is_glob, matches_glob};
use crate::ir::ContainerIndex;
use crate::source::Span;
use crate::syntax::ast::{ExprKind, Who, WhoKind};
use crate::world::Container;

/// The shortest id prefix that counts as one.
const SHORTEST_ID_PREFIX: usize = 3;

/// The fewest digits of a digest that count as one: what engines print of it.
const SHORTEST_DIGEST: usize = 12;

/// What a selector asks of a container; all of it must hold.
#[derive(Default)]
struct Wanted {
    /// The unnamed argument: name, id prefix or glob.
    any: Option<String>,
    name: Option<String>,
    id: Option<String>,
    image: Option<String>,
    labels: Vec<String>,
    runtime: Option<String>,
}

impl Resolver<'_> {
    /// The containers a selector means, at least one; `None` where something is wrong, which was reported.
    pub(super) fn select(&mut self, who: &Who, problems: &mut Vec<Diagnostic>) -> Option<Vec<ContainerIndex>> {
        match who.kind {
            WhoKind::Container => self.select_containers(who, problems),
            WhoKind::Pod => self.select_pods(who, problems),
            WhoKind::Pid | WhoKind::Cgroup | WhoKind::Host => self.select_target(who, problems),
        }
    }

    /// Whether a selector means a container that came later.
    pub(super) fn means_container(who: &Who, container: &Container) -> bool {
        let Some(wanted) = wanted(who, &mut Vec::new()) else { return false };
        let by_text = |text: &String| {
            let is_prefix = !is_glob(text) && text.len() >= SHORTEST_ID_PREFIX;
            container.name.as_deref() == Some(text)
                || is_glob(text) && matches_glob(text, container.display_name())
                || is_prefix && container.id.starts_with(text.as_str())
        };
        narrowed(container, &wanted) && wanted.any.as_ref().is_none_or(by_text)
    }

    fn select_containers(&mut self, who: &Who, problems: &mut Vec<Diagnostic>) -> Option<Vec<ContainerIndex>> {
        let wanted = wanted(who, problems)?;
        let all = self.list(who.span, problems)?;
        let narrowed: Vec<&Container> = all.iter().filter(|container| narrowed(container, &wanted)).collect();
        let chosen = match &wanted.any {
            None => narrowed,
            Some(text) => choose(text, &narrowed, &all, who.span, problems)?,
        };
        if chosen.is_empty() {
            problems.push(self.nothing_matches(who, &wanted, &all));
            return None;
        }
        Some(chosen.into_iter().map(|container| self.intern(container)).collect())
    }

    pub(super) fn list(&mut self, span: Span, problems: &mut Vec<Diagnostic>) -> Option<Arc<[Container]>> {
        let world = self.world;
        match self.listed.get_or_insert_with(|| world.containers()) {
            Ok(containers) => Some(Arc::clone(containers)),
            Err(error) => {
                if !std::mem::replace(&mut self.list_error_given, true) {
                    let mut problem =
                        Diagnostic::new(Code::E0111, span, format!("containers cannot be listed: {}", error.reason));
                    problem.helps.extend(error.help.clone());
                    problems.push(problem);
                }
                None
            }
        }
    }

    /// The program's index of a container. A cgroup whose processes have several roots is an entry for each.
    pub(super) fn intern(&mut self, container: &Container) -> ContainerIndex {
        let same = |known: &Container| {
            known.kind == container.kind
                && known.id == container.id
                && known.runtime == container.runtime
                && known.init_pid == container.init_pid
        };
        let index = self.containers.iter().position(same).unwrap_or_else(|| {
            self.containers.push(container.clone());
            self.containers.len() - 1
        });
        ContainerIndex(u32::try_from(index).unwrap_or(u32::MAX))
    }

    fn nothing_matches(&self, who: &Who, wanted: &Wanted, all: &[Container]) -> Diagnostic {
        let asked = wanted.any.as_ref().or(wanted.name.as_ref());
        let message = match asked {
            Some(name) if is_glob(name) => format!("no running container matches `{name}`"),
            Some(name) => format!("no container named `{name}` is running"),
            None => "no running container matches".to_owned(),
        };
        let span = who.arguments.first().map_or(who.span, |argument| argument.value.span);
        let mut problem = Diagnostic::new(Code::E0101, span, message);
        let names: Vec<String> = all.iter().map(|container| container.display_name().to_owned()).collect();
        if let Some(name) = asked {
            problem = problem.nearest(&nearest_names(name, names.iter().map(String::as_str), 3));
        }
        problem = match names.as_slice() {
            [] => problem.note("no container is running on this host"),
            _ => problem.note(format!("running: {}", list(&names))),
        };
        let is_short_id = |text: &String| {
            text.len() < SHORTEST_ID_PREFIX && all.iter().any(|container| container.id.starts_with(text.as_str()))
        };
        if wanted.any.as_ref().is_some_and(is_short_id) {
            problem = problem.note(format!("the beginning of an id counts from {SHORTEST_ID_PREFIX} characters on"));
        }
        problem.notes.extend(self.world.listing_notes());
        problem.help("`ctp ps` lists the containers of this host")
    }
}

/// Reads the arguments of `container(…)`.
fn wanted(who: &Who, problems: &mut Vec<Diagnostic>) -> Option<Wanted> {
    let texts = texts(who, &["name", "id", "image", "label", "runtime"], problems)?;
    if texts.is_empty() {
        problems.push(
            Diagnostic::new(Code::E0203, who.span, "`container()` names no container")
                .help("write its name, an id prefix or a glob: container(\"web\"), container(\"web-*\")"),
        );
        return None;
    }
    let mut wanted = Wanted::default();
    for (name, text, span) in texts {
        let slot = match name.as_deref() {
            None => &mut wanted.any,
            Some("name") => &mut wanted.name,
            Some("id") => &mut wanted.id,
            Some("image") => &mut wanted.image,
            Some("runtime") => {
                if !RUNTIMES.contains(&text.as_str()) {
                    problems.push(
                        Diagnostic::new(Code::E0106, span, format!("`{text}` is no runtime"))
                            .nearest(&nearest_names(&text, RUNTIMES, 1))
                            .note(format!("there are {}", RUNTIMES.join(", "))),
                    );
                    return None;
                }
                &mut wanted.runtime
            }
            Some(_) => {
                wanted.labels.push(text);
                continue;
            }
        };
        *slot = Some(text);
    }
    Some(wanted)
}

/// What `runtime=` can be ([`crate::world::Runtime::as_str`]).
const RUNTIMES: [&str; 7] = ["docker", "podman", "containerd", "cri-o", "lxc", "nspawn", "unknown"];

/// An argument of a selector: its name, its text, the text's place.
pub(super) type TextArgument = (Option<String>, String, Span);

/// The arguments of a selector, all of which are text; those in `known` may be named, `label` repeated, and one may
/// stand without a name. `None` where something is wrong, which was reported.
pub(super) fn texts(who: &Who, known: &[&str], problems: &mut Vec<Diagnostic>) -> Option<Vec<TextArgument>> {
    let mut texts: Vec<TextArgument> = Vec::new();
    let mut good = true;
    for argument in &who.arguments {
        let ExprKind::Str(bytes) = &argument.value.kind else {
            if argument.value.kind != ExprKind::Broken {
                let what = who.kind.as_str();
                problems.push(
                    Diagnostic::new(Code::E0201, argument.value.span, format!("a {what} is selected by text"))
                        .help(format!("write the name in double quotes: {what}(\"web\")")),
                );
            }
            good = false;
            continue;
        };
        if let Some(name) = argument.name.as_ref().filter(|name| !known.contains(&name.name.as_str())) {
            let message = format!("`{}` has no argument `{}`", who.kind.as_str(), name.name);
            let takes: Vec<String> = known.iter().map(|known| format!("{known}=")).collect();
            problems.push(
                Diagnostic::new(Code::E0106, name.span, message)
                    .nearest(&nearest_names(&name.name, known.iter().copied(), 1))
                    .note(format!("it takes {}", takes.join(", "))),
            );
            good = false;
            continue;
        }
        let name = argument.name.as_ref().map(|name| name.name.clone());
        if name.as_deref() != Some("label") && texts.iter().any(|(said, _, _)| *said == name) {
            problems.push(Diagnostic::new(Code::E0203, argument.value.span, "this says again what was said before"));
            good = false;
        }
        texts.push((name, String::from_utf8_lossy(bytes).into_owned(), argument.value.span));
    }
    good.then_some(texts)
}

/// Whether the named arguments hold for a container.
fn narrowed(container: &Container, wanted: &Wanted) -> bool {
    let text_matches =
        |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|glob| matches_glob(glob, text));
    text_matches(&wanted.name, container.display_name())
        && wanted.id.as_ref().is_none_or(|prefix| container.id.starts_with(prefix.as_str()))
        && wanted
            .image
            .as_ref()
            .is_none_or(|image| image_matches(image, container.image.as_deref(), &container.image_digests))
        && wanted.runtime.as_ref().is_none_or(|runtime| container.runtime.as_str() == runtime)
        && wanted.labels.iter().all(|label| label_matches(label, &container.labels))
}

/// `nginx` means every tag and digest of it; `nginx:1.27` that tag; globs match the whole reference. A reference
/// without tag has the tag `latest`. `sha256:…` and `nginx@sha256:…` mean the image by its content, whatever its tag.
fn image_matches(wanted: &str, has: Option<&str>, digests: &[String]) -> bool {
    let by_name = |wanted: &str| {
        has.is_some_and(|has| {
            matches_glob(wanted, has)
                || has.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(':') || rest.starts_with('@'))
                || wanted.strip_suffix(":latest") == Some(has)
        })
    };
    let digest_matches = |wanted: &str| {
        let enough = wanted.strip_prefix("sha256:").is_some_and(|hex| hex.len() >= SHORTEST_DIGEST);
        enough && digests.iter().any(|digest| digest.starts_with(wanted))
    };
    by_name(wanted)
        || match wanted.split_once('@') {
            Some((name, digest)) => by_name(name) && digest_matches(digest),
            None => digest_matches(wanted),
        }
}

/// `key` means that the label is there, `key=value` that it has this value (a glob).
pub(super) fn label_matches(wanted: &str, labels: &[(String, String)]) -> bool {
    match wanted.split_once('=') {
        None => labels.iter().any(|(key, _)| key == wanted),
        Some((name, value)) => labels.iter().any(|(key, has)| key == name && matches_glob(value, has)),
    }
}

/// An exact name first, then a glob, then an id prefix that only one container has.
fn choose<'c>(
    text: &str,
    among: &[&'c Container],
    all: &[Container],
    span: Span,
    problems: &mut Vec<Diagnostic>,
) -> Option<Vec<&'c Container>> {
    let exact: Vec<&Container> =
        among.iter().copied().filter(|container| container.name.as_deref() == Some(text)).collect();
    if let [_] = exact.as_slice() {
        return Some(exact);
    }
    if exact.len() > 1 {
        problems.push(ambiguous(format!("{} containers are named `{text}`", exact.len()), &exact, all, span));
        return None;
    }
    if is_glob(text) {
        return Some(among.iter().copied().filter(|container| matches_glob(text, container.display_name())).collect());
    }
    let is_prefix = text.len() >= SHORTEST_ID_PREFIX;
    let by_id: Vec<&Container> =
        among.iter().copied().filter(|container| is_prefix && container.id.starts_with(text)).collect();
    if by_id.len() > 1 {
        problems.push(ambiguous(format!("the id prefix `{text}` fits {} containers", by_id.len()), &by_id, all, span));
        return None;
    }
    Some(by_id)
}

/// How many containers a message lists, each with its way out.
const MOST_LISTED: usize = 12;

/// Several fit: they are listed with how to say which, in an order that ids, which are random, decide last.
fn ambiguous(message: String, fitting: &[&Container], all: &[Container], span: Span) -> Diagnostic {
    let mut containers = fitting.to_vec();
    containers.sort_by_key(|container| {
        let pod = container.pod.as_ref().map(|pod| (pod.namespace.as_str(), pod.name.as_str()));
        (pod, container.display_name(), container.runtime.as_str(), container.id.as_str())
    });
    let mut problem = Diagnostic::new(Code::E0102, span, message);
    for container in containers.iter().take(MOST_LISTED) {
        let pod = container.pod.as_ref().map_or_else(String::new, |pod| format!(" in pod {pod}"));
        let (runtime, id) = (container.runtime.as_str(), container.short_id());
        problem = problem.note(format!("{runtime} {id} ({}{pod})", container.display_name()));
        problem = problem.help(format!("for this one: {}", says_which(container, all)));
    }
    if let Some(more @ 1..) = containers.len().checked_sub(MOST_LISTED) {
        problem = problem.note(format!("and {more} more"));
    }
    problem
}

/// A selector that means this container and no other.
fn says_which(container: &Container, all: &[Container]) -> String {
    let alone = |same: &dyn Fn(&Container) -> bool| all.iter().filter(|other| same(other)).count() == 1;
    let (name, runtime) = (container.display_name(), container.runtime.as_str());
    if let Some(pod) = &container.pod
        && alone(&|other| other.pod.as_ref() == Some(pod))
    {
        return format!("pod(\"{pod}\", container=\"{}\")", pod.container);
    }
    if alone(&|other| other.name.as_deref() == Some(name) && other.runtime == container.runtime) {
        return format!("container(\"{name}\", runtime=\"{runtime}\")");
    }
    let short = container.short_id();
    let id = if alone(&|other| other.id.starts_with(short)) { short } else { container.id.as_str() };
    format!("container(id=\"{id}\")")
}
