//! Owns the one table of the language's own functions: names, parameters, what they give, and a sentence on each.
//! Checks no call.

use crate::ir::{Context, Library, Ty};

/// A function of the language.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// How many of the last parameters may be left out.
    pub optional: usize,
    /// What it gives; `None` for a statement.
    pub gives: Option<Ty>,
    /// What it is, in a sentence.
    pub about: &'static str,
    pub(super) what: What,
}

/// A parameter of a function of the language.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// What it is called in messages.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A number.
    Int,
    /// Text.
    Str,
    /// An address in the traced program, or a value that lies there.
    Address,
    /// A number known when compiled.
    Constant,
    /// Values of any type, as many as there are.
    Values,
}

/// How a call is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Gives no value.
    Statement,
    /// Of the task or the moment.
    Context(Context),
    /// Computed.
    Library(Library),
    /// `user_string(p[, n])`
    UserString,
    /// `user_buffer(p, n)`
    UserBuffer,
    /// `ustack([n])`
    Stack,
    /// `sprintf(format, …)`
    Format,
    /// `elapsed()`
    Elapsed,
    /// `arg(n)`
    Argument,
}

const fn int(name: &'static str) -> Parameter {
    Parameter { name, takes: Takes::Int }
}

const fn text(name: &'static str) -> Parameter {
    Parameter { name, takes: Takes::Str }
}

const fn address(name: &'static str) -> Parameter {
    Parameter { name, takes: Takes::Address }
}

const fn values(name: &'static str) -> Parameter {
    Parameter { name, takes: Takes::Values }
}

const fn context(name: &'static str, context: Context, about: &'static str) -> Function {
    let gives = Some(type_of(context));
    Function { name, parameters: &[], optional: 0, gives, about, what: What::Context(context) }
}

const fn library(
    library: Library,
    name: &'static str,
    parameters: &'static [Parameter],
    gives: Ty,
    about: &'static str,
) -> Function {
    Function { name, parameters, optional: 0, gives: Some(gives), about, what: What::Library(library) }
}

const fn statement(name: &'static str, parameters: &'static [Parameter], about: &'static str) -> Function {
    Function { name, parameters, optional: 0, gives: None, about, what: What::Statement }
}

/// Every function of the language.
pub const FUNCTIONS: &[Function] = &[
    statement("printf", &[text("format"), values("value")], "Prints values as a format says."),
    statement("print", &[values("value")], "Prints values with a blank between."),
    statement("println", &[values("value")], "Prints values with a blank between, and a newline."),
    statement("exit", &[], "Ends the handler, then the run."),
    statement("error", &[text("message")], "Ends the handler, then the run as failed, with a message."),
    context("pid", Context::Pid, "The process id, as the host sees it."),
    context("tid", Context::Tid, "The thread id, as the host sees it."),
    context("ns_pid", Context::NsPid, "The process id, as the container sees it."),
    context("ns_tid", Context::NsTid, "The thread id, as the container sees it."),
    context("comm", Context::Comm, "The thread's name."),
    context("exe", Context::Exe, "The file name of the executable."),
    context("uid", Context::Uid, "The user id, as the host sees it."),
    context("gid", Context::Gid, "The group id, as the host sees it."),
    context("cpu", Context::Cpu, "The number of the cpu."),
    context("container", Context::Container, "The name of the container."),
    context("container_id", Context::ContainerId, "The id of the container."),
    context("image", Context::Image, "The image the container was made from."),
    context("pod", Context::Pod, "The pod of the container, as namespace/name."),
    context("runtime", Context::Runtime, "The engine of the container."),
    context("now", Context::Now, "The monotonic clock, in ns."),
    context("walltime", Context::Walltime, "The real-time clock, in ns since 1970."),
    context("probefunc", Context::ProbeFunction, "The function that was hit."),
    context("pp", Context::ProbePoint, "The probe point, as written."),
    context("caller", Context::Caller, "The function that called the one that was hit."),
    Function {
        name: "ustack",
        parameters: &[Parameter { name: "frames", takes: Takes::Constant }],
        optional: 1,
        gives: Some(Ty::Str),
        about: "The user stack: so many frames at most.",
        what: What::Stack,
    },
    Function {
        name: "elapsed",
        parameters: &[],
        optional: 0,
        gives: Some(Ty::Int),
        about: "At a return: the ns since the entry.",
        what: What::Elapsed,
    },
    Function {
        name: "arg",
        parameters: &[Parameter { name: "number", takes: Takes::Constant }],
        optional: 0,
        gives: Some(Ty::Int),
        about: "An argument by its number.",
        what: What::Argument,
    },
    Function {
        name: "user_string",
        parameters: &[address("address"), int("bytes")],
        optional: 1,
        gives: Some(Ty::Str),
        about: "The text at an address of the traced program, of so many bytes at most.",
        what: What::UserString,
    },
    Function {
        name: "user_buffer",
        parameters: &[address("address"), int("bytes")],
        optional: 0,
        gives: Some(Ty::Str),
        about: "So many bytes at an address of the traced program.",
        what: What::UserBuffer,
    },
    Function {
        name: "sprintf",
        parameters: &[text("format"), values("value")],
        optional: 0,
        gives: Some(Ty::Str),
        about: "Values as a format says, as text.",
        what: What::Format,
    },
    library(Library::Strlen, "strlen", &[text("text")], Ty::Int, "How many bytes a text has."),
    library(
        Library::Substr,
        "substr",
        &[text("text"), int("start"), int("length")],
        Ty::Str,
        "A part of a text: where it begins, from 0 on, and how many bytes.",
    ),
    library(Library::Strtol, "strtol", &[text("text"), int("base")], Ty::Int, "The number a text begins with."),
    library(Library::IsInStr, "isinstr", &[text("text"), text("part")], Ty::Int, "Whether a text holds another."),
    library(Library::Min, "min", &[int("a"), int("b")], Ty::Int, "The lesser of two numbers."),
    library(Library::Max, "max", &[int("a"), int("b")], Ty::Int, "The greater of two numbers."),
    library(Library::Abs, "abs", &[int("a")], Ty::Int, "A number without its sign."),
    library(Library::Ntohs, "ntohs", &[int("a")], Ty::Int, "16 bits from network to host byte order."),
    library(Library::Ntohl, "ntohl", &[int("a")], Ty::Int, "32 bits from network to host byte order."),
    library(Library::Ipv4, "ipv4", &[int("address")], Ty::Str, "An IPv4 address as it lies in memory, as text."),
    library(Library::Ipv6, "ipv6", &[text("bytes")], Ty::Str, "The 16 bytes of an IPv6 address, as text."),
    library(Library::ErrnoStr, "errno_str", &[int("number")], Ty::Str, "The name of an error number."),
    library(Library::SignalStr, "signal_str", &[int("number")], Ty::Str, "The name of a signal."),
    library(
        Library::Strftime,
        "strftime",
        &[text("format"), int("ns")],
        Ty::Str,
        "A moment of walltime() in UTC, as a format says.",
    ),
    library(Library::Sample, "sample", &[int("n")], Ty::Int, "True once in n, at random."),
];

