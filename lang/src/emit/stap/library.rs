//! Owns the functions and counters that a generated script brings along, each only where it is used. The task's
//! structures are read by `@cast` from kernel headers: no debug info of the kernel, no guru mode.

use std::collections::BTreeSet;

use super::late::Text;
use super::names::Names;
use super::records::{Category, counted};
use super::{KnownBy, Options, Want, Written, quote};
use crate::ir::{self, EnumIndex, GlobalIndex, GlobalKind, Program, Ty, UpdateOp};
use crate::value::{TRUNCATED, Value};

/// A part of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The cgroup id of the task's ancestor cgroup at a level.
    Cg,
    /// Whether the task is of a process, or descends from it.
    Descends,
    /// Which container the task is in.
    Container,
    /// Which of the program's containers one that came later is like.
    Like,
    /// What containers that came later are called.
    Said,
    /// A container's name.
    ContainerName,
    /// A container's id.
    ContainerId,
    /// A container's image.
    Image,
    /// A container's pod.
    Pod,
    /// A container's engine.
    Runtime,
    /// The depth of a container's pid namespace.
    PidLevel,
    /// Process id at a level of pid namespaces.
    NsPid,
    /// Thread id at a level of pid namespaces.
    NsTid,
    /// The file name of what the task executes.
    Exe,
    /// From where a thread's own copies of thread-local variables are counted.
    ThreadPointer,
    /// User id in the host's user namespace.
    Uid,
    /// Group id in the host's user namespace.
    Gid,
    /// Remainder of two numbers without sign.
    ModUnsigned,
    /// `true` and `false`.
    Bool,
    /// A string as it is shown: marked where it was cut.
    Text,
    /// A string as a program would write it, in quotes.
    Quoted,
    /// Cuts a string at the limit.
    Cut,
    /// Text of the target.
    UserString,
    /// Text of the target of a given length at most.
    UserText,
    /// Bytes of the target.
    UserBytes,
    /// Bytes of the target as digits.
    Digits,
    /// The lesser of two numbers.
    Min,
    /// The greater of two numbers.
    Max,
    /// A number without its sign.
    Abs,
    /// Two bytes turned round.
    Ntohs,
    /// Four bytes turned round.
    Ntohl,
    /// An address of the network as text.
    Ipv4,
    /// Names of errors.
    ErrnoStr,
    /// Names of signals.
    SignalStr,
    /// True once in so many.
    Sample,
    /// A part of a string.
    Substr,
    /// A number that could not be read on entry.
    NoNumber,
    /// A text that could not be read on entry.
    NoText,
    /// Counts returns whose entry was not seen.
    Unmatched,
    /// Counts values shown as `<fault>`.
    Faults,
    /// Counts runs stopped by a fault.
    Stopped,
    /// Counts updates that found a map full.
    Full,
}

/// What of the library a script uses, and under which names.
#[derive(Clone, Debug, Default)]
pub(super) struct Library {
    used: BTreeSet<Part>,
    enums: Vec<(String, bool)>,
    /// For each global: names of the functions that add and set, and whether they are used.
    updates: Vec<[(String, bool); 2]>,
}

const TASK: &str =
    "@cast(task_current(), \"task_struct\", \"kernel<linux/sched.h><linux/pid.h><linux/pid_namespace.h>\")";
const ANCESTOR: &str = "@cast(ctp_task, \"task_struct\", \"kernel<linux/sched.h>\")";
const PID: &str = "@cast(ctp_pid, \"pid\", \"kernel<linux/sched.h><linux/pid.h><linux/pid_namespace.h>\")";
const CGROUP: &str = "@cast(ctp_cgroup, \"cgroup\", \"kernel<linux/sched.h><linux/cgroup.h>\")";

/// How many generations of processes are looked at for the one that a task descends from, as in the embedded engine.
pub(super) const GENERATIONS: u64 = 64;

