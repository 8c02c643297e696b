//! Owns `container(…)` → containers: names, id prefixes, globs and the named arguments. Opens nothing.

use std::sync::Arc;

use super::{Resolver, list, unsupported};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::glob::{is_glob, matches_glob};
use crate::ir::ContainerIndex;
use crate::source::Span;
use crate::syntax::ast::{Argument, ExprKind, Who, WhoKind};
use crate::world::Container;

/// The shortest id prefix that counts as one.
const SHORTEST_ID_PREFIX: usize = 3;

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
            WhoKind::Container => {}
            WhoKind::Pod | WhoKind::Pid | WhoKind::Cgroup | WhoKind::Host => {
                problems.push(
                    unsupported(who.span, &format!("the selector `{}`", who.kind.as_str()))
                        .help("`container(\"NAME\")` selects a container by name, id prefix or glob"),
                );
                return None;
            }
        }
        let wanted = wanted(who, problems)?;
        let all = self.list(who.span, problems)?;
        let narrowed: Vec<&Container> = all.iter().filter(|container| narrowed(container, &wanted)).collect();
        let chosen = match &wanted.any {
            None => narrowed,
            Some(text) => choose(text, &narrowed, who.span, problems)?,
        };
        if chosen.is_empty() {
            problems.push(self.nothing_matches(who, &wanted, &all));
            return None;
        }
        Some(chosen.into_iter().map(|container| self.intern(container)).collect())
    }

    fn list(&mut self, span: Span, problems: &mut Vec<Diagnostic>) -> Option<Arc<[Container]>> {
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

    fn intern(&mut self, container: &Container) -> ContainerIndex {
        let known =
            self.containers.iter().position(|known| known.id == container.id && known.runtime == container.runtime);
        let index = known.unwrap_or_else(|| {
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
        problem.notes.extend(self.world.listing_notes());
        problem.help("`ctp ps` lists the containers of this host")
    }
}

/// Reads the arguments of `container(…)`.
fn wanted(who: &Who, problems: &mut Vec<Diagnostic>) -> Option<Wanted> {
    let mut wanted = Wanted::default();
    let mut good = true;
    for argument in &who.arguments {
        let ExprKind::Str(bytes) = &argument.value.kind else {
            if argument.value.kind != ExprKind::Broken {
                problems.push(
                    Diagnostic::new(Code::E0201, argument.value.span, "a container is selected by text")
                        .help("write the name in double quotes: container(\"web\")"),
                );
            }
            good = false;
            continue;
        };
        let text = String::from_utf8_lossy(bytes).into_owned();
        good &= place_argument(&mut wanted, argument, text, problems);
    }
    if good && who.arguments.is_empty() {
        problems.push(
            Diagnostic::new(Code::E0203, who.span, "`container()` names no container")
                .help("write its name, an id prefix or a glob: container(\"web\"), container(\"web-*\")"),
        );
        good = false;
    }
    good.then_some(wanted)
}

/// Puts one argument where it belongs; false where it belongs nowhere, which is reported.
fn place_argument(wanted: &mut Wanted, argument: &Argument, text: String, problems: &mut Vec<Diagnostic>) -> bool {
    let name = argument.name.as_ref().map(|name| name.name.as_str());
    let slot = match name {
        None => &mut wanted.any,
        Some("name") => &mut wanted.name,
        Some("id") => &mut wanted.id,
        Some("image") => &mut wanted.image,
        Some("runtime") => &mut wanted.runtime,
        Some("label") => {
            wanted.labels.push(text);
            return true;
        }
        Some(other) => {
            let span = argument.name.as_ref().map_or(argument.value.span, |name| name.span);
            let known = ["name", "id", "image", "label", "runtime"];
            problems.push(
                Diagnostic::new(Code::E0106, span, format!("`container` has no argument `{other}`"))
                    .nearest(&nearest_names(other, known, 1))
                    .note("it takes name=, id=, image=, label= and runtime="),
            );
            return false;
        }
    };
    if slot.is_some() {
        problems.push(Diagnostic::new(Code::E0203, argument.value.span, "this says again what was said before"));
        return false;
    }
    *slot = Some(text);
    true
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
            .is_none_or(|image| container.image.as_ref().is_some_and(|has| image_matches(image, has)))
        && wanted.runtime.as_ref().is_none_or(|runtime| container.runtime.as_str() == runtime)
        && wanted.labels.iter().all(|label| label_matches(label, &container.labels))
}

/// `nginx` means every tag of it; `nginx:1.27` that tag; globs match the whole reference.
fn image_matches(wanted: &str, has: &str) -> bool {
    matches_glob(wanted, has)
        || has.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(':') || rest.starts_with('@'))
}

/// `key` means that the label is there, `key=value` that it has this value (a glob).
fn label_matches(wanted: &str, labels: &[(String, String)]) -> bool {
    match wanted.split_once('=') {
        None => labels.iter().any(|(key, _)| key == wanted),
        Some((name, value)) => labels.iter().any(|(key, has)| key == name && matches_glob(value, has)),
    }
}

/// An exact name first, then a glob, then an id prefix that only one container has.
fn choose<'c>(
    text: &str,
    among: &[&'c Container],
    span: Span,
    problems: &mut Vec<Diagnostic>,
) -> Option<Vec<&'c Container>> {
    let exact: Vec<&Container> =
        among.iter().copied().filter(|container| container.name.as_deref() == Some(text)).collect();
    if let [_] = exact.as_slice() {
        return Some(exact);
    }
    if exact.len() > 1 {
        problems.push(ambiguous(format!("{} containers are named `{text}`", exact.len()), &exact, span));
        return None;
    }
    if is_glob(text) {
        return Some(among.iter().copied().filter(|container| matches_glob(text, container.display_name())).collect());
    }
    let is_prefix = text.len() >= SHORTEST_ID_PREFIX;
    let by_id: Vec<&Container> =
        among.iter().copied().filter(|container| is_prefix && container.id.starts_with(text)).collect();
    if by_id.len() > 1 {
        problems.push(ambiguous(format!("the id prefix `{text}` fits {} containers", by_id.len()), &by_id, span));
        return None;
    }
    Some(by_id)
}

fn ambiguous(message: String, containers: &[&Container], span: Span) -> Diagnostic {
    let mut problem = Diagnostic::new(Code::E0102, span, message);
    for container in containers {
        problem = problem.note(format!(
            "{} {} ({})",
            container.runtime.as_str(),
            container.short_id(),
            container.display_name()
        ));
    }
    problem.help("say which by a longer id, or by container(\"NAME\", runtime=\"docker\")")
}
