//! `/scale capacity [load]`: what one instance carries, as measured, and how many a load needs.

use super::{Question, no_operation};
use crate::capacity::Capacity;
use crate::card::{self, Card};
use crate::checks;
use crate::context::Context;
use crate::request::{Direction, Rate};
use crate::units::{InstanceId, Millis, Replicas};

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct CapacitySeen {
    /// The load that was asked about; `None` means the present one.
    pub asked: Option<Rate>,
    /// What an instance carries, or why that could not be measured.
    pub measured: Result<Capacity, String>,
    /// Over how long.
    pub window: Millis,
    /// Instances that could not be read.
    pub missing: Vec<InstanceId>,
    /// How many instances there are to be now; `None` when the fleet could not be seen.
    pub wanted: Option<Replicas>,
}

pub(super) async fn answer(question: &Question<'_>, asked: Option<Rate>) -> Card {
    let Question { ports, desk, asker } = question;
    let operation = no_operation();
    let requested = question.as_if_requested("/scale capacity".to_owned(), Direction::Up, Replicas(0));
    let cx = Context { ports, policy: desk.policy, operation: &operation, request: &requested, reason: None };
    let fleet = cx.fleet().await;
    let since = match &fleet {
        Ok(fleet) => checks::sustained_since(&cx, fleet),
        Err(_) => ports.world.now() - desk.policy.load.sustained,
    };
    let wanted = fleet.ok().map(|fleet| fleet.wanted);
    let seen = match cx.load(since).await {
        Err(error) => {
            CapacitySeen { asked, measured: Err(error.to_string()), window: Millis(0), missing: vec![], wanted }
        }
        Ok(load) => {
            let unmeasured = || {
                format!("the instances do not tell how busy they are, or had nothing to do in the last {}", load.window)
            };
            let measured = Capacity::measure(&load).ok_or_else(unmeasured);
            CapacitySeen { asked, measured, window: load.window, missing: load.missing.clone(), wanted }
        }
    };
    card::capacity(asker, desk.policy, &seen)
}
