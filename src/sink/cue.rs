//! How a segment is divided into subtitles: what stands on the screen at one time, and where its lines break.
//!
//! A segment is cut into atoms (words; characters where a word is too long for a line, as in scripts without spaces),
//! and the cheapest way to divide them into cues is found by dynamic programming: few cues, alike in length, broken
//! where a sentence or a clause ends, none with a single word.
//!
//! Source: Netflix, Timed Text Style Guide, general requirements: 42 characters, two lines, 5/6 s to 7 s.

use crate::transcript::Segment;
use unicode_width::UnicodeWidthChar;

/// Widest line, in columns: a character of an East Asian script takes two.
pub(super) const LINE_COLUMNS_MAX: usize = 42;

/// Longest time that a cue stands, in milliseconds.
pub(super) const CUE_MS_MAX: u64 = 7_000;

/// Shortest time that a cue stands, in milliseconds. A cue that comes earlier than that after the one before waits.
pub(super) const CUE_MS_MIN: u64 = 833;

/// Costs of the division. Only their relations matter: one more cue is dearer than any place of a break outside a
/// word, and a single word alone is dearer than a break in mid-clause.
const COST_CUE: u64 = 6_000;
const COST_SINGLE_WORD: u64 = 3_000;
const COST_BREAK_SENTENCE: u64 = 0;
const COST_BREAK_CLAUSE: u64 = 200;
const COST_BREAK_BEFORE_OPENING_WORD: u64 = 500;
const COST_BREAK_BETWEEN_WORDS: u64 = 1_000;
const COST_BREAK_IN_WORD: u64 = 5_000;

/// English words that open a clause or a phrase. Text of other languages is broken by its punctuation.
const OPENING_WORDS: [&str; 29] = [
    "about", "after", "and", "at", "because", "before", "but", "by", "during", "for", "from", "if",
    "in", "into", "of", "on", "or", "since", "so", "than", "that", "under", "when", "where",
    "which", "while", "who", "with", "without",
];

/// Splits text at white space and control characters. No piece is empty.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
}

/// One subtitle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cue {
    pub(super) start_ms: u64,
    /// 833 to 7,000 ms after the start.
    pub(super) end_ms: u64,
    /// One or two lines with a line feed between them, never empty; no other control characters, no two spaces in a row.
    pub(super) text: String,
}

/// Divides segments into cues that never overlap.
///
/// # Memory
///
/// Holds one number between segments; while it divides a segment, a few times the segment's text.
#[derive(Debug, Default)]
pub(super) struct Cues {
    last_end_ms: u64,
}

impl Cues {
    /// Divides one segment. A segment without text has no cues.
    pub(super) fn divide(&mut self, segment: &Segment) -> Vec<Cue> {
        let atoms = atoms(segment);
        let line = Line::new(&atoms);
        let parts = line.best_parts();
        let count = parts.len();
        let (first_ms, last_ms) = (segment.start.milliseconds(), segment.end.milliseconds());
        let mut cues = Vec::with_capacity(count);
        for (n, &(from, to)) in parts.iter().enumerate() {
            let (mut start_ms, mut end_ms) = (atoms[from].start_ms, atoms[to - 1].end_ms);
            // The segment's own times are surer than its tokens', unless the text stands in a long pause.
            if n == 0 && end_ms.saturating_sub(first_ms) <= CUE_MS_MAX {
                start_ms = first_ms;
            }
            if n + 1 == count && last_ms.saturating_sub(start_ms) <= CUE_MS_MAX {
                end_ms = last_ms;
            }
            let start_ms = start_ms.max(self.last_end_ms);
            let end_ms = end_ms.clamp(start_ms + CUE_MS_MIN, start_ms + CUE_MS_MAX);
            self.last_end_ms = end_ms;
            cues.push(Cue {
                start_ms,
                end_ms,
                text: line.text(from, to),
            });
        }
        cues
    }
}

/// What is never broken: a word, or one character of a word that is too long for a line.
#[derive(Debug)]
struct Atom<'a> {
    text: &'a str,
    columns: usize,
    /// A space stands before it, unless it begins a line.
    spaced: bool,
    start_ms: u64,
    end_ms: u64,
}

