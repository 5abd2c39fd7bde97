//! The instances, their count, and the forwarder before them.

use async_trait::async_trait;
use reqwest::StatusCode;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    Declared, DisruptionBudget, Fleet, FleetState, Headroom, OrderAnswer, PortError, Precondition, RemoveOrder,
    RouteOrder, Routed, ScaleOrder, Steering, Traffic,
};
use scalebot_commands::units::{InstanceId, Replicas};

use super::wire::{DeclaredFile, Drain, Forwarded, InstanceLog, Remove, Room, Scale, ScaleResult, Scaled};
use super::{WORLD, WorldClient};
use crate::http::Answer;

const SCALE: &str = "/fleet/scale";
const REMOVE: &str = "/fleet/remove";
const DRAIN: &str = "/traffic/drain";

/// The world's instances.
#[derive(Clone, Debug)]
pub struct ProcessFleet {
    world: WorldClient,
}

impl ProcessFleet {
    /// The instances of that world.
    pub fn new(world: &WorldClient) -> Self {
        Self { world: world.clone() }
    }

    /// Sends an order, once.
    pub(super) async fn order(&self, order: &Scale) -> Result<OrderAnswer, PortError> {
        self.answered(SCALE, &self.world.post(SCALE, order).await?)
    }

    /// Sends an order to end some, once.
    pub(super) async fn order_end(&self, order: &Remove) -> Result<OrderAnswer, PortError> {
        self.answered(REMOVE, &self.world.post(REMOVE, order).await?)
    }

    /// The answer to an order, when status and word agree; anything else did not come from a world that carried it
    /// out or declined, so it is not known what happened.
    fn answered(&self, path: &str, answer: &Answer) -> Result<OrderAnswer, PortError> {
        let unknown =
            || self.world.http.unreadable(format!("{path} answered {} with words that do not fit", answer.status));
        let Scaled { result, detail } = serde_json::from_slice(&answer.body).map_err(|_| unknown())?;
        match (answer.status, result) {
            (StatusCode::OK, ScaleResult::Done) => Ok(OrderAnswer::Done),
            (StatusCode::CONFLICT, ScaleResult::Conflict) => Ok(OrderAnswer::Conflict { detail }),
            (StatusCode::UNPROCESSABLE_ENTITY, ScaleResult::Refused) => Ok(OrderAnswer::Refused { detail }),
            _ => Err(unknown()),
        }
    }
}

#[async_trait]
impl Fleet for ProcessFleet {
    async fn observe(&self) -> Result<FleetState, PortError> {
        self.world.get("/fleet").await
    }

    async fn scale(&self, order: &ScaleOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let order = Scale {
            identity: order.identity.clone(),
            from: order.from,
            to: order.to,
            version: order.version.clone(),
            operation: order.operation.clone(),
        };
        self.order(&order).await
    }

    async fn remove(&self, order: &RemoveOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let order = Remove {
            identity: order.identity.clone(),
            from: order.from,
            to: order.to,
            version: order.version.clone(),
            instances: order.instances.clone(),
            operation: order.operation.clone(),
        };
        self.order_end(&order).await
    }

    async fn logs(&self, instance: &InstanceId, most: usize) -> Result<String, PortError> {
        let Some(name) = path_segment(instance.as_str()) else {
            return Err(self.world.http.not_served("/fleet/logs", "holds nothing of that name"));
        };
        let log: InstanceLog = self.world.get(&format!("/fleet/logs/{name}?most={most}")).await?;
        Ok(log.text)
    }

    async fn disruptions_allowed(&self) -> Result<Option<DisruptionBudget>, PortError> {
        // Nothing in the world has such a rule.
        Ok(None)
    }

    async fn headroom(&self, wanted: Replicas) -> Result<Headroom, PortError> {
        let Room { free, limit } = self.world.get("/fleet/room").await?;
        Ok(Headroom { fits: free.min(wanted), runs_out: (free < wanted).then_some(limit), source: WORLD.to_owned() })
    }

    fn precondition(&self) -> Precondition {
        Precondition::Enforced
    }

    async fn steered_by(&self) -> Result<Vec<Steering>, PortError> {
        // The world changes its count on an order only; there is nothing in it that could steer.
        Ok(Vec::new())
    }

