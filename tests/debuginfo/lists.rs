//! What a whole program holds, every one of them: its functions against `stap -L`, the addresses of source lines against
//! llvm-dwarfdump and addr2line, its marks against `readelf -n`. Differences are counted, and each kind that is allowed
//! is explained where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ctp_lang::debuginfo::LineQuery;
use ctp_lang::debuginfo::facts::Function;

use crate::companions;

/// Debian's python3.11-dbg, gcc -Og, and its library with marks.
const PYTHON: &str = "/usr/bin/python3.11d";
const WITH_MARKS: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/libpython3.11d.so.1.0",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/bin/python3.11d",
];

fn said(command: &mut Command) -> String {
    let output = command.stderr(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A kernel for which stap may translate: nothing is built, but it wants to see one.
fn release() -> String {
    let listed = std::fs::read_dir("/lib/modules").unwrap().flatten();
    let mut releases: Vec<String> = listed
        .filter(|entry| entry.path().join("build").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    releases.sort();
    releases.pop().expect("linux-headers-amd64 is installed")
}

/// A function as both name it: name, file's last part, line.
type Named = (String, String, u32);

fn last(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

#[test]
fn functions_and_parameters_are_those_of_stap() {
    let point = format!("process(\"{PYTHON}\").function(\"*\")");
    let text = said(Command::new("stap").args(["-r", &release(), "-L", &point]));
    let mut theirs: BTreeMap<Named, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        let (point, variables) = line.split_once("\") ").unwrap_or((line.trim_end_matches("\")"), ""));
        let (_, named) = point.split_once("function(\"").unwrap();
        let Some((name, place)) = named.split_once('@') else { continue };
        let (file, line) = place.rsplit_once(':').unwrap();
        let names = variables.split(" $").map(|one| one.trim_start_matches('$').split(':').next().unwrap().to_owned());
        let names = names.filter(|name| !name.is_empty());
        theirs.entry((name.to_owned(), last(file), line.parse().unwrap())).or_default().extend(names);
    }
    assert!(theirs.len() > 9_000, "{}: {}", theirs.len(), text.lines().take(3).collect::<String>());

    let module = companions::open(Path::new(PYTHON));
    let functions = module.functions("*").unwrap();
    let mut ours: BTreeMap<Named, Vec<&Function>> = BTreeMap::new();
    for function in &functions {
        let Some(declared) = &function.declared else { continue };
        ours.entry((function.name.clone(), last(&declared.file), declared.line)).or_default().push(function);
    }
    let missing: Vec<&Named> = theirs.keys().filter(|named| !ours.contains_key(*named)).collect();
    let more = ours.keys().filter(|named| !theirs.contains_key(*named)).count();
    let (mut variables, mut lacking) = (0, Vec::new());
    for (named, names) in &theirs {
        let Some(functions) = ours.get(named) else { continue };
        let sites = || functions.iter().flat_map(|function| &function.sites);
        let known: BTreeSet<&str> = sites().flat_map(|site| &site.variables).map(|one| one.name.as_str()).collect();
        for name in names {
            variables += 1;
            if !known.contains(name.as_str()) {
                lacking.push(format!("{named:?} ${name}"));
            }
        }
    }
    println!("{} functions of stap, {more} that only ctp has, {variables} variables", theirs.len());
    assert!(missing.is_empty() && more == 0, "{} of {}, {more} more: {missing:?}", missing.len(), theirs.len());
    assert!(lacking.is_empty(), "{} of {variables}: {:#?}", lacking.len(), lacking.iter().take(20).collect::<Vec<_>>());
}

/// The places of a file that llvm-dwarfdump's table marks as beginnings of statements: addresses by line.
fn statements(path: &str, wanted: &str) -> BTreeMap<u32, BTreeSet<u64>> {
    let text = said(Command::new("llvm-dwarfdump").arg("--debug-line").arg(path));
    let mut found: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    let (mut files, mut index, mut version) = (BTreeMap::new(), 0, 0);
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(number) = trimmed.strip_prefix("version: ") {
            version = number.parse::<u32>().unwrap();
            files.clear();
        } else if let Some(rest) = trimmed.strip_prefix("file_names[") {
            index = rest.split(']').next().unwrap().trim().parse::<u32>().unwrap();
        } else if let Some(name) = trimmed.strip_prefix("name: ") {
            files.insert(index, last(name.trim_matches('"')));
        } else if trimmed.starts_with("0x") && trimmed.contains("is_stmt") && !trimmed.contains("end_sequence") {
            let fields: Vec<&str> = trimmed.split_whitespace().collect();
            let address = u64::from_str_radix(fields[0].trim_start_matches("0x"), 16).unwrap();
            let file: u32 = fields[3].parse().unwrap();
            if files.get(&file).is_some_and(|name| name == wanted) {
                found.entry(fields[1].parse().unwrap()).or_default().insert(address);
            }
        }
    }
    assert!(version >= 4, "a line table was read");
    found
}

#[test]
fn lines_are_where_the_line_table_and_addr2line_say() {
    let (wanted, path) = ("typeobject.c", Path::new(PYTHON));
    let theirs = statements(PYTHON, wanted);
    let module = companions::open(path);
    let found = module.lines(&LineQuery { file: wanted.to_owned(), lines: Some((1, 1_000_000)) }).unwrap();
    let addresses: BTreeSet<u64> =
        found.functions.iter().flat_map(|function| &function.sites).map(|site| site.address).collect();
    assert!(addresses.len() > 2_000, "{}", addresses.len());
    let statements: BTreeSet<u64> = theirs.values().flatten().copied().collect();
    let strange: Vec<&u64> = addresses.difference(&statements).collect();
    assert!(strange.is_empty(), "no statement begins at {strange:x?}");

    // Every line is had that has code, each at an address that addr2line gives to it.
    let mut by_line: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    let mut asked =
        Command::new("addr2line").args(["-e", PYTHON]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = asked.stdin.take().unwrap();
    let lines: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let answer = String::from_utf8_lossy(&asked.wait_with_output().unwrap().stdout).into_owned();
    writer.join().unwrap();
    let mut other_files = 0;
    for (address, answer) in addresses.iter().zip(answer.lines()) {
        let (file, line) = answer.rsplit_once(':').unwrap();
        let line = line.split(' ').next().unwrap().parse().unwrap_or(0);
        if last(file) == wanted {
            by_line.entry(line).or_default().insert(*address);
        } else {
            // The last of several rows at one address counts for addr2line: an inlined function of a header begins there.
            other_files += 1;
        }
    }
    let missing: Vec<u32> = theirs
        .iter()
        .filter(|(line, _)| !by_line.contains_key(*line))
        // All its rows are at addresses where another row follows at once.
        .filter(|(_, rows)| rows.is_disjoint(&addresses))
        .map(|(line, _)| *line)
        .collect();
    println!("{} lines, {} addresses, {other_files} of other files", theirs.len(), addresses.len());
    assert!(other_files * 10 < addresses.len(), "{other_files} of {}", addresses.len());
    assert!(missing.is_empty(), "{} of {} lines: {missing:?}", missing.len(), theirs.len());
}

/// A mark as `readelf -n` prints it: provider, name, address, arguments, whether it has a semaphore.
type Printed = (String, String, u64, String, bool);

#[test]
fn marks_are_those_of_readelf() {
    let mut all = 0;
    for path in WITH_MARKS {
        let text = said(Command::new("readelf").args(["-n", path]));
        let mut theirs: Vec<Printed> = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(provider) = line.strip_prefix("Provider: ") {
                theirs.push((provider.to_owned(), String::new(), 0, String::new(), false));
            }
            let Some(mark) = theirs.last_mut() else { continue };
            if let Some(name) = line.strip_prefix("Name: ") {
                name.clone_into(&mut mark.1);
            } else if let Some(places) = line.strip_prefix("Location: ") {
                let mut places = places.split(", ").map(|one| one.rsplit("0x").next().unwrap());
                mark.2 = u64::from_str_radix(places.next().unwrap(), 16).unwrap();
                mark.4 = u64::from_str_radix(places.nth(1).unwrap(), 16).unwrap() != 0;
            } else if let Some(arguments) = line.strip_prefix("Arguments:") {
                arguments.trim().clone_into(&mut mark.3);
            }
        }
        let module = companions::open(Path::new(path));
        let mut ours: Vec<Printed> = module
            .marks()
            .unwrap()
            .into_iter()
            .map(|mark| {
                let arguments: Vec<&str> = mark.arguments.iter().map(|one| one.written.as_str()).collect();
                (mark.provider, mark.name, mark.address, arguments.join(" "), mark.semaphore.is_some())
            })
            .collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{path}");
        all += ours.len();
    }
    assert!(all > 10, "{all} marks");
}
