//! A log that is moved from one database to the other, and back.

use scalebot_adapters::ledger::{NotMoved, PostgresLedger, SqliteLedger, Storage as _, Taken, move_log};
use scalebot_commands::event::{Draft, Hash, Kind};
use scalebot_commands::figures::Load;
use scalebot_commands::ports::{Ledger as _, Post};
use scalebot_commands::units::{Epoch, Millis, OperationId, Timestamp};

use super::place::{Place, draft, note, requested, schema, whole};

fn at() -> Timestamp {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

fn load(index: u64) -> Load {
    Load { until: at(), window: Millis(index), instances: Vec::new(), missing: Vec::new() }
}

/// Everything of which a log consists, and more of it than is read at a time.
async fn filled(place: &Place) -> (Vec<scalebot_commands::event::Event>, Epoch) {
    let (ledger, epoch) = place.led().await;
    ledger.append(requested("op-a", epoch)).await.unwrap();
    let body = r#"{ "t" : "\u00e9 é 😀" , "n" : 1e3 }"#.to_owned();
    ledger.append(Draft { body, ..draft("op-a", 2, epoch) }).await.unwrap();
    for _ in 0..600 {
        ledger.append(note(epoch)).await.unwrap();
    }
    let confirmed = Post { first: 1, last: 2, hash: Hash([7; 32]), text: "*one*\nand \u{1f600}".to_owned() };
    ledger.plan(&confirmed).await.unwrap();
    ledger.confirm(&confirmed, "message 1").await.unwrap();
    ledger.plan(&Post { first: 3, last: 9, ..confirmed }).await.unwrap();
    for operation in ["op-a", "op-b"] {
        for index in 0..300 {
            ledger.keep(&OperationId::new(operation), index, &load(index)).await.unwrap();
        }
    }
    let events = whole(&ledger).await;
    ledger.close().await;
    (events, epoch)
}

async fn in_file(place: &Place) -> SqliteLedger {
    SqliteLedger::open(&place.path()).await.unwrap()
}

fn refusal(moved: Result<scalebot_adapters::ledger::Contents, NotMoved>) -> String {
    match moved.unwrap_err() {
        NotMoved::Refused(why) => why,
        NotMoved::BrokenOff(why) => panic!("broken off: {why}"),
    }
}

#[tokio::test]
async fn every_event_post_claim_and_sample_is_there_afterwards_and_nothing_is_added_here_any_more() {
    let (file, settings) = (Place::file(), schema());
    let (events, epoch) = filled(&file).await;
    let (source, target) = (in_file(&file).await, PostgresLedger::open(&settings).await.unwrap());
    let moved = move_log(&source, &target, at()).await.unwrap();
    assert_eq!((moved.events, moved.posts, moved.claims, moved.samples), (602, 2, 1, 600));
    assert_eq!(moved.head, events[601].hash);

    let server = Place::Server(settings.clone());
    let there = server.opened().await;
    assert_eq!(whole(&there).await, events);
    assert_eq!(there.claims().await.unwrap()[0].operation, OperationId::new("op-a"));
    let (posted, planned) = there.position().await.unwrap();
    assert_eq!((posted, planned.unwrap().last), (2, 9));
    let kept = there.kept(&OperationId::new("op-b")).await.unwrap();
    assert_eq!(kept, (0..300).map(load).collect::<Vec<_>>());
    // Whoever wrote here before has an epoch that is over, also there.
    let Taken::Ours(next) = there.lead("a process").await.unwrap() else { panic!("somebody leads") };
    assert!(next.0 > epoch.0 + 1, "{next:?}");
    there.append(draft("op-a", 3, next)).await.unwrap();

    let refused = source.take_over().await.unwrap_err().to_string();
    assert!(refused.contains("was moved to PostgreSQL at ") && refused.contains("2026-02-01T12:00:00Z"), "{refused}");
    source.append(draft("op-a", 3, epoch)).await.unwrap_err();
    let read_only = SqliteLedger::open_existing_read_only(&file.path()).await.unwrap().unwrap();
    assert_eq!(read_only.events_after(0, 1_000).await.unwrap(), events, "it can still be read");

    // And back, into another file.
    there.resign().await;
    let back = Place::file();
    let file_again = in_file(&back).await;
    let again = move_log(&target, &file_again, at()).await.unwrap();
    assert_eq!((again.events, again.posts, again.claims, again.samples), (603, 2, 1, 600));
    let refused = there.lead("a process").await.unwrap_err().to_string();
    assert!(refused.contains("was moved to ") && refused.contains("ledger.db"), "{refused}");
    let epoch = file_again.take_over().await.unwrap();
    assert_eq!(file_again.append(draft("op-a", 4, epoch)).await.unwrap().seq, 604);
}

#[tokio::test]
async fn a_place_that_is_not_empty_takes_nothing_and_the_log_goes_on_where_it_is() {
    let (file, server) = (Place::file(), Place::server());
    filled(&file).await;
    let (other, epoch) = server.led().await;
    other.append(note(epoch)).await.unwrap();
    let Place::Server(settings) = &server else { unreachable!() };
    let (source, target) = (in_file(&file).await, PostgresLedger::open(settings).await.unwrap());
    let refused = refusal(move_log(&source, &target, at()).await);
    assert!(refused.contains("holds a log already"), "{refused}");
    source.take_over().await.unwrap();
    assert_eq!(whole(&other).await.len(), 1);
}

#[tokio::test]
async fn a_process_that_leads_keeps_a_log_from_being_moved_away_or_there() {
    let (file, empty) = (Place::file(), Place::file());
    filled(&file).await;
    let settings = scalebot_adapters::ledger::postgres::Settings { lease: super::place::PATIENCE, ..schema() };
    let leading = PostgresLedger::open(&settings).await.unwrap();
    assert!(matches!(leading.lead("process 7 on alpha").await.unwrap(), Taken::Ours(_)));
    let target = PostgresLedger::open(&settings).await.unwrap();
    let source = in_file(&file).await;
    for refused in [
        refusal(move_log(&source, &target, at()).await),
        refusal(move_log(&target, &in_file(&empty).await, at()).await),
    ] {
        assert!(refused.contains("process 7 on alpha leads; stop the bot first"), "{refused}");
    }
    source.take_over().await.unwrap();
    leading.resign().await;
    move_log(&source, &target, at()).await.unwrap();
}

#[tokio::test]
async fn a_log_that_is_not_in_order_is_not_moved() {
    let file = Place::file();
    filled(&file).await;
    file.runs("UPDATE event SET body = '{}' WHERE seq = 300").await;
    file.runs("UPDATE event SET at = '2020-01-01T00:00:00Z' WHERE seq = 300").await;
    let (source, target) = (in_file(&file).await, PostgresLedger::open(&schema()).await.unwrap());
    let refused = refusal(move_log(&source, &target, at()).await);
    assert!(refused.contains("ledger.db") && refused.contains("not in order: event 300"), "{refused}");
    source.take_over().await.unwrap();
    assert!(target.events_after(0, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_move_that_was_broken_off_is_carried_out_again() {
    let (file, settings) = (Place::file(), schema());
    let (events, _) = filled(&file).await;
    let (source, target) = (in_file(&file).await, PostgresLedger::open(&settings).await.unwrap());
    // Killed between the mark and the copy.
    let place = target.place();
    file.runs(&format!("INSERT INTO moved (one, at, destination) VALUES (1, '2026-02-01T11:00:00Z', '{place}')")).await;
    let refused = source.take_over().await.unwrap_err().to_string();
    assert!(refused.contains("carry it out again: scalebot ledger move"), "{refused}");
    let elsewhere = PostgresLedger::open(&schema()).await.unwrap();
    let refused = refusal(move_log(&source, &elsewhere, at()).await);
    assert!(refused.contains("was moved to"), "{refused}");
    assert_eq!(move_log(&source, &target, at()).await.unwrap().events, 602);
    // Killed between the copy and the word of it.
    assert_eq!(move_log(&source, &target, at()).await.unwrap().head, events[601].hash);
    assert_eq!(events[601].kind, Kind::CommandRefused.as_str());
    // Something was added there since: that is another log now.
    let Taken::Ours(epoch) = target.lead("a process").await.unwrap() else { panic!("somebody leads") };
    target.append(note(epoch)).await.unwrap();
    let refused = refusal(move_log(&source, &target, at()).await);
    assert!(refused.contains("holds a log already"), "{refused}");
}
