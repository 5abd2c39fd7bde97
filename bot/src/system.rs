//! The real world behind the `World` port: the system's clocks, its randomness, and time that passes by itself.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use scalebot_commands::ports::World;
use scalebot_commands::units::Timestamp;

/// The system this process runs on.
#[derive(Debug)]
pub(crate) struct System {
    began: Instant,
}

impl System {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now() }
    }
}

impl World for System {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(length))
    }

    fn unique_id(&self) -> String {
        uuid::Uuid::now_v7().to_string()
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}
