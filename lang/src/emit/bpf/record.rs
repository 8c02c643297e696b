//! Owns the form of a record: what the kernel writes into the ring at the end of a handler's run, and how it is read
//! again. Records are read defensively: whatever the bytes are, reading ends and never panics.
//!
//! ```text
//! u64 time   u32 site   u32 container   u64 pid<<32|tid   u32 part<<16|cpu<<3|flags   u32 nspid (0: not told)
//! then items: u32 print+1 (0: did not run)   u32 bytes of the payload (0: not fixed)   payload
//! ```

use std::sync::Arc;

use super::map::{TEXT_CUT, TEXT_FAULT, TextLayout, u32_at, u64_at};
use super::{Compiled, SiteId, stacks};
use crate::ir::{ContainerIndex, Library, Piece, Print, ProbeIndex};
use crate::library;
use crate::stack::{Taken, Unwinder};
use crate::value::{Value, write_pieces};

/// Bytes before the first item.
pub const HEADER: u32 = 32;
/// Bits of the flags; above them [`CPU_BITS`] of the cpu, above those the part's number.
pub(super) const FLAG_BITS: u32 = 3;
/// Bits of a cpu's number: `CONFIG_NR_CPUS` is at most 8192 on x86.
pub(super) const CPU_BITS: u32 = 13;
/// Flag: `exit()` ran.
pub const FLAG_EXIT: u32 = 1;
/// Flag: the run came to its end. The parts of one run that were written before lack it; they have the same time and
/// thread, and are numbered from 0 on.
pub const FLAG_COMMIT: u32 = 2;
/// Flag: the cpu is told ([`super::Options::origin`]).
pub const FLAG_CPU: u32 = 4;

/// How a value of an output lies in a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// 8 bytes.
    Int,
    /// 8 bytes, 0 or (could not be read) 1, then 8 bytes.
    IntOrFault,
    /// 16 bytes up to a NUL.
    Comm,
    /// `u32` length, `u32` flags, bytes, padded to a multiple of 8.
    Text,
    /// A stack of that many frames at most: what it is unwound from ([`super::stacks`]), as long as it is.
    Stack(u8),
    /// The function that called: what it is found by.
    Caller,
    /// Nothing: known beforehand.
    Constant(Vec<u8>),
    /// Nothing: the name of the header's container.
    Container,
    /// Nothing: the id of the header's container.
    ContainerId,
    /// Nothing: the image of the header's container.
    Image,
    /// Nothing: the pod of the header's container.
    Pod,
    /// Nothing: the engine of the header's container.
    Runtime,
    /// Nothing: the function of the header's site.
    Function,
    /// Nothing: the probe point of the header's site.
    Point,
    /// 8 bytes, 0 or (could not be read) 1, then that many bytes, padded to a multiple of 8.
    Block(u32),
    /// The arguments, from which the value is computed when the record is read.
    Library(Library, Vec<Field>),
    /// The values of these pieces, which are written when the record is read.
    Format(Vec<Piece>, Vec<Field>),
}

impl Field {
    /// The most bytes it takes.
    pub(super) fn most(&self, text: TextLayout) -> u32 {
        match self {
            Field::Int => 8,
            Field::IntOrFault | Field::Comm => 16,
            // One byte more is read than the limit, and a NUL.
            Field::Text => text.slot(),
            Field::Stack(_) => stacks::MOST,
            Field::Caller => stacks::CALLER,
            Field::Block(size) => size.saturating_add(7) / 8 * 8 + 8,
            Field::Library(_, fields) | Field::Format(_, fields) => {
                fields.iter().fold(0, |sum, field| sum.saturating_add(field.most(text)))
            }
            Field::Constant(_)
            | Field::Container
            | Field::ContainerId
            | Field::Image
            | Field::Pod
            | Field::Runtime
            | Field::Function
            | Field::Point => 0,
        }
    }

    /// Whether it always takes the same number of bytes.
    pub(super) fn is_fixed(&self) -> bool {
        match self {
            Field::Text | Field::Stack(_) => false,
            Field::Library(_, fields) | Field::Format(_, fields) => fields.iter().all(Field::is_fixed),
            Field::Int
            | Field::IntOrFault
            | Field::Comm
            | Field::Caller
            | Field::Constant(_)
            | Field::Container
            | Field::ContainerId
            | Field::Image
            | Field::Pod
            | Field::Runtime
            | Field::Function
            | Field::Point
            | Field::Block(_) => true,
        }
    }
}