/// Returns how many columns text takes on the screen.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Cuts a segment's text into atoms with their times.
fn atoms(segment: &Segment) -> Vec<Atom<'_>> {
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
        if columns(word) <= LINE_COLUMNS_MAX {
            push(word, true);
            continue;
        }
        let mut from = 0;
        for (at, c) in word.char_indices().skip(1) {
            // What takes no column (accents, joiners) stays with the character before it.
            if c.width().unwrap_or(0) > 0 {
                push(&word[from..at], from == 0);
                from = at;
            }
        }
        push(&word[from..], from == 0);
    }
    atoms
}

/// Tells when a character of the text is spoken, by its number among those that are not white space.
struct Clock {
    /// Ends of stretches of text: number of the character after the stretch, start and end of the stretch.
    marks: Vec<(usize, u64, u64)>,
}

impl Clock {
    /// Takes the times of the tokens, or, where tokens are missing or do not spell the text, the segment's.
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

    /// Returns when the character `at` begins.
    fn start_ms(&self, at: usize) -> u64 {
        self.within(self.marks.partition_point(|mark| mark.0 <= at), at)
    }

    /// Returns when the character before `at` ends; `at` is at least 1.
    fn end_ms(&self, at: usize) -> u64 {
        self.within(self.marks.partition_point(|mark| mark.0 < at), at)
    }

    /// Divides the time of a stretch evenly among its characters.
    fn within(&self, mark: usize, at: usize) -> u64 {
        let from = if mark == 0 { 0 } else { self.marks[mark - 1].0 };
        let (to, start_ms, end_ms) = self.marks[mark];
        // In 128 bits: a damaged time may be as long as 2^60 ms.
        let passed = u128::from(end_ms - start_ms) * (at - from) as u128 / (to - from) as u128;
        start_ms + u64::try_from(passed).unwrap_or(0)
    }
}

/// All atoms of a segment on one endless line, to be divided.
struct Line<'a> {
    atoms: &'a [Atom<'a>],
    /// Columns before each atom, with the space before it.
    offsets: Vec<usize>,
}

