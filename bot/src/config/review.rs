//! What is wrong with values that can each be read: those that contradict each other, and those with which the runbook
//! could not be kept.

use std::collections::BTreeMap;
use std::time::Duration;

use scalebot_adapters::settings::Unusable;
use scalebot_commands::policy::Policy;
use scalebot_commands::request::MAX_TARGET;
use scalebot_commands::units::Millis;

use super::Sections;
use super::source::{Source, Wrong};
use super::target::{
    ChainSource, FleetSettings, HaltSourceName, MetricsSettings, PoolSource, ProcessSettings, TargetSettings,
    TrafficSource,
};

/// The longest any length of time may be.
const LONGEST: Duration = Duration::from_hours(24 * 7);

/// How old what a guard read may be when the effect is carried out.
const GUARD: Duration = Duration::from_secs(2);

/// How long the runbook watches at least.
const MONITOR: Duration = Duration::from_mins(15);

/// Holds everything against each other.
pub(super) fn whole(source: &Source, sections: &Sections, policies: &BTreeMap<String, Policy>) -> Result<(), Wrong> {
    let directory = &sections.state.directory;
    if !directory.is_absolute() {
        let why = "it must be an absolute path, such as /var/lib/scalebot: what is typed on the host is typed anywhere";
        return Err(source.wrong("state.directory", why));
    }
    if let Some(discord) = &sections.discord {
        discord.usable().map_err(|unusable| source.wrong(&unusable.key, unusable.why))?;
    }
    if let Some(heartbeat) = &sections.heartbeat {
        heartbeat.usable().map_err(|unusable| source.wrong(&unusable.key, unusable.why))?;
    }
    if let Some(ledger) = &sections.ledger {
        let under = |Unusable { key, why }: Unusable| source.wrong(&format!("ledger.{key}"), why);
        ledger.usable().map_err(under)?;
    }
    if sections.targets.is_empty() {
        return Err(source.wrong("targets", "describe at least one fleet, below [targets.NAME]"));
    }
    match &sections.default_target {
        Some(name) if !sections.targets.contains_key(name) => {
            return Err(source.wrong("default_target", format!("there is no [targets.{name}]")));
        }
        None if sections.targets.len() > 1 => {
            let why = "write it above the first section: several fleets are described, and one is meant where a command \
                       names none";
            return Err(source.wrong("default_target", why));
        }
        _ => {}
    }
    for (name, settings) in &sections.targets {
        let under = |unusable: Unusable| source.wrong(&format!("targets.{name}.{}", unusable.key), unusable.why);
        target(name, settings).map_err(under)?;
        if let (FleetSettings::Hosts(hosts), Some(_)) = (&settings.fleet, &sections.ledger)
            && hosts.directory.is_none()
        {
            // Whoever takes over has to find what the one before has begun.
            let why = "with [ledger] several processes may lead one after the other: name the directory that all of them \
                       share, with its locks";
            return Err(under(Unusable::new("fleet.directory", why)));
        }
        if sections.discord.is_none() && !matches!(settings.fleet, FleetSettings::Process(_)) {
            // Nobody knows who types on standard input: whoever does may speak as anybody, a governance lead included.
            let why = "without [discord] whoever types on standard input speaks as anybody, so only a fleet of kind \
                       \"process\" is served then: describe [discord]";
            return Err(under(Unusable::new("fleet.kind", why)));
        }
        let Some(policy) = policies.get(name) else { continue };
        let may_be_short = matches!(settings.fleet, FleetSettings::Process(_));
        limits(policy, may_be_short).map_err(|unusable| {
            // Where the fleet's own section does not say it, it stands in the common one.
            let own = format!("targets.{name}.policy.{}", unusable.key);
            let common = format!("policy.{}", unusable.key);
            let key = if source.figment.contains(&own) { own } else { common };
            source.wrong(&key, unusable.why)
        })?;
    }
    Ok(())
}

