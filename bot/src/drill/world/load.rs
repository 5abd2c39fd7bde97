//! The load: requests that arrive as independent people send them (a Poisson process), over real HTTP and through the
//! load balancer, with the latencies as the sender sees them.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Client;
use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::World;

/// The most requests under way at once; an arrival beyond that is counted as dropped.
const IN_FLIGHT: usize = 500;

/// How long a sender waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many latencies are kept to look back on: half an hour at the usual load.
const KEPT: usize = 70_000;

/// How many petitions are asked for; each is a path of its own in an instance's metrics.
const PETITIONS: u32 = 12;

/// What became of the requests.
pub(super) struct Load {
    rate: watch::Sender<f64>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    sent: u64,
    ok: u64,
    failed: u64,
    dropped: u64,
    latencies: VecDeque<(Instant, f64)>,
}

/// `GET /load`.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    /// Requests per second, as set.
    rate: f64,
    /// Sent since the start.
    sent: u64,
    /// Of these, answered with success.
    ok: u64,
    /// Of these, answered otherwise or not at all.
    failed: u64,
    /// Not sent, because too many were under way.
    dropped: u64,
    /// Answered within the window that was asked for.
    window_requests: usize,
    /// Latencies within that window, in milliseconds, of the requests themselves and not of buckets.
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl Load {
    /// A load of so many requests a second, none sent yet.
    pub(super) fn new(rate: f64) -> Self {
        Self { rate: watch::Sender::new(rate), counts: Mutex::default() }
    }

    /// Requests per second.
    pub(super) fn rate(&self) -> f64 {
        *self.rate.borrow()
    }

    /// Changes how many requests are sent per second.
    pub(super) fn set_rate(&self, rate: f64) {
        self.rate.send_replace(rate);
    }

    /// What became of the requests, and how long those of the last `window` took.
    pub(super) fn tell(&self, window: Duration) -> Told {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latencies: Vec<f64> = counts
            .latencies
            .iter()
            .rev()
            .take_while(|(at, _)| at.elapsed() <= window)
            .map(|(_, latency)| *latency)
            .collect();
        latencies.sort_by(f64::total_cmp);
        Told {
            rate: self.rate(),
            sent: counts.sent,
            ok: counts.ok,
            failed: counts.failed,
            dropped: counts.dropped,
            window_requests: latencies.len(),
            p50_ms: quantile(&latencies, 0.50),
            p95_ms: quantile(&latencies, 0.95),
            p99_ms: quantile(&latencies, 0.99),
        }
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The smallest latency that the share `q` did not exceed.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Sends for as long as the world lives.
pub(super) fn generate(world: Arc<World>) -> anyhow::Result<impl Future<Output = ()>> {
    let client = Client::builder().no_proxy().timeout(PATIENCE).build().context("Preparing the load")?;
    Ok(async move {
        let mut random = fastrand::Rng::with_seed(world.settings.seed);
        let mut rates = world.load.rate.subscribe();
        let slots = Arc::new(Semaphore::new(IN_FLIGHT));
        let mut next = Instant::now();
        loop {
            let rate = *rates.borrow_and_update();
            if rate <= 0.0 {
                // The sender lives as long as the world.
                let _ = rates.changed().await;
                next = Instant::now();
                continue;
            }
            // Counted from the last arrival, not from now: being late once does not lower the rate.
            next += pause(&mut random, rate);
            tokio::select! {
                () = sleep_until(next) => {}
                Ok(()) = rates.changed() => {
                    next = Instant::now();
                    continue;
                }
            }
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                world.load.count(|counts| counts.dropped += 1);
                continue;
            };
            world.load.count(|counts| counts.sent += 1);
            let url = format!("{}/v1/petitions/{}", world.entrance(), random.u32(1..=PETITIONS));
            let (world, client) = (Arc::clone(&world), client.clone());
            tokio::spawn(async move {
                let began = Instant::now();
                let ok = match client.get(url).send().await {
                    Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
                    Err(_) => false,
                };
                let latency = began.elapsed().as_secs_f64() * 1_000.0;
                world.load.count(|counts| {
                    if ok {
                        counts.ok += 1;
                    } else {
                        counts.failed += 1;
                    }
                    if counts.latencies.len() == KEPT {
                        counts.latencies.pop_front();
                    }
                    counts.latencies.push_back((Instant::now(), latency));
                });
                drop(slot);
            });
        }
    })
}

/// The time to the next arrival: exponential, so that arrivals are independent of each other.
fn pause(random: &mut fastrand::Rng, rate: f64) -> Duration {
    let seconds = -(1.0 - random.f64()).ln() / rate;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(Duration::from_hours(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_those_of_a_poisson_process_with_that_rate_and_the_same_for_a_seed() {
        let gaps = |seed| -> Vec<f64> {
            let mut random = fastrand::Rng::with_seed(seed);
            (0..20_000).map(|_| pause(&mut random, 38.0).as_secs_f64()).collect()
        };
        let sample = gaps(72);
        let count = sample.len() as f64;
        let mean = sample.iter().sum::<f64>() / count;
        let deviation = (sample.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count).sqrt();
        // An exponential distribution's deviation is its mean.
        assert!((mean * 38.0 - 1.0).abs() < 0.03, "{mean}");
        assert!((deviation / mean - 1.0).abs() < 0.03, "{deviation}");
        assert_eq!(sample, gaps(72));
        assert_ne!(sample, gaps(73));
    }

    #[test]
    fn a_quantile_is_a_latency_that_occurred() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.50), Some(50.0));
        assert_eq!(quantile(&hundred, 0.99), Some(99.0));
        assert_eq!(quantile(&[], 0.99), None);
    }
}
