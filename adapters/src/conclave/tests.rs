use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Path;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use scalebot_commands::ports::ComplexityBudget;
use scalebot_commands::ports::{Governance, HaltOrder, InstanceState, OrderAnswer};
use scalebot_commands::units::OperationId;
use serde_json::json;

use super::*;
use crate::http::testing::{Crew, ManualWorld, Server, epoch, instance, nobody};

/// Longer than any answer here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

fn conclave_with(config: Config) -> (Arc<ManualWorld>, Conclave) {
    let world = Arc::new(ManualWorld::new());
    (world.clone(), Conclave::new(world, LIMIT, config).unwrap())
}

fn conclave() -> Conclave {
    conclave_with(Config::default()).1
}

/// An instance that answers this on one path, and 404 on every other as the backend does.
async fn answering(path: &str, status: u16, body: Value) -> (Server, Instance) {
    let status = StatusCode::from_u16(status).unwrap();
    speaking(path, move || (status, Json(body.clone())).into_response()).await
}

async fn speaking(path: &str, answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> (Server, Instance) {
    let router = Router::new()
        .route(path, get(async move || answer()))
        .fallback(async || (StatusCode::NOT_FOUND, Json(json!({"detail": "Not Found"}))));
    let server = Server::start(router).await;
    let instance = instance("api-1", &server.address());
    (server, instance)
}

fn kind<T>(answer: Result<T, PortError>) -> &'static str {
    match answer.err() {
        None => "an answer",
        Some(PortError::Unreachable { .. }) => "unreachable",
        Some(PortError::TimedOut { .. }) => "timed out",
        Some(PortError::Refused { .. }) => "refused",
        Some(PortError::Unreadable { .. }) => "unreadable",
        Some(PortError::NotServed { .. }) => "not served",
        Some(PortError::Gone { .. }) => "gone",
    }
}

/// What each question comes to, in the order of the port.
async fn all_kinds(conclave: &Conclave, instance: &Instance) -> [&'static str; 6] {
    [
        kind(conclave.healthy(instance).await),
        kind(conclave.ready(instance).await),
        kind(conclave.halt(instance).await),
        kind(conclave.link(instance, 7).await),
        kind(conclave.warnings(instance).await),
        kind(ConclaveGovernance::new(conclave.clone(), Arc::new(Crew::of([instance.clone()]))).complexity().await),
    ]
}

#[tokio::test]
async fn what_is_not_served_not_answered_or_not_understood_is_never_an_answer() {
    let conclave = conclave();
    let (_server, nothing_served) = answering("/elsewhere", 200, json!({})).await;
    assert_eq!(all_kinds(&conclave, &nothing_served).await, ["not served"; 6]);

    let silent = Server::silent().await;
    let hasty = Conclave::new(Arc::new(ManualWorld::new()), Duration::from_millis(100), Config::default()).unwrap();
    assert_eq!(all_kinds(&hasty, &instance("hangs", &silent.address())).await, ["timed out"; 6]);
    assert_eq!(all_kinds(&conclave, &instance("gone", &nobody().await)).await, ["unreachable"; 6]);

    let half = Server::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"is_halted\":false").await;
    assert_eq!(all_kinds(&conclave, &instance("half", &half.address())).await, ["unreachable"; 6]);

    for (name, router) in [
        ("redirects", Router::new().fallback(async || Redirect::temporary("/v1/health"))),
        ("is busy", Router::new().fallback(async || (StatusCode::TOO_MANY_REQUESTS, "{}"))),
        ("is huge", Router::new().fallback(async || vec![b' '; crate::http::MAX_BODY + 1])),
    ] {
        let server = Server::start(router).await;
        assert_eq!(all_kinds(&conclave, &instance(name, &server.address())).await, ["unreadable"; 6], "{name}");
    }
    let server = Server::start(Router::new().fallback(async || StatusCode::FORBIDDEN)).await;
    assert_eq!(all_kinds(&conclave, &instance("forbids", &server.address())).await, ["refused"; 6]);

    // A proxy's page with status 200: an instance that is up says no more than that, but nothing else is believed.
    let server = Server::start(Router::new().fallback(async || "<html>Welcome</html>")).await;
    let mut wanted = ["unreadable"; 6];
    wanted[0] = "an answer";
    assert_eq!(all_kinds(&conclave, &instance("page", &server.address())).await, wanted);

    let mut without_address = nothing_served.clone();
    without_address.address = None;
    assert_eq!(all_kinds(&conclave, &without_address).await, ["unreachable"; 6]);
}

