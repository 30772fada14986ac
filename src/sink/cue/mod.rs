//! Divides segments into subtitles: the text that is on the screen at one time, and its line
//! breaks.
//!
//! A segment is cut into atoms: words, or characters where a word is too long for a line, as in
//! scripts without spaces. Dynamic programming finds the best division into cues: few cues of
//! similar length, broken where a sentence or a clause ends, none with a single word.
//!
//! Source: Netflix, Timed Text Style Guide, general requirements: 42 characters, two lines, 5/6 s
//! to 7 s.

use std::collections::VecDeque;

use self::division::Line;
use crate::time::Time;
use crate::transcript::Segment;

mod atoms;
mod division;

#[cfg(test)]
pub(super) use self::atoms::columns;
pub(super) use self::atoms::words;

/// Widest line, in columns: a character of an East Asian script takes two.
pub(super) const LINE_COLUMNS_MAX: usize = 42;

/// Longest time that a cue is shown, in milliseconds.
pub(super) const CUE_MS_MAX: u64 = 7_000;

/// Shortest time that a cue is shown, in milliseconds.
pub(super) const CUE_MS_MIN: u64 = 833;

/// Most cues that wait for those of other channels. A segment has some ten and a channel one
/// segment that waits, so that 32 channels stay below.
const CUES_WAITING_MAX: usize = 4_096;

/// One subtitle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cue {
    pub(super) start_ms: u64,
    /// 833 to 7,000 ms after the start.
    pub(super) end_ms: u64,
    /// One or two lines with a line feed between them, never empty; no other control characters, no
    /// two spaces in a row.
    pub(super) text: String,
    /// The channel of the segment.
    pub(super) channel: Option<u8>,
}

/// How a format marks the channel of a cue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChannelMark {
    /// With a prefix of the text, such as `[1] `, which takes room of the first line.
    Prefix,
    /// Outside the text.
    Voice,
    /// Not at all.
    #[cfg(test)]
    None,
}

impl ChannelMark {
    /// Returns the columns that the mark takes of a cue's first line.
    fn columns(self, channel: Option<u8>) -> usize {
        match (self, channel) {
            (Self::Prefix, Some(channel)) => format!("[{channel}] ").len(),
            _ => 0,
        }
    }
}

/// Divides segments into cues, in the order of their starts.
///
/// A cue starts when its text is spoken. It may overlap others: of other channels, and the next one
/// if it would be shown for less than 833 ms otherwise.
///
/// # Memory
///
/// Holds the cues of a channel that start later than the transcript of the others reaches: those of
/// one segment. While it divides a segment, it holds a few times the segment's text.
#[derive(Debug)]
pub(super) struct Cues {
    mark: ChannelMark,
    /// In the order of their starts.
    waiting: VecDeque<Cue>,
    /// The start of the last cue that was taken.
    last_start_ms: u64,
}

impl Cues {
    /// Makes a division for a format that marks channels in this way.
    pub(super) fn new(mark: ChannelMark) -> Self {
        Self {
            mark,
            waiting: VecDeque::new(),
            last_start_ms: 0,
        }
    }

    /// Divides a segment and returns all cues that can be written now. A segment without text has
    /// no cues.
    pub(super) fn take(&mut self, segment: &Segment) -> Vec<Cue> {
        let room = LINE_COLUMNS_MAX - self.mark.columns(segment.channel);
        for cue in divide(segment, room) {
            let at = |waiting: &Cue| waiting.start_ms <= cue.start_ms;
            let at = self.waiting.partition_point(at);
            self.waiting.insert(at, cue);
        }
        match segment.channel {
            // A segment of another channel may start before the later cues of this one do.
            Some(_) => self.take_until(segment.start),
            None => self.take_rest(),
        }
    }

    /// Returns the cues that start up to `time`, before which no later segment starts.
    pub(super) fn take_until(&mut self, time: Time) -> Vec<Cue> {
        let until_ms = time.milliseconds();
        let ready = self.waiting.partition_point(|cue| cue.start_ms <= until_ms);
        let too_many = self.waiting.len().saturating_sub(CUES_WAITING_MAX);
        self.take_first(ready.max(too_many))
    }

    /// Returns all cues that are left.
    pub(super) fn take_rest(&mut self) -> Vec<Cue> {
        self.take_first(self.waiting.len())
    }

    fn take_first(&mut self, count: usize) -> Vec<Cue> {
        let mut cues: Vec<Cue> = self.waiting.drain(..count).collect();
        for cue in &mut cues {
            // WebVTT requires an order even if the caller's segments have none.
            let late_ms = self.last_start_ms.saturating_sub(cue.start_ms);
            cue.start_ms += late_ms;
            cue.end_ms += late_ms;
            self.last_start_ms = cue.start_ms;
        }
        cues
    }
}

