//! Detects speech: a score for each hop of 16 ms, and the spans of speech that follow from them.

use std::collections::VecDeque;
use std::fmt;
#[cfg(feature = "whisper")]
use std::path::Path;

use earshot::{DefaultPredictor, Detector};

use crate::config::PAUSE_SAMPLES_MIN;
#[cfg(feature = "whisper")]
use crate::ggml::ModelError;
use crate::time::{Span, Time};

#[cfg(feature = "whisper")]
mod silero;

/// Samples in one decision: 16 ms.
pub const HOP_SAMPLES: usize = 256;

/// Score from which a hop counts as speech.
///
/// Source: earshot's documentation; precision and recall there are 0.98 on clean speech, and
/// 0.98 / 0.95 with pink noise at 20 dB.
const SPEECH_SCORE: f32 = 0.5;

/// Speech shorter than this is a click.
const SPEECH_SAMPLES_MIN: usize = 1_536; // 96 ms

/// Most spans that are kept at once. Spans are at least 96 ms long and 120 ms apart, so that these
/// cover over 55 s: more than a window and its look-ahead hold.
pub(crate) const SPANS_HELD_MAX: usize = 256;

/// Samples by which the scores may lag behind the audio: 1 s.
pub const LAG_SAMPLES_MAX: usize = 16_000;

/// Scores hops of audio, at once or a little later.
///
/// The scores that [`score`](Self::score) and [`finish`](Self::finish) return, put together, are
/// one for each hop, in order: the probability that the hop holds speech, 0 to 1.
pub trait HopDetector: Send + Sync {
    /// Takes the next hop, and returns the scores that are new: none, that of this hop, or those of
    /// several hops up to this one. The hops without a score have fewer than [`LAG_SAMPLES_MAX`]
    /// samples, an unfinished hop included.
    fn score(&mut self, hop: &[f32; HOP_SAMPLES]) -> &[f32];

    /// Ends the recording, and returns the scores of the hops that have none. A second call in a
    /// row returns nothing.
    fn finish(&mut self) -> &[f32];

    /// Discards all state: the next hop is the first of another recording.
    fn reset(&mut self);

    /// Returns the score from which a hop counts as speech. The default is 0.5.
    fn speech_score(&self) -> f32 {
        SPEECH_SCORE
    }

    /// Returns what distinguishes this detector from any other whose scores may differ. Two
    /// detectors of one model are equal, wherever its file lies.
    fn identity(&self) -> String;
}

/// The built-in detector.
struct Earshot {
    detector: Box<Detector<DefaultPredictor>>,
    score: [f32; 1],
}

impl HopDetector for Earshot {
    fn score(&mut self, hop: &[f32; HOP_SAMPLES]) -> &[f32] {
        self.score = [self.detector.predict_f32(hop)];
        &self.score
    }

    fn finish(&mut self) -> &[f32] {
        &[]
    }

    fn reset(&mut self) {
        self.detector.reset();
    }

    fn identity(&self) -> String {
        "earshot".into()
    }
}

/// Finds the spans of speech in a stream of 16 kHz mono.
///
/// # Memory
///
/// The detector's (8 KB for the built-in one) and 256 spans, allocated when it is made.
pub struct SpeechMap {
    detector: Box<dyn HopDetector>,
    hop: [f32; HOP_SAMPLES],
    filled: usize,
    tracker: SpanTracker,
}

/// Joins scores to spans.
struct SpanTracker {
    /// Score from which a hop counts as speech.
    speech_score: f32,
    /// End of the last hop that has a score.
    at: Time,
    /// Spans in order. The last may still grow.
    spans: VecDeque<Span>,
    /// The hop before `at` was speech.
    is_open: bool,
    speech_samples: u64,
}

