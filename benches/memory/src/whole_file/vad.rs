//! The audio of each stretch of speech.

use earshot::{DefaultPredictor, Detector};

/// Samples of a decision: 30 ms.
const FRAME_SAMPLES: usize = 480;

/// Samples of a hop of the detector, and of a millisecond.
const HOP_SAMPLES: usize = 256;
const MS: usize = 16;

/// Probability from which speech begins, and below which it may end.
const SPEECH_FROM: f32 = 0.5;
const SILENCE_BELOW: f32 = 0.35;

/// Silence that ends speech.
const REDEMPTION_SAMPLES: usize = 2_000 * MS;

/// What is kept before and behind speech, and the shortest speech.
const PAD_BEFORE_SAMPLES: usize = 300 * MS;
const PAD_BEHIND_SAMPLES: usize = 400 * MS;
const SPEECH_SAMPLES_MIN: usize = 250 * MS;

/// Cuts a file into its stretches of speech.
pub(super) fn segments(samples: &[f32]) -> Vec<Vec<f32>> {
    let mut processor = Processor {
        session: Session::new(),
        current_speech: Vec::new(),
        in_speech: false,
        segments: Vec::new(),
    };
    for frame in samples.chunks(FRAME_SAMPLES) {
        processor.process(frame);
    }
    if processor.in_speech {
        let open = std::mem::take(&mut processor.current_speech);
        processor.segments.push(open);
    }
    processor.segments
}

/// What the app keeps beside the detector's session.
struct Processor {
    session: Session,
    /// A second copy of the stretch that is open.
    current_speech: Vec<f32>,
    in_speech: bool,
    segments: Vec<Vec<f32>>,
}

impl Processor {
    fn process(&mut self, frame: &[f32]) {
        match self.session.process(frame) {
            Some(Transition::Start) => {
                self.in_speech = true;
                self.current_speech.clear();
            }
            Some(Transition::End(samples)) => {
                self.in_speech = false;
                self.segments.push(samples);
                self.current_speech.clear();
            }
            None => {}
        }
        if self.in_speech {
            self.current_speech.extend_from_slice(frame);
        }
    }
}

enum Transition {
    Start,
    End(Vec<f32>),
}

/// The detector's session.
struct Session {
    detector: Box<Detector<DefaultPredictor>>,
    hop: Vec<f32>,
    probability: f32,
    /// All audio since the last speech ended, silence too.
    session_audio: Vec<f32>,
    /// The last stretch, kept until the next one ends.
    cached_active_speech: Vec<f32>,
    /// Where the stretch that is open began, in `session_audio`.
    began: Option<usize>,
    announced: bool,
    /// End of the last frame that was not silent.
    spoken_to: usize,
}

impl Session {
    fn new() -> Self {
        Self {
            detector: Detector::default_boxed(),
            hop: Vec::with_capacity(HOP_SAMPLES),
            probability: 0.0,
            session_audio: Vec::new(),
            cached_active_speech: Vec::new(),
            began: None,
            announced: false,
            spoken_to: 0,
        }
    }

    fn process(&mut self, frame: &[f32]) -> Option<Transition> {
        self.session_audio.extend_from_slice(frame);
        let (probability, now) = (self.probability_of(frame), self.session_audio.len());
        if self.began.is_none() {
            if probability < SPEECH_FROM {
                return None;
            }
            self.began = Some(now - frame.len());
        }
        let began = self.began?;
        if probability >= SILENCE_BELOW {
            self.spoken_to = now;
        }
        if !self.announced && self.spoken_to - began >= SPEECH_SAMPLES_MIN {
            self.announced = true;
            return Some(Transition::Start);
        }
        if now - self.spoken_to < REDEMPTION_SAMPLES {
            return None;
        }
        self.began = None;
        if !std::mem::take(&mut self.announced) {
            return None;
        }
        let from = began.saturating_sub(PAD_BEFORE_SAMPLES);
        let to = self.spoken_to + PAD_BEHIND_SAMPLES;
        self.cached_active_speech = self.session_audio[from..to].to_vec();
        self.session_audio.drain(..to);
        self.spoken_to = 0;
        Some(Transition::End(self.cached_active_speech.clone()))
    }

    /// The highest of the hops that end in a frame, or the last one.
    fn probability_of(&mut self, frame: &[f32]) -> f32 {
        let mut highest: Option<f32> = None;
        for sample in frame {
            self.hop.push(*sample);
            if self.hop.len() == HOP_SAMPLES {
                let probability = self.detector.predict_f32(&self.hop);
                highest = Some(highest.map_or(probability, |seen| seen.max(probability)));
                self.hop.clear();
            }
        }
        self.probability = highest.unwrap_or(self.probability);
        self.probability
    }
}
