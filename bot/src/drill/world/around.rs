//! The real systems around this world, kept as whoever runs a backend keeps them: who comes and goes is told to the load
//! balancer and to Prometheus, at once and, should they have been away, again; a halt is written to PostgreSQL and Redis.

mod scraped;
mod store;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use scalebot_adapters::haproxy::Registry;
use scalebot_commands::ports::{InstanceState, PortError};
use scalebot_commands::units::{InstanceId, Timestamp};
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::store::Sources;
use super::World;
use crate::drill::around::{Around, Known};

/// Between two looks whether everybody around still knows the fleet as it is.
const AGREE_EVERY: Duration = Duration::from_millis(300);

/// How long whoever is around may take to be told that the world ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What is around this world.
pub(super) struct Surroundings {
    registry: Option<Registry>,
    sources: Sources,
    around: Around,
}

impl Surroundings {
    /// Nothing is told yet.
    pub(super) fn new(around: Around) -> anyhow::Result<Self> {
        let registry = around.balancer.as_ref().map(|balancer| Registry::new(&balancer.haproxy)).transpose();
        let sources = Sources::new(&around).context("The sources of truth about the halt")?;
        Ok(Self { registry: registry.context("The load balancer's settings")?, sources, around })
    }

    /// Which real systems there are, as somebody named them, and what this world is called there.
    pub(super) fn known(&self) -> Option<&Known> {
        self.around.known.as_ref()
    }

    /// Tells the sources of truth about the halt how it is.
    ///
    /// # Errors
    /// When it is not known whether they all were told.
    pub(super) async fn tell_halt(&self, world: &World) -> Result<(), PortError> {
        self.sources.tell(world).await
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
        self.sources.begin(world).await.map_err(|error| anyhow::anyhow!("{error}."))?;
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
        let (gone, ended) = futures::join!(timeout(LAST_WORDS, gone), timeout(LAST_WORDS, self.sources.end()));
        if gone.is_err() {
            eprintln!("{} the load balancer may still have servers of this world", Timestamp::now());
        }
        if !matches!(ended, Ok(Ok(()))) {
            let mark = self.known().map(|known| known.mark.as_str()).unwrap_or_default();
            eprintln!("{} what is called {mark} may be left in PostgreSQL or Redis: {ended:?}", Timestamp::now());
        }
        if let Err(error) = self.write(world, &mut None) {
            eprintln!("{} {error:#}", Timestamp::now());
        }
    }

    async fn balance(&self, world: &World, balanced: &mut Balanced) -> Result<(), PortError> {
        let Some(registry) = &self.registry else { return Ok(()) };
        registry.agree(&balanced.there(world)).await.map(|_| ())
    }

    fn write(&self, world: &World, written: &mut Option<String>) -> anyhow::Result<()> {
        let Some(scraped) = &self.around.scraped else { return Ok(()) };
        let addresses: Vec<String> = world.book().members().filter_map(|member| member.seen.address.clone()).collect();
        let text = scraped::targets(&addresses, &scraped.labels);
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
