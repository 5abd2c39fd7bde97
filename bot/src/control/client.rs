//! Speaking to the process that holds a state directory.

use std::path::Path;
use std::time::Duration;

use scalebot_adapters::http::Http;
use scalebot_commands::ports::PortError;

use super::{Busy, Cancelled};

/// How long one answer may take; a cancel is answered when it is on record.
const LIMIT: Duration = Duration::from_secs(10);

/// Why the process did not answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Nobody listens: it is just beginning, or just ending.
    NotListening,
    /// It cannot be spoken to, in words.
    Failed(String),
}

/// What it is busy with.
pub(crate) async fn status(socket: &Path) -> Result<Busy, NoAnswer> {
    http(socket)?.get_json("/status").await.map_err(explain)
}

/// Asks it to stop everything that it carries out.
pub(crate) async fn cancel(socket: &Path) -> Result<Vec<Cancelled>, NoAnswer> {
    http(socket)?.post_json("/cancel", &serde_json::json!({})).await.map_err(explain)
}

fn http(socket: &Path) -> Result<Http, NoAnswer> {
    Http::on_socket("the process that holds the state", socket, LIMIT).map_err(explain)
}

fn explain(error: PortError) -> NoAnswer {
    match error {
        PortError::Unreachable { .. } => NoAnswer::NotListening,
        error => NoAnswer::Failed(error.to_string()),
    }
}
