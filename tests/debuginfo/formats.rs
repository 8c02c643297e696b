//! Every form in which toolchains leave debug info behind: the values ctp reads through it are those the programs print.

use std::path::{Path, PathBuf};
use std::process::Command;

use ctp_lang::debuginfo::Module;

use crate::build::{Program, Variant};
use crate::{companions, oracle, values};

/// Two units: statics of one name, a function of a header in both, one called across.
const SOURCES: [&str; 2] = ["unit_a.c", "unit_b.c"];
const NAMES: [&str; 3] = ["helper", "in_header", "from_b"];

fn run(tool: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new("timeout").args(["60", tool]).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{tool}: {error}"));
    assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Compiles into a folder of its own, so that its further files lie there and nothing else does.
fn compile(name: &str, compiler: &str, flags: &[&str]) -> Program {
    let label: String = flags.iter().flat_map(|flag| flag.chars()).filter(char::is_ascii_alphanumeric).collect();
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-formats").join(format!("{name}-{compiler}-{label}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let mut arguments: Vec<&str> = vec!["-Wl,--build-id"];
    arguments.extend(flags);
    let sources = SOURCES.map(|source| format!("{}/debuginfo/c/{source}", env!("CARGO_MANIFEST_DIR")));
    arguments.extend(["-o", "app"]);
    arguments.extend(sources.iter().map(String::as_str));
    run(compiler, &arguments, &folder);
    Program { path: folder.join("app") }
}

fn folder(program: &Program) -> PathBuf {
    program.path.parent().unwrap().to_owned()
}

/// Holds that all functions are found, with every value that the program prints.
fn holds(what: &str, program: &Program) -> Module {
    let module = companions::open(&program.path);
    let functions: Vec<_> = NAMES.iter().flat_map(|name| module.functions(name).unwrap()).collect();
    assert_eq!(functions.len(), 4, "{what}: {functions:#?} {:?}", module.notes());
    // gdb only runs it: what it makes of the debug info does not matter (of packages its version 13 makes a crash).
    let bare = Program { path: program.path.with_file_name("bare") };
    run("objcopy", &["--strip-debug", "app", "bare"], &folder(program));
    let missing = values::compare(what, &oracle::run(&bare, &module, &functions), &functions);
    assert!(missing.is_empty(), "{what}: {missing:?}");
    // gdb sees the same types: the parameters of both `helper`s.
    for function in functions.iter().filter(|function| function.name == "helper") {
        for variable in &function.sites[0].variables {
            module.ty(variable.ty.unwrap()).unwrap();
        }
    }
    assert!(module.functions("no_such_function").unwrap().is_empty());
    module
}

fn has_section(program: &Path, section: &str) -> bool {
    let output = Command::new("readelf").arg("-SW").arg(program).output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains(section)
}

#[test]
fn compressed_with_zlib_zstd_and_the_old_way() {
    for form in ["zlib", "zlib-gnu", "zstd"] {
        let program = compile(&format!("packed-{form}"), "gcc", &["-O2", "-g"]);
        run("objcopy", &[&format!("--compress-debug-sections={form}"), "app"], &folder(&program));
        let shown = program.shown_by("readelf", &["-tW"]);
        let expected = match form {
            "zlib" => "ZLIB",
            "zlib-gnu" => ".zdebug_info",
            _ => "ZSTD",
        };
        assert!(shown.contains(expected), "{form}: {shown}");
        holds(form, &program);
    }
}

#[test]
fn dwarf_in_64_bit_form() {
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        for level in ["-O0", "-O2"] {
            let program = compile("dwarf64", "gcc", &[level, version, "-gdwarf64"]);
            assert!(program.shown_by("readelf", &["--debug-dump=info"]).contains("(64-bit)"));
            holds(&format!("DWARF64 {version} {level}"), &program);
        }
    }
}

