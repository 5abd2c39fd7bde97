//! The operational log of a process: opened, and taken over from whoever led before.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scalebot_adapters::ledger::{SqliteLedger, Storage};
use scalebot_commands::event::{Draft, Event};
use scalebot_commands::ports::{
    AppendError, ClaimHeld, Documents, Ledger, LedgerError, LogChannel, Ports, Room, Target, World,
};
use scalebot_commands::units::{Epoch, OperationId};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::posting::Posting;
use crate::system::System;

/// How long the log may take to be closed.
pub(crate) const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// The operational log, which this process alone writes.
pub(crate) struct Log {
    /// The log itself.
    pub(crate) ledger: Arc<dyn Storage>,
    /// The same for whoever appends: what it cannot take is told.
    pub(crate) writer: Arc<dyn Ledger>,
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
        let writer = Arc::clone(&ledger) as _;
        Self { ledger, writer, epoch, clock: Arc::new(System::new()), appended }
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

    /// `failed` is called with each event that the log cannot take, and returns at once.
    pub(crate) fn on_failure(self, failed: impl Fn() + Send + Sync + 'static) -> Self {
        let writer = Arc::new(Told { ledger: self.writer, failed });
        Self { writer, ..self }
    }

    /// What is not finished.
    ///
    /// # Errors
    /// In words, when the log cannot be read.
    pub(crate) async fn unfinished(&self) -> Result<Vec<ClaimHeld>, String> {
        self.ledger.claims().await.map_err(|error| error.to_string())
    }

    /// Closes it. What is being written is written to its end, unless that takes longer than [`CLOSED_WITHIN`]: then it
    /// is there as a whole or not at all, as after a kill.
    pub(crate) async fn close(&self) {
        if timeout(CLOSED_WITHIN, self.ledger.close()).await.is_err() {
            tracing::warn!("the log could not be closed in time; it is complete all the same");
        }
    }

    /// Everything that an operation on that target talks to.
    pub(crate) fn ports(&self, room: Arc<dyn Room>, documents: Arc<dyn Documents>, target: Target) -> Ports {
        Ports {
            world: Arc::clone(&self.clock),
            ledger: Arc::clone(&self.writer),
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

/// A log that tells of what it cannot take.
struct Told<F> {
    ledger: Arc<dyn Ledger>,
    failed: F,
}

#[async_trait]
impl<F: Fn() + Send + Sync> Ledger for Told<F> {
    async fn append(&self, draft: Draft) -> Result<Event, AppendError> {
        let appended = self.ledger.append(draft).await;
        // To be refused, by another process or by what is under way, is no failure of the log.
        if matches!(appended, Err(AppendError::Unavailable(_))) {
            (self.failed)();
        }
        appended
    }

    async fn events_of(&self, operation: &OperationId) -> Result<Vec<Event>, LedgerError> {
        self.ledger.events_of(operation).await
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.ledger.events_after(after, limit).await
    }

    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError> {
        self.ledger.claims().await
    }

    async fn latest(&self, kind: &str, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.ledger.latest(kind, limit).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use scalebot_commands::event::{Claim, Kind};
    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_being_written_as_it_is_closed_is_written_to_its_end_and_announced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.db");
        let announced = Arc::new(AtomicU64::new(0));
        let log = Log::take_over(&file, {
            let announced = Arc::clone(&announced);
            move |event| announced.store(event.seq, Ordering::SeqCst)
        });
        let log = log.await.unwrap();
        let mut other = SqliteConnectOptions::new().filename(&file).connect().await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        // Whoever appended is told to stop while that waits for the file, and drops it.
        let draft = Draft {
            operation: None,
            op_seq: 0,
            epoch: log.epoch,
            at: log.clock.now(),
            kind: Kind::CommandRefused,
            body: "{}".to_owned(),
            claim: Claim::Keep,
        };
        assert!(futures::FutureExt::now_or_never(log.writer.append(draft)).is_none());
        let ((), rolled_back) = tokio::join!(log.close(), sqlx::raw_sql("ROLLBACK").execute(&mut other));
        rolled_back.unwrap();
        assert_eq!(announced.load(Ordering::SeqCst), 1);
        let found: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM event").fetch_one(&mut other).await.unwrap();
        assert_eq!(found, 1);
    }

    #[tokio::test]
    async fn what_the_log_cannot_take_is_told_and_what_it_refuses_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let failed = Arc::new(AtomicU64::new(0));
        let log = Log::take_over(&folder.path().join("ledger.db"), |_| ()).await.unwrap().on_failure({
            let failed = Arc::clone(&failed);
            move || {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        });
        let draft = |epoch| Draft {
            operation: None,
            op_seq: 0,
            epoch,
            at: log.clock.now(),
            kind: Kind::CommandRefused,
            body: "{}".to_owned(),
            claim: Claim::Keep,
        };
        log.writer.append(draft(log.epoch)).await.unwrap();
        assert!(matches!(log.writer.append(draft(Epoch(0))).await, Err(AppendError::Fenced { .. })));
        assert_eq!(failed.load(Ordering::Relaxed), 0);
        let file = folder.path().join("ledger.db");
        let mut other = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        sqlx::raw_sql("CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'full'); END")
            .execute(&mut other)
            .await
            .unwrap();
        assert!(matches!(log.writer.append(draft(log.epoch)).await, Err(AppendError::Unavailable(_))));
        assert_eq!(failed.load(Ordering::Relaxed), 1);
    }
}