/// An output statement and how its values lie in a record.
#[derive(Clone, Debug, PartialEq)]
pub struct PrintLayout {
    /// The statement. Shared: each event that is printed holds on to it meanwhile.
    pub print: Arc<Print>,
    /// One field per value of the statement.
    pub fields: Vec<Field>,
}

/// One run of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `CLOCK_MONOTONIC` in ns.
    pub time: u64,
    /// Where it ran.
    pub site: SiteId,
    /// Which probe ran.
    pub probe: ProbeIndex,
    /// Whose task ran it.
    pub container: ContainerIndex,
    /// Process id on the host.
    pub pid: u32,
    /// Thread id on the host.
    pub tid: u32,
    /// Process id as the container sees it, where the record tells it.
    pub nspid: Option<u32>,
    /// The cpu it ended on, where the record tells it.
    pub cpu: Option<u32>,
    /// Outputs in the order they ran: index into [`Compiled::prints`], values.
    pub prints: Vec<(usize, Vec<Value>)>,
    /// Whether the run ended with `exit()`.
    pub exit: bool,
    /// Whether the run came to its end.
    pub committed: bool,
    /// How many parts of this run were written before.
    pub part: u32,
}

/// Where and when a record was written.
#[derive(Clone, Copy)]
struct Hit {
    site: SiteId,
    container: ContainerIndex,
    pid: u32,
    time: u64,
}

