//! A thousand seeds through the simulator: every invariant holds, whatever is killed, lost, late or contradicted.
//!
//! `SCALEBOT_SIM_SEEDS=n` sets how many, `SCALEBOT_SIM_SEED=n` runs that one and shows what happened.

use std::collections::BTreeMap;

use scalebot_tests::sim::{self, Run};

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is to be a number, and is {text:?}")))
}

/// The seeds that this run is about.
fn seeds() -> std::ops::Range<u64> {
    match number("SCALEBOT_SIM_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("SCALEBOT_SIM_SEEDS").unwrap_or(1000),
    }
}

#[test]
fn no_seed_breaks_an_invariant() {
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    let mut broken: Vec<Run> = Vec::new();
    for seed in seeds() {
        let run = sim::run(seed);
        for (what, count) in &run.tally {
            *tally.entry(what).or_default() += count;
        }
        if number("SCALEBOT_SIM_SEED").is_some() {
            println!("{}", run.report());
        }
        if !run.violations.is_empty() {
            broken.push(run);
        }
    }
    println!("{tally:#?}");
    if let Some(first) = broken.first() {
        for run in broken.iter().take(40) {
            eprintln!("seed {}: {}", run.seed, run.violations.join("; "));
        }
        panic!("{} seeds break an invariant. The first:\n{}", broken.len(), first.report());
    }
}
