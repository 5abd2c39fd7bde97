//! A service whose fleet lives on plain hosts: real SSH servers, a real HAProxy before them, real processes on them, and
//! the tool for a pool of machines that is shipped.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::changes::until;
use crate::discord::Discord;
use crate::operator::Operator;
use crate::run::{PATIENCE, Service};
use crate::services::haproxy::{BACKEND, Haproxy};
use crate::services::postgres::Postgres;
use crate::services::redis::Redis;
use crate::services::sshd::Machines;
use crate::surrounded::{SECRETS, halt_sources};

/// The very tool that an operator is told to use.
const POOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/hosts/pool");

/// The tool, which keeps a record of what it is told, and waits where the test says so.
const TOOL: &str = r#"#!/bin/sh
folder=$(dirname "$0")
if [ "$1" = set ]; then
    echo "$*" >>"$folder/made"
    while [ -e "$folder/hold-make" ]; do sleep 0.05; done
fi
exec "$POOL" "$folder/pool" "$@"
"#;

/// How many requests a second there are.
const LOAD: u64 = 6;

/// Where hosts come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// All are written down.
    Inventory,
    /// A tool makes them.
    Tool,
}

/// A service, and its fleet on hosts.
pub struct Hosts {
    /// The service. It ends before what is around it.
    pub service: Service,
    /// Where it is asked.
    pub discord: Discord,
    /// The machines.
    pub machines: Machines,
    /// Who sends them requests.
    pub haproxy: Haproxy,
    load: JoinHandle<()>,
    answered: Arc<[AtomicU64; 2]>,
    halt: (Postgres, Redis),
}

impl Hosts {
    /// So many hosts, of which the first `running` run the service. The bot does not run yet.
    pub async fn with(count: u8, running: u8, from: From) -> Self {
        let halt = halt_sources().await;
        let machines = Machines::start(count);
        for number in 1..=running {
            machines.somebody("start", number);
        }
        let haproxy = Haproxy::before(&["option httpchk GET /v1/ready".to_owned()]);
        let discord = Discord::ready_made();
        let service = Service::in_discord(&discord, "", "");
        let answered = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let load = tokio::spawn(loads(haproxy.url(), Arc::clone(&answered)));
        let hosts = Self { service, discord, machines, haproxy, load, answered, halt };
        hosts.configure(count, running, from);
        hosts
    }

    fn configure(&self, count: u8, running: u8, from: From) {
        let usual = std::fs::read_to_string(self.service.config()).unwrap();
        let chat = &usual[usual.find("[discord]").expect("its section")..];
        let [for_postgres, for_redis, _] = SECRETS;
        let (postgres, redis) = &self.halt;
        let machines = &self.machines;
        let hosts = (1..=count).map(|number| (Machines::name(number), machines.address(number)));
        let inventory = match from {
            From::Inventory => {
                let hosts = hosts.map(|(name, address)| format!("{{ name = \"{name}\", address = \"{address}\" }}"));
                format!("hosts = [{}]\n", hosts.collect::<Vec<_>>().join(", "))
            }
            From::Tool => {
                let lines = hosts.map(|(name, address)| format!("{name} {address}\n"));
                std::fs::write(machines.folder().join("pool"), lines.collect::<String>()).unwrap();
                let taken = (1..=running).map(|number| Machines::name(number) + "\n").collect::<String>();
                std::fs::write(machines.folder().join("pool.taken"), taken).unwrap();
                let tool = self.tool();
                std::fs::write(&tool, TOOL.replace("$POOL", POOL)).unwrap();
                // It has no bit of its own that makes it a program.
                format!("provision.command = [\"/bin/sh\", \"{}\"]\n", tool.display())
            }
        };
        let program = machines.program();
        let command = |what: &str| format!("[\"{}\", \"{what}\"]", program.display());
        let text = format!(
            "default_target = \"api\"\n[state]\ndirectory = \"{state}\"\n[http]\nlisten = \"{listen}\"\n\
             [log]\nformat = \"json\"\n\
             [policy.time]\nguard = \"2s\"\nlook = \"25s\"\nround = \"40s\"\nready_within = \"2m\"\n\
             [policy.count]\ncool_down = \"0s\"\nlargest_step = \"1000%\"\n\
             [policy.load]\nmemory_limit = \"512MiB\"\nsustained = \"10s\"\np99 = \"20s\"\nbusy = \"100%\"\ncpu = \"100%\"\n\
             [policy.drain]\nexit = \"90s\"\n\
             [policy.triggers]\nevery = \"1h\"\n\
             [targets.api]\nhalt.sources = [\"postgres\", \"redis\"]\ninstance_time_out = \"8s\"\n\
             [targets.api.backend]\npaths.work = \"/v1/operations\"\n\
             keys = {{ path = {{ path = \"/v1/keys/status\", field = \"reachable\" }} }}\n\
             [targets.api.fleet]\nkind = \"hosts\"\nservice = \"api\"\nport = {port}\n{inventory}\
             ssh = {{ user = \"{user}\", key_file = \"{key}\", known_hosts = \"{known}\", port = {ssh} }}\n\
             limits = {{ every = \"200ms\", look = \"20s\", ready = \"1500ms\" }}\n\
             [targets.api.fleet.commands]\ndeploy = {deploy}\nstart = {start}\nstop = {stop}\nstatus = {status}\n\
             logs = {logs}\n\
             [targets.api.haproxy]\nsocket = \"tcp:{api}\"\nbackend = \"{BACKEND}\"\ntime_out = \"3s\"\n\
             added_with = \"check inter 300ms fall 2 rise 1\"\n\
             [targets.api.metrics]\nkind = \"scrape\"\nlimit = \"8s\"\nround = \"8s\"\n\
             [targets.api.postgres]\nurl = \"postgres://scalebot:{for_postgres}@{database}/postgres\"\n\
             time_out = \"8s\"\n[targets.api.postgres.halt]\n\
             [targets.api.redis]\nurl = \"redis://scalebot@{cache}\"\npassword = \"{for_redis}\"\n\
             time_out = \"8s\"\n[targets.api.redis.halt]\n{chat}",
            state = self.service.state().display(),
            listen = self.service.listen,
            port = machines.service(),
            user = user(),
            key = machines.key_file().display(),
            known = machines.known_hosts().display(),
            ssh = machines.ssh(),
            deploy = command("deploy"),
            start = command("start"),
            stop = command("stop"),
            status = command("status"),
            logs = command("logs"),
            api = self.haproxy.api(),
            database = postgres.address(),
            cache = redis.address(),
        );
        std::fs::write(self.service.config(), text).unwrap();
    }

