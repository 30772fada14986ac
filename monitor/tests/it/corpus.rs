//! Labelled synthetic traces: 1,440 minutes of a component's private memory, with and without a
//! leak, in MB.

use std::f64::consts::TAU;

pub(crate) const MINUTES: usize = 1_440;

pub(crate) type Trace = Vec<f64>;
pub(crate) type Class = fn(&mut Random) -> Trace;

/// SplitMix64. Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Mixed, because streams whose states differ by a few steps are one stream.
        Self(Self(seed ^ 0xD6E8_FEB8_6659_FD93).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        self.uniform(low.ln(), high.ln()).exp()
    }

    fn index(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low) as u64) as usize
    }

    /// Box-Muller.
    pub(crate) fn normal(&mut self, deviation: f64) -> f64 {
        let radius = (-2.0 * self.uniform(f64::MIN_POSITIVE, 1.0).ln()).sqrt();
        deviation * radius * (TAU * self.uniform(0.0, 1.0)).cos()
    }

    /// Knuth: fine for small means.
    fn poisson(&mut self, mean: f64) -> usize {
        let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(0.0, 1.0), 0);
        while product > limit {
            product *= self.uniform(0.0, 1.0);
            count += 1;
        }
        count
    }
}

fn sum(a: Trace, b: Trace) -> Trace {
    a.into_iter().zip(b).map(|(a, b)| a + b).collect()
}

fn minutes(f: impl FnMut(usize) -> f64) -> Trace {
    (0..MINUTES).map(f).collect()
}

fn white(r: &mut Random) -> Trace {
    minutes(|_| r.normal(2.0))
}

/// Ornstein-Uhlenbeck: wanders and comes back, with a time constant in minutes.
fn wander(r: &mut Random, tau: f64, deviation: f64) -> Trace {
    let keep = (-1.0 / tau).exp();
    let noise = deviation * (1.0 - keep * keep).sqrt();
    let mut x = r.normal(deviation);
    minutes(|at| {
        if at > 0 {
            x = keep * x + r.normal(noise);
        }
        x
    })
}

/// Grows by `amplitude` over about `period` minutes, then falls back.
fn saw(r: &mut Random, period: f64, amplitude: f64) -> Trace {
    let mut phase = r.uniform(0.0, 1.0);
    let mut trace = Trace::with_capacity(MINUTES);
    while trace.len() < MINUTES {
        let length = (period * (1.0 + r.normal(0.2))).round().max(2.0) as usize;
        let height = amplitude * (1.0 + r.normal(0.15));
        let foot = r.normal(3.0);
        let skip = (std::mem::take(&mut phase) * length as f64) as usize;
        let left = MINUTES - trace.len();
        let tooth = (skip..length).map(|t| foot + height * (t as f64 + 0.5) / length as f64);
        trace.extend(tooth.take(left));
    }
    trace
}

fn flat(r: &mut Random) -> Trace {
    white(r)
}

fn wander_fast(r: &mut Random) -> Trace {
    let (tau, deviation) = (r.log_uniform(10.0, 120.0), r.uniform(5.0, 30.0));
    sum(wander(r, tau, deviation), white(r))
}

fn collector(r: &mut Random) -> Trace {
    let (period, amplitude) = (r.log_uniform(5.0, 90.0), r.uniform(20.0, 200.0));
    sum(saw(r, period, amplitude), white(r))
}

fn collector_two_generations(r: &mut Random) -> Trace {
    let (period, amplitude) = (r.uniform(5.0, 15.0), r.uniform(20.0, 60.0));
    let minor = saw(r, period, amplitude);
    let (period, amplitude) = (r.log_uniform(60.0, 360.0), r.uniform(50.0, 200.0));
    let major = saw(r, period, amplitude);
    sum(sum(minor, major), white(r))
}

fn warm_up(r: &mut Random) -> Trace {
    let (height, tau) = (r.uniform(50.0, 400.0), r.log_uniform(20.0, 240.0));
    sum(
        minutes(|t| height * (1.0 - (-(t as f64) / tau).exp())),
        collector(r),
    )
}

fn meetings(r: &mut Random) -> Trace {
    let (tau, deviation) = (r.log_uniform(10.0, 60.0), r.uniform(5.0, 15.0));
    let mut x = sum(wander(r, tau, deviation), white(r));
    for _ in 0..r.poisson(5.0) {
        let (start, length) = (r.index(0, MINUTES), r.uniform(30.0, 90.0) as usize);
        let height = r.uniform(50.0, 400.0);
        x[start..]
            .iter_mut()
            .take(length)
            .for_each(|x| *x += height);
    }
    x
}

fn steps(r: &mut Random) -> Trace {
    let mut x = wander_fast(r);
    for _ in 0..r.index(1, 3) {
        let (start, height) = (r.index(60, MINUTES), r.uniform(300.0, 3_000.0));
        x[start..].iter_mut().for_each(|x| *x += height);
    }
    x
}

