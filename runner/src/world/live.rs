//! Owns the live machine as the checker sees it: a listing made once, and every file opened, kept open under its id
//! for the engine. Never attaches anything.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ctp_lang::world::{
    Companions, Container, FileId, ListError, Mapped, OpenError, Opened, Place, Runtime, TargetError, TargetKind,
    WantedTarget, World,
};

use super::same;
use crate::container::{self, Found, Listing, Settings, target};
use crate::rootfs::{Root, RootFile};
use crate::symbols::{Finder, Places};

/// The containers that run on this machine and their files.
#[derive(Default)]
pub struct LiveWorld {
    settings: Settings,
    places: Arc<Places>,
    listing: OnceLock<Result<Known, ListError>>,
    /// Processes, cgroups and the host, as far as they were asked for.
    targets: Mutex<Vec<Found>>,
    files: Mutex<Files>,
    /// What processes of a container had mapped that have ended: the container's id and runtime, and the paths.
    also_mapped: Option<(String, Runtime, Vec<String>)>,
}

/// A listing with the part that the checker sees.
struct Known {
    listing: Listing,
    containers: Arc<[Container]>,
    /// Where each is among them, by id and runtime.
    by_id: HashMap<(String, Runtime), usize>,
}

/// A file that was opened, for the engine: what was checked is what is probed.
#[derive(Clone, Debug)]
pub struct OpenedFile {
    /// The open file itself; attach through `/proc/self/fd/N` of it.
    pub file: Arc<File>,
    /// Which container's file it is: an index into [`LiveWorld::found`].
    pub container: usize,
    /// Path in the container, links resolved.
    pub path: String,
    /// Device as fstat(2) shows it (an overlay's proves nothing about the real inode).
    pub dev: u64,
    /// Inode number as fstat(2) shows it.
    pub ino: u64,
    /// Size in bytes when it was opened.
    pub size: u64,
}

#[derive(Default)]
struct Files {
    opened: Vec<Option<OpenedFile>>,
    /// What was asked for once is not opened again: a file replaced meanwhile stays the one that was checked.
    by_place: HashMap<(usize, Place), (FileId, RootFile)>,
    by_file: HashMap<(usize, String, u64, u64), FileId>,
}

impl LiveWorld {
    /// The machine as it is when first asked; engines are asked where the settings say.
    pub fn new(settings: Settings) -> LiveWorld {
        LiveWorld { settings, ..LiveWorld::default() }
    }

    /// The machine with a listing made before (one container that was started again, say).
    pub fn of(settings: Settings, listing: Listing) -> LiveWorld {
        LiveWorld { settings, listing: OnceLock::from(Ok(Known::new(listing))), ..LiveWorld::default() }
    }

    /// The same, with debug info looked for in these places too.
    #[must_use]
    pub fn looking_in(self, places: Places) -> LiveWorld {
        LiveWorld { places: Arc::new(places), ..self }
    }

    /// The same, with a container to which these paths are mapped too: by processes that have ended.
    #[must_use]
    pub fn with_mapped(self, container: &Container, paths: Vec<String>) -> LiveWorld {
        LiveWorld { also_mapped: Some((container.id.clone(), container.runtime, paths)), ..self }
    }

    /// What was found for an entry that this world gave out, and its index: those of [`LiveWorld::found`] first, then
    /// the other targets.
    pub fn found_for(&self, container: &Container) -> Option<(usize, Found)> {
        let known = self.listing.get().and_then(|known| known.as_ref().ok());
        match container.kind {
            TargetKind::Container => {
                let known = known?;
                let position = *known.by_id.get(&(container.id.clone(), container.runtime))?;
                Some((position, known.listing.found.get(position)?.clone()))
            }
            TargetKind::Process | TargetKind::Cgroup | TargetKind::Host => {
                let same = |found: &Found| {
                    let known = &found.container;
                    (known.kind, &known.id, known.init_pid) == (container.kind, &container.id, container.init_pid)
                };
                let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
                let position = targets.iter().position(same)?;
                let listed = known.map_or(0, |known| known.listing.found.len());
                Some((listed + position, targets.get(position)?.clone()))
            }
        }
    }

    /// The containers with their first processes, in the order of [`World::containers`].
    ///
    /// # Errors
    /// [`ListError`] where they cannot be listed.
    pub fn found(&self) -> Result<&[Found], ListError> {
        Ok(&self.known()?.listing.found)
    }

    /// Where debug info is looked for.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The whole listing.
    ///
    /// # Errors
    /// [`ListError`] where containers cannot be listed.
    pub fn listing(&self) -> Result<&Listing, ListError> {
        Ok(&self.known()?.listing)
    }

    /// A file opened before; `None` for an id of another world, or after [`LiveWorld::release`].
    pub fn file(&self, id: FileId) -> Option<OpenedFile> {
        self.files().opened.get(id.0 as usize)?.clone()
    }

    /// Closes this world's descriptors of a container (an index into [`LiveWorld::found`]): a descriptor below a container's root keeps its overlay mounted after it has stopped.
    pub fn release(&self, container: usize) {
        let mut files = self.files();
        files.by_place.retain(|(index, _), _| *index != container);
        files.by_file.retain(|(index, ..), _| *index != container);
        for slot in &mut files.opened {
            if slot.as_ref().is_some_and(|file| file.container == container) {
                *slot = None;
            }
        }
    }

