//! What people and misfortune do to a cluster, and how a test waits for what comes of it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::controllers::{condition, is_active, is_ready};
use super::failure::Failure;
use super::kubelet::{Fate, uid};
use super::managed::Author;
use super::merge::merge;
use super::resource::{
    AUTOSCALERS, BUDGETS, DEPLOYMENTS, NODES, PODS, QUOTAS, Resource, SCALED_OBJECTS, STATEFUL_SETS,
};
use super::setup::IMAGE;
use super::state::State;
use super::store::{Key, Part};
use super::{Cluster, NAME, NAMESPACE};

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it printed.
    pub text: String,
    /// What it printed of errors.
    pub errors: String,
}

impl Cluster {
    /// Applies YAML as `kubectl apply` does: objects with their last-applied annotation, roles and policies too.
    ///
    /// # Panics
    /// Where the cluster refuses it, or it is no YAML.
    pub fn apply(&self, yaml: &str) {
        self.shared.change(|state| {
            let others = state.rbac.take(yaml, NAMESPACE).unwrap_or_else(|why| panic!("{why}\n{yaml}"));
            for object in others {
                apply(state, object);
            }
        });
    }

    /// Applies a file.
    ///
    /// # Panics
    /// As `apply`, and where there is no such file.
    pub fn apply_file(&self, file: &Path) {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.apply(&text);
    }

