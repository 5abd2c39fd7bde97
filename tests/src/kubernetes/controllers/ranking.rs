//! Which pods of a `ReplicaSet` go first when there are too many, exactly as upstream has it
//! (`ActivePodsWithRanks` in `pkg/controller/controller_utils.go`).

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::Value;

use super::super::resource::{PODS, REPLICA_SETS};
use super::super::state::State;
use super::{condition, controller, is_active, is_ready};

const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Puts those first that go first.
pub(super) fn sort(state: &State, set: &Value, pods: &mut [Value]) {
    let now = state.store.now();
    let related = related(state, set);
    let rank =
        |pod: &Value| related.iter().filter(|other| other["spec"]["nodeName"] == pod["spec"]["nodeName"]).count();
    pods.sort_by(|one, other| goes_before(one, other, (rank(one), rank(other)), now));
}

/// The pods of all sets of the same owner: two of these on one node are one too many.
fn related(state: &State, set: &Value) -> Vec<Value> {
    let namespace = set["metadata"]["namespace"].as_str().unwrap_or_default();
    let owner = controller(set).map(|reference| reference["uid"].clone());
    let sets = state.store.within(&REPLICA_SETS, namespace);
    let family: Vec<Value> = sets
        .iter()
        .filter(|one| {
            one["metadata"]["uid"] == set["metadata"]["uid"]
                || (owner.is_some() && controller(one).map(|reference| reference["uid"].clone()) == owner)
        })
        .map(|one| one["metadata"]["uid"].clone())
        .collect();
    let pods = state.store.within(&PODS, namespace).into_iter();
    pods.filter(|pod| is_active(pod) && controller(pod).is_some_and(|one| family.contains(&one["uid"]))).collect()
}

/// `Less` means: goes first.
fn goes_before(one: &Value, other: &Value, ranks: (usize, usize), now: Timestamp) -> Ordering {
    let assigned = |pod: &Value| pod["spec"]["nodeName"].is_string();
    let phase = |pod: &Value| match pod["status"]["phase"].as_str() {
        Some("Running") => 2,
        Some("Unknown") => 1,
        _ => 0,
    };
    let cost = |pod: &Value| {
        pod["metadata"]["annotations"][COST].as_str().and_then(|text| text.parse::<i32>().ok()).unwrap_or(0)
    };
    let restarts = |pod: &Value| {
        let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
        statuses.map(|status| status["restartCount"].as_i64().unwrap_or(0)).max().unwrap_or(0)
    };
    let at = |text: &Value| text.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let ready_since = |pod: &Value| condition(pod, "Ready").and_then(|ready| at(&ready["lastTransitionTime"]));
    let made = |pod: &Value| at(&pod["metadata"]["creationTimestamp"]);
    assigned(one)
        .cmp(&assigned(other))
        .then_with(|| phase(one).cmp(&phase(other)))
        .then_with(|| is_ready(one).cmp(&is_ready(other)))
        .then_with(|| cost(one).cmp(&cost(other)))
        .then_with(|| ranks.1.cmp(&ranks.0))
        .then_with(|| {
            if is_ready(one) && is_ready(other) { younger(one, other, ready_since, now) } else { Ordering::Equal }
        })
        .then_with(|| restarts(other).cmp(&restarts(one)))
        .then_with(|| younger(one, other, made, now))
}

/// Those of about the same age, by powers of two, are as good as one another: then the uid decides.
fn younger(one: &Value, other: &Value, since: impl Fn(&Value) -> Option<Timestamp>, now: Timestamp) -> Ordering {
    let (a, b) = (since(one), since(other));
    match (a, b) {
        (a, b) if a == b => Ordering::Equal,
        (None, _) => Ordering::Less,
        (_, None) => Ordering::Greater,
        (Some(a), Some(b)) => {
            let age = |since: Timestamp| {
                let nanoseconds = now.duration_since(since).as_nanos();
                if nanoseconds > 0 { (nanoseconds as f64).log2() as i64 } else { -1 }
            };
            age(a).cmp(&age(b)).then_with(|| {
                let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                uid(one).cmp(&uid(other))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str) -> Value {
        json!({
            "metadata": { "name": name, "uid": name, "creationTimestamp": "2026-01-08T03:00:00Z" },
            "spec": { "nodeName": "one" },
            "status": { "phase": "Running", "conditions": [
                { "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-08T03:00:10Z" },
            ] },
        })
    }

    fn first(a: &Value, b: &Value) -> Ordering {
        goes_before(a, b, (1, 1), "2026-01-08T04:00:00Z".parse().unwrap())
    }

    #[test]
    fn who_is_not_ready_goes_before_whoever_costs_less() {
        let (mut cheap, mut waiting) = (pod("cheap"), pod("waiting"));
        cheap["metadata"]["annotations"] = json!({ COST: "-100" });
        waiting["status"]["conditions"][0]["status"] = "False".into();
        assert_eq!(first(&cheap, &waiting), Ordering::Greater);
        assert_eq!(first(&cheap, &pod("other")), Ordering::Less);
    }

    #[test]
    fn the_unassigned_and_the_pending_go_first_and_the_longest_ready_last() {
        let (mut unassigned, mut pending, mut young, mut restarted) =
            (pod("unassigned"), pod("pending"), pod("young"), pod("restarted"));
        unassigned["spec"] = json!({});
        unassigned["status"]["phase"] = "Pending".into();
        pending["status"]["phase"] = "Pending".into();
        young["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-08T03:59:00Z".into();
        restarted["status"]["containerStatuses"] = json!([{ "restartCount": 3 }]);
        assert_eq!(first(&unassigned, &pending), Ordering::Less);
        assert_eq!(first(&pending, &pod("z")), Ordering::Less);
        assert_eq!(first(&young, &pod("a")), Ordering::Less);
        assert_eq!(first(&restarted, &pod("a")), Ordering::Less);
        // On the fuller node one goes first.
        let now = "2026-01-08T04:00:00Z".parse().unwrap();
        assert_eq!(goes_before(&pod("z"), &pod("a"), (2, 1), now), Ordering::Less);
    }
}