#[tokio::test]
async fn an_instance_is_healthy_on_200_and_nothing_else() {
    for (status, wanted) in [(200, Some(true)), (500, Some(false)), (503, Some(false)), (204, None), (302, None)] {
        let (_server, instance) = answering("/v1/health", status, json!({"status": "healthy"})).await;
        assert_eq!(conclave().healthy(&instance).await.ok(), wanted, "{status}");
    }
}

fn readiness(status: &str, database: bool) -> Value {
    json!({
        "status": status,
        "checks": {
            "database": {"name": "database", "healthy": database, "latency_ms": 1.5, "error": (!database).then_some("refused")},
            "redis": {"name": "redis", "healthy": true, "latency_ms": 0.3, "error": null},
        },
        "health_type": "operational",
    })
}

#[tokio::test]
async fn readiness_is_the_status_and_the_word_together_with_each_named_check() {
    for (status, body, ready, database) in [
        (200, readiness("ready", true), true, true),
        (503, readiness("not-ready", false), false, false),
        (200, readiness("not-ready", false), false, false),
        (503, readiness("ready", true), false, true),
    ] {
        let (_server, instance) = answering("/v1/ready", status, body).await;
        let found = conclave().ready(&instance).await.unwrap();
        assert_eq!(found.ready, ready);
        let error = (!database).then(|| "refused".to_owned());
        assert_eq!(found.checks[0], NamedCheck { name: "database".into(), healthy: database, error });
        assert_eq!(found.checks[1], NamedCheck { name: "redis".into(), healthy: true, error: None });
    }
}

#[tokio::test]
async fn readiness_that_cannot_be_read_in_full_is_an_error() {
    let mut unhealthy = readiness("ready", true);
    unhealthy["checks"]["redis"]["healthy"] = json!("yes");
    let mut silent = readiness("ready", true);
    silent["checks"]["redis"] = json!({"name": "redis"});
    for (status, body) in [
        (503, json!("Service Unavailable")),
        (200, json!({"checks": {}})),
        (200, json!({"status": true, "checks": {}})),
        (200, json!({"status": "ready"})),
        (200, json!({"status": "ready", "checks": []})),
        (200, unhealthy),
        (200, silent),
        (500, readiness("ready", true)),
    ] {
        let (_server, instance) = answering("/v1/ready", status, body.clone()).await;
        assert_eq!(kind(conclave().ready(&instance).await), "unreadable", "{status} {body}");
    }
}

