//! Who is sent requests, by the `EndpointSlice`s of the Service; and taking a pod out of it by a label, where its selector
//! has one that the workload's has not.
//!
//! A pod that loses a label of the workload's own selector is let go by its controller, which makes another and then ends
//! the wrong one. So without a label of the Service's own no pod is touched: it leaves the Service as it ends.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::try_join;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{Draining, OrderAnswer, PortError, RouteOrder, Routed, Traffic};
use scalebot_commands::request::escaped;
use scalebot_commands::units::InstanceId;
use serde_json::json;

use super::objects::Which;
use super::server::Refusal;
use super::workload::{self, Observed};
use super::{Inner, Kubernetes, scale};

/// The value of the Service's own label by which a pod is out of it.
const OUT: &str = "out-of-service";

/// The same, where the Service selects just that.
const OUT_OTHERWISE: &str = "drained";

/// What a slice names the Service by that it belongs to.
const SERVICE: &str = "kubernetes.io/service-name";

/// How long a pod has to end where nothing else is said, as the API server fills it in.
const GRACE: Duration = Duration::from_secs(30);

/// Labels that the controllers set: they tell their pods by them.
const CONTROLLERS_OWN: [&str; 4] = [
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];

/// The Service before a workload.
#[derive(Clone)]
pub struct Endpoints {
    inner: Arc<Inner>,
}

impl Kubernetes {
    /// The Service that sends the fleet requests.
    pub fn traffic(&self) -> Endpoints {
        Endpoints { inner: Arc::clone(&self.inner) }
    }
}

/// The label by which pods are in the Service, and by nothing else: with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnLabel {
    key: String,
    value: String,
}

impl OwnLabel {
    /// Whether that pod was taken out by it.
    fn is_out(&self, pod: &Pod) -> bool {
        label(pod, &self.key) != Some(&self.value)
    }

    /// The value that takes a pod out.
    fn out(&self) -> &'static str {
        if self.value == OUT { OUT_OTHERWISE } else { OUT }
    }
}

impl Endpoints {
    async fn service(&self) -> Result<Service, PortError> {
        let settings = &self.inner.settings;
        let found = self.inner.server.get::<Service>(Some(&settings.namespace), &settings.service).await?;
        found.map_err(|refusal| {
            if refusal.is_not_found() {
                PortError::NotServed { what: self.describe(), detail: refusal.sentence() }
            } else {
                refusal.error()
            }
        })
    }

    async fn slices(&self) -> Result<Vec<EndpointSlice>, PortError> {
        let settings = &self.inner.settings;
        let of = format!("{SERVICE}={}", settings.service);
        let which = Which { namespace: Some(&settings.namespace), labels: Some(&of), fields: None };
        let (slices, _) = self.inner.server.list::<EndpointSlice>(&which).await?.map_err(Refusal::error)?;
        Ok(slices)
    }

    async fn workload(&self) -> Result<Observed, PortError> {
        workload::read(&self.inner.server, &self.inner.settings).await
    }

    async fn pods(&self) -> Result<(Observed, Vec<Pod>), PortError> {
        let workload = self.workload().await?;
        let pods = workload::pods(&self.inner.server, &self.inner.settings, &workload).await?;
        Ok((workload, pods))
    }

    /// One pod by its name; `None` when there is none.
    async fn pod(&self, name: &InstanceId) -> Result<Option<Pod>, PortError> {
        let namespace = Some(&*self.inner.settings.namespace);
        match self.inner.server.get::<Pod>(namespace, name.as_str()).await? {
            Ok(pod) => Ok(Some(pod)),
            Err(refusal) if refusal.is_not_found() => Ok(None),
            Err(refusal) => Err(refusal.error()),
        }
    }

    /// Takes a pod out, or lets it in again.
    async fn order(&self, order: &RouteOrder) -> Result<OrderAnswer, PortError> {
        let (service, workload, pod) = try_join!(self.service(), self.workload(), self.pod(&order.instance))?;
        let Some(own) = own_label(&service, &workload) else {
            return Ok(OrderAnswer::Refused { detail: self.no_label(&workload) });
        };
        let Some(pod) = pod else {
            return Ok(OrderAnswer::Refused { detail: format!("there is no pod {}", order.instance) });
        };
        if own.is_out(&pod) != order.receives {
            return Ok(OrderAnswer::Done);
        }
        let value = if order.receives { &*own.value } else { own.out() };
        // Another pod of that name, as a StatefulSet makes them, has another uid and is left alone.
        let patch = json!({ "metadata": { "uid": pod.metadata.uid, "labels": { own.key: value } } });
        let manager = scale::manager(&order.operation);
        let namespace = Some(&*self.inner.settings.namespace);
        let name = order.instance.as_str();
        let answer = self.inner.server.patch::<Pod, Pod>(namespace, name, None, &manager, &patch).await?;
        answer.map_or_else(scale::declined, |_| Ok(OrderAnswer::Done))
    }

