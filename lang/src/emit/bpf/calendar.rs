//! Owns `strftime` whose text the kernel needs (as a key, assigned, compared): the calendar in arithmetic, and
//! `bpf_snprintf` for the digits. What each conversion gives, [`crate::library`] says.

use super::frame::Slot;
use super::handler::{Gen, Refused};
use super::insn::*;
use super::text::Part;
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::ir::{Expr, ExprKind};
use crate::source::Span;

/// The most numbers of one `bpf_snprintf` (`MAX_BPRINTF_VARARGS`).
const MOST_NUMBERS: usize = 12;
/// Days from 1 March of the year 0 to 1 January 1970.
const EPOCH: i32 = 719_468;
/// Bytes of a name in its table: none is longer than "Wednesday".
const NAME: usize = 16;

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A number of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Seconds,
    Micros,
    Second,
    Minute,
    Hour,
    Hour12,
    Day,
    Month,
    Year,
    Century,
    YearOfCentury,
    IsoYear,
    IsoYearOfCentury,
    IsoWeek,
    DayOfYear,
    /// 0 is Sunday.
    Weekday,
    /// 1 is Monday, 7 Sunday.
    IsoWeekday,
    WeekFromSunday,
    WeekFromMonday,
}

/// What a format is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Bytes(Vec<u8>),
    /// A number, by a conversion of `bpf_snprintf`.
    Number(Of, &'static str),
    /// The name that a number has, of at most so many bytes.
    Name(Of, &'static [&'static str], usize),
}

/// Where the numbers of a moment are from which all others follow.
#[derive(Clone, Copy)]
struct Moment {
    seconds: Slot,
    micros: Slot,
    /// Seconds of the day.
    clock: Slot,
    weekday: Slot,
    date: Date,
    /// The date of the Thursday of its week, where the format asks: the week belongs to that one's year (ISO 8601).
    thursday: Option<Date>,
}

#[derive(Clone, Copy)]
struct Date {
    year: Slot,
    month: Slot,
    day: Slot,
    /// From 0 on.
    day_of_year: Slot,
}

