//! Owns the files that traced processes have mapped: opened in the process' own root or its container's, and only taken
//! where they are the very files that were mapped. The code that the kernel lends every process is read from this one.

use std::collections::HashMap;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_lang::ir::ContainerIndex;
use ctp_lang::world::Companions;

use super::history::FileKey;
use crate::container::{self, Found, Process};
use crate::rootfs::{Root, RootFile};
use crate::symbols::{Finder, Places};
use crate::world::live::root_of;

/// The most files that are kept open.
const MOST: usize = 4096;
/// The most files that are opened beforehand.
const MOST_EARLY: usize = 1024;
/// The most bytes of the code that the kernel lends.
const MOST_LENT: u64 = 1 << 20;

/// A file with the debug info that was found, or why it cannot be read.
type Opened = Result<Arc<Module>, String>;

/// The files.
#[derive(Debug)]
pub(super) struct Files {
    containers: Vec<Option<Found>>,
    places: Arc<Places>,
    open: HashMap<(ContainerIndex, FileKey), OpenedFile>,
    lent: Option<OpenedFile>,
}

struct OpenedFile(Opened);

impl std::fmt::Debug for OpenedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_ok() { "open" } else { "unreadable" })
    }
}

impl Files {
    pub(super) fn new(containers: Vec<Option<Found>>, places: &Places) -> Files {
        // While a program is traced nobody waits for a server.
        let places = Arc::new(Places { servers: Vec::new(), ..places.clone() });
        Files { containers, places, open: HashMap::new(), lent: None }
    }

    /// The processes that are in the containers now.
    pub(super) fn processes(&self) -> Vec<(ContainerIndex, u32)> {
        let indexed = (0u32..).map(ContainerIndex).zip(&self.containers);
        let found = indexed.filter_map(|(index, found)| Some((index, found.as_ref()?)));
        let processes = |found: &Found| container::processes(&found.container, MOST_EARLY).0;
        found.flat_map(|(index, found)| processes(found).into_iter().map(move |pid| (index, pid))).collect()
    }

    /// A file that a process of a container has mapped.
    pub(super) fn module(&mut self, container: ContainerIndex, pid: u32, file: &FileKey) -> Opened {
        if &*file.path == "[vdso]" {
            return self.lent.get_or_insert_with(|| OpenedFile(lent())).0.clone();
        }
        let key = (container, file.clone());
        if let Some(known) = self.open.get(&key) {
            return known.0.clone();
        }
        let opened = match self.known(container, file) {
            Some(known) => Ok(known),
            None => self.open(container, pid, file),
        };
        if self.open.len() >= MOST {
            self.open.clear();
        }
        self.open.insert(key, OpenedFile(opened.clone()));
        opened
    }

    /// A file that was opened before, when the kernel told something else of it that makes it that one.
    fn known(&self, container: ContainerIndex, file: &FileKey) -> Option<Arc<Module>> {
        let build_id = file.build_id.as_ref()?;
        let same =
            |(known, _): &(&(ContainerIndex, FileKey), &OpenedFile)| known.0 == container && known.1.path == file.path;
        let modules = self.open.iter().filter(same).filter_map(|(_, opened)| opened.0.as_ref().ok());
        modules.into_iter().find(|module| module.build_id() == Some(build_id)).cloned()
    }

    /// Opens a file of a process that lives, so that it is there when the process is gone.
    pub(super) fn early(&mut self, container: ContainerIndex, pid: u32, file: &FileKey) {
        let is_file = file.path.starts_with('/') && !file.path.starts_with("//");
        if is_file && self.open.len() < MOST_EARLY {
            // What cannot be opened is told where it is wanted.
            drop(self.module(container, pid, file));
        }
    }

    /// Closes the files of containers that have ended: they would keep their file systems mounted. Those of containers
    /// that came later are opened again where they are wanted.
    pub(super) fn release(&mut self) {
        let containers = &self.containers;
        let lives = |index: ContainerIndex| {
            let found = containers.get(index.0 as usize).and_then(Option::as_ref);
            found.is_some_and(|found| found.container.init_pid == 0 || found.init.lives())
        };
        self.open.retain(|(container, _), _| lives(*container));
    }

