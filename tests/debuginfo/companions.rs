//! Finds the further files of a program in one folder, as the runner does in many: what is read of them is tested here,
//! where they are looked for is tested with containers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_lang::world::{Companion, Companions, Keep, Looked, Wanted};

use crate::build::OnDisk;

/// A folder with debug info in it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Companions for Folder {
    fn look(&self, wanted: &Wanted<'_>, judge: &mut dyn FnMut(Companion) -> Result<(), String>) -> Vec<Looked> {
        let base = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let name = match *wanted {
            Wanted::DebugFile { link, .. } => link.unwrap_or("none").to_owned(),
            Wanted::Alternate { path, .. } => base(path),
            Wanted::Package { of } => format!("{}.dwp", base(of)),
            Wanted::Split { name, .. } => base(name),
        };
        let path = self.0.join(name);
        let place = path.display().to_string();
        if !path.exists() {
            return vec![Looked { place, refused: None }];
        }
        let companion = Companion { path: place.clone(), bytes: Arc::new(OnDisk::open(&path)), keep: None };
        match judge(companion) {
            Ok(()) => Vec::new(),
            Err(why) => vec![Looked { place, refused: Some(why) }],
        }
    }

    fn keep(&self) -> Option<Arc<dyn Keep>> {
        None
    }
}

/// Opens a program whose further files are in its own folder.
pub(crate) fn open(path: &Path) -> Module {
    let folder = Folder(path.parent().unwrap().to_owned());
    let bytes = Arc::new(OnDisk::open(path));
    Module::with_companions(bytes, path.to_str().unwrap(), Some(Arc::new(folder))).unwrap()
}
