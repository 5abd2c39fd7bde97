//! An instance's routes over real HTTP, with a double of the world's store on a Unix socket behind it.

use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::Mutex;

use axum::extract::Query;
use reqwest::{Client, StatusCode};
use scalebot_adapters::process::wire::{ChainHead, HaltRow, HaltSignal, HaltSignalEntries, HaltTableRows};
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::*;
use crate::drill::chain::{self, StoredEvent};

/// What the double holds. `None` is a part that is down.
struct Held {
    table: Option<Vec<HaltRow>>,
    signals: Option<Vec<HaltSignal>>,
    events: Option<Vec<StoredEvent>>,
    halts: Vec<Value>,
}

type Store = Arc<Mutex<Held>>;

fn told<T: serde::Serialize>(part: Option<T>) -> Response {
    part.map_or_else(|| StatusCode::SERVICE_UNAVAILABLE.into_response(), |part| Json(part).into_response())
}

async fn events(State(store): State<Store>, Query(range): Query<std::collections::HashMap<String, u64>>) -> Response {
    let store = store.lock().unwrap();
    let wanted = |event: &&StoredEvent| (range["start"]..=range["end"]).contains(&event.sequence);
    told(store.events.as_ref().map(|events| events.iter().filter(wanted).collect::<Vec<_>>()))
}

async fn table(State(store): State<Store>) -> Response {
    told(store.lock().unwrap().table.clone().map(|rows| HaltTableRows { rows }))
}

async fn signals(State(store): State<Store>) -> Response {
    told(store.lock().unwrap().signals.clone().map(|entries| HaltSignalEntries { entries }))
}

async fn head(State(store): State<Store>) -> Response {
    let store = store.lock().unwrap();
    told(store.events.as_ref().map(|events| ChainHead { head: events.last().map(|event| event.sequence) }))
}

async fn halt(State(store): State<Store>, Json(call): Json<Value>) -> Json<Value> {
    store.lock().unwrap().halts.push(call);
    Json(json!({ "halted_at": "2026-01-08T03:00:00Z" }))
}

fn serve_store(socket: &FilePath, store: &Store) {
    let router = Router::new()
        .route("/store/halt-table", get(table))
        .route("/store/halt-signals", get(signals))
        .route("/store/chain/head", get(head))
        .route("/store/events", get(events))
        .route("/store/halt", axum::routing::post(halt))
        .with_state(Arc::clone(store));
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
}

/// An instance that is past its start, and what it asks.
struct Instance {
    url: String,
    client: Client,
    store: Store,
    _directory: TempDir,
}

