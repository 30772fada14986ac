//! Decides where decoded frames belong on the input's time line. Pure: numbers in, a decision out.
//!
//! A container stamps each packet with the time at which it is played. Damage makes holes, joined
//! recordings overlap, and some files jump by hours because a field is wrong. The time line that
//! leaves the decoder has neither holes nor overlaps: silence fills holes, overlaps are cut, and an
//! absurd jump starts a new clock.

use crate::audio::SAMPLE_RATE_HZ;
use crate::time::Time;

/// Largest difference between time stamps and counted frames that is ignored, in milliseconds. Time
/// stamps of Matroska are whole milliseconds, and joined AAC files overlap by 27 to 32 ms per join.
const TOLERANCE_MS: i64 = 20;

/// Longest hole that is filled with silence, in milliseconds. A longer one is not a loss but a
/// wrong time stamp, or a recording that was resumed on another day.
const HOLE_MS_MAX: i64 = 10 * 60 * 1_000;

/// Most silence that fills holes, in milliseconds: a day. A small file can claim a hole before each
/// of its packets.
const HOLES_MS_MAX: i64 = 24 * 3_600 * 1_000;

/// Longest overlap that is cut, in milliseconds. A longer one is a clock that was set back.
const OVERLAP_MS_MAX: i64 = 2_000;

/// Most packets in a row whose overlap is cut. Where two recordings overlap, one packet does, and
/// the next ones follow on. On a clock that runs too slow, because a field is wrong, every packet
/// overlaps, and all of them would be cut.
const OVERLAPS_MAX: u32 = 3;

/// Latest start that is kept as leading silence, in milliseconds: audio may start after the video.
/// Live streams start at any time, so a later start counts as zero.
const START_MS_MAX: i64 = 30_000;

/// Longest negative start that is cut, in milliseconds. Encoder delays are below 200 ms.
const DELAY_MS_MAX: i64 = 1_000;

/// The place of one packet's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Placement {
    /// Frames of silence to put before them.
    pub(super) silence: u64,
    /// The silence stands in for lost audio.
    pub(super) lost: bool,
    /// Frames to drop at their start.
    pub(super) skip: u64,
}

/// Counts frames and compares them with time stamps.
#[derive(Debug)]
pub(super) struct Timeline {
    rate_hz: u32,
    /// Position of the next frame that is kept, at `rate_hz`.
    next: i64,
    /// Frames to drop before it: the rest of an encoder's delay or of an overlap.
    drop: i64,
    /// Subtracted from time stamps, at `rate_hz`.
    shift: i64,
    /// Silence that has filled holes so far, in milliseconds.
    filled_ms: i64,
    /// Packets in a row that overlapped.
    overlaps: u32,
    started: bool,
}