impl Library {
    /// Takes every name that the library may need.
    pub(super) fn new(names: &mut Names, program: &Program) -> Library {
        for name in [
            "cg",
            "container",
            "container_name",
            "container_id",
            "pid_level",
            "ns_pid",
            "ns_tid",
            "bool",
            "text",
            "cut",
            "user_string",
            "quoted",
            "umod",
            "exe",
            "mm",
            "low",
            "rest",
            "code",
            "uid",
            "gid",
            "faults",
            "stopped",
            "full",
            "value",
            "who",
            "cgroup",
            "pid",
            "user_text",
            "user_bytes",
            "min",
            "max",
            "abs",
            "ntohs",
            "ntohl",
            "ipv4",
            "errno_str",
            "signal_str",
            "sample",
            "substr",
            "no_number",
            "no_text",
            "unmatched",
            "most",
            "image",
            "pod",
            "runtime",
            "start",
            "length",
            "address",
            "left",
            "right",
            "steps",
            "out",
            "error",
            "seal",
            "count",
            "ready",
            "records",
            "probe",
            "what",
            "done",
            "descends",
            "digits",
            "as",
            "late",
            "like",
            "said",
            "id",
            "first",
            "second",
            "task",
            "since",
        ] {
            names.own(name);
        }
        (1..=16).for_each(|i| drop(names.own(&format!("key{i}"))));
        let enums =
            program.enums.iter().map(|e| (names.own(&format!("enum_{}", e.name.as_deref().unwrap_or(""))), false));
        let enums = enums.collect();
        let updates = program
            .globals
            .iter()
            .map(|g| ["add_to", "set"].map(|verb| (names.own(&format!("{verb}_{}", g.name)), false)))
            .collect();
        Library { used: BTreeSet::new(), enums, updates }
    }

    /// Says that a part is used.
    pub(super) fn uses(&mut self, part: Part) {
        self.used.insert(part);
    }

    /// Says that tasks are asked whose they are.
    pub(super) fn knows(&mut self, wants: &[Want]) {
        self.used.extend(wants.iter().map(|want| match want.by {
            KnownBy::Cgroup => Part::Cg,
            KnownBy::Process => Part::Descends,
        }));
    }

    /// Whether a part is used.
    pub(super) fn has(&self, part: Part) -> bool {
        self.used.contains(&part)
    }

    /// A string value as it is shown.
    pub(super) fn text_of(&mut self, value: &str) -> String {
        self.uses(Part::Text);
        format!("ctp_text({value})")
    }

    /// A string value as maps show it.
    pub(super) fn quoted(&mut self, value: &str) -> String {
        self.uses(Part::Quoted);
        format!("ctp_quoted({value})")
    }

    /// A statement that counts one event, where the script itself says what was lost; nothing for what is no loss.
    pub(super) fn count(&mut self, category: Category) -> String {
        let part = match category {
            Category::FaultsShown => Part::Faults,
            Category::ReadFaults | Category::StepLimit => Part::Stopped,
            Category::Unmatched => Part::Unmatched,
            Category::MapFull => Part::Full,
            Category::Records | Category::Aggregated | Category::Filtered => return String::new(),
        };
        self.uses(part);
        format!("{} <<< 1", counter(part))
    }

    /// The name of the function that shows an enumeration; `None` for one that is not in the program.
    pub(super) fn enumeration(&mut self, index: EnumIndex) -> Option<String> {
        let (name, used) = self.enums.get_mut(index.0 as usize)?;
        *used = true;
        Some(name.clone())
    }

    /// The name of the function that changes a map; `None` for a global that is not in the program.
    pub(super) fn update(&mut self, global: GlobalIndex, op: UpdateOp) -> Option<String> {
        self.uses(Part::Full);
        let place = match op {
            UpdateOp::Add => 0,
            UpdateOp::Set => 1,
        };
        let (name, used) = self.updates.get_mut(global.0 as usize)?.get_mut(place)?;
        *used = true;
        Some(name.clone())
    }

