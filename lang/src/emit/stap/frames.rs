//! Owns reading what a script that writes records ([`super::Written::Records`]) prints: a stream of frames, put together
//! to the records of runs. Trusts no byte of it beyond the key: what is no frame is skipped and counted.

use std::collections::HashMap;

use super::records::Category;
use crate::interpret::answer;
use crate::ir::{ContainerIndex, GlobalIndex, GlobalKind, Piece, Print, ProbeIndex, Program, StatsShape};
use crate::stats::Stats;
use crate::value::{MapEntry, Value, place, sort_entries};

/// The longest frame: what SystemTap's runtime keeps together.
const LONGEST: usize = 8192;
/// The most bytes that the prints of one run may take, and the most prints.
const MOST_PENDING: usize = 64 << 20;

/// What the module said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// All probes are in place.
    Ready,
    /// A run ended and had output, or may have had.
    Record(Record),
    /// The program called `exit()`; no later run of a probe is shown.
    Exit,
    /// An entry of a global that nothing reads.
    Global(GlobalIndex, MapEntry),
    /// How many runs of a probe something became of.
    Counter(ProbeIndex, Category, u64),
    /// This was all.
    End,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which probe.
    pub probe: ProbeIndex,
    /// Whose task; `None` in `begin`, `end` and `every`.
    pub container: Option<ContainerIndex>,
    /// `CLOCK_MONOTONIC` in ns, at its end.
    pub time: u64,
    /// Process id on the host.
    pub pid: u32,
    /// Thread id on the host.
    pub tid: u32,
    /// Process id as the container sees it.
    pub nspid: Option<u32>,
    /// The processor it ran on.
    pub cpu: u32,
    /// Its outputs, each with the number of its statement and its values; `None` where some of them were lost.
    pub prints: Option<Vec<(usize, Vec<Value>)>>,
}

/// What was begun and is not over, of one processor.
#[derive(Debug, Default)]
struct Pending {
    prints: Vec<(usize, Vec<u8>)>,
    /// The global whose entry is being read.
    global: Option<(u32, Vec<u8>)>,
    /// Frames that go on with something whose beginning was lost.
    lost: bool,
    size: usize,
}

/// Reads a stream of frames.
#[derive(Debug)]
pub struct Reader<'a> {
    program: &'a Program,
    prints: Vec<Print>,
    strlen: usize,
    /// What each frame begins with.
    mark: Vec<u8>,
    buffer: Vec<u8>,
    pending: HashMap<u32, Pending>,
    skipped: u64,
}

/// A frame's letter, processor, and what is in it.
type Frame<'b> = (u8, u32, &'b [u8]);