    fn open(&self, container: ContainerIndex, pid: u32, file: &FileKey) -> Opened {
        let found = self.containers.get(container.0 as usize).and_then(Option::as_ref);
        let path = file.path.strip_suffix(" (deleted)").unwrap_or(&file.path);
        // Another file may have taken the place of the one that is mapped, or another process that of the one that mapped it.
        let mut refused = format!("{} cannot be opened any more", ctp_lang::stack::bounded(path));
        let of_process = || Root::of(Process::of(pid).ok()?).ok();
        let of_container = || found.and_then(|found| root_of(found).ok());
        let roots: [&dyn Fn() -> Option<Root>; 2] = [&of_process, &of_container];
        for root in roots {
            let Some(opened) = root().and_then(|root| root.find(path).ok().flatten()) else { continue };
            match self.judge(opened, path, found, file) {
                Ok(module) => return Ok(module),
                Err(why) => refused = why,
            }
        }
        Err(refused)
    }

    fn judge(&self, opened: RootFile, path: &str, found: Option<&Found>, wanted: &FileKey) -> Opened {
        let inode = opened.ino;
        let companions = found.map(|found| {
            let finder: Arc<dyn Companions> = Arc::new(Finder::new(found, &opened.path, opened.file(), &self.places));
            finder
        });
        let resolved = opened.path.clone();
        let module = Module::with_companions(Arc::new(opened), &resolved, companions)
            .map_err(|error| format!("{} cannot be read: {error}", ctp_lang::stack::bounded(path)))?;
        let same = match (&wanted.build_id, wanted.inode) {
            (Some(build_id), _) => module.build_id() == Some(build_id),
            (None, Some(mapped)) => mapped == inode,
            (None, None) => false,
        };
        if same {
            Ok(Arc::new(module))
        } else {
            Err(format!("{} is not the file any more that is mapped", ctp_lang::stack::bounded(path)))
        }
    }
}

/// The code that the kernel lends every process (vdso(7)): the same in all.
fn lent() -> Opened {
    let read = || {
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let size = u64::from_str_radix(end, 16).ok()?.checked_sub(start).filter(|size| *size <= MOST_LENT)?;
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        std::fs::File::open("/proc/self/mem").ok()?.read_exact_at(&mut bytes, start).ok()?;
        Some(bytes)
    };
    let bytes = read().ok_or_else(|| "the code that the kernel lends cannot be read".to_owned())?;
    let module = Module::open(Arc::new(bytes)).map_err(|error| format!("the code that the kernel lends: {error}"))?;
    Ok(Arc::new(module))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn only_the_file_that_was_mapped_is_taken() {
        let folder = std::env::temp_dir().join(format!("ctp-stacks-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("library");
        std::fs::copy("/bin/true", &path).unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        let key = |build_id, inode| FileKey { path: path.to_str().unwrap().into(), build_id, inode };
        let open = |key: FileKey| {
            let mut files = Files::new(Vec::new(), &Places::default());
            files.module(ContainerIndex(0), std::process::id(), &key)
        };
        let build_id = open(key(None, Some(inode))).unwrap().build_id().cloned().unwrap();
        assert!(open(key(Some(build_id.clone()), None)).is_ok());
        // Another file takes its place; the first one still is there, so that its inode has no new owner.
        std::fs::rename(&path, folder.join("old")).unwrap();
        std::fs::copy("/bin/cat", &path).unwrap();
        for replaced in [key(None, Some(inode)), key(Some(build_id), None), key(None, None)] {
            let why = open(replaced).map(|_| ()).unwrap_err();
            assert!(why.ends_with("is not the file any more that is mapped"), "{why}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        let why = open(key(None, Some(inode))).map(|_| ()).unwrap_err();
        assert!(why.ends_with("cannot be opened any more"), "{why}");
    }

    #[test]
    fn the_code_that_the_kernel_lends_has_names() {
        let module = lent().unwrap();
        let names: Vec<_> = module.functions("__vdso_clock_gettime").unwrap();
        let address = names.first().unwrap().sites.first().unwrap().address;
        let function = module.whereabouts(address).first().and_then(|one| one.function.clone());
        assert!(matches!(function.as_deref(), Some("__vdso_clock_gettime" | "clock_gettime")), "{function:?}");
    }
}
