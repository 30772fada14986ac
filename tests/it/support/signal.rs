//! A signal whose position can be found after any codec.

use std::f64::consts::PI;

/// Length of the test signal, in seconds.
pub(crate) const LENGTH_S: f64 = 1.5;

/// The positions of its bursts, in seconds.
pub(crate) const BURSTS_S: [f64; 2] = [0.25, 1.1];

/// The rate at which positions are searched, in Hz.
const RATE_HZ: f64 = 16_000.0;

/// A Gaussian-windowed sweep of half amplitude, 8 ms wide, `t` seconds from its middle. The
/// fixtures hold the same (fixtures/formats/make.sh).
fn burst(t: f64) -> f64 {
    0.5 * (-(t / 0.004).powi(2)).exp() * (2.0 * PI * (1_000.0 * t + 60_000.0 * t * t)).sin()
}

/// The test signal at any rate: 1.5 s of silence with two bursts.
pub(crate) fn bursts(rate_hz: u32) -> Vec<f32> {
    let rate = f64::from(rate_hz);
    let frames = (LENGTH_S * rate).round() as usize;
    (0..frames)
        .map(|n| {
            BURSTS_S
                .iter()
                .map(|at| burst(n as f64 / rate - at))
                .sum::<f64>() as f32
        })
        .collect()
}

/// Half the width of what is compared, in samples.
const HALF: i64 = 200;

/// Returns how far from `at_s` a burst is, in milliseconds, and its likeness, 0 to 1.
///
/// Searched within 100 ms, to a 32nd of a millisecond.
pub(crate) fn find_burst(samples: &[f32], at_s: f64) -> (f64, f64) {
    let mut best = (0.0, 0.0);
    // Two steps are a sample, so there are two forms of the burst.
    for half in [0.0, 0.5] {
        let place = (at_s * RATE_HZ).round();
        let template: Vec<f64> = (-HALF..=HALF)
            .map(|n| burst((n as f64 - half) / RATE_HZ))
            .collect();
        let wanted: f64 = template.iter().map(|sample| sample * sample).sum();
        for step in -1_600..=1_600_i64 {
            let first = place as i64 + step - HALF;
            let Some(window) = usize::try_from(first)
                .ok()
                .and_then(|first| samples.get(first..first + template.len()))
            else {
                continue;
            };
            let energy: f64 = window.iter().map(|sample| f64::from(*sample).powi(2)).sum();
            let product: f64 = window
                .iter()
                .zip(&template)
                .map(|(a, b)| f64::from(*a) * b)
                .sum();
            let alike = product / (energy * wanted + 1e-12).sqrt();
            if alike > best.1 {
                let found_s = (place + step as f64 + half) / RATE_HZ;
                best = ((found_s - at_s) * 1e3, alike);
            }
        }
    }
    best
}

/// Checks that the bursts stand within 1 ms of their places, `later_s` later than in the signal.
pub(crate) fn check_bursts(samples: &[f32], later_s: f64, what: &str) {
    for at in BURSTS_S {
        let (off_ms, alike) = find_burst(samples, at + later_s);
        assert!(
            alike > 0.9,
            "{what}: no burst at {:.3} s (likeness {alike:.2})",
            at + later_s
        );
        assert!(
            off_ms.abs() < 1.0,
            "{what}: burst {off_ms:+.2} ms off its place at {at} s"
        );
    }
}
