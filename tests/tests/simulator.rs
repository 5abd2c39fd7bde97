//! A thousand seeds through the simulator: every invariant holds, whatever is killed, lost, late or contradicted.
//!
//! `SCALEBOT_SIM_SEEDS=n` sets how many, `SCALEBOT_SIM_SEED=n` runs that one and shows what happened.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use scalebot_commands::mutation::{self, Mutation};
use scalebot_tests::schemas::validate;
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

/// What a thousand seeds have to come to, or they prove nothing about it.
const REACHED: [&str; 41] = [
    "a post that came twice",
    "adopted",
    "changed while it is held",
    "approved",
    "conflict",
    "death",
    "death in scale",
    "done",
    "drained",
    "fenced",
    "finished: cancelled",
    "finished: completed",
    "finished: expired",
    "finished: failed",
    "finished: refused",
    "finished: rejected",
    "finished: rolled back",
    "found late",
    "halt answered",
    "halted by a lead",
    "held",
    "held to the end, and named",
    "held, as was seen",
    "interference",
    "late",
    "not drained in time",
    "not released",
    "not rolled back",
    "overridden",
    "put back",
    "put back by hand",
    "refused by the orchestrator",
    "released",
    "request lands late",
    "request lands twice",
    "resumed",
    "stopped by the guard",
    "terminated",
    "the same order twice",
    "untouched",
    "zombie",
];

#[test]
fn no_seed_breaks_an_invariant_and_every_event_is_as_its_schema_says() {
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    let mut broken: Vec<Run> = Vec::new();
    for seed in seeds() {
        let mut run = sim::run(seed);
        for (what, count) in &run.tally {
            *tally.entry(what).or_default() += count;
        }
        for event in &run.events {
            let line = serde_json::from_str(&event.line()).expect("a line is JSON");
            run.violations.extend(validate(&line).err());
        }
        if seeds().count() == 1 {
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
    if seeds().count() >= 1000 {
        let missed: Vec<&str> = REACHED.into_iter().filter(|what| !tally.contains_key(what)).collect();
        assert!(missed.is_empty(), "no seed comes to {missed:?}: the simulator no longer gets to where it matters");
    }
}

#[test]
fn one_seed_is_the_same_run_every_time() {
    for seed in 0..20 {
        let (once, again) = (sim::run(seed), sim::run(seed));
        assert!(once.trace.len() > 5, "{}", once.report());
        assert_eq!(once, again);
        assert_ne!(once.trace, sim::run(seed + 1000).trace);
    }
}

#[test]
fn a_deliberate_mistake_is_found() {
    const SEEDS: u64 = 1000;
    for mistake in Mutation::ALL {
        mutation::set(Some(*mistake));
        let found = (0..SEEDS).map(sim::run).find(|run| !run.violations.is_empty());
        mutation::set(None);
        let found = found.unwrap_or_else(|| panic!("{SEEDS} seeds do not find {mistake:?}"));
        println!("{mistake:?} is found by seed {}: {}", found.seed, found.violations.join("; "));
        assert!(sim::run(found.seed).violations.is_empty(), "without the mistake: {}", sim::run(found.seed).report());
    }
}

#[test]
fn the_program_is_built_without_what_only_tests_need() {
    let of_tests: [(&str, &[&str]); 2] =
        [("scalebot-commands", &["mutation", "schema"]), ("scalebot-adapters", &["failpoints", "hostile"])];
    for (library, features) in of_tests {
        let tree = std::process::Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "-p", "scalebot", "-e", "features,no-dev", "-i", library])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo can be run");
        let built = String::from_utf8_lossy(&tree.stdout);
        assert!(tree.status.success() && built.contains("scalebot v"), "{tree:?}");
        for feature in features {
            assert!(!built.contains(&format!("feature \"{feature}\"")), "{built}");
        }
    }
}
