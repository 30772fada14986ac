//! Cuts the encoder's padding behind the declared end, if that is the true end.
//!
//! Headers declare how many frames a file has, and may be wrong: the header of joined files counts
//! the first file alone. So frames behind the declared end are held back. If the input ends, they
//! were padding and are dropped; if it goes on, they were audio and are returned.

/// Most frames that can be padding: MP3 pads by up to 4,095, AAC by up to three packets of 1,024.
const HELD_FRAMES_MAX: usize = 8_192;

/// Frames behind the declared end.
///
/// # Memory
///
/// At most `HELD_FRAMES_MAX` frames, allocated at the declared end.
#[derive(Debug, Default)]
pub(super) struct Tail {
    held: Vec<f32>,
}

impl Tail {
    /// Returns whether the declared end has passed.
    pub(super) fn is_past_end(&self) -> bool {
        !self.held.is_empty()
    }

    /// Moves what lies behind the end out of `samples`, which start at frame `at` of a file that
    /// declares `end` frames. Returns `false` if the declaration is wrong: then everything that was
    /// held back precedes `samples` again.
    pub(super) fn hold(
        &mut self,
        samples: &mut Vec<f32>,
        channels: usize,
        at: u64,
        end: u64,
    ) -> bool {
        let kept = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        let kept = kept.saturating_mul(channels).min(samples.len());
        if self.held.len() + samples.len() - kept > HELD_FRAMES_MAX * channels {
            samples.splice(0..0, self.held.drain(..));
            return false;
        }
        self.held.extend_from_slice(&samples[kept..]);
        samples.truncate(kept);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_cut() {
        let mut tail = Tail::default();
        let mut samples = vec![1.0; 2 * 1_000];
        assert!(tail.hold(&mut samples, 2, 0, 1_500));
        assert_eq!(samples.len(), 2 * 1_000);
        assert!(tail.hold(&mut samples, 2, 1_000, 1_500));
        assert_eq!(samples.len(), 2 * 500);
        assert!(tail.hold(&mut samples, 2, 2_000, 1_500));
        assert!(samples.is_empty());
    }

    #[test]
    fn frames_that_go_on_are_not_padding() {
        let mut tail = Tail::default();
        let mut returned = Vec::new();
        let mut believed = true;
        for packet in 0..20_u8 {
            let mut samples = vec![f32::from(packet); 1_000];
            if believed {
                believed = tail.hold(&mut samples, 1, u64::from(packet) * 1_000, 1_500);
            }
            returned.extend(samples);
        }
        let all: Vec<f32> = (0..20_u8)
            .flat_map(|packet| vec![f32::from(packet); 1_000])
            .collect();
        assert!(!believed);
        assert_eq!(returned, all);
    }
}