impl Instance {
    async fn with(fault: Option<Fault>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("world.sock");
        let mut events = Vec::new();
        for n in 1..=20 {
            let event = chain::next(events.last(), "vote.cast", json!({ "n": n }), Timestamp::UNIX_EPOCH);
            events.push(event);
        }
        let row = HaltRow { id: 1, is_halted: Some(false), ..HaltRow::default() };
        let held = Held { table: Some(vec![row]), signals: Some(Vec::new()), events: Some(events), halts: Vec::new() };
        let store = Arc::new(Mutex::new(held));
        serve_store(&socket, &store);

        let args = InstanceArgs {
            name: "api-5".to_owned(),
            store: Some(socket),
            alone: None,
            contained: None,
            seed: 1,
            fault,
            fault_if: None,
        };
        let mut app = App::new(args).unwrap();
        app.ready_at = Instant::now();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = router(Arc::new(app)).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { url, client: Client::builder().no_proxy().build().unwrap(), store, _directory: directory }
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    async fn event(&self, sequence: u64) -> Value {
        self.get(&format!("/v1/observer/events/sequence/{sequence}")).await.1
    }
}

#[tokio::test]
async fn readiness_names_the_part_of_the_store_that_cannot_be_read() {
    let instance = Instance::with(None).await;
    instance.store.lock().unwrap().signals = None;
    let (status, body) = instance.get("/v1/ready").await;
    assert_eq!((status, &body["status"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("not-ready")));
    let healthy = ["database", "redis", "event_store"].map(|name| body["checks"][name]["healthy"].clone());
    assert_eq!(healthy, [json!(true), json!(false), json!(true)]);
    assert!(body["checks"]["redis"]["error"].as_str().unwrap().contains("503"), "{body}");
    // It is up all the same, and does not guess about the halt.
    assert_eq!(instance.get("/v1/health").await.0, StatusCode::OK);
    assert_eq!(instance.get("/v1/governance/halt/status").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_instance_is_ready_when_everything_is_and_never_when_that_is_its_fault() {
    let (status, body) = Instance::with(None).await.get("/v1/ready").await;
    assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("ready")));
    let (status, body) = Instance::with(Some(Fault::NeverReady)).await.get("/v1/ready").await;
    assert_eq!((status, &body["checks"]["database"]["healthy"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(false)));
}

#[tokio::test]
async fn either_source_halts_and_a_diverged_instance_says_the_opposite() {
    let signal = HaltSignal {
        reason: "operator".to_owned(),
        timestamp: "2026-01-08T03:00:00Z".to_owned(),
        ..HaltSignal::default()
    };
    for (fault, wanted) in [(None, [false, true]), (Some(Fault::DivergedHalt), [true, false])] {
        for (signals, halted) in [Vec::new(), vec![signal.clone()]].into_iter().zip(wanted) {
            let instance = Instance::with(fault).await;
            instance.store.lock().unwrap().signals = Some(signals);
            let (_, body) = instance.get("/v1/governance/halt/status").await;
            assert_eq!(body["is_halted"], json!(halted), "{fault:?}");
        }
    }
    for rows in [Vec::new(), vec![HaltRow { id: 1, is_halted: None, ..HaltRow::default() }]] {
        let instance = Instance::with(None).await;
        instance.store.lock().unwrap().table = Some(rows);
        assert_eq!(instance.get("/v1/governance/halt/status").await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn only_an_operator_with_a_known_reason_halts_the_system() {
    let instance = Instance::with(None).await;
    let call = async |operator: Option<&str>, body: Value| {
        let mut request = instance.client.post(format!("{}/v1/governance/halt", instance.url)).json(&body);
        if let Some(operator) = operator {
            request = request.header("X-Operator-Id", operator);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let operator = Some("019ac3d0-0000-7000-8000-000000000001");
    let good = json!({ "reason": "consensus_failure", "message": "new instances disagree" });
    assert_eq!(call(None, good.clone()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(call(Some("me"), good.clone()).await.0, StatusCode::UNAUTHORIZED);
    for bad in
        [json!({ "reason": "boredom", "message": "m" }), json!({ "reason": "operator", "message": " " }), json!({})]
    {
        assert_eq!(call(operator, bad).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert!(instance.store.lock().unwrap().halts.is_empty());

    let (status, body) = call(operator, good).await;
    assert_eq!(
        (status, &body["success"], &body["halted_at"]),
        (StatusCode::OK, &json!(true), &json!("2026-01-08T03:00:00Z"))
    );
    let wanted = json!({ "sources": "both", "reason": "consensus_failure: new instances disagree" });
    assert_eq!(instance.store.lock().unwrap().halts, [wanted]);
}

#[tokio::test]
async fn a_diverged_instance_agrees_below_the_fork_and_verifies_its_own_branch() {
    let (sound, diverged) = (Instance::with(None).await, Instance::with(Some(Fault::DivergedChain)).await);
    for sequence in [1, 14] {
        assert_eq!(sound.event(sequence).await["content_hash"], diverged.event(sequence).await["content_hash"]);
    }
    for sequence in [15, 20] {
        assert_ne!(sound.event(sequence).await["content_hash"], diverged.event(sequence).await["content_hash"]);
    }
    assert_eq!(sound.event(15).await["prev_hash"], diverged.event(15).await["prev_hash"]);
    assert_ne!(sound.event(20).await["prev_hash"], diverged.event(20).await["prev_hash"]);
    for range in ["start=1&end=20", "start=15&end=17", "start=16&end=20", "start=500&end=600"] {
        for instance in [&sound, &diverged] {
            let (_, verified) = instance.get(&format!("/v1/observer/verify-chain?{range}")).await;
            assert_eq!(verified["is_valid"], json!(true), "{range}: {verified}");
        }
    }
}

#[tokio::test]
async fn those_that_are_alone_are_not_halted_and_hold_the_same_chain() {
    let (one, other) = (StoreClient::alone(), StoreClient::alone());
    let seen = one.look().await;
    assert_eq!((seen.halt_table.unwrap()[0].is_halted, seen.halt_signals.unwrap().len()), (Some(false), 0));
    let head = one.head().await.unwrap().unwrap();
    let (ours, theirs) = (one.events(1, head).await.unwrap(), other.events(1, head).await.unwrap());
    let hashes = |events: &[StoredEvent]| events.iter().map(|event| event.content_hash.clone()).collect::<Vec<_>>();
    assert_eq!((ours.len() as u64, hashes(&ours)), (head, hashes(&theirs)));
    one.halt("told to").await.unwrap();
    assert_eq!(one.look().await.halt_signals.unwrap().len(), 1);
    assert_eq!(other.look().await.halt_signals.unwrap().len(), 0);
}

#[tokio::test]
async fn a_chain_that_was_tampered_with_is_found_at_its_place() {
    let instance = Instance::with(None).await;
    instance.store.lock().unwrap().events.as_mut().unwrap()[9].payload = json!({ "n": 1000 });
    let (_, verified) = instance.get("/v1/observer/verify-chain?start=5&end=20").await;
    assert_eq!((&verified["first_invalid_sequence"], &verified["verified_count"]), (&json!(10), &json!(5)));
}

#[tokio::test]
async fn events_are_paged_and_an_absent_one_is_a_404() {
    let instance = Instance::with(None).await;
    assert_eq!(instance.get("/v1/observer/events/sequence/21").await.0, StatusCode::NOT_FOUND);
    assert_eq!(instance.get("/v1/observer/events/sequence/0").await.0, StatusCode::NOT_FOUND);
    let (_, page) = instance.get("/v1/observer/events?limit=5&offset=17").await;
    let sequences: Vec<u64> =
        page["events"].as_array().unwrap().iter().filter_map(|event| event["sequence"].as_u64()).collect();
    assert_eq!((sequences, &page["pagination"]["has_more"]), (vec![18, 19, 20], &json!(false)));
}

#[tokio::test]
async fn the_observers_limit_is_answered_with_how_long_to_wait() {
    let instance = Instance::with(None).await;
    for _ in 0..60 {
        assert_eq!(instance.get("/v1/observer/events/sequence/1").await.0, StatusCode::OK);
    }
    let url = format!("{}/v1/observer/verify-chain?start=1&end=2", instance.url);
    let refused = instance.client.get(url).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "60");
    // Only the observer's routes have that limit.
    assert_eq!(instance.get("/v1/ready").await.0, StatusCode::OK);
}

#[tokio::test]
async fn work_takes_its_time_and_shows_in_the_metrics() {
    let instance = Instance::with(None).await;
    let began = std::time::Instant::now();
    let (status, _) = instance.get("/v1/petitions/7").await;
    assert_eq!(status, StatusCode::OK);
    assert!(began.elapsed() >= Duration::from_millis(100));
    let text = instance.client.get(format!("{}/v1/metrics", instance.url)).send().await.unwrap().text().await.unwrap();
    let value = |series: &str| -> f64 {
        let line =
            text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{series}: {text}"));
        line.trim().parse().unwrap()
    };
    let labels = r#"service="archon72-api",environment="rehearsal",method="GET",endpoint="/v1/petitions/7""#;
    assert!(value(&format!("http_request_duration_seconds_sum{{{labels}}}")) >= 0.1);
    assert!((value(&format!("http_requests_total{{{labels},status=\"200\"}}")) - 1.0).abs() < f64::EPSILON);
    assert!(value("worker_slots_busy_seconds_total ") >= 0.1);
    assert!((value("worker_slots ") - 2.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn keys_are_reachable_unless_that_is_the_fault() {
    let reachable = async |fault| Instance::with(fault).await.get("/v1/keys/status").await.1["reachable"].clone();
    assert_eq!(reachable(None).await, json!(true));
    assert_eq!(reachable(Some(Fault::NoKeys)).await, json!(false));
}

#[tokio::test]
async fn what_it_works_on_is_told_until_it_has_ended_and_stays_out_of_the_metrics() {
    let instance = Instance::with(None).await;
    assert_eq!(instance.get("/v1/operations").await, (StatusCode::OK, json!([])));
    let begin = async |work: Value| {
        instance.client.post(format!("{}{BEGIN_WORK}", instance.url)).json(&work).send().await.unwrap().status()
    };
    let work = |seconds: u64| json!({ "what": "ratification", "constitutional": true, "seconds": seconds });
    assert_eq!(begin(work(0)).await, StatusCode::OK);
    assert_eq!(begin(work(600)).await, StatusCode::OK);
    assert_eq!(begin(work(100_000)).await, StatusCode::UNPROCESSABLE_ENTITY);
    let (_, told) = instance.get("/v1/operations").await;
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!((&told[0]["what"], &told[0]["constitutional"]), (&json!("ratification"), &json!(true)));
    assert!(told[0]["since"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{told}");

    instance.get(&format!("{LONG}?seconds=0")).await;
    let text = instance.client.get(format!("{}/v1/metrics", instance.url)).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("/v1/operations") && !text.contains("/happen"), "{text}");
}
