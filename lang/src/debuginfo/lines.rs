//! Owns the line table: the rows of a function, and the names of source files.

use std::sync::Arc;

use super::facts::{DebugError, SourceLine};
use super::limits::{self, over};
use super::units::{Debug, Die, Unit, Value};

/// A row of the line table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) address: u64,
    /// Marked as the place where a breakpoint on the function belongs.
    pub(super) prologue_end: bool,
    /// Whether a statement begins there; otherwise more of one that began before.
    pub(super) is_stmt: bool,
    /// File (by its index in the table) and line.
    pub(super) line: (u64, Option<u64>),
}

/// The most rows of a table that are kept while a question is answered: two and a half megabytes.
const MOST_KEPT: usize = 1 << 16;

/// A unit's line table.
#[derive(Debug)]
pub(super) struct Table {
    /// The rows, in the order of the table.
    rows: Vec<Row>,
    /// Their indices, by address.
    by_address: Vec<usize>,
}

impl Table {
    fn between(&self, low: u64, high: u64) -> Vec<Row> {
        let address = |index: &usize| self.rows.get(*index).map_or(u64::MAX, |row| row.address);
        let from = self.by_address.partition_point(|index| address(index) < low);
        let to = self.by_address.partition_point(|index| address(index) < high);
        let mut found: Vec<usize> = self.by_address.get(from..to).unwrap_or_default().to_vec();
        found.sort_unstable();
        found.iter().filter_map(|index| self.rows.get(*index).copied()).collect()
    }
}

/// The rows of the unit's line table with addresses in `low..high`, in the order of the table. It is read once for all the
/// functions of a unit, unless it is very large.
pub(super) fn rows(unit: &Unit<'_>, low: u64, high: u64) -> Result<Vec<Row>, DebugError> {
    if unit.lines.get().is_none() {
        let rows = read(unit, 0, u64::MAX, MOST_KEPT + 1)?;
        let kept = (rows.len() <= MOST_KEPT).then(|| {
            let mut by_address: Vec<usize> = (0..rows.len()).collect();
            by_address.sort_by_key(|index| rows.get(*index).map(|row| row.address));
            Table { rows, by_address }
        });
        // It was empty just now, and nobody else has the unit.
        let _ = unit.lines.set(kept);
    }
    match unit.lines.get() {
        Some(Some(table)) => Ok(table.between(low, high)),
        Some(None) | None => read(unit, low, high, usize::MAX),
    }
}

/// At most so many rows with addresses in `low..high`, as the table has them.
fn read(unit: &Unit<'_>, low: u64, high: u64, most: usize) -> Result<Vec<Row>, DebugError> {
    let Some(program) = unit.unit.line_program.clone() else { return Ok(Vec::new()) };
    let mut all = program.rows();
    let (mut rows, mut seen) = (Vec::new(), 0);
    while let Some((_, row)) = all.next_row()? {
        seen += 1;
        if seen > limits::MAX_LINE_ROWS {
            return Err(over("rows of a line table", limits::MAX_LINE_ROWS));
        }
        unit.steps.count(1)?;
        if !row.end_sequence() && (low..high).contains(&row.address()) {
            let line = (row.file_index(), row.line().map(u64::from));
            rows.push(Row { address: row.address(), prologue_end: row.prologue_end(), is_stmt: row.is_stmt(), line });
            if rows.len() >= most {
                break;
            }
        }
    }
    Ok(rows)
}

/// The line that the code at an address was made of.
pub(super) fn at(debug: &Debug<'_>, address: u64) -> Result<Option<SourceLine>, DebugError> {
    for span in debug.spans {
        let unit = debug.unit(span)?;
        let covers = {
            let mut entries = unit.unit.entries();
            let Some(root) = entries.next_dfs()? else { continue };
            debug.ranges(&unit, root)?.iter().any(|(low, high)| (*low..*high).contains(&address))
        };
        if covers {
            let before = rows(&unit, 0, address.saturating_add(1))?;
            let best = before.iter().filter(|row| row.line.1.is_some()).max_by_key(|row| row.address);
            let Some(row) = best else { return Ok(None) };
            let line = row.line.1.and_then(|line| u32::try_from(line).ok());
            let file = file_name(debug, &unit, row.line.0);
            return Ok(file.zip(line).map(|(file, line)| SourceLine { file, line }));
        }
    }
    Ok(None)
}

/// The place two attributes of a DIE name: `DW_AT_decl_file` and `DW_AT_decl_line`, or those of a call.
pub(super) fn place<'a>(
    debug: &Debug<'a>,
    unit: &Unit<'a>,
    file: Option<Value<'a>>,
    line: Option<Value<'a>>,
) -> Option<SourceLine> {
    let index = match file? {
        Value::FileIndex(index) => index,
        other => other.udata_value()?,
    };
    let line = u32::try_from(line?.udata_value()?).ok()?;
    Some(SourceLine { file: file_name(debug, unit, index)?, line })
}

/// Where a function is declared.
pub(super) fn declared<'a>(
    debug: &Debug<'a>,
    unit: &std::rc::Rc<Unit<'a>>,
    die: &Die<'a>,
) -> Result<Option<SourceLine>, DebugError> {
    // The file's index means the line table of the unit that names it, which may not be the DIE's own.
    let Some((file_unit, file)) = debug.inherited(unit, die, gimli::DW_AT_decl_file)? else { return Ok(None) };
    let line = debug.inherited(unit, die, gimli::DW_AT_decl_line)?.map(|(_, line)| line);
    Ok(place(debug, &file_unit, Some(file), line))
}

