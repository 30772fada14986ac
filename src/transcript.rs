//! What was said and when.

use serde::{Serialize, Serializer};

use crate::time::{Span, Time};

/// A piece of text with start and end, as the engine closed it.
///
/// Segments come in the order of time; `start` and `end` lie inside the audio that was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Segment {
    /// Number of the segment in its transcript, from 0.
    pub id: u64,
    /// When the text begins.
    #[serde(rename = "start_s", serialize_with = "seconds")]
    pub start: Time,
    /// When the text ends.
    #[serde(rename = "end_s", serialize_with = "seconds")]
    pub end: Time,
    /// The text, without white space at its ends, valid UTF-8.
    pub text: String,
    /// Mean probability of the text's tokens, 0 to 1.
    pub confidence: f32,
    /// How probable the engine held it that its window has no speech, 0 to 1.
    pub no_speech_prob: f32,
    /// Mean natural logarithm of the probability of all tokens of the window, at most 0.
    pub avg_logprob: f32,
    /// Bytes of the window's text / bytes of the same compressed by zlib. Above 2.4 a text repeats itself.
    pub compression_ratio: f32,
    /// The temperature at which the window was sampled, 0 to 1.
    pub temperature: f32,
    /// The text's tokens.
    pub tokens: Vec<Token>,
}

/// The engine's unit of text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Token {
    /// Number in the model's vocabulary.
    pub id: u32,
    /// The token's text. A character that several tokens share stands in the first of them.
    pub text: String,
    /// Probability, 0 to 1.
    pub p: f32,
    /// When the token begins.
    #[serde(rename = "start_s", serialize_with = "seconds")]
    pub start: Time,
    /// When the token ends.
    #[serde(rename = "end_s", serialize_with = "seconds")]
    pub end: Time,
}

/// What is known of a transcript when its last segment is out.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Ending {
    /// Length of the audio that was read.
    pub duration: Time,
    /// Speech that no segment covers.
    pub uncovered: Vec<Span>,
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
            start,
            end,
            text: text.into(),
            confidence: 0.0,
            no_speech_prob: 0.0,
            avg_logprob: 0.0,
            compression_ratio: 0.0,
            temperature: 0.0,
            tokens: Vec::new(),
        }
    }

    /// Returns the stretch of audio that the segment speaks of.
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

pub(crate) fn seconds<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.seconds())
}
