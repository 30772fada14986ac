//! Cuts the text of a segment into pieces that are never broken, and finds their times.

use unicode_width::UnicodeWidthChar;

use crate::transcript::Segment;

/// Splits text at white space and control characters. No piece is empty.
pub(in crate::sink) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
}

/// A piece of text that is never broken: a word, or one character of a word that is too long for a
/// line.
#[derive(Debug)]
pub(super) struct Atom<'a> {
    pub(super) text: &'a str,
    pub(super) columns: usize,
    /// A space precedes it, except at the start of a line.
    pub(super) spaced: bool,
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
}

/// Returns how many columns text takes on the screen.
pub(in crate::sink) fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Cuts a segment's text into atoms of at most `columns_max` columns, with their times.
pub(super) fn atoms(segment: &Segment, columns_max: usize) -> Vec<Atom<'_>> {
    let clock = Clock::new(segment);
    let mut atoms = Vec::new();
    let mut seen = 0;
    let mut push = |text, spaced| {
        let from = seen;
        seen += str::chars(text).count();
        atoms.push(Atom {
            text,
            columns: columns(text),
            spaced,
            start_ms: clock.start_ms(from),
            end_ms: clock.end_ms(seen),
        });
    };
    for word in words(&segment.text) {
        if columns(word) <= columns_max {
            push(word, true);
            continue;
        }
        let mut from = 0;
        for (at, c) in word.char_indices().skip(1) {
            // Accents and joiners take no column and stay with the character before them.
            if c.width().unwrap_or(0) > 0 {
                push(&word[from..at], from == 0);
                from = at;
            }
        }
        push(&word[from..], from == 0);
    }
    atoms
}

/// Maps characters of the text, numbered without white space, to the time when they are spoken.
struct Clock {
    /// Stretches of text: the number of the character after each, its start and its end.
    marks: Vec<(usize, u64, u64)>,
}

impl Clock {
    /// Uses the times of the tokens, or those of the segment if its tokens do not spell its text.
    fn new(segment: &Segment) -> Self {
        let visible = |text: &str| words(text).map(|word| word.chars().count()).sum::<usize>();
        let spelled = segment
            .tokens
            .iter()
            .flat_map(|token| words(&token.text))
            .flat_map(str::chars);
        let (first_ms, last_ms) = (
            segment.start.milliseconds(),
            segment.span().end.milliseconds(),
        );
        if !spelled.eq(words(&segment.text).flat_map(str::chars)) {
            return Self {
                marks: vec![(visible(&segment.text), first_ms, last_ms)],
            };
        }
        let (mut chars, mut latest_ms) = (0, first_ms);
        let marks = segment.tokens.iter().filter_map(|token| {
            let count = visible(&token.text);
            chars += count;
            let start_ms = token.start.milliseconds().clamp(latest_ms, last_ms);
            let end_ms = token.end.milliseconds().clamp(start_ms, last_ms);
            latest_ms = start_ms;
            (count > 0).then_some((chars, start_ms, end_ms))
        });
        Self {
            marks: marks.collect(),
        }
    }

    /// Returns the time at which the character `at` starts.
    fn start_ms(&self, at: usize) -> u64 {
        self.within(self.marks.partition_point(|mark| mark.0 <= at), at)
    }

    /// Returns the time at which the character before `at` ends; `at` is at least 1.
    fn end_ms(&self, at: usize) -> u64 {
        self.within(self.marks.partition_point(|mark| mark.0 < at), at)
    }

    /// Divides the time of a stretch evenly among its characters.
    fn within(&self, mark: usize, at: usize) -> u64 {
        let from = if mark == 0 { 0 } else { self.marks[mark - 1].0 };
        let (to, start_ms, end_ms) = self.marks[mark];
        // In 128 bits, because a time of a damaged file may be as long as 2^60 ms.
        let passed = u128::from(end_ms - start_ms) * (at - from) as u128 / (to - from) as u128;
        start_ms + u64::try_from(passed).unwrap_or(0)
    }
}
