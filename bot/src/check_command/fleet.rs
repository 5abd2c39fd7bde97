//! What is asked about one fleet: each port with a question that changes nothing. A system that has lines of its own says
//! them itself.

use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::doctor::Finding;
use scalebot_adapters::haproxy::Haproxy;
use scalebot_adapters::hosts::Hosts;
use scalebot_adapters::http::Http;
use scalebot_adapters::prometheus::Prometheus;
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{
    Chain, Draining, Governance, HaltSource, Instance, Metrics, Pool, PortError, Target, Traffic, World,
};
use scalebot_commands::units::{Millis, Replicas, TargetName};

use super::{LIMIT, Look};
use crate::config::target::{ChainSource, FleetSettings, HaltSourceName, PoolSource, TargetSettings};
use crate::service::fleets::{self, Processes, Systems};
use crate::state_dir::StateDir;

/// How long a dashboard may take.
const DASHBOARD: Duration = Duration::from_secs(5);

/// Between two looks at figures that are just beginning to be read.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How many instances are named in one line.
const NAMED: usize = 5;

pub(super) fn looks<'a>(
    dir: &'a StateDir,
    clock: &Arc<dyn World>,
    name: TargetName,
    settings: &'a TargetSettings,
    policy: &'a Policy,
) -> Vec<Look<'a>> {
    let mut systems = match fleets::systems(dir, clock, &name, settings) {
        Ok(systems) => systems,
        Err(why) => {
            let failed = Finding::failed(format!("fleet {name}"), why, "Correct the configuration.");
            return vec![Look::at(format!("fleet {name}"), async { vec![failed] })];
        }
    };
    let mut looks = Vec::new();
    if let Some(postgres) = systems.postgres.take() {
        looks.push(Look::at(postgres.describe(), async move { postgres.check().await }));
    }
    if let Some(redis) = systems.redis.take() {
        looks.push(Look::at(redis.describe(), async move { redis.check().await }));
    }
    if let Some(kubernetes) = systems.kubernetes.take() {
        looks.push(Look::at(systems.target.fleet.describe(), async move { kubernetes.check().await }));
    }
    if let Some(hosts) = systems.hosts.clone() {
        looks.push(Look::at(systems.target.fleet.describe(), async move { hosts.check().await }));
    }
    if let Some(compose) = systems.compose.take() {
        looks.push(Look::at(systems.target.fleet.describe(), async move { compose.check().await }));
    }
    if let Some(swarm) = systems.swarm.take() {
        looks.push(Look::at(systems.target.fleet.describe(), async move { swarm.check().await }));
    }
    looks.extend(settings.dashboards.iter().map(|url| Look::at(url, async { vec![dashboard(url).await] })));
    let label = format!("fleet {name}");
    looks.push(Look::at(label, of_fleet(dir, Arc::clone(clock), name, settings, policy, systems)));
    looks
}

