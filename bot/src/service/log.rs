//! The operational log of a process: opened, and taken over from whoever led before.

use std::path::Path;
use std::sync::Arc;

use scalebot_adapters::ledger::{SqliteLedger, Storage};
use scalebot_commands::event::Event;
use scalebot_commands::ports::{ClaimHeld, Documents, LogChannel, Ports, Room, Target, World};
use scalebot_commands::units::Epoch;
use tokio::sync::Notify;

use super::posting::Posting;
use crate::system::System;

/// The operational log, which this process alone writes.
pub(crate) struct Log {
    /// The log itself.
    pub(crate) ledger: Arc<dyn Storage>,
    /// The fencing epoch of this process.
    pub(crate) epoch: Epoch,
    /// Time, identifiers, randomness.
    pub(crate) clock: Arc<dyn World>,
    /// Told after each append.
    appended: Arc<Notify>,
}

impl Log {
    /// A log that this process leads, by that epoch. `appended` is told after each append.
    pub(crate) fn led(ledger: Arc<dyn Storage>, epoch: Epoch, appended: Arc<Notify>) -> Self {
        Self { ledger, epoch, clock: Arc::new(System::new()), appended }
    }

    /// Opens a file and takes it over. `seen` is called with each event after its commit, and returns at once.
    ///
    /// # Errors
    /// In words, when it cannot be used.
    pub(crate) async fn take_over(file: &Path, seen: impl Fn(&Event) + Send + Sync + 'static) -> Result<Self, String> {
        let appended = Arc::new(Notify::new());
        let ledger = SqliteLedger::open(file).await.map_err(|error| error.to_string())?.on_append({
            let appended = Arc::clone(&appended);
            move |event| {
                seen(event);
                appended.notify_one();
            }
        });
        let epoch = ledger.take_over().await.map_err(|error| error.to_string())?;
        Ok(Self::led(Arc::new(ledger), epoch, appended))
    }

    /// What is not finished.
    ///
    /// # Errors
    /// In words, when the log cannot be read.
    pub(crate) async fn unfinished(&self) -> Result<Vec<ClaimHeld>, String> {
        self.ledger.claims().await.map_err(|error| error.to_string())
    }

    /// Everything that an operation on that target talks to.
    pub(crate) fn ports(&self, room: Arc<dyn Room>, documents: Arc<dyn Documents>, target: Target) -> Ports {
        Ports {
            world: Arc::clone(&self.clock),
            ledger: Arc::clone(&self.ledger) as _,
            samples: Arc::clone(&self.ledger) as _,
            room,
            documents,
            target,
        }
    }

    pub(super) fn posting(&self, channel: Arc<dyn LogChannel>) -> Posting {
        Posting {
            ledger: Arc::clone(&self.ledger),
            channel,
            appended: Arc::clone(&self.appended),
            clock: Arc::clone(&self.clock),
        }
    }
}
