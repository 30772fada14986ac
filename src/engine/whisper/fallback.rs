//! When a text is not believed, and what is tried instead.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use super::decoder::{Draft, Rng};
use crate::config::DECISIONS;
use crate::engine::EngineError;

/// Temperatures in the order in which they are tried. Source: openai/whisper, `transcribe()`.
const TEMPERATURES: [f32; 6] = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];

/// Drafts at each temperature above 0, of which the most probable is taken. Source: openai/whisper, command line default.
const BEST_OF: usize = 5;

/// A text that zlib makes this many times smaller repeats itself. Source: openai/whisper, `transcribe()`.
const COMPRESSION_RATIO_MAX: f32 = 2.4;

/// A text whose tokens are less probable on average is not believed. Source: as above.
const LOGPROB_MIN: f32 = -1.0;

/// From this probability on, an improbable text is taken for silence. Source: as above.
const NO_SPEECH_MIN: f32 = 0.6;

/// Text of one window is compared up to this many bytes; 224 tokens of English are about 1,000.
const RATIO_BYTES_MAX: usize = 1 << 14;

/// A draft with what was found of it.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) draft: Draft,
    pub(super) compression_ratio: f32,
    pub(super) no_speech_prob: f32,
}

impl Judged {
    pub(super) fn new() -> Self {
        Self {
            draft: Draft::new(),
            compression_ratio: 0.0,
            no_speech_prob: 0.0,
        }
    }

    /// The window has no speech and the text was made up.
    pub(super) fn is_silent(&self) -> bool {
        self.no_speech_prob > NO_SPEECH_MIN && self.draft.avg_logprob() < LOGPROB_MIN
    }

    /// The text repeats itself or is improbable.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubt().is_some()
    }

    fn doubt(&self) -> Option<Doubt> {
        let (ratio, logprob) = (self.compression_ratio, self.draft.avg_logprob());
        match (ratio > COMPRESSION_RATIO_MAX, logprob < LOGPROB_MIN) {
            _ if self.is_silent() => None,
            (true, _) => Some(Doubt::Repeats(ratio)),
            (false, true) => Some(Doubt::Improbable(logprob)),
            (false, false) => None,
        }
    }

    /// Which of two doubtful texts is the lesser evil.
    fn is_better_than(&self, other: &Self) -> bool {
        let loops = |judged: &Self| judged.compression_ratio > COMPRESSION_RATIO_MAX;
        match (loops(self), loops(other)) {
            (false, true) => true,
            (true, false) => false,
            _ => self.draft.avg_logprob() > other.draft.avg_logprob(),
        }
    }
}

/// Why a text is not believed.
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

/// Makes a draft: with previous text or without, at a temperature, with random numbers.
type Make<'a> = dyn FnMut(bool, (f32, &mut Rng), &mut Judged) -> Result<(), EngineError> + 'a;

/// The drafts of one window: with previous text, without it, then at rising temperatures, until one is believed.
///
/// Dropping previous text comes before raising the temperature: text that repeats itself mostly repeats what it was
/// given, and a draft at temperature 0 can be had again.
///
/// Returns whether previous text
/// was used, and how many drafts were made besides the first. The text that is taken is left in `best`.
pub(super) fn climb(
    has_previous: bool,
    seed: u64,
    best: &mut Judged,
    spare: &mut Judged,
    make: &mut Make<'_>,
) -> Result<(bool, u64), EngineError> {
    let mut used_previous = has_previous;
    let mut rng = Rng::new(seed);
    make(has_previous, (TEMPERATURES[0], &mut rng), best)?;
    let mut extra = 0;
    let first_without = usize::from(!has_previous);
    for (at, &temperature) in TEMPERATURES.iter().enumerate().skip(first_without) {
        let Some(doubt) = best.doubt() else {
            break;
        };
        let drafts = if at == 0 {
            tracing::debug!(target: DECISIONS, "  {doubt}: decoded again without the text before it");
            1
        } else {
            tracing::debug!(target: DECISIONS, "  {doubt}: decoded again at temperature {temperature:.1}");
            BEST_OF
        };
        for _ in 0..drafts {
            make(false, (temperature, &mut rng), spare)?;
            extra += 1;
            if believed_first(spare, best) {
                std::mem::swap(best, spare);
                used_previous = false;
            }
        }
    }
    Ok((used_previous, extra))
}

