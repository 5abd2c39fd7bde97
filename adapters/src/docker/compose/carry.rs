//! One order, once: under the lock, if everything is still as it says, and then a look at what Compose made of it.

use scalebot_commands::ports::{OrderAnswer, PortError, ScaleOrder};
use scalebot_commands::units::{Epoch, InstanceId, Timestamp};
use tokio::time::{Duration, sleep, timeout};

use super::orders::{Record, Taken};
use super::seen::{self, Seen};
use super::{Inner, program};
use crate::docker::container;

/// How often the outcome is looked at before it is not known, and how long it is waited in between.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(300);

impl Inner {
    /// Has Compose set the count, and end exactly those that are named where any are.
    ///
    /// # Errors
    /// When it is not known what was done, and when others ended than those.
    pub(super) async fn carry_out(
        &self,
        order: &ScaleOrder,
        named: Option<&[InstanceId]>,
        epoch: Epoch,
    ) -> Result<OrderAnswer, PortError> {
        let conflict = |detail: String| Ok(OrderAnswer::Conflict { detail });
        let refused = |detail: String| Ok(OrderAnswer::Refused { detail });
        let taken = match self.orders.take().await {
            Ok(Some(taken)) => taken,
            Ok(None) => return conflict("an earlier order to Compose is still carried out".to_owned()),
            Err(error) => return refused(self.orders.unreadable(&error).to_string()),
        };
        // From here on nobody else of this machine's bots gives an order.
        let last = match self.orders.last() {
            Ok(last) => last,
            Err(error) => return refused(self.orders.unreadable(&error).to_string()),
        };
        if last.as_ref().is_some_and(|last| last.epoch > epoch) {
            return refused("another process of this bot has taken over since: this one gives no orders".to_owned());
        }
        let before = match self.seen().await {
            Ok(seen) => seen,
            Err(error) => return conflict(format!("nothing was changed: {error}")),
        };
        let now = before.fleet(&self.settings, last.as_ref());
        if now.identity != order.identity {
            return conflict(format!("{} is another now: its engine was replaced", self.service()));
        }
        if now.wanted != order.from {
            return conflict(format!("{} has {} containers and not {}", self.service(), now.wanted, order.from));
        }
        if now.version != order.version {
            return conflict(format!("{} has changed since it was looked at", self.service()));
        }
        let ends = match named.map(|named| to_end(&before, named, order)).transpose() {
            Ok(ends) => ends.unwrap_or_default(),
            Err(answer) => return Ok(answer),
        };
        if !ends.is_empty() {
            match self.program.found().await {
                Ok(found) if found.ends_the_highest() => {}
                Ok(found) => return refused(found.too_old_to_end().to_string()),
                Err(error) => return refused(error.to_string()),
            }
        }
        let mut record = Record {
            operation: order.operation.clone(),
            epoch,
            at: Timestamp::now(),
            from: order.from,
            to: order.to,
            before: before.ids(),
            ends,
            after: None,
            failure: None,
        };
        let given = async {
            self.orders.keep(&taken, &record).map_err(|error| self.orders.unreadable(&error).to_string())?;
            let lock = taken.for_a_child().map_err(|error| error.to_string())?;
            let output = self.orders.output().map_err(|error| error.to_string())?;
            self.program.order(order.to, lock, output).await
        };
        let mut child = match given.await {
            Ok(child) => child,
            Err(why) => {
                // It was not given; the fleet is what the order before it left.
                if let Some(last) = &last
                    && let Err(error) = self.orders.keep(&taken, last)
                {
                    tracing::warn!(%error, "the record of the last order to Compose could not be put back");
                }
                return refused(why);
            }
        };
        let limit = self.settings.order_limit;
        // The child goes on, and holds the lock: whoever looks next waits for it.
        let late = || PortError::TimedOut { what: "Compose".to_owned(), limit };
        let status = timeout(limit, child.wait()).await.map_err(|_| late())?;
        let failure = match status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("Compose: {}, {}", program::ended(status), self.orders.said_in_short())),
            Err(error) => Some(format!("Compose: {error}")),
        };
        let after = self.looked_at().await?;
        record.failure = failure;
        self.answer(&taken, record, &before, &after)
    }

    /// What is there now that Compose has ended.
    async fn looked_at(&self) -> Result<Seen, PortError> {
        for _ in 1..LOOKS {
            if let Ok(seen) = self.seen().await {
                return Ok(seen);
            }
            sleep(PAUSE).await;
        }
        self.seen().await
    }

    fn answer(&self, taken: &Taken, mut record: Record, before: &Seen, after: &Seen) -> Result<OrderAnswer, PortError> {
        let (was, now) = (before.ids(), after.ids());
        let unexpected = |detail: String| Err(PortError::Unreadable { what: "Compose".to_owned(), detail });
        let name = |id: &String| {
            let found = before.containers.iter().find(|container| container.id == *id);
            found.map_or_else(|| id.clone(), |container| container::name(container).to_owned())
        };
        let gone: Vec<&String> = was.iter().filter(|id| !now.contains(id)).collect();
        let names = |ids: &[&String]| ids.iter().map(|id| name(id)).collect::<Vec<_>>().join(", ");
        let others: Vec<&String> = gone.iter().copied().filter(|id| !record.ends.contains(id)).collect();
        let left: Vec<&String> = record.ends.iter().filter(|id| now.contains(id)).collect();
        let failure = record.failure.clone();
        let said = failure.as_deref().map(|said| format!(" ({said})")).unwrap_or_default();
        if now == was && record.before.len() != record.to.0 as usize {
            let nothing = "Compose ended well and changed nothing".to_owned();
            return Ok(OrderAnswer::Refused { detail: failure.unwrap_or(nothing) });
        }
        if !others.is_empty() {
            return unexpected(format!("{} ended as well, which nobody named{said}", names(&others)));
        }
        let count = u32::try_from(now.len()).unwrap_or(u32::MAX);
        if !left.is_empty() || count > record.to.0 {
            return unexpected(format!("the count is {count} and not {}{said}", record.to));
        }
        // Fewer than were wanted have come: the places that stayed empty are instances that failed.
        record.after = Some(now);
        if let Err(error) = self.orders.keep(taken, &record) {
            // What is kept without it explains what is there just as well.
            tracing::warn!(%error, "what Compose left could not be kept");
        }
        Ok(OrderAnswer::Done)
    }
}