    /// What is said at the end about what was lost; on stderr, as staprun's warnings are.
    pub(super) fn end_lines(&self) -> Vec<String> {
        [
            (Part::Faults, "values could not be read and were shown as <fault>"),
            (Part::Stopped, "runs of a probe were stopped by a value that could not be read, or a division by zero"),
            (Part::Unmatched, "returns came whose entry was not seen"),
            (Part::Full, "updates of maps were dropped: the map was full"),
        ]
        .into_iter()
        .filter(|(part, _)| self.used.contains(part))
        .map(|(part, text)| {
            let name = counter(part);
            format!("if (@count({name})) warn(sprintf(\"%d {text}\", @count({name})))")
        })
        .collect()
    }

    /// The text of all parts used.
    /// `later` is what tells containers that came later.
    pub(super) fn text(
        &self,
        program: &Program,
        globals: &[String],
        (wants, later): (&[Want], &str),
        options: &Options,
    ) -> String {
        let has = |part| self.used.contains(&part);
        let mut out = String::new();
        if has(Part::Cg) || has(Part::Descends) {
            out.push_str("\n// Which tasks count; given when the module is loaded.\n");
            for want in wants {
                out.push_str(&format!("global {} = 0, {} = 0\n", want.id_parameter, want.second_parameter));
            }
        }
        let counters: Vec<&str> = [Part::Faults, Part::Stopped, Part::Unmatched, Part::Full]
            .into_iter()
            .filter(|p| has(*p))
            .map(counter)
            .collect();
        if !counters.is_empty() && options.written == Written::Text {
            out.push_str(&format!("\n// What was lost, counted without a lock.\nglobal {}\n", counters.join(", ")));
        }
        self.task_functions(&mut out, program, (wants, later));
        self.string_functions(&mut out, options.strlen);
        self.enum_functions(&mut out, program);
        self.update_functions(&mut out, program, globals, options.written);
        out
    }