/// Divides one segment into cues whose first line has `first_columns_max` columns.
fn divide(segment: &Segment, first_columns_max: usize) -> Vec<Cue> {
    let atoms = atoms::atoms(segment, first_columns_max);
    let line = Line::new(&atoms, first_columns_max);
    let parts = line.best_parts();
    let count = parts.len();
    let (first_ms, last_ms) = (segment.start.milliseconds(), segment.end.milliseconds());
    let mut cues = Vec::with_capacity(count);
    for (n, &(from, to)) in parts.iter().enumerate() {
        let (mut start_ms, mut end_ms) = (atoms[from].start_ms, atoms[to - 1].end_ms);
        // The segment's times are more reliable than its tokens', except for a word within a long
        // pause.
        if n == 0 && end_ms.saturating_sub(first_ms) <= CUE_MS_MAX {
            start_ms = first_ms;
        }
        if n + 1 == count && last_ms.saturating_sub(start_ms) <= CUE_MS_MAX {
            end_ms = last_ms;
        }
        // Tokens of other engines may overlap; text must stay in its order all the same.
        start_ms = start_ms.max(cues.last().map_or(0, |cue: &Cue| cue.start_ms));
        cues.push(Cue {
            start_ms,
            end_ms: end_ms.clamp(start_ms + CUE_MS_MIN, start_ms + CUE_MS_MAX),
            text: line.text(from, to),
            channel: segment.channel,
        });
    }
    cues
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Time;
    use crate::transcript::Token;

    fn ms(ms: u64) -> Time {
        Time::from_samples(ms * 16)
    }

    fn divide(segment: &Segment) -> Vec<Cue> {
        Cues::new(ChannelMark::None).take(segment)
    }

    /// Checks the lines of the cues of a segment whose characters all last equally long.
    fn check(seconds: u64, text: &str, expected: &[&str]) {
        let cues = divide(&Segment::new(Time::ZERO, ms(seconds * 1_000), text));
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
        let text = "Good evening everyone, thank you for joining. We need to check their \
                    main supplier for support in eight days, and invoice.";
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
    fn no_cue_has_a_single_word() {
        let text = "The old solution for the research of this month was on the table in the \
                    kitchen of a friend";
        let cues = divide(&Segment::new(Time::ZERO, ms(6_000), text));
        assert!(cues.len() > 1);
        for line in cues.iter().flat_map(|cue| cue.text.lines()) {
            assert!(line.contains(' '), "{line}");
        }
    }

    #[test]
    fn scripts_without_spaces_break_behind_punctuation() {
        let text = "今天天气很好，我们一起去公园散步，然后回家吃饭。\
                    明天早上我们还要开会，请大家准备好材料。";
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
        let cues = divide(&Segment::new(Time::ZERO, ms(16_000), text));
        assert!(cues.len() >= 3, "{cues:?}");
        assert!(
            cues.iter()
                .all(|cue| cue.end_ms - cue.start_ms <= CUE_MS_MAX)
        );
        assert_eq!(cues.last().map(|cue| cue.end_ms), Some(16_000));
    }

    #[test]
    fn a_cue_starts_with_its_first_token() {
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
        let cues = divide(&segment);
        let times: Vec<(u64, u64)> = cues.iter().map(|cue| (cue.start_ms, cue.end_ms)).collect();
        assert_eq!(times, [(1_000, 2_000), (10_500, 12_000)]);
    }

    #[test]
    fn a_short_cue_is_extended_and_does_not_delay_the_next() {
        let mut cues = Cues::new(ChannelMark::None);
        let first = cues.take(&Segment::new(ms(1_000), ms(1_100), "Yes."));
        let second = cues.take(&Segment::new(ms(1_100), ms(3_000), "I think so."));
        assert_eq!((first[0].start_ms, first[0].end_ms), (1_000, 1_833));
        assert_eq!((second[0].start_ms, second[0].end_ms), (1_100, 3_000));
    }

    /// Two people speak at once: one for 20 s, the other from the fifth second on.
    #[test]
    fn a_channel_does_not_delay_another() {
        let mut cues = Cues::new(ChannelMark::Voice);
        let text = "one two three four five six seven eight nine ten eleven twelve";
        let mut long = Segment::new(ms(0), ms(20_000), text);
        long.channel = Some(0);
        let mut short = Segment::new(ms(5_000), ms(6_500), "Yes, I see.");
        short.channel = Some(1);
        let mut found = cues.take(&long);
        found.extend(cues.take(&short));
        found.extend(cues.take_until(ms(20_000)));
        assert!(cues.take_rest().is_empty());
        assert!(found.is_sorted_by_key(|cue| cue.start_ms), "{found:?}");
        let times = |channel| {
            let of_channel = found.iter().filter(move |cue| cue.channel == Some(channel));
            of_channel
                .map(|cue| (cue.start_ms, cue.end_ms))
                .collect::<Vec<_>>()
        };
        assert_eq!(times(1), [(5_000, 6_500)]);
        assert!(times(0).len() >= 3 && times(0)[0].0 == 0, "{found:?}");
        assert_eq!(times(0).last().map(|cue| cue.1), Some(20_000));
    }

    #[test]
    fn a_mark_takes_room_of_the_first_line() {
        let mut cues = Cues::new(ChannelMark::Prefix);
        let word = "a".repeat(19);
        let mut segment = Segment::new(ms(0), ms(3_000), format!("{word} {word}"));
        segment.channel = Some(1);
        assert_eq!(cues.take(&segment)[0].text, format!("{word}\n{word}"));
        segment.channel = None;
        assert_eq!(cues.take(&segment)[0].text, format!("{word} {word}"));
    }

    #[test]
    fn a_word_in_a_long_pause_is_shown_when_it_is_spoken() {
        let mut segment = Segment::new(ms(0), ms(20_000), "Yes.");
        segment
            .tokens
            .push(Token::new(0, "Yes.", 1.0, ms(12_000), ms(13_000)));
        let cues = divide(&segment);
        assert_eq!((cues[0].start_ms, cues[0].end_ms), (12_000, 13_000));
    }
}
