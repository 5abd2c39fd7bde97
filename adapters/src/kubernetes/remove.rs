//! Ending exactly the named pods. Kubernetes takes no such order: the count is lowered, and a controller chooses. A
//! `StatefulSet` always ends the pod with the highest number. A `ReplicaSet` begins with pods that are on no node, pending or
//! not ready, and only among equals looks at their deletion cost. So the named pods are given the lowest cost there is,
//! nothing is done where another one would be chosen all the same, and afterwards it is looked who goes.

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use scalebot_commands::ports::{Instance, OrderAnswer, PortError, RemoveOrder, ScaleOrder};
use scalebot_commands::units::{InstanceId, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::choice::{self, COST, OURS};
use super::server::{Refusal, Server, unreadable};
use super::settings::Settings;
use super::workload::{self, Observed, Owners};
use super::{missing, pods, scale};

/// How long it is waited until the pods are looked at again.
const PAUSE: Duration = Duration::from_millis(100);

/// Ends them.
///
/// # Errors
/// When it is not known whether that was begun, and when others go than those.
pub(super) async fn exactly(
    server: &Server,
    settings: &Settings,
    order: &RemoveOrder,
) -> Result<OrderAnswer, PortError> {
    // Whoever asked waits for about as long as four calls take at most.
    looked_at(server, settings, order, Instant::now() + 2 * settings.time_out).await
}

/// The same, looking until then who goes.
async fn looked_at(
    server: &Server,
    settings: &Settings,
    order: &RemoveOrder,
    until: Instant,
) -> Result<OrderAnswer, PortError> {
    let (of, owners, seen) = match seen(server, settings).await {
        Ok(seen) => seen,
        Err(error) => return Ok(nothing_done(error)),
    };
    if let Some(detail) = changed(&of, order) {
        return Ok(OrderAnswer::Conflict { detail });
    }
    let remove = Remove { server, settings, order };
    if of.kind() == "StatefulSet" {
        if let Err(answer) = choice::highest(&of, &seen, order) {
            return Ok(answer);
        }
        return remove.lower(&of, &seen, until).await;
    }
    let seen = remove.without_old_marks(seen).await;
    let places = missing::instances(&of, &owners, &seen, settings, Timestamp::now());
    let named = match named(order, &seen, &places) {
        Ok(named) => named,
        Err(answer) => return Ok(answer),
    };
    if let Err(answer) = choice::would_be(&seen, &named, order.to) {
        return Ok(answer);
    }
    if let Some(answer) = remove.mark(&named).await {
        return Ok(answer);
    }
    let answer = remove.lower(&of, &seen, until).await;
    if matches!(answer, Ok(OrderAnswer::Conflict { .. } | OrderAnswer::Refused { .. })) {
        remove.unmark(&named).await;
    }
    answer
}

/// Everything that the order is about, never from what a watch knows.
async fn seen(server: &Server, settings: &Settings) -> Result<(Observed, Owners, Vec<Pod>), PortError> {
    let of = workload::read(server, settings).await?;
    let (owners, (labelled, _)) =
        futures::try_join!(workload::owners(server, settings, &of), workload::labelled(server, settings, &of))?;
    let pods = workload::owned(labelled, &owners);
    Ok((of, owners, pods))
}

/// What it means that the way to the order failed: the count was not touched, that much is certain.
fn nothing_done(error: PortError) -> OrderAnswer {
    match error {
        PortError::Gone { .. } | PortError::Refused { .. } | PortError::NotServed { .. } => {
            OrderAnswer::Refused { detail: error.to_string() }
        }
        _ => OrderAnswer::Conflict { detail: format!("nothing was changed: {error}") },
    }
}

fn changed(of: &Observed, order: &RemoveOrder) -> Option<String> {
    if of.uid() != order.identity {
        return Some(format!("{} {} was replaced by another of the same name", of.kind(), of.name()));
    }
    if of.wanted() != order.from {
        return Some(format!("the count is {} and not {}", of.wanted(), order.from));
    }
    if of.version() != order.version {
        return Some(format!("{} {} has changed since it was looked at", of.kind(), of.name()));
    }
    let fewer = order.from.0.checked_sub(order.to.0).map(|fewer| fewer as usize);
    (fewer != Some(order.instances.len())).then(|| {
        format!("{} instances are named for a change from {} to {}", order.instances.len(), order.from, order.to)
    })
}

/// The named pods. A place that stayed empty may be named as well: lowering the count gives it up, and ends nobody.
fn named<'a>(order: &RemoveOrder, pods: &'a [Pod], there: &[Instance]) -> Result<Vec<&'a Pod>, OrderAnswer> {
    let mut found = Vec::new();
    for id in &order.instances {
        match pods.iter().find(|pod| pods::name(pod) == id.as_str()) {
            Some(pod) if pods::is_ending(pod) => {
                return Err(OrderAnswer::Conflict { detail: format!("{id} is on its way out already") });
            }
            // One that has ended holds no place: its controller gives up the place, and the pod stays listed.
            Some(pod) if pods::has_ended(pod) => {}
            Some(pod) => found.push(pod),
            None if there.iter().any(|instance| instance.id == *id) => {}
            None => return Err(OrderAnswer::Conflict { detail: format!("there is no {id} any more") }),
        }
    }
    Ok(found)
}

