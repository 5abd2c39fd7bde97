//! A plan: what the precheck would find for a wanted count, with nothing done and nobody asked.

use super::precheck::{UNCHANGED, UNTIL_APPROVED, precheck};
use super::{Card, change};
use crate::checks::Decision;
use crate::context::Context;
use crate::steps::precheck::Prechecked;

/// The precheck's card, as a plan. `command` is what would begin it.
pub fn plan(cx: &Context<'_>, found: &Prechecked, command: &str) -> Card {
    let what = change(found.plan.as_ref().map(|plan| plan.from), cx.request.to);
    let (comes_to, next) = match found.decision {
        Decision::Proceed => ("may be done", Some(format!("To do it: {command}"))),
        Decision::Approval => ("needs approval", Some(format!("To ask a governance lead for it: {command}"))),
        Decision::Refused => ("would be refused", None),
        Decision::Failed => ("cannot be done", None),
    };
    let mut card = precheck(cx, found);
    card.title = format!("Plan: {what} {comes_to}");
    card.lines.retain(|line| line != UNCHANGED && line != UNTIL_APPROVED);
    card.lines.extend(next);
    card.footer = format!("{} · asked by {} · no operation", cx.request.target, cx.request.by);
    card.line("This is a plan: nothing was done, and nobody was asked.")
}
