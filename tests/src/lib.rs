//! What the tests of the whole are made of: the simulator, and the check of every exported event against its schema.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::unchecked_time_subtraction)]

pub mod binary;
pub mod changes;
mod clock;
pub mod clustered;
pub mod composed;
pub mod discord;
pub mod engine;
pub mod hosts;
pub mod kubernetes;
pub mod operator;
pub mod pods;
pub mod run;
pub mod schemas;
pub mod secrets;
pub mod services;
pub mod surrounded;
pub mod swarmed;
pub mod terminal;
