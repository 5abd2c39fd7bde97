//! What the doctor says about a fleet on Kubernetes: the API server reached, workload and Service found, each right that is
//! missing with the file that grants it, how one instance is drained, and the nodes. Nothing is changed: rights are asked
//! for by a review of one's own access.

mod rights;

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::version::Info;
use scalebot_commands::ports::{Draining, Fleet as _, PortError, Traffic as _};
use scalebot_commands::request::quoted;

use self::rights::{ALL, Grant, Right};
use super::objects::Which;
use super::server::{Refusal, unreadable};
use super::workload::{self, Observed};
use super::{Inner, Kubernetes};
use crate::doctor::Finding;

/// Where the recommended way to lay out a Service is shown.
const LAYOUT: &str = "deploy/kubernetes/example/application.yaml";

impl Kubernetes {
    /// The doctor's lines. Nothing is changed; each question has its own time-out, and all are asked at once.
    pub async fn check(&self) -> Vec<Finding> {
        let version = match self.check_version().await {
            Ok(version) => version,
            Err(error) => return vec![Finding::unanswered(self.cluster(), &error)],
        };
        let (workload, service, rights, nodes) =
            futures::join!(self.check_workload(), self.check_service(), self.check_rights(), self.check_nodes());
        [vec![version, workload], service, rights, nodes].into_iter().flatten().collect()
    }

    fn cluster(&self) -> String {
        format!("Kubernetes at {}", self.inner.server.address())
    }

    fn namespace(&self) -> String {
        format!("Kubernetes, namespace {}", quoted(&self.inner.settings.namespace))
    }

    async fn check_version(&self) -> Result<Finding, PortError> {
        let server = &self.inner.server;
        let asked = http::Request::get("/version").body(Vec::new()).map_err(|error| unreadable(&error.to_string()))?;
        let own = SelfSubjectReview::default();
        let (version, who) = futures::join!(server.send::<Info>(asked), server.review(&own));
        let version = version?.map_err(Refusal::error)?.git_version;
        // A server that does not say who one is to it is none the worse for that.
        let who = who.ok().and_then(Result::ok).and_then(|review| review.status?.user_info?.username);
        let who = who.map(|name| format!(", as {}", quoted(&name))).unwrap_or_default();
        Ok(Finding::ok(self.cluster(), format!("reached, version {}{who}", quoted(&version))))
    }

    async fn check_workload(&self) -> Finding {
        let Inner { server, settings, .. } = &*self.inner;
        match workload::read(server, settings).await {
            Ok(workload) => found(self.describe(), &workload),
            Err(error) => Finding::unanswered(self.describe(), &error),
        }
    }

    async fn check_service(&self) -> Vec<Finding> {
        let traffic = self.traffic();
        let system = traffic.describe();
        let (routed, draining) = futures::join!(traffic.routed(), traffic.draining());
        let routed = match routed {
            Ok(routed) if routed.is_empty() => Finding::warn(
                &system,
                "found; it has none of the fleet's instances",
                "Nothing to do if none is ready; else see that its selector means the fleet's pods.",
            ),
            Ok(routed) => {
                let receiving = routed.iter().filter(|instance| instance.receives).count();
                Finding::ok(&system, format!("found; {receiving} of {} instances get requests", routed.len()))
            }
            Err(error) => return vec![Finding::unanswered(system, &error)],
        };
        let draining = match draining {
            Ok(Draining::ByOrder) => Finding::ok(&system, "one instance can be taken out of it, by a label of its own"),
            Ok(Draining::AsItEnds { how, .. }) => Finding::warn(
                &system,
                format!("an instance leaves it only as it ends: {how}"),
                format!("To drain one before it ends, give the Service a label of its own as {LAYOUT} does."),
            ),
            Err(error) => Finding::unanswered(&system, &error),
        };
        vec![routed, draining]
    }

    async fn check_rights(&self) -> Vec<Finding> {
        let needed: Vec<&Right> = ALL.iter().filter(|right| right.is_needed(&self.inner.settings)).collect();
        let answers = join_all(needed.iter().map(|right| self.may(right))).await;
        let system = self.namespace();
        let mut missing: BTreeMap<(Grant, &str), Vec<&Right>> = BTreeMap::new();
        let mut granted = 0;
        for (right, answer) in needed.iter().zip(answers) {
            match answer {
                Ok(true) => granted += 1,
                Ok(false) => missing.entry((right.grant, right.without())).or_default().push(right),
                // The others would have the same answer.
                Err(error) => return vec![Finding::unanswered(format!("{system}, rights"), &error)],
            }
        }
        let rights = if missing.is_empty() {
            Finding::ok(&system, format!("all {granted} rights that are needed are granted"))
        } else {
            Finding::ok(&system, format!("{granted} of the {} rights that are needed are granted", needed.len()))
        };
        let lacking = missing.into_iter().flat_map(|((grant, without), rights)| {
            let system = system.clone();
            rights.into_iter().map(move |right| lacks(&system, *right, grant, without))
        });
        std::iter::once(rights).chain(lacking).collect()
    }

    /// Whether the bot has that right.
    async fn may(&self, right: &Right) -> Result<bool, PortError> {
        let (resource, part) = match right.resource.split_once('/') {
            Some((resource, part)) => (resource, Some(part.to_owned())),
            None => (right.resource, None),
        };
        let namespace = (!right.is_everywhere()).then(|| self.inner.settings.namespace.clone());
        let asked = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(right.group.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: part,
                    verb: Some(right.verb.to_owned()),
                    namespace,
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let review = self.inner.server.review(&asked).await?.map_err(Refusal::error)?;
        review.status.map(|status| status.allowed).ok_or_else(|| unreadable("a review of access without an answer"))
    }

    /// Where they may not be listed, the missing right has its line already.
    async fn check_nodes(&self) -> Vec<Finding> {
        let nodes = match self.inner.server.list::<Node>(&Which::default()).await {
            Ok(Ok((nodes, _))) => nodes,
            Ok(Err(refusal)) if refusal.status == http::StatusCode::FORBIDDEN => return Vec::new(),
            Ok(Err(refusal)) => return vec![Finding::unanswered("Kubernetes, nodes", &refusal.error())],
            Err(error) => return vec![Finding::unanswered("Kubernetes, nodes", &error)],
        };
        let open = nodes.iter().filter(|node| node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true));
        vec![Finding::ok("Kubernetes, nodes", format!("{} nodes, {} of them not cordoned", nodes.len(), open.count()))]
    }
}

fn found(system: String, workload: &Observed) -> Finding {
    let (wanted, ready) = (workload.wanted(), workload.counts().ready);
    if workload.paused() {
        let to_do = "Resume its rollouts when that is over; until then every scaling will be refused.";
        return Finding::warn(system, format!("found, paused; {ready} of {wanted} instances ready"), to_do);
    }
    Finding::ok(system, format!("found; {ready} of {wanted} instances ready"))
}

fn lacks(system: &str, right: Right, grant: Grant, without: &str) -> Finding {
    let text = format!("the bot may not {right}: {without}");
    let to_do = format!("kubectl apply -f {}", grant.file());
    // The fleet is seen without it, only at a higher cost.
    if right.verb == "watch" { Finding::warn(system, text, to_do) } else { Finding::failed(system, text, to_do) }
}

#[cfg(test)]
mod tests;
