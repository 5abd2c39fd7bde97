//! A service with everything outside in memory: two fleets on stages of their own, a chat that says what a test says, and
//! the real log.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use scalebot_adapters::ledger::SqliteLedger;
use scalebot_adapters::transcript::Transcript;
use scalebot_commands::approval::{Ballot, Mark};
use scalebot_commands::event::{Draft, Event, Kind};
use scalebot_commands::journal::Signal;
use scalebot_commands::ports::{AppendError, ClaimHeld, Ledger, LedgerError, Slot, Target};
use scalebot_commands::request;
use scalebot_commands::units::{Person, Timestamp, elapsed};
use tokio::sync::Notify;

use super::front::{Front, Left};
use super::watch::{Observed, Watch};
use super::*;
use crate::reception::{Reception, Reply};
use crate::stop::Stop;
use crate::system::System;
use crate::testing::{Manner, Stage, halted};

type Story = Box<dyn FnOnce(Arc<dyn Reception>) -> BoxFuture<'static, ()> + Send>;

/// A chat in which a test's story is told, once, and that is left then.
struct Chat {
    room: Arc<dyn Room>,
    channel: Arc<Transcript>,
    story: Mutex<Option<Story>>,
}

#[async_trait]
impl Front for Chat {
    fn room(&self) -> Arc<dyn Room> {
        Arc::clone(&self.room)
    }

    fn log_channel(&self) -> Arc<dyn LogChannel> {
        Arc::clone(&self.channel) as _
    }

    async fn serve(&self, reception: Arc<dyn Reception>) -> Left {
        let story = self.story.lock().unwrap().take();
        story.unwrap()(reception).await;
        Left::Asked
    }

