//! SystemTap's kernel modules, for real: in a virtual machine (`machine`, `boot`, `guest/`), the script that `ctp build`
//! emits is compiled and run by the commands in its head, beside `ctp run` on the same calls. A container of two of one
//! image is traced, with a container of another build and a process of the host beside it: what both engines print is
//! what that container's programs printed, and the same from both.
//!
//! `CTP_VM_KEEP=FOLDER` keeps what the machine left there. By hand: see the head of `tests/vm/boot`.

mod case;
mod machine;

use machine::machine;

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

cases!(arguments);
