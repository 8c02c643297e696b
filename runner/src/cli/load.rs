//! Owns reading program texts: files, standard input, `-e`. Parses them, checks nothing.

use std::io::Read as _;

use ctp_lang::diagnostic::Diagnostic;
use ctp_lang::source::Sources;
use ctp_lang::syntax::ast::{File, ItemKind, PointKind};
use ctp_lang::syntax::{decode, parse, without_mark};

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

/// Reads and parses files (`-` is standard input) and scripts given on the command line.
///
/// # Errors
/// [`Failure::File`] for one that cannot be read.
pub fn load(paths: &[String], scripts: &[String]) -> Result<Loaded, Failure> {
    let mut loaded = Loaded { sources: Sources::default(), files: Vec::new(), diagnostics: Vec::new() };
    for path in paths {
        let bytes = read(path).map_err(|source| Failure::File { action: "read", path: path.clone(), source })?;
        loaded.add(path, &bytes);
    }
    for script in scripts {
        loaded.add("-e", script.as_bytes());
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

    fn add(&mut self, name: &str, bytes: &[u8]) {
        let source = self.sources.add(name, String::from_utf8_lossy(without_mark(bytes)).into_owned());
        match decode(source, bytes) {
            Err(diagnostic) => self.diagnostics.push(*diagnostic),
            Ok(text) => {
                let (file, diagnostics) = parse(source, &text);
                self.files.push(file);
                self.diagnostics.extend(diagnostics);
            }
        }
    }
}

/// The bytes of a file, or of standard input where it is `-`.
pub(super) fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == "-" {
        std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > LARGEST {
        return Err(std::io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    Ok(bytes)
}
