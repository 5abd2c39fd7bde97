//! The fleet as it is at this moment: the workload is always read afresh, its pods where a watch cannot stand for them.

use futures::try_join;
use scalebot_commands::ports::{FleetState, PortError};
use scalebot_commands::request::quoted;
use scalebot_commands::units::Timestamp;

use super::server::{Server, unreadable};
use super::settings::Settings;
use super::watch::Watch;
use super::{missing, workload};

/// Reads it.
///
/// # Errors
/// [`PortError::Gone`] when there is no such workload (any more).
pub(super) async fn fleet(server: &Server, settings: &Settings, watch: &Watch) -> Result<FleetState, PortError> {
    let of = workload::read(server, settings).await?;
    watch.follow(&of);
    let listed = async {
        let (pods, _) = workload::labelled(server, settings, &of).await?;
        Ok(pods)
    };
    // Not asked for together: a cache that serves is to save the list.
    let owners = workload::owners(server, settings, &of);
    let (owners, pods) = if watch.may_serve(&of) {
        let owners = owners.await?;
        let pods = match watch.present(&of, &owners) {
            Some(pods) => pods,
            None => workload::owned(listed.await?, &owners),
        };
        (owners, pods)
    } else {
        let (owners, pods) = try_join!(owners, listed)?;
        let pods = workload::owned(pods, &owners);
        (owners, pods)
    };
    let generation = of.meta().generation.and_then(|generation| u64::try_from(generation).ok());
    let set_by = of.set_by();
    Ok(FleetState {
        identity: of.uid().to_owned(),
        wanted: of.wanted(),
        generation: generation.ok_or_else(|| unreadable("a workload of a generation below zero"))?,
        version: of.version().to_owned(),
        changed_by: set_by.as_ref().map(|by| quoted(by.operation().unwrap_or(&by.manager))),
        changed_at: set_by.and_then(|by| by.at),
        instances: missing::instances(&of, &owners, &pods, settings, Timestamp::now()),
    })
}

#[cfg(test)]
mod tests;
