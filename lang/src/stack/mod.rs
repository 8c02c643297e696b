//! Owns stacks of the traced program: what a record keeps of one, what it is once it was unwound and named, and how it
//! is written. Unwinds nothing (that is [`crate::debuginfo::unwind`]) and finds no file.

mod walk;

use std::sync::Arc;

pub use walk::{Code, Mapped, Space, places, walk};

use crate::debuginfo::facts::{BuildId, SourceLine};
use crate::ir::ContainerIndex;

/// The most bytes of the names of a frame: a short mangled name can stand for a very long one.
const MOST_NAME: usize = 512;
/// What stands for the frame that the kernel makes when it delivers a signal, as in gdb.
pub const SIGNAL: &str = "<signal handler called>";

/// What the kernel kept of a task's stack.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'r> {
    /// Whose task it is.
    pub container: ContainerIndex,
    /// Process id on the host.
    pub pid: u32,
    /// When the process began, in ns since boot.
    pub start: u64,
    /// How often it has executed a program: with `start`, which program its memory holds.
    pub executed: u64,
    /// When the probe was hit: `CLOCK_MONOTONIC` in ns.
    pub time: u64,
    /// The function that was hit.
    pub function: &'r str,
    /// Whether that was an inlined instance of it.
    pub inlined: bool,
    /// Where.
    pub pc: u64,
    /// The same as an offset into the probed file: what the process had mapped there.
    pub file_offset: u64,
    /// What of it is wanted.
    pub wanted: Wanted<'r>,
}

/// What is wanted of a stack.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'r> {
    /// That many frames.
    Frames {
        /// How many at most.
        most: u8,
        /// General registers 0–15 by their DWARF numbers.
        registers: [u64; 16],
        /// The memory from the stack pointer on, as much as was kept.
        memory: &'r [u8],
    },
    /// The function that the call returns to: the return address, where it is known and could be read.
    Caller(Result<u64, Missing>),
}

/// Why a return address is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No call frame information covers the probed address.
    Frame,
    /// It could not be read.
    Fault,
}

/// What unwinds stacks and names their frames.
pub trait Unwinder: std::fmt::Debug {
    /// The stack that was kept.
    fn stack(&mut self, taken: &Taken<'_>) -> Stack;

    /// Called when all records that there are were read and a container may have ended: gives up what keeps its files
    /// in use.
    fn release(&mut self) {}
}

/// A stack, innermost frame first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stack {
    /// Its frames.
    pub frames: Vec<Frame>,
    /// Why there are no more, where that is not because the stack ends or as many as were wanted are there.
    pub stopped: Option<String>,
}

/// A frame: where a call is. Two frames are the same when they are at the same place of the same build.
#[derive(Clone, Debug)]
pub enum Frame {
    /// In code of a file.
    Code(Arc<Place>),
    /// In no file, at that address.
    Nowhere(u64),
    /// The frame that the kernel makes when it delivers a signal.
    Signal,
}

/// A place in the code of a file.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file as its container sees it; `[vdso]` for the code that the kernel lends.
    pub module: Arc<str>,
    /// Its build id, where it has one.
    pub build_id: Option<BuildId>,
    /// The link-time address.
    pub address: u64,
    /// The function, where one is known there.
    pub function: Option<String>,
    /// How far behind its beginning, where that is known.
    pub offset: Option<u64>,
    /// The line of the source, where debug info tells.
    pub line: Option<SourceLine>,
    /// Whether the function was inlined into the one of the next frame.
    pub inlined: bool,
}