    fn known(&self) -> Result<&Known, ListError> {
        self.listing.get_or_init(|| container::discover(&self.settings).map(Known::new)).as_ref().map_err(Clone::clone)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(listing: Listing) -> Known {
        let containers = listing.found.iter().map(|found| found.container.clone()).collect();
        let mut by_id = HashMap::new();
        for (position, Found { container, .. }) in listing.found.iter().enumerate() {
            by_id.entry((container.id.clone(), container.runtime)).or_insert(position);
        }
        Known { listing, containers, by_id }
    }
}

impl World for LiveWorld {
    fn containers(&self) -> Result<Arc<[Container]>, ListError> {
        Ok(Arc::clone(&self.known()?.containers))
    }

    fn listing_notes(&self) -> Vec<String> {
        let Ok(Known { listing, .. }) = self.known() else { return Vec::new() };
        let mut notes = listing.notes.clone();
        notes.extend(container::stopped_notes(&self.settings, listing));
        notes
    }

    fn target(&self, wanted: &WantedTarget) -> Result<Vec<Container>, TargetError> {
        let found = match wanted {
            WantedTarget::Process(pid) => vec![target::process(*pid)?],
            WantedTarget::Cgroup(path) => target::cgroup(path)?,
            WantedTarget::Host => vec![target::host(self.found().map_err(TargetError::Unusable)?)?],
        };
        let containers = found.iter().map(|found| found.container.clone()).collect();
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        for one in found {
            if !targets.contains(&one) {
                targets.push(one);
            }
        }
        Ok(containers)
    }

    fn mapped(&self, container: &Container) -> Mapped {
        let mut mapped = container::mapped(container);
        if let Some((id, runtime, paths)) = &self.also_mapped
            && (id, *runtime) == (&container.id, container.runtime)
        {
            mapped.paths.extend(paths.iter().cloned());
            mapped.paths.sort_unstable();
            mapped.paths.dedup();
        }
        mapped
    }

    fn open(&self, container: &Container, place: &Place) -> Result<Opened, OpenError> {
        // Before the other targets get their indices: those follow the listing's.
        self.known().map_err(|e| OpenError::Other(e.reason))?;
        let (index, found) = self.found_for(container).ok_or(OpenError::Gone)?;
        let mut files = self.files();
        let asked = (index, place.clone());
        if let Some((id, file)) = files.by_place.get(&asked) {
            return Ok(Opened { file: *id, path: file.path.clone(), bytes: Arc::new(file.clone()) });
        }
        let root = root_of(&found)?;
        let file = root.open(place)?;
        let id = files.id_of(index, &file)?;
        files.by_place.insert(asked, (id, file.clone()));
        Ok(Opened { file: id, path: file.path.clone(), bytes: Arc::new(file) })
    }

    fn same_inodes(&self, files: &[FileId]) -> Vec<FileId> {
        let opened: Vec<Option<OpenedFile>> = files.iter().map(|file| self.file(*file)).collect();
        let first = same::first_of_inode(&opened);
        files
            .iter()
            .zip(first)
            .map(|(file, first)| first.and_then(|at| files.get(at)).copied().unwrap_or(*file))
            .collect()
    }

    fn companions(&self, container: &Container, opened: &Opened) -> Option<Arc<dyn Companions>> {
        let (_, found) = self.found_for(container)?;
        let file = self.file(opened.file)?.file;
        Some(Arc::new(Finder::new(&found, &opened.path, &file, &self.places)))
    }
}

/// The root of a container that an engine has set up.
///
/// # Errors
/// As [`Root::of`]; [`OpenError::Other`] while its first process still has the host's root: a path opened there would be
/// the host's file.
pub fn root_of(found: &Found) -> Result<Root, OpenError> {
    if found.container.init_pid == 0 {
        return Root::of(target::hosts_first().ok_or_else(|| {
            OpenError::Other(
                "ctp runs in a pid namespace of its own, from where the host's files are not seen".to_owned(),
            )
        })?);
    }
    let root = Root::of(found.init)?;
    let has_own = match found.container.runtime {
        Runtime::Docker | Runtime::Podman | Runtime::Containerd | Runtime::CriO => true,
        Runtime::Lxc | Runtime::Nspawn | Runtime::Unknown => false,
    };
    // The root that engines start from: the host's. A container beside which ctp runs may well share ctp's own.
    let hosts = target::hosts_first();
    if has_own && hosts.is_some_and(|first| root.is_that_of(first)) {
        return Err(OpenError::Other("the container is still being started".to_owned()));
    }
    Ok(root)
}

impl Files {
    /// The id of an open file: that of the same file opened under another name of this container, otherwise a new one.
    /// Whether files of two containers are one inode only the kernel can tell: what fstat(2) shows proves nothing on
    /// overlays (two containers of one image show different devices and one inode number; after a copy-up the number
    /// stays and the inode is another).
    fn id_of(&mut self, container: usize, file: &RootFile) -> Result<FileId, OpenError> {
        let key = (container, file.path.clone(), file.dev, file.ino);
        if let Some(id) = self.by_file.get(&key) {
            return Ok(*id);
        }
        let id = u32::try_from(self.opened.len()).map_err(|_| OpenError::Other("too many open files".to_owned()))?;
        let id = FileId(id);
        self.opened.push(Some(OpenedFile {
            file: Arc::clone(file.file()),
            container,
            path: file.path.clone(),
            dev: file.dev,
            ino: file.ino,
            size: file.size,
        }));
        self.by_file.insert(key, id);
        Ok(id)
    }
}
