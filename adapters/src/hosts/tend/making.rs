//! Hosts for places that have none, and hosts given back.

use std::collections::BTreeSet;
use std::time::Duration;

use scalebot_commands::ports::PortError;

use super::super::observe::{named, services, spare, unfit};
use super::super::provision::{Answer, Tool};
use super::super::settings::Listed;
use super::super::state::{Host, Phase, State};
use super::super::store::NotChanged;
use super::{Round, Went};

/// How long a tool that has failed is left alone.
const REST: Duration = Duration::from_secs(30);

/// How often the tool is asked which hosts there are, while nothing is to be done.
const LIST_EVERY: Duration = Duration::from_secs(30);

/// Whether it is a place that waits for a host.
fn waits_for_a_host(host: &Host) -> bool {
    host.phase == Phase::Wanted && host.failed.is_none()
}

impl Round<'_> {
    /// Makes what is missing and gives back what is over.
    pub(super) async fn make(&self, state: &State) -> Result<Went, NotChanged> {
        let places = state.hosts.iter().filter(|host| waits_for_a_host(host)).count();
        let over = state.hosts.iter().any(|host| host.phase == Phase::Releasing);
        match &self.inner.tool {
            None if places == 0 && !over => Ok(Went::Nowhere),
            None => self.take_spares(state, places).await,
            Some(tool) => self.by_tool(tool, state, places > 0 || over || state.provisioning.is_some()).await,
        }
    }

    /// From the inventory's spare hosts, those first of which it is seen that they can be used.
    async fn take_spares(&self, state: &State, places: usize) -> Result<Went, NotChanged> {
        let mut chosen: Vec<Listed> = Vec::new();
        let mut why = "the inventory has no spare host left".to_owned();
        if places > 0 {
            let looked = services(self.inner, spare(self.inner, state)).await;
            let fit = looked.iter().filter(|(host, found)| unfit(host, found).is_none());
            chosen.extend(fit.take(places).map(|(host, _)| host.clone()));
            let unfit: Vec<String> = looked.iter().filter_map(|(host, found)| unfit(host, found)).collect();
            if !unfit.is_empty() {
                why = format!("no spare host can be used: {}", named(&unfit));
            }
        }
        let now = self.inner.clock.now();
        self.inner
            .store
            .change(self.epoch, |state| {
                state.hosts.retain(|host| host.phase != Phase::Releasing);
                // The order may have been taken back meanwhile; then there is no place, and a spare host stays one.
                let left = state.hosts.iter().filter(|host| waits_for_a_host(host)).count();
                state.provisioned(&chosen[..chosen.len().min(left)], now);
                for place in state.hosts.iter_mut().filter(|host| waits_for_a_host(host)) {
                    place.failed = Some(why.clone());
                }
            })
            .await?;
        Ok(Went::On)
    }

    async fn by_tool(&self, tool: &Tool, state: &State, is_needed: bool) -> Result<Went, NotChanged> {
        let now = self.inner.clock.monotonic();
        {
            let mut seen = self.inner.seen();
            if now < seen.tool_rests_until || (!is_needed && now < seen.list_again_at) {
                return Ok(Went::Nowhere);
            }
            seen.list_again_at = now + LIST_EVERY;
        }
        let listed = match tool.list().await {
            Ok(answer) => answer,
            Err(error) => return Ok(self.rests(state, &error)),
        };
        self.note(&listed);
        if !is_needed {
            return Ok(Went::Nowhere);
        }
        if state.provisioning.is_some() {
            // Its answer was lost; what it has made by then is there.
            return self.take(listed, None).await;
        }
        if let Some(stranger) = listed.hosts.iter().find(|host| state.host(&host.name).is_none()) {
            let detail = format!("it lists {}, which is none of the fleet's", stranger.name);
            return Ok(self.rests(state, &PortError::Unreadable { what: tool.what(), detail }));
        }
        self.set(tool).await
    }

    async fn set(&self, tool: &Tool) -> Result<Went, NotChanged> {
        let now = self.inner.clock.now();
        let begun = self
            .inner
            .store
            .change(self.epoch, |state| {
                state.provisioning = Some(now);
                state.clone()
            })
            .await?;
        let names = |over: bool| {
            let some = begun.hosts.iter().filter(move |host| (host.phase == Phase::Releasing) == over);
            some.filter(|host| host.address.is_some()).map(|host| &*host.name).collect::<Vec<_>>()
        };
        let (keep, release) = (names(false), names(true));
        let wanted = keep.len() + begun.hosts.iter().filter(|host| waits_for_a_host(host)).count();
        match tool.set(wanted, &keep, &release, self.lock).await {
            Ok(answer) => {
                self.note(&answer);
                self.take(answer, Some("the provisioning command made fewer hosts than it was asked for".to_owned()))
                    .await
            }
            // It said no, and may have done a part.
            Err(error @ PortError::Refused { .. }) => match tool.list().await {
                Ok(answer) => {
                    self.rests(&begun, &error);
                    self.take(answer, Some(error.to_string())).await
                }
                Err(_) => Ok(self.rests(&begun, &error)),
            },
            Err(error) => Ok(self.rests(&begun, &error)),
        }
    }

    /// Writes down what there is now: `why` is what keeps a place from having a host, where that is final.
    async fn take(&self, answer: Answer, why: Option<String>) -> Result<Went, NotChanged> {
        let now = self.inner.clock.now();
        let there: BTreeSet<String> = answer.hosts.iter().map(|host| host.name.clone()).collect();
        let left = self
            .inner
            .store
            .change(self.epoch, |state| {
                state.provisioning = None;
                state.provisioned(&answer.hosts, now);
                state.hosts.retain(|host| host.phase != Phase::Releasing || there.contains(&host.name));
                if let Some(why) = &why {
                    for place in state.hosts.iter_mut().filter(|host| waits_for_a_host(host)) {
                        place.failed = Some(why.clone());
                    }
                }
                state.hosts.iter().filter(|host| host.phase == Phase::Releasing).map(|host| host.name.clone()).collect()
            })
            .await;
        let left: Vec<String> = left?;
        if why.is_some() && !left.is_empty() {
            let mut seen = self.inner.seen();
            seen.tool_rests_until = self.inner.clock.monotonic() + REST;
            for name in left {
                seen.troubles.entry(name).or_insert_with(|| "the provisioning command still lists it".to_owned());
            }
        }
        Ok(Went::On)
    }

    fn note(&self, answer: &Answer) {
        let names = answer.hosts.iter().map(|host| host.name.clone()).collect();
        self.inner.seen().listed = Some(names);
    }

    /// The tool is left alone for a while, and whoever waits for it is told why.
    fn rests(&self, state: &State, error: &PortError) -> Went {
        let why = error.to_string();
        tracing::warn!(%why, "the provisioning command failed");
        let mut seen = self.inner.seen();
        seen.tool_rests_until = self.inner.clock.monotonic() + REST;
        for host in state.hosts.iter().filter(|host| matches!(host.phase, Phase::Wanted | Phase::Releasing)) {
            seen.troubles.insert(host.name.clone(), why.clone());
        }
        Went::Nowhere
    }
}