    fn task_functions(&self, out: &mut String, program: &Program, (wants, later): (&[Want], &str)) {
        let has = |part| self.used.contains(&part);
        if has(Part::Cg) {
            out.push_str(
                "\n// The id of the cgroup that holds this task at a depth: its own, or the one above it there.\n",
            );
            out.push_str("function ctp_cg:long (level:long) {\n    try {\n");
            out.push_str("        ctp_cgroup = @cast(task_current(), \"task_struct\", \"kernel<linux/sched.h><linux/cgroup.h>\")->cgroups->dfl_cgrp\n");
            out.push_str(&format!("        if ({CGROUP}->level < level) return 0\n"));
            out.push_str(&format!(
                "        return @defined({CGROUP}->ancestors) ? {CGROUP}->ancestors[level]->kn->id\n"
            ));
            out.push_str(&format!("                                          : {CGROUP}->ancestor_ids[level]\n"));
            out.push_str("    } catch { return 0 }\n}\n");
        }
        if has(Part::Descends) {
            // A parent that has ended is not there any more: its children have another.
            out.push_str(&format!(
                "\n// Whether this task is of a process, or descends from it: by its id, and by when it began.\n\
                 function ctp_descends:long (pid:long, start:long) {{\n    try {{\n        \
                 ctp_task = task_current()\n        \
                 for (ctp_left = {GENERATIONS}; ctp_left; ctp_left--) {{\n            \
                 ctp_task = {ANCESTOR}->group_leader\n            \
                 if (!{ANCESTOR}->tgid) return 0\n            \
                 if ({ANCESTOR}->tgid == pid) {{\n                \
                 ctp_since = @defined({ANCESTOR}->start_boottime) ? {ANCESTOR}->start_boottime\n                    \
                 : {ANCESTOR}->real_start_time\n                \
                 return ctp_since / 10000000 == start\n            }}\n            \
                 ctp_task = {ANCESTOR}->real_parent\n        }}\n    \
                 }} catch {{ }}\n    return 0\n}}\n"
            ));
        }
        if has(Part::Container) {
            out.push_str("\n// Which container this task is in, counted from 1; 0: none of them.\nfunction ctp_container:long () {\n");
            for (number, want) in (1u32..).zip(wants) {
                let (id, second) = (&want.id_parameter, &want.second_parameter);
                out.push_str(&match want.by {
                    KnownBy::Cgroup => format!("    if (ctp_cg({second}) == {id}) return {number}\n"),
                    KnownBy::Process => format!("    if (ctp_descends({id}, {second})) return {number}\n"),
                });
            }
            out.push_str(later);
            out.push_str("    return 0\n}\n");
        }
        for (part, name, text) in [
            (Part::ContainerName, "ctp_container_name", Text::Name),
            (Part::ContainerId, "ctp_container_id", Text::Id),
            (Part::Image, "ctp_image", Text::Image),
            (Part::Pod, "ctp_pod", Text::Pod),
            (Part::Runtime, "ctp_runtime", Text::Runtime),
        ] {
            if has(part) {
                let texts: Vec<(i64, String)> =
                    (1i64..).zip(&program.containers).map(|(n, c)| (n, text.of(c))).collect();
                let otherwise =
                    if has(Part::Said) { format!("ctp_said[who, {}]", text as u8) } else { "\"\"".to_owned() };
                out.push_str(&choice(name, "string", "who", &strings(&texts), &otherwise));
            }
        }
        if has(Part::PidLevel) {
            let levels: Vec<(i64, String)> =
                (1i64..).zip(&program.containers).map(|(n, c)| (n, c.pid_level.to_string())).collect();
            let otherwise = if has(Part::Like) { "ctp_pid_level(ctp_like[who])" } else { "0" };
            out.push_str(&choice("ctp_pid_level", "long", "who", &levels, otherwise));
        }
        for (part, name, what, task) in
            [(Part::NsPid, "ctp_ns_pid", "process", "->group_leader"), (Part::NsTid, "ctp_ns_tid", "thread", "")]
        {
            if has(part) {
                out.push_str(&format!(
                    "\n// The {what} id as a pid namespace at this depth below the host's sees it; of one that lives less deep \
                     the deepest it has.\n\
                     function {name}:long (level:long) {{\n    try {{\n        ctp_pid = {TASK}{task}->thread_pid\n        \
                     if ({PID}->level < level) level = {PID}->level\n        return {PID}->numbers[level]->nr\n    \
                     }} catch {{ return 0 }}\n}}\n"
                ));
            }
        }
        if has(Part::ThreadPointer) {
            out.push_str(
                "\n// From where the thread's own copies of thread-local variables are counted.\n\
                 function ctp_thread_pointer:long () {\n    return @cast(task_current(), \"task_struct\", \
                 \"kernel<linux/sched.h>\")->thread->fsbase\n}\n",
            );
        }
        for (part, name, member) in [(Part::Uid, "ctp_uid", "uid"), (Part::Gid, "ctp_gid", "gid")] {
            if has(part) {
                out.push_str(&format!(
                    "\n// As the host's user namespace numbers it; stap's own {member}() asks the task's.\n\
                     function {name}:long () {{\n    return @cast(task_current(), \"task_struct\", \
                     \"kernel<linux/sched.h><linux/cred.h>\")->cred->{member}->val\n}}\n"
                ));
            }
        }
    }

