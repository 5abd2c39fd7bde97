//! The store that the rehearsal's instances share: the two sources of truth about the halt, the head of the hash
//! chain, and the connection budgets. The rules are those of the real stores: no row is no answer, any signal is a halt.

use async_trait::async_trait;
use scalebot_commands::ports::{Chain, HaltReading, HaltSource, Pool, PoolBudget, PortError};

use super::WorldClient;
use super::wire::{ChainHead, Connections, HaltRow, HaltSignalEntries, HaltTableRows};

/// The table `halt_state`.
#[derive(Clone, Debug)]
pub struct HaltTable {
    world: WorldClient,
}

impl HaltTable {
    const NAME: &str = "halt table";

    /// The table of that world.
    pub fn new(world: &WorldClient) -> Self {
        Self { world: world.named(Self::NAME) }
    }
}

#[async_trait]
impl HaltSource for HaltTable {
    async fn read(&self) -> Result<HaltReading, PortError> {
        let table: HaltTableRows = self.world.get("/store/halt-table").await?;
        halt_of(&table.rows).map_err(|detail| self.world.http.unreadable(detail))
    }

    fn name(&self) -> String {
        Self::NAME.to_owned()
    }
}

/// What the table's rows say: exactly one row answers, and only when it is not NULL.
fn halt_of(rows: &[HaltRow]) -> Result<HaltReading, String> {
    let [row] = rows else {
        return Err(match rows.len() {
            0 => "the table has no row, so it does not say whether the system is halted".to_owned(),
            several => format!("the table has {several} rows where there may be one"),
        });
    };
    let halted = row.is_halted.ok_or("is_halted is NULL, so it does not say whether the system is halted")?;
    Ok(HaltReading {
        halted,
        // `halted_at` survives a clear: then it tells of a halt that is over.
        since: row.halted_at.filter(|_| halted),
        reason: row.reason.clone().filter(|_| halted),
        cleared_at: row.cleared_at,
    })
}

/// The stream `halt:signals`.
#[derive(Clone, Debug)]
pub struct HaltSignalStream {
    world: WorldClient,
}

impl HaltSignalStream {
    const NAME: &str = "halt signals";

    /// The stream of that world.
    pub fn new(world: &WorldClient) -> Self {
        Self { world: world.named(Self::NAME) }
    }
}

#[async_trait]
impl HaltSource for HaltSignalStream {
    async fn read(&self) -> Result<HaltReading, PortError> {
        let HaltSignalEntries { entries } = self.world.get("/store/halt-signals").await?;
        let oldest = entries.first();
        Ok(HaltReading {
            halted: oldest.is_some(),
            // An entry whose time cannot be read is a halt all the same.
            since: oldest.and_then(|entry| entry.timestamp.parse().ok()),
            reason: oldest.map(|entry| entry.reason.clone()).filter(|reason| !reason.is_empty()),
            // Nothing ever removes an entry, so the stream cannot tell of an end.
            cleared_at: None,
        })
    }

    fn name(&self) -> String {
        Self::NAME.to_owned()
    }
}

/// The source of truth of the hash chain.
#[derive(Clone, Debug)]
pub struct EventChain {
    world: WorldClient,
}

impl EventChain {
    /// The chain of that world.
    pub fn new(world: &WorldClient) -> Self {
        Self { world: world.named("event store") }
    }
}

#[async_trait]
impl Chain for EventChain {
    async fn head(&self) -> Result<Option<u64>, PortError> {
        let ChainHead { head } = self.world.get("/store/chain/head").await?;
        Ok(head)
    }
}

/// A server's connection budget.
#[derive(Clone, Debug)]
pub struct ConnectionPool {
    world: WorldClient,
    path: &'static str,
    name: &'static str,
}

impl ConnectionPool {
    /// The connections of that world's database.
    pub fn database(world: &WorldClient) -> Self {
        Self::new(world, "/store/database", "database connections")
    }

    /// The connections of that world's Redis.
    pub fn redis(world: &WorldClient) -> Self {
        Self::new(world, "/store/redis", "Redis connections")
    }

    fn new(world: &WorldClient, path: &'static str, name: &'static str) -> Self {
        Self { world: world.named(name), path, name }
    }
}

#[async_trait]
impl Pool for ConnectionPool {
    async fn budget(&self) -> Result<PoolBudget, PortError> {
        let Connections { limit, reserved, others, per_instance } = self.world.get(self.path).await?;
        // A change only starts or only ends instances, so it never holds more than the larger count.
        Ok(PoolBudget { limit, reserved, others, per_instance, surge: 0, limit_of: None })
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(is_halted: Option<bool>) -> HaltRow {
        HaltRow {
            id: 1,
            is_halted,
            reason: Some("integrity_violation".to_owned()),
            halted_at: Some("2026-01-08T02:00:00Z".parse().unwrap()),
            cleared_at: Some("2026-01-07T02:00:00Z".parse().unwrap()),
            ..HaltRow::default()
        }
    }

    #[test]
    fn a_table_without_exactly_one_answer_is_unknown() {
        assert!(halt_of(&[]).unwrap_err().contains("no row"));
        assert!(halt_of(&[row(Some(false)), row(Some(false))]).unwrap_err().contains("2 rows"));
        assert!(halt_of(&[row(None)]).unwrap_err().contains("NULL"));
    }

    #[test]
    fn a_halt_that_is_over_leaves_only_the_moment_of_its_end() {
        let over = halt_of(&[row(Some(false))]).unwrap();
        assert_eq!((over.halted, over.since, over.reason), (false, None, None));
        assert_eq!(over.cleared_at, row(None).cleared_at);

        let halted = halt_of(&[row(Some(true))]).unwrap();
        assert_eq!((halted.since, halted.reason), (row(None).halted_at, Some("integrity_violation".to_owned())));
    }
}
