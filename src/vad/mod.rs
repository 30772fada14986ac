//! Speech or not, for each hop of 16 ms, and the spans of speech that follow from it.

use std::collections::VecDeque;
use std::fmt;

use earshot::{DefaultPredictor, Detector};

use crate::config::PAUSE_SAMPLES_MIN;
use crate::time::{Span, Time};

/// Samples in one decision: 16 ms.
pub const HOP_SAMPLES: usize = 256;

/// Score from which a hop counts as speech. Source: earshot's documentation; precision and recall there are 0.98 on
/// clean speech, and 0.98 / 0.95 with pink noise at 20 dB.
const SPEECH_SCORE: f32 = 0.5;

/// Speech shorter than this is a click.
const SPEECH_SAMPLES_MIN: usize = 1_536; // 96 ms

/// Most spans that are remembered at once. Spans are at least 96 ms long and 120 ms apart, so this is over 55 s: more than a
/// window and its look-ahead hold.
pub const SPANS_HELD_MAX: usize = 256;

/// Scores hops of audio.
pub trait HopDetector: Send {
    /// Returns how probable it is that a hop of [`HOP_SAMPLES`] samples holds speech, 0 to 1. Hops come in order.
    fn score(&mut self, hop: &[f32; HOP_SAMPLES]) -> f32;

    /// Forgets what was heard: the next hop is of another recording.
    fn reset(&mut self);
}

/// The built-in detector.
struct Earshot(Box<Detector<DefaultPredictor>>);

impl HopDetector for Earshot {
    fn score(&mut self, hop: &[f32; HOP_SAMPLES]) -> f32 {
        self.0.predict_f32(hop)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

/// Takes everything for speech.
struct Everything;

impl HopDetector for Everything {
    fn score(&mut self, _: &[f32; HOP_SAMPLES]) -> f32 {
        1.0
    }

    fn reset(&mut self) {}
}

/// Finds the spans of speech in a stream of 16 kHz mono.
///
/// # Memory
///
/// 8 KB of detector and 256 spans, allocated when it is made.
pub struct SpeechMap {
    detector: Box<dyn HopDetector>,
    hop: [f32; HOP_SAMPLES],
    filled: usize,
    /// End of the last whole hop.
    at: Time,
    /// Spans in order, the last perhaps still open.
    spans: VecDeque<Span>,
    /// The hop before `at` was speech.
    open: bool,
    speech_samples: u64,
}

impl SpeechMap {
    /// Makes a map with the built-in detector.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Box::new(Earshot(Detector::default_boxed())))
    }

    /// Makes a map that takes everything for speech.
    #[must_use]
    pub fn off() -> Self {
        Self::with(Box::new(Everything))
    }

    /// Makes a map with a detector of the caller's.
    #[must_use]
    pub fn with(detector: Box<dyn HopDetector>) -> Self {
        Self {
            detector,
            hop: [0.0; HOP_SAMPLES],
            filled: 0,
            at: Time::ZERO,
            spans: VecDeque::with_capacity(SPANS_HELD_MAX),
            open: false,
            speech_samples: 0,
        }
    }

    /// Forgets everything and starts at `at`.
    pub fn reset(&mut self, at: Time) {
        self.detector.reset();
        self.filled = 0;
        self.at = at;
        self.spans.clear();
        self.open = false;
        self.speech_samples = 0;
    }

    /// Hears the next samples, any number of them.
    pub fn push(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let taken = samples.len().min(HOP_SAMPLES - self.filled);
            for (to, from) in self.hop[self.filled..].iter_mut().zip(&samples[..taken]) {
                // The detector panics beyond this range, where resampling may overshoot.
                *to = from.clamp(-1.0, 1.0);
            }
            self.filled += taken;
            samples = &samples[taken..];
            if self.filled == HOP_SAMPLES {
                self.filled = 0;
                let score = self.detector.score(&self.hop);
                self.decide(score >= SPEECH_SCORE);
            }
        }
    }

    /// Ends the stream: what is left of a hop belongs to the speech before it.
    pub fn finish(&mut self) {
        if self.filled > 0 {
            let rest = Time::from_samples(self.filled as u64);
            self.filled = 0;
            if self.open
                && let Some(last) = self.spans.back_mut()
            {
                last.end += rest;
            }
            self.at += rest;
        }
        self.open = false;
        self.drop_click();
    }

    fn decide(&mut self, speech: bool) {
        let hop = Span::new(self.at, self.at + Time::from_samples(HOP_SAMPLES as u64));
        self.at = hop.end;
        if speech {
            match self.spans.back_mut() {
                Some(last)
                    if self.open || hop.start.samples_since(last.end) < PAUSE_SAMPLES_MIN =>
                {
                    last.end = hop.end;
                }
                _ => {
                    self.drop_click();
                    if self.spans.len() == SPANS_HELD_MAX {
                        self.spans.pop_front();
                    }
                    self.spans.push_back(hop);
                }
            }
        }
        self.open = speech;
    }

