//! The halt as the real PostgreSQL and Redis tell it: the same that the world's own store says, written there before
//! whoever changed it is answered.

use scalebot_adapters::postgres::RehearsedHaltTable;
use scalebot_adapters::process::wire::{HaltRow, HaltSignal};
use scalebot_adapters::redis::RehearsedHaltStream;
use scalebot_adapters::settings::Unusable;
use scalebot_commands::ports::PortError;
use tokio::sync::Mutex;

use crate::drill::around::Around;
use crate::drill::world::World;

/// Where the halt is written as well.
pub(super) struct Sources {
    table: Option<RehearsedHaltTable>,
    stream: Option<RehearsedHaltStream>,
    /// One change after the other, so that the last one is what stands there.
    turn: Mutex<()>,
}

impl Sources {
    /// # Errors
    /// When a URL cannot be used.
    pub(super) fn new(around: &Around) -> Result<Self, Unusable> {
        let mark = around.known.as_ref().map(|known| known.mark.as_str()).unwrap_or_default();
        let (postgres, redis) = (around.postgres.clone(), around.redis.clone());
        Ok(Self {
            table: postgres.map(|url| RehearsedHaltTable::new(url, mark)).transpose()?,
            stream: redis.map(|url| RehearsedHaltStream::new(url, mark)).transpose()?,
            turn: Mutex::default(),
        })
    }

    /// Makes a place for it, and writes how it is.
    ///
    /// # Errors
    /// When somebody cannot be told.
    pub(super) async fn begin(&self, world: &World) -> Result<(), PortError> {
        if let Some(table) = &self.table {
            table.begin().await?;
        }
        self.tell(world).await
    }

    /// Writes how it is.
    ///
    /// # Errors
    /// When it is not known whether it is written everywhere.
    pub(super) async fn tell(&self, world: &World) -> Result<(), PortError> {
        let _turn = self.turn.lock().await;
        let (rows, signals) = Self::seen(world);
        futures::try_join!(
            async {
                match &self.table {
                    Some(table) => table.show(&rows).await,
                    None => Ok(()),
                }
            },
            async {
                match &self.stream {
                    Some(stream) => stream.show(&signals).await,
                    None => Ok(()),
                }
            },
        )?;
        Ok(())
    }

    /// Takes everything away again.
    pub(super) async fn end(&self) -> Result<(), PortError> {
        if let Some(table) = &self.table {
            table.end().await?;
        }
        if let Some(stream) = &self.stream {
            stream.end().await?;
        }
        Ok(())
    }

    fn seen(world: &World) -> (Vec<HaltRow>, Vec<HaltSignal>) {
        let store = world.store();
        (store.halt_table.clone(), store.halt_signals.clone())
    }
}
