//! Owns asking SystemTap: its modules in the virtual machine of `tests/vm`, one for each language, that print `$$parms$`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use ctp_tests::matrix::{plain, value};
use ctp_tests::process::{attempt, run};
use ctp_tests::unique::Scratch;

use crate::Language;
use crate::reads::{Functions, Hit, Kind, Read};

/// What the machine runs: compiles two modules at a time outside, then loads one after the other and runs its builds.
const MAIN: &str = r#"
mkdir -p /run/ctp /share/out
compile() {
    local folder=/work/$1 root=/work/$1/root/run/ctp
    mkdir -p "$root"
    cp /share/"$1"/* "$root"
    cd "$folder" && stap -r "/lib/modules/$(uname -r)/build" --sysroot="$folder/root" -DSTP_NO_OVERLOAD -DMAXSTRINGLEN=1024 \
        --suppress-handler-errors -p4 -m "rr_$1" "/share/scripts/$1.stp" >"/share/out/$1.log" 2>&1
    rm -rf "$folder/root"
}
languages=()
for script in /share/scripts/*; do languages+=("$(basename "$script" .stp)"); done
for half in 0 1; do
    for ((index = half; index < ${#languages[@]}; index += 2)); do compile "${languages[index]}"; done &
    halves[half]=$!
done
wait "${halves[@]}"
for language in "${languages[@]}"; do
    cp /share/"$language"/* /run/ctp/
    loaded=''
    if cd "/work/$language" && [ -e "rr_$language.ko" ]; then
        staprun -v -v "rr_$language.ko" >"/share/out/$language.hits" 2>"/share/out/$language.err" &
        loaded=$!
        for ((tries = 0; tries < 1200; tries++)); do
            if grep -q 'systemtap_module_init() returned' "/share/out/$language.err"; then break; fi
            sleep 0.1
        done
        sleep 1
    fi
    for build in /run/ctp/*; do
        "$build" >"/share/out/$(basename "$build").printed" || echo "$?" >"/share/out/$(basename "$build").died"
    done
    if [ -n "$loaded" ]; then
        sleep 1
        kill -INT "$(pidof stapio)"
        wait "$loaded"
    fi
    rm /run/ctp/*
done
"#;

/// By build (`c0`): what it printed, and the hits.
pub(crate) fn all(languages: &[Language]) -> BTreeMap<String, (String, Vec<Hit>)> {
    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm");
    let folder = run(Command::new(machine.join("machine")).arg("trixie")).stdout.trim().to_owned();
    let share = Scratch::new();
    fs::create_dir(share.path().join("scripts")).unwrap();
    share.write("main", MAIN);
    for language in languages {
        let builds = share.path().join(language.tag);
        fs::create_dir(&builds).unwrap();
        let mut script = String::new();
        for (number, build) in language.programs.builds.iter().enumerate() {
            let (name, pattern) = (format!("{}{number}", language.tag), language.programs.pattern);
            fs::copy(&build.path, builds.join(&name)).unwrap();
            let point = format!("process(\"/run/ctp/{name}\").function(\"{pattern}\")");
            writeln!(script, "probe {point} {{ printf(\"{name}|%s|%s\\n\", ppfunc(), $$parms$) }}").unwrap();
        }
        share.write(&format!("scripts/{}.stp", language.tag), &script);
    }
    let mut boot = Command::new(machine.join("boot"));
    let booted = attempt(boot.arg(folder).arg(share.path()).env("CTP_VM_SECONDS", "2400"));
    let mut all = BTreeMap::new();
    for language in languages {
        let read = |name: &str, ending: &str| {
            let bytes = fs::read(share.path().join(format!("out/{name}.{ending}"))).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let lines = read(language.tag, "hits");
        if lines.is_empty() {
            let (log, said) = (read(language.tag, "log"), read(language.tag, "err"));
            println!("stap, {}: no hits:\n{log}{said}", language.name);
        }
        for (number, build) in language.programs.builds.iter().enumerate() {
            let name = format!("{}{number}", language.tag);
            let printed = match read(&name, "died") {
                died if died.is_empty() => read(&name, "printed"),
                // What it would have printed, of which nothing was read.
                died => {
                    println!("stap: {} died while SystemTap traced it, with status {}", build.label, died.trim());
                    all.insert(name, (run(&mut Command::new(&build.path)).stdout, Vec::new()));
                    continue;
                }
            };
            assert!(!printed.is_empty(), "the machine did not run {name}:\n{}{}", booted.stdout, booted.stderr);
            let own = |line: &str| hit(&language.functions[number], line.strip_prefix(&format!("{name}|"))?);
            all.insert(name.clone(), (printed, lines.lines().filter_map(own).collect()));
        }
    }
    all
}

/// `FUNCTION|a=1 b="text"`.
fn hit(functions: &Functions, line: &str) -> Option<Hit> {
    let (function, shown) = line.split_once('|')?;
    let named = functions.all.iter().filter(|one| one.plain == plain(function));
    // Overloads: the one whose parameters are shown.
    let all_shown = |one: &&crate::reads::Function| {
        let names: Vec<&str> = one.parameters.iter().map(|(name, _)| name.as_str()).collect();
        names.iter().all(|name| value(shown, name, &names).is_some())
    };
    let function =
        named.clone().filter(all_shown).max_by_key(|one| one.parameters.len()).or_else(|| named.clone().next())?;
    let names: Vec<&str> = function.parameters.iter().map(|(name, _)| name.as_str()).collect();
    let mut values = Vec::new();
    for (name, kind) in &function.parameters {
        let Some(shown) = value(shown, name, &names) else { continue };
        let read = match kind {
            Kind::Text => {
                shown.strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(|text| Read::Text(text.to_owned()))
            }
            Kind::Number { bits, .. } => parse(shown).map(|read| Read::Number(read, *bits)),
            Kind::Float(bytes) => parse(shown).map(|read| Read::Number(read, u32::try_from(bytes * 8).unwrap())),
            Kind::Whole => None,
        };
        values.extend(read.map(|read| (name.clone(), read)));
    }
    Some(Hit { function: function.plain.clone(), values })
}

fn parse(shown: &str) -> Option<u64> {
    if let Some(character) = shown.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        let mut all = character.chars();
        return match (all.next()?, all.as_str()) {
            (one, "") => Some(u64::from(u32::from(one))),
            ('\\', octal) => u64::from_str_radix(octal, 8).ok(),
            _ => None,
        };
    }
    match shown.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => shown.parse::<i64>().map(i64::cast_unsigned).ok().or_else(|| shown.parse().ok()),
    }
}