struct Remove<'a> {
    server: &'a Server,
    settings: &'a Settings,
    order: &'a RemoveOrder,
}

impl Remove<'_> {
    /// The pods, those that an earlier order marked and that are not meant now without that mark. A mark that cannot be
    /// taken away stays seen, and its pod is one that would be chosen first.
    async fn without_old_marks(&self, mut pods: Vec<Pod>) -> Vec<Pod> {
        let old = pods.iter_mut().filter(|pod| choice::is_marked(pod) && !self.is_named(pod));
        join_all(old.map(|pod| async move {
            let patch = json!({ "metadata": { "annotations": { COST: Value::Null } } });
            if matches!(self.patch(pod, &patch).await, Ok(Ok(()))) {
                choice::unmark(pod);
            }
        }))
        .await;
        pods
    }

    fn is_named(&self, pod: &Pod) -> bool {
        self.order.instances.iter().any(|id| id.as_str() == pods::name(pod))
    }

    /// Makes them the first to go. What keeps that from being done is the answer; then none of them is marked.
    async fn mark(&self, named: &[&Pod]) -> Option<OrderAnswer> {
        for pod in named {
            let patch = json!({ "metadata": {
                "uid": pod.metadata.uid,
                "annotations": { COST: OURS.to_string() },
            } });
            let answer = match self.patch(pod, &patch).await {
                Ok(Ok(())) => continue,
                Ok(Err(refusal)) => scale::declined(refusal).unwrap_or_else(nothing_done),
                Err(error) => nothing_done(error),
            };
            self.unmark(named).await;
            return Some(answer);
        }
        None
    }

    /// Gives them back the cost that they had. What cannot be given back is taken away before the next order.
    async fn unmark(&self, named: &[&Pod]) {
        join_all(named.iter().map(|pod| async move {
            let before = choice::cost_as_written(pod).filter(|_| !choice::is_marked(pod));
            let patch = json!({ "metadata": { "annotations": { COST: before } } });
            if !matches!(self.patch(pod, &patch).await, Ok(Ok(()))) {
                tracing::warn!(pod = pods::name(pod), "its deletion cost could not be put back");
            }
        }))
        .await;
    }

    async fn patch(&self, pod: &Pod, patch: &Value) -> Result<Result<(), Refusal>, PortError> {
        let manager = scale::manager(&self.order.operation);
        let namespace = Some(&*self.settings.namespace);
        let answer = self.server.patch::<Pod, Pod>(namespace, pods::name(pod), None, &manager, patch).await?;
        Ok(answer.map(|_| ()))
    }

    /// Lowers the count, and looks who goes.
    async fn lower(&self, of: &Observed, before: &[Pod], until: Instant) -> Result<OrderAnswer, PortError> {
        let RemoveOrder { identity, from, to, version, operation, .. } = self.order.clone();
        let order = ScaleOrder { identity, from, to, version, operation };
        let answer = scale::count(self.server, self.settings, &order).await?;
        if answer != OrderAnswer::Done {
            return Ok(answer);
        }
        let counted: Vec<&str> = before.iter().filter(|pod| pods::is_counted(pod)).map(pods::name).collect();
        loop {
            // The count is lowered, whatever can be seen of it: that somebody else goes is also noticed by whoever waits.
            let Ok(now) = workload::pods(self.server, self.settings, of).await else { return Ok(OrderAnswer::Done) };
            let stays = |name: &str| now.iter().any(|pod| pods::name(pod) == name && !pods::is_ending(pod));
            let going: Vec<&str> = counted.iter().copied().filter(|name| !stays(name)).collect();
            let meant = |name: &str| self.order.instances.iter().any(|id| id.as_str() == name);
            let others: Vec<&str> = going.iter().copied().filter(|name| !meant(name)).collect();
            if !others.is_empty() {
                return Err(unreadable(&self.somebody_else(&others, &going)));
            }
            let missing = counted.iter().any(|name| meant(name) && !going.contains(name));
            if !missing || Instant::now() >= until {
                return Ok(OrderAnswer::Done);
            }
            sleep(PAUSE).await;
        }
    }

    fn somebody_else(&self, others: &[&str], going: &[&str]) -> String {
        let left: Vec<&str> =
            self.order.instances.iter().map(InstanceId::as_str).filter(|id| !going.contains(id)).collect();
        let others = others.join(", ");
        if left.is_empty() {
            return format!("{others} ends as well, which nobody named; the count is {}", self.order.to);
        }
        format!("{others} ends instead of {}; the count is {}", left.join(", "), self.order.to)
    }
}

#[cfg(test)]
mod tests;
