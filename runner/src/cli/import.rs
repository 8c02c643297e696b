//! Owns following `import`: paths beside the importing file, each file once. Reads only what programs name.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ctp_lang::codes::Code;
use ctp_lang::diagnostic::{Diagnostic, nearest_names};
use ctp_lang::syntax::ast::Str;

/// How deep imports may nest.
pub(super) const DEEPEST: usize = 64;
/// Most names of a folder that are looked at for near ones.
const MOST_NAMES: usize = 10_000;

/// What a file is, whatever its path: device and inode.
pub(super) type Identity = (u64, u64);

/// What an import names.
pub(super) fn path_of(importer: &Path, import: &Str) -> PathBuf {
    importer.parent().unwrap_or(Path::new("")).join(OsStr::from_bytes(&import.bytes))
}

/// Which file a path names.
///
/// # Errors
/// Where there is none, or it is no regular file: reading another kind could wait for ever.
pub(super) fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok((metadata.dev(), metadata.ino()))
}

/// What to say where an import cannot be read.
pub(super) fn unreadable(import: &Str, path: &Path, error: &io::Error) -> Diagnostic {
    let shown = import.text().escape_debug().to_string();
    let message = match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file `{shown}`"),
        _ => format!("`{shown}` cannot be read: {error}"),
    };
    let problem = Diagnostic::new(Code::E0115, import.span, message)
        .note(format!("looked for {}", path.display().to_string().escape_debug()));
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return problem };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .take(MOST_NAMES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".ctp"))
        .collect();
    problem.nearest(&nearest_names(&name.to_string_lossy(), names.iter().map(String::as_str), 3))
}

/// What to say of an import that nests too deep.
pub(super) fn too_deep(import: &Str) -> Diagnostic {
    Diagnostic::new(Code::E0115, import.span, format!("imports nest deeper than {DEEPEST}"))
        .help("import what is needed directly")
}
