use std::sync::{Arc, Mutex};

use super::*;
use crate::kubernetes::cluster::{Api, failure};
use crate::kubernetes::steering::steered_by;
use crate::kubernetes::workload;

const SCALERS: &str = "horizontalpodautoscalers";
const OBJECTS: &str = "scaledobjects";

/// A cluster with these autoscalers, which policy lets the bot hold still.
struct Around {
    api: Api,
    objects: Arc<Mutex<Vec<(&'static str, Value)>>>,
}

impl Around {
    async fn of(objects: &[(&'static str, Value)]) -> Self {
        let objects = Arc::new(Mutex::new(objects.to_vec()));
        let served = Arc::clone(&objects);
        let api = Api::of(Vec::new(), move |asked, _| {
            let (kind, name) = asked.path.split_once('/').unwrap_or((&asked.path, ""));
            let kind = [SCALERS, OBJECTS].into_iter().find(|known| kind == *known)?;
            let mut objects = served.lock().unwrap();
            if asked.method == "GET" {
                let of_kind: Vec<Value> = objects.iter().filter(|one| one.0 == kind).map(|one| one.1.clone()).collect();
                return Some((200, json!({ "metadata": { "resourceVersion": "9" }, "items": of_kind })));
            }
            let (_, object) = objects.iter_mut().find(|one| one.0 == kind && one.1["metadata"]["name"] == name)?;
            let (is, named) = (&object["metadata"], &asked.body["metadata"]);
            if (&is["uid"], &is["resourceVersion"]) != (&named["uid"], &named["resourceVersion"]) {
                return Some(failure(409, "Conflict", "the object has been modified"));
            }
            merge(object, &asked.body);
            let version: u64 = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
            object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
            Some((200, object.clone()))
        });
        Self { api: api.await, objects }
    }

    fn settings(&self) -> Settings {
        Settings { autoscaler: Autoscaler::Hold, ..self.api.settings() }
    }

    async fn steering(&self) -> Vec<scalebot_commands::ports::Steering> {
        let (server, settings) = (self.api.server(), self.settings());
        let workload = workload::read(&server, &settings).await.unwrap();
        steered_by(&server, &settings, &workload).await.unwrap()
    }

    /// How the only one who steers can be held.
    async fn holdable(&self) -> Hold {
        let mut steering = self.steering().await;
        assert_eq!(steering.len(), 1, "{steering:?}");
        steering.remove(0).hold.unwrap()
    }

    async fn held(&self) -> Vec<Held> {
        held_by(&self.api.server(), &self.settings(), &operation()).await.unwrap()
    }

    async fn holds(&self, hold: Hold, to: u32) -> Result<OrderAnswer, PortError> {
        let order = HoldOrder { hold, from: Replicas(4), to: Replicas(to), operation: operation() };
        super::hold(&self.api.server(), &self.settings(), &order).await
    }

    /// Holds whoever steers, for a change from four.
    async fn hold_all(&self, to: u32) {
        assert_eq!(self.holds(self.holdable().await, to).await, Ok(OrderAnswer::Done));
    }

    async fn releases(&self, held: Held) -> Result<OrderAnswer, PortError> {
        let order = ReleaseOrder { held, operation: operation() };
        release(&self.api.server(), &self.settings(), &order).await
    }

    async fn release_all(&self) {
        for held in self.held().await {
            assert_eq!(held.changed, None);
            assert_eq!(self.releases(held).await, Ok(OrderAnswer::Done));
        }
    }

    /// The only object, without what the server changes in it.
    fn object(&self) -> Value {
        let mut object = self.objects.lock().unwrap()[0].1.clone();
        object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        if object["metadata"]["annotations"] == json!({}) {
            object["metadata"].as_object_mut().unwrap().remove("annotations");
        }
        object
    }

    /// Somebody else changes the only object.
    fn changed(&self, patch: &Value) {
        merge(&mut self.objects.lock().unwrap()[0].1, patch);
    }
}

fn operation() -> OperationId {
    OperationId::new("op-1")
}

/// A JSON merge patch, as RFC 7396 has it.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let into = into.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn scaler(more: &Value) -> (&'static str, Value) {
    let mut scaler = json!({
        "metadata": { "name": "api", "uid": "h1", "resourceVersion": "70" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "api" },
            "minReplicas": 2, "maxReplicas": 5,
        },
    });
    merge(&mut scaler, more);
    (SCALERS, scaler)
}

fn scaled_object(annotations: &Value) -> (&'static str, Value) {
    let mut object = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": { "name": "api", "uid": "k1", "resourceVersion": "30" },
        "spec": { "scaleTargetRef": { "name": "api" }, "minReplicaCount": 2, "maxReplicaCount": 9 },
    });
    merge(&mut object, &json!({ "metadata": { "annotations": annotations } }));
    (OBJECTS, object)
}

