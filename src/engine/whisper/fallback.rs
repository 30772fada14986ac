//! When a text is doubtful, and what is tried instead: OpenAI's temperature fallback.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use super::sampling::{Hypothesis, Rng};
use crate::config::DECISIONS;
use crate::engine::EngineError;

/// Temperatures in the order in which they are tried. Source: openai/whisper, `transcribe()`.
const TEMPERATURES: [f32; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// Candidates at each temperature above 0, of which the most probable is taken. Source:
/// openai/whisper, default of its command line.
const BEST_OF: usize = 5;

/// A text that zlib compresses more than this repeats itself. Source: openai/whisper,
/// `transcribe()`.
const COMPRESSION_RATIO_MAX: f32 = 2.4;

/// A text whose mean log-probability is lower is doubtful. Source: as above.
const LOGPROB_MIN: f32 = -1.0;

/// Above this probability of silence an improbable text is taken for invented. Source: as above.
const NO_SPEECH_MIN: f32 = 0.6;

/// Most bytes of a window's text that are compressed; 224 tokens of English are about 1,000.
const RATIO_BYTES_MAX: usize = 1 << 14;

/// A hypothesis with the figures by which it is judged.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) hypothesis: Hypothesis,
    pub(super) compression_ratio: f32,
    pub(super) no_speech_prob: f32,
}

impl Candidate {
    pub(super) fn new() -> Self {
        Self {
            hypothesis: Hypothesis::new(),
            compression_ratio: 0.0,
            no_speech_prob: 0.0,
        }
    }

    /// Returns whether nobody speaks in the window, so that the text was invented.
    pub(super) fn is_silent(&self) -> bool {
        self.no_speech_prob > NO_SPEECH_MIN && self.hypothesis.avg_logprob() < LOGPROB_MIN
    }

    /// Returns whether the text repeats itself or is improbable.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubt().is_some()
    }

    fn doubt(&self) -> Option<Doubt> {
        let (ratio, logprob) = (self.compression_ratio, self.hypothesis.avg_logprob());
        match (ratio > COMPRESSION_RATIO_MAX, logprob < LOGPROB_MIN) {
            _ if self.is_silent() => None,
            (true, _) => Some(Doubt::Repeats(ratio)),
            (false, true) => Some(Doubt::Improbable(logprob)),
            (false, false) => None,
        }
    }

    /// Returns whether this text is preferred to `other`: one that is not doubtful to one that is,
    /// then one that does not repeat itself to one that does, then the more probable one.
    fn is_better_than(&self, other: &Self) -> bool {
        let faults = |candidate: &Self| {
            let is_doubtful = candidate.is_doubtful();
            (
                is_doubtful,
                is_doubtful && candidate.compression_ratio > COMPRESSION_RATIO_MAX,
            )
        };
        let (ours, theirs) = (faults(self), faults(other));
        if ours != theirs {
            return ours < theirs;
        }
        self.hypothesis.avg_logprob() > other.hypothesis.avg_logprob()
    }
}

/// Why a text is doubtful.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Doubt {
    Repeats(f32),
    Improbable(f32),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeats(ratio) => write!(f, "the text repeats itself (ratio {ratio:.2})"),
            Self::Improbable(logprob) => {
                write!(f, "the text is improbable (log-probability {logprob:.2})")
            }
        }
    }
}

/// How the best candidate came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// It was decoded with previous text.
    pub(super) used_previous: bool,
    /// Decodings besides the first.
    pub(super) fallbacks: u64,
}

/// Decodes into a candidate: with previous text or without, at a temperature, with random numbers.
type Decode<'a> = dyn FnMut(bool, (f32, &mut Rng), &mut Candidate) -> Result<(), EngineError> + 'a;

/// Decodes a window with previous text, then without, then at rising temperatures, until a text is
/// not doubtful. The text that is taken is left in `best`.
///
/// Previous text is dropped before the temperature is raised: a text that repeats itself mostly
/// repeats what it was given, and a decoding at temperature 0 can be reproduced.
pub(super) fn decode_with_fallback(
    has_previous: bool,
    seed: u64,
    best: &mut Candidate,
    spare: &mut Candidate,
    decode: &mut Decode<'_>,
) -> Result<Decoded, EngineError> {
    let mut decoded = Decoded {
        used_previous: has_previous,
        fallbacks: 0,
    };
    let mut rng = Rng::new(seed);
    decode(has_previous, (TEMPERATURES[0], &mut rng), best)?;
    let first_without = usize::from(!has_previous);
    for (at, &temperature) in TEMPERATURES.iter().enumerate().skip(first_without) {
        let Some(doubt) = best.doubt() else {
            break;
        };
        let candidates = if at == 0 {
            tracing::debug!(target: DECISIONS, "  {doubt}: decoded again without previous text");
            1
        } else {
            tracing::debug!(
                target: DECISIONS,
                "  {doubt}: decoded again at temperature {temperature:.1}"
            );
            BEST_OF
        };
        for _ in 0..candidates {
            decode(false, (temperature, &mut rng), spare)?;
            decoded.fallbacks += 1;
            if spare.is_better_than(best) {
                std::mem::swap(best, spare);
                decoded.used_previous = false;
            }
        }
    }
    Ok(decoded)
}

/// Measures how much a text repeats itself.
///
/// # Memory
///
/// zlib's state (some 300 KB) and 48 KB, allocated once.
#[derive(Debug)]
pub(super) struct Repetition {
    zlib: Compress,
    text: Vec<u8>,
    out: Vec<u8>,
}

