//! Owns the seam between the checker and the machine: which containers there are and what their files hold, as
//! plain data. A live machine, a facts file and a test fixture are the same to everything above.

use std::sync::Arc;

/// Bytes of a file, read by position: the only way `lang` sees a file.
pub trait ReadAt: Send + Sync {
    /// Size in bytes when the file was opened.
    fn size(&self) -> u64;

    /// Fills `buf` from byte `offset` on; an error where the file ends before.
    ///
    /// # Errors
    /// [`ReadError`] when the bytes are not there (any more) or cannot be read.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Calls `part` once with each number below `parts`, in any order, several at the same time where that is quicker: who
    /// has the bytes may have threads, `lang` has none.
    fn at_once(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        (0..parts).for_each(part);
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(offset).map_err(|_| ReadError::past_end(offset))?;
        let end = start.checked_add(buf.len()).ok_or_else(|| ReadError::past_end(offset))?;
        buf.copy_from_slice(self.get(start..end).ok_or_else(|| ReadError::past_end(offset))?);
        Ok(())
    }
}

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// Where reading began.
    pub offset: u64,
    /// What went wrong, in words.
    pub reason: String,
}

impl ReadError {
    /// The file ends before the bytes wanted.
    pub fn past_end(offset: u64) -> ReadError {
        ReadError { offset, reason: "the file ends there".to_owned() }
    }
}

/// What made a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// Docker (its containers run under containerd's `moby` namespace).
    Docker,
    /// Podman.
    Podman,
    /// containerd without docker or CRI on top.
    Containerd,
    /// CRI-O.
    CriO,
    /// LXC.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// A container by its cgroup's looks, of an engine ctp does not know.
    Unknown,
}

impl Runtime {
    /// The name users write: `runtime="docker"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Runtime::Docker => "docker",
            Runtime::Podman => "podman",
            Runtime::Containerd => "containerd",
            Runtime::CriO => "cri-o",
            Runtime::Lxc => "lxc",
            Runtime::Nspawn => "nspawn",
            Runtime::Unknown => "unknown",
        }
    }
}

/// The cgroup (v2 hierarchy) in which all tasks of a container live, itself or below.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cgroup {
    /// Its folder as seen on the host, e.g. `/sys/fs/cgroup/unified/docker/4f…`; empty where no mount shows it (ctp in a
    /// container).
    pub folder: String,
    /// The cgroup id: inode number of `folder` (what `bpf_get_current_ancestor_cgroup_id` returns).
    pub id: u64,
    /// Depth below the root of the hierarchy; the root is 0, `/docker/4f…` is 2.
    pub level: u32,
}

/// A controller of cgroups of version 1, in whose hierarchy a container may have a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Controller {
    /// `pids`
    Pids,
    /// `memory`
    Memory,
    /// `devices`
    Devices,
    /// `freezer`
    Freezer,
    /// `cpu`
    Cpu,
    /// `cpuset`
    Cpuset,
}

impl Controller {
    /// All of them, those first that engines always make a cgroup for.
    pub const ALL: [Controller; 6] = [
        Controller::Pids,
        Controller::Memory,
        Controller::Devices,
        Controller::Freezer,
        Controller::Cpu,
        Controller::Cpuset,
    ];

    /// As `/proc/PID/cgroup` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Controller::Pids => "pids",
            Controller::Memory => "memory",
            Controller::Devices => "devices",
            Controller::Freezer => "freezer",
            Controller::Cpu => "cpu",
            Controller::Cpuset => "cpuset",
        }
    }
}

/// What tells the tasks of a container that has no cgroup of version 2 of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Boundary {
    /// A cgroup of version 1.
    Cgroup1 {
        /// In which hierarchy.
        controller: Controller,
        /// Its folder as seen on the host, its id (that folder's inode number) and its depth.
        cgroup: Cgroup,
    },
    /// The inode number of its mount namespace, in which nobody else is: neither the host nor another container.
    MountNamespace(u32),
}

/// The Kubernetes pod a container belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// Name of the container within the pod.
    pub container: String,
}

impl std::fmt::Display for Pod {
    /// `NAMESPACE/NAME`, as `pod(…)` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which kind of selector an entry stands for: what decides whether a task counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetKind {
    /// A container: the tasks in its cgroup or below.
    #[default]
    Container,
    /// A process and its descendants (`pid(N)`).
    Process,
    /// The tasks in a cgroup or below, whatever made it (`cgroup("/path")`).
    Cgroup,
    /// The tasks in no container's cgroup (`host`).
    Host,
}

/// Whom a point means other than by the name of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WantedTarget {
    /// `pid(N)`: a process by its number in this `/proc`.
    Process(u32),
    /// `cgroup("/path")`: a cgroup by its path in the v2 hierarchy.
    Cgroup(String),
    /// `host`
    Host,
}

