//! Owns reading a zlib stream by position without holding what it unpacks to: on the way the decoder's state is noted
//! every so often, and from the nearest one it is unpacked again. Memory holds these states and the pieces read last.
//! Never believes how much there is before it was unpacked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use miniz_oxide::inflate::TINFLStatus as Status;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags as flags};

use crate::world::{ReadAt, ReadError};

/// Bytes unpacked at a time: a power of two, of more than one window.
const PIECE: usize = 128 << 10;
/// How far back a stream may refer (RFC 1951, 2).
const WINDOW: usize = 32 << 10;
/// Packed bytes read at a time.
const INPUT: usize = 64 << 10;
/// Pieces that are kept: what was read of them others remember.
const KEPT: usize = 2;
/// Pieces from one noted state to the next, at first.
const APART: u64 = 16;
/// Most states that are noted (43 kB each): one more, and every other one goes.
const MOST: usize = 64;
/// Bytes that may be unpacked for reading a section, for each of its own, and besides.
const WORK: u64 = 32;
const WORK_BESIDES: u64 = 4 << 30;

/// A zlib stream in a file.
pub(super) struct Inflated {
    bytes: Arc<dyn ReadAt>,
    /// The section it is, for messages.
    name: String,
    /// Where it begins, and how many bytes of it there are.
    offset: u64,
    packed: u64,
    size: u64,
    state: Mutex<State>,
}

struct State {
    running: Decoder,
    noted: Vec<Noted>,
    /// Most of these.
    most: usize,
    /// Pieces from one of these to the next.
    apart: u64,
    /// The pieces read last, the latest at the end.
    kept: VecDeque<(u64, Arc<[u8]>)>,
    unpacked: u64,
}

/// A decoder between two pieces.
struct Noted {
    inner: Box<DecompressorOxide>,
    /// Packed bytes that it has taken.
    taken: u64,
    /// The piece that comes next.
    next: u64,
    window: Box<[u8]>,
}

struct Decoder {
    inner: Box<DecompressorOxide>,
    taken: u64,
    next: u64,
    /// The piece that is being unpacked, in the place of the one before.
    ring: Vec<u8>,
    /// Packed bytes that were read, and how many of them are used.
    input: Vec<u8>,
    used: usize,
}

impl Inflated {
    /// The stream of `packed` bytes at `offset`, which is said to unpack to `size`.
    pub(super) fn new(bytes: &Arc<dyn ReadAt>, name: &str, offset: u64, packed: u64, size: u64) -> Inflated {
        let running = Decoder::begin(Box::default(), 0, 0, &[]);
        let (noted, kept) = (Vec::new(), VecDeque::new());
        let state = State { running, noted, most: MOST, apart: APART, kept, unpacked: 0 };
        Inflated { bytes: Arc::clone(bytes), name: name.to_owned(), offset, packed, size, state: Mutex::new(state) }
    }

    fn piece(&self, state: &mut State, wanted: u64) -> Result<Arc<[u8]>, ReadError> {
        if let Some(at) = state.kept.iter().position(|(number, _)| *number == wanted)
            && let Some(found) = state.kept.remove(at)
        {
            let bytes = Arc::clone(&found.1);
            state.kept.push_back(found);
            return Ok(bytes);
        }
        let before = state.noted.partition_point(|noted| noted.next <= wanted).checked_sub(1);
        let nearest = before.and_then(|before| state.noted.get(before));
        let behind = state.running.next > wanted;
        match nearest {
            Some(noted) if behind || noted.next > state.running.next => {
                state.running = Decoder::begin(noted.inner.clone(), noted.taken, noted.next, &noted.window);
            }
            None if behind => state.running = Decoder::begin(Box::default(), 0, 0, &[]),
            Some(_) | None => {}
        }
        loop {
            let number = state.running.next;
            let most = self.size.saturating_mul(WORK).saturating_add(WORK_BESIDES);
            state.unpacked = state.unpacked.saturating_add(PIECE as u64);
            if state.unpacked > most {
                return Err(self.failed(number, &format!("more than {most} bytes to unpack")));
            }
            let size = match self.unpack(&mut state.running) {
                Ok(size) => size,
                Err(error) => {
                    // It stands within a piece, from where nothing goes on.
                    state.running = Decoder::begin(Box::default(), 0, 0, &[]);
                    return Err(error);
                }
            };
            state.note();
            if number == wanted {
                let bytes: Arc<[u8]> = state.running.ring.get(..size).unwrap_or_default().into();
                if state.kept.len() >= KEPT {
                    state.kept.pop_front();
                }
                state.kept.push_back((number, Arc::clone(&bytes)));
                return Ok(bytes);
            }
        }
    }