fn target(name: &str, settings: &TargetSettings) -> Result<(), Unusable> {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    if name.is_empty() || name.chars().count() > MAX_TARGET || !plain {
        let why = format!("a fleet's name has lower-case letters, digits, - and _, at most {MAX_TARGET}");
        return Err(Unusable::new("fleet", why));
    }
    within("instance_time_out", settings.instance_time_out, Duration::from_millis(100), Duration::from_mins(1))?;
    let needs = |key: &str, what: &str, section: &str| {
        Err(Unusable::new(key, format!("it names {what}, and there is no [targets.{name}.{section}]")))
    };
    let halt = &settings.halt.sources;
    if halt.contains(&HaltSourceName::Postgres)
        && settings.postgres.as_ref().is_none_or(|postgres| postgres.halt.is_none())
    {
        return needs("halt.sources", "postgres", "postgres.halt");
    }
    if halt.contains(&HaltSourceName::Redis) && settings.redis.as_ref().is_none_or(|redis| redis.halt.is_none()) {
        return needs("halt.sources", "redis", "redis.halt");
    }
    if settings.chain == Some(ChainSource::Postgres)
        && settings.postgres.as_ref().is_none_or(|postgres| postgres.chain.is_none())
    {
        return needs("chain", "postgres", "postgres.chain");
    }
    for (pool, section, has) in [
        (PoolSource::Postgres, "postgres", settings.postgres.as_ref().is_some_and(|it| it.connections.is_some())),
        (PoolSource::Redis, "redis", settings.redis.as_ref().is_some_and(|it| it.connections.is_some())),
    ] {
        if settings.pools.contains(&pool) && !has {
            return needs("pools", section, &format!("{section}.connections"));
        }
    }
    if matches!(settings.metrics, MetricsSettings::Prometheus(_)) && settings.prometheus.is_none() {
        return needs("metrics", "prometheus", "prometheus");
    }
    comes_with_the_fleet(settings)?;
    if settings.traffic() == TrafficSource::Haproxy && settings.haproxy.is_none() {
        return needs("traffic", "haproxy", "haproxy");
    }
    twice("halt.sources", halt)?;
    twice("pools", &settings.pools)?;
    for address in &settings.dashboards {
        if !is_address(address) {
            return Err(Unusable::new("dashboards", "each is an address that begins with https:// or http://"));
        }
        // Everybody who sees a precheck reads them.
        let host = address.split('/').nth(2).unwrap_or_default();
        if host.contains('@') {
            return Err(Unusable::new("dashboards", "one holds a user's name or password, which everybody would read"));
        }
    }
    match &settings.fleet {
        FleetSettings::Process(process) => {
            around(process, settings.traffic())?;
            if process.directory.as_ref().is_some_and(|directory| !directory.is_absolute()) {
                return Err(Unusable::new("fleet", "directory must be an absolute path"));
            }
            if !(1..=64).contains(&process.instances) {
                return Err(Unusable::new("fleet", "instances must be from 1 to 64"));
            }
            if !(0.0..=10_000.0).contains(&process.load) {
                return Err(Unusable::new("fleet", "load must be from 0 to 10000 requests per second"));
            }
        }
        FleetSettings::Kubernetes(kubernetes) => {
            kubernetes.usable().map_err(|Unusable { key, why }| Unusable::new(format!("fleet.{key}"), why))?;
            within("fleet.time_out", kubernetes.time_out, Duration::from_millis(100), Duration::from_mins(1))?;
        }
        FleetSettings::Hosts(hosts) => {
            hosts.usable().map_err(|Unusable { key, why }| Unusable::new(format!("fleet.{key}"), why))?;
            if settings.traffic() != TrafficSource::Haproxy {
                let why = "hosts get their requests by haproxy: name that, or leave it out";
                return Err(Unusable::new("traffic", why));
            }
        }
        FleetSettings::Compose(compose) => {
            compose.usable().map_err(|Unusable { key, why }| Unusable::new(format!("fleet.{key}"), why))?;
            within("fleet.time_out", compose.time_out, Duration::from_millis(100), Duration::from_mins(1))?;
            within("fleet.order_limit", compose.order_limit, Duration::from_secs(10), Duration::from_mins(30))?;
            registers_with_haproxy(compose.register, settings)?;
        }
        FleetSettings::Swarm(swarm) => {
            swarm.usable().map_err(|Unusable { key, why }| Unusable::new(format!("fleet.{key}"), why))?;
            within("fleet.time_out", swarm.time_out, Duration::from_millis(100), Duration::from_mins(1))?;
            registers_with_haproxy(swarm.register, settings)?;
        }
    }
    Ok(())
}

