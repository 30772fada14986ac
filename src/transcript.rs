//! Segments of text with their times, and the end of a transcript.

use serde::{Deserialize, Serialize};

use crate::time::{Span, Time, from_seconds, seconds};

/// A piece of text with start and end, as the engine divided it.
///
/// Segments of a channel come in the order of time and do not overlap. `start` and `end` are within
/// the audio that was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Segment {
    /// Number of the segment in its transcript, from 0.
    pub id: u64,
    /// The channel that was transcribed, if one was chosen: by
    /// [`InputOptions::channel`](crate::InputOptions::channel),
    /// [`LiveOptions::channel`](crate::LiveOptions::channel) or [`Channels`](crate::Channels).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u8>,
    /// When the text starts.
    #[serde(
        rename = "start_s",
        serialize_with = "seconds",
        deserialize_with = "from_seconds"
    )]
    pub start: Time,
    /// When the text ends.
    #[serde(
        rename = "end_s",
        serialize_with = "seconds",
        deserialize_with = "from_seconds"
    )]
    pub end: Time,
    /// The text, without white space at its ends, valid UTF-8.
    pub text: String,
    /// Figures of the text and of its window, where the engine knows them.
    #[serde(flatten)]
    pub quality: Quality,
    /// The text's tokens.
    pub tokens: Vec<Token>,
}

/// How much a text can be trusted, as far as its engine can say. Unknown figures are `None` and are
/// left out of JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Quality {
    /// Mean probability of the text's tokens, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// Probability that nobody speaks in the window, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_speech_prob: Option<f32>,
    /// Mean natural logarithm of the probability of all tokens of the window, at most 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avg_logprob: Option<f32>,
    /// Bytes of the window's text / bytes of the same compressed by zlib. Text above 2.4 repeats
    /// itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression_ratio: Option<f32>,
    /// The temperature at which the window was sampled, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
}

impl Quality {
    /// Drops figures that are not finite. JSON has no such numbers.
    pub(crate) fn drop_non_finite(&mut self) {
        for figure in [
            &mut self.confidence,
            &mut self.no_speech_prob,
            &mut self.avg_logprob,
            &mut self.compression_ratio,
            &mut self.temperature,
        ] {
            *figure = figure.filter(|value| value.is_finite());
        }
    }
}

/// The engine's unit of text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Token {
    /// Number in the model's vocabulary.
    pub id: u32,
    /// The token's text. A character that several tokens share stands in the first of them.
    pub text: String,
    /// Probability, 0 to 1.
    pub p: f32,
    /// When the token starts.
    #[serde(
        rename = "start_s",
        serialize_with = "seconds",
        deserialize_with = "from_seconds"
    )]
    pub start: Time,
    /// When the token ends.
    #[serde(
        rename = "end_s",
        serialize_with = "seconds",
        deserialize_with = "from_seconds"
    )]
    pub end: Time,
}

/// Facts about a whole transcript, which are known after its last segment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Ending {
    /// Length of the audio that was read.
    pub duration: Time,
    /// Speech that no segment covers.
    pub uncovered: Vec<Span>,
    /// Code of the language that was spoken, such as `en`, if the engine knows it.
    pub language: Option<String>,
    /// The transcription was cancelled or stopped: the transcript ends before its audio.
    pub cancelled: bool,
}

impl Segment {
    /// Makes a segment with text and times; every other field is zero or empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use steadyscribe::{Segment, Time};
    ///
    /// let segment = Segment::new(Time::ZERO, Time::from_seconds(2.0), "Good morning.");
    /// assert_eq!(segment.span().length().seconds(), 2.0);
    /// ```
    #[must_use]
    pub fn new(start: Time, end: Time, text: impl Into<String>) -> Self {
        Self {
            id: 0,
            channel: None,
            start,
            end,
            text: text.into(),
            quality: Quality::default(),
            tokens: Vec::new(),
        }
    }

    /// Moves the segment and its tokens by `by`.
    pub fn shift(&mut self, by: Time) {
        self.start += by;
        self.end += by;
        for token in &mut self.tokens {
            token.start += by;
            token.end += by;
        }
    }

    /// Returns the part of the audio that the text covers.
    #[must_use]
    pub fn span(&self) -> Span {
        Span::new(self.start, self.end)
    }
}

impl Token {
    /// Makes a token.
    #[must_use]
    pub fn new(id: u32, text: impl Into<String>, p: f32, start: Time, end: Time) -> Self {
        Self {
            id,
            text: text.into(),
            p,
            start,
            end,
        }
    }
}

/// How far inside the speech the text that covers it may start and end: 0.3 s. Whisper's times have
/// steps of 20 ms and mostly an error below 0.1 s; speech detectors start early and end late.
const COVER_SLACK_SAMPLES: u64 = 4_800;

/// Shortest speech without text that counts as missed: 0.5 s. Detectors also take breaths and
/// coughs for speech, which are not worth a second decoding.
const COVER_SAMPLES_MIN: u64 = 8_000;

/// Returns the parts of `speech` that no span of `text` covers and that are long enough to matter.
/// Both are in order.
pub(crate) fn uncovered(
    speech: impl Iterator<Item = Span>,
    text: impl Iterator<Item = Span> + Clone,
) -> Vec<Span> {
    let slack = Time::from_samples(COVER_SLACK_SAMPLES);
    let mut left = Vec::new();
    let mut keep = |span: Span| {
        if span.length().samples() >= COVER_SAMPLES_MIN {
            left.push(span);
        }
    };
    for spoken in speech {
        let mut from = spoken.start;
        for written in text
            .clone()
            .map(|span| Span::new(span.start - slack, span.end + slack))
        {
            if written.end > from && written.start < spoken.end {
                keep(Span::new(from, written.start));
                from = from.max(written.end);
            }
        }
        keep(Span::new(from.min(spoken.end), spoken.end));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(speech: &[(f64, f64)], text: &[(f64, f64)], expected: &[(f64, f64)]) {
        let spans = |pairs: &[(f64, f64)]| -> Vec<Span> {
            let time = Time::from_seconds;
            pairs
                .iter()
                .map(|&(start, end)| Span::new(time(start), time(end)))
                .collect()
        };
        let found = uncovered(spans(speech).into_iter(), spans(text).into_iter());
        assert_eq!(found, spans(expected), "{speech:?} under {text:?}");
    }

    #[test]
    fn speech_without_text_is_found() {
        check(&[(1.0, 3.0)], &[], &[(1.0, 3.0)]);
        check(&[(1.0, 9.0)], &[(3.0, 5.0)], &[(1.0, 2.7), (5.3, 9.0)]);
        check(&[(1.0, 3.0), (4.0, 6.0)], &[(0.9, 3.1)], &[(4.0, 6.0)]);
    }

    #[test]
    fn covered_and_short_speech_is_not_missed() {
        check(&[(1.0, 3.0)], &[(1.3, 2.7)], &[]);
        check(&[(1.0, 1.4)], &[], &[]);
        check(&[(1.0, 9.0)], &[(0.0, 4.0), (4.5, 9.0)], &[]);
        check(&[], &[(0.0, 4.0)], &[]);
    }
}