impl<'a> Reader<'a> {
    /// A reader for the module that was loaded with this key.
    pub fn new(program: &'a Program, prints: Vec<Print>, strlen: u32, key: u64) -> Reader<'a> {
        let mark = [&[1], format!("{key:x}").as_bytes()].concat();
        Reader {
            program,
            prints,
            strlen: strlen as usize,
            mark,
            buffer: Vec::new(),
            pending: HashMap::new(),
            skipped: 0,
        }
    }

    /// Bytes that belonged to no frame: more than 0 where the kernel dropped something.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes bytes of the stream, however they are cut, and hands over what is complete.
    pub fn take(&mut self, bytes: &[u8], said: &mut dyn FnMut(Said)) {
        self.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        loop {
            match self.frame(rest) {
                Step::Frame(frame, after) => {
                    self.handle(frame, said);
                    rest = after;
                }
                Step::Skip(bytes) => {
                    self.skipped = self.skipped.saturating_add(bytes as u64);
                    rest = rest.get(bytes..).unwrap_or(&[]);
                }
                Step::More => break,
            }
        }
        self.buffer = rest.to_vec();
    }

    /// The frame that the stream begins with.
    fn frame<'b>(&self, bytes: &'b [u8]) -> Step<'b> {
        let mark = self.mark.as_slice();
        let shared = bytes.len().min(mark.len());
        if bytes.get(..shared) != mark.get(..shared) {
            return Step::Skip(self.next_mark(bytes));
        }
        let Some(body) = bytes.get(mark.len()..).filter(|body| !body.is_empty()) else { return Step::More };
        match body_of(body) {
            Parsed::Done((letter, cpu, inner), after) => Step::Frame((letter, cpu, inner), after),
            Parsed::Short if bytes.len() < LONGEST + 64 => Step::More,
            Parsed::Short | Parsed::Wrong => Step::Skip(self.next_mark(bytes)),
        }
    }

    /// How many bytes until something that may be the next frame.
    fn next_mark(&self, bytes: &[u8]) -> usize {
        let rest = bytes.get(1..).unwrap_or(&[]);
        rest.iter().position(|byte| *byte == 1).map_or(bytes.len(), |position| position + 1).max(1)
    }

    fn handle(&mut self, (letter, cpu, inner): Frame<'_>, said: &mut dyn FnMut(Said)) {
        let pending = self.pending.entry(cpu).or_default();
        if letter != b'A'
            && let Some((global, bytes)) = pending.global.take()
        {
            let entry = self.global(global, &bytes);
            match entry {
                Some(entry) => said(Said::Global(GlobalIndex(global), entry)),
                None => self.skipped += 1,
            }
        }
        let pending = self.pending.entry(cpu).or_default();
        match letter {
            b'P' | b'G' => match number(inner) {
                Some((index, tokens)) => {
                    pending.size += tokens.len();
                    if letter == b'G' {
                        pending.global = u32::try_from(index).ok().map(|index| (index, tokens.to_vec()));
                    } else if pending.size < MOST_PENDING {
                        let index = usize::try_from(index).unwrap_or(usize::MAX);
                        pending.prints.push((index, tokens.to_vec()));
                    } else {
                        pending.lost = true;
                    }
                }
                None => self.skipped += 1,
            },
            b'A' => {
                pending.size += inner.len();
                let place = match (&mut pending.global, pending.prints.last_mut()) {
                    (Some((_, bytes)), _) | (None, Some((_, bytes))) if pending.size < MOST_PENDING => Some(bytes),
                    (_, _) => None,
                };
                match place {
                    Some(bytes) => bytes.extend_from_slice(inner),
                    None => pending.lost = true,
                }
            }
            b'X' => *pending = Pending::default(),
            b'R' => {
                let pending = std::mem::take(pending);
                match self.record(cpu, inner, pending) {
                    Some(record) => said(Said::Record(record)),
                    None => self.skipped += 1,
                }
            }
            b'Q' => said(Said::Exit),
            b'Y' => said(Said::Ready),
            b'Z' => said(Said::End),
            b'C' => match counter(inner) {
                Some(counter) => said(counter),
                None => self.skipped += 1,
            },
            _ => self.skipped += 1,
        }
    }

    fn record(&self, cpu: u32, inner: &[u8], pending: Pending) -> Option<Record> {
        let (probe, rest) = number(inner)?;
        let (container, rest) = number(rest)?;
        let (time, rest) = number(rest)?;
        let (pid, rest) = number(rest)?;
        let (tid, rest) = number(rest)?;
        let (nspid, rest) = number(rest)?;
        let (count, _) = number(rest)?;
        let complete = !pending.lost && (count < 0 || usize::try_from(count).ok() == Some(pending.prints.len()));
        let prints = || -> Option<Vec<(usize, Vec<Value>)>> {
            pending.prints.iter().map(|(index, bytes)| Some((*index, self.values(*index, bytes)?))).collect()
        };
        let container = u32::try_from(container).ok().map(ContainerIndex);
        Some(Record {
            probe: ProbeIndex(u32::try_from(probe).ok()?),
            container,
            time: time.cast_unsigned(),
            pid: u32::try_from(pid).ok()?,
            tid: u32::try_from(tid).ok()?,
            nspid: container.and(u32::try_from(nspid).ok()).filter(|pid| *pid > 0),
            cpu,
            prints: if complete { prints() } else { None },
        })
    }

    /// The values of an output statement: as many as it has.
    fn values(&self, index: usize, bytes: &[u8]) -> Option<Vec<Value>> {
        let print = self.prints.get(index)?;
        let mut rest = bytes;
        let mut values = Vec::new();
        for piece in &print.pieces {
            match piece {
                Piece::Text(_) | Piece::Unavailable { .. } => {}
                Piece::Value(_) => values.push(self.scalar(&mut rest)?),
                Piece::Histogram { global, linear, .. } => {
                    let at = linear.map(|linear| place(self.program, *global, linear));
                    let mut entries = self.entries(&mut rest, *global, at)?;
                    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                    values.push(Value::Table(entries));
                }
                Piece::Table { global, asked } => {
                    let mut entries = self.entries(&mut rest, *global, None)?;
                    if let Some(op) = asked {
                        entries.iter_mut().for_each(|(_, value)| *value = answer(value, *op));
                    }
                    sort_entries(&mut entries);
                    values.push(Value::Table(entries));
                }
                Piece::Whole(whole) => {
                    for _ in 0..=whole.elsewhere.len() {
                        values.push(self.scalar(&mut rest)?);
                    }
                }
            }
        }
        rest.is_empty().then_some(values)
    }

    fn entries(&self, rest: &mut &[u8], global: GlobalIndex, linear: Option<usize>) -> Option<Vec<MapEntry>> {
        one(rest, b'[')?;
        let mut entries = Vec::new();
        while rest.first() == Some(&b'(') {
            entries.push(self.entry(rest, global, linear)?);
        }
        one(rest, b']')?;
        Some(entries)
    }

    fn global(&self, global: u32, bytes: &[u8]) -> Option<MapEntry> {
        let mut rest = bytes;
        let entry = self.entry(&mut rest, GlobalIndex(global), None)?;
        rest.is_empty().then_some(entry)
    }

    /// `(`, the parts of the key, the value, `)`.
    fn entry(&self, rest: &mut &[u8], global: GlobalIndex, linear: Option<usize>) -> Option<MapEntry> {
        let kind = &self.program.globals.get(global.0 as usize)?.kind;
        one(rest, b'(')?;
        let mut parts = Vec::new();
        while rest.first() != Some(&b')') {
            parts.push(match (rest.first()?, kind) {
                (b't', GlobalKind::Stats { shape, .. }) => stats(rest, shape, linear)?,
                (_, GlobalKind::Scalar { .. } | GlobalKind::Map { .. } | GlobalKind::Stats { .. }) => {
                    self.scalar(rest)?
                }
            });
        }
        one(rest, b')')?;
        let value = parts.pop()?;
        Some((parts, value))
    }

    fn scalar(&self, rest: &mut &[u8]) -> Option<Value> {
        let (letter, behind) = rest.split_first()?;
        match letter {
            b'f' => {
                *rest = behind;
                Some(Value::Fault)
            }
            b'i' => {
                let (value, behind) = number(behind)?;
                *rest = behind;
                Some(Value::Int(value))
            }
            b'w' | b'b' => {
                let end = behind.iter().position(|byte| *byte == b';')?;
                let (digits, behind) = (behind.get(..end)?, behind.get(end + 1..)?);
                *rest = behind;
                Some(Value::Str { bytes: bytes_of(digits, *letter == b'w')?, truncated: false })
            }
            b's' => {
                let (length, behind) = number(behind)?;
                let (bytes, behind) = behind.split_at_checked(usize::try_from(length).ok()?)?;
                *rest = behind;
                // One byte more than the limit says that there was more.
                let truncated = bytes.len() > self.strlen;
                let bytes = bytes.get(..self.strlen).unwrap_or(bytes).to_vec();
                Some(Value::Str { bytes, truncated })
            }
            _ => None,
        }
    }
}

