//! SystemTap's kernel modules, for real: in a virtual machine (`machine`, `boot`, `guest/`), the script that `ctp build`
//! emits is compiled and run by the commands in its head, beside `ctp run --engine stap` and `ctp run` on the same calls. A
//! container of two of one image is traced, with a container of another build and a process of the host beside it: what
//! all three print is what that container's programs printed, and both engines count the same hits, faults and losses. On
//! Debian 12's older kernel it is `ctp run` alone, also where cgroups are of version 1, with cgroup2 beside them or without.
//!
//! With `--test-threads 8` machines of both kernels run at the same time. `CTP_VM_KEEP=FOLDER` keeps what the machine left
//! there. By hand: see the head of `tests/vm/boot`.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod case;
mod machine;

use machine::{Machine, machine, older_machine};

/// A test for each file of `cases`.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                machine().check(stringify!($name));
            }
        )*

        #[test]
        fn none_is_without_a_test() {
            assert_eq!(case::all(), [$(stringify!($name)),*]);
        }
    };
}

cases!(
    aggregates, arguments, context, entries, faults, language, maps, marks, places, returns, several, structs, texts,
    unwinding
);

/// A container that is stopped and started again under `ctp run --engine stap`.
#[test]
fn a_container_that_comes_back() {
    machine().check_restart();
}

/// One that starts while it runs, and is meant by its pattern.
#[test]
fn a_container_that_starts_later() {
    machine().check_came();
}

/// `pid(…)`: a process and what descends from it.
#[test]
fn a_process_told_by_its_number() {
    machine().check_chosen();
}

/// Debian 12's kernel has no uprobe_multi: probes are attached by perf events there.
#[test]
fn a_kernel_of_before_uprobe_multi() {
    for name in machine::ON_THE_OLDER_KERNEL {
        older_machine().check(name);
    }
}

/// Where the controllers are hierarchies of version 1, the containers are told by the cgroup2 beside them.
#[test]
fn a_host_with_both_versions_of_cgroups() {
    Machine::with_cgroups("hybrid").check("arguments");
}

/// Without cgroup2 they are told by their cgroups of version 1.
#[test]
fn a_host_with_version_1_of_cgroups_alone() {
    Machine::with_cgroups("v1").check("arguments");
}
