//! What every step of an operation is given: the ports, the limits in force, and what was asked for.

use std::time::Duration;

use crate::event::Kind;
use crate::figures::Load;
use crate::journal::{Interrupted, Journal, unreadable};
use crate::patience::within;
use crate::policy::Policy;
use crate::ports::{Choice, Draining, FleetState, PortError, Ports, Routed, Slot};
use crate::request::Requested;
use crate::units::{OperationId, Person, Replicas, Timestamp};

/// The room, as an error names it.
const ROOM: &str = "the chat system";

/// The surroundings of one operation.
pub struct Context<'a> {
    /// Everything outside.
    pub ports: &'a Ports,
    /// The limits in force.
    pub policy: &'a Policy,
    /// The operation.
    pub operation: &'a OperationId,
    /// What was asked for.
    pub request: &'a Requested,
    /// Why it is done, in the operator's words, as far as anybody said.
    pub reason: Option<&'a str>,
}

impl<'a> Context<'a> {
    /// The same surroundings, now that somebody has said why.
    pub fn because<'b>(&self, reason: Option<&'b str>) -> Context<'b>
    where
        'a: 'b,
    {
        let Self { ports, policy, operation, request, .. } = *self;
        Context { ports, policy, operation, request, reason }
    }

    /// The fleet now, within `limit`.
    pub async fn fleet_within(&self, limit: Duration) -> Result<FleetState, PortError> {
        let fleet = &self.ports.target.fleet;
        within(&*self.ports.world, limit, &fleet.describe(), fleet.observe()).await
    }

    /// The fleet now, within the limit of one look.
    pub async fn fleet(&self) -> Result<FleetState, PortError> {
        self.fleet_within(self.policy.time.look).await
    }

    /// How long an order to the fleet may take.
    pub(crate) fn order_limit(&self) -> Duration {
        self.ports.target.fleet.order_takes().unwrap_or(self.policy.time.look).max(self.policy.time.look)
    }

    /// The load since then, within the limit of one look.
    pub async fn load(&self, since: Timestamp) -> Result<Load, PortError> {
        let metrics = &self.ports.target.metrics;
        within(&*self.ports.world, self.policy.time.look, &metrics.describe(), metrics.load(since)).await
    }

    /// Who is routed to, within the limit of one look.
    pub async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        self.routed_within(self.policy.time.look).await
    }

    /// Who is routed to, within `limit`.
    pub async fn routed_within(&self, limit: Duration) -> Result<Vec<Routed>, PortError> {
        let traffic = &self.ports.target.traffic;
        within(&*self.ports.world, limit, &traffic.describe(), traffic.routed()).await
    }

    /// How new requests to an instance can be stopped, within the limit of one look.
    pub async fn draining(&self) -> Result<Draining, PortError> {
        let traffic = &self.ports.target.traffic;
        within(&*self.ports.world, self.policy.time.look, &traffic.describe(), traffic.draining()).await
    }

    /// Why nobody can name who is ended; `None` where somebody can.
    pub(crate) fn unnamed(&self) -> Option<String> {
        // It is the orchestrator that is like that, not what it has at the moment.
        match self.ports.target.fleet.choice(&FleetState::unseen(Replicas(0))) {
            Choice::Unnamed { why } => Some(why),
            Choice::Any | Choice::InOrder { .. } => None,
        }
    }

    /// Shows people a card. The operation does not depend on being seen: what cannot be shown is logged, and the log
    /// channel tells it anyway. Bounded like every other look, so that a chat system that hangs holds nothing up.
    pub async fn show(&self, slot: Slot, card: crate::card::Card) {
        let shown = self.ports.room.show(self.operation, slot, &card);
        if let Err(error) = within(&*self.ports.world, self.policy.time.look, ROOM, shown).await {
            tracing::warn!(operation = %self.operation, %error, "a card could not be shown");
        }
    }

    /// Tells one person something privately, on the same terms.
    pub async fn answer(&self, person: &Person, text: &str) {
        let answered = self.ports.room.answer(person, text);
        if let Err(error) = within(&*self.ports.world, self.policy.time.look, ROOM, answered).await {
            tracing::warn!(operation = %self.operation, %error, "somebody could not be answered");
        }
    }
}

/// Reads the request that opened the operation.
pub fn request_of(journal: &Journal<'_>) -> Result<Requested, Interrupted> {
    let event = journal.request()?;
    debug_assert_eq!(event.kind, Kind::Requested.as_str());
    serde_json::from_str(&event.body).map_err(|error| unreadable(event, &error))
}
