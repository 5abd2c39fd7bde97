//! The world's answers, asked with the adapters that the bot uses, over a real socket. No instance has a process here.

use scalebot_adapters::process::{
    ConnectionPool, EventChain, ForwarderTraffic, HaltSignalStream, HaltTable, ProcessFleet, WorldClient,
};
use scalebot_commands::ports::{
    Chain as _, Fleet as _, HaltSource as _, InstanceState, Pool as _, PortError, Traffic as _,
};
use scalebot_commands::units::{OperationId, Replicas};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};

use super::super::Place;
use super::super::around::Surroundings;
use super::super::book::Starting;
use super::super::forwarder;
use super::super::logs::Logs;
use super::*;
use crate::drill::around::Around;
use crate::drill::files;
use crate::drill::settings::{Fault, FleetKind, Settings};

/// A world of two instances that a test answers for.
struct Stage {
    world: Arc<World>,
    client: WorldClient,
    instances: Vec<Starting>,
    directory: TempDir,
}

impl Stage {
    fn with(fault: Option<Fault>, front: String) -> Self {
        Self::of(FleetKind::Process, fault, front)
    }

    fn of(fleet: FleetKind, fault: Option<Fault>, front: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        let settings = Settings { instances: 2, load: 0.0, seed: 1, halted: false, fault, fleet };
        let logs = Logs::begin(&path(files::INSTANCES)).unwrap();
        let alone = Surroundings::new(Around::default()).unwrap();
        let (socket, declared) = (path(files::WORLD_SOCKET), path(files::FLEET));
        let place = Place { identity: "a world".to_owned(), socket, declared, containers: None };
        let world = Arc::new(World::new(settings, place, logs, front, alone));
        let instances = world.write(|book| book.begin(2, Timestamp::now()));
        for starting in &instances {
            world.routes().add(starting.id.clone());
        }
        let socket = UnixListener::bind(&world.socket).unwrap();
        let router = router(&world);
        tokio::spawn(async move { axum::serve(socket, router).await });
        let limit = Duration::from_secs(5);
        let client = WorldClient::new(&world.socket, &path(files::WORLD_LOCK), limit).unwrap();
        Self { world, client, instances, directory }
    }

    async fn happen(&self, what: &str, body: Value) {
        self.client.tell(&format!("/happen/{what}"), &body).await.unwrap();
    }

    async fn order(&self, from: u32, to: u32) -> (StatusCode, Scaled) {
        let state = ProcessFleet::new(&self.client).observe().await.unwrap();
        let order = Scale {
            identity: state.identity,
            from: Replicas(from),
            to: Replicas(to),
            version: state.version,
            operation: OperationId::new("op-1"),
        };
        let answer = self.client.post("/fleet/scale", &order).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }
}

#[tokio::test]
async fn a_halt_is_told_by_the_sources_that_it_was_set_in() {
    let stage = Stage::with(None, String::new());
    let (table, signals) = (HaltTable::new(&stage.client), HaltSignalStream::new(&stage.client));
    let halted = async || [table.read().await.unwrap().halted, signals.read().await.unwrap().halted];
    assert_eq!(halted().await, [false, false]);
    stage.happen("halt", json!({ "sources": "table", "reason": "drill" })).await;
    assert_eq!(halted().await, [true, false]);
    stage.happen("halt", json!({ "sources": "signals", "reason": "drill" })).await;
    assert_eq!(halted().await, [true, true]);
    let (in_table, in_signals) = (table.read().await.unwrap(), signals.read().await.unwrap());
    assert!(in_table.since.is_some() && in_signals.since.is_some());
    assert_eq!((in_table.reason.as_deref(), in_signals.reason.as_deref()), (Some("drill"), Some("drill")));

    stage.happen("clear", json!({ "sources": "table", "reason": "resolved" })).await;
    assert_eq!(halted().await, [false, true]);
    assert!(table.read().await.unwrap().cleared_at.is_some());
    stage.happen("clear", json!({ "sources": "signals", "reason": "trimmed" })).await;
    assert_eq!(halted().await, [false, false]);

    stage.happen("halt-table", json!({ "rows": [] })).await;
    assert!(matches!(table.read().await, Err(PortError::Unreadable { .. })));
}

