//! The rehearsal: the same runbook and wiring on real local processes.
//!
//! A [`world`] process, apart from the bot, holds the [`instance`] processes and everything around them; the bot finds
//! it, or starts it, by [`attach`].

// The drill command itself is what calls it.
#[allow(dead_code)]
pub(crate) mod attach;
pub(crate) mod chain;
pub(crate) mod files;
pub(crate) mod instance;
pub(crate) mod settings;
pub(crate) mod world;
