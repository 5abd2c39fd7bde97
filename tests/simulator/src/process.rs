//! One process of the bot: takes the log over, takes up what is unfinished, takes commands, and tells the log channel.
//! What a real bot's wiring does, with the real desk, supervisor, outbox and duty.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::future::{Either, LocalBoxFuture, pending, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use scalebot_commands::desk::{Desk, Received};
use scalebot_commands::duty::{Begin, Duty, Start};
use scalebot_commands::journal::Inbox;
use scalebot_commands::outbox::Outbox;
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{ClaimHeld, Ledger, LedgerError};
use scalebot_commands::request::{Request, parse};
use scalebot_commands::supervisor::{self, Ended};
use scalebot_commands::units::{OperationId, Person, TargetName};

use super::model::{Word, lock};
use super::ports::Port;

/// What a process was busy with.
enum Done {
    Took(Result<Received, LedgerError>),
    Ended(OperationId, Ended),
    Swept(Result<Vec<ClaimHeld>, LedgerError>),
    /// Something was said to the duty, and this is what is to be done besides: a command of theirs.
    Said(Option<(Request, Person)>),
}

/// What comes to the desk.
enum Asked {
    By(Request, Person),
    ByItself(Begin),
}

struct Process {
    port: Port,
    policy: Policy,
    duty: Arc<Duty>,
    busy: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    carried: BTreeSet<OperationId>,
    /// How many commands are at the desk.
    taking: u32,
}

/// Lives until it is fenced.
pub(super) async fn live(port: Port, policy: Policy, words: UnboundedReceiver<Word>) {
    let (does_duty, proposes) = {
        let model = lock(&port.sim);
        (model.does_duty, model.people.attended)
    };
    let (duty, by_itself) = Duty::new(port.ports(), policy.clone(), port.epoch, proposes);
    let duty = Arc::new(duty);
    let beside = {
        let (port, duty) = (port.clone(), Arc::clone(&duty));
        async move {
            if does_duty {
                // What takes it over ends this process.
                drop(select(Box::pin(tell(port)), Box::pin(duty.run())).await);
            } else {
                tell(port).await;
            }
        }
    };
    let busy = FuturesUnordered::new();
    let process = Process { port, policy, duty, busy, carried: BTreeSet::new(), taking: 0 };
    select(Box::pin(process.serve(words, by_itself)), Box::pin(beside)).await;
}

impl Process {
    async fn serve(mut self, mut words: UnboundedReceiver<Word>, mut by_itself: UnboundedReceiver<Begin>) {
        self.busy.push(pending().boxed_local());
        self.sweep(Duration::ZERO);
        loop {
            let heard = select(words.next(), by_itself.next());
            let done = match select(heard, self.busy.next()).await {
                Either::Left((Either::Left((Some(word), _)), _)) => {
                    self.hear(word);
                    continue;
                }
                Either::Left((Either::Right((Some(begin), _)), _)) => {
                    self.take(Asked::ByItself(begin));
                    continue;
                }
                Either::Left(_) | Either::Right((None, _)) => return,
                Either::Right((Some(done), _)) => done,
            };
            if matches!(done, Done::Took(_)) {
                self.taking -= 1;
            }
            match done {
                Done::Took(Ok(Received::Opened(operation))) => self.carry_out(operation),
                Done::Took(Ok(Received::Refused(why))) => self.note(|| format!("the desk refuses: {why}")),
                Done::Took(Ok(Received::Question)) => self.note(|| "the desk takes no questions".to_owned()),
                Done::Took(Err(error)) => {
                    self.note(|| format!("the desk cannot take it: {error}"));
                    self.judge_desk(&error);
                    self.sweep(Duration::from_secs(30));
                }
                Done::Swept(Ok(claims)) => claims.into_iter().for_each(|held| self.carry_out(held.operation)),
                Done::Swept(Err(_)) => self.sweep(Duration::from_secs(1)),
                Done::Said(None) => {}
                Done::Said(Some((request, by))) => self.take(Asked::By(request, by)),
                Done::Ended(operation, ended) => {
                    self.note(|| format!("{} ended: {ended:?}", operation.short()));
                    match ended {
                        Ended::Fenced(_) => return,
                        Ended::Parked(_) | Ended::Finished(_) => {}
                    }
                }
            }
        }
    }

    fn note(&self, what: impl FnOnce() -> String) {
        lock(&self.port.sim).note_of(self.port.process, what);
    }

    fn hear(&mut self, word: Word) {
        let word = match word {
            Word::Command(request, by) => return self.take(Asked::By(request, by)),
            word => word,
        };
        let duty = Arc::clone(&self.duty);
        let said = async move {
            // What the log does not take now is said again, or not: nobody waits for it.
            Done::Said(match word {
                Word::Acknowledge(by) => {
                    let newest = duty.open().await.ok().and_then(|open| Some(open.last()?.escalation));
                    let _ = duty.acknowledge(newest, &by).await;
                    None
                }
                Word::Dismiss(by) => {
                    let _ = duty.dismiss(&by).await;
                    None
                }
                Word::Start(by) => match duty.start(&by).await {
                    Ok(Start::Command(command)) => parse(&command).ok().map(|request| (request, by)),
                    _ => None,
                },
                Word::Command(..) => None,
            })
        };
        self.busy.push(said.boxed_local());
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

    fn take(&mut self, asked: Asked) {
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
            Done::Took(match asked {
                Asked::By(request, by) => desk.take(&request, &by).await,
                Asked::ByItself(begin) => desk.take_by_itself(&begin).await,
            })
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