/// The function of that name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

impl Function {
    /// How a call of it is written: `substr(text, start, length)`.
    pub fn signature(&self) -> String {
        let needed = self.parameters.len() - self.optional;
        let mut text = format!("{}(", self.name);
        for (index, parameter) in self.parameters.iter().enumerate() {
            let gap = if index == 0 { "" } else { ", " };
            let name = match parameter.takes {
                Takes::Values => "…",
                Takes::Int | Takes::Str | Takes::Address | Takes::Constant => parameter.name,
            };
            text.push_str(&if index < needed { format!("{gap}{name}") } else { format!("[{gap}{name}]") });
        }
        text.push(')');
        text
    }
}

/// The type of something of the task or the moment.
const fn type_of(context: Context) -> Ty {
    match context {
        Context::Pid
        | Context::Tid
        | Context::NsPid
        | Context::NsTid
        | Context::Now
        | Context::Uid
        | Context::Gid
        | Context::Cpu
        | Context::ThreadPointer
        | Context::Walltime
        | Context::Elapsed => Ty::Int,
        Context::Image
        | Context::Pod
        | Context::Runtime
        | Context::Exe
        | Context::Stack(_)
        | Context::Caller
        | Context::Comm
        | Context::Container
        | Context::ContainerId
        | Context::ProbeFunction
        | Context::ProbePoint => Ty::Str,
    }
}

/// Whether a value belongs to a task that was stopped at a probe.
pub(super) fn needs_task(context: Context) -> bool {
    match context {
        Context::Now | Context::Walltime | Context::ProbePoint => false,
        Context::Pid
        | Context::Tid
        | Context::NsPid
        | Context::NsTid
        | Context::Uid
        | Context::Gid
        | Context::Cpu
        | Context::ThreadPointer
        | Context::Comm
        | Context::Container
        | Context::ContainerId
        | Context::Image
        | Context::Pod
        | Context::Runtime
        | Context::Exe
        | Context::Elapsed
        | Context::Stack(_)
        | Context::Caller
        | Context::ProbeFunction => true,
    }
}

#[cfg(test)]
mod tests {
    use super::{FUNCTIONS, What, find};

    #[test]
    fn names_are_unique_and_those_of_the_ir() {
        for function in FUNCTIONS {
            assert_eq!(FUNCTIONS.iter().filter(|other| other.name == function.name).count(), 1, "{}", function.name);
            if let What::Library(library) = function.what {
                assert_eq!(library.name(), function.name);
            }
        }
        assert_eq!(find("substr").map(|f| f.signature()).as_deref(), Some("substr(text, start, length)"));
        assert_eq!(find("ustack").map(|f| f.signature()).as_deref(), Some("ustack([frames])"));
        assert_eq!(find("user_string").map(|f| f.signature()).as_deref(), Some("user_string(address[, bytes])"));
    }
}
