//! One module an outside system, each implementing ports of `scalebot-commands`, each usable alone.

pub mod conclave;
pub mod docker;
pub mod doctor;
pub mod documents;
pub mod haproxy;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
pub mod hosts;
pub mod http;
pub mod kubernetes;
pub mod ledger;
mod lost;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod redis;
pub mod scrape;
pub mod settings;
pub mod transcript;
mod yaml;
