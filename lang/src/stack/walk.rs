//! Owns walking a stack: frame by frame through the files that the process had mapped, as far as rules lead. Asks for
//! files and addresses; opens none. Takes at most as many steps as frames are wanted, whatever the files say.

use std::sync::Arc;

use super::{Frame, Missing, Place, Stack, Taken, Wanted};
use crate::debuginfo::Module;
use crate::debuginfo::unwind::{NoStep, Registers, Step};

/// What is known of an address in a process' code.
pub enum Code {
    /// A file is mapped there.
    File(Mapped),
    /// A file is mapped there that cannot be read: the link-time address (or the offset) in it, its path, and why.
    Unread {
        /// The offset in the file.
        offset: u64,
        /// The file as its container sees it.
        path: Arc<str>,
        /// Why it was not read.
        why: String,
    },
    /// No file is; what is there instead, in words.
    Nothing(String),
}

/// A file mapped as code.
pub struct Mapped {
    /// The file.
    pub module: Arc<Module>,
    /// Its path as its container sees it.
    pub path: Arc<str>,
    /// The link-time address that was asked for.
    pub address: u64,
    /// What is added to link-time addresses in that process.
    pub bias: u64,
}

/// The code of one process at one moment.
pub trait Space {
    /// What is at an address.
    fn at(&mut self, address: u64) -> Code;

    /// What stands at a link-time address of a file, innermost first. May remember.
    fn places(&mut self, mapped: &Mapped) -> Arc<[Arc<Place>]> {
        places(mapped)
    }
}

/// What stands at a link-time address of a file, innermost first; never nothing.
pub fn places(mapped: &Mapped) -> Arc<[Arc<Place>]> {
    let build_id = mapped.module.build_id();
    let place = |one: crate::debuginfo::Whereabouts| {
        Arc::new(Place {
            module: Arc::clone(&mapped.path),
            build_id: build_id.cloned(),
            address: mapped.address,
            function: one.function,
            offset: one.offset,
            line: one.line,
            inlined: one.inlined,
        })
    };
    mapped.module.whereabouts(mapped.address).into_iter().map(place).collect()
}

/// Unwinds and names what was kept of a stack.
pub fn walk(taken: &Taken<'_>, space: &mut dyn Space) -> Stack {
    match taken.wanted {
        Wanted::Frames { most, registers, memory } => {
            let registers = Registers::all(registers);
            let mut walk = Walk {
                space,
                stack: Stack::default(),
                most: usize::from(most),
                memory: Memory::new(&registers, memory),
            };
            walk.stack.stopped = walk.frames(taken, registers);
            walk.stack
        }
        Wanted::Caller(returns_to) => caller(taken, returns_to, space),
    }
}

/// The bytes that were kept, from the stack pointer on.
struct Memory<'m> {
    from: u64,
    bytes: &'m [u8],
}

impl<'m> Memory<'m> {
    fn new(registers: &Registers, bytes: &'m [u8]) -> Memory<'m> {
        Memory { from: registers.stack_pointer().unwrap_or(0), bytes }
    }

    fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.from)?).ok()?;
        Some(u64::from_le_bytes(self.bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
    }

    /// Why an address is not among them.
    fn why(&self, address: u64) -> String {
        let end = self.from.saturating_add(self.bytes.len() as u64);
        match address.checked_sub(end) {
            Some(behind) if behind < 1 << 30 => format!("only {} bytes of the stack were kept", self.bytes.len()),
            Some(_) | None => format!("memory at {address:#x} is needed, which is not of this stack"),
        }
    }
}

struct Walk<'w> {
    space: &'w mut dyn Space,
    stack: Stack,
    most: usize,
    memory: Memory<'w>,
}