/// Takes a format apart.
fn items(format: &[u8]) -> Vec<Item> {
    let (mut items, mut rest) = (Vec::new(), format);
    let mut bytes = Vec::new();
    while let [first, behind @ ..] = rest {
        let known = match (first, behind) {
            (b'%', [letter, behind @ ..]) => conversion(*letter).map(|known| (known, behind)),
            _ => None,
        };
        match known {
            Some((known, behind)) => {
                if !bytes.is_empty() {
                    items.push(Item::Bytes(std::mem::take(&mut bytes)));
                }
                items.extend(known);
                rest = behind;
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    if !bytes.is_empty() {
        items.push(Item::Bytes(bytes));
    }
    items
}

/// What a conversion stands for.
fn conversion(letter: u8) -> Option<Vec<Item>> {
    let number = |of, written| Some(vec![Item::Number(of, written)]);
    let name = |of, names, most| Some(vec![Item::Name(of, names, most)]);
    let bytes = |text: &str| Some(vec![Item::Bytes(text.as_bytes().to_vec())]);
    let others = |format: &str| Some(items(format.as_bytes()));
    match letter {
        b'a' => name(Of::Weekday, &WEEKDAYS, 3),
        b'A' => name(Of::Weekday, &WEEKDAYS, NAME),
        b'b' | b'h' => name(Of::Month, &MONTHS, 3),
        b'B' => name(Of::Month, &MONTHS, NAME),
        b'p' => name(Of::Hour, &["AM", "PM"], 2),
        b'P' => name(Of::Hour, &["am", "pm"], 2),
        b's' => number(Of::Seconds, "%lld"),
        b'f' => number(Of::Micros, "%06lld"),
        b'S' => number(Of::Second, "%02lld"),
        b'M' => number(Of::Minute, "%02lld"),
        b'H' => number(Of::Hour, "%02lld"),
        b'k' => number(Of::Hour, "%2lld"),
        b'I' => number(Of::Hour12, "%02lld"),
        b'l' => number(Of::Hour12, "%2lld"),
        b'd' => number(Of::Day, "%02lld"),
        b'e' => number(Of::Day, "%2lld"),
        b'j' => number(Of::DayOfYear, "%03lld"),
        b'm' => number(Of::Month, "%02lld"),
        b'Y' => number(Of::Year, "%04lld"),
        b'C' => number(Of::Century, "%02lld"),
        b'y' => number(Of::YearOfCentury, "%02lld"),
        b'G' => number(Of::IsoYear, "%04lld"),
        b'g' => number(Of::IsoYearOfCentury, "%02lld"),
        b'V' => number(Of::IsoWeek, "%02lld"),
        b'u' => number(Of::IsoWeekday, "%lld"),
        b'w' => number(Of::Weekday, "%lld"),
        b'U' => number(Of::WeekFromSunday, "%02lld"),
        b'W' => number(Of::WeekFromMonday, "%02lld"),
        b'c' => others("%a %b %e %H:%M:%S %Y"),
        b'D' | b'x' => others("%m/%d/%y"),
        b'F' => others("%Y-%m-%d"),
        b'r' => others("%I:%M:%S %p"),
        b'R' => others("%H:%M"),
        b'T' | b'X' => others("%H:%M:%S"),
        b'n' => bytes("\n"),
        b't' => bytes("\t"),
        b'z' => bytes("+0000"),
        b'Z' => bytes("UTC"),
        b'%' => bytes("%"),
        _ => None,
    }
}

/// One call of `bpf_snprintf`, or bytes as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chunk {
    Bytes(Vec<u8>),
    Format(String, Vec<Item>),
}

/// As few calls as the kernel's rules allow (`bpf_bprintf_prepare`): so many numbers, and behind a text only a blank or
/// punctuation.
fn chunks(items: Vec<Item>) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut after_name = false;
    for item in items {
        let (format, argument) = match item {
            Item::Bytes(bytes) => {
                let plain = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\t');
                if !bytes.iter().all(plain) {
                    chunks.push(Chunk::Bytes(bytes));
                    after_name = false;
                    continue;
                }
                (String::from_utf8_lossy(&bytes).replace('%', "%%"), None)
            }
            Item::Number(_, written) => (written.to_owned(), Some(item)),
            Item::Name(..) => ("%s".to_owned(), Some(item)),
        };
        let follows = |first: u8| !first.is_ascii_alphanumeric() && (argument.is_none() || first != b'%');
        let apart = after_name && !format.bytes().next().is_some_and(follows);
        after_name = matches!(argument, Some(Item::Name(..)));
        match chunks.last_mut() {
            Some(Chunk::Format(before, arguments)) if !apart && arguments.len() < MOST_NUMBERS => {
                before.push_str(&format);
                arguments.extend(argument);
            }
            Some(Chunk::Format(..) | Chunk::Bytes(_)) | None => {
                chunks.push(Chunk::Format(format, argument.into_iter().collect()));
            }
        }
    }
    chunks
}

impl Gen<'_> {
    /// A moment as text.
    pub(super) fn strftime(&mut self, format: &Expr, moment: &Expr, dst: Slot, span: Span) -> Result<(), Refused> {
        let ExprKind::Str(format) = &format.kind else {
            return Err(Box::new(
                Diagnostic::new(
                    Code::E0302,
                    format.span,
                    "the embedded engine keeps what `strftime` gives for a format written as a text only",
                )
                .note("the kernel's code is made for one format")
                .help(
                    "write the format there, or print what `strftime` gives: a text that is only printed may have any",
                ),
            ));
        };
        let mark = self.frame;
        let items = items(format);
        let by_week = |item: &Item| matches!(item, Item::Number(Of::IsoYear | Of::IsoYearOfCentury | Of::IsoWeek, _));
        self.int(moment)?;
        self.asm.at(span);
        let moment = self.moment(items.iter().any(by_week))?;
        let mut parts = Vec::new();
        let chunks = chunks(items);
        for chunk in &chunks {
            parts.push(match chunk {
                Chunk::Bytes(bytes) => Part::Bytes(bytes),
                Chunk::Format(format, arguments) => {
                    let count = u32::try_from(arguments.len()).unwrap_or(u32::MAX);
                    let numbers = self.frame.take(8 * count.max(1)).map_err(|e| self.too_large(e))?;
                    for (at, argument) in (0i16..).step_by(8).zip(arguments) {
                        self.argument(argument, &moment);
                        self.store(numbers.plus(at), R0);
                    }
                    Part::Numbers { format, numbers, count }
                }
            });
        }
        self.concat(&parts, dst)?;
        self.frame.release(mark);
        Ok(())
    }

    /// Takes the moment in r0 (ns since 1970) apart.
    fn moment(&mut self, by_week: bool) -> Result<Moment, Refused> {
        let [seconds, micros, clock, weekday] =
            [self.temporary()?, self.temporary()?, self.temporary()?, self.temporary()?];
        let (of, days) = (self.temporary()?, self.temporary()?);
        self.store(of, R0);
        self.floor(of, seconds, micros, 1_000_000_000);
        self.load(R0, micros);
        self.asm.alu_imm(Alu::Div, R0, 1000);
        self.store(micros, R0);
        self.floor(seconds, days, clock, 86_400);
        self.load(R0, days);
        self.asm.alu_imm(Alu::Add, R0, EPOCH);
        self.store(days, R0);
        // 1 March of the year 0 was a Wednesday.
        self.calculate(days, weekday, &[(Alu::Add, 3), (Alu::Mod, 7)]);
        let date = self.date(days)?;
        let thursday = match by_week {
            true => {
                // Three days behind its Monday.
                self.calculate(weekday, of, &[(Alu::Add, 6), (Alu::Mod, 7)]);
                self.load(R1, of);
                self.load(R0, days);
                self.asm.alu(Alu::Sub, R0, R1);
                self.asm.alu_imm(Alu::Add, R0, 3);
                self.store(days, R0);
                Some(self.date(days)?)
            }
            false => None,
        };
        Ok(Moment { seconds, micros, clock, weekday, date, thursday })
    }

    /// `from` divided by `by`, towards the smaller number, and what is left.
    fn floor(&mut self, from: Slot, quotient: Slot, rest: Slot, by: i32) {
        // Below 0 it is what is left out of -1 - from that is divided: floor(a / b) = !(!a / b).
        self.load(R0, from);
        self.asm.mov(R1, R0);
        self.asm.alu_imm(Alu::Arsh, R1, 63);
        self.asm.alu(Alu::Xor, R0, R1);
        self.asm.alu_imm(Alu::Div, R0, by);
        self.asm.alu(Alu::Xor, R0, R1);
        self.store(quotient, R0);
        self.asm.alu_imm(Alu::Mul, R0, by);
        self.load(R1, from);
        self.asm.alu(Alu::Sub, R1, R0);
        self.store(rest, R1);
    }

    /// Steps from one number to another, all unsigned; in r0 too.
    fn calculate(&mut self, from: Slot, to: Slot, steps: &[(Alu, i32)]) {
        self.load(R0, from);
        self.steps(steps);
        self.store(to, R0);
    }

    fn steps(&mut self, steps: &[(Alu, i32)]) {
        steps.iter().for_each(|(op, by)| self.asm.alu_imm(*op, R0, *by));
    }

    /// The date of a day, counted from 1 March of the year 0: `civil_from_days` of Howard Hinnant's "chrono-Compatible
    /// Low-Level Date Algorithms".
    fn date(&mut self, days: Slot) -> Result<Date, Refused> {
        let [year, month, day, day_of_year] =
            [self.temporary()?, self.temporary()?, self.temporary()?, self.temporary()?];
        let mark = self.frame;
        // Of 400 years: the day, the year; of the year, which begins in March: the day, the month.
        let (of_era, from_march) = (self.temporary()?, self.temporary()?);
        self.calculate(days, of_era, &[(Alu::Mod, 146_097)]);
        self.calculate(days, year, &[(Alu::Div, 146_097), (Alu::Mul, 400)]);
        self.asm.mov(R4, R0);
        self.load(R2, of_era);
        self.asm.mov(R0, R2);
        for (op, by) in [(Alu::Sub, 1460), (Alu::Add, 36_524), (Alu::Sub, 146_096)] {
            self.asm.mov(R1, R2);
            self.asm.alu_imm(Alu::Div, R1, by);
            self.asm.alu(op, R0, R1);
        }
        self.asm.alu_imm(Alu::Div, R0, 365);
        // r0: the year of the 400, r2: the day of them.
        self.asm.alu(Alu::Add, R4, R0);
        for (op, by) in [(Alu::Mul, 365), (Alu::Div, 4)] {
            self.asm.mov(R1, R0);
            self.asm.alu_imm(op, R1, by);
            self.asm.alu(Alu::Sub, R2, R1);
        }
        self.asm.alu_imm(Alu::Div, R0, 100);
        self.asm.alu(Alu::Add, R2, R0);
        self.store(from_march, R2);
        self.calculate(from_march, month, &[(Alu::Mul, 5), (Alu::Add, 2), (Alu::Div, 153)]);
        self.asm.mov(R3, R0);
        self.steps(&[(Alu::Mul, 153), (Alu::Add, 2), (Alu::Div, 5)]);
        self.load(R2, from_march);
        self.asm.mov(R1, R2);
        self.asm.alu(Alu::Sub, R1, R0);
        self.asm.alu_imm(Alu::Add, R1, 1);
        self.store(day, R1);
        // r3: the month, from 0 for March on; r4: the year that began in March.
        let (this_year, done) = (self.asm.label(), self.asm.label());
        self.asm.alu_imm(Alu::Add, R3, 3);
        self.asm.jump_if_imm(Jump::Le, R3, 12, this_year);
        self.asm.alu_imm(Alu::Add, R3, -12);
        self.asm.alu_imm(Alu::Add, R4, 1);
        self.asm.alu_imm(Alu::Add, R2, -306);
        self.asm.jump(done);
        self.asm.place(this_year);
        self.asm.alu_imm(Alu::Add, R2, 59);
        let [leap, common] = std::array::from_fn(|_| self.asm.label());
        for (by, otherwise) in [(400, Some(leap)), (100, None), (4, Some(leap))] {
            self.asm.mov(R0, R4);
            self.asm.alu_imm(Alu::Mod, R0, by);
            self.asm.jump_if_imm(Jump::Eq, R0, 0, otherwise.unwrap_or(common));
        }
        self.asm.jump(common);
        self.asm.place(leap);
        self.asm.alu_imm(Alu::Add, R2, 1);
        self.asm.place(common);
        self.asm.place(done);
        self.store(month, R3);
        self.store(year, R4);
        self.store(day_of_year, R2);
        self.frame.release(mark);
        Ok(Date { year, month, day, day_of_year })
    }

    /// A number of a moment, or where its name is, in r0.
    fn argument(&mut self, item: &Item, moment: &Moment) {
        match item {
            Item::Bytes(_) => {}
            Item::Number(of, _) => self.number_of(*of, moment),
            Item::Name(of, names, most) => {
                self.number_of(*of, moment);
                match of {
                    Of::Month => self.asm.alu_imm(Alu::Add, R0, -1),
                    Of::Hour => self.asm.alu_imm(Alu::Div, R0, 12),
                    _ => {}
                }
                // As many as the mask lets through, so that the verifier sees that it is in the table.
                let room = names.len().next_power_of_two();
                let mut table = Vec::with_capacity(room * NAME);
                for name in names.iter() {
                    let mut entry = name.as_bytes().get(..*most).unwrap_or(name.as_bytes()).to_vec();
                    entry.resize(NAME, 0);
                    table.extend(entry);
                }
                table.resize(room * NAME, 0);
                let table = self.rodata.constant(&table);
                self.asm.alu_imm(Alu::And, R0, i32::try_from(room - 1).unwrap_or(0));
                self.asm.alu_imm(Alu::Mul, R0, i32::try_from(NAME).unwrap_or(0));
                self.asm.map_value(R1, self.env.constants, table);
                self.asm.alu(Alu::Add, R1, R0);
                self.asm.mov(R0, R1);
            }
        }
    }

    fn number_of(&mut self, of: Of, moment: &Moment) {
        let thursday = moment.thursday.unwrap_or(moment.date);
        let (slot, steps): (Slot, &[(Alu, i32)]) = match of {
            Of::Seconds => (moment.seconds, &[]),
            Of::Micros => (moment.micros, &[]),
            Of::Second => (moment.clock, &[(Alu::Mod, 60)]),
            Of::Minute => (moment.clock, &[(Alu::Div, 60), (Alu::Mod, 60)]),
            Of::Hour => (moment.clock, &[(Alu::Div, 3600)]),
            Of::Hour12 => (moment.clock, &[(Alu::Div, 3600), (Alu::Add, 11), (Alu::Mod, 12), (Alu::Add, 1)]),
            Of::Day => (moment.date.day, &[]),
            Of::Month => (moment.date.month, &[]),
            Of::Year => (moment.date.year, &[]),
            Of::Century => (moment.date.year, &[(Alu::Div, 100)]),
            Of::YearOfCentury => (moment.date.year, &[(Alu::Mod, 100)]),
            Of::IsoYear => (thursday.year, &[]),
            Of::IsoYearOfCentury => (thursday.year, &[(Alu::Mod, 100)]),
            Of::IsoWeek => (thursday.day_of_year, &[(Alu::Div, 7), (Alu::Add, 1)]),
            Of::DayOfYear => (moment.date.day_of_year, &[(Alu::Add, 1)]),
            Of::Weekday => (moment.weekday, &[]),
            Of::IsoWeekday => (moment.weekday, &[(Alu::Add, 6), (Alu::Mod, 7), (Alu::Add, 1)]),
            Of::WeekFromSunday => (moment.weekday, &[]),
            Of::WeekFromMonday => (moment.weekday, &[(Alu::Add, 6), (Alu::Mod, 7)]),
        };
        self.load(R0, slot);
        self.steps(steps);
        if let Of::WeekFromSunday | Of::WeekFromMonday = of {
            // The days before the first such day of the year are week 0.
            self.load(R1, moment.date.day_of_year);
            self.asm.alu_imm(Alu::Add, R1, 7);
            self.asm.alu(Alu::Sub, R1, R0);
            self.asm.mov(R0, R1);
            self.asm.alu_imm(Alu::Div, R0, 7);
        }
    }
}
