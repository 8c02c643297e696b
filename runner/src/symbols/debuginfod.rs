//! Owns asking debuginfod servers: one GET for a build id, bounded in time and size, into the cache. Asks only servers
//! that the user or the environment named.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cache::{Cache, Unfinished};
use super::host::HostFile;

/// Time to connect and to get the first bytes of an answer: a server may have to unpack an archive first.
const FIRST_BYTES: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);
/// Time for the whole file.
const WHOLE: Duration = Duration::from_secs(600);
/// Largest file taken.
const LARGEST: u64 = 3 << 30;

/// The debug info of one build id: in the cache, or to be downloaded into it.
pub(super) struct Downloads<'c> {
    cache: &'c Cache,
    folder: PathBuf,
    id: String,
}

impl<'c> Downloads<'c> {
    /// `None` where the cache cannot be written to.
    pub(super) fn new(cache: &'c Cache, build_id: &[u8]) -> Option<Downloads<'c>> {
        let id = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Downloads { cache, folder: cache.part("debuginfod")?, id })
    }

    /// Where it is kept.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.debug", self.id))
    }

    /// What was downloaded before.
    ///
    /// # Errors
    /// As opening it fails.
    pub(super) fn cached(&self) -> io::Result<Option<HostFile>> {
        HostFile::open(&self.path())
    }

    /// Removes it: it was not what the server was asked for.
    pub(super) fn forget(&self) {
        let _ = std::fs::remove_file(self.path());
    }

    /// Downloads it; `None` where the server has none.
    ///
    /// # Errors
    /// In words, why it could not be had.
    pub(super) fn fetch(&self, server: &str) -> Result<Option<HostFile>, String> {
        let url = format!("{}/buildid/{}/debuginfo", server.trim_end_matches('/'), self.id);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(FIRST_BYTES))
            .timeout_global(Some(WHOLE))
            .user_agent(concat!("ctp/", env!("CARGO_PKG_VERSION")))
            .build();
        let mut answer =
            ureq::Agent::new_with_config(config).get(&url).call().map_err(|error| format!("not reached: {error}"))?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(None),
            other => return Err(format!("it answered with status {other}")),
        }
        let size = answer.body().content_length().unwrap_or(0);
        if size > LARGEST || !self.cache.has_room(&self.folder, size) {
            return Err(format!("there is no room for the {size} bytes it sends"));
        }
        let body = answer.body_mut().with_config().limit(LARGEST).reader();
        self.store(body, &self.path()).map_err(|error| format!("what it sent was not got whole: {error}"))?;
        self.cached().map_err(|error| error.to_string())
    }

    fn store(&self, mut body: impl io::Read, path: &Path) -> io::Result<()> {
        let mut unfinished = Unfinished::begin(&self.folder)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = body.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            unfinished.file.write_all(buffer.get(..read).unwrap_or_default())?;
        }
        unfinished.finish(path)?;
        self.cache.trim();
        Ok(())
    }
}
