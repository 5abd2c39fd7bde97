//! Where a state's operational log is: in a file of its directory, or in the PostgreSQL that its configuration names.

use std::sync::Arc;

use scalebot_adapters::ledger::postgres::Settings;
use scalebot_adapters::ledger::{PostgresLedger, SqliteLedger, Storage, StorageError};
use scalebot_commands::event::Event;

use crate::state_dir::StateDir;

/// The PostgreSQL that holds it; `None` where a file does.
pub(crate) fn server(dir: &StateDir) -> Option<&Settings> {
    dir.config().and_then(|config| config.sections.ledger.as_ref())
}

/// Opens it for reading and writing. `seen` is called with each event that is appended here, after its commit.
pub(crate) async fn open(
    dir: &StateDir,
    seen: impl Fn(&Event) + Send + Sync + 'static,
) -> Result<Arc<dyn Storage>, StorageError> {
    match server(dir) {
        Some(settings) => Ok(Arc::new(PostgresLedger::open(settings).await?.on_append(seen))),
        None => Ok(Arc::new(SqliteLedger::open(&dir.ledger()).await?.on_append(seen))),
    }
}

/// Opens it for reading only; `None` where nothing was ever recorded. Makes nothing and changes nothing.
pub(crate) async fn open_to_read(dir: &StateDir) -> Result<Option<Arc<dyn Storage>>, StorageError> {
    if let Some(settings) = server(dir) {
        let opened = PostgresLedger::open_existing_read_only(settings).await?;
        Ok(opened.map(|ledger| Arc::new(ledger) as _))
    } else {
        let opened = SqliteLedger::open_existing_read_only(&dir.ledger()).await?;
        Ok(opened.map(|ledger| Arc::new(ledger) as _))
    }
}

/// Where it is, as people are told.
pub(crate) fn place(dir: &StateDir) -> String {
    match server(dir) {
        Some(_) => "the PostgreSQL that the configuration names (ledger.url)".to_owned(),
        None => dir.ledger().display().to_string(),
    }
}

/// Whether a file lies in the directory whose operations would be forgotten, since the log is kept elsewhere now.
///
/// # Errors
/// In words, what is to be done first.
pub(crate) async fn nothing_is_left_behind(dir: &StateDir) -> Result<(), String> {
    if server(dir).is_none() {
        return Ok(());
    }
    let opened = SqliteLedger::open_existing_read_only(&dir.ledger()).await.map_err(|error| error.to_string())?;
    let Some(file) = opened else { return Ok(()) };
    let moved = file.moved_to().await;
    let used = file.latest_place().await;
    file.close().await;
    match (moved.map_err(|error| error.to_string())?, used.map_err(|error| error.to_string())?) {
        (Some(_), _) | (None, 0) => Ok(()),
        (None, events) => Err(format!(
            "{} holds a log of {events} events, and the configuration keeps the log in PostgreSQL ([ledger]).\nMove it \
             there first:\n  scalebot ledger move --to postgres {}",
            dir.ledger().display(),
            dir.option()
        )),
    }
}

/// What this process is called where several may lead.
pub(crate) fn myself() -> String {
    of_process(&format!("process {}", std::process::id()))
}

/// The same of another process on this machine, which is called "process 123" in its state directory.
pub(crate) fn of_process(process: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "a machine without a name" } else { host };
    format!("{process} on {host}")
}
