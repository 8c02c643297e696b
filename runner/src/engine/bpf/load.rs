//! Owns creating maps and loading programs, and saying why the kernel would not.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ctp_lang::codes::Code;
use ctp_lang::emit::bpf::BpfProgram;
use ctp_lang::emit::bpf::map::{MapId, MapKind, MapSpec};

use super::abi::*;
use super::facts::kernel_version;
use super::sys::{self, Kind, Map};
use super::{btf, facts};
use crate::engine::{Failure, Outcome};
use crate::privileges;

/// A failure of a system call of the engine, with its way out.
pub(super) fn failure(code: Code, what: &str, error: &io::Error) -> Box<Failure> {
    let refused: String;
    let (code, help) = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            refused = match privileges::missing_names() {
                Some(names) => format!("{names} is missing: run ctp as root, or with that; `ctp doctor` tells more"),
                None => "the capabilities are there: a seccomp profile, a lockdown or a user namespace forbids it; `ctp doctor` tells more".to_owned(),
            };
            (Code::E0401, Some(refused.as_str()))
        }
        Some(libc::ENOMEM) => (Code::E0407, Some("free memory, or use a smaller --ring-size or --map-size")),
        Some(libc::ENOSYS) => (Code::E0402, Some("eBPF needs a kernel built with CONFIG_BPF_SYSCALL")),
        Some(_) | None => (code, None),
    };
    let failure = Failure::new(code, format!("{what}: {error}"));
    Box::new(match help {
        Some(help) => failure.help(help),
        None => failure,
    })
}

/// One of the maps by its id; an empty one is none.
pub(super) fn find(maps: &[Option<Map>], id: MapId) -> Outcome<&Map> {
    maps.get(id.0 as usize).and_then(Option::as_ref).ok_or_else(missing)
}

/// Of a map that a program has and the engine does not.
pub(super) fn missing() -> Box<Failure> {
    Box::new(Failure::new(Code::E0403, "a map is missing"))
}

/// Creates the maps; one without entries is left out.
pub(super) fn create_maps(specs: &[MapSpec]) -> Outcome<Vec<Option<Map>>> {
    specs.iter().map(create_map).collect()
}

/// Creates a map; none where it would be empty.
pub(super) fn create_map(spec: &MapSpec) -> Outcome<Option<Map>> {
    let fail = |error: io::Error| failure(Code::E0407, &format!("cannot make the map `{}`", spec.name), &error);
    let empty = matches!(spec.kind, MapKind::TaskStorage | MapKind::Constant | MapKind::Table) && spec.value_size == 0;
    if empty {
        return Ok(None);
    }
    let mut attr = MapCreate {
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_name: sys::object_name(&spec.name),
        ..MapCreate::default()
    };
    let mut copies = 1;
    let btf;
    match spec.kind {
        MapKind::Hash => attr.map_type = MAP_TYPE_HASH,
        MapKind::SparseHash => {
            attr.map_type = MAP_TYPE_HASH;
            attr.map_flags = F_NO_PREALLOC;
        }
        MapKind::Recent => attr.map_type = MAP_TYPE_LRU_HASH,
        MapKind::Array => attr.map_type = MAP_TYPE_ARRAY,
        MapKind::SharedArray => {
            attr.map_type = MAP_TYPE_ARRAY;
            attr.map_flags = F_MMAPABLE;
        }
        MapKind::Constant | MapKind::Table => {
            attr.map_type = MAP_TYPE_ARRAY;
            attr.map_flags = F_RDONLY_PROG;
        }
        MapKind::PerCpuArray | MapKind::PerCpuHash => {
            let hash = spec.kind == MapKind::PerCpuHash;
            attr.map_type = if hash { MAP_TYPE_PERCPU_HASH } else { MAP_TYPE_PERCPU_ARRAY };
            copies = facts::possible_cpus().map_err(fail)?;
        }
        MapKind::Ring => attr.map_type = MAP_TYPE_RINGBUF,
        MapKind::TaskStorage => {
            attr.map_type = MAP_TYPE_TASK_STORAGE;
            attr.map_flags = F_NO_PREALLOC;
            btf = sys::load_btf(&btf::storage(spec.value_size)).map_err(fail)?;
            attr.btf_fd = btf.as_raw_fd().cast_unsigned();
            attr.btf_key_type_id = 1;
            attr.btf_value_type_id = 3;
        }
    }
    let map = Map::create(attr, copies).map_err(fail)?;
    for (index, value) in (0u32..).zip(&spec.initial) {
        map.set(&index.to_le_bytes(), value, ANY).map_err(fail)?;
    }
    if spec.kind == MapKind::Constant {
        map.freeze().map_err(fail)?;
    }
    Ok(Some(map))
}