fn registers_with_haproxy(register: bool, settings: &TargetSettings) -> Result<(), Unusable> {
    if register && settings.traffic() != TrafficSource::Haproxy {
        let why = "it makes instances servers of an HAProxy: write traffic = \"haproxy\" as well";
        return Err(Unusable::new("fleet.register", why));
    }
    Ok(())
}

/// What only one kind of fleet has is named with that kind alone.
fn comes_with_the_fleet(settings: &TargetSettings) -> Result<(), Unusable> {
    let is_process = matches!(settings.fleet, FleetSettings::Process(_));
    let of_processes = |key: &str, name: &str, instead: &str| {
        let why = format!("{name} is what a fleet of kind process has, and this one is of another kind; {instead}");
        Err(Unusable::new(key, why))
    };
    for (source, name) in
        [(HaltSourceName::ProcessTable, "process_table"), (HaltSourceName::ProcessSignals, "process_signals")]
    {
        if !is_process && settings.halt.sources.contains(&source) {
            return of_processes("halt.sources", name, "name postgres or redis, or write an empty list");
        }
    }
    for (pool, name) in [(PoolSource::ProcessDatabase, "process_database"), (PoolSource::ProcessRedis, "process_redis")]
    {
        if !is_process && settings.pools.contains(&pool) {
            return of_processes("pools", name, "name postgres or redis, or leave it out");
        }
    }
    if !is_process && settings.chain == Some(ChainSource::Process) {
        return of_processes("chain", "process", "name postgres, or leave it out");
    }
    match settings.traffic() {
        TrafficSource::Process if !is_process => {
            of_processes("traffic", "process", "name haproxy, or leave it out for what comes with the fleet")
        }
        TrafficSource::Kubernetes if !matches!(settings.fleet, FleetSettings::Kubernetes(_)) => {
            let why = "kubernetes is what a fleet of kind kubernetes has, and this one is of another kind";
            Err(Unusable::new("traffic", why))
        }
        TrafficSource::Compose if !matches!(settings.fleet, FleetSettings::Compose(_)) => {
            let why = "compose is what a fleet of kind compose has, and this one is of another kind";
            Err(Unusable::new("traffic", why))
        }
        TrafficSource::Swarm if !matches!(settings.fleet, FleetSettings::Swarm(_)) => {
            let why = "swarm is what a fleet of kind swarm has, and this one is of another kind";
            Err(Unusable::new("traffic", why))
        }
        _ => Ok(()),
    }
}

/// What is around a fleet of processes is kept by its world, which has to know of all of it.
fn around(process: &ProcessSettings, traffic: TrafficSource) -> Result<(), Unusable> {
    match (traffic, process.through.as_deref()) {
        (_, Some(url)) if !is_front(url) => {
            let why = "through is a URL without a path, such as http://127.0.0.1:8000";
            return Err(Unusable::new("fleet", why));
        }
        (TrafficSource::Haproxy, None) => {
            let why = "with traffic = \"haproxy\" it needs through: where that HAProxy takes requests, for the load";
            return Err(Unusable::new("fleet", why));
        }
        _ => {}
    }
    if process.scraped_by.as_ref().is_some_and(|file| !file.is_absolute()) {
        return Err(Unusable::new("fleet", "scraped_by must be an absolute path"));
    }
    Ok(())
}

/// Whether requests can be sent there: no path, and nothing after it.
fn is_front(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@']))
}

