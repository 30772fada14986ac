//! Cuts the encoder's padding at the end, if there it ends.
//!
//! Headers say how many frames a file has, and lie: of joined files the first one's header speaks of the first alone.
//! So frames behind the declared end are held back. If the input ends there, they were padding; if it goes on, they
//! were not.

/// Most frames that can be padding: MP3 fills up to 4,095, an AAC encoder up to three packets of 1,024.
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
    /// Returns whether the declared end was passed.
    pub(super) fn is_passed(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes what lies behind the end out of `samples`, which starts at frame `at` of a file that declares `end`
    /// frames. Returns `false` if the declaration is wrong: then `samples` holds everything that was held back too.
    pub(super) fn take(
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
        assert!(tail.take(&mut samples, 2, 0, 1_500));
        assert_eq!(samples.len(), 2 * 1_000);
        assert!(tail.take(&mut samples, 2, 1_000, 1_500));
        assert_eq!(samples.len(), 2 * 500);
        assert!(tail.take(&mut samples, 2, 2_000, 1_500));
        assert!(samples.is_empty());
    }

    #[test]
    fn what_goes_on_is_no_padding() {
        let mut tail = Tail::default();
        let mut heard = Vec::new();
        let mut believed = true;
        for packet in 0..20_u8 {
            let mut samples = vec![f32::from(packet); 1_000];
            if believed {
                believed = tail.take(&mut samples, 1, u64::from(packet) * 1_000, 1_500);
            }
            heard.extend(samples);
        }
        let all: Vec<f32> = (0..20_u8)
            .flat_map(|packet| vec![f32::from(packet); 1_000])
            .collect();
        assert!(!believed);
        assert_eq!(heard, all);
    }
}