impl SpeechMap {
    /// Makes a map with the built-in detector.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Box::new(Earshot {
            detector: Detector::default_boxed(),
            score: [0.0],
        }))
    }

    /// Makes a map with the Silero detector and the model file at `path`, which is in whisper.cpp's
    /// format, such as `ggml-silero-v6.2.0.bin`.
    ///
    /// # Memory
    ///
    /// [`SILERO_BYTES`](crate::budget::SILERO_BYTES).
    ///
    /// # Errors
    ///
    /// [`ModelError`] when the file is missing, damaged or of another kind: use another file.
    #[cfg(feature = "whisper")]
    pub fn silero(path: &Path) -> Result<Self, ModelError> {
        Ok(Self::with(Box::new(silero::Silero::load(path)?)))
    }

    /// Makes a map with any detector.
    #[must_use]
    pub fn with(detector: Box<dyn HopDetector>) -> Self {
        let speech_score = detector.speech_score();
        Self {
            detector,
            hop: [0.0; HOP_SAMPLES],
            filled: 0,
            tracker: SpanTracker {
                speech_score,
                at: Time::ZERO,
                spans: VecDeque::with_capacity(SPANS_HELD_MAX),
                is_open: false,
                speech_samples: 0,
            },
        }
    }

    /// Discards everything and starts at `at`.
    pub fn reset(&mut self, at: Time) {
        self.detector.reset();
        self.filled = 0;
        self.tracker.at = at;
        self.tracker.spans.clear();
        self.tracker.is_open = false;
        self.tracker.speech_samples = 0;
    }

    /// Takes the next samples, any number of them.
    pub fn push(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let taken = samples.len().min(HOP_SAMPLES - self.filled);
            for (to, from) in self.hop[self.filled..].iter_mut().zip(&samples[..taken]) {
                // The built-in detector panics beyond this range.
                *to = from.clamp(-1.0, 1.0);
            }
            self.filled += taken;
            samples = &samples[taken..];
            if self.filled == HOP_SAMPLES {
                self.filled = 0;
                self.tracker.decide(self.detector.score(&self.hop));
            }
        }
    }

    /// Ends the stream: what is left of a hop belongs to the speech before it.
    pub fn finish(&mut self) {
        self.tracker.decide(self.detector.finish());
        self.tracker.finish(self.filled);
        self.filled = 0;
    }

    /// Returns the spans of speech that are kept, in order.
    ///
    /// A span that is too short to be speech is among them only while it may still grow.
    pub fn spans(&self) -> impl DoubleEndedIterator<Item = Span> + Clone {
        let settled = self.tracker.at;
        self.tracker.spans.iter().copied().filter(move |span| {
            !is_click(*span) || settled.samples_since(span.end) < PAUSE_SAMPLES_MIN
        })
    }

    /// Returns the time up to which hops have scores: the end of what was pushed, or less than
    /// [`LAG_SAMPLES_MAX`] samples before it.
    #[must_use]
    pub fn scored_to(&self) -> Time {
        self.tracker.at
    }

    /// Discards the spans that end before `time`, and counts their speech.
    pub fn forget_before(&mut self, time: Time) {
        while let Some(first) = self.tracker.spans.front().filter(|span| span.end <= time) {
            if !is_click(*first) {
                self.tracker.speech_samples += first.length().samples();
            }
            self.tracker.spans.pop_front();
        }
    }

    /// Returns the length of all spans that were discarded since the start.
    #[must_use]
    pub(crate) fn speech_forgotten(&self) -> Time {
        Time::from_samples(self.tracker.speech_samples)
    }

    /// Returns what distinguishes this detector from any other whose spans may differ. For Silero
    /// it is the fingerprint of the model, and not the path of its file.
    #[must_use]
    pub(crate) fn identity(&self) -> String {
        self.detector.identity()
    }
}

impl SpanTracker {
    /// Takes the next hops' scores.
    fn decide(&mut self, scores: &[f32]) {
        for score in scores {
            self.decide_hop(*score >= self.speech_score);
        }
    }