fn cache_filling(r: &mut Random) -> Trace {
    let (rate, cap) = (r.uniform(5.0, 50.0), r.uniform(30.0, 150.0));
    sum(minutes(|t| (t as f64 / 60.0 * rate).min(cap)), collector(r))
}

fn wander_slow(r: &mut Random) -> Trace {
    let (tau, deviation) = (r.uniform(180.0, 480.0), r.uniform(10.0, 30.0));
    sum(wander(r, tau, deviation), white(r))
}

fn diurnal(r: &mut Random) -> Trace {
    let (height, phase) = (r.uniform(10.0, 60.0), r.uniform(0.0, 1.0));
    let day = minutes(|t| height * (TAU * (t as f64 / MINUTES as f64 + phase)).sin());
    sum(day, collector(r))
}

fn llm_sessions(r: &mut Random) -> Trace {
    let (period, amplitude) = (r.log_uniform(5.0, 40.0), r.uniform(20.0, 120.0));
    let mut x = sum(saw(r, period, amplitude), white(r));
    for _ in 0..r.poisson(5.0) {
        let (start, length) = (r.index(0, MINUTES), r.uniform(30.0, 120.0) as usize);
        let (height, growth) = (r.uniform(300.0, 2_500.0), r.uniform(0.0, 3.0));
        let session = x[start..].iter_mut().take(length).enumerate();
        session.for_each(|(t, x)| *x += height + growth * t as f64);
    }
    x
}

/// Classes without a leak. Stationary: after a day they are where they were.
pub(crate) const STATIONARY: [(&str, Class); 9] = [
    ("flat", flat),
    ("wander_fast", wander_fast),
    ("collector", collector),
    ("collector_two_generations", collector_two_generations),
    ("warm_up", warm_up),
    ("meetings", meetings),
    ("wander_slow", wander_slow),
    ("diurnal", diurnal),
    ("llm_sessions", llm_sessions),
];

/// Classes that really end the day with more, without a leak.
pub(crate) const GROWING: [(&str, Class); 2] = [("steps", steps), ("cache_filling", cache_filling)];

/// Noise under the leaks.
pub(crate) const NOISE: [(&str, Class); 5] = [
    ("wander_fast", wander_fast),
    ("collector", collector),
    ("collector_two_generations", collector_two_generations),
    ("meetings", meetings),
    ("llm_sessions", llm_sessions),
];

/// How a leak comes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Linear,
    Late,
    Lumpy,
}

/// A leak of `rate` MB/h.
pub(crate) fn leak(r: &mut Random, rate: f64, kind: Kind) -> Trace {
    match kind {
        Kind::Linear => minutes(|t| rate * t as f64 / 60.0),
        Kind::Late => {
            let start = r.uniform(0.0, 6.0);
            minutes(|t| rate * (t as f64 / 60.0 - start).max(0.0))
        }
        // About three lumps an hour.
        Kind::Lumpy => {
            let mut held = 0.0;
            minutes(|_| {
                held += r.poisson(3.0 / 60.0) as f64 * rate / 3.0;
                held
            })
        }
    }
}

/// A trace with 500 MB in use, and a leak where `rate` is above 0.
pub(crate) fn trace(class: Class, seed: u64, rate: f64, kind: Kind) -> Trace {
    let mut r = Random::new(seed);
    let x = sum(class(&mut r), vec![500.0; MINUTES]);
    sum(x, leak(&mut r, rate, kind))
}

/// Idle floors of a day with meetings, each of which leaves about `left` MB behind.
pub(crate) fn idle_floors(base: Class, seed: u64, left: f64) -> Vec<f64> {
    let mut r = Random::new(seed);
    let mut x = sum(base(&mut r), vec![500.0; MINUTES]);
    let mean = left * r.normal(0.3).exp();
    let (mut at, mut idle_from, mut idle) = (r.uniform(20.0, 120.0) as usize, 0, Vec::new());
    while at < MINUTES - 60 {
        let (length, gap) = (
            r.uniform(20.0, 90.0) as usize,
            r.uniform(30.0, 180.0) as usize,
        );
        idle.push((idle_from, at));
        let (height, lost) = (
            r.uniform(100.0, 2_500.0),
            (mean * (1.0 + r.normal(0.3))).max(0.0),
        );
        x[at..].iter_mut().take(length).for_each(|x| *x += height);
        x.iter_mut().skip(at + length).for_each(|x| *x += lost);
        idle_from = at + length + 5;
        at += length + gap;
    }
    idle.push((idle_from.min(MINUTES), MINUTES));
    let long = idle
        .into_iter()
        .filter(|(from, to)| to.saturating_sub(*from) >= 15);
    long.map(|(from, to)| x[from..to].iter().copied().fold(f64::INFINITY, f64::min))
        .collect()
}
