//! The precheck's results: the verdict first, then what blocks and what to do about it, then a row a check.

use super::{Card, Row, Tone, change};
use crate::checks::{Check, Decision, Follows, Status};
use crate::context::Context;
use crate::steps::precheck::Prechecked;

/// The card of a finished precheck.
pub fn precheck(cx: &Context<'_>, found: &Prechecked) -> Card {
    let what = change(found.plan.as_ref().map(|plan| plan.from), cx.request.to);
    let (tone, title) = match found.decision {
        Decision::Proceed if found.checks.iter().any(|check| check.status != Status::Pass) => {
            (Tone::Good, format!("Precheck passed, with remarks: {what}"))
        }
        Decision::Proceed => (Tone::Good, format!("Precheck passed: {what}")),
        Decision::Approval => (Tone::Warn, format!("Approval needed: {what}")),
        Decision::Refused => (Tone::Bad, format!("Refused: {what}")),
        Decision::Failed => (Tone::Bad, format!("Failed: {what}")),
    };
    let mut card = Card::new(tone, title, cx).lines(found.reasons.iter().cloned());
    if found.decision == Decision::Proceed {
        let remarks = found.checks.iter().filter(|check| check.status != Status::Pass);
        card = card.lines(remarks.filter_map(|check| Some(format!("{}: {}", check.name, check.advice.as_deref()?))));
    }
    card = card.lines(cx.ports.target.dashboards.iter().map(|url| format!("Dashboard: {url}")));
    card.rows = found.checks.iter().map(row).collect();
    card
}

fn row(check: &Check) -> Row {
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
