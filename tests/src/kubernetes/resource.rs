//! The types of object that the double serves.

/// A type of object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
    pub(crate) short: &'static [&'static str],
    pub(crate) subresources: &'static [&'static str],
    /// Whether `metadata.generation` moves with its spec.
    pub(crate) has_generation: bool,
    /// Made by a `CustomResourceDefinition`, which a test installs.
    pub(crate) custom: bool,
}

const fn core(plural: &'static str, singular: &'static str, kind: &'static str) -> Resource {
    Resource {
        group: "",
        version: "v1",
        plural,
        singular,
        kind,
        namespaced: true,
        short: &[],
        subresources: &[],
        has_generation: false,
        custom: false,
    }
}

const fn of(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
) -> Resource {
    Resource { group, version, ..core(plural, singular, kind) }
}

pub(crate) static PODS: Resource =
    Resource { short: &["po"], subresources: &["log", "proxy", "status"], ..core("pods", "pod", "Pod") };
pub(crate) static SERVICES: Resource =
    Resource { short: &["svc"], subresources: &["status"], ..core("services", "service", "Service") };
pub(crate) static EVENTS: Resource = Resource { short: &["ev"], ..core("events", "event", "Event") };
pub(crate) static NODES: Resource =
    Resource { short: &["no"], namespaced: false, subresources: &["status"], ..core("nodes", "node", "Node") };
pub(crate) static NAMESPACES: Resource = Resource {
    short: &["ns"],
    namespaced: false,
    subresources: &["status"],
    ..core("namespaces", "namespace", "Namespace")
};
pub(crate) static QUOTAS: Resource = Resource {
    short: &["quota"],
    subresources: &["status"],
    ..core("resourcequotas", "resourcequota", "ResourceQuota")
};
pub(crate) static LIMIT_RANGES: Resource =
    Resource { short: &["limits"], ..core("limitranges", "limitrange", "LimitRange") };
pub(crate) static DEPLOYMENTS: Resource = Resource {
    short: &["deploy"],
    subresources: &["scale", "status"],
    has_generation: true,
    ..of("apps", "v1", "deployments", "deployment", "Deployment")
};
pub(crate) static REPLICA_SETS: Resource = Resource {
    short: &["rs"],
    subresources: &["scale", "status"],
    has_generation: true,
    ..of("apps", "v1", "replicasets", "replicaset", "ReplicaSet")
};
pub(crate) static STATEFUL_SETS: Resource = Resource {
    short: &["sts"],
    subresources: &["scale", "status"],
    has_generation: true,
    ..of("apps", "v1", "statefulsets", "statefulset", "StatefulSet")
};
pub(crate) static ENDPOINT_SLICES: Resource = Resource {
    has_generation: true,
    ..of("discovery.k8s.io", "v1", "endpointslices", "endpointslice", "EndpointSlice")
};
pub(crate) static BUDGETS: Resource = Resource {
    short: &["pdb"],
    subresources: &["status"],
    has_generation: true,
    ..of("policy", "v1", "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget")
};
pub(crate) static AUTOSCALERS: Resource = Resource {
    short: &["hpa"],
    subresources: &["status"],
    ..of("autoscaling", "v2", "horizontalpodautoscalers", "horizontalpodautoscaler", "HorizontalPodAutoscaler")
};
pub(crate) static SCALED_OBJECTS: Resource = Resource {
    short: &["so"],
    subresources: &["status"],
    has_generation: true,
    custom: true,
    ..of("keda.sh", "v1alpha1", "scaledobjects", "scaledobject", "ScaledObject")
};
pub(crate) static ACCESS_REVIEWS: Resource = Resource {
    namespaced: false,
    ..of("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "selfsubjectaccessreview", "SelfSubjectAccessReview")
};
pub(crate) static SELF_REVIEWS: Resource = Resource {
    namespaced: false,
    ..of("authentication.k8s.io", "v1", "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview")
};

/// Every type.
pub(crate) static RESOURCES: [&Resource; 16] = [
    &PODS,
    &SERVICES,
    &EVENTS,
    &NODES,
    &NAMESPACES,
    &QUOTAS,
    &LIMIT_RANGES,
    &DEPLOYMENTS,
    &REPLICA_SETS,
    &STATEFUL_SETS,
    &ENDPOINT_SLICES,
    &BUDGETS,
    &AUTOSCALERS,
    &SCALED_OBJECTS,
    &ACCESS_REVIEWS,
    &SELF_REVIEWS,
];

impl Resource {
    /// As messages name it: `deployments.apps`, `pods`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// As messages about values name it: `Deployment.apps`, `Pod`.
    pub(crate) fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// `apps/v1`, `v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The type of that kind.
    pub(crate) fn of_kind(api_version: &str, kind: &str) -> Option<&'static Self> {
        RESOURCES.iter().copied().find(|one| one.kind == kind && one.api_version() == api_version)
    }
}
