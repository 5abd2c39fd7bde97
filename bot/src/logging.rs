//! What the program says about itself, for whoever looks into a fault. In a rehearsal warnings by default, in service
//! what configuration says; `RUST_LOG` counts more than either.

use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogSettings};
use crate::console::Console;

/// Writes log lines through the console, so that a card is never redrawn over one.
pub(crate) fn on(console: Arc<Console>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // Fails only where logging is set up already.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(console).try_init();
}

/// Writes log lines as configured: to standard error, or through the console where both are the same terminal.
///
/// # Errors
/// In words, when the level is none.
pub(crate) fn in_service(settings: &LogSettings, terminal: Option<Arc<Console>>) -> Result<(), String> {
    let configured = EnvFilter::try_new(&settings.level).map_err(|error| {
        format!("log.level: {error}. Write \"error\", \"warn\", \"info\" or \"debug\", or several as RUST_LOG does.")
    })?;
    let filter = EnvFilter::try_from_default_env().unwrap_or(configured);
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    // Fails only where logging is set up already.
    let _ = match (settings.format, terminal) {
        (LogFormat::Json, _) => subscriber.json().flatten_event(true).with_writer(std::io::stderr).try_init(),
        (LogFormat::Text, Some(console)) => subscriber.with_writer(console).try_init(),
        (LogFormat::Text, None) => subscriber.with_writer(std::io::stderr).finish().try_init().map_err(Into::into),
    };
    Ok(())
}
