//! The Discord front: people's commands, marks and buttons come in here, and cards go out.
//!
//! It speaks to Discord by itself, over one HTTP layer ([`rest`]) and one gateway connection ([`gateway`]), and to the
//! service through [`crate::reception::Reception`] alone. Nothing is decided here: who may do what, and whether a mark
//! counts, is asked of the commands each time. What arrives is acknowledged first, whatever else is going on; what is
//! shown is drawn within Discord's limits by construction ([`drawing`]).
//!
//! What Discord's things are is the library's to say: identifiers, members, roles, permissions, interactions, intents and
//! gateway opcodes are read as serenity's model has them, and messages, buttons, forms, commands and answers are written
//! by its builders. Its HTTP client and its gateway are not used, nor built: with a configured base they fall back to
//! Discord's own gateway, drop a 429's `retry_after`, identify anew without counting, and log what they cannot read. Ours
//! are [`rest`] and [`gateway`]. The few things that its model cannot do stand in [`wire`], each with why.

mod check;
mod commands;
mod drawing;
mod front;
mod gateway;
#[cfg(any(test, feature = "hostile"))]
pub(crate) mod hostile;
mod interactions;
mod log_channel;
mod marks;
mod people;
mod reach;
mod rest;
mod room;
mod settings;
#[cfg(test)]
mod testing;
mod wire;

pub(crate) use self::check::check;
pub(crate) use self::front::{Files, Front};
pub(crate) use self::log_channel::log_channel;
pub(crate) use self::settings::Settings;