impl Repetition {
    pub(super) fn new() -> Self {
        Self {
            zlib: Compress::new(Compression::default(), true),
            text: Vec::with_capacity(RATIO_BYTES_MAX),
            out: vec![0; 2 * RATIO_BYTES_MAX],
        }
    }

    /// Returns bytes / compressed bytes of a text that comes in pieces. It is below 1 for very
    /// short texts.
    #[expect(clippy::cast_precision_loss, reason = "at most 16 KB")]
    pub(super) fn ratio<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>) -> f32 {
        self.text.clear();
        for piece in pieces {
            let room = RATIO_BYTES_MAX - self.text.len();
            self.text.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let text = self.text.trim_ascii();
        self.zlib.reset();
        match self
            .zlib
            .compress(text, &mut self.out, FlushCompress::Finish)
        {
            Ok(_) => text.len() as f32 / self.zlib.total_out() as f32,
            // The output has twice the room of the longest text. If zlib fails all the same,
            // nothing speaks against the text.
            Err(_) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(text: &str) -> f32 {
        Repetition::new().ratio(std::iter::once(text.as_bytes()))
    }

    #[test]
    fn ratios_are_zlibs() {
        // Python: len(b) / len(zlib.compress(b)) = 5 / 13, 239 / 22. The compressor here differs by
        // some bytes.
        assert!((ratio("Hello") - 5.0 / 13.0).abs() < 1e-3);
        let looped = ratio(&"Okay, okay. ".repeat(20));
        assert!((5.0..16.0).contains(&looped), "{looped}");
        assert!(ratio("We need to check their main supplier for support in eight days.") < 1.2);
        assert!(ratio("") < 1.0);
    }

    #[test]
    fn ratios_do_not_depend_on_what_came_before() {
        let mut repetition = Repetition::new();
        let text = "Let's prepare your kitchen without our old solution for research this month.";
        let first = repetition.ratio(std::iter::once(text.as_bytes()));
        repetition.ratio(std::iter::once(&b"x"[..]));
        assert_eq!(first, repetition.ratio(text.as_bytes().chunks(7)));
    }

    /// Decodes candidates with the given (ratio, logprob) in turn. Returns what was asked for, what
    /// was taken, and whether it used previous text.
    fn check(has_previous: bool, figures: &[(f32, f32)]) -> (Vec<(bool, f32)>, (f32, f32), bool) {
        let (mut asked, mut answers) = (Vec::new(), figures.iter());
        let (mut best, mut spare) = (Candidate::new(), Candidate::new());
        let decoded = decode_with_fallback(
            has_previous,
            1,
            &mut best,
            &mut spare,
            &mut |previous, (t, _), candidate| {
                let (ratio, logprob) = *answers.next().unwrap_or(&(9.0, -9.0));
                candidate.compression_ratio = ratio;
                candidate.hypothesis = Hypothesis::with_logprob(logprob);
                asked.push((previous, t));
                Ok(())
            },
        )
        .expect("candidates cannot fail");
        assert_eq!(decoded.fallbacks + 1, asked.len() as u64);
        (
            asked,
            (best.compression_ratio, best.hypothesis.avg_logprob()),
            decoded.used_previous,
        )
    }

    impl Hypothesis {
        fn with_logprob(logprob: f32) -> Self {
            Self {
                sum_logprob: f64::from(logprob),
                ..Self::default()
            }
        }
    }

    #[test]
    fn a_credible_text_is_taken_at_once() {
        assert_eq!(
            check(true, &[(1.5, -0.2)]),
            (vec![(true, 0.0)], (1.5, -0.2), true)
        );
    }

    #[test]
    fn previous_text_is_dropped_before_the_temperature_rises() {
        let (asked, taken, used) = check(true, &[(3.0, -0.1), (1.5, -0.3)]);
        assert_eq!(asked, [(true, 0.0), (false, 0.0)]);
        assert_eq!((taken, used), ((1.5, -0.3), false));
    }

    #[test]
    fn the_best_of_five_is_taken() {
        let candidates = [
            (3.0, -0.1),
            (1.5, -0.9),
            (1.4, -0.5),
            (2.0, -0.7),
            (5.0, -0.1),
            (1.0, -2.0),
        ];
        let (asked, taken, _) = check(false, &candidates);
        assert_eq!(asked.len(), 6);
        assert_eq!(asked[5], (false, 0.2));
        assert_eq!(taken, (1.4, -0.5));
    }

    #[test]
    fn when_all_are_doubtful_the_least_doubtful_is_taken() {
        let (asked, taken, _) = check(false, &[(3.0, -0.1), (2.0, -1.5), (2.0, -1.2)]);
        assert_eq!(
            asked.len(),
            26,
            "one, then five at each of five temperatures"
        );
        assert_eq!(taken, (2.0, -1.2));
    }

    #[test]
    fn silence_is_not_doubtful() {
        let mut candidate = Candidate::new();
        candidate.hypothesis = Hypothesis::with_logprob(-2.0);
        assert!(candidate.is_doubtful());
        let says = candidate.doubt().map(|doubt| doubt.to_string());
        assert_eq!(
            says.as_deref(),
            Some("the text is improbable (log-probability -2.00)")
        );
        candidate.compression_ratio = 2.5;
        let says = candidate.doubt().map(|doubt| doubt.to_string());
        assert_eq!(
            says.as_deref(),
            Some("the text repeats itself (ratio 2.50)")
        );
        candidate.no_speech_prob = 0.61;
        assert!(candidate.is_silent() && !candidate.is_doubtful());
    }
}
