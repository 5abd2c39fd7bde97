//! `scalebot run` in a Discord server: the real program, a real fleet of processes, and Discord's double. Scenarios as a
//! person sees them.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

mod approval;
mod asked;
mod attached;
mod away;
mod check;
mod deleted;
mod gateway;
mod killed;
mod lease;
mod load;
mod log_channel;
mod received;
mod scaling;
mod setting;
mod two_processes;
mod witness;