/// Why there is no such process or cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// There is none; `nearest` are names that exist and are most like it.
    NotFound {
        /// What is so instead, a sentence each.
        notes: Vec<String>,
        /// Existing names, as they would be written.
        nearest: Vec<String>,
    },
    /// It cannot be told apart from others here; why, and a way out.
    Unusable(ListError),
}

/// One running container, or what else a selector can mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What it is. For all but [`TargetKind::Container`], `id` and `name` are the text that messages show: `pid 12`,
    /// `/system.slice/x.service`, `host`.
    pub kind: TargetKind,
    /// Full id as its engine writes it (64 hexadecimal digits for most).
    pub id: String,
    /// Name; `None` where the engine could not be asked.
    pub name: Option<String>,
    /// Which engine made it.
    pub runtime: Runtime,
    /// Image reference as the engine shows it, where known.
    pub image: Option<String>,
    /// What names the image by its content, where known: its id, digests of its manifests (`sha256:…`).
    pub image_digests: Vec<String>,
    /// Labels, sorted by key; empty where unknown.
    pub labels: Vec<(String, String)>,
    /// Pod, where it belongs to one.
    pub pod: Option<Pod>,
    /// Host pid of the container's first process: its root and executable are the container's. Of a cgroup, a process
    /// whose root is looked at; 0 where that is the host's.
    pub init_pid: u32,
    /// Its cgroup; `None` where it has none of its own (then it cannot be told apart by cgroup).
    pub cgroup: Option<Cgroup>,
    /// What tells its tasks where it has no such cgroup; with neither, nothing does.
    pub boundary: Option<Boundary>,
    /// Depth of the first process's pid namespace below the host's (0: the host's own): how many numbers stand behind
    /// the first on its `NSpid:` line in `/proc/PID/status`.
    pub pid_level: u32,
}

impl Container {
    /// The name where there is one, otherwise the first 12 characters of the id: what messages and `container()` show.
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.short_id())
    }

    /// The name with what it is the name of: "container `web`", "process 12", "the host".
    pub fn described(&self) -> String {
        match self.kind {
            TargetKind::Container => format!("container `{}`", self.display_name()),
            TargetKind::Process => format!("process {}", self.init_pid),
            TargetKind::Cgroup => format!("cgroup `{}`", self.display_name()),
            TargetKind::Host => "the host".to_owned(),
        }
    }

    /// The first 12 characters of the id, as engines print it.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

/// A file that was opened: the index under which the world keeps its descriptor. What was checked is what is probed.
/// Two containers get the same id only where the world knows that they share the real inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// Which file of a container is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A path as the container sees it, resolved inside its root.
    Path(String),
    /// What the container's first process executes.
    Exe,
}

/// What the processes of a container have mapped as code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// Paths of the files as the container sees them, sorted.
    pub paths: Vec<String>,
    /// Of how many processes, where there are more: what those have mapped is not known.
    pub of_first: Option<usize>,
}

/// An opened file of a container.
#[derive(Clone)]
pub struct Opened {
    /// The world's id for it.
    pub file: FileId,
    /// The path in the container after links were resolved (for `exe`: the path of the executable).
    pub path: String,
    /// Its bytes.
    pub bytes: Arc<dyn ReadAt>,
}

/// Why a file of a container could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Nothing is there; `nearest` are the full paths of the names most like it in the deepest folder that exists.
    NotFound {
        /// The deepest folder of the path that exists in the container.
        folder: String,
        /// Full paths in that folder most like the one wanted.
        nearest: Vec<String>,
    },
    /// Something is there that is no regular file.
    NotAFile {
        /// What it is: `a folder`, `a FIFO`, `a device`, …
        what: &'static str,
    },
    /// The path leads out of the container's root, or through a link that cannot be followed safely.
    Escapes,
    /// ctp may not open it; `missing` names the capability that would suffice where that is known.
    Denied {
        /// The capability, e.g. `CAP_SYS_PTRACE`.
        missing: Option<&'static str>,
    },
    /// The container ended meanwhile.
    Gone,
    /// Anything else, in words.
    Other(String),
}

/// Why the containers could not be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError {
    /// What went wrong.
    pub reason: String,
    /// A way out, where there is one.
    pub help: Option<String>,
}

/// A further file that a module's debug info is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'w> {
    /// The debug info that was stripped off the module.
    DebugFile {
        /// The module's build id.
        build_id: Option<&'w [u8]>,
        /// The file name in its `.gnu_debuglink`, a plain name.
        link: Option<&'w str>,
    },
    /// What dwz moved out of several debug files into one (`.gnu_debugaltlink`).
    Alternate {
        /// Its path as the link has it.
        path: &'w str,
        /// The file that holds the link.
        of: &'w str,
        /// Its build id.
        build_id: &'w [u8],
    },
    /// The split DWARF of all units in one file (`.dwp`), named after this file.
    Package {
        /// The file that holds the skeleton units.
        of: &'w str,
    },
    /// The split DWARF of one unit (`.dwo`).
    Split {
        /// The folder in which the unit was compiled; empty where unknown.
        folder: &'w str,
        /// `DW_AT_dwo_name`, relative to that folder or absolute.
        name: &'w str,
    },
}

