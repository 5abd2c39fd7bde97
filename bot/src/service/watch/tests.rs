//! What a monitoring system sees while operations go on, stand still, or cannot be seen.

use std::time::Duration;

use async_trait::async_trait;
use scalebot_adapters::ledger::SqliteLedger;
use scalebot_commands::event::{Claim, Draft};
use scalebot_commands::ports::{LogChannel, Post, Room};
use scalebot_commands::units::{Epoch, OperationId};

use super::*;
use crate::reception::Reception;
use crate::service::UnderWay as CarriedOut;
use crate::service::front::Left;
use crate::system::System;

/// A chat that is there, or is not.
struct Chat(Result<(), String>);

#[async_trait]
impl Front for Chat {
    fn room(&self) -> Arc<dyn Room> {
        crate::testing::Stage::new().ports().room
    }

    fn log_channel(&self) -> Arc<dyn LogChannel> {
        Arc::new(scalebot_adapters::transcript::Transcript::new("/nowhere"))
    }

    async fn serve(&self, _: Arc<dyn Reception>) -> Left {
        Left::Asked
    }

    fn is_reached(&self) -> Result<(), String> {
        self.0.clone()
    }
}

struct Scene {
    _folder: tempfile::TempDir,
    watched: Watched,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let observed = Arc::new(Observed::new(Arc::new(System::new())));
        let seen = Arc::clone(&observed);
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).await.unwrap();
        let ledger = Arc::new(ledger.on_append(move |event| seen.see(event)));
        assert_eq!(ledger.take_over().await.unwrap(), Epoch(1));
        let watched = Watched {
            ledger,
            clock: Arc::new(System::new()),
            front: Arc::new(Chat(Ok(()))),
            carried: Carried::default(),
            policies: vec![(TargetName::new("api"), Policy::default())],
            observed,
            beats: Arc::default(),
            held: Mutex::default(),
            sign: AtomicU64::new(0),
        };
        Self { _folder: folder, watched }
    }

    async fn append(&self, op_seq: u64, ago: Duration, kind: Kind, body: &str, claim: Claim) {
        let (operation, at) = (Some(OperationId::new("op-000001")), Timestamp::now() - ago);
        let draft = Draft { operation, op_seq, epoch: Epoch(1), at, kind, body: body.to_owned(), claim };
        self.watched.ledger.append(draft).await.unwrap();
    }

    async fn begun(&self, ago: Duration) {
        self.append(1, ago, Kind::Requested, "{}", Claim::Take(TargetName::new("api"))).await;
    }

    fn carries_it_out(&self) {
        let (signals, _) = scalebot_commands::journal::Inbox::new();
        let (target, operation) = (TargetName::new("api"), OperationId::new("op-000001"));
        assert!(self.watched.carried.enter(CarriedOut { target, operation, signals }));
    }

    async fn figure(&self, name: &str) -> Option<f64> {
        let page = self.watched.page().await.text();
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    async fn is_stalled(&self) -> bool {
        self.figure("scalebot_operation_stalled{target=\"api\"}").await.unwrap() > 0.0
    }
}

const FINISHED: &str = r#"{"step":"finish","v":1,"target":"api","outcome":"rolled_back","from":4,"to":6,"ended_at":4,"verdict":null,"reason":"x"}"#;

const ESCALATED: &str = r#"{"step":"escalate","v":1,"condition":"not_improving","to":"system_architect","severity":"medium","because":"p99 700 ms"}"#;

