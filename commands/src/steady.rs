//! One clock for one operation in one process. The wall clock is read once, when the operation is taken up; from there on time
//! is told by the monotonic clock alone. So a wall clock that is set, by hand or by a time service, neither ends a wait nor
//! lengthens one, makes no approval younger than it is, and no mark late that was not. Across a restart there is nothing but
//! the wall clock to go by: there one that went back is seen by the log's last event
//! ([`crate::journal::Journal::open`]).

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::mutation::mutated;
use crate::ports::World;
use crate::units::Timestamp;

/// A world whose wall clock goes as its monotonic clock does.
pub(crate) struct Steady {
    world: Arc<dyn World>,
    wall: Timestamp,
    began: Duration,
}

impl Steady {
    /// From this moment on.
    pub(crate) fn new(world: Arc<dyn World>) -> Self {
        Self { wall: world.now(), began: world.monotonic(), world }
    }
}

impl World for Steady {
    fn now(&self) -> Timestamp {
        if mutated!(WallClock) {
            return self.world.now();
        }
        self.wall + self.world.monotonic().saturating_sub(self.began)
    }

    fn monotonic(&self) -> Duration {
        self.world.monotonic()
    }

    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        self.world.sleep(length)
    }

    fn unique_id(&self) -> String {
        self.world.unique_id()
    }

    fn random(&self) -> u64 {
        self.world.random()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// The wall clock in milliseconds, and the monotonic one.
    struct Clocks(Mutex<(i64, u64)>);

    impl World for Clocks {
        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(self.0.lock().unwrap().0).unwrap()
        }
        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.lock().unwrap().1)
        }
        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
        fn unique_id(&self) -> String {
            String::new()
        }
        fn random(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_nothing_until_the_operation_is_taken_up_anew() {
        let clocks = Arc::new(Clocks(Mutex::new((3_600_000, 5_000))));
        let steady = Steady::new(Arc::clone(&clocks) as Arc<dyn World>);
        for set_to in [0, 3_600_000, 86_400_000] {
            *clocks.0.lock().unwrap() = (set_to, 7_000);
            assert_eq!(steady.now().as_millisecond(), 3_602_000);
        }
        assert_eq!(Steady::new(clocks).now().as_millisecond(), 86_400_000);
    }
}