/// The fleet itself, and what it and its instances serve. What does not run yet cannot be asked.
async fn of_fleet(
    dir: &StateDir,
    clock: Arc<dyn World>,
    name: TargetName,
    settings: &TargetSettings,
    policy: &Policy,
    Systems { target, prometheus, haproxy, hosts, .. }: Systems,
) -> Vec<Finding> {
    let system = format!("fleet {name}");
    match &settings.fleet {
        FleetSettings::Process(process) => {
            let living = match Processes::at(dir, &name, process, settings) {
                Ok(processes) => processes.living().await.map(|living| (processes.directory().to_owned(), living)),
                Err(why) => Err(why),
            };
            match living {
                Ok((_, Some(_))) => {}
                Ok((directory, None)) => {
                    let text = format!("no processes run in {} yet; the service starts them", directory.display());
                    return around_no_fleet(Finding::ok(system, text), prometheus, haproxy).await;
                }
                Err(why) => return vec![Finding::failed(system, why, "Do what it says, or name another directory.")],
            }
        }
        FleetSettings::Hosts(_) if hosts.as_ref().is_some_and(Hosts::are_not_taken_down) => {
            let text = "not taken down yet; the service does that as it starts: where it runs is the fleet";
            return around_no_fleet(Finding::ok(system, text), prometheus, haproxy).await;
        }
        FleetSettings::Kubernetes(_)
        | FleetSettings::Hosts(_)
        | FleetSettings::Compose(_)
        | FleetSettings::Swarm(_) => {}
    }
    let state = match target.fleet.observe().await {
        Ok(state) => state,
        Err(error) => return vec![Finding::unanswered(system, &error)],
    };
    let text = format!("{}: {} wanted, {} seen", target.fleet.describe(), state.wanted, state.instances.len());
    let mut found = vec![Finding::ok(&system, text)];
    let of = |what: &str| format!("{name}, {what}");
    // Each within the limit of the whole, beside the others.
    let (instances, rest, steering, prometheus, haproxy) = futures::join!(
        instances(of("instances"), &target, &state.instances),
        ports(&name, &clock, settings, policy, &target),
        steering(of("who else steers"), &target),
        all(prometheus.as_ref().map(Prometheus::check)),
        all(haproxy.as_ref().map(Haproxy::check)),
    );
    found.push(instances);
    found.push(steering);
    found.extend(rest);
    found.extend(prometheus.into_iter().chain(haproxy));
    found
}

/// What can be said of the systems around a fleet that does not exist yet.
async fn around_no_fleet(found: Finding, prometheus: Option<Prometheus>, haproxy: Option<Haproxy>) -> Vec<Finding> {
    let (prometheus, haproxy) = futures::join!(
        all(prometheus.as_ref().map(Prometheus::check_without_fleet)),
        all(haproxy.as_ref().map(Haproxy::check_without_fleet)),
    );
    [found].into_iter().chain(prometheus).chain(haproxy).collect()
}

/// What is found of a system that may not be configured.
async fn all(found: Option<impl Future<Output = Vec<Finding>>>) -> Vec<Finding> {
    match found {
        Some(found) => found.await,
        None => Vec::new(),
    }
}

async fn instances(system: String, target: &Target, instances: &[Instance]) -> Finding {
    let asked = instances.iter().map(|instance| async move {
        let ready = target.probe.ready(instance).await.map_err(|error| error.to_string());
        (instance.id.to_string(), ready)
    });
    let answers = futures::future::join_all(asked).await;
    let ready = answers.iter().filter(|(_, ready)| ready.as_ref().is_ok_and(|ready| ready.ready)).count();
    let wrong = answers.iter().filter_map(|(id, ready)| match ready {
        Ok(ready) if ready.ready => None,
        Ok(ready) => {
            let named: Vec<_> =
                ready.checks.iter().filter(|check| !check.healthy).map(|check| check.name.as_str()).collect();
            Some(format!("{id} is not ready ({})", named.join(", ")))
        }
        Err(error) => Some(format!("{id}: {error}")),
    });
    let wrong: Vec<String> = wrong.take(NAMED).collect();
    let text = format!("{ready} of {} say that they are ready", answers.len());
    match (ready, wrong.as_slice()) {
        (_, []) => Finding::ok(system, text),
        (0, wrong) => Finding::failed(
            system,
            format!("{text}: {}", wrong.join("; ")),
            "See that they run, and that backend.paths and backend.fields are theirs.",
        ),
        (_, wrong) => Finding::warn(system, format!("{text}: {}", wrong.join("; ")), "Look at those that are named."),
    }
}