impl Walk<'_> {
    /// Adds frames; why there are no more, where that is to be said.
    fn frames(&mut self, taken: &Taken<'_>, mut registers: Registers) -> Option<String> {
        let (mut pc, mut exact, mut first) = (taken.pc, true, true);
        while self.stack.frames.len() < self.most {
            // Behind a call that does not return another function may begin.
            let address = if exact { pc } else { pc.wrapping_sub(1) };
            let mapped = match self.space.at(address) {
                Code::File(mapped) => mapped,
                Code::Unread { offset, path, why } => {
                    self.push(unread(offset, path));
                    return Some(why);
                }
                Code::Nothing(why) => {
                    self.push(Frame::Nowhere(pc));
                    return Some(why);
                }
            };
            if mapped.module.is_signal_frame(mapped.address) {
                self.push(Frame::Signal);
            } else {
                let places = self.space.places(&mapped);
                let hit = if first { own(&places, taken).unwrap_or(0) } else { 0 };
                places.iter().skip(hit).for_each(|place| self.push(Frame::Code(at_pc(place, exact))));
            }
            let word = |address| self.memory.word(address);
            match mapped.module.unwind(mapped.address, mapped.bias, &registers, &word) {
                Ok(Step::End) => return None,
                Ok(Step::Caller { pc: next, registers: caller, signal }) => {
                    // A signal may have come while another stack was in use.
                    if !signal && caller.stack_pointer() <= registers.stack_pointer() {
                        return Some("the caller's stack would lie below".to_owned());
                    }
                    (pc, registers, exact, first) = (next, caller, signal, false);
                }
                Err(why) => return Some(self.why(why, &mapped)),
            }
        }
        None
    }

    fn push(&mut self, frame: Frame) {
        if self.stack.frames.len() < self.most {
            self.stack.frames.push(frame);
        }
    }

    fn why(&self, why: NoStep, mapped: &Mapped) -> String {
        match why {
            NoStep::NoRule => format!("{} does not say how to unwind there", super::bounded(&mapped.path)),
            NoStep::Unreadable => {
                format!("how to unwind there cannot be read from {}", super::bounded(&mapped.path))
            }
            NoStep::Register(number) => format!("the value of register {number} (of DWARF) is not known there"),
            NoStep::Memory(address) => self.memory.why(address),
        }
    }
}

/// A place with the address that is shown of it: of a call the one it returns to.
fn at_pc(place: &Arc<Place>, exact: bool) -> Arc<Place> {
    if exact {
        return Arc::clone(place);
    }
    let offset = place.offset.map(|offset| offset.wrapping_add(1));
    Arc::new(Place { address: place.address.wrapping_add(1), offset, ..(**place).clone() })
}

/// Which of the calls at an address is the one that was hit: what was inlined at its beginning is not called yet. `None`
/// where that is an inlined instance which has no code of its own there: compilers let one begin at an instruction of the
/// function around it.
fn own(places: &[Arc<Place>], taken: &Taken<'_>) -> Option<usize> {
    if !taken.inlined {
        return places.len().checked_sub(1);
    }
    let function = taken.function;
    let named = |name: &str| name == function || function.strip_suffix(name).is_some_and(|rest| rest.ends_with("::"));
    places.iter().position(|place| place.inlined && place.function.as_deref().is_some_and(named))
}

fn unread(offset: u64, path: Arc<str>) -> Frame {
    Frame::Code(Arc::new(Place {
        module: path,
        build_id: None,
        address: offset,
        function: None,
        offset: None,
        line: None,
        inlined: false,
    }))
}

/// The function that called the one that was hit: the one it was inlined into, or the one it returns to.
fn caller(taken: &Taken<'_>, returns_to: Result<u64, Missing>, space: &mut dyn Space) -> Stack {
    let only = |frame| Stack { frames: vec![frame], stopped: None };
    let none = |why: &str| Stack { frames: Vec::new(), stopped: Some(why.to_owned()) };
    if let Code::File(mapped) = space.at(taken.pc) {
        let places = space.places(&mapped);
        let around = match own(&places, taken) {
            Some(hit) => places.get(hit.saturating_add(1)),
            None => places.last(),
        };
        if let Some(around) = around {
            return only(Frame::Code(Arc::clone(around)));
        }
    }
    let pc = match returns_to {
        Ok(pc) => pc,
        Err(Missing::Frame) => return none("nothing says where the return address is"),
        Err(Missing::Fault) => return none("the return address cannot be read"),
    };
    match space.at(pc.wrapping_sub(1)) {
        Code::File(mapped) if mapped.module.is_signal_frame(mapped.address) => only(Frame::Signal),
        Code::File(mapped) => match space.places(&mapped).first() {
            Some(place) => only(Frame::Code(at_pc(place, false))),
            None => none("nothing is known of the place it returns to"),
        },
        Code::Unread { offset, path, why } => {
            Stack { frames: vec![unread(offset.wrapping_add(1), path)], stopped: Some(why) }
        }
        Code::Nothing(why) => Stack { frames: vec![Frame::Nowhere(pc)], stopped: Some(why) },
    }
}
