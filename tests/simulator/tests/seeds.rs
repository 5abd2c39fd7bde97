//! Ten thousand seeds through the simulator: every invariant holds, whatever is killed, lost, late, stale or contradicted;
//! and every deliberate mistake is found among them, by the invariant that means it.
//!
//! `SCALEBOT_SIM_SEEDS=n` sets how many, `SCALEBOT_SIM_SEED=n` runs that one and shows what happened.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use scalebot_commands::mutation::{self, Mutation};
use scalebot_simulator::{many, run, traced};

/// How many seeds every run of the tests goes through.
const SEEDS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is to be a number, and is {text:?}")))
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What the seeds have to come to, or they prove nothing about it.
const REACHED: [&str; 57] = [
    "a post that came twice",
    "adopted",
    "an append that came twice",
    "appended late",
    "approved",
    "asked for the way back",
    "changed while it is held",
    "clock jump",
    "clock set back",
    "clock set forwards",
    "conflict",
    "death",
    "death in scale",
    "done",
    "drained",
    "ended as it likes",
    "fenced",
    "finished: cancelled",
    "finished: completed",
    "finished: expired",
    "finished: failed",
    "finished: refused",
    "finished: rejected",
    "finished: rolled back",
    "found late",
    "freeze",
    "halt answered",
    "halted by a lead",
    "held",
    "held to the end, and named",
    "held, as was seen",
    "interference",
    "late",
    "let in by somebody",
    "not drained in time",
    "not released",
    "not rolled back",
    "overridden",
    "posted late",
    "put back",
    "put back by hand",
    "refused by the orchestrator",
    "released",
    "request lands late",
    "request lands twice",
    "resumed",
    "role lost",
    "said twice",
    "said while nobody listened",
    "stale read",
    "stopped by the guard",
    "taken over from between intent and act",
    "terminated",
    "termination adopted",
    "the same order twice",
    "untouched",
    "zombie",
];

#[test]
fn no_seed_breaks_an_invariant() {
    if let Some(seed) = number("SCALEBOT_SIM_SEED") {
        let run = traced(seed);
        println!("{}", run.report());
        assert!(run.violations.is_empty());
        return;
    }
    let seeds = number("SCALEBOT_SIM_SEEDS").unwrap_or(SEEDS);
    let sum = many(0..seeds, threads());
    println!("{:#?}", sum.tally);
    if let Some((first, _)) = sum.broken.first_key_value() {
        for (seed, violations) in sum.broken.iter().take(40) {
            eprintln!("seed {seed}: {}", violations.join("; "));
        }
        let broken = sum.broken.len();
        panic!(
            "{broken} seeds break an invariant. The first is shown by: SCALEBOT_SIM_SEED={first}\n{}",
            traced(*first).report()
        );
    }
    let ended: u64 = sum.tally.iter().filter(|(what, _)| what.starts_with("finished")).map(|(_, count)| count).sum();
    assert!(ended > seeds, "{ended} operations in {seeds} runs: the bot mostly does nothing");
    if seeds >= SEEDS {
        let missed: Vec<&str> = REACHED.into_iter().filter(|what| !sum.tally.contains_key(what)).collect();
        assert!(missed.is_empty(), "no seed comes to {missed:?}: the simulator no longer gets to where it matters");
    }
}

#[test]
fn one_seed_is_the_same_run_every_time() {
    for seed in 0..20 {
        let (once, again) = (traced(seed), traced(seed));
        assert!(once.trace.len() > 5, "{}", once.report());
        assert_eq!(once, again);
        assert_ne!(once.trace, traced(seed + 1000).trace);
        let untraced = run(seed);
        assert_eq!((once.events, once.tally), (untraced.events, untraced.tally));
    }
}

/// Each mistake, and the words of the invariant that means it.
const MEANT: [(Mutation, &str); 30] = [
    (Mutation::GoAgainUnseen, "nobody looked"),
    (Mutation::LooksAtOnce, "it acts on an intent that was answered"),
    (Mutation::StaleGuard, "the guard's reading of the halt is"),
    (Mutation::NoLastLook, "it ends as if nothing was changed, and it was"),
    (Mutation::SwallowSignal, "is lost"),
    (Mutation::EndBusy, "is ended with requests under way"),
    (Mutation::EndOld, "who was there before"),
    (Mutation::LeaveDrained, "gets no requests because of it"),
    (Mutation::LeaveHeld, "is held for"),
    (Mutation::HaltUnread, "the guard read a halt"),
    (Mutation::UnknownIsClear, "or could not tell"),
    (Mutation::AnotherHalt, "the halt is another than the one that was approved"),
    (Mutation::AnyRequest, "is of another request"),
    (Mutation::LateApproval, "which is too late"),
    (Mutation::LateMark, "'s is late"),
    (Mutation::OwnApproval, "the requester's own"),
    (Mutation::WithdrawnMark, "is withdrawn"),
    (Mutation::AnybodysMark, "is of nobody who may decide"),
    (Mutation::RejectionUnheard, "has rejected it"),
    (Mutation::CancelUnheard, "it acts although it was cancelled"),
    (Mutation::ActFirst, "an act"),
    (Mutation::AnswerUnwritten, "was not answered"),
    (Mutation::FencingIgnored, "an act"),
    (Mutation::ClaimNotTaken, "two operations on one target"),
    (Mutation::PostUnplanned, "is in two posts"),
    (Mutation::WrongWayBack, "the way back leads to another count"),
    (Mutation::JumpUnsaid, "no clock jump is recorded"),
    (Mutation::JumpVoidsNothing, "the clock went back since"),
    (Mutation::WallClock, "nothing was started anew"),
    (Mutation::SaidAgainAtOnce, "is said again too early"),
];

#[test]
fn a_deliberate_mistake_is_found_by_the_invariant_that_means_it() {
    for mistake in Mutation::ALL {
        assert!(MEANT.iter().any(|(known, _)| known == mistake), "nothing says what finds {mistake:?}");
    }
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while let Some((mistake, meant)) = MEANT.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Of this thread alone.
                    mutation::set(Some(*mistake));
                    let found =
                        (0..SEEDS).map(run).find(|run| run.violations.iter().any(|wrong| wrong.contains(meant)));
                    mutation::set(None);
                    match found {
                        Some(found) => {
                            println!("{mistake:?} is found by seed {}: {}", found.seed, found.violations.join("; "));
                            assert!(run(found.seed).violations.is_empty(), "seed {} is broken without it", found.seed);
                        }
                        None => missed.lock().unwrap().push(*mistake),
                    }
                }
            });
        }
    });
    assert!(missed.lock().unwrap().is_empty(), "{SEEDS} seeds do not find {missed:?}");
}
