//! The real systems around this world, kept as whoever runs a backend keeps them: who comes and goes is told to the load
//! balancer and to Prometheus, at once and, should they have been away, again.

mod scraped;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use scalebot_adapters::haproxy::Registry;
use scalebot_commands::ports::InstanceState;
use scalebot_commands::units::{InstanceId, Timestamp};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::World;
use crate::drill::around::Around;

/// Between two looks whether everybody around still knows the fleet as it is.
const AGREE_EVERY: Duration = Duration::from_millis(300);

/// How long whoever is around may take to be told that the world ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is around this world.
pub(super) struct Surroundings {
    registry: Option<Registry>,
    around: Around,
}

impl Surroundings {
    /// Nothing is told yet.
    pub(super) fn new(around: Around) -> anyhow::Result<Self> {
        let registry = around.balancer.as_ref().map(|balancer| Registry::new(&balancer.haproxy)).transpose();
        Ok(Self { registry: registry.context("The load balancer's settings")?, around })
    }

    /// Where the load is sent; `None` for the world's own forwarder.
    pub(super) fn through(&self) -> Option<&str> {
        self.around.balancer.as_ref().map(|balancer| balancer.through.as_str())
    }

    /// Tells everybody around who is there, in a world whose first instances are ready. From then on they are told for
    /// as long as the world lives.
    ///
    /// # Errors
    /// When somebody cannot be told: a world that they do not know is no rehearsal.
    pub(super) async fn begin(self: Arc<Self>, world: &Arc<World>) -> anyhow::Result<()> {
        let mut balanced = Balanced::default();
        self.balance(world, &mut balanced).await.map_err(|error| anyhow::anyhow!("{error}."))?;
        let mut written = None;
        self.write(world, &mut written)?;
        if self.registry.is_none() && self.around.scraped.is_none() {
            return Ok(());
        }
        let (surroundings, world) = (self, Arc::clone(world));
        tokio::spawn(async move {
            let mut turns = interval(AGREE_EVERY);
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut said = None;
            loop {
                turns.tick().await;
                let told = surroundings.balance(&world, &mut balanced).await.map_err(|error| error.to_string());
                let told =
                    told.and_then(|()| surroundings.write(&world, &mut written).map_err(|error| format!("{error:#}")));
                // Once, not three times a second.
                let why = told.err();
                if why != said {
                    match &why {
                        Some(why) => eprintln!("{} somebody around cannot be told: {why}", Timestamp::now()),
                        None => eprintln!("{} everybody around is told again", Timestamp::now()),
                    }
                    said = why;
                }
            }
        });
        Ok(())
    }

    /// Tells everybody that nobody is there any more, as far as they can be told.
    pub(super) async fn leave(&self, world: &World) {
        let gone = async {
            // Its last connections may take a moment to end.
            let mut turns = interval(AGREE_EVERY);
            while let Some(registry) = &self.registry {
                turns.tick().await;
                if registry.agree(&[]).await.is_ok_and(|servers| servers == 0) {
                    break;
                }
            }
        };
        if timeout(LAST_WORDS, gone).await.is_err() {
            eprintln!("{} the load balancer may still have servers of this world", Timestamp::now());
        }
        if let Err(error) = self.write(world, &mut None) {
            eprintln!("{} {error:#}", Timestamp::now());
        }
    }

    async fn balance(&self, world: &World, balanced: &mut Balanced) -> Result<(), scalebot_commands::ports::PortError> {
        let Some(registry) = &self.registry else { return Ok(()) };
        registry.agree(&balanced.there(world)).await.map(|_| ())
    }

    fn write(&self, world: &World, written: &mut Option<String>) -> anyhow::Result<()> {
        let Some(scraped) = &self.around.scraped else { return Ok(()) };
        let addresses = world.book().members().filter_map(|member| member.seen.address.clone()).collect();
        let text = scraped::targets(addresses, &scraped.labels);
        if written.as_ref() != Some(&text) {
            scraped::write(&scraped.file, &text).with_context(|| format!("Writing {}", scraped.file.display()))?;
            *written = Some(text);
        }
        Ok(())
    }
}

/// Who the load balancer knows: everybody who was ready once, until they are gone. Whether they still are, it finds out
/// by itself.
#[derive(Default)]
struct Balanced(Vec<InstanceId>);

impl Balanced {
    fn there(&mut self, world: &World) -> Vec<(InstanceId, String)> {
        let book = world.book();
        let known = std::mem::take(&mut self.0);
        let there = book.members().filter_map(|member| {
            let instance = &member.seen;
            let is_known = instance.state == InstanceState::Ready || known.contains(&instance.id);
            Some((instance.id.clone(), instance.address.clone().filter(|_| is_known)?))
        });
        let there: Vec<_> = there.collect();
        self.0 = there.iter().map(|(id, _)| id.clone()).collect();
        there
    }
}
