//! The retained floor: the memory that was acquired by a minute and not given back since.

/// Minutes in the window that is judged.
pub const WINDOW_MINUTES: usize = 1_440;

/// Minutes of warm-up after a start, which are left out.
pub(super) const SKIP_MINUTES: usize = 60;

/// Minutes at the end, whose memory may still be given back.
pub(super) const GUARD_MINUTES: usize = 60;

/// Fewest minutes between these two for a verdict.
const JUDGED_MINUTES_MIN: usize = 240;

/// The retained floor of the judged minutes; `None`: too few.
pub(super) fn floor(minutes_mb: &[f64]) -> Option<Vec<f64>> {
    let minutes = minutes_mb.get(SKIP_MINUTES..)?;
    let judged = minutes.len().checked_sub(GUARD_MINUTES)?;
    if judged < JUDGED_MINUTES_MIN {
        return None;
    }
    let mut last = minutes.iter().copied().find(|mb| mb.is_finite())?;
    let whole = minutes.iter().map(|mb| {
        if mb.is_finite() {
            last = *mb;
        }
        last
    });
    let mut floor = retained(whole);
    floor.truncate(judged);
    Some(floor)
}

/// The least value from each place on.
pub(super) fn retained(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut floor: Vec<f64> = values.collect();
    for at in (1..floor.len()).rev() {
        floor[at - 1] = floor[at - 1].min(floor[at]);
    }
    floor
}
