//! The forwarder's own view of the instances: where they are, whether its looks find them ready, and which it was told
//! to leave out.
//!
//! It is as blind as a real balancer. That an instance is on its way out, or that its process has died, nobody tells
//! it: one that was not drained goes on being chosen until the looks find it silent.

use scalebot_adapters::process::wire::Forwarded;
use scalebot_commands::units::InstanceId;

/// One instance as the forwarder knows it.
#[derive(Debug)]
struct Route {
    instance: InstanceId,
    address: Option<String>,
    /// What the last looks came to.
    ready: bool,
    drained: bool,
    requests: u64,
    in_flight: u32,
}

/// Every instance that the forwarder knows.
#[derive(Debug, Default)]
pub(super) struct Routes {
    known: Vec<Route>,
    turn: usize,
    /// Whether what it says about drained instances is untrue: they go on being chosen.
    lies: bool,
}

impl Routes {
    /// Makes an instance known, which gets nothing yet.
    pub(super) fn add(&mut self, instance: InstanceId) {
        self.known.push(Route { instance, address: None, ready: false, drained: false, requests: 0, in_flight: 0 });
    }

    /// Enters where an instance is reached.
    pub(super) fn reached_at(&mut self, id: &InstanceId, address: String) {
        if let Some(route) = self.find(id) {
            route.address = Some(address);
        }
    }

    /// Enters what the looks at an instance came to.
    pub(super) fn see(&mut self, id: &InstanceId, ready: bool) {
        if let Some(route) = self.find(id) {
            route.ready = ready;
        }
    }

    /// Forgets an instance.
    pub(super) fn forget(&mut self, id: &InstanceId) {
        self.known.retain(|route| route.instance != *id);
    }

    /// Leaves an instance out, or takes it in again; `false` when there is none of that name.
    pub(super) fn drain(&mut self, id: &InstanceId, drained: bool) -> bool {
        self.find(id).map(|route| route.drained = drained).is_some()
    }

    /// From now on what is said about drained instances is untrue, or true again.
    pub(super) fn lie(&mut self, lies: bool) {
        self.lies = lies;
    }

    /// Whether new requests go to that instance.
    pub(super) fn chooses(&self, id: &InstanceId) -> bool {
        self.known.iter().any(|route| route.instance == *id && self.takes(route))
    }

    fn takes(&self, route: &Route) -> bool {
        route.ready && route.address.is_some() && (!route.drained || self.lies)
    }

    /// The next instance in turn, counted as having got one request more; `None` when none receives.
    pub(super) fn next(&mut self) -> Option<(InstanceId, String)> {
        let count = self.known.len();
        let at = (0..count).map(|step| (self.turn + step) % count).find(|at| self.takes(&self.known[*at]))?;
        self.turn = (at + 1) % count;
        self.known[at].sent()
    }

    /// The same for that very instance, whether it is its turn or not.
    pub(super) fn choose(&mut self, id: &InstanceId) -> Option<(InstanceId, String)> {
        self.find(id)?.sent()
    }

    /// One request to that instance has ended.
    pub(super) fn answered(&mut self, id: &InstanceId) {
        if let Some(route) = self.find(id) {
            route.in_flight = route.in_flight.saturating_sub(1);
        }
    }

    /// What is said to whoever asks.
    pub(super) fn tell(&self) -> Vec<Forwarded> {
        let told = self.known.iter().map(|route| Forwarded {
            instance: route.instance.clone(),
            receives: route.ready && !route.drained,
            drained: route.drained,
            requests: route.requests,
            in_flight: if self.lies && route.drained { 0 } else { route.in_flight },
        });
        told.collect()
    }

    fn find(&mut self, id: &InstanceId) -> Option<&mut Route> {
        self.known.iter_mut().find(|route| route.instance == *id)
    }
}

impl Route {
    /// Counts a request, and says where it goes.
    fn sent(&mut self) -> Option<(InstanceId, String)> {
        let address = self.address.clone()?;
        self.requests += 1;
        self.in_flight += 1;
        Some((self.instance.clone(), address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four ready instances.
    fn four() -> (Routes, [InstanceId; 4]) {
        let mut routes = Routes::default();
        let ids = [1, 2, 3, 4].map(|number| InstanceId::new(format!("api-{number}")));
        for (port, id) in (9001..).zip(&ids) {
            routes.add(id.clone());
            routes.reached_at(id, format!("127.0.0.1:{port}"));
            routes.see(id, true);
        }
        (routes, ids)
    }

    fn turns(routes: &mut Routes, count: usize) -> Vec<String> {
        (0..count).filter_map(|_| routes.next()).map(|(id, _)| id.to_string()).collect()
    }

    fn told(routes: &Routes, id: &InstanceId) -> Forwarded {
        routes.tell().into_iter().find(|told| told.instance == *id).unwrap()
    }

    #[test]
    fn requests_go_round_the_ready_ones_that_are_not_drained() {
        let (mut routes, [one, two, three, four]) = four();
        assert!(routes.drain(&two, true) && !routes.drain(&InstanceId::new("api-9"), true));
        routes.see(&four, false);
        assert_eq!(turns(&mut routes, 4), ["api-1", "api-3", "api-1", "api-3"]);
        assert_eq!((told(&routes, &one).requests, told(&routes, &one).in_flight), (2, 2));
        routes.answered(&one);
        assert_eq!((told(&routes, &one).requests, told(&routes, &one).in_flight), (2, 1));

        routes.drain(&one, true);
        routes.drain(&three, true);
        assert_eq!(routes.next(), None);
        // What was under way when it was drained stays under way until it is answered.
        assert_eq!(told(&routes, &one).in_flight, 1);
        routes.drain(&two, false);
        assert_eq!(turns(&mut routes, 2), ["api-2", "api-2"]);
        routes.forget(&two);
        assert_eq!(routes.next(), None);
    }

    #[test]
    fn an_instance_without_an_address_or_not_yet_seen_ready_gets_nothing() {
        let mut routes = Routes::default();
        let id = InstanceId::new("api-1");
        routes.add(id.clone());
        routes.see(&id, true);
        assert_eq!((routes.next(), routes.choose(&id)), (None, None));
        routes.reached_at(&id, "127.0.0.1:9001".to_owned());
        routes.see(&id, false);
        assert_eq!((routes.next(), routes.chooses(&id)), (None, false));
        // Directly, it may be asked all the same.
        assert!(routes.choose(&id).is_some());
    }

    #[test]
    fn one_that_lies_says_drained_and_idle_and_sends_requests_all_the_same() {
        let (mut routes, [one, ..]) = four();
        routes.lie(true);
        assert!(routes.drain(&one, true));
        assert_eq!(turns(&mut routes, 4)[0], "api-1");
        let said = told(&routes, &one);
        assert_eq!((said.receives, said.drained, said.in_flight), (false, true, 0));
        assert!(routes.chooses(&one));

        routes.lie(false);
        assert!(!routes.chooses(&one));
        assert_eq!(told(&routes, &one).in_flight, 1);
    }
}
