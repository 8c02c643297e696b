//! Owns recording a real program: each time it reaches one of some addresses, its registers and its memory. ptrace(2) does
//! it, as in any debugger.

use std::collections::HashMap;
use std::ffi::c_void;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ctp_lang::debuginfo::facts::Register;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// What was recorded at one address.
pub(crate) struct Hit {
    /// The address that was reached.
    pub(crate) address: u64,
    /// General registers by their DWARF numbers.
    pub(crate) registers: HashMap<Register, i64>,
    /// All memory that could be read: address and bytes.
    pub(crate) memory: Vec<(u64, Vec<u8>)>,
}

/// Runs a program (one thread, not position-independent) to its end and shows each time it reaches one of `addresses`;
/// while `each` says so.
pub(crate) fn record(program: &Path, addresses: &[u64], each: &mut dyn FnMut(&Hit) -> bool) {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // SAFETY: ptrace(PTRACE_TRACEME) and personality(2) are all that happens between fork and exec.
    unsafe {
        command.pre_exec(|| ptrace::traceme().map_err(Into::into));
    }
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    assert!(matches!(waitpid(pid, None).unwrap(), WaitStatus::Stopped(_, Signal::SIGTRAP)), "it stops at exec");
    let original: HashMap<u64, i64> =
        addresses.iter().map(|address| (*address, ptrace::read(pid, pointer(*address)).unwrap() & 0xff)).collect();
    // A word is what is written, one byte what is meant: the others may be breakpoints themselves.
    let put = |address: u64, byte: i64| {
        let word = ptrace::read(pid, pointer(address)).unwrap();
        ptrace::write(pid, pointer(address), (word & !0xff) | byte).unwrap();
    };
    let arm = |address: u64| put(address, 0xcc);
    addresses.iter().for_each(|address| arm(*address));
    let mut signal = None;
    loop {
        ptrace::cont(pid, signal.take()).unwrap();
        match waitpid(pid, None).unwrap() {
            WaitStatus::Exited(_, code) => {
                // It was waited for already: this says so to its handle.
                drop(child);
                assert_eq!(code, 0, "{} fails", program.display());
                return;
            }
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            WaitStatus::Stopped(_, other) => {
                signal = Some(other);
                continue;
            }
            other => panic!("{}: {other:?}", program.display()),
        }
        let mut registers = ptrace::getregs(pid).unwrap();
        registers.rip -= 1;
        let address = registers.rip;
        assert!(original.contains_key(&address), "{address:#x} was not asked for");
        let hit = Hit { address, registers: by_number(&registers), memory: memory(pid) };
        if !each(&hit) {
            child.kill().unwrap();
            child.wait().unwrap();
            return;
        }
        // Over the breakpoint: the instruction itself, then the breakpoint again.
        ptrace::setregs(pid, registers).unwrap();
        put(address, original[&address]);
        ptrace::step(pid, None).unwrap();
        match waitpid(pid, None).unwrap() {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => arm(address),
            other => panic!("{} cannot go on: {other:?}", program.display()),
        }
        // Two addresses that are asked for may lie one behind the other: what was stepped to is met when it runs.
    }
}

fn pointer(address: u64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap())
}

fn by_number(r: &libc::user_regs_struct) -> HashMap<Register, i64> {
    let general =
        [r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15];
    (0..).map(Register).zip(general.map(u64::cast_signed)).collect()
}

/// Every mapping that can be read; those that touch are one.
fn memory(pid: Pid) -> Vec<(u64, Vec<u8>)> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut mem = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut read: Vec<(u64, Vec<u8>)> = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" r") && !line.ends_with("[vvar]")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        if start > i64::MAX.cast_unsigned()
            || mem.seek(SeekFrom::Start(start)).is_err()
            || mem.read_exact(&mut bytes).is_err()
        {
            continue;
        }
        match read.last_mut() {
            Some((before, known)) if *before + known.len() as u64 == start => known.extend(bytes),
            _ => read.push((start, bytes)),
        }
    }
    read
}