#[test]
fn type_units() {
    // clang makes type units of C++'s types only.
    const BUILDS: [&[&str]; 2] =
        [&["-O0", "-gdwarf-4", "-fdebug-types-section"], &["-O0", "-gdwarf-5", "-fdebug-types-section"]];
    for flags in BUILDS {
        let program = Program::compile("type-units", "gcc", flags, &["values.c"]);
        assert!(program.shown_by("readelf", &["--debug-dump=info"]).to_lowercase().contains("signature"));
        let variant = Variant { compiler: "gcc", flags };
        values::excuse(&variant, &values::check(&program, &variant), &[]);
    }
}

/// The flags of every split build.
fn split_builds() -> Vec<(&'static str, [&'static str; 3])> {
    let mut builds = Vec::new();
    for compiler in ["gcc", "clang"] {
        for version in ["-gdwarf-4", "-gdwarf-5"] {
            for level in ["-O0", "-O2"] {
                builds.push((compiler, [level, version, "-gsplit-dwarf"]));
            }
        }
    }
    builds
}

#[test]
fn split_units_beside_the_program() {
    for (compiler, flags) in split_builds() {
        let program = compile("split", compiler, &flags);
        assert!(has_section(&program.path, ".debug_addr"));
        holds(&format!("split {compiler} {flags:?}"), &program);

        let split: Vec<_> = std::fs::read_dir(folder(&program)).unwrap().map(|entry| entry.unwrap().path()).collect();
        let split: Vec<_> = split.iter().filter(|path| path.extension().is_some_and(|end| end == "dwo")).collect();
        assert_eq!(split.len(), 2, "{compiler} {flags:?}");

        // A file of another build is refused, and what is missing is said.
        std::fs::copy(split[0], split[1]).unwrap();
        let module = companions::open(&program.path);
        let found: usize = NAMES.iter().map(|name| module.functions(name).unwrap().len()).sum();
        assert!(found >= 1, "the other unit is still read");
        let notes = module.notes().join("\n");
        assert!(notes.contains("1 of 2 units") && notes.contains("another build"), "{notes}");
        std::fs::remove_file(split[1]).unwrap();
        let module = companions::open(&program.path);
        assert!(module.functions("from_b").is_ok());
        let notes = module.notes().join("\n");
        assert!(notes.contains("1 of 2 units") && notes.contains("nothing there"), "{notes}");
    }
}

#[test]
fn split_units_in_a_package() {
    // No tool of Debian 12 makes a package of what gcc writes in DWARF 5: binutils' dwp makes an empty one, LLVM's does
    // not end.
    let made = |(compiler, flags): &(&str, [&str; 3])| *compiler == "clang" || flags[1] == "-gdwarf-4";
    for (compiler, flags) in split_builds().into_iter().filter(made) {
        let program = compile("package", compiler, &flags);
        let folder = folder(&program);
        let split: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let split: Vec<_> =
            split.iter().map(|name| name.to_str().unwrap()).filter(|name| name.ends_with(".dwo")).collect();
        let mut arguments = vec!["-o", "app.dwp"];
        arguments.extend(&split);
        let tool = if compiler == "gcc" { "dwp" } else { "llvm-dwp" };
        run(tool, &arguments, &folder);
        split.iter().for_each(|name| std::fs::remove_file(folder.join(name)).unwrap());
        holds(&format!("package {compiler} {flags:?}"), &program);
    }
}

/// Strips a program, its debug info into `app.debug`; with the flags of objcopy that make the link.
fn strip(program: &Program, link: &[&str]) {
    let folder = folder(program);
    run("objcopy", &["--only-keep-debug", "app", "app.debug"], &folder);
    run("strip", &["app"], &folder);
    if !link.is_empty() {
        run("objcopy", &[link, &["app"]].concat(), &folder);
    }
}

