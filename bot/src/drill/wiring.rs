//! Which adapters a rehearsal's operation talks to: the ones that a service with processes would use, pointed at the
//! world.

use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::conclave::{self, Conclave, ConclaveGovernance, KeyProbe};
use scalebot_adapters::process::{
    ConnectionPool, EventChain, ForwarderTraffic, HaltSignalStream, HaltTable, ProcessFleet, WorldClient,
};
use scalebot_adapters::scrape::{self, Scrape};
use scalebot_commands::ports::{Fleet, PortError, Target, World};
use scalebot_commands::units::TargetName;

use crate::cli::{DrillArgs, Keys};

/// The one fleet of a rehearsal.
pub(crate) const TARGET: &str = "api";

/// Where an instance says whether it reaches its keys.
const KEYS: &str = "/v1/keys/status";

/// Where an instance says what it works on that takes long.
const WORK: &str = "/v1/operations";

/// How long one question to an instance may take, before the runbook's own limit.
const LIMIT: Duration = Duration::from_secs(4);

/// The fleet with everything that is asked about it.
pub(crate) fn target(world: &Arc<dyn World>, client: &WorldClient, args: &DrillArgs) -> Result<Target, PortError> {
    let fleet: Arc<dyn Fleet> = Arc::new(ProcessFleet::new(client));
    let keys = match args.keys {
        Keys::Probe => KeyProbe::Path { path: KEYS.to_owned(), field: "reachable".to_owned() },
        Keys::Attest => KeyProbe::None,
    };
    let mut backend = conclave::Config { keys, ..conclave::Config::default() };
    backend.paths.work = Some(WORK.to_owned());
    let conclave = Conclave::new(Arc::clone(world), LIMIT, backend)?;
    let mut scraped = scrape::Config::default();
    scraped.leave_out.extend([KEYS, WORK].map(str::to_owned));
    Ok(Target {
        name: TargetName::new(TARGET),
        traffic: Arc::new(ForwarderTraffic::new(client)),
        metrics: Arc::new(Scrape::start(Arc::clone(&fleet), Arc::clone(world), scraped)?),
        halt: vec![Arc::new(HaltTable::new(client)), Arc::new(HaltSignalStream::new(client))],
        probe: Arc::new(conclave.clone()),
        chain: Some(Arc::new(EventChain::new(client))),
        pools: vec![Arc::new(ConnectionPool::database(client)), Arc::new(ConnectionPool::redis(client))],
        governance: Some(Arc::new(ConclaveGovernance::new(conclave, Arc::clone(&fleet)))),
        dashboards: args.dashboard.clone(),
        fleet,
    })
}
