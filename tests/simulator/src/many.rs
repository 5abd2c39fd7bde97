//! Many seeds, shared out among threads: each run is one thread's alone, and what it comes to is the same on any.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Run, run};

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Sum {
    /// How many there were.
    pub runs: u64,
    /// How often what happened.
    pub tally: BTreeMap<&'static str, u64>,
    /// Those in which an invariant did not hold, by their seeds.
    pub broken: BTreeMap<u64, Vec<String>>,
}

impl Sum {
    fn add(&mut self, run: Run) {
        self.runs += 1;
        for (what, count) in run.tally {
            *self.tally.entry(what).or_default() += count;
        }
        if !run.violations.is_empty() {
            self.broken.insert(run.seed, run.violations);
        }
    }
}

/// Runs every seed of the range on so many threads.
pub fn many(seeds: Range<u64>, threads: usize) -> Sum {
    let (next, sum) = (AtomicU64::new(seeds.start), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let run = run(seed);
                    sum.lock().unwrap_or_else(PoisonError::into_inner).add(run);
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}