/// A further file that was found, to be judged.
pub struct Companion {
    /// Its path, without whose it is.
    pub path: String,
    /// Its bytes.
    pub bytes: Arc<dyn ReadAt>,
    /// Where what is unpacked of it may be kept.
    pub keep: Option<Arc<dyn Keep>>,
}

/// A place that was looked at, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The place, in words: a path and whose it is, a server.
    pub place: String,
    /// Why what is there was not taken; `None` where nothing is there.
    pub refused: Option<String>,
}

/// Finds the further files of one module.
pub trait Companions: Send + Sync {
    /// Offers the files at all places where the wanted one may be to `judge`, in order, until it takes one; returns
    /// the places that came to nothing. `judge` returns why it refuses a file.
    fn look(&self, wanted: &Wanted<'_>, judge: &mut dyn FnMut(Companion) -> Result<(), String>) -> Vec<Looked>;

    /// Where what is unpacked of the module itself may be kept.
    fn keep(&self) -> Option<Arc<dyn Keep>>;

    /// The paths in the container at which was looked so far; `None` where something was there, or it is not known.
    fn absent(&self) -> Option<Vec<String>> {
        None
    }

    /// Whether the container surely has nothing at any of these paths.
    fn lacks(&self, paths: &[String]) -> bool {
        let _ = paths;
        false
    }
}

/// Keeps what was unpacked of one file outside of memory, for this run and the next.
pub trait Keep: Send + Sync {
    /// The bytes of a section that were kept before, where they are whole: `size` of them. `packed` gives the bytes that
    /// they are packed into, for who goes by these.
    fn kept(&self, section: &str, size: u64, packed: &mut dyn std::io::Read) -> Option<Arc<dyn ReadAt>>;

    /// Begins to keep a section of `size` bytes; `None` where that cannot be.
    fn begin(&self, section: &str, size: u64) -> Option<Box<dyn Keeping>>;

    /// What tells the bytes that a section was unpacked from, once it was kept or found, from all others: nothing where
    /// the file itself is known. `None` where that is not known.
    fn digest(&self, section: &str) -> Option<Vec<u8>>;
}

/// A section that is being kept.
pub trait Keeping {
    /// Takes note of the bytes that it was unpacked from, all of them in their order.
    fn unpacked_from(&mut self, packed: &[u8]);

    /// Adds bytes; `false` where they could not be written.
    fn append(&mut self, bytes: &[u8]) -> bool;

    /// The bytes that were added; `None` where they could not all be written.
    fn finish(self: Box<Self>) -> Option<Arc<dyn ReadAt>>;
}

/// The machine as the checker sees it.
pub trait World {
    /// All containers that run, in a stable order.
    ///
    /// # Errors
    /// [`ListError`] when they cannot be listed at all; an engine that does not answer only leaves names unknown.
    fn containers(&self) -> Result<Arc<[Container]>, ListError>;

    /// What engines could not be asked and why, one sentence each; shown when a name was not found.
    fn listing_notes(&self) -> Vec<String>;

    /// The process, the cgroup (an entry for each root that its processes have) or the host that is wanted; at least
    /// one. A world that knows containers only has none.
    ///
    /// # Errors
    /// [`TargetError`] says why there is none.
    fn target(&self, wanted: &WantedTarget) -> Result<Vec<Container>, TargetError> {
        let what = match wanted {
            WantedTarget::Process(_) => "processes",
            WantedTarget::Cgroup(_) => "cgroups",
            WantedTarget::Host => "the host's tasks",
        };
        Err(TargetError::Unusable(ListError { reason: format!("{what} are not known here"), help: None }))
    }

    /// The files that a container's processes have mapped as code.
    fn mapped(&self, container: &Container) -> Mapped {
        let _ = container;
        Mapped::default()
    }

    /// Opens a file of a container, inside its root.
    ///
    /// # Errors
    /// [`OpenError`] says why there is no such file to read.
    fn open(&self, container: &Container, place: &Place) -> Result<Opened, OpenError>;

    /// For each of these opened files the first among them that is the same inode for certain: itself where that is not
    /// known. What was read of one need not be read again of the other.
    fn same_inodes(&self, files: &[FileId]) -> Vec<FileId> {
        files.to_vec()
    }

    /// What finds the further files of an opened one; `None` where nothing is looked for.
    fn companions(&self, container: &Container, opened: &Opened) -> Option<Arc<dyn Companions>> {
        let _ = (container, opened);
        None
    }
}
