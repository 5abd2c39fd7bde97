//! `/scale plan N`: the very checks of the runbook for that count, with nothing done and nobody asked.

use super::{Question, no_operation};
use crate::card::{self, Card};
use crate::context::Context;
use crate::ports::FleetState;
use crate::reading::Reading;
use crate::request::{Direction, Request};
use crate::steps::precheck;
use crate::units::Replicas;

pub(super) async fn answer(question: &Question<'_>, request: &Request, to: Replicas) -> Card {
    let Question { ports, desk, asker } = question;
    let operation = no_operation();
    // Which way it is shows only once the fleet is seen; up is as good as any while it is not.
    let requested = question.as_if_requested(request.to_string(), Direction::Up, to);
    let cx = Context { ports, policy: desk.policy, operation: &operation, request: &requested, reason: None };
    let fleet: Reading<FleetState> = cx.fleet().await.into();
    let direction = fleet.known().map_or(Direction::Up, |fleet| Direction::of(fleet.wanted, to));
    let begins = Request::Change { direction, to, target: request.target().cloned(), reason: None };
    let requested = question.as_if_requested(begins.to_string(), direction, to);
    let cx = Context { request: &requested, ..cx };
    let found = precheck::examine(&cx, &fleet).await;
    tracing::debug!(by = %asker.by, decision = ?found.decision, "a plan was looked at");
    card::plan(&cx, &found, &begins.to_string())
}
