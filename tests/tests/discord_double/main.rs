//! Whether the double of Discord is true to Discord: what it accepts, what it refuses and in which words, what it forgets
//! and when. It is driven by a plain HTTP client and a plain websocket, and by a bare serenity bot.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

mod bare_bot;
mod client;
mod commands;
mod gateway;
mod interactions;
mod limits;
mod messages;
mod outages;
mod permissions;
mod rates;
mod reactions;
mod violations;