/// The bytes that digits stand for; those of whole numbers of eight bytes, where there are some, begin with the highest.
fn bytes_of(digits: &[u8], numbers: bool) -> Option<Vec<u8>> {
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let mut bytes: Vec<u8> = pairs.map(byte).collect::<Option<_>>()?;
    if numbers {
        bytes.chunks_exact_mut(8).for_each(<[u8]>::reverse);
    }
    Some(bytes)
}

/// What a stream begins with.
enum Step<'b> {
    Frame(Frame<'b>, &'b [u8]),
    /// That many bytes are in no frame.
    Skip(usize),
    /// What is there is not enough to tell.
    More,
}

enum Parsed<T, R> {
    Done(T, R),
    Short,
    Wrong,
}

/// Letter, processor, contents and the newline that ends them: the strings in them say how long they are.
fn body_of(body: &[u8]) -> Parsed<Frame<'_>, &[u8]> {
    let Some((letter, rest)) = body.split_first() else { return Parsed::Short };
    if !letter.is_ascii_uppercase() {
        return Parsed::Wrong;
    }
    let (cpu, inner) = match digits(rest) {
        Parsed::Done(cpu, inner) => (cpu, inner),
        Parsed::Short => return Parsed::Short,
        Parsed::Wrong => return Parsed::Wrong,
    };
    let Ok(cpu) = u32::try_from(cpu) else { return Parsed::Wrong };
    let mut at = inner;
    loop {
        let Some((first, behind)) = at.split_first() else { return Parsed::Short };
        match first {
            b'\n' => {
                let length = inner.len() - at.len();
                return Parsed::Done((*letter, cpu, inner.get(..length).unwrap_or(&[])), behind);
            }
            b's' => {
                let (length, text) = match digits(behind) {
                    Parsed::Done(length, text) => (length, text),
                    Parsed::Short => return Parsed::Short,
                    Parsed::Wrong => return Parsed::Wrong,
                };
                let Ok(length) = usize::try_from(length) else { return Parsed::Wrong };
                if length > LONGEST {
                    return Parsed::Wrong;
                }
                match text.get(length..) {
                    Some(behind) => at = behind,
                    None => return Parsed::Short,
                }
            }
            b'w' | b'b' => {
                let digits = behind.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                match behind.get(digits) {
                    None if behind.len() <= LONGEST => return Parsed::Short,
                    Some(b';') => at = behind.get(digits + 1..).unwrap_or(&[]),
                    Some(_) | None => return Parsed::Wrong,
                }
            }
            b'i' | b'f' | b't' | b'l' | b'e' | b'(' | b')' | b'[' | b']' | b';' | b'-' | b'0'..=b'9' => at = behind,
            _ => return Parsed::Wrong,
        }
    }
}

