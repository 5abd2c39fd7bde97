//! Delivers the cards of one operation, in order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use scalebot_commands::card::Card;
use scalebot_commands::ports::{PortError, Slot};
use scalebot_commands::units::OperationId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::messages::{Messages, asks};
use super::spot::{self, Spot};

/// How long an operation's task waits for another card before it ends.
const IDLE: Duration = Duration::from_mins(5);

/// How long after a failure it is tried again: at first, and at most.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_AT_MOST: Duration = Duration::from_mins(1);

/// A card to deliver.
pub(super) struct Job {
    pub(super) slot: Slot,
    pub(super) card: Card,
    /// Who waits for it.
    pub(super) done: Option<oneshot::Sender<Result<(), PortError>>>,
}

/// The task of one operation.
pub(super) struct Delivery {
    messages: Messages,
    operation: OperationId,
    /// How often one message is changed at most.
    every: Duration,
    jobs: mpsc::Receiver<Job>,
    /// What waits, one a message, oldest first.
    waiting: Vec<Waiting>,
    /// When each message was last changed.
    changed: HashMap<(&'static str, String), Instant>,
    failures: u32,
    not_before: Option<Instant>,
}

struct Waiting {
    slot: Slot,
    card: Card,
    spot: Spot,
    done: Vec<oneshot::Sender<Result<(), PortError>>>,
}

impl Delivery {
    pub(super) fn new(shared: Arc<Shared>, operation: OperationId, jobs: mpsc::Receiver<Job>) -> Self {
        Self {
            every: shared.settings.edit_every,
            messages: Messages::new(shared, operation.clone()),
            operation,
            jobs,
            waiting: Vec::new(),
            changed: HashMap::new(),
            failures: 0,
            not_before: None,
        }
    }

    /// Delivers until there was nothing to deliver for a while.
    pub(super) async fn run(mut self) {
        loop {
            let next = self.next();
            let due = next.map_or_else(|| Instant::now() + IDLE, |(_, due)| due);
            tokio::select! {
                biased;
                job = self.jobs.recv() => match job {
                    Some(job) => self.take(job),
                    None if next.is_none() => return,
                    // Nobody hands over any more, and what waits is still delivered.
                    None => {
                        sleep_until(due).await;
                        self.deliver(next).await;
                    }
                },
                () = sleep_until(due), if next.is_some() => self.deliver(next).await,
                () = sleep_until(due) => {
                    // What was handed over in this very moment is still delivered.
                    self.jobs.close();
                    match self.jobs.recv().await {
                        Some(job) => self.take(job),
                        None => return,
                    }
                }
            }
        }
    }

    /// Which is delivered next, and when.
    fn next(&self) -> Option<(usize, Instant)> {
        let now = Instant::now();
        let due = |waiting: &Waiting| {
            let paced = match waiting.slot {
                Slot::Progress => self.changed.get(&waiting.key()).map(|at| *at + self.every),
                _ => None,
            };
            paced.into_iter().chain(self.not_before).max().unwrap_or(now).max(now)
        };
        self.waiting.iter().map(due).enumerate().min_by_key(|(_, due)| *due)
    }

    fn take(&mut self, job: Job) {
        let Job { slot, card, done } = job;
        let spot = spot::of(slot, &card);
        let mut done: Vec<_> = done.into_iter().collect();
        // What was to be asked is decided by now; and a newer card replaces the one that did not go out yet.
        let is_replaced = |waiting: &Waiting| {
            waiting.slot == slot && (waiting.spot.part == spot.part || asks(slot) && card.ask.is_none()) && !spot.anew
        };
        for replaced in self.waiting.extract_if(.., |waiting| is_replaced(waiting)) {
            done.extend(replaced.done);
        }
        self.waiting.push(Waiting { slot, card, spot, done });
    }

    async fn deliver(&mut self, next: Option<(usize, Instant)>) {
        let Some((at, _)) = next else { return };
        let mut waiting = self.waiting.remove(at);
        let Waiting { slot, card, spot, .. } = &waiting;
        let result = self.messages.put(*slot, card, spot).await;
        let done = std::mem::take(&mut waiting.done);
        let answer = match result {
            Ok(()) => {
                self.changed.insert(waiting.key(), Instant::now());
                (self.failures, self.not_before) = (0, None);
                Ok(())
            }
            Err(fault) => {
                self.failures += 1;
                let again = fault.may_pass();
                let error = PortError::from(fault);
                tracing::warn!(operation = %self.operation, card = spot::word(waiting.slot), %error, again, "a card could not be shown");
                if again {
                    let pause = (AGAIN * 2_u32.pow(self.failures.min(6) - 1)).min(AGAIN_AT_MOST);
                    self.not_before = Some(Instant::now() + pause);
                    self.waiting.insert(at.min(self.waiting.len()), waiting);
                }
                Err(error)
            }
        };
        for done in done {
            // Who does not wait any longer knows by now that it took too long.
            let _ = done.send(answer.clone());
        }
    }
}

impl Waiting {
    fn key(&self) -> (&'static str, String) {
        (spot::word(self.slot), self.spot.part.clone())
    }
}