    /// Unpacks the next piece; how many bytes it has.
    fn unpack(&self, decoder: &mut Decoder) -> Result<usize, ReadError> {
        let start = decoder.next * PIECE as u64;
        let size = usize::try_from(self.size.saturating_sub(start)).unwrap_or(usize::MAX).min(PIECE);
        let mut done = 0;
        while done < size {
            if decoder.used == decoder.input.len() {
                let left = usize::try_from(self.packed - decoder.taken).unwrap_or(usize::MAX);
                decoder.input.resize(left.min(INPUT), 0);
                decoder.used = 0;
                self.bytes.read_at(self.offset + decoder.taken, &mut decoder.input)?;
            }
            let input = decoder.input.get(decoder.used..).unwrap_or_default();
            let more = decoder.taken + (input.len() as u64) < self.packed;
            let more = if more { flags::TINFL_FLAG_HAS_MORE_INPUT } else { 0 };
            let how = flags::TINFL_FLAG_PARSE_ZLIB_HEADER | flags::TINFL_FLAG_IGNORE_ADLER32 | more;
            let (status, taken, made) = decompress(&mut decoder.inner, input, &mut decoder.ring, done, how);
            decoder.used += taken;
            decoder.taken += taken as u64;
            done += made;
            match status {
                Status::HasMoreOutput | Status::NeedsMoreInput if taken > 0 || made > 0 => {}
                Status::Done if done >= size => {}
                Status::Done => {
                    let what = format!("it inflates to {} bytes, not {}", start + done as u64, self.size);
                    return Err(self.failed(decoder.next, &what));
                }
                _ => return Err(self.failed(decoder.next, "it does not inflate")),
            }
        }
        decoder.next += 1;
        Ok(size)
    }

    fn failed(&self, piece: u64, what: &str) -> ReadError {
        ReadError { offset: piece * PIECE as u64, reason: format!("section {}: {what}", self.name) }
    }
}

impl ReadAt for Inflated {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let end = offset.checked_add(buf.len() as u64).filter(|end| *end <= self.size);
        end.ok_or_else(|| ReadError::past_end(offset))?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let piece = self.piece(&mut state, at / PIECE as u64)?;
            let from = usize::try_from(at % PIECE as u64).unwrap_or(0);
            let part = piece.get(from..).unwrap_or_default();
            let size = part.len().min(rest.len());
            if size == 0 {
                return Err(ReadError::past_end(at));
            }
            let (now, later) = rest.split_at_mut(size);
            now.copy_from_slice(part.get(..size).unwrap_or_default());
            at += size as u64;
            rest = later;
        }
        Ok(())
    }
}

impl State {
    /// Notes where the decoder stands, if it is far enough from the last place at which that was done.
    fn note(&mut self) {
        let last = self.noted.last().map_or(0, |noted| noted.next);
        if self.running.next < last + self.apart {
            return;
        }
        if self.noted.len() >= self.most {
            self.apart *= 2;
            let apart = self.apart;
            self.noted.retain(|noted| noted.next % apart == 0);
        }
        let Decoder { inner, taken, next, ring, .. } = &self.running;
        if next % self.apart == 0 {
            let window = ring.get(PIECE - WINDOW..).unwrap_or_default().into();
            self.noted.push(Noted { inner: inner.clone(), taken: *taken, next: *next, window });
        }
    }
}

