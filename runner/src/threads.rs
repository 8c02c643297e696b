//! Owns doing one thing in parts on several processors. Never lets a thread outlive the call, nor take a signal: those are
//! the session's.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

/// Most threads, the caller's among them: what is read has to come from the same memory for all.
const MOST: usize = 4;
/// Bytes of a thread's stack.
const STACK: usize = 256 << 10;

/// Calls `part` once with each number below `parts`, in any order. Where threads cannot be had, the caller's does it all.
pub fn at_once(parts: usize, part: &(dyn Fn(usize) + Sync)) {
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= parts {
                return;
            }
            part(number);
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let others = processors.min(MOST).min(parts).saturating_sub(1);
    std::thread::scope(|scope| {
        let mut before = SigSet::empty();
        let blocked =
            others > 0 && pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before)).is_ok();
        if blocked {
            for _ in 0..others {
                drop(std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work));
            }
            let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
        }
        work();
    });
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Barrier, Mutex};

    use super::*;

    #[test]
    fn each_part_is_done_once() {
        for parts in [0, 1, 2, 1000] {
            let done = Mutex::new(Vec::new());
            at_once(parts, &|number| done.lock().expect("no panic").push(number));
            let mut done = done.into_inner().expect("no panic");
            done.sort_unstable();
            assert!(done.into_iter().eq(0..parts));
        }
    }

    /// On a machine with more than one processor two parts that wait for each other both end.
    #[test]
    fn parts_are_done_at_the_same_time_without_signals() {
        if std::thread::available_parallelism().is_ok_and(|count| count.get() > 1) {
            let (barrier, threads) = (Barrier::new(2), Mutex::new(HashSet::new()));
            let caller = std::thread::current().id();
            at_once(2, &|_| {
                barrier.wait();
                let own = std::thread::current().id();
                let mask = SigSet::thread_get_mask().expect("a mask");
                assert_eq!(mask.contains(nix::sys::signal::SIGINT), own != caller);
                threads.lock().expect("no panic").insert(own);
            });
            assert_eq!(threads.into_inner().expect("no panic").len(), 2);
        }
    }
}
