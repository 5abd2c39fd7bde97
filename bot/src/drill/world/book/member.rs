//! One instance in the fleet's book, and what the process behind it can be told.

use scalebot_commands::ports::{Instance, InstanceState};
use scalebot_commands::units::{InstanceId, Timestamp};
use tokio::sync::mpsc;

/// What the process behind an instance can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::drill::world) enum Order {
    /// End it by the shutdown order: what is under way may end, in its time.
    Stop,
    /// End it at once, as a crash would.
    Kill,
}

/// One instance.
#[derive(Debug)]
pub(in crate::drill::world) struct Member {
    /// As the fleet sees it.
    pub(in crate::drill::world) seen: Instance,
    orders: mpsc::UnboundedSender<Order>,
}

/// An instance that is to be started.
#[derive(Debug)]
pub(in crate::drill::world) struct Starting {
    /// Its name.
    pub(in crate::drill::world) id: InstanceId,
    /// Its place in the order of all instances of this world, from 1.
    pub(in crate::drill::world) number: u32,
    /// What its process is told.
    pub(in crate::drill::world) orders: mpsc::UnboundedReceiver<Order>,
}

impl Member {
    /// The instance with that number, and what is needed to start it.
    pub(super) fn new(number: u32, now: Timestamp) -> (Self, Starting) {
        let id = InstanceId::new(format!("api-{number}"));
        let (sender, orders) = mpsc::unbounded_channel();
        let seen = Instance {
            id: id.clone(),
            address: None,
            started_at: now,
            state: InstanceState::Starting,
            detail: Some("its process is starting".to_owned()),
            restarts: 0,
        };
        (Self { seen, orders: sender }, Starting { id, number, orders })
    }

    /// An instance whose process somebody else keeps: it can be told nothing from here.
    pub(super) fn elsewhere(seen: Instance) -> Self {
        Self { seen, orders: mpsc::unbounded_channel().0 }
    }

    /// Whether it is on its way out.
    pub(in crate::drill::world) fn is_leaving(&self) -> bool {
        self.seen.state == InstanceState::Terminating
    }

    /// Whether there is a process behind it, or is about to be.
    pub(super) fn has_process(&self) -> bool {
        !self.orders.is_closed()
    }

    /// Tells its process; `false` when there is none.
    pub(super) fn tell(&self, order: Order) -> bool {
        self.orders.send(order).is_ok()
    }

    /// Sends it on its way out. Its task may have ended already, with its process: then nobody hears it.
    pub(super) fn leave(&mut self, why: &str) {
        self.seen.state = InstanceState::Terminating;
        self.seen.detail = Some(why.to_owned());
        self.tell(Order::Stop);
    }
}
