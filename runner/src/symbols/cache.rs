//! Owns the cache: `debuginfod/` with what servers sent, `unpacked/` with sections of debug info that were compressed.
//! Bounded in size; an entry appears whole or not at all (written under another name, then renamed), whoever else writes
//! at the same time; one that is damaged is thrown away when that shows. Never holds anything that a container could
//! have put there in another's name: what is unpacked of a container's file is found again by a digest of the very bytes
//! that it was unpacked from, and by nothing that the file says of itself. Digests are remembered while the file on the
//! host's disk is unchanged, as the kernel says.

mod kept;
mod unchanged;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use ctp_lang::world::{Keep, Keeping, ReadAt};
use ring::digest::{Context, SHA256};

use super::host::HostFile;
use kept::{KeptFile, Writer};
pub(crate) use unchanged::Origin;

/// Most bytes that the cache holds.
const LARGEST: u64 = 4 << 30;
/// Bytes of the file system that the cache leaves free.
const LEFT_FREE: u64 = 1 << 30;
/// Bytes of a packed section from which on its digest is remembered.
const LARGE: usize = 1 << 20;
/// Bytes of a digest.
const DIGEST: usize = 32;
/// A file being written that is older than this was left behind by a process that died.
const STALE: std::time::Duration = std::time::Duration::from_secs(3600);

/// The cache's folder, if it can be used.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The cache in that folder; made when first written to.
    pub(super) fn new(folder: Option<PathBuf>) -> Cache {
        Cache { folder }
    }

    /// A folder of the cache, made if need be; `None` where others could write to it, or nobody can.
    pub(super) fn part(&self, name: &str) -> Option<PathBuf> {
        let top = self.folder.as_ref()?;
        let part = top.join(name);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&part).ok()?;
        let ours = |path: &Path| {
            let metadata = std::fs::symlink_metadata(path).ok()?;
            let own = metadata.uid() == nix::unistd::geteuid().as_raw();
            (metadata.is_dir() && own && metadata.mode() & 0o022 == 0).then_some(())
        };
        ours(top)?;
        ours(&part)?;
        Some(part)
    }

    /// Keeps what is unpacked of a file of the host for the next runs too.
    pub(super) fn keep(&self, file: &HostFile) -> Option<Arc<dyn Keep>> {
        let folder = self.part("unpacked")?;
        let (device, identity) = file.identity().ok()?;
        // A file system without a device (FUSE, overlays of it) can show another file under the same identity.
        if nix::sys::stat::major(device) == 0 {
            return self.keep_by_content(None);
        }
        Some(Arc::new(Unpacked { identity: Some(identity), ..Unpacked::new(self, folder) }))
    }

    /// Keeps what is unpacked of a file of a container, and where it is known where that was opened, its digests.
    pub(super) fn keep_by_content(&self, origin: Option<Origin>) -> Option<Arc<dyn Keep>> {
        let folder = self.part("unpacked")?;
        Some(Arc::new(Unpacked { origin, ..Unpacked::new(self, folder) }))
    }

    /// Whether there is room for so many bytes more.
    pub(super) fn has_room(&self, folder: &Path, size: u64) -> bool {
        let free = nix::sys::statvfs::statvfs(folder).map_or(0, |fs| fs.blocks_available() * fs.fragment_size());
        size <= LARGEST && free >= size.saturating_add(LEFT_FREE)
    }

    /// Removes the entries that were used longest ago until the cache is within its bound, and what dead processes left.
    pub(super) fn trim(&self) {
        let Some(top) = &self.folder else { return };
        let mut entries = Vec::new();
        collect(top, 0, &mut entries);
        let mut total: u64 = entries.iter().map(|entry| entry.size).sum();
        entries.sort_by_key(|entry| entry.used);
        for entry in entries {
            let age = SystemTime::now().duration_since(entry.used).unwrap_or_default();
            let unfinished = entry.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
            let goes = if unfinished { age > STALE } else { total > LARGEST };
            if goes && std::fs::remove_file(&entry.path).is_ok() {
                total = total.saturating_sub(entry.size);
            }
        }
    }
}

/// A file in the cache.
struct Entry {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

fn collect(folder: &Path, depth: u32, entries: &mut Vec<Entry>) {
    let Ok(listed) = std::fs::read_dir(folder) else { return };
    for entry in listed.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() && depth < 2 {
            collect(&entry.path(), depth + 1, entries);
        } else if metadata.is_file() {
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            entries.push(Entry { path: entry.path(), size: metadata.blocks() * 512, used });
        }
    }
}