/// A believed text beats a doubtful one; of two alike, the better.
fn believed_first(new: &Judged, old: &Judged) -> bool {
    match (new.is_doubtful(), old.is_doubtful()) {
        (false, true) => true,
        (true, false) => false,
        (false, false) => new.draft.avg_logprob() > old.draft.avg_logprob(),
        (true, true) => new.is_better_than(old),
    }
}

/// Measures how much a text repeats itself.
///
/// # Memory
///
/// zlib's state (some 300 KB) and 32 KB, made once.
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

    /// Returns bytes / compressed bytes of a text that is given in pieces. Below 1 for very short texts.
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
            // The output has twice the room of the longest text; if zlib fails, nothing is known against the text.
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
        // Python: len(b) / len(zlib.compress(b)) = 5 / 13, 239 / 22. The compressor here is another one, some bytes off.
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

    /// Makes drafts with the given (ratio, logprob) in turn and returns what was asked for and what was taken.
    fn check(has_previous: bool, made: &[(f32, f32)]) -> (Vec<(bool, f32)>, (f32, f32), bool) {
        let (mut asked, mut answers) = (Vec::new(), made.iter());
        let (mut best, mut spare) = (Judged::new(), Judged::new());
        let (used, extra) = climb(
            has_previous,
            1,
            &mut best,
            &mut spare,
            &mut |previous, (t, _), judged| {
                let (ratio, logprob) = *answers.next().unwrap_or(&(9.0, -9.0));
                judged.compression_ratio = ratio;
                judged.draft = Draft::with_logprob(logprob);
                asked.push((previous, t));
                Ok(())
            },
        )
        .expect("drafts cannot fail");
        assert_eq!(extra + 1, asked.len() as u64);
        (
            asked,
            (best.compression_ratio, best.draft.avg_logprob()),
            used,
        )
    }

    impl Draft {
        fn with_logprob(logprob: f32) -> Self {
            Self {
                sum_logprob: f64::from(logprob),
                ..Self::default()
            }
        }
    }

    #[test]
    fn a_believed_text_is_taken_at_once() {
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
        let drafts = [
            (3.0, -0.1),
            (1.5, -0.9),
            (1.4, -0.5),
            (2.0, -0.7),
            (5.0, -0.1),
            (1.0, -2.0),
        ];
        let (asked, taken, _) = check(false, &drafts);
        assert_eq!(asked.len(), 6);
        assert_eq!(asked[5], (false, 0.2));
        assert_eq!(taken, (1.4, -0.5));
    }

    #[test]
    fn when_none_is_believed_the_lesser_evil_is_taken() {
        let (asked, taken, _) = check(false, &[(3.0, -0.1), (2.0, -1.5), (2.0, -1.2)]);
        assert_eq!(
            asked.len(),
            26,
            "one, then five at each of five temperatures"
        );
        assert_eq!(taken, (2.0, -1.2));
    }

    #[test]
    fn silence_is_not_doubted() {
        let mut judged = Judged::new();
        judged.draft = Draft::with_logprob(-2.0);
        assert!(judged.is_doubtful());
        let says = judged.doubt().map(|doubt| doubt.to_string());
        assert_eq!(
            says.as_deref(),
            Some("the text is improbable (log-probability -2.00)")
        );
        judged.compression_ratio = 2.5;
        let says = judged.doubt().map(|doubt| doubt.to_string());
        assert_eq!(
            says.as_deref(),
            Some("the text repeats itself (ratio 2.50)")
        );
        judged.no_speech_prob = 0.61;
        assert!(judged.is_silent() && !judged.is_doubtful());
    }
}