#[tokio::test]
async fn the_halt_is_what_the_instance_says_to_the_letter() {
    let path = "/v1/governance/halt/status";
    let halted = json!({"is_halted": true, "halted_at": "2026-01-08T03:00:00+00:00Z", "reason": "operator",
        "message": "fork seen", "operator_id": null});
    let (_server, instance) = answering(path, 200, halted).await;
    let found = conclave().halt(&instance).await.unwrap();
    let reason = Some("operator: fork seen".into());
    assert_eq!(found, HaltReading { halted: true, since: Some(epoch()), reason, cleared_at: None });

    let not = json!({"is_halted": false, "halted_at": null, "reason": null, "message": null, "operator_id": null});
    let (_server, instance) = answering(path, 200, not).await;
    let found = conclave().halt(&instance).await.unwrap();
    assert_eq!(found, HaltReading { halted: false, since: None, reason: None, cleared_at: None });

    for body in [
        json!({}),
        json!([]),
        json!({"is_halted": null}),
        json!({"is_halted": "false"}),
        json!({"is_halted": 0}),
        json!({"halted": false}),
        json!({"is_halted": false, "halted_at": "2026-01-08T03:00:00"}),
        json!({"is_halted": false, "halted_at": 1_767_841_200}),
        json!({"is_halted": false, "reason": 7}),
    ] {
        let (_server, instance) = answering(path, 200, body.clone()).await;
        assert_eq!(kind(conclave().halt(&instance).await), "unreadable", "{body}");
    }
    let (_server, instance) = answering(path, 500, json!({"is_halted": false})).await;
    assert_eq!(kind(conclave().halt(&instance).await), "unreadable");
}

#[tokio::test]
async fn paths_and_names_are_configuration() {
    let mut config = Config::default();
    config.paths.halt = "/freeze".into();
    config.fields.halted = "/state/frozen".into();
    config.fields.halt_cleared_at = Some("thawed".into());
    let (_server, instance) =
        answering("/freeze", 200, json!({"state": {"frozen": true}, "thawed": "2026-01-08T03:00:00Z"})).await;
    let found = conclave_with(config).1.halt(&instance).await.unwrap();
    assert!(found.halted);
    assert_eq!(found.cleared_at, Some(epoch()));

    let read: Config =
        serde_json::from_value(json!({"paths": {"ready": "/ready"}, "keys": {"readiness_check": "hsm"}})).unwrap();
    assert_eq!(read.paths, Paths { ready: "/ready".into(), ..Paths::default() });
    assert_eq!(read.keys, KeyProbe::ReadinessCheck("hsm".into()));
    assert!(serde_json::from_value::<Config>(json!({"paths": {"redy": "/ready"}})).is_err());
}

const EVENT: &str = "/v1/observer/events/sequence/{n}";

/// An instance with that event 7, and none after.
async fn chained(event: Value) -> (Server, Instance) {
    let router = Router::new().route(
        EVENT,
        get(async move |Path(number): Path<u64>| {
            let detail = format!("Event with sequence {number} not found");
            if number == 7 {
                Json(event.clone()).into_response()
            } else {
                (StatusCode::NOT_FOUND, Json(json!({"detail": detail}))).into_response()
            }
        }),
    );
    let server = Server::start(router).await;
    let instance = instance("api-1", &server.address());
    (server, instance)
}

#[tokio::test]
async fn an_event_is_its_hashes_and_one_that_is_not_there_is_none() {
    let event = json!({"sequence": 7, "content_hash": "aa", "prev_hash": "bb", "local_timestamp": "2026-01-08T03:00:00+00:00Z"});
    let (_server, instance) = chained(event).await;
    let conclave = conclave();
    let link = ChainLink { content_hash: "aa".into(), prev_hash: "bb".into() };
    assert_eq!(conclave.link(&instance, 7).await, Ok(Some(link)));
    assert_eq!(conclave.link(&instance, 8).await, Ok(None));
    assert_eq!(conclave.link(&instance, 404).await, Ok(None));
}

#[tokio::test]
async fn a_404_that_does_not_say_that_the_event_is_absent_is_a_path_that_is_not_served() {
    for body in [
        json!({"detail": "Not Found"}),
        json!({"detail": "Event with sequence 70 not found"}),
        json!({"detail": {"status": 404, "sequence": 7}}),
        json!("404 page not found 7"),
    ] {
        let (_server, instance) = answering(EVENT, 404, body.clone()).await;
        assert_eq!(kind(conclave().link(&instance, 7).await), "not served", "{body}");
    }
}