/// A decimal number and the `;` behind it.
fn digits(bytes: &[u8]) -> Parsed<i64, &[u8]> {
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let count = bytes.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
    let end = sign + count;
    match bytes.get(end) {
        None if count <= 20 => Parsed::Short,
        Some(b';') if count > 0 => {
            let text = bytes.get(..end).and_then(|digits| std::str::from_utf8(digits).ok());
            match (text.and_then(|text| text.parse().ok()), bytes.get(end + 1..)) {
                (Some(value), Some(rest)) => Parsed::Done(value, rest),
                (_, _) => Parsed::Wrong,
            }
        }
        Some(_) | None => Parsed::Wrong,
    }
}

fn number(bytes: &[u8]) -> Option<(i64, &[u8])> {
    match digits(bytes) {
        Parsed::Done(value, rest) => Some((value, rest)),
        Parsed::Short | Parsed::Wrong => None,
    }
}

fn one(rest: &mut &[u8], byte: u8) -> Option<()> {
    let (first, behind) = rest.split_first()?;
    (*first == byte).then(|| *rest = behind)
}

/// An aggregate's numbers, then the buckets of the one histogram that is asked for.
fn stats(rest: &mut &[u8], shape: &StatsShape, linear: Option<usize>) -> Option<Value> {
    one(rest, b't')?;
    let (count, behind) = number(rest)?;
    let (sum, behind) = number(behind)?;
    let (min, behind) = number(behind)?;
    let (max, behind) = number(behind)?;
    *rest = behind;
    let mut stats = Stats::new(shape);
    if count > 0 {
        (stats.count, stats.sum, stats.min, stats.max) = (count.cast_unsigned(), sum, min, max);
    }
    while rest.first() == Some(&b'l') {
        let (bucket, behind) = number(rest.get(1..)?)?;
        let (held, behind) = number(behind)?;
        *rest = behind;
        let buckets = match linear {
            None => &mut stats.log,
            Some(which) => stats.linear.get_mut(which)?,
        };
        *buckets.get_mut(usize::try_from(bucket).ok()?)? = held.cast_unsigned();
    }
    one(rest, b'e')?;
    Some(Value::Stats(Box::new(stats)))
}

