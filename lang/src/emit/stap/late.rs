//! Owns what lets containers in that start while a script runs: ctp tells the module of them through files of
//! `/proc/systemtap/MODULE`. Each has a number behind those of the program's own containers, and is like one of them: its
//! tasks count at the same points.

use super::library::Part;
use super::{Emitter, KnownBy};
use crate::world::{Container, Pod};

/// The file that takes `CGROUP NUMBER LIKE`: tasks of this cgroup are of that container (0: of none any more), which is
/// like that one.
pub const LATE: &str = "late";
/// The file that takes `NUMBER WHAT TEXT`: what a container is called, [`Text`] by its number.
pub const SAID: &str = "said";
/// The most such containers at a time.
pub const MOST: u32 = 256;

/// What a script may ask about a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// `container()`
    Name = 0,
    /// `container_id()`
    Id = 1,
    /// `image()`
    Image = 2,
    /// `pod()`
    Pod = 3,
    /// `runtime()`
    Runtime = 4,
}

impl Text {
    /// All of them, by their numbers.
    pub const ALL: [Text; 5] = [Text::Name, Text::Id, Text::Image, Text::Pod, Text::Runtime];

    /// What it is of a container.
    pub fn of(self, container: &Container) -> String {
        match self {
            Text::Name => container.display_name().to_owned(),
            Text::Id => container.id.clone(),
            Text::Image => container.image.clone().unwrap_or_default(),
            Text::Pod => container.pod.as_ref().map(Pod::to_string).unwrap_or_default(),
            Text::Runtime => container.runtime.as_str().to_owned(),
        }
    }
}

/// The lines of `ctp_container` for those that came later.
pub(super) fn lines(emitter: &Emitter<'_>) -> String {
    let mut levels = Vec::new();
    let mut out = String::new();
    for want in emitter.wants.iter().filter(|want| want.by == KnownBy::Cgroup) {
        let cgroup = emitter.program.container(want.container).and_then(|container| container.cgroup.as_ref());
        let Some(level) = cgroup.map(|cgroup| cgroup.level).filter(|level| !levels.contains(level)) else { continue };
        levels.push(level);
        out.push_str(&format!("    ctp_id = ctp_cg({})\n", want.second_parameter));
        out.push_str("    if ([ctp_id] in ctp_late) return ctp_late[ctp_id]\n");
    }
    out
}

/// The globals and the probes that take what ctp says. (What nothing reads SystemTap would print: it is left out.)
pub(super) fn declarations(emitter: &Emitter<'_>) -> String {
    let (likes, says) = (emitter.library.has(Part::Like), emitter.library.has(Part::Said));
    let most = MOST;
    let mut out = format!(
        "\n// Containers that start later, by the ids of their cgroups, as ctp tells of them.\n\
         global ctp_late[{most}]\n"
    );
    let like = if likes {
        out.push_str(&format!("global ctp_like[{most}]\n"));
        "\n    if (ctp_who) ctp_like[ctp_who] = strtol(tokenize(\"\", \" \"), 10)"
    } else {
        ""
    };
    out.push_str(&format!(
        "probe procfs(\"{LATE}\").write {{\n    \
         ctp_id = strtol(tokenize($value, \" \"), 10)\n    \
         ctp_who = strtol(tokenize(\"\", \" \"), 10){like}\n    \
         if (ctp_who) ctp_late[ctp_id] = ctp_who\n    else delete ctp_late[ctp_id]\n}}\n"
    ));
    if says {
        let texts = most as usize * Text::ALL.len();
        out.push_str(&format!(
            "global ctp_said[{texts}]\n\
             probe procfs(\"{SAID}\").write {{\n    \
             ctp_text = $value\n    \
             ctp_first = tokenize(ctp_text, \" \")\n    \
             ctp_second = tokenize(\"\", \" \")\n    \
             ctp_start = strlen(ctp_first) + strlen(ctp_second) + 2\n    \
             ctp_said[strtol(ctp_first, 10), strtol(ctp_second, 10)] = \
             substr(ctp_text, ctp_start, strlen(ctp_text) - ctp_start)\n}}\n"
        ));
    }
    out
}