    fn string_functions(&self, out: &mut String, strlen: u32) {
        let has = |part| self.used.contains(&part);
        if has(Part::ModUnsigned) {
            // Divided by a number over 2^63 it goes in once at most; else by halves (Hacker's Delight, 9-3).
            out.push_str(
                "\n// The remainder of two numbers without sign.\n\
                 function ctp_umod:long (left:long, right:long) {\n    \
                 ctp_low = 0x8000000000000000\n    \
                 if (right < 0) return (left ^ ctp_low) < (right ^ ctp_low) ? left : left - right\n    \
                 if (left >= 0) return left % right\n    \
                 ctp_rest = left - (((left >>> 1) / right) << 1) * right\n    \
                 return ctp_rest < 0 || ctp_rest >= right ? ctp_rest - right : ctp_rest\n}\n",
            );
        }
        if has(Part::Bool) {
            out.push_str(
                "\nfunction ctp_bool:string (value:long) {\n    \
                 return value == 0 ? \"false\" : value == 1 ? \"true\" : sprintf(\"%d\", value)\n}\n",
            );
        }
        if has(Part::Cut) || has(Part::Exe) || has(Part::UserString) || has(Part::UserText) || has(Part::UserBytes) {
            out.push_str(&format!(
                "\n// Strings hold {strlen} bytes; one byte more says that there was more.\n\
                 function ctp_cut:string (text:string) {{\n    \
                 return strlen(text) > {strlen} ? substr(text, 0, {strlen}) . \"+\" : text\n}}\n"
            ));
        }
        if has(Part::Exe) {
            let headers = "kernel<linux/sched.h><linux/mm_types.h><linux/fs.h><linux/dcache.h>";
            out.push_str(&format!(
                "\n// The file name of what the task executes.\n\
                 function ctp_exe:string () {{\n    try {{\n        \
                 ctp_mm = @cast(task_current(), \"task_struct\", \"{headers}\")->mm\n        \
                 return ctp_cut(kernel_string_n(@cast(ctp_mm, \"mm_struct\", \"{headers}\")\n            \
                 ->exe_file->f_path->dentry->d_name->name, {}))\n    \
                 }} catch {{ return \"\" }}\n}}\n",
                u64::from(strlen) + 1
            ));
        }
        if has(Part::UserString) {
            out.push_str(&format!(
                "function ctp_user_string:string (address:long) {{\n    \
                 return ctp_cut(user_string_n(address, {}))\n}}\n",
                u64::from(strlen) + 1
            ));
        }
        if has(Part::UserText) {
            out.push_str(&format!(
                "\n// The text at an address up to its NUL, of `most` bytes at most.\n\
                 function ctp_user_text:string (address:long, most:long) {{\n    \
                 if (most < 1) return \"\"\n    \
                 return ctp_cut(user_string_n(address, most > {strlen} ? {over} : most))\n}}\n",
                over = u64::from(strlen) + 1
            ));
        }
        if has(Part::UserBytes) {
            out.push_str(&format!(
                "\n// That many bytes at an address. Strings end at a NUL here: bytes that hold one are a fault.\n\
                 function ctp_user_bytes:string (address:long, length:long) {{\n    \
                 if (length < 1) return \"\"\n    \
                 ctp_most = length > {strlen} ? {over} : length\n    \
                 ctp_text = user_string_n(address, ctp_most)\n    \
                 if (strlen(ctp_text) < ctp_most) error(\"a NUL among the bytes\")\n    \
                 return ctp_cut(ctp_text)\n}}\n",
                over = u64::from(strlen) + 1
            ));
        }
        if has(Part::Digits) {
            out.push_str(
                "\n// That many bytes at an address: numbers of eight, then the rest one by one, in hexadecimal digits.\n\
                 function ctp_digits:string (address:long, length:long) {\n    \
                 ctp_text = \"\"\n    \
                 for (ctp_left = length; ctp_left > 7; ctp_left -= 8) {\n        \
                 ctp_text = ctp_text . sprintf(\"%016x\", user_uint64_error(address))\n        \
                 address += 8\n    }\n    \
                 for (; ctp_left > 0; ctp_left--) {\n        \
                 ctp_text = ctp_text . sprintf(\"%02x\", user_uint8_error(address))\n        \
                 address++\n    }\n    \
                 return ctp_text\n}\n",
            );
        }
        self.small_functions(out);
        if has(Part::Quoted) {
            out.push_str(&format!(
                "\n// A string in quotes, with its quotes, backslashes and control bytes escaped.\n\
                 function ctp_quoted:string (text:string) {{\n    \
                 ctp_text = strlen(text) > {strlen} ? substr(text, 0, {strlen}) : text\n    \
                 ctp_text = str_replace(str_replace(ctp_text, \"\\\\\", \"\\\\\\\\\"), \"\\\"\", \"\\\\\\\"\")\n    \
                 ctp_text = str_replace(str_replace(ctp_text, \"\\n\", \"\\\\n\"), \"\\t\", \"\\\\t\")\n    \
                 for (ctp_code = 1; ctp_code < 32; ctp_code++)\n        \
                 ctp_text = str_replace(ctp_text, sprintf(\"%c\", ctp_code), sprintf(\"\\\\x%02x\", ctp_code))\n    \
                 ctp_text = str_replace(ctp_text, \"\\177\", \"\\\\x7f\")\n    \
                 return \"\\\"\" . ctp_text . (strlen(text) > {strlen} ? \"\\\"{TRUNCATED}\" : \"\\\"\")\n}}\n"
            ));
        }
        if has(Part::Text) {
            out.push_str(&format!(
                "\n// A string as it is shown: marked where it was cut.\nfunction ctp_text:string (text:string) {{\n    \
                 return strlen(text) > {strlen} ? substr(text, 0, {strlen}) . \"{TRUNCATED}\" : text\n}}\n"
            ));
        }
    }

