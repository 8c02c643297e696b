//! Owns `ctp fmt`: program files put into their canonical layout, in place. A file that is right already is not touched,
//! one with faults is left alone.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use ctp_lang::source::Sources;
use ctp_lang::syntax::{MAX_SOURCE, Refused, decode, format, without_mark};

use super::load;
use crate::error::Failure;
use crate::output::escape::escape;
use crate::report::{self, Color};

/// Put programs into their canonical layout
#[derive(Args, Debug)]
#[command(after_help = "A file with faults is left alone: what is wrong with it is shown, and the exit code is 1.\n\
    Comments, numbers and strings stay as they are written.")]
pub struct Fmt {
    /// Program files, rewritten in place; `-` reads standard input and writes standard output
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// Change nothing: name the files that would change and end with 1 where there is one
    #[arg(long)]
    pub check: bool,
}

/// The exit code of a fault of ctp itself.
const EXIT_FAULT: u8 = 101;

/// Formats each file; the worst of their exit codes: 0 done, 1 faults or (with `--check`) differences, 2 the system.
///
/// # Errors
/// [`Failure`] where standard output cannot be written; what is wrong with one file does not keep others from being
/// formatted.
pub fn run(fmt: &Fmt, color: Color) -> Result<u8, Failure> {
    let mut worst = 0;
    for path in &fmt.files {
        let code = match one(path, fmt.check, color) {
            Ok(code) => code,
            Err(failure) => report::failure(&failure, color),
        };
        worst = worst.max(code);
    }
    Ok(worst)
}

fn one(path: &str, check: bool, color: Color) -> Result<u8, Failure> {
    let bytes = load::read(path).map_err(|source| Failure::File { action: "read", path: path.to_owned(), source })?;
    let mut sources = Sources::default();
    let source = sources.add(path, String::from_utf8_lossy(without_mark(&bytes)).into_owned());
    let formatted = decode(source, &bytes)
        .map_err(|diagnostic| Refused::Faults(vec![*diagnostic]))
        .and_then(|text| format(source, &text).map(|formatted| (text, formatted)));
    let (text, formatted) = match formatted {
        Ok(done) => done,
        Err(Refused::Faults(diagnostics)) => {
            report::diagnostics(&sources, &diagnostics, color);
            report::notice(&format!("{path} is left as it is: only a program without faults is formatted"));
            return Ok(report::EXIT_DIAGNOSTICS);
        }
        Err(Refused::TooLarge(bytes)) => {
            report::notice(&format!(
                "{path} is left as it is: formatted it would have {bytes} bytes, more than the {MAX_SOURCE} of a program"
            ));
            return Ok(report::EXIT_DIAGNOSTICS);
        }
        Err(Refused::Unfaithful(_)) => {
            report::notice(&format!(
                "{path} is left as it is: formatted it would not say the same. That is a fault of ctp"
            ));
            return Ok(EXIT_FAULT);
        }
    };
    // A mark at the start of the bytes is no part of the text.
    let same = formatted.as_bytes() == bytes;
    let done = match (path, check) {
        (_, true) if same => return Ok(0),
        (_, true) => {
            print(&difference(path, &text, &formatted))?;
            return Ok(report::EXIT_DIAGNOSTICS);
        }
        ("-", false) => return print(&formatted).map(|()| 0),
        (_, false) if same => Ok(()),
        (_, false) => replace(Path::new(path), formatted.as_bytes()),
    };
    done.map(|()| 0).map_err(|source| Failure::File { action: "write", path: path.to_owned(), source })
}

/// The first line in which a file is not as it should be.
fn difference(path: &str, text: &str, formatted: &str) -> String {
    let mut have = text.lines();
    let mut want = formatted.lines();
    let mut line = 1;
    let (have, want) = loop {
        match (have.next(), want.next()) {
            (Some(one), Some(other)) if one == other => line += 1,
            (None, None) => return format!("{}: its line ends or its marks differ\n", escape(path)),
            pair => break pair,
        }
    };
    let side = |sign: char, line: Option<&str>| {
        line.map_or(String::new(), |line| format!("-{}\n", escape(line)).replacen('-', &sign.to_string(), 1))
    };
    format!("{}:{line}: is not formatted\n{}{}", escape(path), side('-', have), side('+', want))
}

fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::File { action: "write", path: "standard output".to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Gives a file other contents, all at once: whoever reads it meanwhile finds the old or the new. Mode and owner stay,
/// and a symbolic link stays one.
fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let old = fs::metadata(&path)?;
    let beside = beside(&path);
    let written = write_new(&beside, contents, &old).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // What could not be made may not be there either.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write_new(path: &Path, contents: &[u8], like: &fs::Metadata) -> io::Result<()> {
    let mut file: File = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7777))?;
    file.sync_all()
}

/// A name in the same folder that nothing bears.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.ctp-fmt", std::process::id()));
    path.with_file_name(name)
}
