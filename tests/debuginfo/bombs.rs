//! Debug info that is small and unpacks to very much: refused before it takes memory or time, by name.

use std::process::Command;
use std::sync::Arc;

use ctp_lang::debuginfo::Module;
use ctp_lang::debuginfo::facts::DebugError;

use crate::build::Program;

const MIB: usize = 1 << 20;
/// `SHF_COMPRESSED`, `ELFCOMPRESS_ZLIB`, `ELFCOMPRESS_ZSTD` (elf.h).
const COMPRESSED: u64 = 1 << 11;
const ZLIB: u64 = 1;
const ZSTD: u64 = 2;

fn word(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
}

fn half(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

/// A program whose section of that name holds something else, which lies behind all that was there.
fn with_section(program: &[u8], name: &str, compressed: bool, data: &[u8]) -> Vec<u8> {
    // Elf64_Ehdr and Elf64_Shdr (elf.h).
    let (headers, size, count, names) = (word(program, 40), half(program, 58), half(program, 60), half(program, 62));
    let header = |index: usize| headers + index * size;
    let strings = word(program, header(names) + 24);
    let is_it = |index: &usize| {
        let at =
            strings + usize::try_from(u32::from_le_bytes(program[header(*index)..][..4].try_into().unwrap())).unwrap();
        program[at..].starts_with(format!("{name}\0").as_bytes())
    };
    let at = header((0..count).find(is_it).unwrap());
    let mut bytes = program.to_vec();
    let mut put = |offset: usize, value: u64| bytes[at + offset..at + offset + 8].copy_from_slice(&value.to_le_bytes());
    put(8, if compressed { COMPRESSED } else { 0 });
    put(24, program.len() as u64);
    put(32, data.len() as u64);
    bytes.extend_from_slice(data);
    bytes
}

/// A compressed section: `Elf64_Chdr` and what is packed.
fn packed(how: u64, size: usize, data: &[u8]) -> Vec<u8> {
    [&how.to_le_bytes()[..], &(size as u64).to_le_bytes(), &1u64.to_le_bytes(), data].concat()
}

/// A zstd frame (RFC 8878) of `window` that holds `plain` bytes as they are and then `repeated` of one value, 128 KiB in
/// four bytes.
fn zstd(window: u8, plain: usize, repeated: usize) -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    let header =
        |kind: usize, size: usize, last: bool| u32::try_from(size << 3 | kind << 1 | usize::from(last)).unwrap();
    for block in 0..plain / BLOCK {
        let last = repeated == 0 && block + 1 == plain / BLOCK;
        frame.extend_from_slice(&header(0, BLOCK, last).to_le_bytes()[..3]);
        frame.extend((0..BLOCK).map(|n| (n % 251) as u8));
    }
    for block in 0..repeated / BLOCK {
        frame.extend_from_slice(&header(1, BLOCK, block + 1 == repeated / BLOCK).to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// A frame whose header says its size in place of a window.
fn one_window(size: u64, frame: &[u8]) -> Vec<u8> {
    [&frame[..4], &[0xe0], &size.to_le_bytes(), &frame[6..]].concat()
}

/// What python's own module makes of so many zeros.
fn zlib_of_zeros(size: usize) -> Vec<u8> {
    let script = format!("import sys,zlib\nsys.stdout.buffer.write(zlib.compress(bytes({size}), 9))");
    let output = Command::new("python3").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn refused(program: Vec<u8>) -> String {
    match Module::open(Arc::new(program)).unwrap().functions("widths") {
        Ok(found) => panic!("{found:?}"),
        Err(error @ (DebugError::Limit(_) | DebugError::Malformed(_))) => error.to_string(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_section_that_unpacks_to_very_much_is_refused_by_name() {
    let program = Program::compile("bombs", "gcc", &["-O2", "-g", "-gz=none"], &["values.c"]);
    let program = std::fs::read(&program.path).unwrap();
    let of_info = |how: u64, size: usize, data: &[u8]| {
        refused(with_section(&program, ".debug_info", true, &packed(how, size, data)))
    };
    let ratio = "more than 100 bytes in section .debug_info for each of its";

    // Streams that are whole, and do become what they say: a thousand times as much with zlib, 30,000 times with zstd.
    let error = of_info(ZLIB, 64 * MIB, &zlib_of_zeros(64 * MIB));
    assert!(error.contains(ratio), "{error}");
    let error = of_info(ZSTD, 512 * MIB, &zstd(0x50, 0, 512 * MIB));
    assert!(error.contains(ratio), "{error}");
    // Not more than a hundred times, yet more than memory is for.
    let error = of_info(ZSTD, 101 * MIB, &zstd(0x50, MIB, 100 * MIB));
    assert!(error.contains("bytes in section .debug_info to unpack into memory"), "{error}");
    // A window of 128 MiB, all of which would be held; then the same said as the size of a frame that is one window.
    for frame in [zstd(0x88, MIB, 0), one_window(128 * MIB as u64, &zstd(0, MIB, 0))] {
        let error = of_info(ZSTD, MIB, &frame);
        assert!(error.contains("bytes of window in section .debug_info"), "{error}");
    }
    // More than is read of any section.
    let error = of_info(ZLIB, (1 << 30) + 1, &vec![0; 11 * MIB]);
    assert!(error.contains("bytes in section .debug_info") && error.contains(&(1u64 << 30).to_string()), "{error}");
    // Less than it says comes out: no unit is read of what is not there.
    let error = of_info(ZSTD, 2 * MIB, &zstd(0x50, MIB, 0));
    assert!(error.contains("inflates to 1048576 bytes, not 2097152"), "{error}");
}

/// Names that a stripped program carries along, of which a small piece unpacks to gigabytes.
#[test]
fn packed_names_that_unpack_to_very_much_are_none() {
    let program = Program::compile("bomb-names", "gcc", &["-O0", "-g"], &["values.c"]);
    let folder = program.path.with_extension("folder");
    std::fs::create_dir_all(&folder).unwrap();
    let shell = |command: &str| {
        let output = Command::new("bash").args(["-ec", command]).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let path = program.path.display();
    shell(&format!("objcopy -S --remove-section=.comment --keep-symbol=widths {path} names; cp {path} app; strip app"));
    let finds = |xz: &str| {
        shell(&format!("objcopy --remove-section=.gnu_debugdata --add-section .gnu_debugdata={xz} app with"));
        let bytes = std::fs::read(folder.join("with")).unwrap();
        Module::open(Arc::new(bytes)).unwrap().functions("widths").unwrap().len()
    };
    shell("xz --keep --force names");
    assert_eq!(finds("names.xz"), 1);

    // The same, with zeros behind it that nobody reads: 64 MiB in all are unpacked, one byte more is not.
    let size = usize::try_from(std::fs::metadata(folder.join("names")).unwrap().len()).unwrap();
    for (whole, found) in [(64 * MIB, 1), (64 * MIB + 1, 0), (80 * MIB, 0)] {
        shell(&format!("(cat names; head -c {} /dev/zero) | xz -0 > many.xz", whole - size));
        assert_eq!(finds("many.xz"), found, "{whole} bytes");
    }

    // A dictionary of 128 MiB is what its block asks for (LZMA2's property 30); one of 64 MiB, `xz -9`'s, is taken.
    for (property, found) in [(28u8, 1), (30, 0), (39, 0)] {
        let mut xz = std::fs::read(folder.join("names.xz")).unwrap();
        // The block's header: size, flags, filter 0x21 of one byte of properties, with the sizes left out.
        let at = xz.windows(2).position(|two| two == [0x21, 1]).unwrap();
        xz[at + 2] = property;
        std::fs::write(folder.join("dictionary.xz"), &xz).unwrap();
        assert_eq!(finds("dictionary.xz"), found, "property {property}");
    }
}
