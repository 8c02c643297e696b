//! Owns programs at the kernel's tracepoints: starting them, and what they count and tell.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::atomic::Ordering;

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::Insn;
use ctp_lang::emit::bpf::map::MapId;
use ctp_lang::emit::bpf::tracepoint::{ALL, AtTracepoint, WITHOUT_ROOM};

use super::load::failure;
use super::ring::Ring;
use super::sys::{self, Kind, Map, Shared};
use crate::engine::{Failure, Outcome};

/// Records taken at a time.
const BATCH: usize = 1024;

/// Starts a program, which works as long as what is returned is held; `name` is the kernel's for it, and `what` it is for
/// in words.
pub(super) fn start<'m>(
    mut written: AtTracepoint,
    name: &str,
    map: &dyn Fn(MapId) -> Outcome<&'m Map>,
    what: &str,
) -> Outcome<OwnedFd> {
    for (at, id) in &written.maps {
        if let Some(insn) = written.insns.get_mut(*at) {
            insn.imm = map(*id)?.as_fd().as_raw_fd();
        }
    }
    let bytes: Vec<[u8; 8]> = written.insns.into_iter().map(Insn::to_bytes).collect();
    let refused = |error: io::Error| failure(Code::E0403, &format!("cannot {what}"), &error);
    let program = sys::load_program(Kind::RawTracepoint, name, &bytes, None).map_err(refused)?;
    let tracepoint = CString::new(written.tracepoint).map_err(|error| Failure::new(Code::E0404, error.to_string()))?;
    sys::open_raw_tracepoint(program.as_fd(), &tracepoint).map_err(refused)
}

/// The two numbers of a program.
#[derive(Debug)]
pub(super) struct Numbers(Shared);

impl Numbers {
    /// Those in a map.
    pub(super) fn of(map: &Map) -> Outcome<Numbers> {
        map.share(16, 0, true).map(Numbers).map_err(unshared)
    }

    fn at(&self, at: usize) -> i64 {
        self.0.number(at).map_or(0, |number| number.load(Ordering::Acquire))
    }

    /// How often it happened.
    pub(super) fn all(&self) -> i64 {
        self.at(ALL)
    }

    /// How often the kernel had no room for that.
    pub(super) fn without_room(&self) -> i64 {
        self.at(WITHOUT_ROOM)
    }
}

/// What programs tell by records.
#[derive(Debug)]
pub(super) struct Told {
    ring: Ring,
    numbers: Numbers,
    /// How many there had been when they were last asked for.
    seen: i64,
    untold: i64,
}

impl Told {
    /// Of the ring of that size, and the numbers.
    pub(super) fn new(ring: &Map, size: u32, numbers: &Map) -> Outcome<Told> {
        let ring = Ring::new(ring, size).map_err(unshared)?;
        Ok(Told { ring, numbers: Numbers::of(numbers)?, seen: 0, untold: 0 })
    }

    /// Whether there were some since they were last asked for.
    pub(super) fn has_new(&self) -> bool {
        self.seen != self.numbers.all()
    }

    /// Those since, in order, and whether some more could not be told.
    pub(super) fn new_ones<T>(&mut self, from_bytes: impl Fn(&[u8]) -> Option<T>) -> Outcome<(Vec<T>, bool)> {
        self.seen = self.numbers.all();
        let mut all = Vec::new();
        self.ring
            .drain(BATCH, &mut |bytes| all.extend(from_bytes(bytes)))
            .map_err(|error| failure(Code::E0405, "cannot read the ring buffer", &error))?;
        if all.len() == BATCH {
            // There may be more: asked for again at once.
            self.seen = self.seen.wrapping_sub(1);
        }
        let untold = self.numbers.without_room();
        Ok((all, std::mem::replace(&mut self.untold, untold) != untold))
    }
}

fn unshared(error: io::Error) -> Box<Failure> {
    failure(Code::E0407, "cannot map memory of the kernel", &error)
}
