//! Owns unwinding the stacks of traced tasks: which files their processes had mapped at the moment of a hit, and those
//! files, opened in their own roots and known to be the ones that were mapped. Unwinds nothing itself, and knows no
//! engine but for the events it watches.

mod files;
mod history;

use std::collections::HashMap;
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_lang::ir::ContainerIndex;
use ctp_lang::stack::{Code, Mapped, Place, Space, Stack, Taken, Unwinder, walk};

use crate::container::Found;
use crate::container::process::ProcessDir;
use crate::engine::bpf::mappings::Watch;
use crate::engine::bpf::tasks::Tasks;
use crate::symbols::Places;
use files::Files;
use history::History;

/// The most named places that are remembered.
const MOST_PLACES: usize = 1 << 16;

/// For how long before a hit a process may have ended that is still remembered, in ns: records come nearly in order.
const KEPT: u64 = 5_000_000_000;
/// How often those that ended earlier are forgotten, in ns.
const SWEPT: u64 = 1_000_000_000;

/// Unwinds and names stacks.
#[derive(Debug)]
pub struct Stacks {
    watch: Option<Watch>,
    history: History,
    files: Files,
    /// What stands at a link-time address of a file, by the file's place in memory, which it keeps.
    places: HashMap<(usize, u64), Known>,
    numbers: Numbers,
    /// The time of the hit at which that was last done.
    swept: u64,
}

/// What stands at an address of a file.
struct Known {
    _file: Arc<Module>,
    places: Arc<[Arc<Place>]>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.places.fmt(f)
    }
}

/// The numbers that processes have in the first pid namespace, where this process has another `/proc`.
#[derive(Debug, Default)]
struct Numbers {
    /// Not known yet whether it has.
    asked: bool,
    tasks: Option<Tasks>,
    known: HashMap<u32, u32>,
}

impl Stacks {
    /// Begins to watch what processes map; `containers` are those whose tasks may be hit, in the program's order.
    pub fn new(containers: Vec<Option<Found>>, places: &Places) -> Stacks {
        // Without, `/proc` shows what processes that still live have mapped.
        let watch = Watch::start().ok();
        let mut stacks = Stacks {
            watch,
            history: History::default(),
            files: Files::new(containers, places),
            places: HashMap::new(),
            numbers: Numbers::default(),
            swept: 0,
        };
        for (container, pid) in stacks.files.processes() {
            stacks.look(pid);
            for file in stacks.history.files(pid) {
                stacks.files.early(container, pid, &file);
            }
        }
        stacks
    }

    /// Takes what happened since.
    fn catch_up(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        let (happened, lost) = watch.take();
        happened.into_iter().for_each(|one| self.history.add(one));
        if lost {
            self.history.forget();
        }
    }

    /// Looks at what a process has mapped now.
    fn look(&mut self, pid: u32) {
        if let Ok(maps) = ProcessDir::open(pid).and_then(|process| process.read_whole("maps")) {
            self.history.look(pid, &maps);
        }
    }
}

impl Unwinder for Stacks {
    fn release(&mut self) {
        self.files.release();
        // These keep their files.
        self.places.clear();
    }

    fn stack(&mut self, taken: &Taken<'_>) -> Stack {
        self.catch_up();
        if taken.time.saturating_sub(self.swept) > SWEPT {
            self.swept = taken.time;
            self.history.forget_ended(taken.time.saturating_sub(KEPT));
        }
        let stopped = |why: &str| Stack { frames: Vec::new(), stopped: Some(why.to_owned()) };
        let Some(pid) = self.numbers.own(taken.pid) else {
            return stopped("the process is not seen from here");
        };
        // What is mapped at the probed address is known beforehand: whatever else is remembered of another program that
        // the process executed, or of another process with its number, does not fit.
        let fits = |history: &History| {
            let mapping = history.at(pid, taken.pc, taken.time);
            mapping.is_some_and(|at| taken.pc.wrapping_sub(at.start).wrapping_add(at.offset) == taken.file_offset)
        };
        if !self.history.is_whole(pid) || !fits(&self.history) {
            self.look(pid);
            self.catch_up();
        }
        if !fits(&self.history) {
            return stopped("what the process had mapped is not known: it has ended or executed another program");
        }
        let mut space = Process { stacks: self, pid, time: taken.time, container: taken.container, looked: false };
        walk(taken, &mut space)
    }
}

/// The code of one process at the moment of a hit.
struct Process<'s> {
    stacks: &'s mut Stacks,
    pid: u32,
    time: u64,
    container: ContainerIndex,
    /// Whether its mappings were looked at again.
    looked: bool,
}

impl Space for Process<'_> {
    fn at(&mut self, address: u64) -> Code {
        let mut found = self.stacks.history.at(self.pid, address, self.time).cloned();
        if found.is_none() && self.stacks.watch.is_none() && !self.looked {
            self.looked = true;
            self.stacks.look(self.pid);
            found = self.stacks.history.at(self.pid, address, self.time).cloned();
        }
        let Some(mapping) = found else {
            return Code::Nothing("no code is known to be there".to_owned());
        };
        let offset = address.wrapping_sub(mapping.start).wrapping_add(mapping.offset);
        let path = Arc::clone(&mapping.file.path);
        match &*path {
            "[vdso]" => {}
            "[uprobes]" => {
                return Code::Nothing("another tracer's return probe stands in the place of the address".to_owned());
            }
            named if !named.starts_with('/') || named.starts_with("//") => {
                return Code::Nothing("the code there belongs to no file".to_owned());
            }
            _ => {}
        }
        let module = match self.stacks.files.module(self.container, self.pid, &mapping.file) {
            Ok(module) => module,
            Err(why) => return Code::Unread { offset, path, why },
        };
        match module.address_of(offset) {
            Some(link) => Code::File(Mapped { module, path, address: link, bias: address.wrapping_sub(link) }),
            None => Code::Unread { offset, path, why: "the file says nothing of the code there".to_owned() },
        }
    }

    fn places(&mut self, mapped: &Mapped) -> Arc<[Arc<Place>]> {
        let key = (Arc::as_ptr(&mapped.module) as usize, mapped.address);
        if let Some(known) = self.stacks.places.get(&key) {
            return Arc::clone(&known.places);
        }
        let places = ctp_lang::stack::places(mapped);
        if self.stacks.places.len() >= MOST_PLACES {
            self.stacks.places.clear();
        }
        let known = Known { _file: Arc::clone(&mapped.module), places: Arc::clone(&places) };
        self.stacks.places.insert(key, known);
        places
    }
}

impl Numbers {
    /// The number that a process of the first pid namespace has here; `None` where it is not seen.
    fn own(&mut self, process: u32) -> Option<u32> {
        if !self.asked {
            self.asked = true;
            let tasks = Tasks::load().ok();
            let me = tasks.as_ref().and_then(|tasks| tasks.of(std::process::id()).ok().flatten());
            // In the first namespace the numbers are the same.
            self.tasks = if me.is_some_and(|me| me.pid_level > 0) { tasks } else { None };
        }
        let Some(tasks) = &self.tasks else { return Some(process) };
        if let Some(known) = self.known.get(&process) {
            return Some(*known);
        }
        self.known.clear();
        for entry in std::fs::read_dir("/proc").ok()?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            if let Ok(Some(task)) = tasks.of(pid) {
                self.known.insert(task.process, pid);
            }
        }
        self.known.get(&process).copied()
    }
}