fn counter(inner: &[u8]) -> Option<Said> {
    let (probe, rest) = number(inner)?;
    let (category, rest) = number(rest)?;
    let (count, _) = number(rest)?;
    let category = *Category::ALL.get(usize::try_from(category).ok()?)?;
    Some(Said::Counter(ProbeIndex(u32::try_from(probe).ok()?), category, count.cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Expr, PrintKind, Show, Shown, Spec, Ty};
    use crate::source::{SourceId, Span};

    fn span() -> Span {
        Span::new(SourceId(0), 0, 1)
    }

    fn prints() -> Vec<Print> {
        let shown = |ty| {
            let mut value = Expr::int(0, span());
            value.ty = ty;
            Piece::Value(Shown { value, show: Show::Signed, spec: Spec::default(), fault_is_shown: true })
        };
        vec![Print { kind: PrintKind::Text, pieces: vec![shown(Ty::Int), shown(Ty::Str)], span: span() }]
    }

    fn read(strlen: u32, chunks: &[&[u8]]) -> (Vec<Said>, u64) {
        let program = Program::default();
        let mut reader = Reader::new(&program, prints(), strlen, 0xabc);
        let mut all = Vec::new();
        chunks.iter().for_each(|chunk| reader.take(chunk, &mut |said| all.push(said)));
        (all, reader.skipped())
    }

    fn values(said: &[Said]) -> Vec<Vec<Value>> {
        said.iter()
            .filter_map(|said| match said {
                Said::Record(record) => record.prints.clone(),
                _ => None,
            })
            .flat_map(|prints| prints.into_iter().map(|(_, values)| values))
            .collect()
    }

    const RECORD: &[u8] = b"\x01abcR1;0;0;5;7;8;1;1;\n";

    #[test]
    fn whole_values_come_as_digits() {
        assert_eq!(bytes_of(b"0807060504030201ff0a", true), Some(vec![1, 2, 3, 4, 5, 6, 7, 8, 255, 10]));
        assert_eq!(bytes_of(b"0807060504030201ff", false), Some(vec![8, 7, 6, 5, 4, 3, 2, 1, 255]));
        assert_eq!(bytes_of(b"", true), Some(Vec::new()));
        assert_eq!((bytes_of(b"0", true), bytes_of(b"xx", true), bytes_of(b"\xff\xff", false)), (None, None, None));
    }

    #[test]
    fn a_record_is_read_however_the_stream_is_cut() {
        let stream = [b"\x01abcP1;0;i-5;s4;a\n\x01b\n".as_slice(), RECORD].concat();
        let wanted = vec![vec![Value::Int(-5), Value::str(b"a\n\x01b".as_slice())]];
        for cut in 0..stream.len() {
            let (head, tail) = stream.split_at(cut);
            let (said, skipped) = read(16, &[head, tail]);
            assert_eq!(values(&said), wanted, "cut at {cut}");
            assert_eq!(skipped, 0);
        }
    }

    #[test]
    fn bytes_of_a_program_that_look_like_a_frame_are_a_value() {
        let text = b"\x01abcQ0;\n\x01abcR0;0;0;0;0;0;0;0;\n";
        let stream = [format!("\x01abcP1;0;i1;s{};", text.len()).as_bytes(), text, b"\n", RECORD].concat();
        let (said, _) = read(64, &[&stream]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(values(&said), [vec![Value::Int(1), Value::str(text.as_slice())]]);
    }

    #[test]
    fn a_run_that_was_stopped_leaves_nothing() {
        let stream = [b"\x01abcP1;0;i1;s1;x\n\x01abcX1;\n\x01abcP1;0;i2;s1;y\n".as_slice(), RECORD].concat();
        assert_eq!(values(&read(16, &[&stream]).0), [vec![Value::Int(2), Value::str(b"y".as_slice())]]);
    }

    #[test]
    fn runs_on_two_processors_do_not_mix() {
        let stream = b"\x01abcP0;0;i1;s1;x\n\x01abcP1;0;i2;\n\x01abcR0;0;0;5;7;8;1;1;\n\x01abcA1;s1;y\n".as_slice();
        let said = read(16, &[&[stream, RECORD].concat()]).0;
        assert_eq!(
            values(&said),
            [[Value::Int(1), Value::str(b"x".as_slice())], [Value::Int(2), Value::str(b"y".as_slice())]]
        );
    }

    #[test]
    fn a_frame_that_was_lost_makes_its_record_one_that_was() {
        for stream in [RECORD, &[b"\x01abcP1;0;i1;\n".as_slice(), RECORD].concat()] {
            let (said, _) = read(16, &[stream]);
            assert!(matches!(said.as_slice(), [Said::Record(Record { prints: None, .. })]), "{said:?}");
        }
    }

    #[test]
    fn what_is_no_frame_is_skipped_and_the_next_one_read() {
        let stream = [b"rubbish\x01abcP1;0;i1;s99".as_slice(), RECORD, b"\x01abcY0;;\n", &[b'x'; 9000]].concat();
        let (said, skipped) = read(16, &[&stream, b"\x01abcZ0;\n"]);
        assert!(skipped > 0);
        assert_eq!(said.last(), Some(&Said::End), "{said:?}");
    }

    #[test]
    fn a_text_with_one_byte_more_than_the_limit_was_cut() {
        let stream = [b"\x01abcP1;0;f;s5;abcde\n".as_slice(), RECORD].concat();
        // `f` has nothing behind it: this is no value, and the record is one that was lost.
        assert!(values(&read(4, &[&stream]).0).is_empty());
        let stream = [b"\x01abcP1;0;fs5;abcde\n".as_slice(), RECORD].concat();
        let cut = Value::Str { bytes: b"abcd".to_vec(), truncated: true };
        assert_eq!(values(&read(4, &[&stream]).0), [vec![Value::Fault, cut]]);
    }
}
