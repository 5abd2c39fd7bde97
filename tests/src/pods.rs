//! A fleet in the pods of any cluster: of the double, or of a real one where a kubeconfig names it. All that is done there
//! is done through the API server, so that what passes on the one is what runs on the other.
//!
//! `SCALEBOT_TEST_KUBECONFIG` names the file of somebody who may make namespaces, roles and what is in the scene, and
//! `SCALEBOT_TEST_IMAGE` an image of the bot, whose program also plays the backend's instances. Each scene has a namespace of
//! its own, which goes with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clustered::shipped;
use crate::discord::Discord;
use crate::kubernetes::{Cluster, Machines, Real, Setup};
use crate::operator::Operator;
use crate::run::{PATIENCE, Service};
use crate::services::postgres::Postgres;
use crate::services::redis::Redis;
use crate::surrounded::{SECRETS, halt_sources};

/// The files of rights that an administrator applies.
const RIGHTS: [&str; 3] = ["observe-and-scale.yaml", "victims.yaml", "nodes.yaml"];

/// How long a cluster may take for what it is waited for.
const CLUSTER: Duration = Duration::from_mins(4);

/// How many requests a second there are.
const LOAD: u64 = 4;

/// A scene.
pub struct Scene {
    /// How many pods it begins with.
    pub instances: u32,
    /// Whether pods that come later crash.
    pub later_ones_crash: bool,
    /// What is changed in the workload that is shipped as an example.
    pub change: fn(&mut Value),
}

impl Scene {
    /// So many pods, with which nothing is wrong.
    pub fn of(instances: u32) -> Self {
        Self { instances, later_ones_crash: false, change: |_| () }
    }
}

/// Which cluster it is.
enum Place {
    /// The double, with real processes behind its pods.
    Double(Box<Cluster>),
    /// A real one, and the image that its pods run.
    Real(String),
}

/// A service, and its fleet in a cluster.
pub struct Pods {
    /// The service. It ends before what is around it.
    pub service: Service,
    /// Where it is asked.
    pub discord: Discord,
    /// The namespace of the scene.
    pub namespace: String,
    client: Client,
    load: JoinHandle<()>,
    place: Place,
    kubeconfig: PathBuf,
    folder: TempDir,
    halt: (Postgres, Redis),
}

/// The type of that kind. Those of the cluster itself have no namespace.
fn of_kind(kind: &str) -> (ApiResource, bool) {
    let (group, version, namespaced) = match kind {
        "Deployment" => ("apps", "v1", true),
        "HorizontalPodAutoscaler" => ("autoscaling", "v2", true),
        "PodDisruptionBudget" => ("policy", "v1", true),
        "Role" | "RoleBinding" => ("rbac.authorization.k8s.io", "v1", true),
        "ClusterRole" | "ClusterRoleBinding" => ("rbac.authorization.k8s.io", "v1", false),
        "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding" => {
            ("admissionregistration.k8s.io", "v1", false)
        }
        "Namespace" | "Node" => ("", "v1", false),
        "Pod" | "Service" | "ServiceAccount" | "ResourceQuota" | "ConfigMap" => ("", "v1", true),
        kind => panic!("{kind} is in no scene"),
    };
    (ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)), namespaced)
}

fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

