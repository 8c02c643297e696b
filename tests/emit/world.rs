//! A world of one container whose files are samples: programs come from `.ctp` texts through the real checker.

use std::path::PathBuf;
use std::sync::Arc;

use ctp_lang::check::{Settings, check};
use ctp_lang::ir::Program;
use ctp_lang::source::Sources;
use ctp_lang::syntax::parse;
use ctp_lang::world::{Container, FileId, ListError, Mapped, OpenError, Opened, Place, World};

use crate::programs::container;

/// Container `web` with these files, by their paths in it; the first is what it executes.
pub(crate) struct Samples(pub(crate) Vec<(&'static str, PathBuf)>);

impl World for Samples {
    fn containers(&self) -> Result<Arc<[Container]>, ListError> {
        Ok(Arc::new([container("web")]))
    }

    fn listing_notes(&self) -> Vec<String> {
        Vec::new()
    }

    fn mapped(&self, _: &Container) -> Mapped {
        Mapped { paths: self.0.iter().map(|(path, _)| (*path).to_owned()).collect(), of_first: None }
    }

    fn open(&self, _: &Container, place: &Place) -> Result<Opened, OpenError> {
        let found = self.0.iter().enumerate().find(|(index, (path, _))| match place {
            Place::Path(wanted) => wanted == path,
            Place::Exe => *index == 0,
        });
        let (index, (path, file)) = found.ok_or(OpenError::Gone)?;
        let bytes = std::fs::read(file).map_err(|error| OpenError::Other(error.to_string()))?;
        let id = FileId(u32::try_from(index).expect("few files"));
        Ok(Opened { file: id, path: (*path).to_owned(), bytes: Arc::new(bytes) })
    }
}

/// The checked program of a text.
pub(crate) fn checked(name: &str, text: &str, world: &Samples) -> (Sources, Program) {
    let mut sources = Sources::default();
    let source = sources.add(name, text);
    let (file, mut diagnostics) = parse(source, text);
    let (program, found) = check(&sources, &[file], world, &Settings::default());
    diagnostics.extend(found);
    let program = program.unwrap_or_else(|| panic!("{name} is right: {diagnostics:#?}"));
    (sources, program)
}
