//! Speech or not, for each hop of 16 ms, and the spans of speech that follow from it.

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

/// Score from which a hop counts as speech. Source: earshot's documentation; precision and recall there are 0.98 on
/// clean speech, and 0.98 / 0.95 with pink noise at 20 dB.
const SPEECH_SCORE: f32 = 0.5;

/// Speech shorter than this is a click.
const SPEECH_SAMPLES_MIN: usize = 1_536; // 96 ms

/// Most spans that are remembered at once. Spans are at least 96 ms long and 120 ms apart, so this is over 55 s: more than a
/// window and its look-ahead hold.
pub const SPANS_HELD_MAX: usize = 256;

/// Samples by which what is known of speech may end before what was heard: 1 s.
pub const LAG_SAMPLES_MAX: usize = 16_000;

/// Scores hops of audio, at once or a little later.
///
/// What [`hear`](Self::hear) and [`finish`](Self::finish) return, put together, has one score for each hop that was heard, in order:
/// how probable it is that the hop holds speech, 0 to 1.
pub trait HopDetector: Send + Sync {
    /// Hears the next hop, and returns the scores that are known now and were not before: for this hop, for none yet, or for this
    /// and those before it. The hops without a score have fewer than [`LAG_SAMPLES_MAX`] samples, an unfinished one included.
    fn hear(&mut self, hop: &[f32; HOP_SAMPLES]) -> &[f32];

    /// Ends the recording, and returns the scores of the hops that have none yet. A second call in a row returns nothing.
    fn finish(&mut self) -> &[f32];

    /// Forgets what was heard: the next hop is of another recording.
    fn reset(&mut self);

    /// Returns the score from which a hop counts as speech: 0.5, unless the detector's scores are known to mean something else.
    fn speech_score(&self) -> f32 {
        SPEECH_SCORE
    }
}

/// The built-in detector.
struct Earshot {
    detector: Box<Detector<DefaultPredictor>>,
    score: [f32; 1],
}

impl HopDetector for Earshot {
    fn hear(&mut self, hop: &[f32; HOP_SAMPLES]) -> &[f32] {
        self.score = [self.detector.predict_f32(hop)];
        &self.score
    }

    fn finish(&mut self) -> &[f32] {
        &[]
    }

    fn reset(&mut self) {
        self.detector.reset();
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
    found: Found,
}

/// What is known.
struct Found {
    /// Score from which a hop counts as speech.
    speech_score: f32,
    /// End of the last hop that has a score.
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
        Self::with(Box::new(Earshot {
            detector: Detector::default_boxed(),
            score: [0.0],
        }))
    }

    /// Makes a map with the Silero detector, whose model file is at `path`: one in whisper.cpp's format, as
    /// `ggml-silero-v6.2.0.bin`.
    ///
    /// # Memory
    ///
    /// [`SILERO_BYTES`](crate::budget::SILERO_BYTES).
    ///
    /// # Errors
    ///
    /// [`ModelError`] when the file is missing, damaged or something else: give another.
    #[cfg(feature = "whisper")]
    pub fn silero(path: &Path) -> Result<Self, ModelError> {
        Ok(Self::with(Box::new(silero::Silero::load(path)?)))
    }

    /// Makes a map with a detector of the caller's.
    #[must_use]
    pub fn with(detector: Box<dyn HopDetector>) -> Self {
        let speech_score = detector.speech_score();
        Self {
            detector,
            hop: [0.0; HOP_SAMPLES],
            filled: 0,
            found: Found {
                speech_score,
                at: Time::ZERO,
                spans: VecDeque::with_capacity(SPANS_HELD_MAX),
                open: false,
                speech_samples: 0,
            },
        }
    }

