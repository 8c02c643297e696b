//! C programs as compilers build them, and where gdb puts a breakpoint in their functions: the addresses that the
//! tests' programs mean. Nothing here asks ctp.

use std::path::PathBuf;
use std::process::Command;

/// A C program that was built.
pub(crate) struct Sample {
    /// The executable.
    pub(crate) path: PathBuf,
}

impl Sample {
    /// Builds `tests/emit/sample.c` with a compiler and its options.
    pub(crate) fn build(compiler: &str, options: &[&str]) -> Sample {
        Sample::of("sample.c", compiler, options)
    }

    /// Builds a C file of this folder.
    pub(crate) fn of(source: &str, compiler: &str, options: &[&str]) -> Sample {
        let name = format!("{}-{compiler}{}", source.replace('/', "-"), options.concat().replace(['/', '='], "-"));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join(&name);
        let building = folder.join(format!("{name}.{:?}", std::thread::current().id()));
        let source = format!("{}/emit/{source}", env!("CARGO_MANIFEST_DIR"));
        let status = Command::new(compiler).args(["-g", "-o"]).arg(&building).arg(source).args(options).status();
        assert!(status.expect("the compiler starts").success(), "{compiler} {options:?} builds the sample");
        std::fs::rename(&building, &path).expect("the sample has its name");
        Sample { path }
    }

    /// Every link-time address at which gdb breaks for a function: inlined instances too.
    pub(crate) fn breakpoints(&self, function: &str) -> Vec<u64> {
        let break_at = format!("break {function}");
        let output = Command::new("gdb")
            .args(["-nx", "-batch", "-ex", &break_at, "-ex", "info breakpoints"])
            .arg(&self.path)
            .output()
            .expect("gdb starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // A row of the table: `1 breakpoint keep y 0x… in f at …`; of several places: `1.1 y 0x… in …`.
        let mut found: Vec<u64> = text
            .lines()
            .filter(|line| line.contains(" in "))
            .filter_map(|line| line.split_whitespace().find_map(|word| word.strip_prefix("0x")))
            .filter_map(|digits| u64::from_str_radix(digits, 16).ok())
            .collect();
        found.sort_unstable();
        assert!(!found.is_empty(), "gdb finds {function}:\n{text}");
        found
    }

    /// The address of a symbol, from nm.
    pub(crate) fn symbol(&self, name: &str) -> u64 {
        let output = Command::new("nm").arg(&self.path).output().expect("nm starts");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find_map(|(address, rest)| (rest.get(2..) == Some(name)).then(|| u64::from_str_radix(address, 16).ok())?)
            .unwrap_or_else(|| panic!("nm finds {name}"))
    }
}