/// The patch in a command, as it would be sent.
fn patch_in(command: &str) -> Value {
    serde_json::from_str(command.split('\'').nth(1).unwrap()).unwrap()
}

#[tokio::test]
async fn an_autoscaler_is_held_with_both_counts_within_its_bounds_and_put_back_to_what_it_was() {
    let around = Around::of(&[scaler(&json!({}))]).await;
    let before = around.object();
    let hold = around.holdable().await;
    assert_eq!((&*hold.name, &*hold.who), ("hpa/api", "HorizontalPodAutoscaler api"));
    assert_eq!(hold.bounds, Some(Bounds { least: Replicas(2), most: Replicas(5) }));
    around.hold_all(8).await;
    let found = around.object();
    assert_eq!((&found["spec"]["minReplicas"], &found["spec"]["maxReplicas"]), (&json!(2), &json!(8)));
    let behavior = &found["spec"]["behavior"];
    assert_eq!(
        (&behavior["scaleUp"], &behavior["scaleDown"]["selectPolicy"]),
        (&json!({"selectPolicy": "Disabled"}), &json!("Disabled"))
    );
    assert_eq!(found["metadata"]["annotations"][HELD_BY], "op-1");
    let patch = around.api.cluster().asked.iter().find(|asked| asked.method == "PATCH").unwrap().clone();
    assert_eq!(patch.query.get("fieldManager").map(String::as_str), Some("scalebot-op-1"));
    // The count is within its bounds, and it does nothing: nobody steers now.
    around.api.cluster().deployment["spec"]["replicas"] = json!(8);
    assert_eq!(around.steering().await, []);
    around.release_all().await;
    assert_eq!(around.object(), before);
    assert_eq!(around.held().await, []);
}

#[tokio::test]
async fn its_own_rules_are_put_back_and_what_the_server_has_filled_in_stays() {
    let rules = json!({ "scaleDown": { "selectPolicy": "Min", "stabilizationWindowSeconds": 60 } });
    let around = Around::of(&[scaler(&json!({ "spec": { "behavior": rules } }))]).await;
    let before = around.object();
    around.hold_all(1).await;
    assert_eq!(around.object()["spec"]["minReplicas"], 1);
    assert_eq!(around.object()["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"], 60);
    around.release_all().await;
    assert_eq!(around.object(), before);
    // A server that fills in what a rule does not say.
    let around = Around::of(&[scaler(&json!({}))]).await;
    around.hold_all(6).await;
    around.changed(&json!({ "spec": { "behavior": { "scaleUp": { "stabilizationWindowSeconds": 0 } } } }));
    around.release_all().await;
    assert_eq!(around.object()["spec"].get("behavior"), None);
}

#[tokio::test]
async fn who_somebody_changed_since_is_not_as_it_was_left_and_says_so() {
    let changes = [
        (json!({ "spec": { "maxReplicas": 20 } }), "maxReplicas is 20"),
        (
            json!({ "spec": { "behavior": { "scaleUp": { "selectPolicy": "Max" } } } }),
            "the policies of scaleUp are not disabled",
        ),
        (json!({ "metadata": { "annotations": { HELD_BEFORE: "{" } } }), "what it was before cannot be read"),
    ];
    for (change, said) in changes {
        let around = Around::of(&[scaler(&json!({}))]).await;
        around.hold_all(6).await;
        around.changed(&change);
        assert_eq!(around.held().await[0].changed.as_deref(), Some(said));
    }
    let around =
        Around::of(&[scaler(&json!({ "spec": { "behavior": { "scaleUp": { "stabilizationWindowSeconds": 60 } } } }))])
            .await;
    around.hold_all(6).await;
    around.changed(&json!({ "spec": { "behavior": { "scaleUp": { "stabilizationWindowSeconds": 30 } } } }));
    assert_eq!(around.held().await[0].changed.as_deref(), Some("the rules of scaleUp are others"));
}

#[tokio::test]
async fn what_somebody_has_put_back_loses_its_marks_only() {
    let around = Around::of(&[scaler(&json!({}))]).await;
    let before = around.object();
    around.hold_all(6).await;
    around.changed(&json!({ "spec": { "maxReplicas": 5, "behavior": null } }));
    around.release_all().await;
    assert_eq!(around.object(), before);
}

