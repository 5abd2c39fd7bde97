//! One process of the bot: takes the log over, takes up what is unfinished, takes commands, and tells the log channel.
//! What a real bot's wiring does, with the real desk, supervisor and outbox.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::future::{Either, LocalBoxFuture, pending, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use scalebot_commands::desk::{Desk, Received};
use scalebot_commands::journal::Inbox;
use scalebot_commands::outbox::Outbox;
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{ClaimHeld, Ledger, LedgerError};
use scalebot_commands::request::Request;
use scalebot_commands::supervisor::{self, Ended};
use scalebot_commands::units::{OperationId, Person, TargetName};

use super::model::lock;
use super::ports::Port;

/// What a process was busy with.
enum Done {
    Took(Result<Received, LedgerError>),
    Ended(OperationId, Ended),
    Swept(Result<Vec<ClaimHeld>, LedgerError>),
}

struct Process {
    port: Port,
    policy: Policy,
    busy: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    carried: BTreeSet<OperationId>,
    /// How many commands are at the desk.
    taking: u32,
}

/// Lives until it is fenced.
pub(super) async fn live(port: Port, policy: Policy, commands: UnboundedReceiver<(Request, Person)>) {
    let outbox = Box::pin(tell(port.clone()));
    let process = Process { port, policy, busy: FuturesUnordered::new(), carried: BTreeSet::new(), taking: 0 };
    select(Box::pin(process.serve(commands)), outbox).await;
}

impl Process {
    async fn serve(mut self, mut commands: UnboundedReceiver<(Request, Person)>) {
        self.busy.push(pending().boxed_local());
        self.sweep(Duration::ZERO);
        loop {
            let done = match select(commands.next(), self.busy.next()).await {
                Either::Left((Some((request, by)), _)) => {
                    self.take(request, by);
                    continue;
                }
                Either::Left((None, _)) | Either::Right((None, _)) => return,
                Either::Right((Some(done), _)) => done,
            };
            if matches!(done, Done::Took(_)) {
                self.taking -= 1;
            }
            match done {
                Done::Took(Ok(Received::Opened(operation))) => self.carry_out(operation),
                Done::Took(Ok(Received::Refused(why))) => self.note(&format!("the desk refuses: {why}")),
                Done::Took(Ok(Received::Question)) => self.note("the desk takes no questions"),
                Done::Took(Err(error)) => {
                    self.note(&format!("the desk cannot take it: {error}"));
                    self.judge_desk(&error);
                    self.sweep(Duration::from_secs(30));
                }
                Done::Swept(Ok(claims)) => claims.into_iter().for_each(|held| self.carry_out(held.operation)),
                Done::Swept(Err(_)) => self.sweep(Duration::from_secs(1)),
                Done::Ended(operation, ended) => {
                    self.note(&format!("{} ended: {ended:?}", operation.short()));
                    match ended {
                        Ended::Fenced(_) => return,
                        Ended::Parked(_) | Ended::Finished(_) => {}
                    }
                }
            }
        }
    }

    fn note(&self, what: &str) {
        lock(&self.port.sim).note(&format!("p{}", self.port.process), what);
    }

    /// Who is told that a command could not be taken must not find it carried out.
    fn judge_desk(&self, error: &LedgerError) {
        let mut model = lock(&self.port.sim);
        let ours =
            |held: &&ClaimHeld| model.book.of(&held.operation).iter().any(|event| event.epoch == self.port.epoch);
        let taken = model.book.claims.iter().filter(ours).any(|held| !self.carried.contains(&held.operation));
        if taken && self.taking == 0 && !error.0.contains("not known") {
            model.judge.violations.push(format!("the desk says that it could not take a command, and it did: {error}"));
        }
    }

    /// Looks for operations that hold a target and that nobody carries out: those of an earlier process, and one whose
    /// command was taken while the answer was lost.
    fn sweep(&mut self, after: Duration) {
        let port = self.port.clone();
        let look = async move {
            port.sleep(after).await;
            Done::Swept(port.claims().await)
        };
        self.busy.push(look.boxed_local());
    }

    fn take(&mut self, request: Request, by: Person) {
        self.taking += 1;
        let (port, policy) = (self.port.clone(), self.policy.clone());
        let taken = async move {
            let targets = [TargetName::new("api")];
            let desk = Desk {
                ledger: &port,
                world: &port,
                room: &port,
                policy: &policy,
                epoch: port.epoch,
                targets: &targets,
            };
            Done::Took(desk.take(&request, &by).await)
        };
        self.busy.push(taken.boxed_local());
    }

    fn carry_out(&mut self, operation: OperationId) {
        if !self.carried.insert(operation.clone()) {
            return;
        }
        let (sender, mut inbox) = Inbox::new();
        if let Some(process) = lock(&self.port.sim).processes.get_mut(self.port.process) {
            process.inboxes.insert(operation.clone(), sender);
        }
        let (port, policy) = (self.port.clone(), self.policy.clone());
        let carried = async move {
            let ended = supervisor::carry_out(&port.ports(), &policy, &operation, port.epoch, &mut inbox).await;
            Done::Ended(operation, ended)
        };
        self.busy.push(carried.boxed_local());
    }
}

/// Tells the log channel, again and again.
async fn tell(port: Port) {
    let outbox = Outbox { ledger: &port, posts: &port, channel: &port, world: &port };
    for round in 0_u32.. {
        // What fails now is tried again in the next round.
        let _ = outbox.flush(round.is_multiple_of(3)).await;
        port.sleep(Duration::from_secs(10)).await;
    }
}