#[tokio::test]
async fn an_event_that_is_another_or_has_no_hashes_is_no_event() {
    for event in [
        json!({"sequence": 6, "content_hash": "aa", "prev_hash": "bb"}),
        json!({"sequence": "7", "content_hash": "aa", "prev_hash": "bb"}),
        json!({"content_hash": "aa", "prev_hash": "bb"}),
        json!({"sequence": 7, "content_hash": "", "prev_hash": "bb"}),
        json!({"sequence": 7, "content_hash": "aa", "prev_hash": null}),
        json!({"sequence": 7, "content_hash": "aa"}),
        json!({"sequence": 7, "content_hash": "a".repeat(300), "prev_hash": "bb"}),
        json!({"sequence": 7, "content_hash": "a\u{202e}a", "prev_hash": "bb"}),
    ] {
        let (_server, instance) = chained(event.clone()).await;
        assert_eq!(kind(conclave().link(&instance, 7).await), "unreadable", "{event}");
    }
}

#[tokio::test]
async fn an_instance_that_says_429_is_left_alone_for_as_long_as_it_says() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let (_server, instance) = speaking(EVENT, move || {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "40")], "slow down").into_response()
        } else {
            Json(json!({"sequence": 7, "content_hash": "aa", "prev_hash": "bb"})).into_response()
        }
    })
    .await;
    let (world, conclave) = conclave_with(Config::default());
    let first = conclave.link(&instance, 7).await.unwrap_err();
    assert!(first.to_string().contains("ask again in 40 s"), "{first}");
    world.advance(Duration::from_secs(30));
    let second = conclave.link(&instance, 7).await.unwrap_err();
    assert!(second.to_string().contains("ask again in 10 s"), "{second}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it is not asked before");
    world.advance(Duration::from_secs(10));
    assert!(conclave.link(&instance, 7).await.unwrap().is_some());
}

#[tokio::test]
async fn clones_share_one_budget_and_other_questions_do_not_draw_on_it() {
    let event = json!({"sequence": 7, "content_hash": "aa", "prev_hash": "bb"});
    let (_server, instance) = chained(event).await;
    let (_, conclave) = conclave_with(Config { observer_requests_per_minute: 2, ..Config::default() });
    for _ in 0..5 {
        assert_eq!(kind(conclave.halt(&instance).await), "not served");
    }
    assert!(conclave.link(&instance, 7).await.is_ok());
    assert!(conclave.clone().link(&instance, 7).await.is_ok());
    assert_eq!(kind(conclave.link(&instance, 7).await), "unreadable");
}

#[tokio::test]
async fn keys_are_asked_about_only_as_configured_and_pass_only_when_the_instance_says_so() {
    let keys = |keys| conclave_with(Config { keys, ..Config::default() }).1;
    let (_server, ready) = answering("/v1/ready", 200, readiness("ready", false)).await;
    assert_eq!(keys(KeyProbe::None).keys(&ready).await, Ok(None));
    let check = |name: &str| KeyProbe::ReadinessCheck(name.into());
    assert!(keys(check("redis")).keys(&ready).await.unwrap().unwrap().healthy);
    assert!(!keys(check("database")).keys(&ready).await.unwrap().unwrap().healthy);
    assert_eq!(kind(keys(check("hsm")).keys(&ready).await), "not served");

    for (status, body, wanted) in [
        (200, json!({"keys": {"ok": true}}), Ok(true)),
        (200, json!({"keys": {"ok": false}}), Ok(false)),
        (503, json!({"keys": {"ok": true}}), Ok(false)),
        (200, json!({"keys": {"ok": "true"}}), Err("unreadable")),
        (200, json!({"keys": {}}), Err("unreadable")),
        (404, json!({"keys": {"ok": true}}), Err("not served")),
        (500, json!({"keys": {"ok": true}}), Err("unreadable")),
    ] {
        let (_server, instance) = answering("/hsm", status, body.clone()).await;
        let answer = keys(KeyProbe::Path { path: "/hsm".into(), field: "/keys/ok".into() }).keys(&instance).await;
        match answer {
            Ok(check) => assert_eq!(check.map(|check| check.healthy), wanted.ok(), "{status} {body}"),
            error => assert_eq!(Err(kind(error)), wanted, "{status} {body}"),
        }
    }
}