#[tokio::test]
async fn the_command_for_a_person_puts_back_exactly_what_it_was() {
    let rules = json!({ "scaleUp": { "selectPolicy": "Max" }, "scaleDown": { "stabilizationWindowSeconds": 60 } });
    for object in [scaler(&json!({})), scaler(&json!({ "spec": { "behavior": rules } })), scaled_object(&json!({}))] {
        let around = Around::of(&[object]).await;
        let (before, hold) = (around.object(), around.holdable().await);
        around.hold_all(9).await;
        assert!(hold.undone_by.starts_with("kubectl -n conclave patch "), "{}", hold.undone_by);
        around.changed(&patch_in(&hold.undone_by));
        assert_eq!(around.object(), before);
    }
}

#[tokio::test]
async fn one_that_changed_since_it_was_looked_at_is_a_conflict_and_a_refusal_is_told_in_words() {
    let around = Around::of(&[scaler(&json!({}))]).await;
    let hold = around.holdable().await;
    let before = around.object();
    for stale in [Hold { version: "69".into(), ..hold.clone() }, Hold { identity: "h0".into(), ..hold.clone() }] {
        assert!(matches!(around.holds(stale, 6).await, Ok(OrderAnswer::Conflict { .. })));
    }
    let elsewhere = Hold { name: "hpa/web".into(), ..hold.clone() };
    assert!(matches!(around.holds(elsewhere, 6).await, Ok(OrderAnswer::Refused { .. })));
    let other = Hold { name: "deployment/api".into(), ..hold };
    assert!(matches!(around.holds(other, 6).await, Ok(OrderAnswer::Refused { .. })));
    assert_eq!(around.object(), before);
    around.hold_all(6).await;
    let found = around.held().await.remove(0);
    let stale = Held { version: "70".into(), ..found };
    assert!(matches!(around.releases(stale).await, Ok(OrderAnswer::Conflict { .. })));
}

#[tokio::test]
async fn keda_is_paused_and_what_was_said_before_is_said_again() {
    for before in [json!({}), json!({ PAUSED: "false" }), json!({ PAUSED_AT: "4" })] {
        let around = Around::of(&[scaled_object(&before)]).await;
        let before = around.object();
        assert_eq!(around.holdable().await.bounds, Some(Bounds { least: Replicas(2), most: Replicas(9) }));
        around.hold_all(6).await;
        let annotations = around.object()["metadata"]["annotations"].clone();
        assert_eq!((&annotations[PAUSED], &annotations[PAUSED_AT]), (&json!("true"), &Value::Null));
        assert_eq!(around.steering().await, []);
        around.release_all().await;
        assert_eq!(around.object(), before);
    }
    let around = Around::of(&[scaled_object(&json!({}))]).await;
    around.hold_all(6).await;
    around.changed(&json!({ "metadata": { "annotations": { PAUSED_AT: "2" } } }));
    let said = around.held().await.remove(0).changed.unwrap();
    assert_eq!(said, "autoscaling.keda.sh/paused-replicas is 2");
    around.changed(&json!({ "metadata": { "annotations": { PAUSED_AT: null, PAUSED: "false" } } }));
    assert_eq!(around.held().await[0].changed.as_deref(), Some("it is not paused any more"));
}

#[tokio::test]
async fn who_bears_an_operations_mark_and_steers_all_the_same_is_not_taken_over() {
    let around = Around::of(&[scaler(&json!({}))]).await;
    let undone_by = around.holdable().await.undone_by;
    around.hold_all(6).await;
    around.changed(&json!({ "spec": { "behavior": null } }));
    let steering = around.steering().await.remove(0);
    assert_eq!(steering.hold, None);
    let what = format!("{undone_by}, which puts back what operation op-1 held still; then kubectl");
    assert!(steering.settled_by.starts_with(&what), "{}", steering.settled_by);
    // Nobody else's operation finds it.
    let other = OperationId::new("op-2");
    assert_eq!(held_by(&around.api.server(), &around.settings(), &other).await, Ok(Vec::new()));
}

#[tokio::test]
async fn where_policy_leaves_autoscalers_alone_and_where_one_could_not_be_put_back_nobody_is_held() {
    let around = Around::of(&[scaler(&json!({}))]).await;
    let (server, settings) = (around.api.server(), around.api.settings());
    let workload = workload::read(&server, &settings).await.unwrap();
    assert_eq!(steered_by(&server, &settings, &workload).await.unwrap()[0].hold, None);
    let policies: Vec<Value> =
        (0..200).map(|one| json!({ "type": "Pods", "value": one, "periodSeconds": 15 })).collect();
    let long = scaler(&json!({ "spec": { "behavior": { "scaleUp": { "policies": policies } } } }));
    assert_eq!(Around::of(&[long]).await.steering().await[0].hold, None);
}
