//! What the program says about itself, for whoever looks into a fault. Warnings by default; `RUST_LOG` says otherwise.

use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use crate::console::Console;

/// Writes log lines through the console, so that a card is never redrawn over one.
pub(crate) fn on(console: Arc<Console>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // Fails only where logging is set up already.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(console).try_init();
}
