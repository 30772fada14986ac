//! Pieces that the model takes.

const RATE: usize = 16_000;

/// Longer segments are split.
const SEGMENT_SAMPLES_MAX: usize = 25 * RATE;

/// The quietest place is sought this far around the limit, and not in the first second.
const SEARCH_SAMPLES: usize = 3 * RATE;
const PIECE_SAMPLES_MIN: usize = RATE;

/// Windows whose loudness is compared, and their distance: 100 and 10 ms.
const LOUDNESS_SAMPLES: usize = 1_600;
const STEP_SAMPLES: usize = 160;

/// Above this loudness a place is no pause.
const QUIET_RMS_MAX: f32 = 0.02;

/// Copies segments, long ones in pieces. The segments stay.
pub(super) fn processable(segments: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut pieces = Vec::new();
    for segment in segments {
        if segment.len() <= SEGMENT_SAMPLES_MAX {
            pieces.push(segment.clone());
            continue;
        }
        let mut at = 0;
        while segment.len() - at > SEGMENT_SAMPLES_MAX {
            let end = piece_end(segment, at);
            pieces.push(segment[at..end].to_vec());
            at = end;
        }
        pieces.push(segment[at..].to_vec());
    }
    pieces
}

/// The middle of the quietest place around the limit, and a second behind it if none is quiet.
fn piece_end(segment: &[f32], at: usize) -> usize {
    let target = at + SEGMENT_SAMPLES_MAX;
    let from = (target - SEARCH_SAMPLES).max(at + PIECE_SAMPLES_MIN);
    let to = (target + SEARCH_SAMPLES).min(segment.len());
    let last = to.saturating_sub(LOUDNESS_SAMPLES).max(from);
    let places = (from..=last).step_by(STEP_SAMPLES).map(|start| {
        let end = (start + LOUDNESS_SAMPLES).min(segment.len());
        (rms(&segment[start..end]), start + LOUDNESS_SAMPLES / 2)
    });
    let (quietest, middle) = places.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let later = if quietest > QUIET_RMS_MAX { RATE } else { 0 };
    (middle + later).min(segment.len())
}

fn rms(samples: &[f32]) -> f32 {
    let power: f32 = samples.iter().map(|sample| sample * sample).sum();
    (power / samples.len().max(1) as f32).sqrt()
}
