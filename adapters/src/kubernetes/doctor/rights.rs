//! Every right that the bot needs, once: the doctor asks for each, and the roles in `deploy/kubernetes/rbac/` are held
//! against this list.

use std::fmt;

use crate::kubernetes::settings::{Autoscaler, Reach, Settings};

/// A file of `deploy/kubernetes/rbac/`, which grants what one use of the bot needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grant {
    /// See the fleet and what is around it, and change its count.
    ObserveAndScale,
    /// Choose who goes, and take one out of the Service.
    Victims,
    /// See what room the nodes have.
    Nodes,
    /// Hold an autoscaler for the time of an operation.
    Autoscalers,
}

/// One verb on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) grant: Grant,
    /// The API group; empty for the core one.
    pub(super) group: &'static str,
    /// The resource, with its part after a slash.
    pub(super) resource: &'static str,
    pub(super) verb: &'static str,
    need: Need,
}

/// Which settings need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Always,
    Deployment,
    StatefulSet,
    Proxy,
    Hold,
}

use Grant::{Autoscalers, Nodes, ObserveAndScale, Victims};
use Need::{Always, Deployment, Hold, Proxy, StatefulSet};

/// Every right that some settings need.
pub(super) const ALL: [Right; 23] = [
    right(ObserveAndScale, "apps", "deployments", "get", Deployment),
    right(ObserveAndScale, "apps", "deployments/scale", "patch", Deployment),
    right(ObserveAndScale, "apps", "replicasets", "list", Deployment),
    right(ObserveAndScale, "apps", "statefulsets", "get", StatefulSet),
    right(ObserveAndScale, "apps", "statefulsets/scale", "patch", StatefulSet),
    right(ObserveAndScale, "", "pods", "get", Always),
    right(ObserveAndScale, "", "pods", "list", Always),
    right(ObserveAndScale, "", "pods", "watch", Always),
    right(ObserveAndScale, "", "pods/log", "get", Always),
    right(ObserveAndScale, "", "pods/proxy", "get", Proxy),
    right(ObserveAndScale, "", "pods/proxy", "create", Proxy),
    right(ObserveAndScale, "", "services", "get", Always),
    right(ObserveAndScale, "discovery.k8s.io", "endpointslices", "list", Always),
    right(ObserveAndScale, "", "resourcequotas", "list", Always),
    right(ObserveAndScale, "", "limitranges", "list", Always),
    right(ObserveAndScale, "policy", "poddisruptionbudgets", "list", Always),
    right(ObserveAndScale, "autoscaling", "horizontalpodautoscalers", "list", Always),
    right(ObserveAndScale, "keda.sh", "scaledobjects", "list", Always),
    right(Victims, "", "pods", "patch", Always),
    right(Nodes, "", "nodes", "list", Always),
    right(Nodes, "", "pods", "list", Always),
    right(Autoscalers, "autoscaling", "horizontalpodautoscalers", "patch", Hold),
    right(Autoscalers, "keda.sh", "scaledobjects", "patch", Hold),
];

const fn right(grant: Grant, group: &'static str, resource: &'static str, verb: &'static str, need: Need) -> Right {
    Right { grant, group, resource, verb, need }
}

impl Grant {
    /// The file that grants it.
    pub(super) fn file(self) -> &'static str {
        match self {
            ObserveAndScale => "deploy/kubernetes/rbac/observe-and-scale.yaml",
            Victims => "deploy/kubernetes/rbac/victims.yaml",
            Nodes => "deploy/kubernetes/rbac/nodes.yaml",
            Autoscalers => "deploy/kubernetes/rbac/autoscalers.yaml",
        }
    }
}

impl Right {
    /// Whether a fleet of these settings needs it.
    pub(super) fn is_needed(&self, settings: &Settings) -> bool {
        match self.need {
            Always => true,
            Deployment => settings.deployment.is_some(),
            StatefulSet => settings.stateful_set.is_some(),
            Proxy => settings.reach == Reach::Proxy,
            Hold => settings.autoscaler == Autoscaler::Hold,
        }
    }

    /// Whether it is about the whole cluster, and not one namespace.
    pub(super) fn is_everywhere(&self) -> bool {
        self.grant == Nodes
    }

    /// What does not work without it.
    pub(super) fn without(&self) -> &'static str {
        match (self.grant, self.resource, self.verb) {
            (Nodes, ..) => "how much room there is stays unknown, and every scaling up will be refused",
            (Victims, ..) => "nobody can be chosen to go, and every scaling down will be refused",
            (Autoscalers, ..) => "an autoscaler cannot be held, as autoscaler = \"hold\" asks for",
            (_, "deployments/scale" | "statefulsets/scale", _) => "the count cannot be changed",
            (_, "pods", "watch") => "every look at the fleet costs a list of its pods",
            (_, "pods/log", _) => "what a failing instance wrote cannot be saved",
            (_, "pods/proxy", _) => "instances cannot be asked",
            (_, "resourcequotas" | "limitranges", _) => {
                "how much room there is stays unknown, and every scaling up will be refused"
            }
            (_, "poddisruptionbudgets", _) => {
                "how many may go stays unknown, and every scaling down will be refused"
            }
            (_, "horizontalpodautoscalers" | "scaledobjects", _) => {
                "who else changes the count stays unknown, and every precheck will warn"
            }
            (_, "services" | "endpointslices", _) => {
                "who gets requests stays unknown, and every scaling will be refused"
            }
            _ => "the fleet cannot be seen",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        f.write_str(if self.is_everywhere() { " in the whole cluster" } else { "" })
    }
}
