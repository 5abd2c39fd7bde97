//! The operational log and the log channel as one process of the bot has them.

use async_trait::async_trait;
use scalebot_commands::event::{Draft, Event, Kind};
use scalebot_commands::figures::Load;
use scalebot_commands::ports::{
    Announced, AppendError, ClaimHeld, Ledger, LedgerError, LogChannel, PortError, Post, Posts, Samples,
};
use scalebot_commands::units::OperationId;

use super::gate::{LOG_LIMIT, Lost, Way};
use super::model::{Happening, Model, lock};
use super::ports::Port;

/// What announces that something outside is about to be changed.
const INTENTS: [Kind; 8] = [
    Kind::Holding,
    Kind::Releasing,
    Kind::Scaling,
    Kind::Draining,
    Kind::Readmitting,
    Kind::Terminating,
    Kind::RollingBack,
    Kind::Halting,
];

/// An answer that takes longer leaves time for others.
const NOTICED: std::time::Duration = std::time::Duration::from_millis(500);

/// How long the same post sent again is taken for the same.
const NONCE: std::time::Duration = std::time::Duration::from_mins(3);

impl Port {
    async fn log<T>(
        &self,
        what: &'static str,
        done: impl FnOnce(&mut Model) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.call(what, done).await.map_err(Lost::ledger)?
    }
}

impl Model {
    /// An event comes to the log, from a process that waits for the answer or has given up.
    pub(super) fn append(&mut self, process: usize, draft: &Draft) -> Result<Event, AppendError> {
        let appended = self.book.append(draft);
        match &appended {
            Ok(event) => {
                self.note_of(process, || {
                    let operation = event.operation.as_ref().map_or("-", OperationId::short);
                    let body: String = event.body.chars().take(160).collect();
                    format!("{} #{} {operation} {} {body}", event.seq, event.op_seq, event.kind)
                });
                self.appended(process, event);
            }
            Err(error) => {
                self.note_of(process, || format!("{} is not appended: {error}", draft.kind));
                if matches!(error, AppendError::Fenced { .. }) {
                    self.count("fenced");
                }
            }
        }
        appended
    }

    /// A post comes to the channel. As a chat does that holds to a nonce, what comes twice within minutes is taken once.
    pub(super) fn is_posted(&mut self, post: &Post) {
        let now = self.now;
        if self.channel.iter().rev().any(|(at, there)| there == post && now < *at + NONCE) {
            self.count("a post that came twice");
            return;
        }
        self.judge_post(post);
        self.channel.push((now, post.clone()));
    }
}

#[async_trait]
impl Ledger for Port {
    async fn append(&self, draft: Draft) -> Result<Event, AppendError> {
        let (mut fate, late) = self.late("ledger.append");
        if late {
            fate.way = Way::Late;
            let mut model = lock(&self.sim);
            model.count("appended late");
            let (now, later) = (model.now, model.between(500, 4_000));
            // No later than the server's own limit for a transaction lets it.
            model.at(now + LOG_LIMIT + later, Happening::Append(self.process, Box::new(draft.clone())));
        }
        let appended = self.with(fate, "ledger.append", |model| {
            let appended = model.append(self.process, &draft);
            if appended.is_ok()
                && INTENTS.contains(&draft.kind)
                && fate.after > NOTICED
                && !model.calm
                && model.chance(200)
            {
                // Whoever announced it does not know yet that it did, and will act on it.
                model.count("taken over from between intent and act");
                let soon = model.between(0, 100);
                model.after(soon, Happening::Usurp);
            }
            // What belongs to no operation has no place of its own, and no log could tell that it comes twice.
            if appended.is_ok() && draft.operation.is_some() && !model.calm && model.chance(10) {
                model.count("an append that came twice");
                let later = model.between(0, 20_000);
                model.after(later, Happening::Append(self.process, Box::new(draft.clone())));
            }
            appended
        });
        appended.await.map_err(|lost| AppendError::Unavailable(lost.ledger()))?
    }

    async fn events_of(&self, operation: &OperationId) -> Result<Vec<Event>, LedgerError> {
        self.log("ledger.events_of", |model| Ok(model.book.of(operation))).await
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.log("ledger.events_after", |model| {
            Ok(model.book.events.iter().filter(|event| event.seq > after).take(limit as usize).cloned().collect())
        })
        .await
    }

    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError> {
        self.log("ledger.claims", |model| Ok(model.book.claims.clone())).await
    }

    async fn latest(&self, kind: &str, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.log("ledger.latest", |model| {
            let of_kind = model.book.events.iter().rev().filter(|event| event.kind == kind);
            Ok(of_kind.take(limit as usize).cloned().collect())
        })
        .await
    }
}

#[async_trait]
impl Samples for Port {
    async fn keep(&self, operation: &OperationId, index: u64, load: &Load) -> Result<(), LedgerError> {
        self.log("samples.keep", |model| {
            model.book.leads(self.epoch)?;
            model.book.samples.entry(operation.clone()).or_default().insert(index, load.clone());
            Ok(())
        })
        .await
    }

    async fn kept(&self, operation: &OperationId) -> Result<Vec<Load>, LedgerError> {
        self.log("samples.kept", |model| {
            Ok(model.book.samples.get(operation).map(|kept| kept.values().cloned().collect()).unwrap_or_default())
        })
        .await
    }
}

#[async_trait]
impl Posts for Port {
    async fn position(&self) -> Result<(u64, Option<Post>), LedgerError> {
        self.log("posts.position", |model| Ok((model.book.posted, model.book.planned.clone()))).await
    }

    async fn plan(&self, post: &Post) -> Result<(), LedgerError> {
        self.log("posts.plan", |model| {
            model.book.leads(self.epoch)?;
            model.book.planned = Some(post.clone());
            Ok(())
        })
        .await
    }

    async fn confirm(&self, post: &Post, _message: &str) -> Result<(), LedgerError> {
        self.log("posts.confirm", |model| {
            model.book.leads(self.epoch)?;
            model.book.posted = post.last;
            model.book.planned = None;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl LogChannel for Port {
    async fn post(&self, post: &Post) -> Result<String, PortError> {
        let (mut fate, late) = self.late("channel.post");
        if late {
            fate.way = Way::Silent;
            let mut model = lock(&self.sim);
            model.count("posted late");
            let later = model.between(10_000, 40_000);
            model.after(later, Happening::Post(Box::new(post.clone())));
        }
        let posted = self.with(fate, "channel.post", |model| {
            model.is_posted(post);
            post.first.to_string()
        });
        posted.await.map_err(|lost| lost.port("channel.post"))
    }

    async fn find(&self, post: &Post) -> Result<Option<String>, PortError> {
        self.ask("channel.find", |model| {
            model.channel.iter().find(|(_, there)| there == post).map(|(_, there)| there.first.to_string())
        })
        .await
    }

    async fn sealed(&self) -> Result<Vec<Announced>, PortError> {
        self.ask("channel.sealed", |model| {
            let seal = |post: &Post| Announced::plain(post.first, post.last, post.hash);
            model.channel.iter().map(|(_, post)| seal(post)).collect()
        })
        .await
    }
}