    fn small_functions(&self, out: &mut String) {
        let bytes = |part, name: &str, count: u32| {
            let swapped: Vec<String> =
                (0..count).map(|i| format!("((value >> {}) & 0xff) << {}", 8 * i, 8 * (count - 1 - i))).collect();
            (part, format!("function ctp_{name}:long (value:long) {{\n    return {}\n}}\n", swapped.join(" | ")))
        };
        let parts = [
            (
                Part::Min,
                "function ctp_min:long (left:long, right:long) { return left < right ? left : right }\n".to_owned(),
            ),
            (
                Part::Max,
                "function ctp_max:long (left:long, right:long) { return left > right ? left : right }\n".to_owned(),
            ),
            (Part::Abs, "function ctp_abs:long (value:long) { return value < 0 ? -value : value }\n".to_owned()),
            bytes(Part::Ntohs, "ntohs", 2),
            bytes(Part::Ntohl, "ntohl", 4),
            (
                Part::Ipv4,
                "function ctp_ipv4:string (value:long) {\n    return sprintf(\"%d.%d.%d.%d\", value & 0xff, (value >> 8) \
                 & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff)\n}\n"
                    .to_owned(),
            ),
            (
                Part::Sample,
                "function ctp_sample:long (value:long) { return value < 2 ? 1 : randint(value) == 0 }\n".to_owned(),
            ),
            (
                Part::Substr,
                "function ctp_substr:string (text:string, start:long, length:long) {\n    \
                 if (start < 0 || length < 1 || start >= strlen(text)) return \"\"\n    \
                 return substr(text, start, length)\n}\n"
                    .to_owned(),
            ),
            (
                Part::NoNumber,
                "function ctp_no_number:long () { error(\"not read on entry\") return 0 }\n".to_owned(),
            ),
            (
                Part::NoText,
                "function ctp_no_text:string () { error(\"not read on entry\") return \"\" }\n".to_owned(),
            ),
        ];
        for (part, text) in parts.into_iter().chain(named_numbers()) {
            if self.used.contains(&part) {
                out.push('\n');
                out.push_str(&text);
            }
        }
    }

    fn enum_functions(&self, out: &mut String, program: &Program) {
        for ((name, used), names) in self.enums.iter().zip(&program.enums) {
            if *used {
                // The first of several names of one value counts: the first `if` wins.
                out.push_str(&choice(name, "string", "value", &strings(&names.names), "sprintf(\"%d\", value)"));
            }
        }
    }