fn warning(acknowledged: bool) -> Value {
    json!({"warning_id": "w", "mode_id": "VAL-1", "metric_name": "queue_depth", "current_value": 91, "threshold": 90.0,
        "threshold_type": "critical", "recommended_action": "drain it", "timestamp": "x", "is_acknowledged": acknowledged})
}

#[tokio::test]
async fn early_warnings_are_those_that_nobody_acknowledged() {
    let path = "/v1/failure-prevention/warnings";
    let (_server, instance) = answering(path, 200, json!([warning(true), warning(false)])).await;
    let wanted = EarlyWarning {
        mode: "VAL-1".into(),
        metric: "queue_depth".into(),
        value: 91.0,
        threshold: 90.0,
        critical: true,
        recommended: "drain it".into(),
    };
    assert_eq!(conclave().warnings(&instance).await, Ok(vec![wanted]));

    let (_server, instance) = answering(path, 200, json!([])).await;
    assert_eq!(conclave().warnings(&instance).await, Ok(vec![]));

    for field in [
        "mode_id",
        "metric_name",
        "current_value",
        "threshold",
        "threshold_type",
        "recommended_action",
        "is_acknowledged",
    ] {
        for wrong in [None, Some(json!(["x"]))] {
            let mut body = warning(false);
            match wrong {
                Some(value) => body[field] = value,
                None => _ = body.as_object_mut().unwrap().remove(field),
            }
            let (_server, instance) = answering(path, 200, json!([body])).await;
            assert_eq!(kind(conclave().warnings(&instance).await), "unreadable", "{body}");
        }
    }
    for (status, body, wanted) in [
        (200, json!({"warnings": []}), "unreadable"),
        (200, json!(vec![warning(true); MOST + 1]), "unreadable"),
        (503, json!({"detail": "Failure prevention service not configured"}), "not served"),
        (503, json!({"detail": "System halted"}), "unreadable"),
    ] {
        let (_server, instance) = answering(path, status, body).await;
        assert_eq!(kind(conclave().warnings(&instance).await), wanted);
    }
}

fn dashboard() -> Value {
    json!({"adr_count": 12, "adr_limit": 15, "adr_utilization": 80.0, "adr_status": "warning",
        "ceremony_types": 3, "ceremony_type_limit": 10, "cross_component_deps": 21, "cross_component_dep_limit": 20,
        "overall_status": "breached", "active_breaches": 1, "pending_escalations": 0, "last_updated": "x"})
}

async fn complexity(instances: impl IntoIterator<Item = Instance>) -> Result<ComplexityBudget, PortError> {
    ConclaveGovernance::new(conclave(), Arc::new(Crew::of(instances))).complexity().await
}

const DASHBOARD: &str = "/v1/complexity/dashboard";

#[tokio::test]
async fn the_complexity_budget_is_three_dimensions_and_the_backends_conclusion() {
    let (_server, instance) = answering(DASHBOARD, 200, dashboard()).await;
    let found = complexity([instance]).await.unwrap();
    let figures: Vec<_> = found.dimensions.iter().map(|one| (one.name.as_str(), one.used, one.limit)).collect();
    assert_eq!(figures, [("ADRs", 12, 15), ("ceremony types", 3, 10), ("cross-component dependencies", 21, 20)]);
    assert_eq!(found.overall, "breached");
}

