//! The precheck's results: the verdict first, then what blocks and what to do about it, then a row a check.

use super::{Card, Row, Tone, change, sentence};
use crate::checks::{Check, Decision, Follows, Status};
use crate::context::Context;
use crate::ports::Precondition;
use crate::steps::precheck::Prechecked;

/// Said last where nothing was done, and where nothing is done yet.
pub(super) const UNCHANGED: &str = "Nothing was changed.";
/// Said where the orchestrator does not hold to the precondition itself.
pub(super) const ADVISORY: &str = "The count is looked at right before it is changed, not in the same step: what somebody else \
                                   does in that second is not refused, only seen afterwards.";
pub(super) const UNTIL_APPROVED: &str = "Nothing is changed until a governance lead has approved it.";

/// The card of a finished precheck.
pub fn precheck(cx: &Context<'_>, found: &Prechecked) -> Card {
    let what = change(found.plan.as_ref().map(|plan| plan.from), cx.request.to);
    let (tone, title) = match found.decision {
        Decision::Proceed if found.checks.iter().any(is_remark) => {
            (Tone::Good, format!("Precheck passed, with remarks: {what}"))
        }
        Decision::Proceed => (Tone::Good, format!("Precheck passed: {what}")),
        Decision::Approval => (Tone::Warn, format!("Approval needed: {what}")),
        Decision::Refused => (Tone::Bad, format!("Refused: {what}")),
        Decision::Failed => (Tone::Bad, format!("Failed: {what}")),
    };
    let mut card = Card::new(tone, title, cx).lines(found.reasons.iter().map(|reason| sentence(reason)));
    if found.decision == Decision::Proceed {
        card = card.lines(remarks(&found.checks));
    }
    card = card.lines(cx.ports.target.dashboards.iter().map(|url| format!("Dashboard: {url}")));
    let is_advisory = found.plan.as_ref().is_some_and(|plan| plan.precondition == Precondition::Advisory);
    if is_advisory && matches!(found.decision, Decision::Proceed | Decision::Approval) {
        card = card.line(ADVISORY);
    }
    card = match found.decision {
        Decision::Refused | Decision::Failed => card.line(UNCHANGED),
        Decision::Approval => card.line(UNTIL_APPROVED),
        Decision::Proceed => card,
    };
    card.rows = found.checks.iter().map(row).collect();
    card
}

/// What to do about each remark, a line each; said once where it is the same for several.
fn remarks(checks: &[Check]) -> Vec<String> {
    let mut said: Vec<(Vec<&str>, &str)> = Vec::new();
    for check in checks.iter().filter(|check| is_remark(check)) {
        let Some(advice) = check.advice.as_deref() else { continue };
        match said.iter_mut().find(|(_, known)| *known == advice) {
            Some((names, _)) => names.push(&check.name),
            None => said.push((vec![&check.name], advice)),
        }
    }
    said.iter().map(|(names, advice)| sentence(&format!("{}: {advice}", names.join(", ")))).collect()
}

/// Whether somebody should know of it. A reason to scale up is none, and neither is what was never configured.
pub(crate) fn is_remark(check: &Check) -> bool {
    match check.status {
        Status::Pass | Status::NotConfigured => false,
        Status::Fail => check.follows != Follows::Trigger,
        Status::Warn | Status::Unknown => true,
    }
}

pub(super) fn row(check: &Check) -> Row {
    let tone = match (check.status, check.follows) {
        (Status::Pass, _) => Tone::Good,
        (Status::Warn, _) | (Status::Fail, Follows::Trigger) => Tone::Warn,
        (Status::Fail, _) => Tone::Bad,
        (Status::Unknown, _) => Tone::Unknown,
        (Status::NotConfigured, _) => Tone::Info,
    };
    let mut text = check.figure.clone();
    let mut remarks = Vec::new();
    if let Some(limit) = &check.limit {
        remarks.push(format!("limit: {limit}"));
    }
    if let Some(window) = check.age {
        remarks.push(format!("over {window}"));
    }
    if check.follows == Follows::Trigger {
        remarks.push("a reason to scale up".to_owned());
    }
    if !remarks.is_empty() {
        text.push_str(&format!(" ({})", remarks.join("; ")));
    }
    Row::new(tone, &check.name, text)
}