/// The path of a file of the unit's line table, made absolute by the unit's folder where that is known.
fn file_name<'a>(debug: &Debug<'a>, unit: &Unit<'a>, index: u64) -> Option<Arc<str>> {
    if let Some((last, path)) = &*unit.named_last.borrow()
        && *last == index
    {
        return Some(Arc::clone(path));
    }
    let path = read_file_name(debug, unit, index)?;
    *unit.named_last.borrow_mut() = Some((index, Arc::clone(&path)));
    Some(path)
}

fn read_file_name<'a>(debug: &Debug<'a>, unit: &Unit<'a>, index: u64) -> Option<Arc<str>> {
    let header = unit.unit.line_program.as_ref()?.header();
    if index == 0 && header.version() < 5 {
        return None;
    }
    let file = header.file(index)?;
    let name = debug.text(unit, file.path_name())?;
    let mut path = String::new();
    if !name.starts_with('/') {
        let folder = file.directory(header).and_then(|folder| debug.text(unit, folder)).unwrap_or_default();
        if !folder.starts_with('/')
            && let Some(base) = unit.unit.comp_dir
        {
            path.push_str(&String::from_utf8_lossy(&base.bytes().ok()?));
            path.push('/');
        }
        if !folder.is_empty() && folder != "." {
            path.push_str(&folder);
            path.push('/');
        }
    }
    path.push_str(&name);
    Some(Arc::from(path))
}

/// Which lines are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineQuery {
    /// The file: the end of its path, whole names only; `* ? […]` match.
    pub file: String,
    /// The lines, first and last; `None` for all.
    pub lines: Option<(u32, u32)>,
}

/// A run of instructions that a source line was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) line: u32,
    pub(super) low: u64,
    pub(super) high: u64,
}

/// What a line table has for a query.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// The lines that are meant: the code of each, as the table has it; later rows of one run are in `rows`.
    pub(super) runs: Vec<Run>,
    /// Addresses at which statements of these lines begin.
    pub(super) rows: Vec<(u64, u32)>,
    /// Whether the file is in the table.
    pub(super) file: bool,
    /// All lines of the file that have code, where none of the wanted has.
    pub(super) others: Vec<u32>,
}

/// The files a unit's line table names, by index.
pub(super) fn files<'a>(debug: &Debug<'a>, unit: &Unit<'a>) -> Result<Vec<(u64, Arc<str>)>, DebugError> {
    let Some(program) = &unit.unit.line_program else { return Ok(Vec::new()) };
    let header = program.header();
    let count = header.file_names().len() as u64;
    // Many units may name one table.
    unit.steps.count(count)?;
    let first = u64::from(header.version() < 5);
    Ok((first..first.saturating_add(count).min(limits::MAX_LINE_FILES))
        .filter_map(|index| Some((index, file_name(debug, unit, index)?)))
        .collect())
}

/// The line of the row that covers an address.
pub(super) fn line_at<'a>(debug: &Debug<'a>, unit: &Unit<'a>, address: u64) -> Result<Option<SourceLine>, DebugError> {
    let Some(program) = unit.unit.line_program.clone() else { return Ok(None) };
    let mut all = program.rows();
    let (mut before, mut seen): (Option<(u64, Option<u64>)>, u64) = (None, 0);
    while let Some((_, row)) = all.next_row()? {
        seen += 1;
        if seen > limits::MAX_LINE_ROWS {
            return Err(over("rows of a line table", limits::MAX_LINE_ROWS));
        }
        unit.steps.count(1)?;
        if row.address() > address
            && let Some((file, Some(line))) = before
        {
            let line = u32::try_from(line).ok();
            return Ok(file_name(debug, unit, file).zip(line).map(|(file, line)| SourceLine { file, line }));
        }
        let covers = !row.end_sequence() && row.address() <= address;
        before = covers.then(|| (row.file_index(), row.line().map(u64::from)));
    }
    Ok(None)
}

/// The code of the lines that are meant, in a unit's table.
pub(super) fn runs<'a>(
    unit: &Unit<'a>,
    files: &[u64],
    wanted: Option<(u32, u32)>,
    out: &mut Runs,
) -> Result<(), DebugError> {
    let Some(program) = unit.unit.line_program.clone() else { return Ok(()) };
    let mut all = program.rows();
    let mut open: Option<Run> = None;
    let mut seen = 0;
    while let Some((_, row)) = all.next_row()? {
        seen += 1;
        if seen > limits::MAX_LINE_ROWS {
            return Err(over("rows of a line table", limits::MAX_LINE_ROWS));
        }
        unit.steps.count(1)?;
        let line = row.line().and_then(|line| u32::try_from(line.get()).ok());
        let of_file = !row.end_sequence() && files.contains(&row.file_index());
        let line = line.filter(|_| of_file);
        let meant = line.filter(|line| wanted.is_none_or(|(low, high)| (low..=high).contains(line)));
        if let Some(run) = &mut open {
            if meant == Some(run.line) {
                if row.is_stmt() && row.address() != run.low {
                    out.rows.push((row.address(), run.line));
                }
                continue;
            }
            run.high = row.address();
            // Where several statements begin at one address, all but the last have no code of their own there.
            out.runs.push(*run);
            open = None;
        }
        if row.is_stmt() {
            match (meant, line) {
                (Some(line), _) => {
                    open = Some(Run { line, low: row.address(), high: row.address() });
                    out.rows.push((row.address(), line));
                }
                (None, Some(line)) if out.others.len() < limits::MAX_OTHER_LINES => out.others.push(line),
                (None, _) => {}
            }
        }
    }
    Ok(())
}