    fn is_reached(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Where a service is, from one process to the next.
struct Home {
    folder: tempfile::TempDir,
    /// Halted, so that every operation waits for governance.
    stages: [Stage; 2],
    /// Told with each event.
    appended: Arc<Notify>,
    /// The log takes what it is given, and answers nothing.
    silent: Arc<AtomicBool>,
}

/// A log whose answers are lost while it is `silent`.
struct Silent {
    log: Arc<dyn Ledger>,
    silent: Arc<AtomicBool>,
}

impl Silent {
    fn answers<T>(&self, answer: T) -> Result<T, LedgerError> {
        if self.silent.load(Ordering::SeqCst) { Err(LedgerError("it gave no answer".to_owned())) } else { Ok(answer) }
    }
}

#[async_trait]
impl Ledger for Silent {
    async fn append(&self, draft: Draft) -> Result<Event, AppendError> {
        let appended = self.log.append(draft).await;
        self.answers(appended)?
    }

    async fn events_of(&self, operation: &OperationId) -> Result<Vec<Event>, LedgerError> {
        self.answers(self.log.events_of(operation).await)?
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.answers(self.log.events_after(after, limit).await)?
    }

    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError> {
        self.answers(self.log.claims().await)?
    }

    async fn latest(&self, kind: &str, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.answers(self.log.latest(kind, limit).await)?
    }
}

/// Tells a story what is on record.
struct Told {
    file: std::path::PathBuf,
    appended: Arc<Notify>,
}

impl Told {
    /// Waits until what is on record holds that.
    async fn until<T>(&self, holds: impl Fn(&[Event]) -> Option<T>) -> T {
        loop {
            let appended = self.appended.notified();
            let ledger = SqliteLedger::open_existing_read_only(&self.file).await.unwrap().unwrap();
            let events = ledger.events_after(0, 10_000).await.unwrap();
            ledger.close().await;
            if let Some(found) = holds(&events) {
                return found;
            }
            appended.await;
        }
    }
}

impl Home {
    fn new() -> Self {
        let halted = || {
            Stage::with(|script| {
                script.halt = [Ok(halted(true)), Ok(halted(true))];
                // The service goes by the system's clock.
                script.clock += elapsed(script.now(), Timestamp::now());
            })
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            stages: [halted(), halted()],
            appended: Arc::default(),
            silent: Arc::default(),
        }
    }

    /// Nothing is proposed for that fleet.
    fn is_fast(&self, fleet: usize) {
        self.stages[fleet].script().before = Some(Manner { old_ms: 400.0, new_ms: 400.0, failing: 0 });
    }

    fn told(&self) -> Told {
        Told { file: self.folder.path().join("ledger.db"), appended: Arc::clone(&self.appended) }
    }

    async fn log(&self) -> Log {
        let appended = Arc::clone(&self.appended);
        let file = self.folder.path().join("ledger.db");
        let mut log = Log::take_over(&file, move |_| appended.notify_waiters()).await.unwrap();
        log.writer = Arc::new(Silent { log: Arc::clone(&log.writer), silent: Arc::clone(&self.silent) });
        log
    }

    fn service(&self, log: Log, chat: &Chat) -> Service {
        let fleets = ["api", "web"].into_iter().zip(&self.stages).map(|(name, stage)| {
            let ports = stage.ports();
            let target = Target { name: TargetName::new(name), ..ports.target };
            Fleet {
                ports: log.ports(Arc::clone(&chat.room), ports.documents, target),
                policy: Policy::rehearsal(Duration::from_mins(1)),
            }
        });
        let fleets = fleets.collect();
        Service::begin(log, Arc::clone(&chat.room), fleets, Arc::clone(&chat.channel) as _)
    }

    /// One process, in which that is said, to its end; then every event.
    async fn tells<F>(&self, story: impl FnOnce(Arc<dyn Reception>) -> F + Send + 'static) -> (End, Vec<Event>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let log = self.log().await;
        let (ledger, unfinished) = (Arc::clone(&log.ledger), log.unfinished().await.unwrap());
        let front = Arc::new(Chat {
            room: self.stages[0].ports().room,
            channel: Arc::new(Transcript::new(self.folder.path().join("log-channel.txt"))),
            story: Mutex::new(Some(Box::new(|reception| Box::pin(story(reception))))),
        });
        let service = self.service(log, &front);
        let chat: Arc<dyn Front> = front;
        let carried = Carried::default();
        let watch = Watch::new(&service, &chat, &carried, Arc::new(Observed::new(Arc::new(System::new()))));
        let running = Running::new(&service, &*chat, carried, watch);
        let end = Box::pin(running.run(unfinished, &Stop::listen())).await;
        let events = ledger.events_after(0, 10_000).await.unwrap();
        service.leave().await;
        ledger.close().await;
        (end, events)
    }
}

async fn says(reception: &dyn Reception, by: &str, text: &str) -> Reply {
    reception.command(request::parse(text).unwrap(), Person::new(by)).await
}

fn finished(events: &[Event]) -> Vec<(String, String)> {
    let ends = events.iter().filter_map(scalebot_commands::capacity::finished_of);
    let mut ends: Vec<_> = ends.map(|end| (end.target.to_string(), end.outcome.words().to_owned())).collect();
    ends.sort();
    ends
}

fn count(events: &[Event], kind: Kind) -> usize {
    events.iter().filter(|event| event.kind == kind.as_str()).count()
}

/// What is asked of governance, by operation: the digests of the requests that were put.
fn asked(events: &[Event], operation: &OperationId) -> Option<String> {
    let put = events
        .iter()
        .rfind(|event| event.kind == Kind::ApprovalRequested.as_str() && event.operation.as_ref() == Some(operation))?;
    let body: serde_json::Value = serde_json::from_str(&put.body).unwrap();
    body["digest"].as_str().map(str::to_owned)
}

async fn opened(reception: &dyn Reception, text: &str) -> OperationId {
    match says(reception, "operator", text).await {
        Reply::Opened { operation, text } => {
            assert!(text.contains(operation.short()), "{text}");
            operation
        }
        other => panic!("{other:?}"),
    }
}

fn why(reply: &Reply) -> &str {
    match reply {
        Reply::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn several_fleets_each_have_their_operation_and_what_people_say_reaches_the_one_that_is_meant() {
    let home = Home::new();
    let told = home.told();
    let (end, events) = home
        .tells(|reception| async move {
            let reception = &*reception;
            assert_eq!(reception.targets(), ["api", "web"].map(TargetName::new));
            let api = opened(reception, "/scale up 6").await;
            let web = opened(reception, "/scale up 5 target:web").await;
            assert_eq!(reception.under_way(), [api.clone(), web.clone()]);
            let busy = says(reception, "operator", "/scale up 7 target:web").await;
            assert!(why(&busy).contains("is under way on web"), "{busy:?}");

            let request = told.until(|events| asked(events, &web)).await;
            let ballot = Ballot { by: Person::new("lead"), mark: Mark::Reject, request, reason: None };
            assert_eq!(reception.signal(&web, Signal::Cast(ballot.clone())).await, Reply::Taken(String::new()));
            told.until(|events| (count(events, Kind::Finished) == 1).then_some(())).await;
            // Its end is on record an instant before nobody listens for it any more.
            while reception.under_way() != [api.clone()] {
                tokio::task::yield_now().await;
            }
            let late = reception.signal(&web, Signal::Cast(ballot)).await;
            assert!(why(&late).contains("is not under way here"), "{late:?}");

            let nothing = says(reception, "operator", "/scale cancel target:web").await;
            assert!(why(&nothing).contains("Nothing is under way"), "{nothing:?}");
            let stops = says(reception, "operator", "/scale cancel").await;
            assert!(matches!(&stops, Reply::Taken(text) if text.contains("nothing is changed")), "{stops:?}");
            told.until(|events| (count(events, Kind::Finished) == 2).then_some(())).await;
        })
        .await;
    assert_eq!(end, End::Done);
    let ends = [("api", "cancelled"), ("web", "rejected")].map(|(name, how)| (name.to_owned(), how.to_owned()));
    assert_eq!(finished(&events), ends);
}

#[tokio::test]
async fn what_is_under_way_when_a_process_ends_is_carried_on_by_the_next() {
    let home = Home::new();
    let told = home.told();
    home.tells(|reception| async move {
        let api = opened(&*reception, "/scale up 6").await;
        told.until(|events| asked(events, &api)).await;
    })
    .await;
    let told = home.told();
    let (_, events) = home
        .tells(|reception| async move {
            told.until(|events| (count(events, Kind::Resumed) == 1).then_some(())).await;
            assert_eq!(reception.under_way().len(), 1);
            let stops = says(&*reception, "lead", "/scale cancel").await;
            assert!(matches!(stops, Reply::Taken(_)), "{stops:?}");
            told.until(|events| (count(events, Kind::Finished) == 1).then_some(())).await;
        })
        .await;
    assert_eq!(count(&events, Kind::Requested), 1);
}

/// Whether anything is proposed is known a moment after it is on record.
async fn start(reception: &dyn Reception) -> Reply {
    loop {
        match reception.start_proposed(Person::new("operator")).await {
            Reply::Refused(why) if why.contains("Nothing is proposed") => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

#[tokio::test]
async fn what_is_proposed_is_begun_on_the_fleet_that_it_is_for() {
    let home = Home::new();
    home.is_fast(0);
    let told = home.told();
    let (_, events) = home
        .tells(|reception| async move {
            told.until(|events| (count(events, Kind::Proposed) == 1).then_some(())).await;
            let begun = start(&*reception).await;
            assert!(matches!(&begun, Reply::Opened { text, .. } if text.contains("target:web")), "{begun:?}");
            assert_eq!(reception.under_way().len(), 1);
        })
        .await;
    let requested = events.iter().find(|event| event.kind == Kind::Requested.as_str()).unwrap();
    assert!(requested.body.contains(r#""target":"web""#), "{}", requested.body);
}

#[tokio::test]
async fn where_several_are_proposed_somebody_has_to_say_which() {
    let home = Home::new();
    let room = home.stages[0].clone();
    let (_, events) = home
        .tells(|reception| async move {
            // What people have before them can be started.
            while room.cards(Slot::Question).len() < 2 {
                tokio::task::yield_now().await;
            }
            let which = reception.start_proposed(Person::new("operator")).await;
            assert!(why(&which).contains("for api and web. Type the one"), "{which:?}");
        })
        .await;
    assert_eq!(count(&events, Kind::Requested), 0);
}

#[tokio::test]
async fn what_asks_for_no_operation_is_answered_and_what_may_not_be_is_refused_with_why() {
    let home = Home::new();
    home.is_fast(0);
    home.is_fast(1);
    let (_, events) = home
        .tells(|reception| async move {
            let reception = &*reception;
            assert!(matches!(says(reception, "viewer", "/scale help").await, Reply::Card(_)));
            assert!(matches!(says(reception, "viewer", "/scale status target:web").await, Reply::Card(_)));
            let wrong = says(reception, "operator", "/scale up 6 target:wob").await;
            assert!(why(&wrong).contains("There is: api, web"), "{wrong:?}");
            let viewer = says(reception, "viewer", "/scale up 6").await;
            assert!(why(&viewer).contains("operator"), "{viewer:?}");
            let nothing = reception.acknowledge(None, Person::new("operator")).await;
            assert!(why(&nothing).contains("Nothing is open"), "{nothing:?}");
            for reply in [
                reception.start_proposed(Person::new("operator")).await,
                reception.dismiss_proposed(Person::new("operator")).await,
            ] {
                assert!(why(&reply).contains("Nothing is proposed"), "{reply:?}");
            }
            assert_eq!(reception.under_way(), []);
        })
        .await;
    assert_eq!(count(&events, Kind::Requested), 0);
    assert_eq!(count(&events, Kind::CommandRefused), 2);
}

#[tokio::test]
async fn a_process_that_was_taken_over_from_stops() {
    let home = Home::new();
    let told = home.told();
    let file = home.folder.path().join("ledger.db");
    let (end, _) = home
        .tells(|reception| async move {
            let api = opened(&*reception, "/scale up 6").await;
            let request = told.until(|events| asked(events, &api)).await;
            let other = SqliteLedger::open(&file).await.unwrap();
            other.take_over().await.unwrap();
            // The next thing that is to be recorded finds that out.
            let ballot = Ballot { by: Person::new("lead"), mark: Mark::Reject, request, reason: None };
            reception.signal(&api, Signal::Cast(ballot)).await;
            std::future::pending::<()>().await;
        })
        .await;
    assert!(matches!(end, End::Fenced(_)), "{end:?}");
}

#[tokio::test]
async fn an_operation_that_was_recorded_while_the_log_gave_no_answer_is_carried_out_once_it_does() {
    let home = Home::new();
    let (told, silent) = (home.told(), Arc::clone(&home.silent));
    let (_, events) = home
        .tells(|reception| async move {
            let reception = &*reception;
            silent.store(true, Ordering::SeqCst);
            let unknown = says(reception, "operator", "/scale up 6").await;
            assert!(why(&unknown).contains("Whether it was recorded is not known"), "{unknown:?}");
            assert_eq!(reception.under_way(), []);
            silent.store(false, Ordering::SeqCst);
            told.until(|events| (count(events, Kind::ApprovalRequested) == 1).then_some(())).await;
            assert_eq!(reception.under_way().len(), 1);
            let busy = says(reception, "operator", "/scale up 7").await;
            assert!(why(&busy).contains("is under way on api"), "{busy:?}");
            let stops = says(reception, "operator", "/scale cancel").await;
            assert!(matches!(stops, Reply::Taken(_)), "{stops:?}");
            told.until(|events| (count(events, Kind::Finished) == 1).then_some(())).await;
        })
        .await;
    assert_eq!(count(&events, Kind::Requested), 1);
}
