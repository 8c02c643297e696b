//! Owns `# ctp: allow(W0001, …)` comments: which warnings each names. Never silences anything itself.

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Severity, nearest_names};
use crate::source::{SourceId, Span};

/// A comment that silences warnings for the item or statement behind it.
pub(super) struct Allow {
    /// First byte of the comment.
    pub(super) start: usize,
    /// What it silences.
    pub(super) codes: Vec<Code>,
}

/// Finds the `ctp:` comments of a text and reports those that say nothing.
pub(super) fn collect(
    source: SourceId,
    text: &str,
    comments: &[Span],
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Allow> {
    let mut allows = Vec::new();
    for comment in comments {
        let whole = text.get(comment.range()).unwrap_or("");
        let inside = whole.trim_start_matches(['#', '/', '*']).trim_start();
        let Some(order) = inside.strip_prefix("ctp:") else { continue };
        let mut codes = Vec::new();
        let list = order.trim().strip_prefix("allow").and_then(|r| r.trim_start().strip_prefix('('));
        let Some((list, _)) = list.and_then(|l| l.split_once(')')) else {
            diagnostics.push(
                Diagnostic::new(Code::E0010, *comment, "this comment tells ctp nothing")
                    .help("to silence warnings for what follows, write `# ctp: allow(W0001)`"),
            );
            continue;
        };
        for word in list.split(',') {
            let name = word.trim();
            let offset = word.as_ptr() as usize - text.as_ptr() as usize + (word.len() - word.trim_start().len());
            let span = Span::new(source, offset, offset + name.len());
            match Code::parse(name) {
                Some(code) if code.severity() == Severity::Warning => codes.push(code),
                Some(code) => diagnostics.push(
                    Diagnostic::new(Code::E0010, span, format!("{code} is an error, only warnings can be silenced"))
                        .help(format!("`ctp explain {code}` tells its cure")),
                ),
                None => {
                    let warnings =
                        || Code::ALL.iter().filter(|c| c.severity() == Severity::Warning).map(|c| c.as_str());
                    diagnostics.push(
                        Diagnostic::new(Code::E0010, span, format!("there is no warning `{}`", name.escape_default()))
                            .nearest(&nearest_names(name, warnings(), 3)),
                    );
                }
            }
        }
        allows.push(Allow { start: comment.range().start, codes });
    }
    allows
}

impl super::Builder<'_> {
    /// What the comments right before `start` silence: those with only space and comments between.
    pub(super) fn allows_before(&self, start: u32) -> Vec<Code> {
        if self.allows.is_empty() {
            return Vec::new();
        }
        let start = start as usize;
        let before = self.text.get(..start).unwrap_or("");
        let gap = before.trim_end().len();
        let first = self.allows.partition_point(|a| a.start < gap);
        let behind = self.allows.get(first..).unwrap_or_default();
        behind.iter().take_while(|a| a.start < start).flat_map(|a| a.codes.iter().copied()).collect()
    }
}
