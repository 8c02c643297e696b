//! Owns `pod(…)` → the containers of Kubernetes pods: names, namespaces, labels. Opens nothing.

use std::collections::BTreeSet;

use super::select::{label_matches, texts};
use super::{Resolver, list};
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, nearest_names};
use crate::glob::{is_glob, matches_glob};
use crate::ir::ContainerIndex;
use crate::syntax::ast::Who;
use crate::world::{Container, Pod};

/// The container that holds a pod's namespaces: it runs no program of anybody's.
const SANDBOX: &str = "POD";

/// What `pod(…)` asks for; all of it must hold.
#[derive(Default)]
struct Wanted {
    name: Option<String>,
    namespace: Option<String>,
    container: Option<String>,
    labels: Vec<String>,
}

impl Resolver<'_> {
    /// The containers of the pods a selector means.
    pub(super) fn select_pods(&mut self, who: &Who, problems: &mut Vec<Diagnostic>) -> Option<Vec<ContainerIndex>> {
        let wanted = wanted(who, problems)?;
        let all = self.list(who.span, problems)?;
        let in_pods = || all.iter().filter_map(|container| Some((container, container.pod.as_ref()?)));
        let of_pods: Vec<(&Container, &Pod)> = in_pods().filter(|(_, pod)| wanted.means(pod, &all)).collect();
        let namespaces: BTreeSet<&str> = of_pods.iter().map(|(_, pod)| pod.namespace.as_str()).collect();
        if let Some(name) = wanted.name.as_ref().filter(|name| !is_glob(name))
            && wanted.namespace.is_none()
            && namespaces.len() > 1
        {
            let count = namespaces.len();
            let mut problem =
                Diagnostic::new(Code::E0102, who.span, format!("pods of {count} namespaces are named `{name}`"));
            for namespace in namespaces.iter().take(12) {
                problem = problem.help(format!("pod(\"{namespace}/{name}\")"));
            }
            problems.push(problem);
            return None;
        }
        let chosen: Vec<&Container> = of_pods
            .iter()
            .filter(|(_, pod)| match &wanted.container {
                Some(container) => matches_glob(container, &pod.container),
                None => pod.container != SANDBOX,
            })
            .map(|(container, _)| *container)
            .collect();
        if chosen.is_empty() {
            let pods: BTreeSet<String> = in_pods().map(|(_, pod)| pod.to_string()).collect();
            let containers: BTreeSet<&str> = of_pods.iter().map(|(_, pod)| pod.container.as_str()).collect();
            problems.push(self.no_pod(who, &wanted, &pods, &containers));
            return None;
        }
        Some(chosen.into_iter().map(|container| self.intern(container)).collect())
    }

    /// Whether a selector means a container that came later, among all that run.
    pub(super) fn means_pod(who: &Who, container: &Container, all: &[Container]) -> bool {
        let (Some(wanted), Some(pod)) = (wanted(who, &mut Vec::new()), &container.pod) else { return false };
        let all: Vec<Container> = all.iter().chain([container]).cloned().collect();
        let is_meant = match &wanted.container {
            Some(name) => matches_glob(name, &pod.container),
            None => pod.container != SANDBOX,
        };
        is_meant && wanted.means(pod, &all)
    }

    fn no_pod(&self, who: &Who, wanted: &Wanted, pods: &BTreeSet<String>, containers: &BTreeSet<&str>) -> Diagnostic {
        let span = who.arguments.first().map_or(who.span, |argument| argument.value.span);
        let asked = match (&wanted.namespace, &wanted.name) {
            (Some(namespace), Some(name)) => Some(format!("{namespace}/{name}")),
            (None, Some(name)) => Some(name.clone()),
            (_, None) => None,
        };
        if let (Some(container), false) = (&wanted.container, containers.is_empty()) {
            let message = format!("no container `{container}` runs in pod `{}`", asked.unwrap_or_default());
            let names: Vec<String> =
                containers.iter().filter(|name| **name != SANDBOX).map(|name| (*name).to_owned()).collect();
            return Diagnostic::new(Code::E0101, span, message)
                .nearest(&nearest_names(container, names.iter().map(String::as_str), 3))
                .note(format!("it has {}", list(&names)));
        }
        let message = match &asked {
            Some(name) if is_glob(name) => format!("no running pod matches `{name}`"),
            Some(name) => format!("no pod named `{name}` is running"),
            None => "no running pod matches".to_owned(),
        };
        let mut problem = Diagnostic::new(Code::E0101, span, message);
        if let Some(asked) = &asked {
            // Without a namespace the name alone is what was meant.
            let names: Vec<&str> = match &wanted.namespace {
                Some(_) => pods.iter().map(String::as_str).collect(),
                None => pods.iter().filter_map(|pod| pod.split('/').nth(1)).collect(),
            };
            problem = problem.nearest(&nearest_names(asked, names, 3));
        }
        let names: Vec<String> = pods.iter().cloned().collect();
        problem = match names.as_slice() {
            [] => problem.note("no container on this host belongs to a pod"),
            _ => problem.note(format!("running: {}", list(&names))),
        };
        problem.notes.extend(self.world.listing_notes());
        problem.help("`ctp ps` lists the containers of this host with their pods")
    }
}

impl Wanted {
    /// Whether it is this pod. A pod's labels are those of its containers and of its sandbox.
    fn means(&self, pod: &Pod, all: &[Container]) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|glob| matches_glob(glob, text));
        let same = |other: &Pod| other.name == pod.name && other.namespace == pod.namespace;
        let of_pod = || all.iter().filter(|container| container.pod.as_ref().is_some_and(same));
        is(&self.name, &pod.name)
            && is(&self.namespace, &pod.namespace)
            && self.labels.iter().all(|label| of_pod().any(|container| label_matches(label, &container.labels)))
    }
}

fn wanted(who: &Who, problems: &mut Vec<Diagnostic>) -> Option<Wanted> {
    let texts = texts(who, &["name", "namespace", "container", "label"], problems)?;
    let mut wanted = Wanted::default();
    for (name, text, span) in texts {
        let slot = match name.as_deref() {
            None | Some("name") if wanted.name.is_some() => {
                problems.push(Diagnostic::new(Code::E0203, span, "this says again what was said before"));
                return None;
            }
            None => match text.split_once('/') {
                Some((namespace, name)) => {
                    wanted.name = Some(name.to_owned());
                    if wanted.namespace.replace(namespace.to_owned()).is_some() {
                        problems.push(Diagnostic::new(Code::E0203, span, "the namespace is said twice"));
                        return None;
                    }
                    continue;
                }
                None => &mut wanted.name,
            },
            Some("name") => &mut wanted.name,
            Some("namespace") if wanted.namespace.is_some() => {
                problems.push(Diagnostic::new(Code::E0203, span, "the namespace is said twice"));
                return None;
            }
            Some("namespace") => &mut wanted.namespace,
            Some("container") => &mut wanted.container,
            Some(_) => {
                wanted.labels.push(text);
                continue;
            }
        };
        *slot = Some(text);
    }
    if wanted.name.is_none() && wanted.namespace.is_none() && wanted.labels.is_empty() && wanted.container.is_none() {
        problems.push(
            Diagnostic::new(Code::E0203, who.span, "`pod()` names no pod").help(
                "write its name: pod(\"shop/web-0\"), pod(\"web-*\", namespace=\"shop\"), pod(label=\"app=web\")",
            ),
        );
        return None;
    }
    Some(wanted)
}