#[tokio::test]
async fn a_part_that_is_down_is_unreadable_and_the_others_are_not() {
    let stage = Stage::with(None, String::new());
    let client = &stage.client;
    stage.happen("outage", json!({ "part": "redis", "down": true })).await;
    assert!(matches!(HaltSignalStream::new(client).read().await, Err(PortError::Unreadable { .. })));
    assert!(ConnectionPool::redis(client).budget().await.is_err());
    assert!(HaltTable::new(client).read().await.is_ok());
    assert_eq!(EventChain::new(client).head().await, Ok(Some(20)));
    stage.happen("outage", json!({ "part": "redis", "down": false })).await;
    assert!(HaltSignalStream::new(client).read().await.is_ok());
    stage.happen("event", json!({})).await;
    assert_eq!(EventChain::new(client).head().await, Ok(Some(21)));
}

#[tokio::test]
async fn the_count_is_changed_by_an_order_that_fits_and_by_no_other() {
    let stage = Stage::with(Some(Fault::NoRoom), String::new());
    let fleet = ProcessFleet::new(&stage.client);
    let room = fleet.headroom(Replicas(1)).await.unwrap();
    assert_eq!(room.fits, Replicas(0));
    assert_eq!(room.runs_out.as_deref(), Some("the rehearsal's room for 2 instances"));

    let (status, refused) = stage.order(2, 3).await;
    assert_eq!((status, refused.result), (StatusCode::UNPROCESSABLE_ENTITY, ScaleResult::Refused));
    let (status, conflict) = stage.order(4, 3).await;
    assert_eq!((status, conflict.result), (StatusCode::CONFLICT, ScaleResult::Conflict));
    let (status, done) = stage.order(2, 1).await;
    assert_eq!((status, done.result), (StatusCode::OK, ScaleResult::Done));
    let after = fleet.observe().await.unwrap();
    assert_eq!((after.wanted, after.changed_by.as_deref()), (Replicas(1), Some("op-1")));
    let seen: Vec<InstanceState> = after.instances.iter().map(|instance| instance.state).collect();
    assert_eq!(seen, [InstanceState::Starting, InstanceState::Terminating]);
}

#[tokio::test]
async fn the_declared_count_is_whatever_stands_in_the_file() {
    let stage = Stage::with(None, String::new());
    let fleet = ProcessFleet::new(&stage.client);
    assert!(matches!(fleet.declared().await, Err(PortError::NotServed { .. })));
    let file = stage.directory.path().join(files::FLEET);
    std::fs::write(&file, crate::drill::world::declaration(4)).unwrap();
    let declared = fleet.declared().await.unwrap().unwrap();
    assert_eq!((declared.count, declared.place), (Replicas(4), format!("{}, line 3", file.display())));
}

