//! *Scaling Procedures*, top to bottom. This is the one file that says what happens next; each step says how.

use crate::context::Context;
use crate::journal::{Effected, Interrupted, Journal};
use crate::steps::permit::Rounds;
use crate::steps::scale::Set;
use crate::steps::{Ending, Finished, ask, assess, document, escalate, finish, monitor, permit, scale, verify, wait};

/// The version of this sequence of steps; `requested` records it.
pub const VERSION: u32 = 2;

/// Carries an operation through, from wherever its journal says that it is.
pub async fn up(cx: &Context<'_>, journal: &mut Journal<'_>) -> Result<Finished, Interrupted> {
    let ending = steps_up(cx, journal).await?;

    // Escalation
    if let Some(condition) = ending.escalation {
        escalate::to_role(cx, journal, "escalate", condition, &ending.reason).await?;
    }

    // Step 6: Document Scaling Event
    if ending.changed_the_fleet {
        document::record(cx, journal, &ending).await?;
    }
    Ok(finish::with(cx, journal, &ending).await?.body)
}

async fn steps_up(cx: &Context<'_>, journal: &mut Journal<'_>) -> Result<Ending, Interrupted> {
    // Step 1: Assess Current State
    let assessed = assess::current_state(cx, journal).await?.body;
    let reason = ask::why(cx, journal, &assessed).await?;
    let cx = &cx.because(reason.as_deref());

    let mut rounds = Rounds::default();
    let mut earlier = None;
    let (plan, set) = loop {
        // Step 2: Pre-Scaling Validation. During a halt: governance approval
        let (plan, permit) = match permit::obtain(cx, journal, &assessed, &mut rounds).await? {
            Ok(permitted) => permitted,
            Err(ending) => match scale::unless_done_after_all(cx, journal, earlier, ending).await? {
                Ok(done) => break done,
                Err(ending) => return Ok(ending),
            },
        };

        // Step 3: Scale API Instances
        match scale::to_plan(cx, journal, &plan, &permit, rounds.number()).await? {
            Effected::Done(intent, at) => break (plan, Set { intent, at }),
            Effected::Stopped(stop) if rounds.may_ask_again(&stop) => earlier = Some((plan, permit)),
            otherwise => return Ok(Ending::not_scaled(otherwise, &plan)),
        }
    };
    let ready = wait::until_ready(cx, journal, &plan, &set).await?;
    escalate::halt_that_began(cx, journal, "wait/halt", ready.body.halted.as_deref()).await?;
    if let Some(ending) = ready.body.ending(&plan) {
        return Ok(ending);
    }

    // Step 4: Verify New Instances
    let verified = verify::every_instance(cx, journal, "verify", &plan).await?;
    let verified = ask::keys(cx, journal, &plan, verified).await?;
    if let Some(ending) = verified.body.ending(&plan) {
        return Ok(ending);
    }

    // Step 5: Monitor Post-Scaling
    let watched = monitor::watch(cx, journal, &plan, &assessed, &set, ready, verified.at).await?;
    escalate::halt_that_began(cx, journal, "monitor/halt", watched.monitored.halted.as_deref()).await?;
    Ok(watched.ending(&plan))
}