/// What the names of files that are being written begin with.
const UNFINISHED: &str = ".unfinished-";

/// A file being written, which gets its name when it is whole; removed if it never is.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) file: File,
    path: PathBuf,
}

impl Unfinished {
    /// Begins a file in a folder.
    ///
    /// # Errors
    /// As creating it fails.
    pub(super) fn begin(folder: &Path) -> io::Result<Unfinished> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Unfinished { file, path })
    }

    /// Gives it its name, in the place of what had it, once it is on the disk.
    ///
    /// # Errors
    /// As writing it to the disk or renaming it fails.
    pub(super) fn finish(self, path: &Path) -> io::Result<File> {
        self.file.sync_data()?;
        self.name(path)
    }

    /// The same without waiting for the disk, for what shows by itself whether it is whole.
    ///
    /// # Errors
    /// As renaming it fails.
    pub(super) fn name(self, path: &Path) -> io::Result<File> {
        std::fs::rename(&self.path, path)?;
        self.file.try_clone()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Where it was renamed, nothing has that name any more.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Unpacked sections of one file.
struct Unpacked {
    cache: Cache,
    folder: PathBuf,
    /// What the file is known by; `None` where it is by its contents.
    identity: Option<String>,
    digests: Arc<Digests>,
    /// Where a container's file was opened.
    origin: Option<Origin>,
    /// What that was known by when it was first asked for.
    unchanged: OnceLock<Option<String>>,
}

/// The digests of what sections were unpacked from that were kept or found: of the bytes that were read for it, not of
/// those that the file has now.
type Digests = Mutex<HashMap<String, Vec<u8>>>;

/// Where an entry will be.
enum Named {
    Known(PathBuf),
    /// By the digest of what it was unpacked from: the folder, the section, and the digest so far.
    ByContent(PathBuf, String, Box<Context>),
}

impl Named {
    /// The path, and where it is known by its contents, the section and that digest.
    fn path(self) -> (PathBuf, Option<(String, Vec<u8>)>) {
        match self {
            Named::Known(path) => (path, None),
            Named::ByContent(folder, section, digest) => by_digest(&folder, section, digest.finish().as_ref().to_vec()),
        }
    }
}

/// The path of what has that digest, the section and the digest.
fn by_digest(folder: &Path, section: String, digest: Vec<u8>) -> (PathBuf, Option<(String, Vec<u8>)>) {
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    (folder.join(format!("{text}{section}")), Some((section, digest)))
}

/// Reads on until there are so many bytes, or no more.
fn fill(from: &mut dyn Read, size: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(size as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

impl Unpacked {
    fn new(cache: &Cache, folder: PathBuf) -> Unpacked {
        let (cache, unchanged) = (cache.clone(), OnceLock::new());
        Unpacked { cache, folder, identity: None, digests: Arc::default(), origin: None, unchanged }
    }

    /// The digest of what a section is packed into: the one that is remembered of a file that has not changed since, or a
    /// new one of all the bytes.
    fn digest_of(&self, section: &str, packed: &mut dyn Read, mut digest: Context) -> Option<Vec<u8>> {
        let first = fill(packed, LARGE)?;
        digest.update(&first);
        if first.len() < LARGE {
            return Some(digest.finish().as_ref().to_vec());
        }
        drop(first);
        let unchanged = || self.origin.as_ref().and_then(Origin::identity);
        let known_by = self.unchanged.get_or_init(unchanged).as_ref();
        let place = known_by.map(|identity| self.folder.join(format!("{identity}{section}.sha256")));
        if let Some(Ok(Some(kept))) = place.as_ref().map(|place| KeptFile::open(place, DIGEST as u64)) {
            let mut known = vec![0; DIGEST];
            if kept.read_at(0, &mut known).is_ok() {
                return Some(known);
            }
        }
        loop {
            match fill(packed, 256 << 10)? {
                end if end.is_empty() => break,
                bytes => digest.update(&bytes),
            }
        }
        let digest = digest.finish().as_ref().to_vec();
        // Unchanged before and after: these are its bytes.
        if let Some(place) = place.filter(|_| unchanged().as_ref() == known_by) {
            self.remember(place, &digest);
        }
        Some(digest)
    }

    fn remember(&self, place: PathBuf, digest: &[u8]) {
        let Ok(file) = Unfinished::begin(&self.folder) else { return };
        let (name, cache, digests) = (Named::Known(place), self.cache.clone(), Arc::clone(&self.digests));
        let mut writer = Writer::new(file, name, DIGEST as u64, cache, digests);
        if writer.append(digest) {
            // Where it cannot be written, the bytes are read again the next time.
            let _ = Box::new(writer).finish();
        }
    }

    fn name(&self, section: &str) -> Option<Named> {
        let plain = section.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
        if !plain {
            return None;
        }
        Some(match &self.identity {
            Some(identity) => Named::Known(self.folder.join(format!("{identity}{section}"))),
            None => Named::ByContent(self.folder.clone(), section.to_owned(), Box::new(Context::new(&SHA256))),
        })
    }
}

impl Keep for Unpacked {
    fn kept(&self, section: &str, size: u64, packed: &mut dyn Read) -> Option<Arc<dyn ReadAt>> {
        let (path, digest) = match self.name(section)? {
            Named::ByContent(folder, section, digest) => {
                let digest = self.digest_of(&section, packed, *digest)?;
                by_digest(&folder, section, digest)
            }
            known @ Named::Known(_) => known.path(),
        };
        let kept = KeptFile::open(&path, size).ok()??;
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).extend(digest);
        Some(Arc::new(kept))
    }

    fn begin(&self, section: &str, size: u64) -> Option<Box<dyn Keeping>> {
        if !self.cache.has_room(&self.folder, size) {
            return None;
        }
        let name = self.name(section)?;
        let file = Unfinished::begin(&self.folder).ok()?;
        Some(Box::new(Writer::new(file, name, size, self.cache.clone(), Arc::clone(&self.digests))))
    }

    fn digest(&self, section: &str) -> Option<Vec<u8>> {
        match self.identity {
            Some(_) => Some(Vec::new()),
            None => self.digests.lock().unwrap_or_else(PoisonError::into_inner).get(section).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache in a folder of this test's own.
    fn cache(name: &str) -> Cache {
        let folder = std::env::temp_dir().join(format!("ctp-cache-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        Cache::new(Some(folder))
    }

    fn unpacked(cache: &Cache) -> Unpacked {
        let folder = cache.part("unpacked").expect("a folder");
        Unpacked { identity: Some("8-1-2-3.4".to_owned()), ..Unpacked::new(cache, folder) }
    }

    fn write(unpacked: &Unpacked, bytes: &[u8]) -> Option<Arc<dyn ReadAt>> {
        let mut keeping = unpacked.begin(".debug_info", bytes.len() as u64).expect("room");
        assert!(bytes.chunks(10_000).all(|part| keeping.append(part)));
        keeping.finish()
    }

    fn same(kept: &dyn ReadAt, bytes: &[u8]) -> bool {
        let mut all = vec![0; bytes.len()];
        kept.read_at(0, &mut all).is_ok() && all == bytes
    }

    #[test]
    fn what_was_kept_is_read_again_by_the_next() {
        let cache = cache("again");
        let unpacked = unpacked(&cache);
        let bytes: Vec<u8> = (0..300_000u32).map(|at| (at % 241) as u8).collect();
        assert!(unpacked.kept(".debug_info", bytes.len() as u64, &mut io::empty()).is_none());
        assert!(same(&*write(&unpacked, &bytes).expect("kept"), &bytes));
        let again = unpacked.kept(".debug_info", bytes.len() as u64, &mut io::empty()).expect("kept");
        assert!(same(&*again, &bytes));
        let mut part = [0; 77];
        again.read_at(65_500, &mut part).expect("inside");
        assert_eq!(part, bytes[65_500..65_577]);
        assert!(unpacked.kept(".debug_info", 5, &mut io::empty()).is_none(), "of another size");
        let _ = std::fs::remove_dir_all(cache.folder.expect("set"));
    }

    /// One container's file must not become another's debug info, whatever both say of themselves.
    #[test]
    fn what_is_known_by_its_contents_is_found_for_no_other() {
        let cache = cache("content");
        let keep = cache.keep_by_content(None).expect("a folder");
        let bytes = vec![3; 100_000];
        let keep_from = |packed: &[&[u8]]| {
            let mut keeping = keep.begin(".debug_info", bytes.len() as u64).expect("room");
            packed.iter().for_each(|part| keeping.unpacked_from(part));
            assert!(keeping.append(&bytes));
            keeping.finish().expect("kept")
        };
        let kept = |mut packed: &[u8]| keep.kept(".debug_info", bytes.len() as u64, &mut packed);
        assert!(kept(b"packed").is_none());
        assert!(same(&*keep_from(&[b"pa", b"cked"]), &bytes));
        assert!(same(&*kept(b"packed").expect("kept"), &bytes));
        assert!(kept(b"Packed").is_none() && kept(b"packed ").is_none() && kept(b"").is_none());
        let mut packed: &[u8] = b"packed";
        assert!(keep.kept(".debug_str", bytes.len() as u64, &mut packed).is_none());
        // A file that is changed while it is unpacked is known by what was read of it.
        drop(keep_from(&[b"pa", b"cked, changed"]));
        assert!(kept(b"packed, changed").is_some());
        let _ = std::fs::remove_dir_all(cache.folder.expect("set"));
    }

    #[test]
    fn a_damaged_entry_is_thrown_away() {
        let cache = cache("damaged");
        let unpacked = unpacked(&cache);
        let bytes = vec![7; 200_000];
        let path = unpacked.name(".debug_info").expect("plain").path().0;
        for damage in [0, 100_000, 199_999] {
            drop(write(&unpacked, &bytes));
            let mut file = std::fs::read(&path).expect("there");
            file[damage] ^= 1;
            std::fs::write(&path, &file).expect("writable");
            let kept = unpacked.kept(".debug_info", bytes.len() as u64, &mut io::empty()).expect("its end is right");
            assert!(!same(&*kept, &bytes), "damage at {damage} was not seen");
            assert!(!path.exists());
        }
        // What a machine leaves behind that died before the disk had it: blocks of zeros.
        for (from, to) in [(0, 32 << 10), (64 << 10, 96 << 10), (131_072, 200_000)] {
            drop(write(&unpacked, &bytes));
            let mut file = std::fs::read(&path).expect("there");
            file[from..to].fill(0);
            std::fs::write(&path, &file).expect("writable");
            let kept = unpacked.kept(".debug_info", bytes.len() as u64, &mut io::empty()).expect("its end is right");
            let mut part = vec![1; 100];
            assert!(kept.read_at(from as u64, &mut part).is_err() && !path.exists());
        }
        drop(write(&unpacked, &bytes));
        let length = std::fs::metadata(&path).expect("there").len();
        std::fs::write(&path, vec![0; length as usize]).expect("writable");
        assert!(unpacked.kept(".debug_info", bytes.len() as u64, &mut io::empty()).is_none() && !path.exists());
        // Cut short, or with a damaged end: no entry at all.
        for cut in [0, 100, 200_000] {
            drop(write(&unpacked, &bytes));
            let file = std::fs::read(&path).expect("there");
            std::fs::write(&path, &file[..cut]).expect("writable");
            assert!(unpacked.kept(".debug_info", bytes.len() as u64, &mut io::empty()).is_none());
            assert!(!path.exists());
        }
        let _ = std::fs::remove_dir_all(cache.folder.expect("set"));
    }

    #[test]
    fn many_may_write_one_entry() {
        let cache = cache("many");
        let bytes: Vec<u8> = (0..500_000u32).map(|at| (at % 239) as u8).collect();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let unpacked = unpacked(&cache);
                    for _ in 0..5 {
                        if let Some(kept) = unpacked.kept(".debug_info", bytes.len() as u64, &mut io::empty()) {
                            assert!(same(&*kept, &bytes));
                        }
                        assert!(same(&*write(&unpacked, &bytes).expect("kept"), &bytes));
                    }
                });
            }
        });
        let left = std::fs::read_dir(cache.part("unpacked").expect("a folder")).expect("listed").count();
        assert_eq!(left, 1, "one entry, nothing unfinished");
        let _ = std::fs::remove_dir_all(cache.folder.expect("set"));
    }

    #[test]
    fn a_folder_that_others_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let cache = cache("open");
        let folder = cache.folder.clone().expect("set");
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).expect("set");
        assert!(cache.part("unpacked").is_none() && cache.keep_by_content(None).is_none());
        let _ = std::fs::remove_dir_all(folder);
    }
}
