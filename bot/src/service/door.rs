//! Where a front hands in what people said. Commands go to the one task that carries operations out; a mark or an answer
//! goes straight to the operation that it is for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use scalebot_commands::journal::{NotHeard, Signal};
use scalebot_commands::request::Request;
use scalebot_commands::units::{OperationId, Person, TargetName};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::UnderWay;
use crate::reception::{Reception, Reply};

/// How much is looked at at the same time.
const AT_ONCE: usize = 64;

/// How long an answer may take, every check of a plan included.
const ANSWERED_WITHIN: Duration = Duration::from_secs(45);

/// What somebody wants that takes the log or an outside system to answer.
#[derive(Debug)]
pub(super) enum Want {
    /// A command.
    Command(Request),
    /// To see to an escalation.
    Acknowledge(Option<u64>),
    /// To begin what was proposed.
    Start,
    /// To dismiss what was proposed.
    Dismiss,
}

/// Something that somebody wants, and where the answer goes.
pub(super) struct Order {
    pub(super) want: Want,
    pub(super) by: Person,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// What this process carries out now.
#[derive(Clone, Default)]
pub(crate) struct Carried(Arc<Mutex<Vec<UnderWay>>>);

impl Carried {
    /// All of it.
    pub(crate) fn all(&self) -> Vec<UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Enters an operation; `false` where it is there already.
    pub(super) fn enter(&self, under_way: UnderWay) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = all.iter().all(|one| one.operation != under_way.operation);
        if new {
            all.push(under_way);
        }
        new
    }

    /// Takes it out.
    pub(super) fn leave(&self, operation: &OperationId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| one.operation != *operation);
    }

    fn find(&self, operation: &OperationId) -> Option<UnderWay> {
        self.all().into_iter().find(|one| one.operation == *operation)
    }
}

/// The service's end of the seam to a front.
pub(super) struct Door {
    orders: mpsc::UnboundedSender<Order>,
    at_once: Semaphore,
    carried: Carried,
    targets: Vec<TargetName>,
}

impl Door {
    /// A door, and where what is handed in comes out.
    pub(super) fn new(carried: Carried, targets: Vec<TargetName>) -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (orders, taken) = mpsc::unbounded_channel();
        (Self { orders, at_once: Semaphore::new(AT_ONCE), carried, targets }, taken)
    }

    async fn ask(&self, want: Want, by: Person) -> Reply {
        let Ok(_permit) = self.at_once.try_acquire() else {
            let text = format!("{AT_ONCE} other commands are being looked at. Try again in a moment.");
            return Reply::Refused(text);
        };
        let (reply, answered) = oneshot::channel();
        if self.orders.send(Order { want, by, reply }).is_err() {
            return stopping();
        }
        match timeout(ANSWERED_WITHIN, answered).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => stopping(),
            Err(_) => Reply::Refused(format!(
                "There was no answer within {} s.\nIt may be done all the same: look with /scale status before you ask again.",
                ANSWERED_WITHIN.as_secs()
            )),
        }
    }
}

fn stopping() -> Reply {
    Reply::Refused("The bot is being stopped. Ask again when it is back.".to_owned())
}

#[async_trait]
impl Reception for Door {
    async fn command(&self, request: Request, by: Person) -> Reply {
        self.ask(Want::Command(request), by).await
    }

    async fn signal(&self, operation: &OperationId, signal: Signal) -> Reply {
        let told = self.carried.find(operation).map(|under_way| under_way.signals.send(signal));
        match told {
            Some(Ok(())) => Reply::Taken(String::new()),
            Some(Err(why @ NotHeard::TooMany)) => Reply::Refused(why.to_string()),
            // Between its end and the next look nobody listens any more.
            Some(Err(NotHeard::Ended)) | None => Reply::Refused(format!(
                "Operation {} is not under way here, so this changes nothing.",
                scalebot_commands::request::quoted(operation.short())
            )),
        }
    }

    async fn acknowledge(&self, escalation: Option<u64>, by: Person) -> Reply {
        self.ask(Want::Acknowledge(escalation), by).await
    }

    async fn start_proposed(&self, by: Person) -> Reply {
        self.ask(Want::Start, by).await
    }

    async fn dismiss_proposed(&self, by: Person) -> Reply {
        self.ask(Want::Dismiss, by).await
    }

    fn targets(&self) -> Vec<TargetName> {
        self.targets.clone()
    }

    fn under_way(&self) -> Vec<OperationId> {
        self.carried.all().into_iter().map(|under_way| under_way.operation).collect()
    }
}
