//! Owns where the debug info of a file is looked for: beside it and in `/usr/lib/debug` of its container, in that of the
//! host, in folders and on servers that the user named, in the cache. Opens files and never judges them: whether one
//! belongs to the program is for the reader of debug info to say.

mod cache;
mod debuginfod;
mod host;
mod paths;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ctp_lang::world::{Companion, Companions, Keep, Looked, OpenError, Wanted};

use crate::container::Found;
use crate::world::live::root_of;
use cache::{Cache, Origin};
use host::HostFile;

/// Where debug info is looked for besides the container and the host's `/usr/lib/debug`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Folders of the host, in order.
    pub folders: Vec<PathBuf>,
    /// Debuginfod servers by URL, in order; without any, the network is not used.
    pub servers: Vec<String>,
    /// The folder in which downloads and unpacked debug info are kept; without one they are not.
    pub cache: Option<PathBuf>,
}

impl Places {
    /// Those named on the command line, then those of the environment: `DEBUGINFOD_URLS`, and `XDG_CACHE_HOME` (or
    /// `HOME`) for the cache.
    pub fn from_env(folders: &[PathBuf], servers: &[String]) -> Places {
        let urls = std::env::var("DEBUGINFOD_URLS").unwrap_or_default();
        let urls = urls.split_whitespace().map(str::to_owned);
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        Places {
            folders: folders.to_vec(),
            servers: servers.iter().cloned().chain(urls).collect(),
            cache: cache.map(|cache| cache.join("ctp")),
        }
    }
}

/// Where what is unpacked of a file of the host is kept; `None` where it cannot be.
pub fn keep_of(path: &Path, places: &Places) -> Option<Arc<dyn Keep>> {
    Cache::new(places.cache.clone()).keep(&HostFile::open(path).ok()??)
}

/// Finds the further files of one file of a container.
pub(crate) struct Finder {
    found: Found,
    path: String,
    /// The file itself.
    file: Arc<File>,
    places: Arc<Places>,
    cache: Cache,
    /// Paths in the container at which nothing was; `None` once something was there.
    absent: Mutex<Option<Vec<String>>>,
}

impl Finder {
    /// For the file of that path (links resolved) in a container, which is open.
    pub(crate) fn new(found: &Found, path: &str, file: &Arc<File>, places: &Arc<Places>) -> Finder {
        let cache = Cache::new(places.cache.clone());
        let absent = Mutex::new(Some(Vec::new()));
        let (path, file) = (path.to_owned(), Arc::clone(file));
        Finder { found: found.clone(), path, file, places: Arc::clone(places), cache, absent }
    }

    /// Where a file of the container was opened.
    fn origin(&self, path: &str, file: &Arc<File>) -> Option<Origin> {
        // Where there is no first process, the files are the host's own.
        let process = self.found.init;
        (process.pid != 0).then(|| Origin { file: Arc::clone(file), process, path: path.to_owned() })
    }
}

/// The places that came to nothing so far, and who judges what is found.
struct Search<'s> {
    judge: &'s mut dyn FnMut(Companion) -> Result<(), String>,
    looked: Vec<Looked>,
}

impl Search<'_> {
    /// Offers what was opened at a place; whether it was taken.
    fn offer(&mut self, place: String, opened: Result<Option<Companion>, String>) -> bool {
        let refused = match opened {
            Ok(None) => None,
            Ok(Some(companion)) => match (self.judge)(companion) {
                Ok(()) => return true,
                Err(why) => Some(why),
            },
            Err(why) => Some(why),
        };
        self.looked.push(Looked { place, refused });
        false
    }
}

impl Companions for Finder {
    fn look(&self, wanted: &Wanted<'_>, judge: &mut dyn FnMut(Companion) -> Result<(), String>) -> Vec<Looked> {
        let mut search = Search { judge, looked: Vec::new() };
        let _ = self.in_container(wanted, &mut search)
            || self.on_host(wanted, &mut search)
            || self.on_servers(wanted, &mut search);
        search.looked
    }

