//! *Scaling Procedures*, top to bottom. This is the one file that says what happens next; each step says how.

use crate::context::Context;
use crate::journal::{Effected, Interrupted, Journal};
use crate::ports::Slot;
use crate::request::Direction;
use crate::steps::assess::Assessed;
use crate::steps::finish::Trouble;
use crate::steps::monitor::Changed;
use crate::steps::permit::Rounds;
use crate::steps::precheck::Plan;
use crate::steps::removal::{self, Gone};
use crate::steps::scale::Set;
use crate::steps::{
    Ending, Finished, ask, assess, back, document, escalate, finish, halt_offer, hold, interference, monitor, permit,
    quiet, scale, verify, wait,
};

/// The version of this sequence of steps; `requested` records it.
pub const VERSION: u32 = 3;

/// Carries an operation through, from wherever its journal says that it is.
pub async fn carry_out(cx: &Context<'_>, journal: &mut Journal<'_>) -> Result<Finished, Interrupted> {
    let mut ending = match (&cx.request.undoes, cx.request.direction) {
        (Some(operation), _) => back::undo(cx, journal, operation).await?,
        (None, Direction::Up) => up(cx, journal).await?,
        (None, Direction::Down) => down(cx, journal).await?,
    };
    interference::record(cx, journal, ending.interference.as_deref()).await?;

    // Escalation, which waits for nothing that follows
    if let Some(condition) = ending.escalation {
        escalate::to_role(cx, journal, "escalate", condition, &ending.reason).await?;
    }

    // Rollback 3: If constitutional issues detected, halt system. Nothing waits for the answer
    let offer = halt_offer::make(cx, journal, &ending).await?;

    // Rollback 1, 2, 4 and 5
    if let Some(trouble) = ending.trouble.take() {
        ending = to_known_good(cx, journal, &trouble, ending).await?;
    }

    // Whoever was held still for the time of it is put back, however it ends
    let ending = hold::put_back(cx, journal, ending).await?;

    // Step 6: Document Scaling Event
    if ending.changed_the_fleet {
        document::record(cx, journal, &ending).await?;
    }
    let ending = halt_offer::take_answer(cx, journal, offer, ending).await?;
    Ok(finish::with(cx, journal, &ending).await?.body)
}

async fn up(cx: &Context<'_>, journal: &mut Journal<'_>) -> Result<Ending, Interrupted> {
    // Step 1: Assess Current State
    let assessed = assess::current_state(cx, journal).await?.body;
    let reason = ask::why(cx, journal, &assessed).await?;
    let cx = &cx.because(reason.as_deref());

    let mut rounds = Rounds::default();
    let mut earlier = None;
    let (plan, set) = loop {
        // Step 2: Pre-Scaling Validation. During a halt: governance approval
        let permitted = permit::obtain(cx, journal, &assessed, &mut rounds).await?;
        // Who else steers the count is held still meanwhile, where policy says so
        let permitted = hold::others_still(cx, journal, permitted, &mut rounds).await?;
        let Some(permitted) = permitted else { continue };
        let (plan, permit) = match permitted {
            Ok(permitted) => permitted,
            Err(ending) => match scale::unless_done_after_all(cx, journal, earlier, ending).await? {
                Ok(done) => break done,
                Err(ending) => return Ok(ending),
            },
        };

        // Step 3: Scale API Instances
        match scale::to_plan(cx, journal, &plan, &permit, &rounds).await? {
            Effected::Done(intent, at) => break (plan, Set { halt: intent.halt, at }),
            Effected::Stopped(stop) if rounds.may_ask_again(&stop) => earlier = Some((plan, permit)),
            otherwise => return Ok(Ending::not_scaled(otherwise, &plan)),
        }
    };
    let ready = wait::until_ready(cx, journal, &plan, &set).await?;
    escalate::halt_that_began(cx, journal, "wait/halt", ready.body.halted.as_deref()).await?;
    if let Some(ending) = ready.body.ending(cx, &plan) {
        return Ok(ending);
    }
    let changed = Changed { newcomers: ready.body.newcomers, since: ready.at, halt_then: set.halt };
    verify_and_watch(cx, journal, &plan, &assessed, &changed).await
}

