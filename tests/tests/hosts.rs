//! The runbook on plain hosts: real SSH servers, a real HAProxy, real processes, and the bot that is killed between one
//! sub-step and the next.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scalebot_adapters::conclave::{self, Conclave};
use scalebot_adapters::haproxy::{self, Registry};
use scalebot_adapters::hosts::Hosts as Fleet;
use scalebot_adapters::http::Reach;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{Fleet as _, FleetState, OrderAnswer, PortError, ScaleOrder};
use scalebot_commands::units::{Epoch, OperationId, Replicas};
use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::hosts::{From, Hosts, user};
use scalebot_tests::operator::{Operator, check, terminated};
use scalebot_tests::services::haproxy::{BACKEND, Haproxy};
use scalebot_tests::services::orders::{Clock, Order, given};
use scalebot_tests::services::sshd::Machines;
use serde_json::{Value, json};

fn ended(events: &[Value], outcome: &str, at: u32) {
    let finished = only(events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!(outcome), &json!(at)), "{finished:#}");
}

/// It is refused because of that check, nothing was changed, and what the check says.
fn refused(hosts: &Hosts, operator: &mut Operator<'_>, to: u32, name: &str) -> String {
    let before = hosts.state();
    operator.up(to);
    let events = operator.ended();
    assert_eq!(only(&events, "finished")["outcome"], "refused", "{:#}", only(&events, "finished"));
    assert!(of_kind(&events, "scaling").is_empty());
    let (status, said) = check(&events, name);
    assert!(status == "fail" || status == "unknown", "{name} is {status}: {said}");
    assert_eq!(hosts.state(), before);
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_become_four_and_two_again_and_no_request_is_lost() {
    let hosts = Hosts::with(5, 2, From::Inventory).await;
    let machines = &hosts.machines;
    let mut operator = hosts.served().await;
    hosts.until_routed(&[1, 2]);
    let (code, said) = hosts.service.on_the_host(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("5 of 5 hosts answer, 2 run the service"), "{said}");

    let (_, lost) = hosts.answered();
    operator.up(4);
    ended(&operator.watched_long_enough(), "cancelled", 4);
    hosts.until_routed(&[1, 2, 3, 4]);
    assert_eq!((machines.done(3), machines.done(4)), (vec!["deploy".into(), "start".into()], machines.done(3)));
    assert!(machines.done(5).is_empty());

    operator.down(2);
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 2);
    assert_eq!(terminated(&events).len(), 2);
    let left = hosts.until("two are left", |state| state["hosts"].as_array().unwrap().len() == 2);
    assert_eq!(left["wanted"], 2);
    let running = (1..=5).filter(|number| machines.runs(*number)).collect::<Vec<_>>();
    hosts.until_routed(&running);
    assert_eq!(running.len(), 2);
    let (answered, lost_since) = hosts.answered();
    assert!(answered > 0);
    assert_eq!(lost_since, lost, "requests were lost");
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_and_where_somebody_started_a_service_nothing_is_changed() {
    let hosts = Hosts::with(3, 1, From::Inventory).await;
    let mut operator = hosts.served().await;
    let said = refused(&hosts, &mut operator, 4, "room");
    assert!(said.contains("2 more fit, 3 wanted"), "{said}");

    hosts.machines.somebody("start", 3);
    let said = refused(&hosts, &mut operator, 2, "who else steers");
    assert!(said.contains("vm-3") && said.contains("ssh -p "), "{said}");
    // On a host whose key is another than the one that is known, nothing is even asked.
    hosts.machines.somebody("stop", 3);
    hosts.machines.is_another(2);
    hosts.machines.is_another(3);
    let said = refused(&hosts, &mut operator, 2, "room");
    assert!(said.contains("host key"), "{said}");
    let (code, said) = hosts.service.on_the_host(&["check"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("its host key is not the one in known_hosts"), "{said}");
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_instances_that_crash_or_cannot_be_deployed_are_taken_back_and_their_hosts_given_back() {
    let hosts = Hosts::with(4, 2, From::Tool).await;
    let machines = &hosts.machines;
    machines.will_crash(3);
    machines.will_crash(4);
    let mut operator = hosts.served().await;
    operator.up(4);
    let events = operator.ended();
    ended(&events, "rolled_back", 2);
    assert!(!only(&events, "logs_saved")["kept"].as_array().unwrap().is_empty());
    hosts.until("they are given back", |state| state["hosts"].as_array().unwrap().len() == 2);
    hosts.until_routed(&[1, 2]);
    assert_eq!(hosts.made().first().map(String::as_str), Some("set 4 vm-1,vm-2 "));

    std::fs::write(machines.folder().join("cannot-deploy"), "").unwrap();
    operator.up(3);
    let events = operator.ended();
    ended(&events, "rolled_back", 2);
    let why = only(&events, "not_ready")["problem"].as_str().unwrap();
    assert!(why.contains("no space left on device"), "{why}");
    hosts.until("it is given back", |state| state["hosts"].as_array().unwrap().len() == 2);
    let taken = std::fs::read_to_string(machines.folder().join("pool.taken")).unwrap();
    assert_eq!(taken, "vm-1\nvm-2\n");
    assert!(machines.runs(1) && machines.runs(2) && !machines.runs(3) && !machines.runs(4));
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_somebody_starts_on_a_host_that_is_next_is_neither_used_nor_ended() {
    let hosts = Hosts::with(4, 2, From::Inventory).await;
    // One host after the other, so that there is a next one.
    hosts.works_on_one_at_a_time();
    let machines = &hosts.machines;
    let mut operator = hosts.served().await;
    machines.holds("deploy");
    operator.up(4);
    hosts.until_phase("deploying");
    machines.somebody("start", 4);
    machines.lets_go("deploy");
    let events = operator.ended();
    ended(&events, "rolled_back", 2);
    let why = only(&events, "not_ready")["problem"].as_str().unwrap();
    assert!(why.contains("vm-4") && why.contains("nobody of this fleet has started it"), "{why}");
    hosts.until("both are given back", |state| state["hosts"].as_array().unwrap().len() == 2);
    hosts.until_routed(&[1, 2]);
    assert!(machines.runs(4) && !machines.runs(3), "whoever started it there still needs it");
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_somebody_stops_ends_the_watch_and_is_named() {
    let hosts = Hosts::with(3, 2, From::Inventory).await;
    let mut operator = hosts.served().await;
    operator.up(3);
    operator.until("verified", 1);
    hosts.machines.somebody("stop", 1);
    let events = operator.ended();
    ended(&events, "failed", 3);
    assert_eq!(only(&events, "monitored")["ended"], "interfered");
    let what = only(&events, "interference")["what"].as_str().unwrap();
    assert!(what.contains("vm-1"), "{what}");
    // Nobody fights about it.
    assert!(!hosts.machines.runs(1));
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_that_forgot_is_told_again_and_a_host_that_the_inventory_lost_is_named_and_left() {
    let mut hosts = Hosts::with(3, 2, From::Inventory).await;
    let serving = hosts.service.start_ready();
    hosts.until_routed(&[1, 2]);
    // What it was told while it ran it does not keep.
    hosts.haproxy.start_again();
    hosts.until_routed(&[1, 2]);
    assert_eq!(serving.stop(), Some(0));

    hosts.names_no_longer(2);
    let mut operator = hosts.served().await;
    operator.up(3);
    let events = operator.watched_long_enough();
    let (status, said) = check(&events, "instance count");
    assert!(status == "warn" && said.contains("2 now, 1 ready"), "{status}: {said}");
    let instances = only(&events, "assessed")["fleet"]["known"]["instances"].as_array().unwrap();
    let lost = instances.iter().find(|instance| instance["id"] == "vm-2").unwrap();
    assert_eq!(lost["detail"], "the inventory does not name this host any more", "{lost}");
    assert!(hosts.machines.runs(2), "it still serves");
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_sub_steps_it_goes_on_there_and_does_nothing_twice() {
    let hosts = Hosts::with(4, 2, From::Tool).await;
    let machines = &hosts.machines;
    let mut operator = hosts.served().await;
    // While hosts are made: who made them goes on alone, and is waited for.
    machines.holds("make");
    machines.holds("deploy");
    operator.up(4);
    hosts.until("hosts are made", |state| !state["provisioning"].is_null());
    hosts.until_made(1);
    operator.kills_the_bot().await;
    operator.starts_the_bot();
    assert_eq!(hosts.made().len(), 1, "somebody else makes hosts at the same time");
    machines.lets_go("make");
    // While the application is put there, and while services are started.
    hosts.until_phase("deploying");
    operator.kills_the_bot().await;
    machines.holds("start");
    operator.starts_the_bot();
    machines.lets_go("deploy");
    hosts.until_phase("starting");
    operator.kills_the_bot().await;
    machines.lets_go("start");
    operator.starts_the_bot();
    ended(&operator.watched_long_enough(), "cancelled", 4);
    hosts.until_routed(&[1, 2, 3, 4]);
    assert_eq!(hosts.made(), ["set 4 vm-1,vm-2 "]);

    // While a service is ended.
    machines.holds("stop");
    operator.down(3);
    hosts.until_phase("stopping");
    operator.kills_the_bot().await;
    operator.starts_the_bot();
    // While its host is given back.
    machines.holds("make");
    machines.lets_go("stop");
    hosts.until_made(2);
    operator.kills_the_bot().await;
    operator.starts_the_bot();
    assert_eq!(hosts.made().len(), 2, "somebody else gives it back at the same time");
    machines.lets_go("make");
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 3);
    let gone = terminated(&events);
    assert_eq!(gone.len(), 1);
    hosts.until("it is given back", |state| state["hosts"].as_array().unwrap().len() == 3);
    assert!(!hosts.names().contains(&gone[0].to_owned()));
    // Who was broken off is run again, with the same words, and nobody with others.
    let given_back = hosts.made().split_off(1);
    assert!(given_back.iter().all(|words| words.starts_with("set 3 ") && words.ends_with(gone[0])), "{given_back:?}");
    assert_eq!((1..=4).filter(|number| machines.runs(*number)).count(), 3);
    operator.leaves().await;
}

/// Two are wanted, as the guard of an effect orders it.
struct Two<'a>(&'a Fleet, FleetState);

#[async_trait]
impl Order for Two<'_> {
    async fn give(&self, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let order = ScaleOrder {
            identity: self.1.identity.clone(),
            from: self.1.wanted,
            to: Replicas(2),
            version: self.1.version.clone(),
            operation: OperationId::new("operation"),
        };
        self.0.scale(&order, fence).await
    }
}

/// A fleet is seen that is so.
async fn until_seen(fleet: &Fleet, is: impl Fn(&FleetState) -> bool) -> FleetState {
    let seen = async {
        loop {
            if let Ok(state) = fleet.observe().await
                && is(&state)
            {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(Duration::from_mins(2), seen).await {
        Ok(state) => state,
        Err(late) => panic!("never seen ({late}): {:#?}", fleet.observe().await),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_begins_nothing_more_once_a_later_one_has_come() {
    let (machines, haproxy, folder) = (Machines::start(2), Haproxy::before(&[]), tempfile::tempdir().unwrap());
    machines.somebody("start", 1);
    let program = machines.program();
    let command = |what: &str| json!([program, what]);
    let hosts = [1, 2].map(|it| json!({ "name": Machines::name(it), "address": machines.address(it) }));
    let settings = json!({
        "service": "api", "port": machines.service(),
        "hosts": hosts,
        "ssh": {
            "user": user(), "key_file": machines.key_file(), "known_hosts": machines.known_hosts(), "port": machines.ssh(),
        },
        "commands": {
            "deploy": command("deploy"), "start": command("start"), "stop": command("stop"), "status": command("status"),
        },
        "limits": { "every": "100ms", "look": "20s", "ready": "2s" },
    });
    let settings = serde_json::from_value(settings).unwrap();
    let process = || {
        let clock = Arc::new(Clock::default());
        let limit = Duration::from_secs(5);
        let probe = Conclave::reaching(clock.clone(), limit, conclave::Config::default(), &Reach::Address).unwrap();
        let registry = haproxy::Settings::new(format!("tcp:{}", haproxy.api()), BACKEND);
        let registry = Registry::new(&registry).unwrap();
        Fleet::new(&settings, folder.path().join("hosts"), clock, Arc::new(probe), registry).unwrap()
    };

    let earlier = process();
    let tending = tokio::spawn(earlier.clone().tend(Epoch(1)));
    let one = until_seen(&earlier, |state| state.ready() == Replicas(1)).await;
    machines.holds("deploy");
    assert_eq!(given(&Two(&earlier, one.clone())).await, Ok(OrderAnswer::Done));
    while machines.done(2).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // It holds the lock, so the later one only says that it has come.
    let later = process();
    let tending_later = tokio::spawn(later.clone().tend(Epoch(2)));
    let file = folder.path().join("hosts/state.json");
    let epoch = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap()["epoch"].clone();
    while epoch() != 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(machines.done(2), ["deploy"]);
    machines.lets_go("deploy");
    tending.await.unwrap();
    until_seen(&later, |state| state.ready() == Replicas(2)).await;
    // What was begun and whose end nobody wrote down is done again; all else once, by the later one.
    assert_eq!(machines.done(2), ["deploy", "deploy", "start"]);
    let late = given(&Two(&earlier, one)).await.unwrap();
    assert!(matches!(&late, OrderAnswer::Refused { detail } if detail.contains("later process")), "{late:?}");
    tending_later.abort();
}