    fn keep(&self) -> Option<Arc<dyn Keep>> {
        self.cache.keep_by_content(self.origin(&self.path, &self.file))
    }

    fn absent(&self) -> Option<Vec<String>> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lacks(&self, paths: &[String]) -> bool {
        let Ok(root) = root_of(&self.found) else { return false };
        paths.iter().all(|path| matches!(root.find(path), Ok(None)))
    }
}

impl Finder {
    fn in_container(&self, wanted: &Wanted<'_>, search: &mut Search<'_>) -> bool {
        let whose = format!("in {}", self.found.container.described());
        let root = match root_of(&self.found) {
            Ok(root) => root,
            Err(error) => {
                *self.absent.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return search.offer(whose, Err(in_words(&error)));
            }
        };
        paths::in_container(wanted, &self.path).into_iter().any(|path| {
            let found = root.find(&path);
            let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
            match (&found, &mut *absent) {
                (Ok(None), Some(paths)) => paths.push(path.clone()),
                (_, absent) => *absent = None,
            }
            drop(absent);
            let opened = match found {
                Ok(file) => Ok(file.map(|file| Companion {
                    path: file.path.clone(),
                    keep: self.cache.keep_by_content(self.origin(&file.path, file.file())),
                    bytes: Arc::new(file),
                })),
                Err(error) => Err(in_words(&error)),
            };
            search.offer(format!("{path} {whose}"), opened)
        })
    }

    fn on_host(&self, wanted: &Wanted<'_>, search: &mut Search<'_>) -> bool {
        let paths = paths::on_host(wanted, &self.path);
        let folders = self.places.folders.iter().flat_map(|folder| paths::in_folder(wanted, &self.path, folder));
        paths.into_iter().chain(folders).any(|path| {
            let place = format!("{} on the host", path.display());
            let opened = HostFile::open(&path).map(|file| file.map(|file| self.companion(file)));
            search.offer(place, opened.map_err(|error| error.to_string()))
        })
    }

    fn on_servers(&self, wanted: &Wanted<'_>, search: &mut Search<'_>) -> bool {
        let (Wanted::DebugFile { build_id: Some(id), .. } | Wanted::Alternate { build_id: id, .. }) = wanted else {
            return false;
        };
        let Some(downloads) = debuginfod::Downloads::new(&self.cache, id) else {
            // Without a place for what it sends, asking is of no use.
            let why = "not asked: there is no folder for what it sends, set XDG_CACHE_HOME";
            return self.places.servers.iter().any(|server| search.offer(server.clone(), Err(why.to_owned())));
        };
        let cached = downloads.cached().map(|file| file.map(|file| self.companion(file)));
        let place = format!("{} (the cache)", downloads.path().display());
        let there = matches!(cached, Ok(Some(_)));
        if search.offer(place, cached.map_err(|error| error.to_string())) {
            return true;
        }
        if there {
            downloads.forget();
        }
        self.places.servers.iter().any(|server| {
            let fetched = downloads.fetch(server);
            let got = matches!(fetched, Ok(Some(_)));
            let taken = search.offer(server.clone(), fetched.map(|file| file.map(|file| self.companion(file))));
            if got && !taken {
                downloads.forget();
            }
            taken
        })
    }

    fn companion(&self, file: HostFile) -> Companion {
        let keep = self.cache.keep(&file);
        Companion { path: file.path().to_owned(), bytes: Arc::new(file), keep }
    }
}

fn in_words(error: &OpenError) -> String {
    match error {
        OpenError::NotFound { .. } => "nothing there".to_owned(),
        OpenError::NotAFile { what } => format!("it is {what}"),
        OpenError::Escapes => "it leads through a link that cannot be followed inside the container".to_owned(),
        OpenError::Denied { missing: Some(capability) } => format!("ctp may not open it without {capability}"),
        OpenError::Denied { missing: None } => "ctp may not open it".to_owned(),
        OpenError::Gone => "the container has ended".to_owned(),
        OpenError::Other(reason) => reason.clone(),
    }
}