    /// Why no pod can be taken out by a label.
    fn no_label(&self, workload: &Observed) -> String {
        let (service, kind, name) = (&self.inner.settings.service, workload.kind(), workload.name());
        format!("Service {service} selects by no label of its own: {kind} {name} has every one of them")
    }
}

#[async_trait]
impl Traffic for Endpoints {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        let (service, slices, (workload, pods)) = try_join!(self.service(), self.slices(), self.pods())?;
        Ok(routed(&slices, &pods, own_label(&service, &workload).as_ref()))
    }

    async fn route(&self, order: &RouteOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.order(order).await
    }

    async fn draining(&self) -> Result<Draining, PortError> {
        let (service, workload) = try_join!(self.service(), self.workload())?;
        if own_label(&service, &workload).is_some() {
            return Ok(Draining::ByOrder);
        }
        let (grace, hook) = ending(workload.template(), self.inner.settings.container.as_deref());
        let ends = if hook { "by its preStop hook" } else { "without a preStop hook, so some may be lost" };
        let how = format!("{} s for its last ones, {ends}. {}", grace.as_secs(), self.no_label(&workload));
        Ok(Draining::AsItEnds { grace, how })
    }

    fn describe(&self) -> String {
        format!("Service {}", self.inner.settings.service)
    }
}

/// The label that the Service selects by and the workload does not, where its new pods have it.
fn own_label(service: &Service, workload: &Observed) -> Option<OwnLabel> {
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    let made = workload.template().metadata.as_ref()?.labels.as_ref()?;
    let own = selector.iter().find(|(key, value)| {
        let told_by = CONTROLLERS_OWN.contains(&key.as_str()) || selects_by(&workload.selector(), key);
        !told_by && made.get(*key) == Some(value)
    });
    own.map(|(key, value)| OwnLabel { key: key.clone(), value: value.clone() })
}

/// Whether a selector, as a query has it, says anything about that label.
fn selects_by(selector: &str, key: &str) -> bool {
    selector.split(',').any(|term| term.trim_start_matches('!').split(['=', ' ']).next() == Some(key))
}

/// How long a pod of that template has to end, and whether something in it lets its last requests end before it is told.
fn ending(template: &PodTemplateSpec, container: Option<&str>) -> (Duration, bool) {
    let Some(spec) = &template.spec else { return (GRACE, false) };
    let grace = spec.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let hook = spec
        .containers
        .iter()
        .filter(|one| container.is_none_or(|name| one.name == name))
        .any(|one| one.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some()));
    (grace.map_or(GRACE, Duration::from_secs), hook)
}

/// Every endpoint of the Service, over all of its slices, and every pod that was taken out of it.
fn routed(slices: &[EndpointSlice], pods: &[Pod], own: Option<&OwnLabel>) -> Vec<Routed> {
    let mut routed: BTreeMap<InstanceId, Routed> = BTreeMap::new();
    let none =
        |instance: InstanceId| Routed { instance, receives: false, drained: false, requests: None, in_flight: None };
    for endpoint in slices.iter().flat_map(|slice| &slice.endpoints) {
        let instance = instance(endpoint, pods);
        // A pod may stand in several slices, one a family of addresses: whoever gets requests by one gets requests.
        routed.entry(instance.clone()).or_insert_with(|| none(instance)).receives |= receives(endpoint);
    }
    let out = pods.iter().filter(|pod| own.is_some_and(|own| own.is_out(pod)));
    for name in out.filter_map(|pod| pod.metadata.name.as_deref()) {
        let instance = InstanceId::new(name);
        // Slices that lag behind still send it some.
        routed.entry(instance.clone()).or_insert_with(|| none(instance)).drained = true;
    }
    routed.into_values().collect()
}

fn receives(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    // What is absent is to be taken for ready, and for not on its way out.
    conditions.ready.unwrap_or(true) && !conditions.terminating.unwrap_or(false)
}

/// Whose endpoint that is: the pod that it names or that has its address; else it stays visible by its address.
fn instance(endpoint: &Endpoint, pods: &[Pod]) -> InstanceId {
    let named = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
    if let Some(name) = named.and_then(|target| target.name.as_deref()) {
        return InstanceId::new(name);
    }
    let has = |pod: &&Pod| {
        let status = pod.status.as_ref();
        let first = status.and_then(|status| status.pod_ip.as_deref());
        let all = status.into_iter().flat_map(|status| status.pod_ips.iter().flatten());
        first.into_iter().chain(all.map(|one| &*one.ip)).any(|ip| endpoint.addresses.iter().any(|own| own == ip))
    };
    match pods.iter().find(has).and_then(|pod| pod.metadata.name.as_deref()) {
        Some(name) => InstanceId::new(name),
        None => InstanceId::new(
            endpoint
                .addresses
                .first()
                .map_or_else(|| "an endpoint without an address".to_owned(), |ip| escaped(ip, 60)),
        ),
    }
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a String> {
    pod.metadata.labels.as_ref()?.get(key)
}
