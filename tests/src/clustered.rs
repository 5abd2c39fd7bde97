//! The service with a fleet in a cluster: the double with real instances behind its pods, the shipped rights and nothing
//! else for the bot, private PostgreSQL and Redis as the halt's sources of truth, and an operator in Discord's double.

use std::path::Path;

use serde_json::{Value, json};

use crate::binary::world_says;
use crate::discord::Discord;
use crate::kubernetes::{Cluster, Request, Setup};
use crate::operator::Operator;
use crate::run::{PATIENCE, Service};
use crate::services::postgres::Postgres;
use crate::services::redis::Redis;
use crate::surrounded::{SECRETS, halt_sources};

/// The bot's service account.
pub const BOT: &str = "scalebot/scalebot";

/// What an administrator is told to apply for it.
pub const RIGHTS: [&str; 3] = ["observe-and-scale.yaml", "victims.yaml", "nodes.yaml"];

/// What a scene differs in from the usual one.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The cluster.
    pub setup: Setup,
    /// The files of `deploy/kubernetes/rbac` that were applied.
    pub rights: Vec<&'static str>,
    /// More lines for the fleet's section.
    pub fleet: &'static str,
}

impl Scene {
    /// So many instances under that many requests per second, with everything that they need.
    pub fn of(instances: u32, load: f64) -> Self {
        Self { setup: Setup::real(instances, load), rights: RIGHTS.into(), fleet: "" }
    }
}

/// A service, its fleet's cluster, and what is around both.
pub struct Clustered {
    /// The service. It ends before what is around it.
    pub service: Service,
    /// Where it is asked.
    pub discord: Discord,
    /// The cluster.
    pub cluster: Cluster,
    /// Where the halt table is.
    pub postgres: Postgres,
    /// Where the halt signals are.
    pub redis: Redis,
}

/// The text of a file of `deploy/kubernetes`.
///
/// # Panics
/// Where there is none.
pub fn shipped(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Clustered {
    /// Everything is there; the service does not run yet.
    pub async fn with(scene: Scene) -> Self {
        let (postgres, redis) = halt_sources().await;
        // As long as what every instance began with, which is what is compared.
        postgres.runs("INSERT INTO events (event_id) VALUES (NULL), (NULL), (NULL)").await;
        let cluster = Cluster::start(scene.setup).await;
        cluster.patience(PATIENCE);
        for file in &scene.rights {
            cluster.apply(&shipped(&format!("rbac/{file}")));
        }
        let discord = Discord::ready_made();
        let service = Service::in_discord(&discord, "", "");
        let usual = std::fs::read_to_string(service.config()).unwrap();
        let chat = &usual[usual.find("[discord]").expect("its section")..];
        let [for_postgres, for_redis, _] = SECRETS;
        // On a machine that is busy with other tests, an answer may take its time.
        let text = format!(
            "default_target = \"api\"\n[state]\ndirectory = \"{state}\"\n[http]\nlisten = \"{listen}\"\n\
             [log]\nformat = \"json\"\n\
             [policy.time]\nguard = \"2s\"\nlook = \"8s\"\nround = \"20s\"\nready_within = \"90s\"\n\
             [policy.count]\ncool_down = \"0s\"\n\
             [policy.load]\nmemory_limit = \"256MiB\"\nsustained = \"10s\"\np99 = \"20s\"\nbusy = \"100%\"\ncpu = \"100%\"\n\
             [policy.drain]\nunmeasured = \"2s\"\n\
             [policy.triggers]\nevery = \"1h\"\n\
             [targets.api]\nhalt.sources = [\"postgres\", \"redis\"]\nchain = \"postgres\"\n\
             pools = [\"postgres\", \"redis\"]\ninstance_time_out = \"8s\"\n\
             [targets.api.backend]\npaths.work = \"/v1/operations\"\n\
             keys = {{ path = {{ path = \"/v1/keys/status\", field = \"reachable\" }} }}\n\
             [targets.api.fleet]\nkind = \"kubernetes\"\nnamespace = \"conclave\"\ndeployment = \"api\"\n\
             service = \"api\"\nkubeconfig = \"{kubeconfig}\"\ntime_out = \"8s\"\n{fleet}\
             [targets.api.postgres]\nurl = \"postgres://scalebot:{for_postgres}@{database}/postgres\"\n\
             time_out = \"8s\"\n[targets.api.postgres.halt]\n[targets.api.postgres.chain]\n\
             [targets.api.postgres.connections]\nper_instance = 5\nfleet.users = [\"conclave\"]\n\
             [targets.api.redis]\nurl = \"redis://scalebot@{cache}\"\npassword = \"{for_redis}\"\n\
             time_out = \"8s\"\n[targets.api.redis.halt]\n\
             [targets.api.redis.connections]\nper_instance = 5\nfleet.users = [\"conclave\"]\n{chat}",
            state = service.state().display(),
            listen = service.listen,
            kubeconfig = cluster.kubeconfig(BOT).display(),
            fleet = scene.fleet,
            database = postgres.address(),
            cache = redis.address(),
        );
        std::fs::write(service.config(), text).unwrap();
        Self { service, discord, cluster, postgres, redis }
    }

    /// The service runs, and can be asked.
    pub async fn served(&self) -> Operator<'_> {
        let serving = self.service.start_ready();
        self.discord.until_registered("scale").await;
        Operator::new(&self.service, &self.discord, || self.cluster.transcript(), serving)
    }

    /// What the bot asked of the API server that changes something, without reviews of its own rights.
    pub fn changes(&self) -> Vec<Request> {
        let is_change = |one: &Request| one.method != "GET" && !one.path.contains("selfsubject");
        self.cluster
            .requests()
            .into_iter()
            .filter(|one| one.user.ends_with(":scalebot:scalebot") && is_change(one))
            .collect()
    }

    /// How often the bot sent a count.
    pub fn counts_sent(&self) -> usize {
        self.changes().iter().filter(|one| one.path.ends_with("/scale")).count()
    }

    /// The count that the workload wants.
    pub fn count(&self) -> Value {
        self.cluster.object("Deployment", "api")["spec"]["replicas"].clone()
    }

    /// Not one request of the load generator failed, or was not taken.
    pub fn lost_no_request(&self) {
        let load: Value =
            serde_json::from_str(&world_says(self.cluster.world(), "GET", "/load", &Value::Null)).unwrap();
        assert_eq!((&load["failed"], &load["dropped"]), (&json!(0), &json!(0)), "a request was lost: {load}");
    }
}