async fn steering(system: String, target: &Target) -> Finding {
    match target.fleet.steered_by().await {
        Ok(steering) if steering.is_empty() => Finding::ok(system, "nobody was found"),
        Ok(steering) => {
            let who: Vec<_> = steering.iter().map(|one| format!("{}: {}", one.by, one.effect)).collect();
            let advice = if steering.iter().all(|one| one.hold.is_some()) {
                "It is held still for the time of an operation, and put back afterwards."
            } else {
                "Scaling is refused until that is settled: /scale plan names how."
            };
            Finding::warn(system, who.join(", "), advice)
        }
        Err(error) => Finding::unanswered(system, &error),
    }
}

async fn ports(
    name: &TargetName,
    clock: &Arc<dyn World>,
    settings: &TargetSettings,
    policy: &Policy,
    target: &Target,
) -> Vec<Finding> {
    let of = |what: &str| format!("{name}, {what}");
    // Those of PostgreSQL and Redis have lines of their own.
    let own = |source: HaltSourceName| matches!(source, HaltSourceName::Postgres | HaltSourceName::Redis);
    let halt = settings.halt.sources.iter().zip(&target.halt).filter(|(source, _)| !own(**source));
    let halt = futures::future::join_all(halt.map(|(_, source)| halted(of(&source.name()), &**source)));
    let pools = settings.pools.iter().zip(&target.pools);
    let pools = pools.filter(|(source, _)| !matches!(source, PoolSource::Postgres | PoolSource::Redis));
    let pools = futures::future::join_all(pools.map(|(_, pool)| budget(of(&pool.name()), &**pool)));
    let chain = target.chain.as_deref().filter(|_| settings.chain != Some(ChainSource::Postgres));
    let (halt, pools, chain, traffic, last, room, load, complexity) = futures::join!(
        halt,
        pools,
        head(of("hash chain"), chain, settings.chain.is_some()),
        routed(of("load balancer"), &*target.traffic),
        last_requests(of("last requests"), policy, &*target.traffic),
        room(of("room"), target),
        load(of("load"), clock, policy, &*target.metrics),
        complexity(of("complexity budget"), target.governance.as_deref()),
    );
    let mut found = halt;
    found.extend(pools);
    found.extend(chain);
    found.push(traffic);
    found.extend(last);
    found.extend([room, load, complexity]);
    found
}

async fn halted(system: String, source: &dyn HaltSource) -> Finding {
    match source.read().await {
        Ok(reading) if reading.halted => Finding::ok(system, "readable: halted now"),
        Ok(_) => Finding::ok(system, "readable: not halted"),
        Err(error) => Finding::unanswered(system, &error),
    }
}

async fn budget(system: String, pool: &dyn Pool) -> Finding {
    match pool.budget().await {
        Ok(budget) => {
            let room = budget.limit.saturating_sub(budget.reserved).saturating_sub(budget.others);
            let text = format!(
                "{room} for the fleet: {} at most, {} kept, {} of others",
                budget.limit, budget.reserved, budget.others
            );
            Finding::ok(system, text)
        }
        Err(error) => Finding::unanswered(system, &error),
    }
}

async fn head(system: String, chain: Option<&dyn Chain>, elsewhere: bool) -> Option<Finding> {
    let Some(chain) = chain else {
        let none = || Finding::not_configured(system, "the instances are compared with each other");
        return (!elsewhere).then(none);
    };
    Some(match chain.head().await {
        Ok(Some(head)) => Finding::ok(system, format!("readable: its last event is {head}")),
        Ok(None) => {
            Finding::warn(system, "readable, and empty", "Verification is inconclusive until there are events.")
        }
        Err(error) => Finding::unanswered(system, &error),
    })
}

async fn routed(system: String, traffic: &dyn Traffic) -> Finding {
    match traffic.routed().await {
        Ok(routed) => {
            let receiving = routed.iter().filter(|one| one.receives).count();
            let text = format!("{}: {receiving} of {} are sent requests", traffic.describe(), routed.len());
            if receiving == 0 {
                Finding::failed(system, text, "See that it selects this fleet's instances.")
            } else {
                Finding::ok(system, text)
            }
        }
        Err(error) => Finding::unanswered(system, &error),
    }
}

