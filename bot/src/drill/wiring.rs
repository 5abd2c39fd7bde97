//! Which adapters a rehearsal's operation talks to: the ones that a service with such a fleet would use, pointed at the
//! world, and at the engine where its instances are containers.

use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::conclave::{self, Conclave, ConclaveGovernance, KeyProbe};
use scalebot_adapters::process::{
    ConnectionPool, EventChain, ForwarderTraffic, HaltSignalStream, HaltTable, ProcessFleet, WorldClient,
};
use scalebot_adapters::scrape::{self, Scrape};
use scalebot_commands::ports::{Fleet, Metrics, PortError, Target, Traffic, World};
use scalebot_commands::units::TargetName;

use super::containers::Kept;
use super::with::With;
use crate::cli::{DrillArgs, Keys};

/// The one fleet of a rehearsal.
pub(crate) const TARGET: &str = "api";

/// Where an instance says whether it reaches its keys.
const KEYS: &str = "/v1/keys/status";

/// Where an instance says what it works on that takes long.
const WORK: &str = "/v1/operations";

/// How long one question to an instance may take, before the runbook's own limit.
const LIMIT: Duration = Duration::from_secs(4);

/// What the bot itself asks instances for besides, which says nothing about the load.
pub(super) const ASKED: [&str; 2] = [KEYS, WORK];

/// The fleet with everything that is asked about it, in the rehearsal that is called so by those around it.
pub(super) fn target(
    world: &Arc<dyn World>,
    client: &WorldClient,
    kept: Option<&Kept>,
    args: &DrillArgs,
    with: &With,
    mark: &str,
) -> Result<Target, String> {
    let in_words = |error: PortError| error.to_string();
    let forwarder: Arc<dyn Traffic> = Arc::new(ForwarderTraffic::new(client));
    let (fleet, onlookers, traffic): (Arc<dyn Fleet>, Arc<dyn Fleet>, _) = if let Some(kept) = kept {
        (kept.fleet(), kept.onlookers(), kept.behind(forwarder))
    } else {
        let fleet = Arc::new(ProcessFleet::new(client));
        (Arc::clone(&fleet) as _, fleet, forwarder)
    };
    let real = with.real(mark, &onlookers, world)?;
    let keys = match args.keys {
        Keys::Probe => KeyProbe::Path { path: KEYS.to_owned(), field: "reachable".to_owned() },
        Keys::Attest => KeyProbe::None,
    };
    let mut backend = conclave::Config { keys, ..conclave::Config::default() };
    backend.paths.work = Some(WORK.to_owned());
    let conclave = Conclave::new(Arc::clone(world), LIMIT, backend).map_err(in_words)?;
    let metrics: Arc<dyn Metrics> = if let Some(metrics) = real.metrics {
        metrics
    } else {
        let mut scraped = scrape::Config::default();
        scraped.leave_out.extend(ASKED.map(str::to_owned));
        Arc::new(Scrape::start(onlookers, Arc::clone(world), scraped).map_err(in_words)?)
    };
    let (table, database) =
        real.postgres.unwrap_or_else(|| (Arc::new(HaltTable::new(client)), Arc::new(ConnectionPool::database(client))));
    let (signals, cache) = real
        .redis
        .unwrap_or_else(|| (Arc::new(HaltSignalStream::new(client)), Arc::new(ConnectionPool::redis(client))));
    Ok(Target {
        name: TargetName::new(TARGET),
        traffic,
        metrics,
        halt: vec![table, signals],
        probe: Arc::new(conclave.clone()),
        chain: Some(Arc::new(EventChain::new(client))),
        pools: vec![database, cache],
        governance: Some(Arc::new(ConclaveGovernance::new(conclave, Arc::clone(&fleet)))),
        dashboards: args.dashboard.clone(),
        fleet,
    })
}
