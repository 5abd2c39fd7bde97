//! What the bot can be asked, and how it decides.
//!
//! Nothing here talks to the outside: every reading and every change goes through a [`ports`] trait, and time,
//! identifiers and randomness through [`ports::World`]. So the same code runs in the service, in the rehearsal and
//! in the simulator. Read [`runbook`] first: it is the one file that says what happens next.

pub mod approval;
pub mod asked;
pub mod audit;
pub mod authority;
pub mod break_glass;
pub mod capacity;
pub mod card;
pub mod checks;
pub mod context;
pub mod desk;
pub mod duty;
pub mod escalation;
pub mod event;
pub mod figures;
pub mod follow_up;
pub mod halt;
pub mod journal;
pub mod judge;
pub mod mutation;
pub mod outbox;
pub mod patience;
pub mod policy;
pub mod ports;
pub mod reading;
pub mod request;
pub mod runbook;
#[cfg(feature = "schema")]
pub mod schema;
mod steady;
pub mod steps;
pub mod supervisor;
pub mod trigger;
pub mod units;
pub mod witness;
