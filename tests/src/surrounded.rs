//! A service with the real systems around it: PostgreSQL and Redis as sources of truth and as budgets, Prometheus for the
//! load, HAProxy before the fleet. Each is a private server; what goes between them and the bot can be held up or cut.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::binary::world_says;
use crate::run::Service;
use crate::services::haproxy::{BACKEND, Haproxy};
use crate::services::postgres::Postgres;
use crate::services::prometheus::{JOB, Prometheus};
use crate::services::redis::Redis;
use crate::services::trouble::Way;

/// The very statements that an operator is told to run.
const GRANT: &str = include_str!("../../deploy/postgres/grant.sql");

/// The very line that an operator is told to take over.
const USERS: &str = include_str!("../../deploy/redis/users.acl");

/// What the backend makes.
const TABLES: &str = "\
CREATE TABLE halt_state (
    id uuid DEFAULT '00000000-0000-0000-0000-000000000001', is_halted boolean, reason text, crisis_event_id uuid,
    halted_at timestamptz, updated_at timestamptz DEFAULT now(), ceremony_id uuid, clear_reason text,
    cleared_at timestamptz);
INSERT INTO halt_state (is_halted) VALUES (false);
CREATE TABLE events (event_id uuid, sequence bigserial UNIQUE NOT NULL, content_hash text, prev_hash text);
CREATE ROLE conclave LOGIN PASSWORD 'an instance';";

/// The bot's passwords, which it must never say.
pub const SECRETS: [&str; 3] = ["hidden-in-postgres", "hidden-in-redis", crate::services::prometheus::PASSWORD];

/// A service, and everything that is around it.
pub struct Surrounded {
    /// The service. It ends before what is around it.
    pub service: Service,
    /// Where the halt table is.
    pub postgres: Postgres,
    /// Where the halt signals are.
    pub redis: Redis,
    /// Who scrapes the instances.
    pub prometheus: Prometheus,
    /// Who sends them requests.
    pub haproxy: Haproxy,
    /// The bot's way to PostgreSQL.
    pub to_postgres: Way,
    /// The bot's way to Redis.
    pub to_redis: Way,
    /// The bot's way to Prometheus.
    pub to_prometheus: Way,
    /// The bot's way to HAProxy's runtime API. The world has its own.
    pub to_haproxy: Way,
    // Its files are read until the service has ended.
    _secrets: TempDir,
}

impl Surrounded {
    /// Everything is there and as it should be; nothing of the service runs yet. `more` stands at the end of its
    /// configuration.
    pub async fn with(more: &str) -> Self {
        let [for_postgres, for_redis, for_prometheus] = SECRETS;
        let (postgres, redis) = halt_sources().await;
        let prometheus = Prometheus::with_credentials(&[]);
        let haproxy = Haproxy::before(&["option httpchk GET /v1/ready".to_owned()]);
        let to_postgres = Way::to(postgres.address()).await;
        let to_redis = Way::to(redis.address()).await;
        let to_prometheus = Way::to(prometheus.address()).await;
        let to_haproxy = Way::to(haproxy.api()).await;

        let secrets = tempfile::tempdir().unwrap();
        let secret = secrets.path().join("prometheus.password");
        std::fs::write(&secret, for_prometheus).unwrap();
        let service = Service::with(&["api"], "");
        let text = std::fs::read_to_string(service.config()).unwrap();
        let sources = "halt.sources = [\"postgres\", \"redis\"]\ntraffic = \"haproxy\"\ninstance_time_out = \"4s\"\n";
        let text = text
            .replace("halt.sources = [\"process_table\", \"process_signals\"]\n", sources)
            .replace("pools = [\"process_database\", \"process_redis\"]\n", "pools = [\"postgres\", \"redis\"]\n");
        assert!(text.contains(sources));
        // On a machine that is busy with other tests, an answer may take its time.
        let text = text.replace("[policy.time]\n", "[policy.time]\nguard = \"2s\"\n");
        let around = format!(
            "through = \"{through}\"\nscraped_by = \"{scraped_by}\"\n\
             [targets.api.metrics]\nkind = \"prometheus\"\n\
             [targets.api.prometheus]\nurl = \"http://{prometheus}\"\nuser = \"scalebot\"\npassword_file = \"{secret}\"\n\
             selector = 'job=\"{JOB}\"'\ninterval = \"1s\"\n\
             [targets.api.haproxy]\nsocket = \"tcp:{api}\"\nbackend = \"{BACKEND}\"\ntime_out = \"3s\"\n\
             added_with = \"check inter 500ms fall 2 rise 1\"\n\
             [targets.api.postgres]\nurl = \"postgres://scalebot:{for_postgres}@{database}/postgres\"\ntime_out = \"3s\"\n\
             [targets.api.postgres.halt]\n\
             [targets.api.postgres.connections]\nper_instance = 10\nfleet.users = [\"conclave\"]\n\
             [targets.api.redis]\nurl = \"redis://scalebot@{cache}\"\npassword = \"{for_redis}\"\ntime_out = \"3s\"\n\
             [targets.api.redis.halt]\n\
             [targets.api.redis.connections]\nper_instance = 20\nfleet.users = [\"conclave\"]\n{more}",
            through = haproxy.url().trim_end_matches('/'),
            scraped_by = prometheus.scraped().display(),
            secret = secret.display(),
            prometheus = to_prometheus.address(),
            api = to_haproxy.address(),
            database = to_postgres.address(),
            cache = to_redis.address(),
        );
        std::fs::write(service.config(), text + &around).unwrap();
        Self {
            service,
            postgres,
            redis,
            prometheus,
            haproxy,
            to_postgres,
            to_redis,
            to_prometheus,
            to_haproxy,
            _secrets: secrets,
        }
    }

    /// Asks the fleet's world, or tells it what is to happen: the answer's body.
    pub fn world_says(&self, method: &str, path: &str, body: &Value) -> String {
        world_says(&self.service.state().join("targets/api/world"), method, path, body)
    }

    /// Signals a halt, as the backend does.
    pub async fn signals_a_halt(&self) {
        let fields = ["reason", "FR17: fork", "timestamp", "2026-01-08T03:00:00Z"];
        self.redis_says(&[&["XADD", "halt:signals", "*"][..], &fields].concat()).await;
    }

    /// Has an administrator carry a command out in Redis.
    pub async fn redis_says(&self, command: &[&str]) {
        let client = redis::Client::open(self.redis.administrator()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut whole = redis::Cmd::new();
        for word in command {
            whole.arg(*word);
        }
        whole.exec_async(&mut connection).await.unwrap();
    }
}

/// The halt's sources of truth, which nobody has halted, for a bot with the shipped rights and its passwords.
pub(crate) async fn halt_sources() -> (Postgres, Redis) {
    let [for_postgres, for_redis, _] = SECRETS;
    let postgres = Postgres::new();
    postgres.runs(TABLES).await;
    postgres.runs(GRANT).await;
    postgres.runs(&format!("ALTER ROLE scalebot PASSWORD '{for_postgres}'")).await;
    (postgres, Redis::new(&users(for_redis)))
}

/// The operator's users, with a password, and the instances' one.
fn users(password: &str) -> String {
    let mut hash = String::new();
    for byte in Sha256::digest(password) {
        write!(hash, "{byte:02x}").unwrap();
    }
    let scalebot = USERS.replace("SHA256-OF-ITS-PASSWORD", &hash);
    assert_ne!(scalebot, USERS);
    format!("{scalebot}user conclave on >an-instance ~* &* +@all\n")
}
