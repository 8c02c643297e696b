//! Owns reading program texts: files, standard input, `-e`, and what those import. Parses them, checks nothing.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::source::{SourceId, Sources};
use ctp_lang::syntax::ast::{File, ItemKind, PointKind, Str};
use ctp_lang::syntax::{decode, parse, without_mark};

use super::import::{self, Identity};
use crate::error::Failure;

/// The largest program text, in bytes.
const LARGEST: u64 = 16 << 20;

/// Program texts, parsed.
#[derive(Debug)]
pub struct Loaded {
    /// The texts.
    pub sources: Sources,
    /// Their trees.
    pub files: Vec<File>,
    /// What the parser has to say.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads and parses files (`-` is standard input), what they import, and scripts given on the command line.
///
/// # Errors
/// [`Failure::File`] for one that cannot be read; an import that cannot is a diagnostic.
pub fn load(paths: &[String], scripts: &[String]) -> Result<Loaded, Failure> {
    let mut loaded = Loaded { sources: Sources::default(), files: Vec::new(), diagnostics: Vec::new() };
    let mut seen = HashMap::new();
    for path in paths {
        let identity = if path == "-" { None } else { import::identity(Path::new(path)).ok() };
        if let Some(known) = identity.and_then(|identity| seen.get(&identity)) {
            // Given after a file that imports it, it is a program of its own as well.
            loaded.files.iter_mut().filter(|file| file.source == *known).for_each(|file| file.imported = false);
            continue;
        }
        let bytes = read(path).map_err(|source| Failure::File { action: "read", path: path.clone(), source })?;
        let name = if path == "-" { "" } else { path.as_str() };
        loaded.add(path, &bytes, (Path::new(name), identity), &mut seen, 0);
    }
    for script in scripts {
        loaded.add("-e", script.as_bytes(), (Path::new(""), None), &mut seen, 0);
    }
    Ok(loaded)
}

impl Loaded {
    /// Whether some point is at an address of a file.
    pub fn has_sites(&self) -> bool {
        self.files.iter().flat_map(|file| &file.items).any(|item| match &item.kind {
            ItemKind::Probe(probe) => probe.points.iter().any(|point| matches!(point.kind, PointKind::Site { .. })),
            ItemKind::Global(_)
            | ItemKind::Const { .. }
            | ItemKind::Function(_)
            | ItemKind::Import(_)
            | ItemKind::Broken => false,
        })
    }

    /// Parses a text. What it imports comes before it.
    fn add(
        &mut self,
        name: &str,
        bytes: &[u8],
        (path, identity): (&Path, Option<Identity>),
        seen: &mut HashMap<Identity, SourceId>,
        depth: usize,
    ) {
        let source = self.sources.add(name, String::from_utf8_lossy(without_mark(bytes)).into_owned());
        seen.extend(identity.map(|identity| (identity, source)));
        match decode(source, bytes) {
            Err(diagnostic) => self.diagnostics.push(*diagnostic),
            Ok(text) => {
                let (mut file, diagnostics) = parse(source, &text);
                self.diagnostics.extend(diagnostics);
                for wanted in file.imports() {
                    self.import(wanted, path, seen, depth + 1);
                }
                file.imported = depth > 0;
                self.files.push(file);
            }
        }
    }

    fn import(&mut self, wanted: &Str, importer: &Path, seen: &mut HashMap<Identity, SourceId>, depth: usize) {
        let path = import::path_of(importer, wanted);
        if depth > import::DEEPEST {
            self.diagnostics.push(import::too_deep(wanted));
            return;
        }
        let found = import::identity(&path).and_then(|identity| {
            if seen.contains_key(&identity) {
                return Ok(None);
            }
            let file = std::fs::File::open(&path)?;
            Ok(Some((identity, whole(file)?)))
        });
        match found {
            Err(error) => self.diagnostics.push(import::unreadable(wanted, &path, &error)),
            Ok(None) => {}
            Ok(Some((identity, bytes))) => {
                let name = path.to_string_lossy().into_owned();
                self.add(&name, &bytes, (&path, Some(identity)), seen, depth);
            }
        }
    }
}

/// The bytes of a file, or of standard input where it is `-`.
pub(super) fn read(path: &str) -> std::io::Result<Vec<u8>> {
    if path == "-" { whole(std::io::stdin().lock()) } else { whole(std::fs::File::open(path)?) }
}

fn whole(from: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(std::io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(bytes)
}
