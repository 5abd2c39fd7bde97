//! What governance asks before a scaling: the complexity budget, early warnings, and a documented reason.

use super::{Check, Follows, Status};
use crate::context::Context;
use crate::patience::{ask_all, within};
use crate::ports::{ComplexityBudget, FleetState, InstanceState, PortError};

const COMPLEXITY: (&str, &str) = ("complexity budget", "1: check complexity budget (CT-14)");
const WARNINGS: (&str, &str) = ("early warnings", "trigger: early warning alert from failure prevention system");
const RATIONALE: (&str, &str) = ("rationale", "1: document scaling decision rationale");

/// From which share of a limit on a dimension is worth a word.
const NEAR: f64 = 0.8;

pub(super) async fn complexity(cx: &Context<'_>) -> Check {
    const SOURCE: &str = "complexity dashboard";
    let Some(governance) = &cx.ports.target.governance else {
        return Check::not_configured(COMPLEXITY.0, COMPLEXITY.1, "no complexity dashboard is configured");
    };
    match within(&*cx.ports.world, cx.policy.time.look, SOURCE, governance.complexity()).await {
        Ok(budget) => judged(SOURCE, &budget),
        Err(error) => Check::unknown(COMPLEXITY.0, COMPLEXITY.1, SOURCE, error.to_string(), Follows::Approval)
            .advice("Without proof that the budget is kept, a governance lead has to approve."),
    }
}

fn judged(source: &str, budget: &ComplexityBudget) -> Check {
    let figure: Vec<String> =
        budget.dimensions.iter().map(|one| format!("{} {} of {}", one.name, one.used, one.limit)).collect();
    let check = Check::passed(COMPLEXITY.0, COMPLEXITY.1, source, figure.join(", "));
    let breached: Vec<&str> =
        budget.dimensions.iter().filter(|one| one.used > one.limit).map(|one| one.name.as_str()).collect();
    let near = budget.dimensions.iter().any(|one| f64::from(one.used) >= NEAR * f64::from(one.limit));
    match budget.overall.as_str() {
        "within_budget" | "warning" if !breached.is_empty() => check
            .came_to(Status::Fail, Follows::Approval)
            .advice(format!("Over its limit: {}. A governance lead has to approve.", breached.join(", "))),
        "within_budget" if !near => check,
        "within_budget" | "warning" => check
            .came_to(Status::Warn, Follows::Nothing)
            .advice("Close to the limit. Scaling adds operational complexity."),
        "breached" => check
            .came_to(Status::Fail, Follows::Approval)
            .advice("The complexity budget is breached. A governance lead has to approve."),
        other => {
            let figure = format!("unknown overall status \"{}\"", crate::request::quoted(other));
            Check::unknown(COMPLEXITY.0, COMPLEXITY.1, source, figure, Follows::Approval)
                .advice("Without proof that the budget is kept, a governance lead has to approve.")
        }
    }
}

pub(super) async fn warnings(cx: &Context<'_>, known: &FleetState) -> Check {
    let ready: Vec<_> = known.instances.iter().filter(|instance| instance.state == InstanceState::Ready).collect();
    let source = format!("{} instances", ready.len());
    let answers: Vec<_> = ask_all(ready.iter().map(|instance| async move {
        let what = format!("instance {}", instance.id);
        within(&*cx.ports.world, cx.policy.time.look, &what, cx.ports.target.probe.warnings(instance)).await
    }))
    .await;
    let mut active: Vec<String> = Vec::new();
    let mut unknown: Vec<String> = Vec::new();
    let mut answered = 0;
    for answer in answers {
        match answer {
            Ok(warnings) => {
                answered += 1;
                for warning in warnings {
                    let degree = if warning.critical { "critical" } else { "warning" };
                    let text = format!(
                        "{} ({degree}): {} {} beyond {}",
                        crate::request::quoted(&warning.mode),
                        crate::request::quoted(&warning.metric),
                        warning.value,
                        warning.threshold
                    );
                    if !active.contains(&text) {
                        active.push(text);
                    }
                }
            }
            Err(PortError::NotServed { .. }) => {}
            Err(error) => unknown.push(error.to_string()),
        }
    }
    if !active.is_empty() {
        return Check::passed(WARNINGS.0, WARNINGS.1, source, active.join("; "))
            .came_to(Status::Warn, Follows::Trigger)
            .advice("Look at what they name as well; they count as a reason for this scaling.");
    }
    if !unknown.is_empty() {
        return Check::unknown(WARNINGS.0, WARNINGS.1, source, unknown.join("; "), Follows::Nothing);
    }
    if answered == 0 {
        return Check::not_configured(WARNINGS.0, WARNINGS.1, "no instance serves early warnings");
    }
    Check::passed(WARNINGS.0, WARNINGS.1, source, "none is active")
}

/// Why it is done: the operator's words, else the trigger conditions that hold.
pub(super) fn rationale(cx: &Context<'_>, others: &[Check]) -> Check {
    let triggers: Vec<&str> =
        others.iter().filter(|check| check.follows == Follows::Trigger).map(|check| check.name.as_str()).collect();
    match (cx.reason, triggers.as_slice()) {
        (Some(reason), _) => {
            Check::passed(RATIONALE.0, RATIONALE.1, "the operator", crate::request::escaped(reason, 200))
        }
        (None, []) => Check::passed(RATIONALE.0, RATIONALE.1, "the operator", "no reason given")
            .came_to(Status::Warn, Follows::Nothing)
            .advice("No limit is known to be exceeded, and no reason was given. Next time add: reason:\"…\""),
        (None, triggers) => Check::passed(
            RATIONALE.0,
            RATIONALE.1,
            "trigger conditions",
            format!("over the limit: {}", triggers.join(", ")),
        ),
    }
}