impl Decoder {
    fn begin(inner: Box<DecompressorOxide>, taken: u64, next: u64, window: &[u8]) -> Decoder {
        let mut ring = vec![0; PIECE - window.len()];
        ring.extend_from_slice(window);
        Decoder { inner, taken, next, ring, input: Vec::new(), used: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Bytes with repetitions near and far, of which deflate makes blocks of every kind.
    fn bytes(size: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let mut bytes: Vec<u8> = Vec::new();
        while bytes.len() < size {
            match next() % 4 {
                0 => (0..next() % 40_000).for_each(|_| bytes.push(next() as u8)),
                1 => bytes.extend(std::iter::repeat_n(next() as u8, (next() % 90_000) as usize)),
                _ if !bytes.is_empty() => {
                    let from = bytes.len() - 1 - next() as usize % bytes.len().min(WINDOW);
                    let part = bytes[from..].iter().take(200).copied().collect::<Vec<_>>();
                    (0..100).for_each(|_| bytes.extend(&part));
                }
                _ => {}
            }
        }
        bytes.truncate(size);
        bytes
    }

    fn packed(bytes: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn inflated(packed: Vec<u8>, size: usize) -> Inflated {
        let length = packed.len() as u64;
        let bytes: Arc<dyn ReadAt> = Arc::new([&b"before"[..], &packed, b"behind"].concat());
        Inflated::new(&bytes, ".debug_info", 6, length, size as u64)
    }

    #[test]
    fn every_place_reads_as_in_one_piece() {
        let all = bytes(5_000_001);
        for level in [0, 6] {
            let inflated = inflated(packed(&all, level), all.len());
            let mut at = 0;
            for step in 0..40usize {
                // Back and forth, across pieces, up to the end.
                at = (at + step * 611_953) % all.len();
                let size = (step * 977 % 300_000).min(all.len() - at);
                let mut part = vec![0; size];
                inflated.read_at(at as u64, &mut part).expect("inside");
                assert!(part == all[at..at + size], "{size} at {at}, level {level}");
            }
            let state = inflated.state.lock().expect("whole");
            assert!(state.noted.len() >= 2 && state.kept.len() == KEPT);
        }
    }

    /// However long it is, the states stay few, and all of it can be read.
    #[test]
    fn states_grow_no_further_than_their_bound() {
        let all = bytes(10 << 20);
        let inflated = inflated(packed(&all, 1), all.len());
        inflated.state.lock().expect("whole").most = 4;
        let mut part = vec![0; 1000];
        for at in [all.len() - 1000, 0, 5 << 20, 3 << 20, 9 << 20] {
            inflated.read_at(at as u64, &mut part).expect("inside");
            assert!(part == all[at..at + 1000], "{at}");
            let state = inflated.state.lock().expect("whole");
            assert!(state.noted.len() <= 4 && state.noted.iter().all(|noted| noted.next % state.apart == 0));
            assert_eq!((state.apart, state.noted.len()), (2 * APART, 2));
        }
    }

    #[test]
    fn what_is_shorter_than_it_says_is_an_error() {
        let all = bytes(1_000_000);
        let inflated = inflated(packed(&all, 6), all.len() + 1);
        let mut part = [0; 10];
        assert!(inflated.read_at(0, &mut part).is_ok());
        let error = inflated.read_at(999_995, &mut part[..6]).expect_err("it is shorter");
        assert_eq!(error.reason, "section .debug_info: it inflates to 1000000 bytes, not 1000001");
        assert!(inflated.read_at(u64::MAX, &mut part).is_err() && inflated.read_at(1_000_001, &mut part).is_err());
        assert!(inflated.read_at(1_000_001, &mut []).is_ok());
    }

    #[test]
    fn damaged_streams_give_bytes_or_errors() {
        let all = bytes(800_000);
        let whole = packed(&all, 6);
        for round in 1..60usize {
            let mut damaged = whole.clone();
            let cut = round % 3 == 0;
            if cut {
                damaged.truncate(round * 7919 % whole.len());
            } else {
                (0..round).for_each(|n| damaged[(n * 104_729 + round * 611_953) % whole.len()] ^= (1 + n) as u8);
            }
            let inflated = inflated(damaged, all.len());
            let mut part = vec![0; 5_000];
            for at in [795_000, 0, 503_906, 251_953] {
                let read = inflated.read_at(at, &mut part);
                // What is cut off cannot reach its end.
                assert!(!cut || at != 795_000 || read.is_err(), "{round}");
            }
        }
    }
}
