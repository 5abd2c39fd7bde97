//! Carries an operation through whatever interrupts it: enters the runbook again, with back-off, until it has an
//! outcome, is parked, or another process has taken over.

mod parking;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;

pub use self::parking::standing as parked;
use crate::break_glass;
use crate::context::{Context, request_of};
use crate::desk::Abandoned;
use crate::event::Kind;
use crate::journal::{BY_ITS_OWN, Inbox, Interrupted, Journal};
use crate::policy::Policy;
use crate::ports::Ports;
use crate::runbook;
use crate::steady::Steady;
use crate::steps::Finished;
use crate::units::{Epoch, OperationId};

/// Why an operation is no longer carried out by this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It has its outcome.
    Finished(Finished),
    /// It waits for a person: what the log holds, or a fault of the program, does not let it go on.
    Parked(String),
    /// Another process has taken over.
    Fenced(String),
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Carries the operation through. The future may be dropped at any instant; called again, it goes on.
pub async fn carry_out(
    ports: &Ports,
    policy: &Policy,
    operation: &OperationId,
    epoch: Epoch,
    inbox: &mut Inbox,
) -> Ended {
    let ports = &Ports { world: Arc::new(Steady::new(Arc::clone(&ports.world))), ..ports.clone() };
    let mut pause = FIRST_PAUSE;
    let mut panicked = false;
    loop {
        let run = AssertUnwindSafe(enter(ports, policy, operation, epoch, inbox)).catch_unwind().await;
        match run {
            Ok(Ok(finished)) => return Ended::Finished(finished),
            Ok(Err(Interrupted::Fenced(why))) => return Ended::Fenced(why),
            Ok(Err(Interrupted::Parked { reason })) => {
                return parking::park(ports, policy.time.look, operation, epoch, reason).await;
            }
            Ok(Err(Interrupted::Ledger(error))) => {
                tracing::warn!(%operation, %error, "interrupted; entering the runbook again");
            }
            Err(_) if panicked => {
                let reason = "a fault of the program stopped it twice at the same place".to_owned();
                return parking::park(ports, policy.time.look, operation, epoch, reason).await;
            }
            Err(_) => {
                panicked = true;
                tracing::error!(%operation, "a fault of the program stopped the operation; entering the runbook once more");
            }
        }
        ports.world.sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn enter(
    ports: &Ports,
    policy: &Policy,
    operation: &OperationId,
    epoch: Epoch,
    inbox: &mut Inbox,
) -> Result<Finished, Interrupted> {
    let mut journal = Journal::open(ports, operation.clone(), epoch, inbox).await?;
    // Whoever abandoned it was killed before its end was on record: nothing further is done to the fleet.
    if !journal.notes::<Abandoned>(Kind::Abandoned)?.is_empty() {
        return break_glass::carry_through(&*ports.ledger, &*ports.world, epoch, operation).await;
    }
    let request = request_of(&journal)?;
    if request.runbook != runbook::VERSION {
        let (begun, known) = (request.runbook, runbook::VERSION);
        let reason = format!("it was begun by version {begun} of the runbook; this is {known}; {BY_ITS_OWN}");
        return Err(Interrupted::Parked { reason });
    }
    let mut policy = policy.clone();
    // What was promised when the operation began is kept, whatever this process was started with.
    policy.time.monitor = request.monitor.duration();
    let cx = Context { ports, policy: &policy, operation, request: &request, reason: request.reason.as_deref() };
    runbook::carry_out(&cx, &mut journal).await
}
