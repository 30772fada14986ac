//! Finds the best division of a segment into subtitles, by dynamic programming over its atoms.

use super::atoms::Atom;
use super::{CUE_MS_MAX, LINE_COLUMNS_MAX};

// Costs of a division. Only their relations matter: one more cue costs more than any break outside
// a word, and a single word on its own costs more than a break within a clause.
const COST_CUE: u64 = 6_000;
const COST_SINGLE_WORD: u64 = 3_000;
const COST_BREAK_SENTENCE: u64 = 0;
const COST_BREAK_CLAUSE: u64 = 200;
const COST_BREAK_BEFORE_OPENING_WORD: u64 = 500;
const COST_BREAK_BETWEEN_WORDS: u64 = 1_000;
const COST_BREAK_IN_WORD: u64 = 5_000;

/// English words that open a clause or a phrase. Text of other languages is broken at its
/// punctuation.
const OPENING_WORDS: [&str; 29] = [
    "about", "after", "and", "at", "because", "before", "but", "by", "during", "for", "from", "if",
    "in", "into", "of", "on", "or", "since", "so", "than", "that", "under", "when", "where",
    "which", "while", "who", "with", "without",
];

/// All atoms of a segment on one endless line, to be divided.
pub(super) struct Line<'a> {
    atoms: &'a [Atom<'a>],
    /// Columns before each atom, with the space before it.
    offsets: Vec<usize>,
    /// Columns that the first line of a cue has.
    first_columns_max: usize,
}

impl<'a> Line<'a> {
    /// Takes the atoms of a segment. The first line of each cue has room for `first_columns_max`
    /// columns, and no atom is wider.
    pub(super) fn new(atoms: &'a [Atom<'a>], first_columns_max: usize) -> Self {
        let mut total = 0;
        let mut offsets = vec![0];
        offsets.extend(atoms.iter().map(|atom| {
            total += atom.columns + usize::from(atom.spaced);
            total
        }));
        Self {
            atoms,
            offsets,
            first_columns_max,
        }
    }

    /// Returns the columns of the atoms `from..to` on one line.
    fn columns(&self, from: usize, to: usize) -> usize {
        self.offsets[to] - self.offsets[from] - usize::from(self.atoms[from].spaced)
    }

    /// Returns the cheapest division into cues, as ranges of atoms.
    pub(super) fn best_parts(&self) -> Vec<(usize, usize)> {
        let count = self.atoms.len();
        // For each number of atoms from the start: the least cost, and where the last cue begins.
        let mut best = vec![(0, 0)];
        for to in 1..=count {
            let mut least = (u64::MAX, to - 1);
            for from in (0..to).rev() {
                let Some(cost) = self.cue_cost(from, to) else {
                    break;
                };
                let cost = best[from].0 + cost;
                if cost < least.0 {
                    least = (cost, from);
                }
            }
            if to < count {
                // A break between cues disturbs twice as much as one between lines.
                least.0 += 2 * self.break_cost(to);
            }
            best.push(least);
        }
        let mut parts = Vec::new();
        let mut to = count;
        while to > 0 {
            let from = best[to].1;
            parts.push((from, to));
            to = from;
        }
        parts.reverse();
        parts
    }

    /// Returns the cost of one cue with `from..to`, or `None` if that is too much for one.
    fn cue_cost(&self, from: usize, to: usize) -> Option<u64> {
        let ms = self.atoms[to - 1]
            .end_ms
            .saturating_sub(self.atoms[from].start_ms);
        if ms > CUE_MS_MAX && to - from > 1 {
            return None;
        }
        let lines_cost = self.line_break(from, to)?.0;
        let alone = to - from == 1 && self.atoms.len() > 1;
        let single = if alone { COST_SINGLE_WORD } else { 0 };
        Some(COST_CUE + lines_cost + single + unevenness(self.columns(from, to)))
    }

    /// Returns the cost of the best break into at most two lines and the atom that starts the
    /// second line, or `None` if two lines are not enough.
    fn line_break(&self, from: usize, to: usize) -> Option<(u64, Option<usize>)> {
        let columns = self.columns(from, to);
        if columns <= self.first_columns_max {
            return Some((0, None));
        }
        if columns > self.first_columns_max + 1 + LINE_COLUMNS_MAX {
            return None;
        }
        (from + 1..to)
            .filter_map(|at| {
                let (upper, lower) = (self.columns(from, at), self.columns(at, to));
                let single = if to - at == 1 { COST_SINGLE_WORD } else { 0 };
                let cost = self.break_cost(at) + single + unevenness(upper.abs_diff(lower));
                let fits = upper <= self.first_columns_max && lower <= LINE_COLUMNS_MAX;
                fits.then_some((cost, Some(at)))
            })
            .min()
    }

    /// Returns the cost of a break before the atom `at`.
    fn break_cost(&self, at: usize) -> u64 {
        let (before, after) = (&self.atoms[at - 1], &self.atoms[at]);
        let closing = ['"', '\'', ')', ']', '»', '”', '’', '」', '』', '）'];
        let ends = before.text.trim_end_matches(closing);
        if !after.spaced && after.text.starts_with(is_wide_punctuation) {
            COST_BREAK_IN_WORD
        } else if ends.ends_with(['.', '!', '?', '…', '。', '！', '？']) {
            COST_BREAK_SENTENCE
        } else if ends.ends_with([',', ';', ':', '–', '—', '、', '，', '；', '：']) {
            COST_BREAK_CLAUSE
        } else if OPENING_WORDS
            .iter()
            .any(|word| word.eq_ignore_ascii_case(after.text))
        {
            COST_BREAK_BEFORE_OPENING_WORD
        } else if after.spaced || before.columns > 1 || after.columns > 1 {
            COST_BREAK_BETWEEN_WORDS
        } else {
            COST_BREAK_IN_WORD
        }
    }

    /// Returns the text of the atoms `from..to`, on as many lines as they need.
    pub(super) fn text(&self, from: usize, to: usize) -> String {
        let second_line = self.line_break(from, to).and_then(|(_, at)| at);
        let mut text = String::new();
        for (at, atom) in self.atoms.iter().enumerate().take(to).skip(from) {
            if second_line == Some(at) {
                text.push('\n');
            } else if atom.spaced && at > from {
                text.push(' ');
            }
            text.push_str(atom.text);
        }
        text
    }
}

/// Returns whether it is punctuation of East Asian scripts, which must not start a line.
fn is_wide_punctuation(c: char) -> bool {
    "、，；：。！？」』）…".contains(c)
}

/// Squares the length, so that two parts of similar length cost less than a long and a short one.
fn unevenness(columns: usize) -> u64 {
    (columns * columns) as u64
}
