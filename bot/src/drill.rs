//! The rehearsal: the same runbook and wiring on real local processes.
//!
//! A [`world`] process, apart from the bot, holds the [`instance`] processes and everything around them; the bot finds
//! it, or starts it, by [`attach`].

pub(crate) mod around;
pub(crate) mod attach;
mod chain;
pub(crate) mod command;
pub(crate) mod containers;
mod duty;
mod files;
pub(crate) mod instance;
pub(crate) mod limits;
mod lines;
#[cfg(test)]
mod log_channel;
pub(crate) mod persona;
mod rehearsal;
pub(crate) mod room;
pub(crate) mod settings;
pub(crate) mod state;
#[cfg(test)]
mod texts;
mod wiring;
pub(crate) mod with;
pub(crate) mod world;
