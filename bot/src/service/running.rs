//! A service under way: one task carries every operation out, each beside the others, and takes what people hand in. An
//! operation borrows a great deal and so stays on that task; none of them waits for anything but the outside.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::mpsc::UnboundedReceiver;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, SelectAll, select_all};
use scalebot_commands::duty::{Answer, Begin, Duty, DutyError, Start};
use scalebot_commands::journal::Inbox;
use scalebot_commands::ports::ClaimHeld;
use scalebot_commands::request::{self, quoted};
use scalebot_commands::steps::Finished;
use scalebot_commands::supervisor::Ended;
use scalebot_commands::units::{OperationId, Person, TargetName};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::door::{Carried, Door, Order, Want};
use super::front::{Front, Left};
use super::taking::Took;
use super::watch::Watch;
use super::{Service, UnderWay};
use crate::reception::Reply;
use crate::stop::{Asked, Stop};

/// Between two signs of life.
const SIGN_EVERY: Duration = Duration::from_secs(1);

/// After a log that gave no answer: when it is looked whether something arrived there after all. Another command could
/// find the fleet held by what nobody carries out.
const ARRIVES_WITHIN: [Duration; 2] = [Duration::ZERO, Duration::from_secs(30)];

/// Why a service stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody asked for it.
    Asked(Asked),
    /// Somebody asked for it in chat, or the one operation that it was to carry on has ended.
    Done,
    /// Another process has taken over.
    Fenced(String),
    /// There is no chat any more, in words for whoever runs it.
    NoFront(String),
    /// A part of the program broke, which is a fault of its own.
    Failed(String),
}

/// What a service is while it runs.
pub(crate) struct Running<'a> {
    service: &'a Service,
    front: &'a dyn Front,
    carried: Carried,
    watch: Watch,
    duties: Vec<Arc<Duty>>,
    begun: SelectAll<UnboundedReceiver<Begin>>,
}

/// An answer, with what has to begin before it is given.
#[derive(Default)]
struct Answered {
    reply: Option<(Reply, oneshot::Sender<Reply>)>,
    /// What was opened.
    opened: Vec<ClaimHeld>,
    /// The log gave no answer, so that something may have been opened that is not known yet.
    is_unsure: bool,
}

/// The operations that are carried out.
type Operations<'a> = FuturesUnordered<LocalBoxFuture<'a, (UnderWay, Ended)>>;

impl<'a> Running<'a> {
    /// Nothing runs yet.
    pub(crate) fn new(service: &'a Service, front: &'a dyn Front, carried: Carried, watch: Watch) -> Self {
        let (mut duties, mut begun) = (Vec::new(), Vec::new());
        for (at, fleet) in service.fleets().iter().enumerate() {
            let (duty, begins) = Duty::new(fleet.ports.clone(), fleet.policy.clone(), service.log().epoch, true);
            duties.push(Arc::new(if at == 0 { duty } else { duty.of_a_further_fleet() }));
            begun.push(begins);
        }
        Self { service, front, carried, watch, duties, begun: select_all(begun) }
    }

    /// Carries on what is unfinished, and then whatever people ask for, until the process is to stop.
    pub(crate) async fn run(mut self, unfinished: Vec<ClaimHeld>, stop: &Stop) -> End {
        let (door, mut orders) = Door::new(self.carried.clone(), self.service.names().to_vec());
        let front = self.front;
        let mut serving = std::pin::pin!(front.serve(Arc::new(door)));
        let mut on_duty = JoinSet::new();
        for duty in &self.duties {
            let duty = Arc::clone(duty);
            on_duty.spawn(async move { duty.run().await });
        }
        let mut begun = std::mem::take(&mut self.begun);
        let this = &self;

        let mut operations = Operations::new();
        for held in unfinished {
            tracing::info!(fleet = %held.target, operation = %held.operation, "an unfinished operation is carried on");
            this.begin(&mut operations, held.target, held.operation);
        }
        let mut answering = FuturesUnordered::new();
        let mut stopped = std::pin::pin!(stop.requested());
        let mut sign = tokio::time::interval(SIGN_EVERY);
        loop {
            tokio::select! {
                biased;
                asked = &mut stopped => return End::Asked(asked),
                Some(ended) = on_duty.join_next() => return match ended {
                    Ok(why) => End::Fenced(why),
                    // Without it nothing would be escalated any more. Started again, the process carries everything on.
                    Err(error) => End::Failed(format!("the duty ended: {error}")),
                },
                _ = sign.tick() => this.watch.sign(),
                Some((under_way, ended)) = operations.next(), if !operations.is_empty() => {
                    this.carried.leave(&under_way.operation);
                    if let Ended::Fenced(why) = ended {
                        return End::Fenced(why);
                    }
                }
                Some(Answered { reply, opened, is_unsure }) = answering.next(), if !answering.is_empty() => {
                    // Before it is answered, so that whoever is told of it can stop it.
                    for held in opened {
                        this.begin(&mut operations, held.target, held.operation);
                    }
                    if let Some((reply, to)) = reply {
                        // Whoever asked may have gone.
                        let _ = to.send(reply);
                    }
                    if is_unsure {
                        for after in ARRIVES_WITHIN {
                            answering.push(this.held_after(after));
                        }
                    }
                }
                Some(order) = orders.recv() => answering.push(this.answer(order)),
                Some(due) = begun.next() => answering.push(this.by_itself(due)),
                left = &mut serving => return match left {
                    Left::Asked => End::Done,
                    Left::Failed(why) => End::NoFront(why),
                },
            }
        }
    }