#[tokio::test]
async fn a_complexity_figure_that_is_missing_or_no_count_is_not_guessed() {
    for field in [
        "adr_count",
        "adr_limit",
        "ceremony_types",
        "ceremony_type_limit",
        "cross_component_deps",
        "cross_component_dep_limit",
    ] {
        for wrong in
            [None, Some(json!(-1)), Some(json!(1.5)), Some(json!("3")), Some(json!(null)), Some(json!(1_u64 << 40))]
        {
            let mut body = dashboard();
            match wrong {
                Some(value) => body[field] = value,
                None => _ = body.as_object_mut().unwrap().remove(field),
            }
            let (_server, instance) = answering(DASHBOARD, 200, body.clone()).await;
            assert_eq!(kind(complexity([instance]).await), "unreadable", "{field}: {body}");
        }
    }
    let mut body = dashboard();
    body["overall_status"] = json!(null);
    let (_server, instance) = answering(DASHBOARD, 200, body).await;
    assert_eq!(kind(complexity([instance]).await), "unreadable");
}

#[tokio::test]
async fn any_ready_instance_may_answer_for_the_fleet() {
    let (_good, mut good) = answering(DASHBOARD, 200, dashboard()).await;
    let unset = json!({"detail": "Complexity budget service not configured"});
    let (_unset, unset) = answering(DASHBOARD, 503, unset).await;
    let (_broken, broken) = answering(DASHBOARD, 500, json!({})).await;
    let hung = Server::silent().await;
    let hung = instance("hung", &hung.address());
    let gone = instance("gone", &nobody().await);
    assert!(complexity([unset.clone(), broken.clone(), gone.clone(), hung, good.clone()]).await.is_ok());

    // "Not configured" only when every one of them says so.
    assert_eq!(kind(complexity([unset.clone(), unset.clone()]).await), "not served");
    assert_eq!(kind(complexity([unset.clone(), broken]).await), "unreadable");
    assert_eq!(kind(complexity([gone, unset]).await), "unreachable");

    good.state = InstanceState::Starting;
    assert_eq!(kind(complexity([good]).await), "unreachable");
    assert_eq!(kind(complexity([]).await), "unreachable");
    let crew = Crew::of([]);
    crew.becomes(Err(PortError::Gone { what: "the fleet".into(), detail: "deleted".into() }));
    assert_eq!(kind(ConclaveGovernance::new(conclave(), Arc::new(crew)).complexity().await), "gone");
}

fn telling_work() -> Conclave {
    let mut config = Config::default();
    config.paths.work = Some("/operations".into());
    conclave_with(config).1
}

#[tokio::test]
async fn what_an_instance_works_on_is_its_own_word_and_an_empty_list_is_one() {
    let operations = json!([
        {"what": "constitution export", "constitutional": false, "since": "2026-01-08T03:00:00+00:00Z"},
        {"what": "ratification", "constitutional": true, "since": null, "more": 1},
    ]);
    let (_server, instance) = answering("/operations", 200, operations).await;
    let wanted = vec![
        Work { what: "constitution export".into(), constitutional: false, since: Some(epoch()) },
        Work { what: "ratification".into(), constitutional: true, since: None },
    ];
    assert_eq!(telling_work().work(&instance).await, Ok(wanted));
    let (_server, idle) = answering("/operations", 200, json!([])).await;
    assert_eq!(telling_work().work(&idle).await, Ok(vec![]));
}

#[tokio::test]
async fn work_that_is_not_told_in_full_is_never_taken_for_none() {
    let good = json!({"what": "export", "constitutional": false, "since": null});
    for (status, body, wanted) in [
        (200, json!({"operations": []}), "unreadable"),
        (200, json!(null), "unreadable"),
        (200, json!([{"constitutional": false}]), "unreadable"),
        (200, json!([good.clone(), {"what": "export"}]), "unreadable"),
        (200, json!([{"what": "export", "constitutional": "no"}]), "unreadable"),
        (200, json!([{"what": "export", "constitutional": true, "since": "lately"}]), "unreadable"),
        (200, json!(vec![good; MOST + 1]), "unreadable"),
        (500, json!([]), "unreadable"),
        (403, json!([]), "refused"),
        (404, json!([]), "not served"),
    ] {
        let (_server, instance) = answering("/operations", status, body.clone()).await;
        assert_eq!(kind(telling_work().work(&instance).await), wanted, "{status} {body}");
    }
    // The shipped backend does not tell; asking it elsewhere would be a guess.
    let (_server, instance) = answering("/v1/operations", 200, json!([])).await;
    assert_eq!(kind(conclave().work(&instance).await), "not served");
}

