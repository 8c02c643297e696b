//! Owns measuring what a hit costs at least, where a function is so hot that it matters: what a trap with an empty handler
//! takes on this machine, on two instructions of ctp's own. Nothing is measured before some probe is that hot. (How long
//! handlers themselves run the kernel tells only whom it allows much more: `BPF_ENABLE_STATS` takes CAP_SYS_ADMIN.)

use std::arch::global_asm;
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use ctp_lang::debuginfo::facts::Price;
use nix::time::{ClockId, clock_gettime};

use super::grace;
use super::perf::Uprobes;
use super::sys;

/// Hits a second from which on it is measured.
pub const HOT: f64 = 5_000.0;

// One whose first instruction the kernel emulates, and one where it steps over it.
global_asm!(
    ".pushsection .text.ctp_price, \"ax\", @progbits",
    ".globl ctp_price_emulated, ctp_price_stepped",
    ".hidden ctp_price_emulated, ctp_price_stepped",
    ".balign 16",
    "ctp_price_emulated:",
    "push rax",
    "pop rax",
    "ret",
    ".balign 16",
    "ctp_price_stepped:",
    "lea rax, [rdi + 1]",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    fn ctp_price_emulated(number: u64) -> u64;
    fn ctp_price_stepped(number: u64) -> u64;
}

/// What a trap takes here, in ns of the traced program's time.
#[derive(Clone, Copy, Debug)]
pub struct Traps {
    emulated: f64,
    stepped: f64,
}

impl Traps {
    /// That of an instruction of a price. A wide nop costs less where the kernel rewrites it, and as much where not.
    pub fn of(&self, price: Price) -> f64 {
        match price {
            Price::WideNop | Price::Emulated => self.emulated,
            Price::Stepped => self.stepped,
        }
    }
}

/// The measurement while it goes on.
#[derive(Debug)]
pub(super) enum Measuring {
    /// Nothing was hot yet.
    Not,
    /// A thread measures.
    Begun(Receiver<io::Result<Traps>>),
    /// It is done.
    Done(Traps),
    /// The kernel would not: why.
    Failed(String),
}

impl Measuring {
    /// Goes on with it.
    pub(super) fn step(&mut self) -> &Measuring {
        let next = match self {
            Measuring::Not => {
                let (sender, traps) = channel();
                grace::in_thread(move || {
                    // Nobody waits any more where the run is over.
                    let _ = sender.send(measure());
                });
                Measuring::Begun(traps)
            }
            Measuring::Begun(traps) => match traps.try_recv() {
                Err(TryRecvError::Empty) => return self,
                Err(TryRecvError::Disconnected) => Measuring::Failed("its thread ended".to_owned()),
                Ok(Err(error)) => Measuring::Failed(error.to_string()),
                Ok(Ok(traps)) => Measuring::Done(traps),
            },
            Measuring::Done(_) | Measuring::Failed(_) => return self,
        };
        *self = next;
        self
    }
}

/// Probes two functions of this very process, which nobody else calls, and calls them.
fn measure() -> io::Result<Traps> {
    // SAFETY: two instructions each that follow the C convention.
    let emulated = |number| unsafe { ctp_price_emulated(number) };
    // SAFETY: as above.
    let stepped = |number| unsafe { ctp_price_stepped(number) };
    let at = |address: *const ()| file_offset(address as u64);
    let offsets = [at(ctp_price_emulated as *const ())?, at(ctp_price_stepped as *const ())?];
    let bare = (time(&emulated)?, time(&stepped)?);
    let program = sys::load_program(Uprobes::Auto.kind(false), "ctp_price", &grace::NOTHING, None)?;
    let path = CString::new("/proc/self/exe")?;
    let links = Uprobes::Auto.attach((program.as_fd(), false), None, &path, &offsets, &[0, 0], &[])?;
    let probed = (time(&emulated)?, time(&stepped)?);
    drop(links);
    Ok(Traps { emulated: (probed.0 - bare.0).max(0.0), stepped: (probed.1 - bare.1).max(0.0) })
}

/// ns of this thread's time that a call takes: the least of some rounds.
fn time(call: &dyn Fn(u64) -> u64) -> io::Result<f64> {
    const CALLS: u64 = 200;
    let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let mut least = f64::INFINITY;
    for _ in 0..5 {
        let begin = now()?;
        for number in 0..CALLS {
            std::hint::black_box(call(std::hint::black_box(number)));
        }
        least = least.min(now()?.saturating_sub(begin).as_nanos() as f64 / CALLS as f64);
    }
    Ok(least)
}

/// The offset in ctp's own file of an address of its code.
fn file_offset(address: u64) -> io::Result<u64> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let found = maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let (start, end) = (hex(start)?, hex(end)?);
        let offset = hex(words.nth(1)?)?;
        (start..end).contains(&address).then(|| address - start + offset)
    });
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_of_code_is_where_the_file_has_it() {
        let offset = usize::try_from(file_offset(ctp_price_stepped as *const () as u64).unwrap()).unwrap();
        let file = std::fs::read("/proc/self/exe").unwrap();
        // lea rax, [rdi + 1]; ret
        assert_eq!(file[offset..offset + 5], [0x48, 0x8d, 0x47, 0x01, 0xc3]);
    }
}
