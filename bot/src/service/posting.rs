//! The log channel's side: what is posted, and when.

use std::sync::Arc;

use scalebot_adapters::ledger::Storage;
use scalebot_commands::outbox::{self, Outbox};
use scalebot_commands::ports::{LogChannel, World};
use tokio::sync::Notify;

/// Tells the log channel of every event.
pub(super) struct Posting {
    pub(super) ledger: Arc<dyn Storage>,
    pub(super) channel: Arc<dyn LogChannel>,
    pub(super) appended: Arc<Notify>,
    pub(super) clock: Arc<dyn World>,
}

impl Posting {
    /// Posts what there is; with `all`, also routine events that could still wait for others.
    pub(super) async fn flush(&self, all: bool) {
        let outbox =
            Outbox { ledger: &*self.ledger, posts: &*self.ledger, channel: &*self.channel, world: &*self.clock };
        if let Err(error) = outbox.flush(all).await {
            tracing::warn!(%error, "the log channel could not be told; it is tried again");
        }
    }

    /// Posts as events come; routine ones when they have waited long enough.
    pub(super) async fn run(&self) {
        loop {
            let waited = tokio::time::timeout(outbox::PATIENCE, self.appended.notified()).await.is_err();
            self.flush(waited).await;
        }
    }
}
