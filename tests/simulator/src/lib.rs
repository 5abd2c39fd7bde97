//! The simulator: the real runbook, supervisor, desk, journal, outbox and duty over simulated ports, in virtual time, with
//! everything that happens following from one seed.

mod book;
mod changes;
mod driver;
mod fleet;
mod gate;
mod judge;
mod log;
mod many;
mod model;
mod ports;
mod process;
mod room;
mod script;
mod steering;

pub use self::many::{Sum, many};
use std::collections::BTreeMap;

use scalebot_commands::event::Event;

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The seed that everything followed from.
    pub seed: u64,
    /// What is wrong, in words; empty when every invariant held.
    pub violations: Vec<String>,
    /// What happened, one line each, with virtual time and the process; empty unless it was to be [`traced`].
    pub trace: Vec<String>,
    /// Every event in the ledger at the end.
    pub events: Vec<Event>,
    /// How often what happened: so that a test can tell that the simulator still gets to where it matters.
    pub tally: BTreeMap<&'static str, u64>,
}

/// Runs one seed to its end, or to the first violation.
pub fn run(seed: u64) -> Run {
    driver::Driver::new(seed, false).run()
}

/// The same run, with what happened.
pub fn traced(seed: u64) -> Run {
    driver::Driver::new(seed, true).run()
}

impl Run {
    /// What a person needs to see of a run that was traced.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for line in &self.trace {
            text.push_str(&format!("  {line}\n"));
        }
        let held =
            if self.violations.is_empty() { "every invariant held".to_owned() } else { self.violations.join("; ") };
        text + &format!("seed {}: {held}\n", self.seed)
    }
}
