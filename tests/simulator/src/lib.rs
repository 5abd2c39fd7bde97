//! The simulator: the real runbook, supervisor, desk, journal, outbox and duty over simulated ports, in virtual time, with
//! everything that happens following from one seed.
//!
//! A run begins with a bot and a script drawn from the seed: commands, halts, people, somebody else who scales. Every call of
//! a port goes through one gate (`gate`), where the seed decides what becomes of it. After some time the faults stop
//! ("calm"), and everything has to come to its end. `judge` holds everything against the invariants at the moment at which
//! they could be broken; what it finds ends the run. [`run`] with the same seed is the same run.
//!
//! # Faults, at every call of every port
//!
//! | fault | where it is made |
//! |---|---|
//! | crash before, and after it is done | `gate`: `DiesBefore`, `DiesAfter` |
//! | answer lost with the effect done; never arrived, known at once or never heard of | `gate`: `AnswerLost`, `Unreachable`, `Silent`; one system away for a while: `outage` |
//! | duplicate | orders: `ports` (`request lands twice`); events: `log` (`an append that came twice`); what people say: `driver` (`said twice`); posts: the outbox's own |
//! | reordered, late: arrives when the caller has given up | orders: `ports` (`request lands late`); events and posts: `log`; what people say: `script`, and `Deaf` |
//! | stale read | `gate` (`shown`): the fleet, who else steers it, its load, the halt sources. Not the log, which one server answers, nor what an instance or a balancer says of itself |
//! | clock jump, forwards and back, in any step and across a restart; two machines with clocks of their own | `Jump` |
//! | second bot; frozen and thawed at any call, with another started when its lease is over | `Usurp`, `gate` (`freeze`) |
//! | somebody else scales, replaces the fleet, lets an instance have requests again, changes the autoscaler | `Others`, `Replace`, `LetIn`, `Meddle` |
//! | a halt begins or ends at any instant, in either source | `Halt` |
//! | votes, withdrawals and cancels at any instant, by anybody, on any request; nobody listens for a while; roles lost and given | `gate` (`mischief`), `script`, `Deaf`, `Roles` |
//!
//! # Invariants, each as it happens
//!
//! | invariant | where it is held |
//! |---|---|
//! | at most one operation a target | `judge`: at `requested`, and the claims after every event |
//! | the fleet is only ever set to what an intent named | `judge::effects`: every order equals the intent it follows from |
//! | no act without a guard at most 2 s old, that showed not halted or under a live approval of that very halt; the way back to the plan's own target excepted | `judge` (`guarded`), against what the process was answered and against the truth |
//! | nothing under an approval that is void, late, withdrawn, rejected, of another request, of nobody who may, the requester's | `judge::approvals`, found out anew from the log and from who people are |
//! | every effect has its intent before, and its outcome or adoption after | `judge::effects`; that an outcome is the truth: `judge` |
//! | the chain verifies | `judge`, with every event |
//! | each event in exactly one post | `judge` (`judge_post`), with every post, and at the end |
//! | every operation ends | `judge` (`judge_end`): nobody waits for anything an hour and a half after the faults |
//! | time never goes back while a process lives; across a restart that is on record; no wait is cut short | `judge::times` |
//! | nobody is ended who serves, has requests under way, was not announced, or was there before; whoever is left out of the balancer or held is named; where the orchestrator ends whom it likes, no more than was announced, and none that is at work | `changes`, `steering` |
//! | an escalation is said again in order, once, in time; nothing is begun by itself that was not proposed | `judge::duty` |
//! | what people say reaches the log | `judge` (`Handed`) |

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