impl Timeline {
    pub(super) fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz: rate_hz.max(1),
            next: 0,
            drop: 0,
            shift: 0,
            filled_ms: 0,
            overlaps: 0,
            started: false,
        }
    }

    /// Changes the rate. Positions keep their time.
    pub(super) fn set_rate(&mut self, rate_hz: u32) {
        let rate_hz = rate_hz.max(1);
        for frames in [&mut self.next, &mut self.drop, &mut self.shift] {
            *frames = rescale(*frames, self.rate_hz, rate_hz);
        }
        self.rate_hz = rate_hz;
    }

    /// Takes the next time stamp as that of the next frame, because the next part of a chained
    /// stream has a clock of its own.
    pub(super) fn restart_stamps(&mut self) {
        self.started = false;
    }

    /// Returns the time of the next frame that is kept.
    pub(super) fn now(&self) -> Time {
        self.before(0)
    }

    /// Returns the time `frames` before the next frame that is kept.
    pub(super) fn before(&self, frames: u64) -> Time {
        let frames = self.next.saturating_sub_unsigned(frames).max(0);
        Time::from_samples(rescale(frames, self.rate_hz, SAMPLE_RATE_HZ).unsigned_abs())
    }

    /// Returns the position of the next frame that is kept, at the current rate.
    pub(super) fn next_frame(&self) -> u64 {
        self.next.unsigned_abs()
    }

    /// Returns whether a stamp was seen.
    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// Places `frames` frames that are stamped with `stamp`. Without one they follow on.
    ///
    /// `stamp` is in frames at the current rate. `origin` is the stamp at which the time line
    /// starts.
    pub(super) fn place(&mut self, stamp: Option<i64>, origin: i64, frames: u64) -> Placement {
        let silence = match stamp {
            Some(stamp) if self.started => self.correct(stamp.saturating_sub(origin)),
            Some(stamp) => self.start(stamp, origin),
            None => 0,
        };
        // Silence before the first frame is no loss: the sound may start late.
        let lost = silence > 0 && self.next > 0;
        let frames = i64::try_from(frames).unwrap_or(i64::MAX);
        let skip = self.drop.min(frames);
        self.drop -= skip;
        self.next = self
            .next
            .saturating_add(silence)
            .saturating_add(frames - skip);
        Placement {
            silence: silence.unsigned_abs(),
            lost,
            skip: skip.unsigned_abs(),
        }
    }

    /// Skips frames that are lost, and returns how many silence replaces.
    pub(super) fn skip(&mut self, frames: u64) -> u64 {
        let frames = frames.min(self.frames(self.hole_ms_max()).unsigned_abs());
        self.fill(i64::try_from(frames).unwrap_or(i64::MAX));
        self.next = self.next.saturating_add_unsigned(frames);
        frames
    }

    /// Starts the clock at the first stamp, and returns how much silence precedes it.
    fn start(&mut self, stamp: i64, origin: i64) -> i64 {
        let sane = -self.frames(DELAY_MS_MAX)..=self.frames(START_MS_MAX);
        let at = if sane.contains(&stamp) {
            stamp.saturating_sub(origin)
        } else {
            -origin
        };
        // After other audio a late start is no hole: this clock is not related to the one before.
        let silence = if self.next == 0 { at.max(0) } else { 0 };
        self.started = true;
        self.drop = (-at).max(0);
        self.shift = stamp.saturating_sub(origin).saturating_add(self.drop);
        self.shift = self.shift.saturating_sub(self.next + silence);
        silence
    }

    /// Compares a later stamp with the count of frames. Drops an overlap, or returns how much
    /// silence fills a hole.
    fn correct(&mut self, at: i64) -> i64 {
        let ahead = at
            .saturating_sub(self.shift)
            .saturating_sub(self.next - self.drop);
        let tolerance = self.frames(TOLERANCE_MS);
        if (-tolerance..=tolerance).contains(&ahead) {
            self.overlaps = 0;
            return 0;
        }
        self.overlaps = match ahead < 0 {
            true => self.overlaps.saturating_add(1),
            false => 0,
        };
        let too_late = ahead > self.frames(self.hole_ms_max());
        if too_late || ahead < -self.frames(OVERLAP_MS_MAX) || self.overlaps > OVERLAPS_MAX {
            self.shift = self.shift.saturating_add(ahead);
            return 0;
        }
        let undropped = self.drop.min(ahead);
        self.drop -= undropped;
        let silence = (ahead - undropped).max(0);
        self.fill(silence);
        silence
    }

    /// Returns how long a hole may be.
    fn hole_ms_max(&self) -> i64 {
        HOLE_MS_MAX.min(HOLES_MS_MAX - self.filled_ms)
    }

    /// Counts frames of silence that fill a hole.
    fn fill(&mut self, frames: i64) {
        self.filled_ms += frames.saturating_mul(1_000) / i64::from(self.rate_hz);
    }

    fn frames(&self, ms: i64) -> i64 {
        ms * i64::from(self.rate_hz) / 1_000
    }
}