#[tokio::test]
async fn an_operation_is_stalled_when_nobody_carries_it_out_or_it_is_silent_for_too_long() {
    let scene = Scene::new().await;
    assert!(!scene.is_stalled().await);
    scene.begun(Duration::from_mins(20)).await;
    assert!(scene.is_stalled().await, "nobody carries it out");
    scene.carries_it_out();
    assert!(!scene.is_stalled().await, "watching takes 15 min, and 30 min at most");
    let silent = scene.figure("scalebot_operation_silent_seconds{target=\"api\"}").await.unwrap();
    assert!((1_200.0..1_260.0).contains(&silent), "{silent}");

    let scene = Scene::new().await;
    scene.begun(Duration::from_mins(36)).await;
    scene.carries_it_out();
    assert!(scene.is_stalled().await);

    let scene = Scene::new().await;
    scene.begun(Duration::ZERO).await;
    scene.carries_it_out();
    scene.append(2, Duration::ZERO, Kind::Parked, r#"{"reason":"of another version"}"#, Claim::Keep).await;
    assert!(scene.is_stalled().await, "it waits for a person");
}

#[tokio::test]
async fn ends_are_counted_by_outcome_and_what_was_not_posted_has_an_age() {
    let scene = Scene::new().await;
    assert_eq!(scene.figure("scalebot_unposted_oldest_seconds").await, Some(0.0));
    assert_eq!(scene.figure("scalebot_last_append_timestamp_seconds").await, None);
    scene.begun(Duration::from_mins(2)).await;
    scene.append(2, Duration::ZERO, Kind::Finished, FINISHED, Claim::Release).await;
    assert_eq!(scene.figure("scalebot_operations_total{outcome=\"rolled_back\"}").await, Some(1.0));
    assert_eq!(scene.figure("scalebot_operations_total{outcome=\"completed\"}").await, Some(0.0));
    assert_eq!(scene.figure("scalebot_operations_under_way{target=\"api\"}").await, Some(0.0));
    assert_eq!(scene.figure("scalebot_events_appended_total").await, Some(2.0));
    let age = scene.figure("scalebot_unposted_oldest_seconds").await.unwrap();
    assert!((120.0..180.0).contains(&age), "{age}");
    assert!(scene.figure("scalebot_last_append_timestamp_seconds").await.is_some());
}

#[tokio::test]
async fn the_head_and_what_the_log_channel_was_not_told_are_counted_from_the_log() {
    let scene = Scene::new().await;
    assert_eq!(scene.figure("scalebot_ledger_head").await, Some(0.0));
    assert_eq!(scene.figure("scalebot_operation_stalled_seconds").await, Some(0.0));
    scene.begun(Duration::from_mins(3)).await;
    scene.append(2, Duration::from_mins(2), Kind::Escalated, ESCALATED, Claim::Keep).await;
    assert_eq!(scene.figure("scalebot_ledger_head").await, Some(2.0));
    assert_eq!(scene.figure("scalebot_outbox_events").await, Some(2.0));
    assert_eq!(scene.figure("scalebot_escalations_open").await, Some(1.0));
    let silent = scene.figure("scalebot_operation_stalled_seconds").await.unwrap();
    assert!((120.0..180.0).contains(&silent), "{silent}");
    let first = scene.watched.ledger.events_after(0, 1).await.unwrap().remove(0);
    let post = Post { first: 1, last: 1, hash: first.hash, text: "1".to_owned() };
    scene.watched.ledger.plan(&post).await.unwrap();
    scene.watched.ledger.confirm(&post, "900").await.unwrap();
    assert_eq!(scene.figure("scalebot_outbox_events").await, Some(1.0));

    // A process that begins counts what others have appended.
    let Scene { _folder: folder, mut watched } = scene;
    watched.observed = Arc::new(Observed::new(Arc::new(System::new())));
    let scene = Scene { _folder: folder, watched };
    assert_eq!(scene.figure("scalebot_ledger_head").await, Some(2.0));
    assert_eq!(scene.figure("scalebot_events_appended_total").await, Some(0.0));
}

#[tokio::test]
async fn what_cannot_be_known_is_left_out_and_never_a_zero() {
    let mut scene = Scene::new().await;
    scene.begun(Duration::ZERO).await;
    scene.watched.front = Arc::new(Chat(Err("the chat is away".to_owned())));
    scene.watched.ledger.close().await;
    assert_eq!(scene.figure("scalebot_log_readable").await, Some(0.0));
    assert_eq!(scene.figure("scalebot_front_reached").await, Some(0.0));
    for unknown in [
        "scalebot_operation_stalled{target=\"api\"}",
        "scalebot_operation_stalled_seconds",
        "scalebot_unposted_oldest_seconds",
        "scalebot_outbox_events",
        "scalebot_ledger_head",
        "scalebot_escalations_open",
    ] {
        assert_eq!(scene.figure(unknown).await, None, "{unknown}");
    }
    let watch = Watch(Arc::new(scene.watched));
    watch.sign();
    let because = watch.0.unready().await;
    assert!(because.iter().any(|why| why.contains("operational log")), "{because:?}");
    assert!(because.contains(&"the chat is away".to_owned()), "{because:?}");
}

#[tokio::test]
async fn a_task_that_shows_no_sign_of_life_is_neither_healthy_nor_ready() {
    struct Late;
    impl World for Late {
        fn now(&self) -> Timestamp {
            Timestamp::now()
        }
        fn monotonic(&self) -> Duration {
            SIGN_WITHIN + Duration::from_secs(1)
        }
        fn sleep(&self, _: Duration) -> futures::future::BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }
        fn unique_id(&self) -> String {
            String::new()
        }
        fn random(&self) -> u64 {
            0
        }
    }
    let mut scene = Scene::new().await;
    scene.watched.clock = Arc::new(Late);
    assert_eq!(scene.watched.unready().await, ["the task that carries operations out shows no sign of life"]);
    assert_eq!(health(&scene.watched).into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
    let watched = Arc::new(Scene::new().await.watched);
    assert_eq!(health(&watched).into_response().status(), StatusCode::OK);
}