    fn update_functions(&self, out: &mut String, program: &Program, globals: &[String], written: Written) {
        for ((global, map), [add, set]) in program.globals.iter().zip(globals).zip(&self.updates) {
            let GlobalKind::Map { keys, value, .. } = &global.kind else { continue };
            for ((name, used), operator) in [(add, "+="), (set, "=")] {
                if !used {
                    continue;
                }
                let types = keys.iter().zip(1..).map(|(ty, i)| format!("ctp_key{i}:{}", stap_type(*ty)));
                let (count, probe) = match written {
                    Written::Text => ("ctp_full <<< 1".to_owned(), None),
                    Written::Records => (counted("ctp_probe", Category::MapFull), Some("ctp_probe:long".to_owned())),
                };
                let parameters: Vec<String> =
                    types.chain([format!("ctp_value:{}", stap_type(*value))]).chain(probe).collect();
                let arguments: Vec<String> = (1..=keys.len()).map(|i| format!("ctp_key{i}")).collect();
                out.push_str(&format!(
                    "\nfunction {name}:{} ({}) {{\n    \
                     try {{ return {map}[{}] {operator} ctp_value }} catch {{ {count} }}\n    return ctp_value\n}}\n",
                    stap_type(*value),
                    parameters.join(", "),
                    arguments.join(", "),
                ));
            }
        }
    }
}

/// The functions that give names of errors and signals: tables of what the library gives.
fn named_numbers() -> [(Part, String); 2] {
    let table = |part, name: &str, function, numbers: std::ops::RangeInclusive<i64>| {
        let cases: Vec<(i64, String)> = numbers
            .filter_map(|number| match crate::library::call(function, &[Value::Int(number)]) {
                Some(Value::Str { bytes, .. }) if bytes != number.to_string().as_bytes() => {
                    Some((number, quote::string(&bytes)?))
                }
                _ => None,
            })
            .collect();
        (part, choice(name, "string", "value", &cases, "sprintf(\"%d\", value)"))
    };
    [
        table(Part::ErrnoStr, "ctp_errno_str", ir::Library::ErrnoStr, -256..=256),
        table(Part::SignalStr, "ctp_signal_str", ir::Library::SignalStr, 1..=64),
    ]
}

fn counter(part: Part) -> &'static str {
    match part {
        Part::Faults => "ctp_faults",
        Part::Stopped => "ctp_stopped",
        Part::Unmatched => "ctp_unmatched",
        Part::Full
        | Part::Cg
        | Part::Descends
        | Part::Container
        | Part::Like
        | Part::Said
        | Part::ContainerName
        | Part::ContainerId
        | Part::Image
        | Part::Pod
        | Part::Runtime
        | Part::PidLevel
        | Part::NsPid
        | Part::NsTid
        | Part::Exe
        | Part::ThreadPointer
        | Part::Uid
        | Part::Gid
        | Part::ModUnsigned
        | Part::Bool
        | Part::Text
        | Part::Quoted
        | Part::Cut
        | Part::UserText
        | Part::UserBytes
        | Part::Digits
        | Part::Min
        | Part::Max
        | Part::Abs
        | Part::Ntohs
        | Part::Ntohl
        | Part::Ipv4
        | Part::ErrnoStr
        | Part::SignalStr
        | Part::Sample
        | Part::Substr
        | Part::NoNumber
        | Part::NoText
        | Part::UserString => "ctp_full",
    }
}

fn stap_type(ty: Ty) -> &'static str {
    match ty {
        Ty::Int => "long",
        Ty::Str => "string",
    }
}

/// Values with their names as string literals; a name that cannot be one is left out.
fn strings(names: &[(i64, String)]) -> Vec<(i64, String)> {
    names.iter().filter_map(|(value, name)| Some((*value, quote::string(name.as_bytes())?))).collect()
}

/// A function that gives an expression for each of some numbers.
fn choice(name: &str, ty: &str, parameter: &str, cases: &[(i64, String)], otherwise: &str) -> String {
    let mut out = format!("\nfunction {name}:{ty} ({parameter}:long) {{\n");
    for (value, result) in cases {
        out.push_str(&format!("    if ({parameter} == {}) return {result}\n", super::expr::int(*value)));
    }
    out.push_str(&format!("    return {otherwise}\n}}\n"));
    out
}
