//! How two things are compared on a machine that others use too: in turns, many times, by the median.

use std::time::{Duration, Instant};

/// Two things, measured in turns.
pub(crate) struct Pair {
    /// The median of what is measured.
    pub(crate) ours: Duration,
    /// The median of what it is compared with.
    pub(crate) yardstick: Duration,
    /// The median of the ratios of each round: whatever slows a whole round down falls out of it.
    pub(crate) ratio: f64,
}

/// Measures both in turns, each `rounds` times, after one round that does not count.
pub(crate) async fn in_turns(rounds: usize, mut ours: impl AsyncFnMut(), mut yardstick: impl AsyncFnMut()) -> Pair {
    let mut measured = Vec::with_capacity(rounds);
    for round in 0..=rounds {
        // Whoever comes second may find a warmer machine: they take turns at that as well.
        let pair = if round % 2 == 0 {
            let first = timed(&mut ours).await;
            (first, timed(&mut yardstick).await)
        } else {
            let first = timed(&mut yardstick).await;
            (timed(&mut ours).await, first)
        };
        if round > 0 {
            measured.push(pair);
        }
    }
    Pair::of(&measured)
}

impl Pair {
    /// The medians of what was measured round by round.
    pub(crate) fn of(measured: &[(Duration, Duration)]) -> Self {
        Self {
            ours: median(measured.iter().map(|pair| pair.0)),
            yardstick: median(measured.iter().map(|pair| pair.1)),
            ratio: ratio(measured),
        }
    }

    /// The same, where each round did it that many times.
    pub(crate) fn each(self, times: u32) -> Self {
        Self { ours: self.ours / times, yardstick: self.yardstick / times, ..self }
    }
}

async fn timed(work: &mut impl AsyncFnMut()) -> Duration {
    let began = Instant::now();
    work().await;
    began.elapsed()
}

fn ratio(measured: &[(Duration, Duration)]) -> f64 {
    let mut ratios: Vec<f64> = measured.iter().map(|(ours, other)| ours.as_secs_f64() / other.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// The middle one; the greater of two in the middle.
pub(crate) fn median<T: Ord + Copy>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values[values.len() / 2]
}
