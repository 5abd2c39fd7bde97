//! Whether more instances find room: what the namespace's quotas let in, and what the nodes have left. Both are looked at
//! before, since neither refuses the change of the count: it is accepted, and the pods do not come or stay pending.

mod demand;
mod nodes;
mod placing;
mod quota;

use futures::try_join;
use k8s_openapi::api::core::v1::{LimitRange, Node, Pod, PodSpec, ResourceQuota};
use scalebot_commands::ports::{Headroom, PortError};
use scalebot_commands::request::quoted;
use scalebot_commands::units::Replicas;

use self::demand::Demand;
use self::nodes::has_ended;
use self::placing::Newcomer;
use super::objects::{Object, Which};
use super::selection::Labels;
use super::server::{Refusal, Server, unreadable};
use super::settings::Settings;
use super::workload::{Observed, pods};

/// The labels by which pods of one template are told from those of another, which no template has.
const OF_THE_TEMPLATE: [&str; 2] = ["pod-template-hash", "controller-revision-hash"];

/// The pods that hold something of a node.
const NOT_ENDED: &str = "status.phase!=Failed,status.phase!=Succeeded";

/// How many pods fit, and what runs out with the next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tight {
    fits: u32,
    /// A noun: "… is used up".
    runs_out: String,
}

/// Everything that decides on room, as it was read.
struct Around {
    quotas: Vec<ResourceQuota>,
    ranges: Vec<LimitRange>,
    nodes: Vec<Node>,
    everybody: Vec<Pod>,
    own: Vec<Pod>,
}

/// How many more instances fit, up to `wanted` more.
///
/// # Errors
/// [`PortError::Refused`] when the nodes may not be listed: it is not known then. Also when something cannot be counted.
pub(super) async fn headroom(
    server: &Server,
    settings: &Settings,
    workload: &Observed,
    wanted: Replicas,
) -> Result<Headroom, PortError> {
    let namespace = Some(&*settings.namespace);
    let here = Which { namespace, ..Which::default() };
    let bound = Which { fields: Some(NOT_ENDED), ..Which::default() };
    let (quotas, ranges, nodes, everybody, own) = try_join!(
        all(server, &here),
        all(server, &here),
        all(server, &Which { namespace: None, labels: None, fields: None }),
        all(server, &bound),
        pods(server, settings, workload),
    )?;
    let around = Around { quotas, ranges, nodes, everybody, own };
    let count = around.nodes.len();
    let Tight { fits, runs_out } =
        fits(&around, settings, workload, wanted.0).map_err(|why| unreadable(&format!("room: {why}")))?;
    Ok(Headroom {
        fits: Replicas(fits),
        runs_out: (fits < wanted.0).then_some(runs_out),
        source: format!("quotas of namespace {} and {count} nodes", quoted(&settings.namespace)),
    })
}

async fn all<K: Object>(server: &Server, which: &Which<'_>) -> Result<Vec<K>, PortError> {
    Ok(server.list(which).await?.map_err(Refusal::error)?.0)
}

fn fits(around: &Around, settings: &Settings, workload: &Observed, wanted: u32) -> Result<Tight, String> {
    let template = workload.template();
    let spec = template.spec.as_ref().ok_or("its pods have no spec")?;
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Err("its pods claim devices (resourceClaims), which cannot be counted".to_owned());
    }
    let demand = Demand::of_new(spec, &around.ranges)?;
    if let Some(runs_out) = demand.refused_by(&around.ranges)? {
        return Ok(Tight { fits: 0, runs_out });
    }
    let ahead = Ahead::of(&around.own, workload.wanted());
    let newest = around.own.iter().max_by_key(|pod| pod.metadata.creation_timestamp.clone());
    let class = priority_class(spec, newest);
    let labels = labels(template.metadata.as_ref().and_then(|meta| meta.labels.as_ref()), newest);
    let newcomer = Newcomer { namespace: &settings.namespace, labels: &labels, spec, demand: &demand };
    let places = nodes::places(&around.nodes, &around.everybody, spec)?;
    let most = wanted.saturating_add(ahead.unbound);
    let mut tight = placing::placed(&places, &around.everybody, &newcomer, most)?;
    tight.fits = tight.fits.saturating_sub(ahead.unbound);
    if let Some(mut quota) = quota::tightest(&around.quotas, spec, class, &demand)? {
        quota.fits = quota.fits.saturating_sub(ahead.missing);
        // Where both are as tight, the quota is what a person can change.
        if quota.fits <= tight.fits && quota.fits < wanted {
            tight = quota;
        }
    }
    Ok(tight)
}

/// Pods that are wanted already and will take their room before any that is asked about.
struct Ahead {
    /// Not made yet.
    missing: u32,
    /// Not made, or on no node yet.
    unbound: u32,
}

impl Ahead {
    fn of(own: &[Pod], wanted: Replicas) -> Self {
        let live: Vec<&Pod> =
            own.iter().filter(|pod| !has_ended(pod) && pod.metadata.deletion_timestamp.is_none()).collect();
        let on_a_node = |pod: &&&Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let pending = count(live.len() - live.iter().filter(on_a_node).count());
        let missing = wanted.0.saturating_sub(count(live.len()));
        Self { missing, unbound: missing.saturating_add(pending) }
    }
}

/// The class that its pods get: the cluster may have a default one, which only a pod shows.
fn priority_class<'a>(spec: &'a PodSpec, newest: Option<&'a Pod>) -> Option<&'a str> {
    let given = newest.and_then(|pod| pod.spec.as_ref()?.priority_class_name.as_deref());
    spec.priority_class_name.as_deref().or(given)
}

fn labels(of_template: Option<&Labels>, newest: Option<&Pod>) -> Labels {
    let mut labels = of_template.cloned().unwrap_or_default();
    for key in OF_THE_TEMPLATE {
        if let Some(value) = newest.and_then(|pod| pod.metadata.labels.as_ref()?.get(key)) {
            labels.insert(key.to_owned(), value.clone());
        }
    }
    labels
}

#[cfg(test)]
mod tests;