/// What policy makes of an instance's last requests, where going down is refused for them. That something cannot be told
/// is said where it is looked up.
async fn last_requests(system: String, policy: &Policy, traffic: &dyn Traffic) -> Option<Finding> {
    const REFUSED: &str = "going down is refused";
    let (draining, routed) = futures::join!(traffic.draining(), traffic.routed());
    let (why, to_do) = match (draining.ok()?, policy.drain.unmeasured) {
        (Draining::ByOrder, None) if routed.ok()?.iter().any(|one| one.in_flight.is_none()) => (
            "nobody counts the requests that an instance has under way".to_owned(),
            "Set policy.drain.unmeasured: how long is waited instead.",
        ),
        (Draining::AsItEnds { .. }, None) => (
            "an instance answers its last requests as it ends, and nobody counts them".to_owned(),
            "Set policy.drain.unmeasured: how long it is to have for them.",
        ),
        (Draining::AsItEnds { grace, .. }, Some(wanted)) if grace < wanted => (
            format!(
                "an instance has {} for its last requests, and policy.drain.unmeasured is {}",
                Millis::from(grace),
                Millis::from(wanted)
            ),
            "Give instances more time to end, or lower that.",
        ),
        _ => return None,
    };
    Some(Finding::warn(system, format!("{REFUSED}: {why}"), to_do))
}

async fn room(system: String, target: &Target) -> Finding {
    match target.fleet.headroom(Replicas(1)).await {
        Ok(headroom) if headroom.fits >= Replicas(1) => Finding::ok(system, "one more instance fits"),
        Ok(headroom) => {
            let why = headroom.runs_out.unwrap_or_else(|| "nothing is left".to_owned());
            Finding::warn(system, format!("no further instance fits: {why}"), "Make room before it is needed.")
        }
        Err(error) => Finding::unanswered(system, &error),
    }
}

/// Figures that are read in the background come a moment after it began.
async fn load(system: String, clock: &Arc<dyn World>, policy: &Policy, metrics: &dyn Metrics) -> Finding {
    let began = clock.monotonic();
    loop {
        let answer = metrics.load(clock.now() - policy.load.sustained).await;
        let waited = clock.monotonic().saturating_sub(began);
        match answer {
            Ok(load) if load.missing.is_empty() => {
                return Finding::ok(system, format!("{}: readable", metrics.describe()));
            }
            _ if waited < LIMIT / 2 => clock.sleep(LOOK_EVERY).await,
            Ok(load) => {
                let missing: Vec<_> = load.missing.iter().take(NAMED).map(ToString::to_string).collect();
                let text = format!("{}: no figures of {}", metrics.describe(), missing.join(", "));
                return Finding::warn(system, text, "See that they serve their figures where configuration says.");
            }
            Err(error) => return Finding::unanswered(system, &error),
        }
    }
}

async fn complexity(system: String, governance: Option<&dyn Governance>) -> Finding {
    let Some(governance) = governance else { return Finding::not_configured(system, "not asked") };
    match governance.complexity().await {
        Ok(budget) => Finding::ok(system, format!("readable: {}", budget.overall)),
        Err(error @ PortError::NotServed { .. }) => Finding::not_configured(system, error.to_string()),
        Err(error) => Finding::unanswered(system, &error),
    }
}

async fn dashboard(url: &str) -> Finding {
    let system = format!("dashboard {url}");
    let asked = async { Http::new("the dashboard", DASHBOARD)?.get(url).await };
    match asked.await {
        // Who is asked to log in has reached it.
        Ok(answer) if answer.status.as_u16() < 404 => Finding::ok(system, "reached"),
        Ok(answer) => Finding::warn(
            system,
            format!("it answers {}", answer.status),
            "Correct the address: the precheck links to it.",
        ),
        Err(error) => Finding::warn(system, error.to_string(), "Correct the address: the precheck links to it."),
    }
}
