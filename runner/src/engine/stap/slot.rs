//! Owns the places of runs, `/run/ctp/0` to `/run/ctp/63`: which are taken by a run that lives, which modules were left
//! by one that was killed. Removes no module that is not noted there.
//!
//! A run holds a lock on its place's file; the kernel drops it however the run ends. The file holds the name of the
//! module that the run loads, written before it is loaded and emptied when it is gone.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::tools::Machine;

/// How many runs there may be at once.
const MOST: u32 = 64;

/// A run's place.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its number.
    pub(super) number: u32,
    /// Its folder, in which links to the probed files' descriptors lie.
    pub(super) folder: PathBuf,
    lock: Flock<File>,
}

impl Slot {
    /// Takes the first free place.
    ///
    /// # Errors
    /// As making folders and files fails, or where all are taken.
    pub(super) fn take(machine: &Machine) -> io::Result<Slot> {
        make_private(&machine.run)?;
        for number in 0..MOST {
            let Some(lock) = lock(&machine.run, number)? else { continue };
            let folder = machine.run.join(number.to_string());
            make_private(&folder)?;
            clear(&folder)?;
            return Ok(Slot { number, folder, lock });
        }
        Err(io::Error::other(format!("{MOST} runs with SystemTap are at work already")))
    }

    /// Notes the module that is going to be loaded.
    ///
    /// # Errors
    /// As writing fails.
    pub(super) fn note(&mut self, module: &str) -> io::Result<()> {
        write(&mut self.lock, module)
    }

    /// Says that the module is gone, and takes the links away.
    ///
    /// # Errors
    /// As writing fails.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        clear(&self.folder)?;
        write(&mut self.lock, "")
    }
}

/// The modules that runs left behind: noted in places that nobody holds, and loaded. `remove` takes one out; those that
/// it does not are returned.
pub(super) fn left_over(machine: &Machine, remove: &mut dyn FnMut(&str) -> bool) -> Vec<String> {
    let Some(loaded) = machine.modules() else { return Vec::new() };
    let mut stay = Vec::new();
    for number in 0..MOST {
        if !machine.run.join(format!("{number}.lock")).exists() {
            continue;
        }
        let Ok(Some(mut lock)) = lock(&machine.run, number) else { continue };
        let mut name = String::new();
        if lock.read_to_string(&mut name).is_err() || !is_ours(&name) {
            continue;
        }
        if loaded.contains(&name) && !remove(&name) {
            stay.push(name);
            continue;
        }
        // What cannot be written is looked at again by the next run.
        drop(write(&mut lock, ""));
    }
    stay
}

/// Whether no run that lives has a place.
pub(super) fn is_free(machine: &Machine, number: u32) -> bool {
    number < MOST && matches!(lock(&machine.run, number), Ok(Some(_)))
}

/// Whether a name is one that ctp gives modules: `ctp_`, 32 hexadecimal digits, `_`, a number.
fn is_ours(name: &str) -> bool {
    let Some((digits, number)) = name.strip_prefix("ctp_").and_then(|rest| rest.split_once('_')) else { return false };
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    digits.len() == 32 && digits.bytes().all(hex) && number.parse::<u32>().is_ok_and(|number| number < MOST)
}

/// The lock of a place; `None` where a run that lives holds it.
fn lock(run: &Path, number: u32) -> io::Result<Option<Flock<File>>> {
    let path = run.join(format!("{number}.lock"));
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

fn write(file: &mut File, text: &str) -> io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())
}

/// A folder that only its owner can look into.
pub(super) fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "ctp_0123456789abcdef0123456789abcdef_0";

    fn machine(name: &str, modules: &str) -> Machine {
        let folder = std::env::temp_dir().join(format!("ctp-slot-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("modules"), modules).expect("a file");
        Machine { proc: folder.clone(), run: folder.join("run"), build_tree: None, cache: None }
    }

    fn removed(machine: &Machine) -> Vec<String> {
        let mut asked = Vec::new();
        left_over(machine, &mut |name| {
            asked.push(name.to_owned());
            true
        });
        drop(std::fs::remove_dir_all(&machine.proc));
        asked
    }

    #[test]
    fn two_runs_have_two_places() {
        let machine = machine("two", "");
        let first = Slot::take(&machine).expect("a place");
        let second = Slot::take(&machine).expect("another");
        assert_eq!((first.number, second.number), (0, 1));
        drop(first);
        assert_eq!(Slot::take(&machine).expect("the first again").number, 0);
        drop(std::fs::remove_dir_all(&machine.proc));
    }

    #[test]
    fn a_module_whose_run_was_killed_is_removed() {
        let machine = machine("killed", &format!("{NAME} 1 0 - Live 0x0\next4 1 0 - Live 0x0\n"));
        Slot::take(&machine).expect("a place").note(NAME).expect("noted");
        assert_eq!(removed(&machine), [NAME]);
    }

    #[test]
    fn a_module_of_a_run_that_lives_stays() {
        let machine = machine("lives", &format!("{NAME} 1 0 - Live 0x0\n"));
        let mut slot = Slot::take(&machine).expect("a place");
        slot.note(NAME).expect("noted");
        assert!(removed(&machine).is_empty());
    }

    #[test]
    fn a_module_that_no_run_noted_stays() {
        let machine = machine("other", &format!("{NAME} 1 0 - Live 0x0\nctp_script 1 0 - Live 0x0\n"));
        drop(Slot::take(&machine).expect("a place"));
        Slot::take(&machine).expect("a place").note("ext4").expect("noted");
        assert!(removed(&machine).is_empty());
    }
}