#[test]
fn stripped_into_another_file() {
    for (build_id, flags) in [(true, &["-O2", "-g"][..]), (false, &["-O2", "-g", "-Wl,--build-id=none"][..])] {
        let program = compile("stripped", "gcc", flags);
        strip(&program, &["--add-gnu-debuglink=app.debug"]);
        assert!(!has_section(&program.path, ".debug_info"));
        assert_eq!(companions::open(&program.path).build_id().is_some(), build_id);
        let module = holds(&format!("stripped, build id {build_id}"), &program);
        assert!(module.debug_file().unwrap().ends_with("/app.debug"));
        // Its own file alone says nothing of parameters.
        assert!(!program.module().has_dwarf());

        // Another build under that name is refused, by name.
        let other = compile("stripped-other", "gcc", &[flags, &["-DUNROLL"]].concat());
        run("objcopy", &["--only-keep-debug", "app", "app.debug"], &folder(&other));
        std::fs::copy(folder(&other).join("app.debug"), folder(&program).join("app.debug")).unwrap();
        let module = companions::open(&program.path);
        assert!(!module.has_dwarf());
        let notes = module.notes().join("\n");
        let why = if build_id { "its build id is" } else { "its checksum is" };
        assert!(notes.contains("app.debug") && notes.contains(why), "{notes}");
    }
}

#[test]
fn names_packed_into_a_stripped_program() {
    // As Fedora packages programs (gdb's manual, "Debugging information in a special section").
    let program = compile("packed-names", "gcc", &["-O0", "-g"]);
    let folder = folder(&program);
    let symbols = program.shown_by("nm", &[]);
    let address = |name: &str| {
        let lines = symbols.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut found: Vec<u64> = lines
            .filter(|fields| fields.last() == Some(&name))
            .map(|fields| u64::from_str_radix(fields[0], 16).unwrap())
            .collect();
        found.sort_unstable();
        found
    };
    for (level, threads) in [("-6", "1"), ("-0", "1"), ("-9", "1"), ("-6", "2")] {
        run("objcopy", &["--only-keep-debug", "app", "names"], &folder);
        run(
            "objcopy",
            &["-S", "--remove-section=.comment", "--keep-symbol=helper", "--keep-symbol=from_b", "names"],
            &folder,
        );
        run("xz", &["--force", level, "-T", threads, "names"], &folder);
        run("objcopy", &["--strip-all", "app", "stripped"], &folder);
        run("objcopy", &["--add-section", ".gnu_debugdata=names.xz", "stripped"], &folder);
        let module = companions::open(&folder.join("stripped"));
        assert!(!module.has_dwarf());
        for name in ["helper", "from_b"] {
            let found = module.functions(name).unwrap();
            let mut sites: Vec<u64> = found.iter().flat_map(|one| &one.sites).map(|site| site.address).collect();
            sites.sort_unstable();
            assert_eq!(sites, address(name), "{name} {level}");
        }
    }
}

#[test]
fn what_dwz_moved_into_one_file_for_two_programs() {
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let program = compile("dwz", "gcc", &["-O2", version]);
        let folder = folder(&program);
        // A second program with much in common, so that there is something to move.
        std::fs::copy(&program.path, folder.join("other")).unwrap();
        run("objcopy", &["--remove-section=.note.gnu.build-id", "other"], &folder);
        run("dwz", &["-m", "common.debug", "-M", "common.debug", "app", "other"], &folder);
        assert!(has_section(&program.path, ".gnu_debugaltlink"));
        holds(&format!("dwz {version}"), &program);
        // Moved within one file, too.
        let alone = compile("dwz-alone", "gcc", &["-O2", version]);
        run("dwz", &["app"], &self::folder(&alone));
        holds(&format!("dwz alone {version}"), &alone);

        // Without the other file nothing is said of values, and what is missing is named.
        let id = program.shown_by("readelf", &["--debug-dump=links"]);
        std::fs::rename(folder.join("common.debug"), folder.join("elsewhere")).unwrap();
        let module = companions::open(&program.path);
        let found = module.functions("helper").unwrap();
        assert!(found.iter().flat_map(|one| &one.sites).all(|site| site.variables.is_empty()));
        let notes = module.notes().join("\n");
        assert!(notes.contains("common.debug") && notes.contains("nothing there"), "{notes} {id}");
        std::fs::copy(&program.path, folder.join("common.debug")).unwrap();
        let module = companions::open(&program.path);
        let _ = module.functions("helper").unwrap();
        let notes = module.notes().join("\n");
        assert!(notes.contains("common.debug") && notes.contains("its build id is"), "{notes}");
    }
}