    fn decide_hop(&mut self, speech: bool) {
        let hop = Span::new(self.at, self.at + Time::from_samples(HOP_SAMPLES as u64));
        self.at = hop.end;
        if speech {
            match self.spans.back_mut() {
                Some(last)
                    if self.is_open || hop.start.samples_since(last.end) < PAUSE_SAMPLES_MIN =>
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
        self.is_open = speech;
    }

    /// Removes the last span if it has ended as a click.
    fn drop_click(&mut self) {
        if self.spans.back().is_some_and(|last| is_click(*last)) {
            self.spans.pop_back();
        }
    }

    /// Ends the stream with `rest` samples of a hop.
    fn finish(&mut self, rest: usize) {
        let rest = Time::from_samples(rest as u64);
        if self.is_open
            && let Some(last) = self.spans.back_mut()
        {
            last.end += rest;
        }
        self.at += rest;
        self.is_open = false;
        self.drop_click();
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
            .field("at", &self.tracker.at)
            .field("spans", &self.tracker.spans)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes the first sample of a hop for its score.
    struct FirstSample(f32);

    impl HopDetector for FirstSample {
        fn score(&mut self, hop: &[f32; HOP_SAMPLES]) -> &[f32] {
            self.0 = hop[0];
            std::slice::from_ref(&self.0)
        }

        fn finish(&mut self) -> &[f32] {
            &[]
        }

        fn reset(&mut self) {}

        fn identity(&self) -> String {
            "first sample".into()
        }
    }

    /// Gives the same scores, `lag` hops later.
    struct Late {
        hops: Vec<f32>,
        scored: usize,
        lag: usize,
    }

    impl HopDetector for Late {
        fn score(&mut self, hop: &[f32; HOP_SAMPLES]) -> &[f32] {
            self.hops.push(hop[0]);
            if self.hops.len() - self.scored <= self.lag {
                return &[];
            }
            self.finish()
        }

        fn finish(&mut self) -> &[f32] {
            let from = std::mem::replace(&mut self.scored, self.hops.len());
            &self.hops[from..]
        }

        fn reset(&mut self) {}

        fn identity(&self) -> String {
            "late".into()
        }
    }

    /// Checks the spans, in hops, of a stream whose hops are speech where `hops` has a `#`.
    fn check(hops: &str, expected: &[(u64, u64)]) {
        let mut map = SpeechMap::with(Box::new(FirstSample(0.0)));
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
    fn a_map_can_be_shared_and_sent_between_threads() {
        fn assert_sync<T: Send + Sync>() {}
        assert_sync::<SpeechMap>();
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
        let mut map = SpeechMap::with(Box::new(FirstSample(0.0)));
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
        /// Spans do not depend on how the stream is cut, stay in order and apart, and are bounded
        /// in number.
        #[test]
        fn cutting_the_stream_changes_nothing(
            hops in prop::collection::vec(any::<bool>(), 0..3_000), cut in 1_usize..2_000,
        ) {
            let stream: Vec<f32> =
                hops.iter().flat_map(|&on| [f32::from(u8::from(on)); HOP_SAMPLES]).collect();
            let spans = |cut: usize| {
                let mut map = SpeechMap::with(Box::new(FirstSample(0.0)));
                stream.chunks(cut).for_each(|piece| map.push(piece));
                map.finish();
                map.spans().collect::<Vec<_>>()
            };
            let found = spans(cut);
            prop_assert_eq!(&found, &spans(stream.len().max(1)));
            prop_assert!(found.len() <= SPANS_HELD_MAX);
            prop_assert!(found.iter().all(|span| !is_click(*span)));
            let apart = |pair: &[Span]| {
                pair[1].start.samples_since(pair[0].end) >= PAUSE_SAMPLES_MIN
            };
            prop_assert!(found.windows(2).all(apart));
        }

        /// A detector that scores late finds the same spans, and the scored time never goes back.
        #[test]
        fn scoring_late_changes_nothing(
            hops in prop::collection::vec(any::<bool>(), 0..300), lag in 0_usize..62,
        ) {
            let mut prompt = SpeechMap::with(Box::new(FirstSample(0.0)));
            let late = Late { hops: Vec::new(), scored: 0, lag };
            let mut late = SpeechMap::with(Box::new(late));
            let mut scored_to = Time::ZERO;
            for on in &hops {
                let hop = [f32::from(u8::from(*on)); HOP_SAMPLES];
                prompt.push(&hop);
                late.push(&hop);
                prop_assert!(late.scored_to() >= scored_to);
                prop_assert!(late.scored_to() <= prompt.scored_to());
                scored_to = late.scored_to();
            }
            for map in [&mut prompt, &mut late] {
                map.push(&[1.0; 7]);
                map.finish();
            }
            prop_assert_eq!(late.scored_to(), prompt.scored_to());
            let spans = |map: &SpeechMap| map.spans().collect::<Vec<_>>();
            prop_assert_eq!(spans(&late), spans(&prompt));
        }
    }
}
