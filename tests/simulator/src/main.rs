//! The simulator by hand:
//!
//! - `seeds FROM..TO [THREADS]` runs them and says after each ten thousand how far it is; what is broken off is gone on with
//!   from there. Ends with 1 where an invariant did not hold.
//! - `replay SEED` shows what happened in one, line by line.

use std::ops::Range;
use std::process::ExitCode;

use scalebot_simulator::{many, traced};

/// After so many seeds it is said how far it is.
const STRIDE: u64 = 10_000;

const USAGE: &str = "usage: scalebot-simulator seeds FROM..TO [THREADS]\n       scalebot-simulator replay SEED";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let asked = match words.as_slice() {
        ["seeds", range] => range_of(range).map(|range| run(range, cores)),
        ["seeds", range, threads] => {
            range_of(range).zip(threads.parse().ok()).map(|(range, threads)| run(range, threads))
        }
        ["replay", seed] => seed.parse().ok().map(replay),
        _ => None,
    };
    asked.unwrap_or_else(|| {
        eprintln!("{USAGE}");
        ExitCode::from(2)
    })
}

fn range_of(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..")?;
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from < to).then_some(from..to)
}

fn replay(seed: u64) -> ExitCode {
    let run = traced(seed);
    print!("{}", run.report());
    ExitCode::from(u8::from(!run.violations.is_empty()))
}

fn run(seeds: Range<u64>, threads: usize) -> ExitCode {
    let mut broken = 0;
    let mut from = seeds.start;
    while from < seeds.end {
        let to = (from + STRIDE - from % STRIDE).min(seeds.end);
        let sum = many(from..to, threads);
        for (seed, violations) in &sum.broken {
            println!("seed {seed}: {}", violations.join("; "));
        }
        broken += sum.broken.len();
        println!("{from}..{to} done, {broken} broken so far; to go on: seeds {to}..{}", seeds.end);
        from = to;
    }
    ExitCode::from(u8::from(broken > 0))
}