/// The containers that Compose ends at that count, where those are the named ones; a place that stayed empty may be named
/// as well, and ends nobody.
///
/// # Errors
/// The answer, where others would end.
fn to_end(seen: &Seen, named: &[InstanceId], order: &ScaleOrder) -> Result<Vec<String>, OrderAnswer> {
    let fewer = order.from.0.checked_sub(order.to.0).map(|fewer| fewer as usize);
    if fewer != Some(named.len()) {
        let detail = format!("{} instances are named for a change from {} to {}", named.len(), order.from, order.to);
        return Err(OrderAnswer::Conflict { detail });
    }
    let mut meant = Vec::new();
    for id in named {
        match seen.of(id) {
            Some(container) => meant.push(container.id.clone()),
            None if seen::is_missing(id) => {}
            None => return Err(OrderAnswer::Conflict { detail: format!("there is no {id} any more") }),
        }
    }
    let stay = order.to.0 as usize;
    let highest = seen.containers.get(stay..).unwrap_or_default();
    if highest.len() != meant.len() || !highest.iter().all(|container| meant.contains(&container.id)) {
        let would: Vec<&str> = highest.iter().map(container::name).collect();
        let named: Vec<&str> = named.iter().map(InstanceId::as_str).collect();
        return Err(OrderAnswer::Refused {
            detail: format!(
                "Compose ends its highest numbers first: {} would end, not {}",
                would.join(", "),
                named.join(", ")
            ),
        });
    }
    Ok(meant)
}