/// Converts a count of frames from one rate to another, rounded.
fn rescale(frames: i64, from_hz: u32, to_hz: u32) -> i64 {
    let scaled = i128::from(frames) * i128::from(to_hz);
    let half = i128::from(from_hz / 2);
    let rounded = (scaled + half).div_euclid(i128::from(from_hz));
    i64::try_from(rounded).unwrap_or(if frames < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE_HZ: u32 = 48_000;

    fn placed(silence: u64, lost: bool, skip: u64) -> Placement {
        Placement {
            silence,
            lost,
            skip,
        }
    }

    /// A time line after one second of audio.
    fn started() -> Timeline {
        let mut line = Timeline::new(RATE_HZ);
        assert_eq!(line.place(Some(0), 0, 48_000), placed(0, false, 0));
        line
    }

    #[test]
    fn delay_is_dropped_and_late_start_is_silence() {
        for (stamp, origin, silence, skip) in [
            (0, 0, 0, 0),
            (-312, 0, 0, 312),
            (0, 1_024, 0, 1_024),
            (-1_105, 0, 0, 1_105),
            (19_200, 0, 19_200, 0),
            (19_200, 1_024, 18_176, 0),
            // A live stream that was joined after an hour, and wrong stamps.
            (3_600 * 48_000, 0, 0, 0),
            (i64::MIN, 1_024, 0, 1_024),
            (i64::MAX, 0, 0, 0),
        ] {
            let mut line = Timeline::new(RATE_HZ);
            let placement = line.place(Some(stamp), origin, 2_000);
            assert_eq!(placement, placed(silence, false, skip), "{stamp}");
            assert_eq!(line.next_frame(), silence + 2_000 - skip);
        }
    }

    #[test]
    fn delay_longer_than_a_packet_continues_in_the_next() {
        let mut line = Timeline::new(RATE_HZ);
        assert_eq!(line.place(Some(-2_500), 0, 1_000), placed(0, false, 1_000));
        assert_eq!(line.place(Some(-1_500), 0, 1_000), placed(0, false, 1_000));
        assert_eq!(line.place(Some(-500), 0, 1_000), placed(0, false, 500));
        assert_eq!(line.now().samples(), 167);
    }

    #[test]
    fn jitter_is_ignored_and_holes_and_overlaps_are_corrected() {
        for (stamp, expected) in [
            (48_000, placed(0, false, 0)),
            (48_000 + 960, placed(0, false, 0)),
            (48_000 - 960, placed(0, false, 0)),
            (48_000 + 961, placed(961, true, 0)),
            (48_000 - 961, placed(0, false, 961)),
            (48_000 - 3_000, placed(0, false, 2_000)),
            (48_000 + 600 * 48_000, placed(600 * 48_000, true, 0)),
            // A clock that was reset.
            (48_000 + 601 * 48_000, placed(0, false, 0)),
            (-96_000, placed(0, false, 0)),
            (i64::MIN, placed(0, false, 0)),
            (i64::MAX, placed(0, false, 0)),
        ] {
            assert_eq!(started().place(Some(stamp), 0, 2_000), expected, "{stamp}");
        }
    }

    #[test]
    fn clock_that_was_reset_is_followed() {
        let mut line = started();
        line.place(Some(10_000_000_000), 0, 1_000);
        assert_eq!(
            line.place(Some(10_000_001_000), 0, 1_000),
            placed(0, false, 0)
        );
        assert_eq!(
            line.place(Some(10_000_010_000), 0, 1_000),
            placed(8_000, true, 0)
        );
    }

    /// Ten thousand packets, each ten minutes after the one before, are not a recording of 70 days.
    #[test]
    fn sum_of_holes_has_a_limit() {
        let mut line = started();
        let day = 24 * 3_600 * 48_000;
        let mut stamp = 48_000;
        for _ in 0..10_000 {
            stamp += 600 * 48_000;
            line.place(Some(stamp), 0, 960);
        }
        assert!((day..day + 600 * 48_000).contains(&line.next_frame()));
    }

    /// The clock of a file whose rate is damaged almost stands still.
    #[test]
    fn clock_that_is_too_slow_cuts_next_to_nothing() {
        let mut line = started();
        for packet in 0..1_000 {
            line.place(Some(48_000 + packet), 0, 1_024);
        }
        let decoded = 48_000 + 1_000 * 1_024;
        assert!((decoded - 4 * 1_024..=decoded).contains(&line.next_frame()));
    }

    #[test]
    fn next_part_of_a_chain_follows_on() {
        let mut line = started();
        line.set_rate(16_000);
        line.restart_stamps();
        assert_eq!(line.place(Some(0), 104, 320), placed(0, false, 104));
        assert_eq!(line.place(Some(320), 104, 320), placed(0, false, 0));
        assert_eq!(line.next_frame(), 16_000 + 640 - 104);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Whatever the stamps are, the time line has no hole: it grows by the silence that is put
        /// in and by the frames that are kept, and by nothing else.
        #[test]
        fn every_frame_is_kept_or_skipped(
            packets in prop::collection::vec((any::<Option<i64>>(), 0_u64..5_000), 1..50),
            near in prop::collection::vec((-100_000_i64..100_000, 0_u64..5_000), 1..50),
            origin in -10_000_i64..10_000,
        ) {
            let mut line = Timeline::new(RATE_HZ);
            let near = near.into_iter().map(|(off, frames)| (Some(off), frames));
            let mut stamp = 0_i64;
            for (step, frames) in packets.into_iter().chain(near) {
                let before = line.next_frame();
                stamp = stamp.saturating_add(step.unwrap_or(0));
                let placement = line.place(step.map(|_| stamp), origin, frames);
                prop_assert!(placement.skip <= frames);
                prop_assert!(placement.silence <= 600 * 48_000 + 10_000);
                let grown = placement.silence + frames - placement.skip;
                prop_assert_eq!(line.next_frame(), before + grown);
            }
        }
    }
}