    /// Takes the last span back if it has ended as a click.
    fn drop_click(&mut self) {
        if self.spans.back().is_some_and(|last| is_click(*last)) {
            self.spans.pop_back();
        }
    }

    /// Returns the spans of speech that are remembered, in order.
    ///
    /// A span that is too short to be speech appears only while it may still grow.
    pub fn spans(&self) -> impl DoubleEndedIterator<Item = Span> + Clone {
        let settled = self.at;
        self.spans.iter().copied().filter(move |span| {
            !is_click(*span) || settled.samples_since(span.end) < PAUSE_SAMPLES_MIN
        })
    }

    /// Returns the time up to which speech is known.
    #[must_use]
    pub fn heard_to(&self) -> Time {
        self.at
    }

    /// Forgets spans that end before `time`, and counts their speech.
    pub fn forget_before(&mut self, time: Time) {
        while let Some(first) = self.spans.front().filter(|span| span.end <= time) {
            if !is_click(*first) {
                self.speech_samples += first.length().samples();
            }
            self.spans.pop_front();
        }
    }

    /// Returns the speech in all spans that were forgotten since the start.
    #[must_use]
    pub fn speech_forgotten(&self) -> Time {
        Time::from_samples(self.speech_samples)
    }
}

fn is_click(span: Span) -> bool {
    span.length().samples() <= SPEECH_SAMPLES_MIN as u64
}

impl Default for SpeechMap {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SpeechMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpeechMap")
            .field("at", &self.at)
            .field("spans", &self.spans)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes the first sample of a hop for its score.
    struct Told;

    impl HopDetector for Told {
        fn score(&mut self, hop: &[f32; HOP_SAMPLES]) -> f32 {
            hop[0]
        }

        fn reset(&mut self) {}
    }

    /// Spans, in hops, of a stream whose hops are speech where `hops` says `#`.
    fn check(hops: &str, expected: &[(u64, u64)]) {
        let mut map = SpeechMap::with(Box::new(Told));
        for hop in hops.chars() {
            map.push(&[if hop == '#' { 1.0 } else { 0.0 }; HOP_SAMPLES]);
        }
        map.finish();
        let hop = HOP_SAMPLES as u64;
        let found: Vec<_> = map
            .spans()
            .map(|s| (s.start.samples() / hop, s.end.samples() / hop))
            .collect();
        assert_eq!(found, expected, "{hops}");
    }

    #[test]
    fn speech_is_found() {
        check("...##########...", &[(3, 13)]);
        check("", &[]);
        check("..........", &[]);
        check("##########", &[(0, 10)]);
    }

    #[test]
    fn short_pauses_are_part_of_speech() {
        check("########.......########", &[(0, 23)]); // 112 ms
        check("########........########", &[(0, 8), (16, 24)]); // 128 ms
    }

    #[test]
    fn clicks_are_not_speech() {
        check("...######..........", &[]); // 96 ms
        check("...#######.........", &[(3, 10)]);
        check("###.........########", &[(12, 20)]);
        check("########....##......", &[(0, 14)]); // the tail of a word is no click
    }

    #[test]
    fn an_unfinished_hop_belongs_to_the_speech_before_it() {
        let mut map = SpeechMap::with(Box::new(Told));
        map.push(&[1.0; HOP_SAMPLES * 10 + 7]);
        map.finish();
        assert_eq!(map.spans().last().expect("one span").end.samples(), 2_567);
    }

    #[test]
    fn noise_is_silence_and_loud_samples_do_no_harm() {
        let mut map = SpeechMap::new();
        let mut seed = 1_u32;
        let noise: Vec<f32> = (0..160_000)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect();
        let quiet: Vec<f32> = noise.iter().map(|x| x * 0.01).collect();
        map.push(&quiet);
        map.finish();
        assert_eq!(map.spans().count(), 0);
        let loud: Vec<f32> = noise.iter().map(|x| x * 1e9).collect();
        map.push(&loud);
    }

    proptest! {
        /// Spans do not depend on how the stream is cut, stay in order and apart, and are bounded in number.
        #[test]
        fn cutting_the_stream_changes_nothing(
            hops in prop::collection::vec(any::<bool>(), 0..3_000), cut in 1_usize..2_000,
        ) {
            let stream: Vec<f32> =
                hops.iter().flat_map(|&on| [f32::from(u8::from(on)); HOP_SAMPLES]).collect();
            let spans = |cut: usize| {
                let mut map = SpeechMap::with(Box::new(Told));
                stream.chunks(cut).for_each(|piece| map.push(piece));
                map.finish();
                map.spans().collect::<Vec<_>>()
            };
            let found = spans(cut);
            prop_assert_eq!(&found, &spans(stream.len().max(1)));
            prop_assert!(found.len() <= SPANS_HELD_MAX);
            prop_assert!(found.iter().all(|span| !is_click(*span)));
            let apart = |pair: &[Span]| pair[1].start.samples_since(pair[0].end) >= PAUSE_SAMPLES_MIN;
            prop_assert!(found.windows(2).all(apart));
        }
    }
}