impl<'a> Line<'a> {
    fn new(atoms: &'a [Atom<'a>]) -> Self {
        let mut total = 0;
        let mut offsets = vec![0];
        offsets.extend(atoms.iter().map(|atom| {
            total += atom.columns + usize::from(atom.spaced);
            total
        }));
        Self { atoms, offsets }
    }

    /// Returns the columns of the atoms `from..to` on one line.
    fn columns(&self, from: usize, to: usize) -> usize {
        self.offsets[to] - self.offsets[from] - usize::from(self.atoms[from].spaced)
    }

    /// Returns the cheapest division into cues, as ranges of atoms.
    fn best_parts(&self) -> Vec<(usize, usize)> {
        let count = self.atoms.len();
        // For each number of atoms from the start: the least cost, and where its last cue begins.
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
                // Between cues a break is seen twice as much as between lines.
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

    /// Returns what it costs to show `from..to` at once, or nothing when that is too much to show.
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

    /// Returns the cost of the best break into at most two lines and the atom that begins the second line, or nothing
    /// when two lines are not enough.
    fn line_break(&self, from: usize, to: usize) -> Option<(u64, Option<usize>)> {
        let columns = self.columns(from, to);
        if columns <= LINE_COLUMNS_MAX {
            return Some((0, None));
        }
        if columns > 2 * LINE_COLUMNS_MAX + 1 {
            return None;
        }
        (from + 1..to)
            .filter_map(|at| {
                let (upper, lower) = (self.columns(from, at), self.columns(at, to));
                let single = if to - at == 1 { COST_SINGLE_WORD } else { 0 };
                let cost = self.break_cost(at) + single + unevenness(upper.abs_diff(lower));
                (upper.max(lower) <= LINE_COLUMNS_MAX).then_some((cost, Some(at)))
            })
            .min()
    }

    /// Returns what it costs to break before the atom `at`.
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

    /// Writes the atoms `from..to` out, on as many lines as they need.
    fn text(&self, from: usize, to: usize) -> String {
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

/// Punctuation of East Asian scripts, which begins no line.
fn is_wide_punctuation(c: char) -> bool {
    "、，；：。！？」』）…".contains(c)
}

/// Squares, so that two parts of like length are cheaper than a long and a short one.
fn unevenness(columns: usize) -> u64 {
    (columns * columns) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;
    use crate::transcript::Token;

    fn ms(ms: u64) -> Time {
        Time::from_samples(ms * 16)
    }

    /// Divides a segment whose words last as long as each other, and shows each cue's lines between bars.
    fn check(seconds: u64, text: &str, expected: &[&str]) {
        let cues = Cues::default().divide(&Segment::new(Time::ZERO, ms(seconds * 1_000), text));
        let texts: Vec<String> = cues.iter().map(|cue| cue.text.replace('\n', "|")).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_line_holds_42_columns() {
        let word = "a".repeat(20);
        check(3, &format!("{word} {word}a"), &[&format!("{word} {word}a")]);
        check(
            3,
            &format!("{word} {word}aa"),
            &[&format!("{word}|{word}aa")],
        );
    }

    #[test]
    fn lines_break_where_a_clause_ends() {
        let text = "Let's collect the evening, so that the legal microphone is ready.";
        check(
            5,
            text,
            &["Let's collect the evening,|so that the legal microphone is ready."],
        );
        let text = "We have collected the long table because her red email said so";
        check(
            5,
            text,
            &["We have collected the long table|because her red email said so"],
        );
    }

    #[test]
    fn cues_break_where_a_sentence_ends() {
        let text = "Good evening everyone, thank you for joining. We need to check their main supplier \
                    for support in eight days, and invoice.";
        check(
            9,
            text,
            &[
                "Good evening everyone,|thank you for joining.",
                "We need to check their main supplier|for support in eight days, and invoice.",
            ],
        );
    }

    #[test]
    fn no_word_stands_alone() {
        let text = "The old solution for the research of this month was on the table in the kitchen of a friend";
        let cues = Cues::default().divide(&Segment::new(Time::ZERO, ms(6_000), text));
        assert!(cues.len() > 1);
        for line in cues.iter().flat_map(|cue| cue.text.lines()) {
            assert!(line.contains(' '), "{line}");
        }
    }

    #[test]
    fn scripts_without_spaces_break_behind_punctuation() {
        let text = "今天天气很好，我们一起去公园散步，然后回家吃饭。明天早上我们还要开会，请大家准备好材料。";
        check(
            8,
            text,
            &[
                "今天天气很好，|我们一起去公园散步，然后回家吃饭。",
                "明天早上我们还要开会，请大家准备好材料。",
            ],
        );
    }

    #[test]
    fn a_long_time_becomes_several_cues() {
        let text = "one two three four five six seven eight";
        let cues = Cues::default().divide(&Segment::new(Time::ZERO, ms(16_000), text));
        assert!(cues.len() >= 3, "{cues:?}");
        assert!(
            cues.iter()
                .all(|cue| cue.end_ms - cue.start_ms <= CUE_MS_MAX)
        );
        assert_eq!(cues.last().map(|cue| cue.end_ms), Some(16_000));
    }

    #[test]
    fn tokens_say_when_a_cue_begins() {
        let mut segment = Segment::new(ms(1_000), ms(12_000), "Good morning. Good evening.");
        for (text, start, end) in [
            (" Good", 1_200, 1_500),
            (" morn", 1_500, 1_700),
            ("ing.", 1_700, 2_000),
            (" Good", 10_500, 11_000),
            (" evening.", 11_000, 11_800),
        ] {
            segment
                .tokens
                .push(Token::new(0, text, 1.0, ms(start), ms(end)));
        }
        let cues = Cues::default().divide(&segment);
        let times: Vec<(u64, u64)> = cues.iter().map(|cue| (cue.start_ms, cue.end_ms)).collect();
        assert_eq!(times, [(1_000, 2_000), (10_500, 12_000)]);
    }

    #[test]
    fn a_short_cue_stands_long_enough_and_the_next_waits() {
        let mut cues = Cues::default();
        let first = cues.divide(&Segment::new(ms(1_000), ms(1_100), "Yes."));
        let second = cues.divide(&Segment::new(ms(1_100), ms(3_000), "I think so."));
        assert_eq!((first[0].start_ms, first[0].end_ms), (1_000, 1_833));
        assert_eq!((second[0].start_ms, second[0].end_ms), (1_833, 3_000));
    }

    #[test]
    fn a_word_in_a_long_pause_stands_when_it_is_said() {
        let mut segment = Segment::new(ms(0), ms(20_000), "Yes.");
        segment
            .tokens
            .push(Token::new(0, "Yes.", 1.0, ms(12_000), ms(13_000)));
        let cues = Cues::default().divide(&segment);
        assert_eq!((cues[0].start_ms, cues[0].end_ms), (12_000, 13_000));
    }
}