/// The bytes are no record of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Compiled {
    /// Reads a record; stacks in it are unwound at once.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are none that this program writes.
    pub fn decode(&self, bytes: &[u8], unwinder: &mut dyn Unwinder) -> Result<Record, Malformed> {
        let time = u64_at(bytes, 0).ok_or(Malformed)?;
        let site = SiteId(u32_at(bytes, 8).ok_or(Malformed)?);
        let container = ContainerIndex(u32_at(bytes, 12).ok_or(Malformed)?);
        let pid_tgid = u64_at(bytes, 16).ok_or(Malformed)?;
        let word = u32_at(bytes, 24).ok_or(Malformed)?;
        let nspid = Some(u32_at(bytes, 28).ok_or(Malformed)?).filter(|nspid| *nspid != 0);
        let flags = word & ((1 << FLAG_BITS) - 1);
        let cpu = (flags & FLAG_CPU != 0).then_some((word >> FLAG_BITS) & ((1 << CPU_BITS) - 1));
        let probe = self.site(site).ok_or(Malformed)?.probe;
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of the number are wanted")]
        let (pid, tid) = ((pid_tgid >> 32) as u32, pid_tgid as u32);
        let hit = Hit { site, container, pid, time };
        let mut prints = Vec::new();
        let mut at = HEADER as usize;
        while at < bytes.len() {
            let print = u32_at(bytes, at).ok_or(Malformed)?;
            let fixed = u32_at(bytes, at + 4).ok_or(Malformed)? as usize;
            at += 8;
            let Some(print) = print.checked_sub(1) else {
                at = at.checked_add(fixed).ok_or(Malformed)?;
                continue;
            };
            let print = print as usize;
            let layout = self.prints.get(print).ok_or(Malformed)?;
            prints.push((print, self.fields(&layout.fields, hit, bytes, &mut at, unwinder)?));
        }
        let part = word >> (FLAG_BITS + CPU_BITS);
        let (exit, committed) = (flags & FLAG_EXIT != 0, flags & FLAG_COMMIT != 0);
        Ok(Record { time, site, probe, container, pid, tid, nspid, cpu, prints, exit, committed, part })
    }

    fn field(
        &self,
        field: &Field,
        hit: Hit,
        bytes: &[u8],
        at: &mut usize,
        unwinder: &mut dyn Unwinder,
    ) -> Result<Value, Malformed> {
        let site = hit.site;
        if let Field::Stack(_) | Field::Caller = field {
            let stacks::Found { start, executed, pc, wanted } = stacks::read(field, bytes, at)?;
            let at = self.site(site).ok_or(Malformed)?;
            let (container, pid, time) = (hit.container, hit.pid, hit.time);
            let (function, file_offset) = (&*at.function, at.file_offset);
            let inlined = at.inlined;
            let taken = Taken { container, pid, start, executed, time, function, inlined, pc, file_offset, wanted };
            return Ok(Value::Stack(Arc::new(unwinder.stack(&taken))));
        }
        let mut take = |size: usize| {
            let end = at.checked_add(size).ok_or(Malformed)?;
            let taken = bytes.get(*at..end).ok_or(Malformed)?;
            *at = end;
            Ok(taken)
        };
        let names = || self.container(hit.container);
        Ok(match field {
            Field::Int => Value::Int(u64_at(take(8)?, 0).ok_or(Malformed)?.cast_signed()),
            Field::IntOrFault => {
                let both = take(16)?;
                match u64_at(both, 0).ok_or(Malformed)? {
                    0 => Value::Int(u64_at(both, 8).ok_or(Malformed)?.cast_signed()),
                    _ => Value::Fault,
                }
            }
            Field::Comm => Value::str(take(16)?.split(|byte| *byte == 0).next().unwrap_or_default()),
            Field::Text => {
                let head = take(8)?;
                let length = u32_at(head, 0).ok_or(Malformed)? as usize;
                let flags = u32_at(head, 4).ok_or(Malformed)?;
                let padded = length.checked_next_multiple_of(8).ok_or(Malformed)?;
                let text = take(padded)?.get(..length).ok_or(Malformed)?;
                match flags & TEXT_FAULT {
                    0 => Value::Str { bytes: text.to_vec(), truncated: flags & TEXT_CUT != 0 },
                    _ => Value::Fault,
                }
            }
            // Read before.
            Field::Stack(_) | Field::Caller => Value::Fault,
            Field::Block(size) => {
                let size = *size as usize;
                let head = u64_at(take(8)?, 0).ok_or(Malformed)?;
                let block = take(size.checked_next_multiple_of(8).ok_or(Malformed)?)?;
                match head {
                    0 => Value::str(block.get(..size).ok_or(Malformed)?),
                    _ => Value::Fault,
                }
            }
            Field::Library(function, fields) => {
                let arguments = self.fields(fields, hit, bytes, at, unwinder)?;
                match arguments.contains(&Value::Fault) {
                    true => Value::Fault,
                    false => self.outside(*function, &arguments),
                }
            }
            Field::Format(pieces, fields) => {
                let values = self.fields(fields, hit, bytes, at, unwinder)?;
                self.format(pieces, &values)
            }
            Field::Constant(text) => Value::str(text.as_slice()),
            Field::Container => Value::str(names().map_or("", |known| &known.name)),
            Field::ContainerId => Value::str(names().map_or("", |known| &known.id)),
            Field::Image => Value::str(names().map_or("", |known| &known.image)),
            Field::Pod => Value::str(names().map_or("", |known| &known.pod)),
            Field::Runtime => Value::str(names().map_or("", |known| &known.runtime)),
            Field::Function => Value::str(self.site(site).ok_or(Malformed)?.function.as_bytes()),
            Field::Point => {
                let probe = self.site(site).ok_or(Malformed)?.probe;
                Value::str(self.points.get(probe.0 as usize).map_or("", String::as_str))
            }
        })
    }

    fn fields(
        &self,
        fields: &[Field],
        hit: Hit,
        bytes: &[u8],
        at: &mut usize,
        unwinder: &mut dyn Unwinder,
    ) -> Result<Vec<Value>, Malformed> {
        fields.iter().map(|field| self.field(field, hit, bytes, at, unwinder)).collect()
    }

    /// What a function of the library gives.
    fn outside(&self, function: Library, arguments: &[Value]) -> Value {
        match library::call(function, arguments) {
            Some(Value::Str { bytes, truncated }) => self.cut(bytes, truncated),
            Some(other) => other,
            None => Value::Fault,
        }
    }

    /// A string of at most as many bytes as one may hold.
    fn cut(&self, mut bytes: Vec<u8>, truncated: bool) -> Value {
        let limit = self.text.strlen as usize;
        let truncated = truncated || bytes.len() > limit;
        bytes.truncate(limit);
        Value::Str { bytes, truncated }
    }

    /// What `sprintf` gives: a value that is not only shown and cannot be read makes it one that cannot be read.
    fn format(&self, pieces: &[Piece], values: &[Value]) -> Value {
        let mut rest = values;
        for piece in pieces {
            let Some((own, others)) = rest.split_at_checked(piece.values()) else { return Value::Fault };
            rest = others;
            if let Piece::Value(shown) = piece
                && !shown.fault_is_shown
                && own.contains(&Value::Fault)
            {
                return Value::Fault;
            }
        }
        let mut text = Vec::new();
        write_pieces(&mut text, pieces, values, &self.shown);
        self.cut(text, false)
    }
}
