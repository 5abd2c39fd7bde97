//! How many more containers of one size an engine's machine has memory for. An engine promises nobody anything: what runs
//! counts with the most that it may use, and with what it uses now where it has no limit.

use futures::future::try_join_all;
use scalebot_commands::ports::PortError;

use super::engine::Engine;

/// What is left of a machine's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// In bytes, what is kept for the machine itself left out.
    pub(super) bytes: u64,
    /// All that it has.
    pub(super) total: u64,
}

impl Left {
    /// How many of that size fit.
    pub(super) fn fits(self, each: u64) -> u32 {
        u32::try_from(self.bytes.checked_div(each).unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

/// What is left on the machine of that engine.
///
/// # Errors
/// When it cannot be told of everything that runs there.
pub(super) async fn left(engine: &Engine, kept: u64) -> Result<Left, PortError> {
    let (info, running) = futures::try_join!(engine.info(), engine.running())?;
    let used = try_join_all(running.iter().map(|one| async move {
        let Some(container) = engine.inspect(&one.id).await? else { return Ok(0) };
        match container.host_config.memory {
            0 => Ok(engine.memory_of(&one.id).await?.unwrap_or(0)),
            limit => Ok(limit),
        }
    }));
    let used: u64 = used.await?.into_iter().fold(0, u64::saturating_add);
    Ok(Left { bytes: info.memory.saturating_sub(kept).saturating_sub(used), total: info.memory })
}