async fn client_of(kubeconfig: &Path) -> Client {
    let read = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// The cluster that is named, or the double; and how its administrator reaches it.
async fn cluster_for(scene: &Scene) -> (Place, PathBuf) {
    if let Some(file) = std::env::var_os("SCALEBOT_TEST_KUBECONFIG") {
        let image = std::env::var("SCALEBOT_TEST_IMAGE");
        let image = image.expect("SCALEBOT_TEST_IMAGE names the image that pods of the cluster run");
        return (Place::Real(image), PathBuf::from(file));
    }
    let fault = scene.later_ones_crash.then_some("crash");
    let machines = Machines::Real(Real { fault, ..Real::default() });
    // The double has a service account for whoever is asked for, and makes the workload when it is told to.
    let manifest = Some(String::new());
    let setup = Setup { machines, instances: scene.instances, manifest, waits: false, ..Setup::default() };
    let cluster = Cluster::start(setup).await;
    cluster.patience(PATIENCE);
    let kubeconfig = cluster.kubeconfig("administrator");
    (Place::Double(Box::new(cluster)), kubeconfig)
}

impl Pods {
    /// Everything is there; the service does not run yet.
    pub async fn with(scene: Scene) -> Self {
        let halt = halt_sources().await;
        let folder = tempfile::Builder::new().prefix("pods").tempdir().unwrap();
        let (place, kubeconfig) = cluster_for(&scene).await;
        let client = client_of(&kubeconfig).await;
        let namespace = format!("conclave-test-{:08x}", fastrand::u32(..));
        let discord = Discord::ready_made();
        let service = Service::in_discord(&discord, "", "");
        let load = tokio::spawn(loads(client.clone(), namespace.clone()));
        let pods = Self { service, discord, namespace, client, load, place, kubeconfig, folder, halt };
        pods.furnish(&scene).await;
        pods
    }

    async fn furnish(&self, scene: &Scene) {
        self.create(json!({ "kind": "Namespace", "metadata": { "name": self.namespace } })).await;
        self.allow().await;
        for mut object in documents(&self.in_scene(&shipped("example/application.yaml"))) {
            if object["kind"] == "Deployment" {
                object["spec"]["replicas"] = scene.instances.into();
                self.is_played(&mut object["spec"]["template"]["spec"]);
                (scene.change)(&mut object);
            }
            self.create(object).await;
        }
        self.until_ready(scene.instances).await;
        if scene.later_ones_crash && matches!(self.place, Place::Real(_)) {
            let data = json!({ "crash": "whoever comes now" });
            self.create(json!({ "kind": "ConfigMap", "metadata": { "name": "fault" }, "data": data })).await;
        }
        let kubeconfig = self.kubeconfig_of_the_bot().await;
        self.configure(&kubeconfig);
    }

    /// What was shipped, with the scene's namespace for the fleet's and the bot's. What belongs to the cluster itself has a
    /// name of its own, so that several scenes are beside one another.
    fn in_scene(&self, yaml: &str) -> String {
        let namespace = &self.namespace;
        yaml.replace("namespace: conclave", &format!("namespace: {namespace}"))
            .replace("namespace: scalebot", &format!("namespace: {namespace}"))
            .replace("serviceaccount:scalebot:scalebot", &format!("serviceaccount:{namespace}:scalebot"))
            .replace("scalebot-nodes", &format!("{namespace}-nodes"))
            .replace("scalebot-changes-two-keys-of-a-pod", &format!("{namespace}-changes-two-keys-of-a-pod"))
    }

    async fn allow(&self) {
        for file in RIGHTS {
            let text = self.in_scene(&shipped(&format!("rbac/{file}")));
            match &self.place {
                // It holds roles as its rules and not as objects.
                Place::Double(cluster) => cluster.apply(&text),
                Place::Real(_) => {
                    for object in documents(&text) {
                        self.create(object).await;
                    }
                }
            }
        }
    }

    /// The container runs the program that plays an instance of the backend.
    fn is_played(&self, pod: &mut Value) {
        let Place::Real(image) = &self.place else { return };
        let container = &mut pod["containers"][0];
        container["image"] = json!(image);
        container["args"] = json!([
            "drill-instance",
            "--name",
            "$(POD)",
            "--alone",
            "0.0.0.0:8000",
            "--fault",
            "crash",
            "--fault-if",
            "/fault/crash",
        ]);
        container["env"] = json!([{ "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }]);
        container["volumeMounts"] = json!([{ "name": "fault", "mountPath": "/fault" }]);
        pod["volumes"] = json!([{ "name": "fault", "configMap": { "name": "fault", "optional": true } }]);
    }

    /// A kubeconfig of the bot's own service account, with what the administrator's says of the server.
    async fn kubeconfig_of_the_bot(&self) -> PathBuf {
        if let Place::Double(cluster) = &self.place {
            return cluster.kubeconfig(&format!("{}/scalebot", self.namespace));
        }
        self.create(json!({ "kind": "ServiceAccount", "metadata": { "name": "scalebot" } })).await;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(7_200), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let made = accounts.create_token_request("scalebot", &PostParams::default(), &request).await.unwrap();
        let token = made.status.unwrap().token;
        let mut config = serde_json::to_value(Kubeconfig::read_from(&self.kubeconfig).unwrap()).unwrap();
        for user in config["users"].as_array_mut().unwrap() {
            user["user"] = json!({ "token": token });
        }
        let file = self.folder.path().join("bot.kubeconfig");
        // JSON is YAML.
        std::fs::write(&file, config.to_string()).unwrap();
        file
    }

    fn configure(&self, kubeconfig: &Path) {
        let usual = std::fs::read_to_string(self.service.config()).unwrap();
        let chat = &usual[usual.find("[discord]").expect("its section")..];
        let [for_postgres, for_redis, _] = SECRETS;
        let (postgres, redis) = &self.halt;
        let text = format!(
            "default_target = \"api\"\n[state]\ndirectory = \"{state}\"\n[http]\nlisten = \"{listen}\"\n\
             [log]\nformat = \"json\"\n\
             [policy.time]\nguard = \"2s\"\nlook = \"8s\"\nround = \"20s\"\nready_within = \"4m\"\n\
             [policy.count]\ncool_down = \"0s\"\nmaximum = 500\nlargest_step = \"1000%\"\n\
             [policy.load]\nmemory_limit = \"512MiB\"\nsustained = \"10s\"\np99 = \"20s\"\nbusy = \"100%\"\ncpu = \"100%\"\n\
             [policy.drain]\nunmeasured = \"2s\"\nexit = \"90s\"\n\
             [policy.triggers]\nevery = \"1h\"\n\
             [targets.api]\nhalt.sources = [\"postgres\", \"redis\"]\ninstance_time_out = \"8s\"\n\
             [targets.api.backend]\npaths.work = \"/v1/operations\"\n\
             keys = {{ path = {{ path = \"/v1/keys/status\", field = \"reachable\" }} }}\n\
             [targets.api.fleet]\nkind = \"kubernetes\"\nnamespace = \"{namespace}\"\ndeployment = \"api\"\n\
             service = \"api\"\nkubeconfig = \"{kubeconfig}\"\ntime_out = \"8s\"\nreach = \"proxy\"\n\
             [targets.api.metrics]\nkind = \"scrape\"\nlimit = \"8s\"\nround = \"8s\"\n\
             [targets.api.postgres]\nurl = \"postgres://scalebot:{for_postgres}@{database}/postgres\"\n\
             time_out = \"8s\"\n[targets.api.postgres.halt]\n\
             [targets.api.redis]\nurl = \"redis://scalebot@{cache}\"\npassword = \"{for_redis}\"\n\
             time_out = \"8s\"\n[targets.api.redis.halt]\n{chat}",
            state = self.service.state().display(),
            listen = self.service.listen,
            namespace = self.namespace,
            kubeconfig = kubeconfig.display(),
            database = postgres.address(),
            cache = redis.address(),
        );
        std::fs::write(self.service.config(), text).unwrap();
    }

    /// The service runs, and can be asked.
    pub async fn served(&self) -> Operator<'_> {
        let serving = self.service.start_ready();
        self.discord.until_registered("scale").await;
        let transcript = || match &self.place {
            Place::Double(cluster) => cluster.transcript(),
            Place::Real(_) => format!("kubectl -n {} get events", self.namespace),
        };
        Operator::new(&self.service, &self.discord, transcript, serving)
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let (resource, namespaced) = of_kind(kind);
        if namespaced {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    /// Makes that object.
    pub async fn create(&self, mut object: Value) {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        let (resource, namespaced) = of_kind(&kind);
        object["apiVersion"] = json!(resource.api_version);
        if namespaced {
            object["metadata"]["namespace"] = json!(self.namespace);
        }
        let made: DynamicObject = serde_json::from_value(object).unwrap();
        self.api(&kind).create(&PostParams::default(), &made).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }

    /// Deletes it.
    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind).delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// The object as it is.
    pub async fn object(&self, kind: &str, name: &str) -> Value {
        serde_json::to_value(self.api(kind).get(name).await.unwrap()).unwrap()
    }

    /// Waits until it is so.
    pub async fn until(&self, kind: &str, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        let api = self.api(kind);
        let so = async {
            loop {
                let now = self.object(kind, name).await;
                if is(&now) {
                    return now;
                }
                let version = now["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
                let which = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(30);
                let mut changes = api.watch(&which, &version).await.unwrap().boxed();
                while let Some(Ok(WatchEvent::Bookmark(_))) = changes.next().await {}
            }
        };
        if let Ok(object) = timeout(CLUSTER, so).await {
            return object;
        }
        panic!("{kind} {name} stays as it is: {:#}", self.object(kind, name).await)
    }

    /// Waits until so many pods are ready.
    pub async fn until_ready(&self, count: u32) {
        let all = |one: &Value| {
            let status = &one["status"];
            status["readyReplicas"] == count && status["replicas"] == count
        };
        self.until("Deployment", "api", all).await;
    }

    /// The pods that are not on their way out, in order.
    pub async fn pods(&self) -> Vec<Value> {
        let pods = self.api("Pod").list(&ListParams::default().labels("app.kubernetes.io/name=api")).await.unwrap();
        let pods = pods.items.into_iter().map(|pod| serde_json::to_value(pod).unwrap());
        let mut pods: Vec<Value> = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect();
        pods.sort_by_key(|pod| pod["metadata"]["name"].as_str().map(ToOwned::to_owned));
        pods
    }

    /// Their names.
    pub async fn names(&self) -> Vec<String> {
        let pods = self.pods().await;
        pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// How many nodes there are.
    pub async fn nodes(&self) -> u32 {
        u32::try_from(self.api("Node").list(&ListParams::default()).await.unwrap().items.len()).unwrap()
    }

    /// Somebody sets the count with `kubectl`.
    pub async fn kubectl_scale(&self, count: u32) {
        let patch = Patch::Merge(json!({ "spec": { "replicas": count } }));
        let who = PatchParams { field_manager: Some("kubectl".to_owned()), ..PatchParams::default() };
        self.api("Deployment").patch_scale("api", &who, &patch).await.unwrap();
    }

    /// How often the workload's specification was changed, and the count that it wants.
    pub async fn changed(&self) -> (u64, u64) {
        let workload = self.object("Deployment", "api").await;
        let number = |value: &Value| value.as_u64().unwrap();
        (number(&workload["metadata"]["generation"]), number(&workload["spec"]["replicas"]))
    }
}

impl Drop for Pods {
    /// All of the scene goes, however it ended; in a real cluster everything that was made there.
    fn drop(&mut self) {
        self.load.abort();
        if matches!(self.place, Place::Double(_)) {
            return;
        }
        let (kubeconfig, namespace) = (self.kubeconfig.clone(), self.namespace.clone());
        let deleting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(delete_all(&kubeconfig, &namespace));
        });
        if deleting.join().is_err() {
            println!("what was made for {} may still be there", self.namespace);
        }
    }
}

async fn delete_all(kubeconfig: &Path, namespace: &str) {
    let client = client_of(kubeconfig).await;
    let all = [
        ("ClusterRoleBinding", "-nodes"),
        ("ClusterRole", "-nodes"),
        ("ValidatingAdmissionPolicyBinding", "-changes-two-keys-of-a-pod"),
        ("ValidatingAdmissionPolicy", "-changes-two-keys-of-a-pod"),
        ("Namespace", ""),
    ];
    for (kind, name) in all {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &of_kind(kind).0);
        match api.delete(&format!("{namespace}{name}"), &DeleteParams::default()).await {
            Ok(_) => {}
            // A scene that failed early has not made everything.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => println!("{kind} {namespace}{name} is still there: {error}"),
        }
    }
}

/// Requests for work, from one pod to the next of those that the Service would send them to.
async fn loads(client: Client, namespace: String) {
    let (resource, _) = of_kind("Pod");
    let pods: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let selected = ListParams::default().labels("app.kubernetes.io/name=api,receives-requests=true");
    let client = Arc::new(client);
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / LOAD));
    for number in 0.. {
        ticks.tick().await;
        // Before the scene is there, and while the server is away, nothing is asked.
        let Ok(all) = pods.list(&selected).await else { continue };
        let is_ready = |pod: &&DynamicObject| {
            let conditions = pod.data["status"]["conditions"].as_array();
            let mut ready = conditions.into_iter().flatten().filter(|one| one["type"] == "Ready");
            ready.any(|one| one["status"] == "True") && pod.metadata.deletion_timestamp.is_none()
        };
        let ready: Vec<&DynamicObject> = all.items.iter().filter(is_ready).collect();
        let Some(name) = ready.get(number % ready.len().max(1)).and_then(|pod| pod.metadata.name.clone()) else {
            continue;
        };
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:8000/proxy/v1/petitions/{number}");
        let client = Arc::clone(&client);
        tokio::spawn(async move {
            let request = axum::http::Request::get(path).body(Vec::new()).unwrap();
            // Whoever goes in this moment answers nobody.
            let _ = client.request_text(request).await;
        });
    }
}
