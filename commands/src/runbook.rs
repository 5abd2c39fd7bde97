//! *Scaling Procedures*, top to bottom. This is the one file that says what happens next; each step says how.

use crate::checks::Decision;
use crate::context::Context;
use crate::journal::{Effected, Interrupted, Journal};
use crate::steps::wait::WaitEnded;
use crate::steps::{Ending, Finished, Outcome, assess, document, finish, monitor, precheck, scale, verify, wait};

/// The version of this sequence of steps; `requested` records it.
pub const VERSION: u32 = 1;

/// Carries an operation through, from wherever its journal says that it is.
pub async fn up(cx: &Context<'_>, journal: &mut Journal<'_>) -> Result<Finished, Interrupted> {
    let ending = steps_up(cx, journal).await?;

    // Step 6: Document Scaling Event
    if ending.changed_the_fleet {
        document::record(cx, journal, &ending).await?;
    }
    Ok(finish::with(cx, journal, &ending).await?.body)
}

async fn steps_up(cx: &Context<'_>, journal: &mut Journal<'_>) -> Result<Ending, Interrupted> {
    // Step 1: Assess Current State
    let assessed = assess::current_state(cx, journal).await?.body;

    // Step 2: Pre-Scaling Validation
    let checked = precheck::validate(cx, journal, &assessed).await?.body;
    let outcome = match checked.decision {
        Decision::Proceed => None,
        Decision::Refused | Decision::Approval => Some(Outcome::Refused),
        Decision::Failed => Some(Outcome::Failed),
    };
    let plan = match (outcome, checked.plan) {
        (None, Some(plan)) => plan,
        (outcome, plan) => {
            let outcome = outcome.unwrap_or(Outcome::Refused);
            return Ok(Ending::before_any_change(outcome, plan, checked.reasons.join(" ")));
        }
    };

    // Step 3: Scale API Instances
    let set_at = match scale::to_plan(cx, journal, &plan).await? {
        Effected::Done(_, at) => at,
        otherwise => return Ok(Ending::not_scaled(otherwise, &plan)),
    };
    let ready = wait::until_ready(cx, journal, &plan, set_at).await?;
    let waited = ready.body;
    if waited.ended != WaitEnded::Ready {
        let outcome = if waited.ended == WaitEnded::Cancelled { Outcome::Cancelled } else { Outcome::Failed };
        return Ok(Ending::after_the_change(outcome, &plan, waited.problem.unwrap_or_default()));
    }

    // Step 4: Verify New Instances
    let verified = verify::every_instance(cx, journal, "verify", &plan).await?.body;
    if verified.result != verify::Verification::Passed {
        return Ok(Ending::after_the_change(Outcome::Failed, &plan, verified.problems.join("; ")));
    }

    // Step 5: Monitor Post-Scaling
    let monitored = monitor::watch(cx, journal, &plan, &assessed, &waited.newcomers, ready.at).await?.body;
    Ok(monitored.ending(&plan))
}