fn limits(policy: &Policy, may_be_short: bool) -> Result<(), Unusable> {
    let Policy { count, load, approval, time, drain, back, escalation, triggers } = policy;
    if count.minimum.0 == 0 {
        return Err(Unusable::new("count.minimum", "it must be at least 1"));
    }
    if count.maximum.is_some_and(|maximum| maximum < count.minimum) {
        return Err(Unusable::new("count.maximum", format!("it is under the minimum of {}", count.minimum)));
    }
    at_most("count.cool_down", count.cool_down)?;
    if let Some(window) = count.freeze.iter().find(|window| window.until <= window.from) {
        return Err(Unusable::new("count.freeze", format!("a window ends before it begins, at {}", window.from)));
    }
    if load.p99_ms <= 0.0 {
        return Err(Unusable::new("load.p99", "it must be more than nothing"));
    }
    for (key, share) in [
        ("load.errors", load.error_share),
        ("load.cpu", load.cpu),
        ("load.memory", load.memory),
        ("load.busy", load.busy),
    ] {
        if share <= 0.0 {
            return Err(Unusable::new(key, "it must be more than 0%"));
        }
    }
    within("load.sustained", load.sustained, Duration::from_secs(10), Duration::from_hours(1))?;
    within("load.baseline", load.baseline, Duration::from_secs(1), load.sustained)?;
    within("load.halt_caution", load.halt_caution, Duration::ZERO, Duration::from_hours(24 * 30))?;
    within("approval.decide_within", approval.decide_within, Duration::from_secs(1), LONGEST)?;
    within("approval.execute_within", approval.execute_within, Duration::from_secs(1), LONGEST)?;
    if !(1..=100).contains(&approval.quorum) {
        return Err(Unusable::new("approval.quorum", "it must be from 1 to 100"));
    }

    let second = Duration::from_secs(1);
    within("time.round", time.round, second, Duration::from_mins(2))?;
    within("time.look", time.look, Duration::from_millis(100), time.round)?;
    within("time.guard", time.guard, Duration::from_millis(100), GUARD)?;
    within("time.assess", time.assess, second, Duration::from_mins(10))?;
    within("time.ready_within", time.ready_within, second, Duration::from_hours(6))?;
    within("time.ready_for", time.ready_for, Duration::ZERO, time.ready_within)?;
    within("time.poll", time.poll, Duration::from_millis(50), Duration::from_mins(1))?;
    within("time.verify", time.verify, second, Duration::from_mins(10))?;
    within("time.verify_pause", time.verify_pause, Duration::from_millis(50), time.verify)?;
    let shortest = if may_be_short { Duration::from_secs(10) } else { MONITOR };
    within("time.monitor", time.monitor, shortest, Duration::from_hours(24))?;

    for (key, length) in [
        ("drain.in_flight", drain.in_flight),
        ("drain.constitutional", drain.constitutional),
        ("drain.exit", drain.exit),
        ("drain.quiet", drain.quiet),
    ] {
        within(key, length, second, Duration::from_hours(1))?;
    }
    if let Some(length) = drain.unmeasured {
        within("drain.unmeasured", length, second, Duration::from_hours(1))?;
    }
    if back.log_bytes > 1 << 20 {
        return Err(Unusable::new("back.log_size", "it must be at most 1MiB"));
    }
    if back.incident_runbook.as_deref().is_some_and(|address| !is_address(address)) {
        return Err(Unusable::new("back.incident_runbook", "it is an address that begins with https:// or http://"));
    }
    for (key, length) in [
        ("escalation.high", escalation.high),
        ("escalation.medium", escalation.medium),
        ("escalation.critical_again", escalation.critical_again),
    ] {
        within(key, length, second, LONGEST)?;
    }
    if let Some((role, _)) = escalation.next.iter().find(|(role, next)| role == next) {
        let why = format!("after the {} comes the {0}; leave that line out", role.words());
        return Err(Unusable::new("escalation.next", why));
    }
    within("triggers.every", triggers.every, second, Duration::from_hours(1))?;
    at_most("triggers.quiet", triggers.quiet)?;
    if let Some(planned) = triggers.planned.iter().find(|planned| planned.until <= planned.from) {
        return Err(Unusable::new("triggers.planned", format!("one ends before it begins, at {}", planned.from)));
    }
    Ok(())
}

fn at_most(key: &str, length: Duration) -> Result<(), Unusable> {
    within(key, length, Duration::ZERO, LONGEST)
}

fn within(key: &str, length: Duration, least: Duration, most: Duration) -> Result<(), Unusable> {
    if (least..=most).contains(&length) {
        return Ok(());
    }
    let (length, least, most) = (Millis::from(length), Millis::from(least), Millis::from(most));
    Err(Unusable::new(key, format!("it is {length}, and must be from {least} to {most}")))
}

fn twice<T: PartialEq>(key: &str, list: &[T]) -> Result<(), Unusable> {
    let again = list.iter().enumerate().any(|(at, one)| list[..at].contains(one));
    if again { Err(Unusable::new(key, "something stands in it twice")) } else { Ok(()) }
}

fn is_address(text: &str) -> bool {
    text.len() <= 2_000 && (text.starts_with("https://") || text.starts_with("http://"))
}
