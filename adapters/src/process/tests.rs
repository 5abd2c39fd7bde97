//! The adapters against a double of the world on a real Unix socket.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use scalebot_commands::ports::{Chain as _, Fleet as _, HaltSource as _, Pool as _, Traffic as _};
use scalebot_commands::ports::{Headroom, OrderAnswer, PoolBudget, Precondition, Routed};
use scalebot_commands::units::{InstanceId, Replicas};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::*;

/// What the double answers to each path, and what it was asked.
#[derive(Default)]
struct Script {
    answers: Vec<(&'static str, StatusCode, Value)>,
    asked: Mutex<Vec<(Method, String, String)>>,
}

/// A double that holds the lock and listens, as a living world does.
struct Double {
    directory: TempDir,
    held: File,
    script: Arc<Script>,
    server: JoinHandle<std::io::Result<()>>,
}

async fn answer(State(script): State<Arc<Script>>, method: Method, uri: Uri, body: Bytes) -> Response {
    script.asked.lock().unwrap().push((method, uri.to_string(), String::from_utf8_lossy(&body).into_owned()));
    match script.answers.iter().find(|(path, ..)| *path == uri.path()) {
        Some((_, status, body)) => (*status, Json(body.clone())).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Double {
    fn living(answers: Vec<(&'static str, StatusCode, Value)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let held = File::create(directory.path().join("world.lock")).unwrap();
        held.try_lock().unwrap();
        let script = Arc::new(Script { answers, asked: Mutex::default() });
        let listener = UnixListener::bind(directory.path().join("world.sock")).unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { directory, held, script, server }
    }

    fn saying(path: &'static str, body: Value) -> Self {
        Self::living(vec![(path, StatusCode::OK, body)])
    }

    fn client(&self) -> WorldClient {
        let path = self.directory.path();
        WorldClient::new(&path.join("world.sock"), &path.join("world.lock"), Duration::from_secs(5)).unwrap()
    }

    /// Stops answering, as a world that is killed does; its lock is given back by the system.
    async fn killed(self) -> TempDir {
        self.server.abort();
        let _ = self.server.await;
        drop(self.held);
        self.directory
    }
}

fn order() -> wire::Scale {
    wire::Scale {
        identity: "boot-1".to_owned(),
        from: Replicas(4),
        to: Replicas(6),
        version: "1.8".to_owned(),
        operation: scalebot_commands::units::OperationId::new("op-1"),
    }
}

/// What the adapter makes of the world's answer to an order. The port's own method needs a fence, which only the
/// journal can make; this is all that it does besides building the order.
async fn ordered(status: StatusCode, body: Value) -> Result<OrderAnswer, PortError> {
    let double = Double::living(vec![("/fleet/scale", status, body)]);
    let fleet = ProcessFleet::new(&double.client());
    let answer = fleet.order(&order()).await;
    let asked = double.script.asked.lock().unwrap();
    let [(method, path, sent)] = asked.as_slice() else { panic!("asked {} times", asked.len()) };
    assert_eq!((method, path.as_str()), (&Method::POST, "/fleet/scale"));
    assert_eq!(serde_json::from_str::<wire::Scale>(sent).unwrap(), order());
    answer
}

#[tokio::test]
async fn the_fleet_is_read_as_the_world_tells_it() {
    let double = Double::saying(
        "/fleet",
        json!({
            "identity": "boot-1", "wanted": 2, "generation": 3, "version": "3.9", "changed_by": "op-1",
            "changed_at": "2026-01-08T03:00:00Z",
            "instances": [{
                "id": "api-1", "address": "127.0.0.1:9001", "started_at": "2026-01-08T02:00:00Z",
                "state": "not_ready", "detail": "redis (down)", "restarts": 0,
            }],
        }),
    );
    let fleet = ProcessFleet::new(&double.client());
    let state = fleet.observe().await.unwrap();
    assert_eq!((state.wanted, state.generation, state.version.as_str()), (Replicas(2), 3, "3.9"));
    assert_eq!(state.changed_by.as_deref(), Some("op-1"));
    assert_eq!(state.instances[0].detail.as_deref(), Some("redis (down)"));
    assert_eq!(state.ready(), Replicas(0));
    assert_eq!(fleet.precondition(), Precondition::Enforced);
    assert_eq!(fleet.steered_by().await, Ok(Vec::new()));
}

#[tokio::test]
async fn an_order_is_done_declined_or_not_known_and_never_mistaken_for_another() {
    let said = |result: &str| json!({ "result": result, "detail": "words" });
    assert_eq!(ordered(StatusCode::OK, said("done")).await, Ok(OrderAnswer::Done));
    assert_eq!(
        ordered(StatusCode::CONFLICT, said("conflict")).await,
        Ok(OrderAnswer::Conflict { detail: "words".to_owned() })
    );
    assert_eq!(
        ordered(StatusCode::UNPROCESSABLE_ENTITY, said("refused")).await,
        Ok(OrderAnswer::Refused { detail: "words".to_owned() })
    );
    for (status, body) in [
        (StatusCode::OK, said("conflict")),
        (StatusCode::OK, json!({})),
        (StatusCode::CONFLICT, said("done")),
        (StatusCode::CONFLICT, json!("conflict")),
        (StatusCode::UNAUTHORIZED, said("refused")),
        (StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": "missing field" })),
        (StatusCode::INTERNAL_SERVER_ERROR, said("done")),
        (StatusCode::BAD_GATEWAY, json!(null)),
    ] {
        let unknown = ordered(status, body.clone()).await;
        assert!(matches!(unknown, Err(PortError::Unreadable { .. })), "{status} {body}: {unknown:?}");
    }
}

#[tokio::test]
async fn an_order_to_end_names_who_and_is_answered_as_one_to_scale() {
    let order = wire::Remove {
        identity: "boot-1".to_owned(),
        from: Replicas(4),
        to: Replicas(2),
        version: "1.8".to_owned(),
        instances: vec![InstanceId::new("api-2"), InstanceId::new("api-4")],
        operation: scalebot_commands::units::OperationId::new("op-1"),
    };
    let said = |result: &str| json!({ "result": result, "detail": "words" });
    for (status, body, wanted) in [
        (StatusCode::OK, said("done"), Some(OrderAnswer::Done)),
        (StatusCode::CONFLICT, said("conflict"), Some(OrderAnswer::Conflict { detail: "words".to_owned() })),
        (StatusCode::UNPROCESSABLE_ENTITY, said("refused"), Some(OrderAnswer::Refused { detail: "words".to_owned() })),
        (StatusCode::OK, said("refused"), None),
        (StatusCode::NOT_FOUND, json!({}), None),
        (StatusCode::INTERNAL_SERVER_ERROR, said("done"), None),
    ] {
        let double = Double::living(vec![("/fleet/remove", status, body)]);
        let answer = ProcessFleet::new(&double.client()).order_end(&order).await;
        match &wanted {
            Some(wanted) => assert_eq!(answer.as_ref(), Ok(wanted)),
            None => assert!(matches!(answer, Err(PortError::Unreadable { .. })), "{status}: {answer:?}"),
        }
        let asked = double.script.asked.lock().unwrap();
        let [(method, path, sent)] = asked.as_slice() else { panic!("asked {} times", asked.len()) };
        assert_eq!((method, path.as_str()), (&Method::POST, "/fleet/remove"));
        assert_eq!(serde_json::from_str::<wire::Remove>(sent).unwrap(), order);
    }
}

#[tokio::test]
async fn a_log_is_asked_for_by_its_instance_and_bounded() {
    let double = Double::saying("/fleet/logs/api-1", json!({ "text": "INFO ready\n" }));
    let fleet = ProcessFleet::new(&double.client());
    assert_eq!(fleet.logs(&InstanceId::new("api-1"), 4_096).await.as_deref(), Ok("INFO ready\n"));
    assert_eq!(double.script.asked.lock().unwrap()[0].1, "/fleet/logs/api-1?most=4096");
    let absent = fleet.logs(&InstanceId::new("../../world"), 10).await;
    assert!(matches!(absent, Err(PortError::NotServed { .. })), "{absent:?}");
    assert_eq!(double.script.asked.lock().unwrap()[1].1, "/fleet/logs/..%2F..%2Fworld?most=10");
    let nobody = fleet.logs(&InstanceId::new(".."), 10).await;
    assert!(matches!(nobody, Err(PortError::NotServed { .. })), "{nobody:?}");
    assert_eq!(double.script.asked.lock().unwrap().len(), 2, "it is not even asked");
}

#[tokio::test]
async fn an_answer_that_is_lost_on_the_way_is_not_known() {
    let directory = tempfile::tempdir().unwrap();
    let (socket, lock) = (directory.path().join("world.sock"), directory.path().join("world.lock"));
    let held = File::create(&lock).unwrap();
    held.try_lock().unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    // Reads the order and hangs up, as a world does that carries it out and is killed.
    let world = tokio::spawn(async move {
        use tokio::io::AsyncReadExt as _;
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut heard = [0; 4096];
        connection.read(&mut heard).await.unwrap()
    });
    let fleet = ProcessFleet::new(&WorldClient::new(&socket, &lock, Duration::from_secs(5)).unwrap());
    let lost = fleet.order(&order()).await;
    assert!(world.await.unwrap() > 0);
    assert!(matches!(lost, Err(PortError::Unreachable { .. })), "{lost:?}");
}

#[tokio::test]
async fn a_world_that_was_killed_is_gone_and_one_that_only_does_not_answer_is_not() {
    let double = Double::saying("/fleet/room", json!({ "free": 2, "limit": "memory" }));
    let client = double.client();
    let fleet = ProcessFleet::new(&client);
    assert!(fleet.headroom(Replicas(1)).await.is_ok());

    let directory = double.killed().await;
    let gone = fleet.headroom(Replicas(1)).await.unwrap_err();
    assert!(matches!(gone, PortError::Gone { .. }), "{gone:?}");
    assert!(gone.to_string().starts_with("the rehearsal's world no longer exists"), "{gone}");
    // The same from every part of it, and when the files are gone as well.
    let halt = HaltTable::new(&client).read().await.unwrap_err();
    assert!(matches!(halt, PortError::Gone { .. }), "{halt:?}");
    std::fs::remove_file(directory.path().join("world.sock")).unwrap();
    std::fs::remove_file(directory.path().join("world.lock")).unwrap();
    assert!(matches!(fleet.observe().await, Err(PortError::Gone { .. })));

    let next = File::create(directory.path().join("world.lock")).unwrap();
    next.try_lock().unwrap();
    let beginning = fleet.observe().await.unwrap_err();
    assert!(beginning.may_pass(), "{beginning:?}");
}

#[tokio::test]
async fn room_is_never_told_beyond_what_was_asked_and_what_runs_out_only_when_it_does() {
    let double = Double::saying("/fleet/room", json!({ "free": 2, "limit": "room for 6" }));
    let fleet = ProcessFleet::new(&double.client());
    let source = "the rehearsal's world".to_owned();
    assert_eq!(
        fleet.headroom(Replicas(2)).await,
        Ok(Headroom { fits: Replicas(2), runs_out: None, source: source.clone() })
    );
    assert_eq!(
        fleet.headroom(Replicas(3)).await,
        Ok(Headroom { fits: Replicas(2), runs_out: Some("room for 6".to_owned()), source })
    );
}

#[tokio::test]
async fn the_declared_count_comes_with_its_line_or_not_at_all() {
    let file = |text: &str| json!({ "path": "/state/fleet.toml", "text": text });
    let double = Double::saying("/fleet/declared", file("# written once\ninstances = 4\n"));
    let declared = ProcessFleet::new(&double.client()).declared().await.unwrap().unwrap();
    assert_eq!((declared.count, declared.line.as_str()), (Replicas(4), "instances = 4"));
    assert_eq!(declared.place, "/state/fleet.toml, line 2");

    let double = Double::saying("/fleet/declared", file("instances = many\n"));
    let error = ProcessFleet::new(&double.client()).declared().await.unwrap_err();
    assert!(error.to_string().contains("/state/fleet.toml") && error.to_string().contains("line 1"), "{error}");

    let absent = ProcessFleet::new(&Double::living(Vec::new()).client()).declared().await;
    assert!(matches!(absent, Err(PortError::NotServed { .. })), "{absent:?}");
}

#[tokio::test]
async fn the_forwarder_tells_who_gets_requests_and_how_many() {
    let double = Double::saying(
        "/traffic",
        json!([{
            "instance": "api-1", "receives": true, "drained": false, "requests": 41, "in_flight": 2,
        }]),
    );
    let routed = ForwarderTraffic::new(&double.client()).routed().await;
    assert_eq!(
        routed,
        Ok(vec![Routed {
            instance: InstanceId::new("api-1"),
            receives: true,
            drained: false,
            requests: Some(41),
            in_flight: Some(2),
        }])
    );
}

#[tokio::test]
async fn each_source_of_the_halt_has_its_own_word() {
    let table = |rows: Value| Double::saying("/store/halt-table", json!({ "rows": rows }));
    let over = table(json!([{
        "id": 1, "is_halted": false, "halted_at": "2026-01-08T01:00:00Z", "cleared_at": "2026-01-08T02:00:00Z",
    }]));
    let source = HaltTable::new(&over.client());
    let reading = source.read().await.unwrap();
    assert_eq!((source.name().as_str(), reading.halted, reading.since), ("halt table", false, None));
    assert_eq!(reading.cleared_at, Some("2026-01-08T02:00:00Z".parse().unwrap()));
    for unknown in [json!([]), json!([{ "id": 1, "is_halted": null }]), json!([{ "id": 1 }]), json!("none")] {
        let error = HaltTable::new(&table(unknown).client()).read().await.unwrap_err();
        assert!(matches!(error, PortError::Unreadable { .. }), "{error:?}");
    }
    let down =
        Double::living(vec![("/store/halt-table", StatusCode::SERVICE_UNAVAILABLE, json!({ "detail": "down" }))]);
    let error = HaltTable::new(&down.client()).read().await.unwrap_err();
    assert!(error.to_string().starts_with("halt table answered something unexpected"), "{error}");

    let signals = |entries: Value| Double::saying("/store/halt-signals", json!({ "entries": entries }));
    let entry = |timestamp: &str| {
        json!({
            "id": "1-0", "reason": "consensus_failure", "crisis_event_id": "e", "timestamp": timestamp,
            "source_service": "api",
        })
    };
    let two = signals(json!([entry("2026-01-08T02:00:00Z"), entry("2026-01-08T02:30:00Z")]));
    let source = HaltSignalStream::new(&two.client());
    let reading = source.read().await.unwrap();
    assert_eq!((source.name().as_str(), reading.halted), ("halt signals", true));
    assert_eq!(reading.since, Some("2026-01-08T02:00:00Z".parse().unwrap()));
    assert_eq!(reading.reason.as_deref(), Some("consensus_failure"));
    // A halt whose time cannot be read is a halt.
    let odd = HaltSignalStream::new(&signals(json!([entry("yesterday")])).client()).read().await.unwrap();
    assert_eq!((odd.halted, odd.since), (true, None));
    let none = HaltSignalStream::new(&signals(json!([])).client()).read().await.unwrap();
    assert_eq!((none.halted, none.since, none.reason), (false, None, None));
}

#[tokio::test]
async fn the_chain_and_the_budgets_are_read_as_they_are() {
    let budget = json!({ "limit": 100, "reserved": 3, "others": 7, "per_instance": 15 });
    let double = Double::living(vec![
        ("/store/chain/head", StatusCode::OK, json!({ "head": 20 })),
        ("/store/database", StatusCode::OK, budget.clone()),
        ("/store/redis", StatusCode::OK, json!({ "limit": -1 })),
    ]);
    let client = double.client();
    assert_eq!(EventChain::new(&client).head().await, Ok(Some(20)));
    let empty = Double::saying("/store/chain/head", json!({ "head": null }));
    assert_eq!(EventChain::new(&empty.client()).head().await, Ok(None));

    let database = ConnectionPool::database(&client);
    let wanted = PoolBudget { limit: 100, reserved: 3, others: 7, per_instance: 15, surge: 0, limit_of: None };
    assert_eq!((database.name().as_str(), database.budget().await), ("database connections", Ok(wanted)));
    let redis = ConnectionPool::redis(&client);
    assert_eq!(redis.name(), "Redis connections");
    assert!(matches!(redis.budget().await, Err(PortError::Unreadable { .. })));
}