    /// Carries that operation on, and nothing else.
    pub(crate) async fn only(self, held: ClaimHeld, stop: &Stop) -> (End, Option<Ended>) {
        let mut operations = Operations::new();
        self.begin(&mut operations, held.target, held.operation);
        tokio::select! {
            biased;
            asked = stop.requested() => (End::Asked(asked), None),
            ended = operations.next() => match ended {
                Some((_, ended)) => (End::Done, Some(ended)),
                None => (End::Done, None),
            },
        }
    }

    fn begin<'b>(&'b self, operations: &mut Operations<'b>, target: TargetName, operation: OperationId) {
        let (signals, inbox) = Inbox::new();
        let under_way = UnderWay { target, operation, signals };
        if !self.carried.enter(under_way.clone()) {
            return;
        }
        let span = tracing::info_span!("operation", id = %under_way.operation, fleet = %under_way.target);
        let carried = async move {
            tracing::info!("carried out from here on");
            let ended = self.service.carry_out(&under_way, inbox).await;
            say_how(&ended);
            (under_way, ended)
        };
        operations.push(Box::pin(carried.instrument(span)));
    }

    fn answer(&self, order: Order) -> LocalBoxFuture<'_, Answered> {
        let Order { want, by, reply: to } = order;
        Box::pin(async move {
            let took: Took = match want {
                Want::Command(request) => self.service.take(&request, &by, &self.carried.all()).await,
                Want::Acknowledge(number) => match self.duties.first() {
                    Some(duty) => said(duty.acknowledge(number, &by).await).into(),
                    None => Reply::Refused("Nothing is open that could be acknowledged.".to_owned()).into(),
                },
                Want::Start => self.start(&by).await,
                Want::Dismiss => match self.offering().await {
                    Ok(duty) => said(duty.dismiss(&by).await).into(),
                    Err(refused) => refused.into(),
                },
            };
            let opened = self.opened(&took.reply).await;
            Answered { reply: Some((took.reply, to)), opened, is_unsure: took.is_unsure }
        })
    }

    /// What policy lets begin without being asked.
    fn by_itself(&self, begin: Begin) -> LocalBoxFuture<'_, Answered> {
        Box::pin(async move {
            let took = self.service.take_by_itself(&begin, &self.carried.all()).await;
            if let Reply::Refused(why) = &took.reply {
                tracing::warn!(command = %begin.command(), %why, "what was to begin by itself was refused");
            }
            Answered { reply: None, opened: self.opened(&took.reply).await, is_unsure: took.is_unsure }
        })
    }

    /// The operation that was opened, with the fleet that it holds.
    async fn opened(&self, reply: &Reply) -> Vec<ClaimHeld> {
        let Reply::Opened { operation, .. } = reply else { return Vec::new() };
        // It was recorded a moment ago, by this process; while the log cannot be read nothing else goes on either.
        let mut claims = self.claims().await;
        claims.retain(|held| held.operation == *operation);
        claims
    }

    /// What holds a fleet then and is not carried out here.
    fn held_after(&self, after: Duration) -> LocalBoxFuture<'_, Answered> {
        Box::pin(async move {
            self.service.log().clock.sleep(after).await;
            let mut opened = self.claims().await;
            let carried = self.carried.all();
            opened.retain(|held| carried.iter().all(|ours| ours.operation != held.operation));
            Answered { opened, ..Answered::default() }
        })
    }

    /// What holds a fleet, as soon as the log tells it.
    async fn claims(&self) -> Vec<ClaimHeld> {
        let log = self.service.log();
        loop {
            match log.writer.claims().await {
                Ok(claims) => return claims,
                Err(error) => tracing::warn!(%error, "what holds a fleet waits for the log"),
            }
            log.clock.sleep(Duration::from_secs(1)).await;
        }
    }

    async fn start(&self, by: &Person) -> Took {
        let duty = match self.offering().await {
            Ok(duty) => duty,
            Err(refused) => return refused.into(),
        };
        match duty.start(by).await {
            Ok(Start::Command(command)) => match request::parse(&command) {
                Ok(request) => self.service.take(&request, by, &self.carried.all()).await,
                Err(error) => Reply::Refused(error.to_string()).into(),
            },
            Ok(Start::Refused(why)) => Reply::Refused(why).into(),
            Err(error) => unrecorded(&error).into(),
        }
    }

    /// The duty whose proposal people have before them.
    async fn offering(&self) -> Result<&Arc<Duty>, Reply> {
        let mut offering = Vec::new();
        for (duty, name) in self.duties.iter().zip(self.service.names()) {
            if duty.offers().await {
                offering.push((duty, name));
            }
        }
        match offering.as_slice() {
            // Its own words for it.
            [] => self.duties.first().ok_or_else(|| Reply::Refused("Nothing is proposed now.".to_owned())),
            [(duty, _)] => Ok(*duty),
            several => {
                let names: Vec<_> = several.iter().map(|(_, name)| quoted(name.as_str())).collect();
                let names = names.join(" and ");
                Err(Reply::Refused(format!("Scalings are proposed for {names}. Type the one that you mean.")))
            }
        }
    }
}

fn said(answer: Result<Answer, DutyError>) -> Reply {
    match answer {
        Ok(Answer::Done(text)) => Reply::Taken(text),
        Ok(Answer::Refused(text)) => Reply::Refused(text),
        Err(error) => unrecorded(&error),
    }
}

fn unrecorded(error: &DutyError) -> Reply {
    Reply::Refused(format!("That could not be recorded: {error}.\nLook whether it was done, then say it again."))
}

fn say_how(ended: &Ended) {
    match ended {
        Ended::Finished(Finished { outcome, reason, .. }) => {
            tracing::info!(outcome = ?outcome, reason, "the operation has ended");
        }
        Ended::Parked(why) => tracing::error!(why, "the operation cannot go on by itself, and holds its fleet"),
        Ended::Fenced(why) => tracing::error!(why, "another process has taken over"),
    }
}
