//! What every process that carries operations out is made of, in a rehearsal and in service alike: the log, taken over;
//! the log channel, told; the desk, at which commands come in; the control socket for whoever is on the host.

mod console_front;
mod discord_front;
mod door;
pub(crate) mod fleets;
pub(crate) mod front;
pub(crate) mod heartbeat;
mod log;
mod posting;
pub(crate) mod registrar;
mod running;
pub(crate) mod standby;
mod taking;
pub(crate) mod watch;
mod witnessed;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use scalebot_commands::desk::Desk;
use scalebot_commands::journal::{Inbox, Signals};
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{LogChannel, Ports, Room};
use scalebot_commands::request::quoted;
use scalebot_commands::supervisor::{self, Ended};
use scalebot_commands::units::{OperationId, TargetName};
use tokio::task::JoinHandle;

pub(crate) use self::door::Carried;
pub(crate) use self::log::{CLOSED_WITHIN, Log};
use self::posting::Posting;
pub(crate) use self::running::{End, Running};
pub(crate) use self::witnessed::{in_words, is_witnessed, until_witnessed};
use crate::control::Control;

/// A fleet with everything that is asked about it, and the limits it is held to.
pub(crate) struct Fleet {
    /// Everything outside.
    pub(crate) ports: Ports,
    /// The limits in force.
    pub(crate) policy: Policy,
}

/// An operation that this process carries out, and where signals for it are put.
#[derive(Clone, Debug)]
pub(crate) struct UnderWay {
    /// The fleet that it holds.
    pub(crate) target: TargetName,
    /// The operation.
    pub(crate) operation: OperationId,
    /// Its signals.
    pub(crate) signals: Signals,
}

/// What a process that carries operations out is made of.
pub(crate) struct Service {
    log: Log,
    room: Arc<dyn Room>,
    /// At least one; the first is meant where none is named.
    fleets: Vec<Fleet>,
    names: Vec<TargetName>,
    posting: Arc<Posting>,
    /// None as long as nothing is posted.
    posts: Option<JoinHandle<()>>,
    /// Without it, nobody on the host can cancel what is under way; it goes on all the same.
    control: Option<Control>,
}

impl Service {
    /// Begins to tell the log channel. Nothing is carried out yet.
    pub(crate) fn begin(log: Log, room: Arc<dyn Room>, fleets: Vec<Fleet>, channel: Arc<dyn LogChannel>) -> Self {
        let mut service = Self::silent(log, room, fleets, channel);
        service.tell();
        service
    }

    /// The same, and nothing is posted yet.
    pub(crate) fn silent(log: Log, room: Arc<dyn Room>, fleets: Vec<Fleet>, channel: Arc<dyn LogChannel>) -> Self {
        let names = fleets.iter().map(|fleet| fleet.ports.target.name.clone()).collect();
        let posting = Arc::new(log.posting(channel));
        Self { log, room, fleets, names, posting, posts: None, control: None }
    }

    /// From now on the log channel is told.
    pub(crate) fn tell(&mut self) {
        let posting = Arc::clone(&self.posting);
        self.posts = Some(tokio::spawn(async move { posting.run().await }));
    }

    /// The log channel.
    pub(crate) fn log_channel(&self) -> &dyn LogChannel {
        &*self.posting.channel
    }

    /// Opens the control socket, in a state directory whose lock this process holds.
    ///
    /// # Errors
    /// In words: what is under way goes on all the same, and cannot be cancelled from the host.
    pub(crate) fn open_control(&mut self, socket: &Path) -> Result<(), String> {
        self.control = Some(Control::open(socket, Arc::clone(&self.log.writer))?);
        Ok(())
    }

    /// The log.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The fleets; the first is meant where none is named.
    pub(crate) fn fleets(&self) -> &[Fleet] {
        &self.fleets
    }

    /// The names of the fleets, in the same order.
    pub(crate) fn names(&self) -> &[TargetName] {
        &self.names
    }

    /// The fleet of that name; `None` where there is none.
    pub(crate) fn fleet(&self, name: &TargetName) -> Option<&Fleet> {
        self.fleets.iter().find(|fleet| fleet.ports.target.name == *name)
    }

    fn desk<'a>(&'a self, fleet: &'a Fleet) -> Desk<'a> {
        Desk {
            ledger: &*self.log.writer,
            world: &*self.log.clock,
            room: &*self.room,
            policy: &fleet.policy,
            epoch: self.log.epoch,
            targets: &self.names,
        }
    }

    /// Carries an operation through. The future may be dropped at any instant; the operation is taken up again then.
    pub(crate) async fn carry_out(&self, under_way: &UnderWay, mut inbox: Inbox) -> Ended {
        let UnderWay { target, operation, signals } = under_way;
        let Some(fleet) = self.fleet(target) else {
            let name = quoted(target.as_str());
            return Ended::Parked(format!("it holds the fleet {name}, and no fleet of that name is configured"));
        };
        let _carried = self.control.as_ref().map(|control| control.carries(operation, signals.clone()));
        supervisor::carry_out(&fleet.ports, &fleet.policy, operation, self.log.epoch, &mut inbox).await
    }

    /// Tells the log channel the rest. What could not be told is told by the next process.
    pub(crate) async fn leave(&self) {
        // Where nothing was posted, nothing was to be.
        let Some(posts) = &self.posts else { return };
        posts.abort();
        self.posting.flush(true).await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(posts) = &self.posts {
            posts.abort();
        }
    }
}
