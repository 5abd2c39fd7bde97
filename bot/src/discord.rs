//! The Discord front: people's commands, marks and buttons come in here, and cards go out.
//!
//! It speaks to Discord by itself, over one HTTP layer ([`rest`]) and one gateway connection ([`gateway`]), and to the
//! service through [`crate::reception::Reception`] alone. Nothing is decided here: who may do what, and whether a mark
//! counts, is asked of the commands each time. What arrives is acknowledged first, whatever else is going on; what is
//! shown is drawn within Discord's limits by construction ([`drawing`]).
//!
//! No chat library is used for the connection. What there is falls back to Discord's own gateway when a configured base
//! does not answer, drops a 429's `retry_after`, identifies anew without counting, and reads messages of any length;
//! all four are what this front must never do.

mod check;
mod commands;
mod drawing;
mod front;
mod gateway;
mod interactions;
mod log_channel;
mod marks;
mod people;
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