    /// Runs the real `kubectl` as that user. `None` where there is none on this machine.
    ///
    /// # Panics
    /// Where it cannot be run.
    pub fn kubectl(&self, user: &str, arguments: &[&str]) -> Option<Said> {
        let home = self.folder.path();
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.kubeconfig(user))
            .arg("--cache-dir")
            .arg(home.join("cache"))
            .args(arguments)
            .env("HOME", home)
            .env("KUBECACHEDIR", home.join("cache"))
            .stdin(Stdio::null())
            .output();
        let output = match output {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => panic!("kubectl: {error}"),
        };
        Some(Said {
            code: output.status.code(),
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// A colleague types `kubectl scale --replicas=N`.
    pub fn kubectl_scale(&self, replicas: u32) {
        let resource = workload(self);
        self.shared.change(|state| set_by_a_colleague(state, resource, replicas));
    }

    /// A colleague's `kubectl scale` arrives in the very moment before the next change with this in its path.
    pub fn is_overtaken_at(&self, part: &str, replicas: u32) {
        self.shared.change(|state| state.overtaken.push((part.to_owned(), replicas)));
    }

    /// A colleague types `kubectl rollout pause`, or `resume`.
    pub fn pause_rollout(&self, paused: bool) {
        let paused = if paused { Value::Bool(true) } else { Value::Null };
        self.patch(&DEPLOYMENTS, NAME, "kubectl-rollout", None, &json!({ "spec": { "paused": paused } }));
    }

    /// A colleague changes the workload by a merge patch, under that manager's name.
    pub fn changed_by(&self, manager: &str, patch: &Value) {
        self.patch(workload(self), NAME, manager, None, patch);
    }

    /// A new version is deployed whose image no registry has.
    pub fn break_image(&self) {
        let image = "registry.example/conclave/api:9.9.9";
        self.shared.change(|state| state.pods.missing_images.insert(image.to_owned()));
        self.set_image(image);
    }

    /// The registry loses the image that the workload has: new pods do not get it, the old ones go on.
    pub fn lose_image(&self, lost: bool) {
        self.shared.change(|state| {
            if lost {
                state.pods.missing_images.insert(IMAGE.to_owned())
            } else {
                state.pods.missing_images.remove(IMAGE)
            }
        });
    }

    /// A version is deployed.
    pub fn set_image(&self, image: &str) {
        self.shared.change(|state| {
            let key = Key::new(&DEPLOYMENTS, NAMESPACE, NAME);
            state.store.edit(&DEPLOYMENTS, &key, Part::Main, "kubectl-set", |deployment| {
                deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
            });
        });
    }

    /// Somebody installs an autoscaler with these bounds.
    pub fn install_hpa(&self, least: u32, most: u32) {
        let kind = workload(self).kind;
        self.create(
            &AUTOSCALERS,
            "kubectl-create",
            json!({
                "metadata": { "name": NAME, "namespace": NAMESPACE },
                "spec": {
                    "scaleTargetRef": { "apiVersion": "apps/v1", "kind": kind, "name": NAME },
                    "minReplicas": least, "maxReplicas": most,
                },
            }),
        );
    }

    /// From now on the autoscaler finds that many needed.
    pub fn hpa_needs(&self, replicas: u32) {
        self.shared.change(|state| state.needed.insert(format!("{NAMESPACE}/{NAME}"), replicas));
    }

    /// Somebody installs KEDA: its type is served from now on.
    pub fn install_keda(&self) {
        self.shared.change(|state| state.has_keda = true);
    }

    /// Somebody makes a `ScaledObject` with these bounds, in a cluster with KEDA.
    pub fn scaled_object(&self, least: u32, most: u32) {
        let kind = workload(self).kind;
        self.create(
            &SCALED_OBJECTS,
            "kubectl-create",
            json!({
                "metadata": { "name": NAME, "namespace": NAMESPACE, "annotations": {} },
                "spec": {
                    "scaleTargetRef": { "name": NAME, "kind": kind }, "minReplicaCount": least, "maxReplicaCount": most,
                    "triggers": [{ "type": "cpu", "metadata": { "value": "80" } }],
                },
            }),
        );
    }

    /// A quota with these limits, as `{"pods": "4"}`.
    pub fn quota(&self, name: &str, hard: &Value) {
        let quota = json!({ "metadata": { "name": name, "namespace": NAMESPACE }, "spec": { "hard": hard } });
        self.create(&QUOTAS, "kubectl-create", quota);
    }

    /// A disruption budget: so many must be there.
    pub fn budget(&self, at_least: u32) {
        let selector = json!({ "matchLabels": { "app.kubernetes.io/name": NAME } });
        let budget = json!({
            "metadata": { "name": NAME, "namespace": NAMESPACE },
            "spec": { "minAvailable": at_least, "selector": selector },
        });
        self.create(&BUDGETS, "kubectl-create", budget);
    }

    /// Somebody types `kubectl cordon`, or `uncordon`.
    pub fn cordon(&self, node: &str, cordoned: bool) {
        let cordoned = if cordoned { Value::Bool(true) } else { Value::Null };
        self.patch(&NODES, node, "kubectl-cordon", None, &json!({ "spec": { "unschedulable": cordoned } }));
    }

    /// Somebody types `kubectl taint`.
    pub fn taint(&self, node: &str, key: &str, value: &str, effect: &str) {
        let taint = json!([{ "key": key, "value": value, "effect": effect }]);
        self.patch(&NODES, node, "kubectl-taint", None, &json!({ "spec": { "taints": taint } }));
    }

    /// What becomes of the next pods, where they are played.
    pub fn new_pods(&self, fate: Fate) {
        self.shared.change(|state| state.pods.new = fate);
    }

    /// What becomes of that pod, where it is played. One that crashes once more has one restart more.
    ///
    /// # Panics
    /// Where there is no such pod.
    pub fn pod(&self, name: &str, fate: Fate) {
        self.shared.change(|state| {
            let uid = state.store.get(&Key::new(&PODS, NAMESPACE, name)).map(uid).expect("such a pod");
            if matches!(fate, Fate::Crashes(..)) {
                *state.pods.restarts.entry(uid.clone()).or_default() += 1;
            }
            state.pods.fates.insert(uid, fate);
        });
    }

    /// What that pod wrote, and what its container before did.
    pub fn pod_wrote(&self, name: &str, text: &str, before: &str) {
        self.shared.change(|state| state.pods.written.insert(name.to_owned(), (text.to_owned(), before.to_owned())));
    }

    /// Whether played pods that are told to go stay until this is called with `false`.
    pub fn pods_linger(&self, linger: bool) {
        self.shared.change(|state| state.pods.linger = linger);
    }

    /// Makes a controller stand still: `deployments`, `replica sets`, `stateful sets`, `scheduler`, `kubelet`,
    /// `endpoints`, `autoscaler`, `keda`, `disruption`, `collector`.
    pub fn hold(&self, controller: &'static str) {
        self.shared.change(|state| state.held.insert(controller));
    }

    /// Lets a controller go on.
    pub fn release(&self, controller: &'static str) {
        self.shared.change(|state| state.held.remove(controller));
    }

    /// The API server goes away: every connection is cut, new ones too until it is back.
    pub fn api_server_goes_away(&self) {
        self.shared.away.send_replace(true);
        self.cut();
    }

    /// Waits until that many connections found nobody.
    ///
    /// # Panics
    /// As `until`.
    pub async fn until_turned_away(&self, count: u64) {
        let see = |state: &State| (state.turned_away >= count).then_some(());
        self.shared.until(&format!("{count} connections that find nobody"), see).await;
    }

    /// It is back, with everything as it was.
    pub fn api_server_is_back(&self) {
        self.shared.away.send_replace(false);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        self.shared.cut.send_modify(|cuts| *cuts += 1);
    }

    /// The next request with this in its path is answered with 429 and a `Retry-After`.
    pub fn too_busy_for(&self, part: &str, retry_after: u64) {
        let failure = Failure::too_many(retry_after);
        self.shared.change(|state| state.instead.push_back((part.to_owned(), failure)));
    }

    /// The next request with this in its path is answered with that failure.
    pub fn fails_next(&self, part: &str, code: u16, reason: &'static str, message: &str) {
        let failure = Failure::new(code, reason, message);
        self.shared.change(|state| state.instead.push_back((part.to_owned(), failure)));
    }

    /// The next request with this in its path is done, and its answer is lost.
    pub fn loses_next_answer(&self, part: &str) {
        self.shared.change(|state| state.lost.push(part.to_owned()));
    }

    /// The next request with this in its path is done, and its answer does not come before the connection is cut.
    pub fn holds_next_answer(&self, part: &str) {
        self.shared.change(|state| state.withheld.push(part.to_owned()));
    }

    /// Somebody types `kubectl delete`.
    ///
    /// # Panics
    /// Where there is no such kind.
    pub fn delete(&self, kind: &str, name: &str) {
        let resource = super::resource::RESOURCES.iter().copied().find(|one| one.kind == kind).expect("such a kind");
        self.shared.change(|state| state.store.remove(&Key::new(resource, NAMESPACE, name)));
    }

    /// What happened until now is forgotten: a watch that has not read it, and a list under way, are told `Expired`.
    pub fn compact(&self) {
        self.shared.change(|state| state.store.compact());
    }

    /// Every watch under way ends with `Expired`, as one does that could not keep up.
    pub fn watches_expire(&self) {
        self.shared.change(|state| state.expiries += 1);
    }

    /// Every watch that wants bookmarks gets one.
    pub fn bookmarks(&self) {
        self.shared.change(|state| state.bookmarks += 1);
    }

    /// Sets the cluster's clock forward.
    pub fn advance(&self, by: Duration) {
        self.shared.change(|state| state.store.clock.advance(by));
    }

    /// The names of the pods that have neither ended nor been told to.
    pub fn pods(&self) -> Vec<String> {
        let pods = self.objects("Pod").into_iter().filter(is_active);
        pods.filter_map(|pod| pod["metadata"]["name"].as_str().map(ToOwned::to_owned)).collect()
    }

    /// Waits until the object of that kind and name is as asked.
    ///
    /// # Panics
    /// Where that does not happen in time, with what was to be seen instead.
    pub async fn until(&self, kind: &str, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let resource = super::resource::RESOURCES.iter().copied().find(|one| one.kind == kind).expect("such a kind");
        let key = Key::new(resource, NAMESPACE, name);
        let see = |state: &State| state.store.get(&key).filter(|object| is(object)).cloned();
        self.shared.until(&format!("{kind} {name} to be as asked for"), see).await
    }

    /// Waits until all pods together are as asked.
    ///
    /// # Panics
    /// As `until`.
    pub async fn until_pods(&self, are: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let see = |state: &State| {
            let pods = state.store.within(&PODS, NAMESPACE);
            are(&pods).then_some(pods)
        };
        self.shared.until("the pods to be as asked for", see).await
    }

    /// Waits until there are that many pods, all ready, and the workload says so.
    ///
    /// # Panics
    /// As `until`.
    pub async fn until_ready(&self, count: u32) {
        let see = |state: &State| {
            let pods = state.store.within(&PODS, NAMESPACE);
            let ready = pods.len() == count as usize && pods.iter().all(is_ready);
            let told = [&DEPLOYMENTS, &STATEFUL_SETS].iter().any(|resource| {
                state.store.within(resource, NAMESPACE).iter().any(|one| {
                    let number = |field: &str| one["status"][field].as_u64().unwrap_or(0);
                    number("readyReplicas") == u64::from(count)
                        && number("replicas") == u64::from(count)
                        && one["status"]["observedGeneration"] == one["metadata"]["generation"]
                })
            });
            (ready && told).then_some(())
        };
        self.shared.until(&format!("{count} ready pods"), see).await;
    }

    /// Waits for a request that is as asked, the first such.
    ///
    /// # Panics
    /// Where none comes in time.
    pub async fn until_asked(&self, is: impl Fn(&super::Request) -> bool) -> super::Request {
        let see = |state: &State| state.requests.iter().find(|one| is(one)).cloned();
        self.shared.until("a request as asked for", see).await
    }

    /// Whether the workload has a condition of that type and reason.
    pub fn has_condition(&self, kind: &str, reason: &str) -> bool {
        let object = self.object(workload(self).kind, NAME);
        condition(&object, kind).is_some_and(|one| one["reason"] == reason)
    }

    fn create(&self, resource: &'static Resource, manager: &str, object: Value) {
        let author = Author { manager, subresource: None };
        self.shared.change(|state| state.store.create(resource, object, author).map(drop)).unwrap();
    }

    fn patch(
        &self,
        resource: &'static Resource,
        name: &str,
        manager: &str,
        subresource: Option<&'static str>,
        patch: &Value,
    ) {
        self.shared.change(|state| patched(state, resource, name, Author { manager, subresource }, patch));
    }
}

fn patched(state: &mut State, resource: &'static Resource, name: &str, author: Author<'_>, patch: &Value) {
    let key = Key::new(resource, NAMESPACE, name);
    let mut object = state.store.get(&key).cloned().unwrap_or_default();
    merge(&mut object, patch);
    let done = state.store.update(resource, &key, object, Part::Main, author);
    done.unwrap_or_else(|failure| panic!("{}", failure.message));
}

/// What `kubectl scale` does.
pub(super) fn set_by_a_colleague(state: &mut State, resource: &'static Resource, replicas: u32) {
    let author = Author { manager: "kubectl", subresource: Some("scale") };
    patched(state, resource, NAME, author, &json!({ "spec": { "replicas": replicas } }));
}

/// The type of the scene's workload.
fn workload(cluster: &Cluster) -> &'static Resource {
    let key = Key::new(&STATEFUL_SETS, NAMESPACE, NAME);
    if cluster.shared.look(|state| state.store.get(&key).is_some()) { &STATEFUL_SETS } else { &DEPLOYMENTS }
}

/// Makes an object, or changes it to what is said, with the annotation by which `kubectl apply` knows it again.
fn apply(state: &mut State, mut object: Value) {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    match state.policies.take(&object) {
        Ok(true) => return,
        Ok(false) => {}
        Err(why) => panic!("a policy that the cluster refuses: {why}"),
    }
    let version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
    // What the double does not serve (a ServiceAccount, a CustomResourceDefinition) changes nothing in it.
    let Some(resource) = Resource::of_kind(&version, &kind) else { return };
    if resource.namespaced && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = NAMESPACE.into();
    }
    let last = format!("{object}\n");
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = last.into();
    let author = Author { manager: "kubectl-client-side-apply", subresource: None };
    let key = Key::of(resource, &object);
    let done = match state.store.get(&key).cloned() {
        Some(mut old) => {
            merge(&mut old, &object);
            state.store.update(resource, &key, old, Part::Main, author)
        }
        None => state.store.create(resource, object, author),
    };
    done.unwrap_or_else(|failure| panic!("the cluster refuses what is applied: {}", failure.message));
}