/// An instance that answers everything with this status.
async fn instance(status: StatusCode) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(async move || (status, [("retry-after", "7")], "words"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn the_forwarder_sends_each_request_once_and_passes_failures_on() {
    let front = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/v1/petitions/1", front.local_addr().unwrap());
    let stage = Stage::with(None, url.clone());
    tokio::spawn(forwarder::serve(Arc::clone(&stage.world), front).unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async || {
        let answer = client.get(&url).send().await.unwrap();
        let by = answer.headers().get("x-served-by").map(|name| name.to_str().unwrap().to_owned());
        (answer.status(), by.unwrap_or_default())
    };
    assert_eq!(ask().await, (StatusCode::SERVICE_UNAVAILABLE, String::new()));

    // The first works; the second's port is closed, as that of a process that has just died.
    let working = instance(StatusCode::OK).await;
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().to_string();
    for (starting, address) in stage.instances.iter().zip([working, closed]) {
        stage.world.reached_at(&starting.id, &address);
        stage.world.see(&starting.id, InstanceState::Ready, None);
    }
    let answers = [ask().await, ask().await, ask().await, ask().await];
    let (works, fails) = ((StatusCode::OK, "api-1".to_owned()), (StatusCode::BAD_GATEWAY, "api-2".to_owned()));
    assert_eq!(answers, [works.clone(), fails.clone(), works.clone(), fails]);

    stage.client.tell("/traffic/drain", &json!({ "instance": "api-2", "drained": true })).await.unwrap();
    assert_eq!([ask().await, ask().await], [works.clone(), works]);
    let routed = ForwarderTraffic::new(&stage.client).routed().await.unwrap();
    let told: Vec<(bool, Option<u64>)> = routed.iter().map(|routed| (routed.receives, routed.requests)).collect();
    assert_eq!(told, [(true, Some(4)), (false, Some(2))]);
    assert!(routed.iter().all(|routed| routed.in_flight == Some(0)));
}

#[tokio::test]
async fn an_instances_own_refusal_reaches_the_sender_with_its_headers() {
    let front = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", front.local_addr().unwrap());
    let stage = Stage::with(None, url.clone());
    tokio::spawn(forwarder::serve(Arc::clone(&stage.world), front).unwrap());
    let address = instance(StatusCode::SERVICE_UNAVAILABLE).await;
    stage.world.reached_at(&stage.instances[0].id, &address);
    stage.world.see(&stage.instances[0].id, InstanceState::Ready, None);
    let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!(
        (answer.status(), answer.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, "7")
    );
    assert_eq!(answer.text().await.unwrap(), "words");
}

#[tokio::test]
async fn before_a_swarm_what_nobody_answered_goes_to_another_unless_it_may_have_been_done() {
    let front = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", front.local_addr().unwrap());
    let stage = Stage::of(FleetKind::Swarm, None, url.clone());
    tokio::spawn(forwarder::serve(Arc::clone(&stage.world), front).unwrap());
    // Before a published port something takes every connection, and closes it where it finds nobody.
    let port = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let closing = port.local_addr().unwrap().to_string();
    tokio::spawn(async move { while port.accept().await.is_ok() {} });
    let working = instance(StatusCode::OK).await;
    for (starting, address) in stage.instances.iter().zip([working, closing]) {
        stage.world.reached_at(&starting.id, &address);
        stage.world.see(&starting.id, InstanceState::Ready, None);
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let told = async |method: reqwest::Method| {
        let (first, second) = (client.request(method.clone(), &url).send(), client.request(method, &url).send());
        [first.await.unwrap().status(), second.await.unwrap().status()]
    };
    assert_eq!(told(reqwest::Method::GET).await, [StatusCode::OK; 2]);
    assert!(told(reqwest::Method::POST).await.contains(&StatusCode::BAD_GATEWAY));
}

#[tokio::test]
async fn what_has_no_process_cannot_be_killed_and_nothing_takes_a_body_that_it_does_not_know() {
    let mut stage = Stage::with(None, String::new());
    let gone = stage.instances.remove(1);
    drop(gone.orders);
    let kill = async |name: &str| stage.client.post("/happen/kill", &json!({ "instance": name })).await.unwrap().status;
    assert_eq!(kill("api-1").await, StatusCode::OK);
    assert_eq!(kill("api-2").await, StatusCode::NOT_FOUND);
    assert_eq!(kill("api-9").await, StatusCode::NOT_FOUND);
    let odd = stage.client.post("/happen/load", &json!({ "rate": 1.0, "burst": 3 })).await.unwrap();
    assert_eq!(odd.status, StatusCode::UNPROCESSABLE_ENTITY);
    let negative = stage.client.post("/happen/load", &json!({ "rate": -1.0 })).await.unwrap();
    assert_eq!(negative.status, StatusCode::UNPROCESSABLE_ENTITY);
}
