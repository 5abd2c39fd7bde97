//! Kubernetes: a Deployment or `StatefulSet` as the fleet, by the API server alone.

mod objects;
mod server;
pub mod settings;

pub use self::settings::Settings;