    async fn declared(&self) -> Result<Option<Declared>, PortError> {
        let DeclaredFile { path, text } = self.world.get("/fleet/declared").await?;
        declared_in(&path, &text).map(Some).map_err(|detail| self.world.named(&path).http.unreadable(detail))
    }

    fn describe(&self) -> String {
        "this machine's processes".to_owned()
    }
}

/// A name as one segment of a path, so that nothing in it leads elsewhere. A client takes dots alone for steps up,
/// however they are written: there is no segment for these.
fn path_segment(name: &str) -> Option<String> {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    (!name.bytes().all(|byte| byte == b'.')).then_some(segment)
}

/// The one line `instances = N` of a declaration; comments and other keys may stand around it.
fn declared_in(path: &str, text: &str) -> Result<Declared, String> {
    let mut found = text.lines().enumerate().filter_map(|(index, line)| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "instances").then_some((index + 1, line, value))
    });
    let (number, line, value) = found.next().ok_or("it has no line \"instances = …\"")?;
    if let Some((second, ..)) = found.next() {
        return Err(format!("lines {number} and {second} both say how many instances"));
    }
    let value = value.split('#').next().unwrap_or_default().trim();
    let count = value.parse().map_err(|_| format!("line {number} does not say a number of instances"))?;
    Ok(Declared { count: Replicas(count), place: format!("{path}, line {number}"), line: line.to_owned() })
}

/// The world's round-robin forwarder.
#[derive(Clone, Debug)]
pub struct ForwarderTraffic {
    world: WorldClient,
}

impl ForwarderTraffic {
    /// The forwarder of that world.
    pub fn new(world: &WorldClient) -> Self {
        Self { world: world.named("the rehearsal's forwarder") }
    }
}

#[async_trait]
impl Traffic for ForwarderTraffic {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        let forwarded: Vec<Forwarded> = self.world.get("/traffic").await?;
        Ok(forwarded
            .into_iter()
            .map(|Forwarded { instance, receives, drained, requests, in_flight }| Routed {
                instance,
                receives,
                drained,
                requests: Some(requests),
                in_flight: Some(in_flight),
            })
            .collect())
    }

    async fn route(&self, order: &RouteOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let order = Drain { instance: order.instance.clone(), drained: !order.receives };
        let answer = self.world.post(DRAIN, &order).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(OrderAnswer::Refused { detail: format!("it knows no instance {}", order.instance) });
        }
        self.world.http.accept(DRAIN, &answer)?;
        Ok(OrderAnswer::Done)
    }

    fn describe(&self) -> String {
        "the rehearsal's forwarder".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declared_line_is_found_among_comments_and_other_keys() {
        let text = "# The rehearsal's fleet.\nname = \"api\"\ninstances = 4 # see the runbook\n";
        assert_eq!(
            declared_in("/state/fleet.toml", text),
            Ok(Declared {
                count: Replicas(4),
                place: "/state/fleet.toml, line 3".to_owned(),
                line: "instances = 4 # see the runbook".to_owned(),
            })
        );
    }

    #[test]
    fn a_name_in_a_path_leads_nowhere_else() {
        assert_eq!(path_segment("api-1").as_deref(), Some("api-1"));
        assert_eq!(path_segment("../x?y=1#z").as_deref(), Some("..%2Fx%3Fy%3D1%23z"));
        assert_eq!(path_segment("ä%2F").as_deref(), Some("%C3%A4%252F"));
        assert_eq!([path_segment(""), path_segment("."), path_segment("..")], [None, None, None]);
    }

    #[test]
    fn a_declaration_that_says_nothing_or_two_things_is_never_a_guess() {
        let wrong = |text| declared_in("fleet.toml", text).unwrap_err();
        assert_eq!(wrong("# instances: 4\n"), "it has no line \"instances = …\"");
        assert_eq!(wrong("instances = four\n"), "line 1 does not say a number of instances");
        assert_eq!(wrong("instances = -4\n"), "line 1 does not say a number of instances");
        assert_eq!(wrong("instances = 4\n\ninstances = 6\n"), "lines 1 and 3 both say how many instances");
    }
}
