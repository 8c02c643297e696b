//! Owns what ctp needs of the machine, looked at one by one: there or not, and what mends it. Changes nothing.

mod containers;
mod kernel;
pub mod kubernetes;
mod stap;
mod target;

use serde::Serialize;

pub use target::Target;
pub(crate) use target::in_words;

use crate::world::live::LiveWorld;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is there.
    Found,
    /// It is not there, and ctp does less without it.
    Limited,
    /// It is not there, and nothing can be traced without it.
    Missing,
    /// It is not there, and only what some do not need needs it.
    Optional,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A name for programs: `kernel.version`.
    pub id: &'static str,
    /// A name for people.
    pub title: String,
    /// How it stands.
    pub state: State,
    /// What was found, in one line.
    pub detail: String,
    /// What mends it: a command where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    fn new(id: &'static str, title: impl Into<String>, state: State, detail: impl Into<String>) -> Finding {
        Finding { id, title: title.into(), state, detail: detail.into(), remedy: None }
    }

    fn found(id: &'static str, title: impl Into<String>, detail: impl Into<String>) -> Finding {
        Finding::new(id, title, State::Found, detail)
    }

    /// Adds what mends it.
    fn remedy(mut self, remedy: impl Into<String>) -> Finding {
        self.remedy = Some(remedy.into());
        self
    }
}

/// What the kernel lacks for the embedded engine; `None` where it lacks nothing. (Not what the user may not do: another
/// engine takes more, not less.)
pub fn without_bpf() -> Option<String> {
    kernel::lacks()
}

/// Looks at everything; with a target, at that too.
pub fn examine(world: &LiveWorld, target: Option<&Target>) -> Vec<Finding> {
    let mut findings = kernel::examine();
    findings.extend(containers::examine(world));
    findings.extend(stap::examine());
    if let Some(target) = target {
        findings.extend(target::examine(world, target));
    }
    findings
}