#[test]
fn programs_for_aarch64_are_read_and_not_traced() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debuginfo-formats").join("aarch64");
    std::fs::create_dir_all(&folder).unwrap();
    let source = "struct pair { int x; long y; };\n\
        __attribute__((noinline)) int sum(int a, struct pair *p, char c) { return a + p->x + (int)p->y + c; }\n\
        void _start(void) { struct pair p = { 1, 2 }; volatile int n = sum(3, &p, 'c'); (void)n; }\n";
    std::fs::write(folder.join("sum.c"), source).unwrap();
    for level in ["-O0", "-O2"] {
        let flags =
            ["--target=aarch64-linux-gnu", level, "-g", "-ffreestanding", "-nostdlib", "-static", "-fuse-ld=lld"];
        run("clang", &[&flags[..], &["-o", "sum", "sum.c"]].concat(), &folder);
        let module = companions::open(&folder.join("sum"));
        assert!(module.traced().unwrap_err().to_string().contains("AArch64"));
        let found = module.functions("sum").unwrap();
        assert_eq!(found.len(), 1, "{level}");
        let output = Command::new("llvm-dwarfdump").arg("--name=sum").arg(folder.join("sum")).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let low = shown.split("DW_AT_low_pc\t(0x").nth(1).unwrap().split(')').next().unwrap();
        assert_eq!(found[0].sites[0].entry, u64::from_str_radix(low, 16).unwrap(), "{shown}");
        let names: Vec<&str> = found[0].sites[0].variables.iter().map(|variable| variable.name.as_str()).collect();
        assert_eq!(names, ["a", "p", "c"]);
    }
}

/// Small files of each form, for the tests of damaged ones: a program, and the further file of it to damage, if any.
pub(crate) fn seeds() -> Vec<(PathBuf, Option<PathBuf>)> {
    let mut seeds = Vec::new();
    let zstd = compile("seed-zstd", "gcc", &["-O2", "-g"]);
    run("objcopy", &["--compress-debug-sections=zstd", "app"], &folder(&zstd));
    seeds.push((zstd.path.clone(), None));

    let stripped = compile("seed-stripped", "gcc", &["-O2", "-g"]);
    strip(&stripped, &["--add-gnu-debuglink=app.debug"]);
    seeds.push((stripped.path.clone(), Some(folder(&stripped).join("app.debug"))));

    let shared = compile("seed-dwz", "gcc", &["-O2", "-g"]);
    std::fs::copy(&shared.path, folder(&shared).join("other")).unwrap();
    run("dwz", &["-m", "common.debug", "-M", "common.debug", "app", "other"], &folder(&shared));
    seeds.push((shared.path.clone(), Some(folder(&shared).join("common.debug"))));
    seeds.push((folder(&shared).join("other"), None));

    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let split = compile("seed-split", "clang", &["-O1", version, "-gsplit-dwarf"]);
        let units: Vec<_> = std::fs::read_dir(folder(&split)).unwrap().map(|entry| entry.unwrap().path()).collect();
        let units: Vec<&PathBuf> =
            units.iter().filter(|path| path.extension().is_some_and(|end| end == "dwo")).collect();
        let names: Vec<&str> = units.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        run("llvm-dwp", &[&["-o", "app.dwp"], &names[..]].concat(), &folder(&split));
        seeds.push((split.path.clone(), Some(folder(&split).join("app.dwp"))));
        seeds.push((split.path.clone(), Some(units[0].clone())));
    }

    let names = compile("seed-names", "gcc", &["-O0", "-g"]);
    run("objcopy", &["--only-keep-debug", "app", "names"], &folder(&names));
    run("objcopy", &["-S", "--keep-symbol=helper", "names"], &folder(&names));
    run("xz", &["--force", "names"], &folder(&names));
    run("strip", &["app"], &folder(&names));
    run("objcopy", &["--add-section", ".gnu_debugdata=names.xz", "app"], &folder(&names));
    seeds.push((names.path, None));
    seeds
}