    /// Forgets everything and starts at `at`.
    pub fn reset(&mut self, at: Time) {
        self.detector.reset();
        self.filled = 0;
        self.found.at = at;
        self.found.spans.clear();
        self.found.open = false;
        self.found.speech_samples = 0;
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
                self.found.decide(self.detector.hear(&self.hop));
            }
        }
    }

    /// Ends the stream: what is left of a hop belongs to the speech before it.
    pub fn finish(&mut self) {
        self.found.decide(self.detector.finish());
        self.found.finish(self.filled);
        self.filled = 0;
    }

    /// Returns the spans of speech that are remembered, in order.
    ///
    /// A span that is too short to be speech appears only while it may still grow.
    pub fn spans(&self) -> impl DoubleEndedIterator<Item = Span> + Clone {
        let settled = self.found.at;
        self.found.spans.iter().copied().filter(move |span| {
            !is_click(*span) || settled.samples_since(span.end) < PAUSE_SAMPLES_MIN
        })
    }

    /// Returns the time up to which speech is known: the end of what was heard, or less than [`LAG_SAMPLES_MAX`] samples before it.
    #[must_use]
    pub fn heard_to(&self) -> Time {
        self.found.at
    }

    /// Forgets spans that end before `time`, and counts their speech.
    pub fn forget_before(&mut self, time: Time) {
        while let Some(first) = self.found.spans.front().filter(|span| span.end <= time) {
            if !is_click(*first) {
                self.found.speech_samples += first.length().samples();
            }
            self.found.spans.pop_front();
        }
    }

    /// Returns the speech in all spans that were forgotten since the start.
    #[must_use]
    pub fn speech_forgotten(&self) -> Time {
        Time::from_samples(self.found.speech_samples)
    }
}

impl Found {
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

    /// Ends the stream with `rest` samples of a hop.
    fn finish(&mut self, rest: usize) {
        let rest = Time::from_samples(rest as u64);
        if self.open
            && let Some(last) = self.spans.back_mut()
        {
            last.end += rest;
        }
        self.at += rest;
        self.open = false;
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
            .field("at", &self.found.at)
            .field("spans", &self.found.spans)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes the first sample of a hop for its score.
    struct Told(f32);

    impl HopDetector for Told {
        fn hear(&mut self, hop: &[f32; HOP_SAMPLES]) -> &[f32] {
            self.0 = hop[0];
            std::slice::from_ref(&self.0)
        }

        fn finish(&mut self) -> &[f32] {
            &[]
        }

        fn reset(&mut self) {}
    }

    /// Tells the same, `lag` hops later.
    struct Late {
        hops: Vec<f32>,
        told: usize,
        lag: usize,
    }

    impl HopDetector for Late {
        fn hear(&mut self, hop: &[f32; HOP_SAMPLES]) -> &[f32] {
            self.hops.push(hop[0]);
            if self.hops.len() - self.told <= self.lag {
                return &[];
            }
            self.finish()
        }

        fn finish(&mut self) -> &[f32] {
            let from = std::mem::replace(&mut self.told, self.hops.len());
            &self.hops[from..]
        }

        fn reset(&mut self) {}
    }

    /// Spans, in hops, of a stream whose hops are speech where `hops` says `#`.
    fn check(hops: &str, expected: &[(u64, u64)]) {
        let mut map = SpeechMap::with(Box::new(Told(0.0)));
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
        let mut map = SpeechMap::with(Box::new(Told(0.0)));
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
                let mut map = SpeechMap::with(Box::new(Told(0.0)));
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

        /// A detector that answers late finds the same spans, and known time never goes back.
        #[test]
        fn answering_late_changes_nothing(
            hops in prop::collection::vec(any::<bool>(), 0..300), lag in 0_usize..62,
        ) {
            let mut prompt = SpeechMap::with(Box::new(Told(0.0)));
            let mut late = SpeechMap::with(Box::new(Late { hops: Vec::new(), told: 0, lag }));
            let mut heard_to = Time::ZERO;
            for on in &hops {
                let hop = [f32::from(u8::from(*on)); HOP_SAMPLES];
                prompt.push(&hop);
                late.push(&hop);
                prop_assert!(late.heard_to() >= heard_to && late.heard_to() <= prompt.heard_to());
                heard_to = late.heard_to();
            }
            for map in [&mut prompt, &mut late] {
                map.push(&[1.0; 7]);
                map.finish();
            }
            prop_assert_eq!(late.heard_to(), prompt.heard_to());
            prop_assert_eq!(late.spans().collect::<Vec<_>>(), prompt.spans().collect::<Vec<_>>());
        }
    }
}
