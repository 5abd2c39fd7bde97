//! The simulator: the real runbook, supervisor, desk, journal and outbox over simulated ports, in virtual time, with
//! everything that happens following from one seed.
//!
//! A run begins with a bot and a script drawn from the seed: commands, halts, people, somebody else who scales. Every
//! call of a port goes through one gate (`gate`), where the seed may decide that it is slow, fails, or kills the bot.
//! After some time the faults stop ("calm"). `judge` holds everything against the invariants as it happens; what it
//! finds wrong ends the run. [`run`] with the same seed gives the same trace.

mod book;
mod changes;
mod driver;
mod fleet;
mod gate;
mod judge;
mod model;
mod ports;
mod process;
mod script;
mod steering;

use std::collections::BTreeMap;

use scalebot_commands::event::Event;

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The seed that everything followed from.
    pub seed: u64,
    /// What is wrong, in words; empty when every invariant held.
    pub violations: Vec<String>,
    /// What happened, one line each, with virtual time and the process.
    pub trace: Vec<String>,
    /// Every event in the ledger at the end.
    pub events: Vec<Event>,
    /// How often what happened: so that a test can tell that the simulator still gets to where it matters.
    pub tally: BTreeMap<&'static str, u64>,
}

/// Runs one seed to its end, or to the first violation.
pub fn run(seed: u64) -> Run {
    driver::Driver::new(seed).run()
}

impl Run {
    /// What a person needs to see of a run that went wrong.
    pub fn report(&self) -> String {
        const SHOWN: usize = 250;
        let hidden = self.trace.len().saturating_sub(SHOWN);
        let mut text = format!("seed {}: {}\n", self.seed, self.violations.join("; "));
        if hidden > 0 {
            text.push_str(&format!("  … {hidden} lines before\n"));
        }
        for line in self.trace.iter().skip(hidden) {
            text.push_str(&format!("  {line}\n"));
        }
        let seed = self.seed;
        text + &format!("replay: SCALEBOT_SIM_SEED={seed} cargo test -p scalebot-tests --test simulator -- --nocapture")
    }
}