/// An array of maps whose one element is this one.
pub(super) fn create_outer(inner: &Map) -> io::Result<Map> {
    let attr = MapCreate {
        map_type: MAP_TYPE_ARRAY_OF_MAPS,
        key_size: 4,
        value_size: 4,
        max_entries: 1,
        inner_map_fd: inner.as_fd().as_raw_fd().cast_unsigned(),
        map_name: sys::object_name("ctp_generations"),
        ..MapCreate::default()
    };
    let outer = Map::create(attr, 1)?;
    put_inner(&outer, inner)?;
    Ok(outer)
}

/// Makes a map the one that programs find from now on.
pub(super) fn put_inner(outer: &Map, inner: &Map) -> io::Result<()> {
    outer.set(&0u32.to_le_bytes(), &inner.as_fd().as_raw_fd().to_le_bytes(), ANY)
}

/// The most of the verifier's log that is kept.
const LOG: usize = 16 << 20;

/// Loads a program; where the kernel refuses it, once more with a log, which tells the instruction and so the source.
pub(super) fn load(
    program: &BpfProgram,
    maps: &[Option<Map>],
    outer: &HashMap<MapId, Map>,
    kind: Kind,
) -> Outcome<OwnedFd> {
    let mut insns: Vec<_> = program.insns.clone();
    for (at, id) in &program.maps {
        let map = outer.get(id).or_else(|| maps.get(id.0 as usize).and_then(Option::as_ref));
        if let (Some(insn), Some(map)) = (insns.get_mut(*at), map) {
            insn.imm = map.as_fd().as_raw_fd();
        }
    }
    let bytes: Vec<[u8; 8]> = insns.into_iter().map(ctp_lang::emit::bpf::Insn::to_bytes).collect();
    let error = match sys::load_program(kind, "ctp", &bytes, None) {
        Ok(fd) => return Ok(fd),
        Err(error) => error,
    };
    if let Some((major, minor)) = kernel_version().filter(|version| *version < (6, 9))
        && let Some(at) = program.insns.iter().position(ctp_lang::emit::bpf::Insn::is_loop)
    {
        let mut failure = Failure::new(Code::E0402, format!("Linux {major}.{minor} cannot run loops in a handler"))
            .note("the eBPF engine leaves it to the kernel to follow loops (may_goto), which Linux 6.9 brought")
            .help("use --engine stap here, or write what the loop does without one");
        failure.span = program.span(at);
        return Err(Box::new(failure));
    }
    if matches!(error.raw_os_error(), Some(libc::EPERM)) {
        return Err(failure(Code::E0403, "the kernel would not load the program", &error));
    }
    let mut log = vec![0; LOG];
    match sys::load_program(kind, "ctp", &bytes, Some(&mut log)) {
        Ok(fd) => Ok(fd),
        Err(error) => Err(Box::new(refused(program, &error, &log))),
    }
}

/// What the log says: the last instruction it names, and its last line of prose.
fn refused(program: &BpfProgram, error: &io::Error, log: &[u8]) -> Failure {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let text = String::from_utf8_lossy(log.get(..end).unwrap_or_default()).into_owned();
    let insn = text
        .lines()
        .rev()
        .find_map(|line| line.split_once(": (").and_then(|(number, _)| number.trim().parse::<usize>().ok()));
    let reason = text
        .lines()
        .rev()
        .find(|line| {
            !line.is_empty()
                && !line.starts_with("processed ")
                && !line.starts_with("verification time")
                && !line.starts_with("stack depth")
                && !line.contains(": (")
        })
        .unwrap_or("it gave no reason")
        .to_owned();
    // What the verifier says of a program that is right, but more than it looks at.
    let grown = ["too large", "too complex", "16-bit range", "combined stack size"];
    let too_large =
        matches!(error.raw_os_error(), Some(libc::E2BIG)) || grown.iter().any(|words| reason.contains(words));
    let code = if too_large { Code::E0303 } else { Code::E0403 };
    let mut failure = Failure::new(code, format!("the kernel's verifier refused the program: {reason}"));
    failure.span = insn.and_then(|insn| program.span(insn));
    if let Some(insn) = insn {
        failure = failure.note(format!("at instruction {insn} of {} ({error})", program.insns.len()));
    }
    failure.log = Some(text);
    if too_large {
        failure.help("split the probe into several, or use fewer strings in it")
    } else {
        failure.help("this is a bug of ctp: please report it with the output of -v")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctp_lang::emit::bpf::Insn;

    /// As root only: the verifier is what refuses, and its words are what is told.
    #[test]
    fn what_the_kernel_refuses_is_told_in_its_words() {
        // `exit` alone: register 0, the result, was never written.
        let exit = Insn { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 };
        let program = BpfProgram { insns: vec![exit], ..BpfProgram::default() };
        let failure = load(&program, &[], &HashMap::new(), Kind::Uprobe).expect_err("refused");
        assert_eq!(failure.code, Code::E0403, "{failure:?}");
        assert!(failure.message.contains("R0 !read_ok"), "{failure:?}");
    }
}