async fn down(cx: &Context<'_>, journal: &mut Journal<'_>) -> Result<Ending, Interrupted> {
    // Scaling Down, Step 1: Pre-Scale-Down Checks
    let assessed = assess::current_state(cx, journal).await?.body;
    let reason = ask::why(cx, journal, &assessed).await?;
    let cx = &cx.because(reason.as_deref());
    if let Some(ending) = quiet::until_enough_are_free(cx, journal, &assessed).await?.body.ending() {
        return Ok(ending);
    }

    let mut rounds = Rounds::default();
    let mut gone = Gone::default();
    let plan = 'asked: loop {
        removal::what_arrived(cx, journal, &mut gone).await?;
        let permitted = permit::obtain(cx, journal, &assessed, &mut rounds).await?;
        // Who else steers the count is held still meanwhile, where policy says so
        let permitted = hold::others_still(cx, journal, permitted, &mut rounds).await?;
        let Some(permitted) = permitted else { continue };
        let (plan, permit) = match permitted {
            Ok(permitted) => permitted,
            Err(ending) => return removal::so_far(cx, journal, gone, ending).await,
        };
        gone.under_a_new_plan();

        // Steps 2 and 3: Drain Instance, Remove Instance; one after the other
        for _ in 0..plan.fewer() {
            match removal::of_next(cx, journal, (&plan, &permit), &mut rounds, &mut gone).await? {
                Ok(()) => {}
                Err(kept) if gone.may_be_asked_again(&kept, &mut rounds) => continue 'asked,
                Err(kept) => return Ok(gone.ending(kept, &plan, rounds.known_good())),
            }
        }
        break gone.carried_out(plan);
    };
    let Some(set) = gone.set() else { return Ok(Ending::nothing_to_do(&plan)) };
    let changed = Changed { newcomers: Vec::new(), since: set.at, halt_then: set.halt };
    verify_and_watch(cx, journal, &plan, &assessed, &changed).await
}

async fn verify_and_watch(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    plan: &Plan,
    assessed: &Assessed,
    changed: &Changed,
) -> Result<Ending, Interrupted> {
    // Step 4: Verify New Instances
    let verified = verify::every_instance(cx, journal, "verify", Slot::Verification, plan, &[]).await?;
    let verified = ask::keys(cx, journal, plan, verified).await?;
    if let Some(ending) = verified.body.ending(cx, plan, &changed.newcomers) {
        return Ok(ending);
    }

    // Step 5: Monitor Post-Scaling
    let watched = monitor::watch(cx, journal, plan, assessed, changed, verified.at).await?;
    escalate::halt_that_began(cx, journal, "monitor/halt", watched.monitored.halted.as_deref()).await?;
    Ok(watched.ending(cx, plan))
}

async fn to_known_good(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    trouble: &Trouble,
    ending: Ending,
) -> Result<Ending, Interrupted> {
    let way_back = back::decide(cx, journal, trouble).await?.body;
    if !way_back.is_taken() {
        interference::record(cx, journal, way_back.interference.as_deref()).await?;
        return Ok(back::left_as_it_is(cx, &way_back, ending));
    }
    // Rollback 1: Stop routing traffic to problematic instances
    let stopping = back::stop_routing(cx, journal, trouble, &way_back).await?;

    // Rollback 2: Investigate logs on new instances
    let logs = back::save_logs(cx, journal, &way_back).await?.body;

    // Rollback 4: Scale back to known-good configuration
    let returned = back::to_known_good(cx, journal, trouble, &way_back, stopping).await?.body;
    let verified = back::verify(cx, journal, trouble, &returned).await?;
    back::escalate_unless_sound(cx, journal, &returned, verified.as_ref()).await?;

    // Rollback 5: Follow Incident Response if needed
    Ok(back::ending(cx, trouble, ending, back::Course { returned, verified, logs }))
}