/// The operator and the body of each call.
type Calls = Arc<Mutex<Vec<(Option<String>, Value)>>>;

/// An instance that takes orders to halt: what it was told, and what it answers.
struct Governed {
    instance: Instance,
    calls: Calls,
    _server: Server,
}

impl Governed {
    async fn answering(status: u16, body: Value) -> Self {
        let status = StatusCode::from_u16(status).unwrap();
        let calls = Calls::default();
        let heard = calls.clone();
        let trigger = async move |headers: HeaderMap, Json(call): Json<Value>| {
            let operator = headers.get("x-operator-id").map(|id| id.to_str().unwrap().to_owned());
            heard.lock().unwrap().push((operator, call));
            (status, Json(body))
        };
        let server = Server::start(Router::new().route("/v1/governance/halt", post(trigger))).await;
        Self { instance: instance("api-1", &server.address()), calls, _server: server }
    }

    fn heard(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

fn halted() -> Value {
    json!({"success": true, "halted_at": "2026-01-08T03:00:00Z", "execution_ms": 3.5, "channels_reached": 2})
}

const OPERATION: &str = "019ac3d0-0000-7000-8000-000000000001";

async fn order_halt(
    conclave: Conclave,
    operation: &str,
    instances: impl IntoIterator<Item = Instance>,
) -> Result<OrderAnswer, PortError> {
    let order = HaltOrder { message: "api-5 holds another chain".into(), operation: OperationId::new(operation) };
    ConclaveGovernance::new(conclave, Arc::new(Crew::of(instances))).order_halt(&order).await
}

async fn halting(instances: impl IntoIterator<Item = Instance>) -> Result<OrderAnswer, PortError> {
    order_halt(conclave(), OPERATION, instances).await
}

#[tokio::test]
async fn one_ready_instance_is_told_to_halt_the_system_and_no_other() {
    let (first, second) = (Governed::answering(200, halted()).await, Governed::answering(200, halted()).await);
    let mut starting = second.instance.clone();
    starting.state = InstanceState::Starting;
    let answer = halting([starting, first.instance.clone(), second.instance.clone()]).await;
    assert_eq!(answer, Ok(OrderAnswer::Done));
    let wanted = json!({"reason": "constitutional_breach", "message": "api-5 holds another chain"});
    assert_eq!(*first.calls.lock().unwrap(), [(Some(OPERATION.to_owned()), wanted)]);
    assert_eq!(second.heard(), 0);
}

#[tokio::test]
async fn who_halts_and_why_is_configuration_or_made_of_the_operation() {
    let governed = Governed::answering(200, halted()).await;
    let operators = async |config: Config, operation: &str| {
        let answer = order_halt(conclave_with(config).1, operation, [governed.instance.clone()]).await;
        assert_eq!(answer, Ok(OrderAnswer::Done));
        governed.calls.lock().unwrap().pop().unwrap()
    };
    let config: Config = serde_json::from_value(json!({"halt_call": {
        "operator_id": "019ac3d0-0000-7000-8000-00000000000f", "reason": "integrity_violation",
    }}))
    .unwrap();
    let (operator, call) = operators(config, OPERATION).await;
    assert_eq!(operator.as_deref(), Some("019ac3d0-0000-7000-8000-00000000000f"));
    assert_eq!(call["reason"], json!("integrity_violation"));
    assert!(serde_json::from_value::<Config>(json!({"halt_call": {"operator_id": "me"}})).is_err());

    let made = operators(Config::default(), "op-1").await.0.unwrap();
    assert!(uuid::Uuid::try_parse(&made).is_ok(), "{made}");
    assert_eq!(operators(Config::default(), "op-1").await.0.unwrap(), made);
    assert_ne!(operators(Config::default(), "op-2").await.0.unwrap(), made);
}

#[tokio::test]
async fn a_refusal_to_halt_is_said_in_the_backends_words_and_nobody_else_is_asked() {
    for (status, body, words) in [
        (400, json!({"detail": "already in ceremony"}), "already in ceremony (400 Bad Request)"),
        (401, json!({"detail": "X-Operator-Id missing"}), "X-Operator-Id missing (401 Unauthorized)"),
        (403, json!({}), "{} (403 Forbidden)"),
        (
            422,
            json!({"detail": [{"msg": "unknown reason"}]}),
            r#"[{"msg":"unknown reason"}] (422 Unprocessable Entity)"#,
        ),
    ] {
        let (refuses, other) = (Governed::answering(status, body).await, Governed::answering(200, halted()).await);
        let answer = halting([refuses.instance.clone(), other.instance.clone()]).await;
        assert_eq!(answer, Ok(OrderAnswer::Refused { detail: words.to_owned() }));
        assert_eq!(other.heard(), 0);
    }
}

#[tokio::test]
async fn where_the_order_cannot_have_been_heard_the_next_instance_is_told() {
    let governed = Governed::answering(200, halted()).await;
    let gone = instance("gone", &nobody().await);
    let mut without_address = gone.clone();
    without_address.address = None;
    let (_server, not_wired) = answering("/elsewhere", 200, json!({})).await;
    let unset = Governed::answering(503, json!({"detail": "Halt service not configured"})).await;
    let before = [gone.clone(), without_address, not_wired.clone(), unset.instance.clone()];
    assert_eq!(halting(before.into_iter().chain([governed.instance.clone()])).await, Ok(OrderAnswer::Done));
    assert_eq!(governed.heard(), 1);

    // And when nobody is left, that is an error: what may yet be reached before what is not served at all.
    assert_eq!(kind(halting([not_wired.clone(), gone]).await), "unreachable");
    assert_eq!(kind(halting([not_wired, unset.instance.clone()]).await), "not served");
    assert_eq!(kind(halting([]).await), "unreachable");
}

#[tokio::test]
async fn where_the_order_may_have_been_heard_what_happened_is_not_known_and_nobody_else_is_told() {
    let other = Governed::answering(200, halted()).await;
    let ask = async |first: Instance| kind(halting([first, other.instance.clone()]).await);
    for (status, body) in [
        (200, json!({"success": false})),
        (200, json!({"halted_at": "2026-01-08T03:00:00Z"})),
        (200, json!({"success": "true"})),
        (200, json!("halted")),
        (202, halted()),
        (302, halted()),
        (429, json!({})),
        (500, json!({"detail": "one channel reached"})),
        (503, json!({"detail": "database unavailable"})),
    ] {
        let odd = Governed::answering(status, body.clone()).await;
        assert_eq!(ask(odd.instance.clone()).await, "unreadable", "{status} {body}");
    }
    // Heard, and then the connection is closed; and heard, and then silence.
    let hangs_up = Server::raw(b"").await;
    assert_eq!(ask(instance("hangs up", &hangs_up.address())).await, "unreachable");
    let half = Server::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"success\":true").await;
    assert_eq!(ask(instance("half", &half.address())).await, "unreachable");
    let silent = Server::silent().await;
    let hasty = Conclave::new(Arc::new(ManualWorld::new()), Duration::from_millis(100), Config::default()).unwrap();
    let instances = [instance("silent", &silent.address()), other.instance.clone()];
    assert_eq!(kind(order_halt(hasty, OPERATION, instances).await), "timed out");
    assert_eq!(other.heard(), 0);
}