impl Frame {
    /// What makes it the same as another.
    fn identity(&self) -> (u8, Option<&str>, Result<&BuildId, &str>, u64) {
        match self {
            Frame::Code(place) => {
                let file = place.build_id.as_ref().ok_or(&*place.module);
                (0, place.function.as_deref(), file, place.address)
            }
            Frame::Nowhere(address) => (1, None, Err(""), *address),
            Frame::Signal => (2, None, Err(""), 0),
        }
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Frame) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Frame {}

impl std::hash::Hash for Frame {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl PartialOrd for Frame {
    fn partial_cmp(&self, other: &Frame) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Frame {
    fn cmp(&self, other: &Frame) -> std::cmp::Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = match self {
            Frame::Code(place) => place,
            Frame::Nowhere(address) => return write!(f, "{address:#x}"),
            Frame::Signal => return f.write_str(SIGNAL),
        };
        match (&place.function, place.offset) {
            (Some(function), Some(offset)) => write!(f, "{}+{offset:#x}", bounded(function))?,
            (Some(function), None) => f.write_str(&bounded(function))?,
            (None, _) => write!(f, "{:#x}", place.address)?,
        }
        match &place.line {
            Some(line) => {
                let file = line.file.rsplit('/').next().unwrap_or(&line.file);
                write!(f, " at {}:{}", bounded(file), line.line)
            }
            None => write!(f, " in {}", bounded(&place.module)),
        }
    }
}

/// A name, cut where it is too long.
pub fn bounded(name: &str) -> std::borrow::Cow<'_, str> {
    match name.char_indices().nth(MOST_NAME) {
        Some((at, _)) => format!("{}…", name.get(..at).unwrap_or_default()).into(),
        None => name.into(),
    }
}

impl Stack {
    /// Writes it with `between` between frames: newlines, or one line. Control bytes of names stay as they are, save for
    /// newlines, which are written `\n`: a frame is one line.
    pub fn text(&self, between: &str) -> String {
        let frames = self.frames.iter().map(ToString::to_string);
        let stopped = self.stopped.iter().map(|why| format!("<unwind stopped: {why}>"));
        let lines: Vec<String> = frames.chain(stopped).map(|line| line.replace('\n', "\\n")).collect();
        lines.join(between)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(function: Option<&str>, line: Option<u32>, build_id: &[u8]) -> Frame {
        Frame::Code(Arc::new(Place {
            module: Arc::from("/app/bin"),
            build_id: (!build_id.is_empty()).then(|| BuildId(build_id.to_vec())),
            address: 0x1139,
            function: function.map(str::to_owned),
            offset: function.map(|_| 4),
            line: line.map(|line| SourceLine { file: Arc::from("/src/a.c"), line }),
            inlined: false,
        }))
    }

    #[test]
    fn frames_are_lines_whatever_is_known_of_them() {
        let frames = vec![
            place(Some("f"), Some(7), &[]),
            place(Some("g\nh"), None, &[]),
            place(None, None, &[]),
            Frame::Nowhere(0x7f00),
            Frame::Signal,
        ];
        let stack = Stack { frames, stopped: Some("no reason".to_owned()) };
        let lines = [
            "f+0x4 at a.c:7",
            "g\\nh+0x4 in /app/bin",
            "0x1139 in /app/bin",
            "0x7f00",
            "<signal handler called>",
            "<unwind stopped: no reason>",
        ];
        assert_eq!(stack.text("\n"), lines.join("\n"));
        assert_eq!(stack.text(" < "), lines.join(" < "));
    }

    #[test]
    fn the_same_place_of_the_same_build_is_one_frame_whatever_its_path() {
        let moved = |frame: Frame, path: &str| match frame {
            Frame::Code(place) => Frame::Code(Arc::new(Place { module: Arc::from(path), ..(*place).clone() })),
            other => other,
        };
        let known = place(Some("f"), None, &[1, 2]);
        assert_eq!(moved(known.clone(), "/other"), known);
        let unknown = place(Some("f"), None, &[]);
        assert_ne!(moved(unknown.clone(), "/other"), unknown);
    }

    #[test]
    fn a_name_as_long_as_a_book_is_cut() {
        let name = "é".repeat(10_000);
        assert_eq!(bounded(&name).chars().count(), MOST_NAME + 1);
    }
}