    /// Has it work on one host after the other, from its next start on.
    ///
    /// # Panics
    /// When that cannot be configured.
    pub fn works_on_one_at_a_time(&self) {
        let text = std::fs::read_to_string(self.service.config()).unwrap();
        let (limits, one) = ("limits = { every", "limits = { at_once = 1, every");
        assert_eq!(text.matches(limits).count(), 1, "{text}");
        std::fs::write(self.service.config(), text.replace(limits, one)).unwrap();
    }

    /// Takes a host out of the inventory, from the bot's next start on.
    ///
    /// # Panics
    /// When that cannot be configured.
    pub fn names_no_longer(&self, number: u8) {
        let text = std::fs::read_to_string(self.service.config()).unwrap();
        let (name, address) = (Machines::name(number), self.machines.address(number));
        let host = format!(", {{ name = \"{name}\", address = \"{address}\" }}");
        assert_eq!(text.matches(&host).count(), 1, "{text}");
        std::fs::write(self.service.config(), text.replace(&host, "")).unwrap();
    }

    fn tool(&self) -> PathBuf {
        self.machines.folder().join("tool")
    }

    /// What the tool was told to make, in order.
    pub fn made(&self) -> Vec<String> {
        let made = std::fs::read_to_string(self.machines.folder().join("made")).unwrap_or_default();
        made.lines().map(str::to_owned).collect()
    }

    /// Waits until the tool was told to make hosts so many times.
    ///
    /// # Panics
    /// When it is not.
    pub fn until_made(&self, times: usize) {
        let found = until(self.machines.folder(), PATIENCE, || (self.made().len() == times).then_some(()));
        assert!(found.is_some(), "{:?}", self.made());
    }

    /// The service runs, and can be asked; the hosts that run are taken down and in the load balancer.
    pub async fn served(&self) -> Operator<'_> {
        let serving = self.service.start_ready();
        self.discord.until_registered("scale").await;
        self.until("every host that runs serves", |state| {
            let hosts = state["hosts"].as_array().unwrap();
            !hosts.is_empty() && hosts.iter().all(|host| host["phase"] == "serving")
        });
        Operator::new(&self.service, &self.discord, || format!("{:#}", self.state()), serving)
    }

    /// What the bot has written down of them.
    pub fn state(&self) -> Value {
        let file = self.service.state().join("targets/api/hosts/state.json");
        std::fs::read(file).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
    }

    /// Waits until that is written down so.
    ///
    /// # Panics
    /// When it is not.
    pub fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let folder = self.service.state().join("targets/api/hosts");
        std::fs::create_dir_all(&folder).unwrap();
        let found = until(&folder, PATIENCE, || Some(self.state()).filter(|state| !state.is_null() && is(state)));
        found.unwrap_or_else(|| panic!("never: {what}: {:#}", self.state()))
    }

    /// Waits until a host is in that phase.
    pub fn until_phase(&self, phase: &str) -> Value {
        self.until(phase, |state| state["hosts"].as_array().unwrap().iter().any(|host| host["phase"] == phase))
    }

    /// The names of the fleet's hosts.
    pub fn names(&self) -> Vec<String> {
        let state = self.state();
        let hosts = state["hosts"].as_array().unwrap().iter();
        hosts.map(|host| host["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the load balancer sends requests to exactly these.
    ///
    /// # Panics
    /// When it does not.
    pub fn until_routed(&self, numbers: &[u8]) {
        let wanted: Vec<String> = numbers.iter().map(|number| Machines::name(*number)).collect();
        let mut servers = Vec::new();
        let found = until(self.machines.folder(), PATIENCE, || {
            servers = self.haproxy.servers_up();
            (servers == wanted).then_some(())
        });
        assert!(found.is_some(), "{servers:?} are sent requests and not {wanted:?}");
    }

    /// How many requests were answered, and how many were not.
    pub fn answered(&self) -> (u64, u64) {
        let [answered, lost] = &*self.answered;
        (answered.load(Ordering::SeqCst), lost.load(Ordering::SeqCst))
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.load.abort();
    }
}

/// Who runs the test, and is logged in as.
pub fn user() -> String {
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Requests through the load balancer, one after the other at a steady pace.
async fn loads(url: String, answered: Arc<[AtomicU64; 2]>) {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / LOAD));
    for number in 0_u64.. {
        ticks.tick().await;
        let (client, answered, url) = (client.clone(), Arc::clone(&answered), format!("{url}v1/petitions/{number}"));
        tokio::spawn(async move {
            let answer = client.get(url).send().await;
            let is_answered = answer.is_ok_and(|answer| answer.status().as_u16() < 500);
            answered[usize::from(!is_answered)].fetch_add(1, Ordering::SeqCst);
        });
    }
}
