//! The rehearsal: the same runbook and wiring on real local processes.

pub(crate) mod instance;
pub(crate) mod world;
