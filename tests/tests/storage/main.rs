//! The operational log in either database: one suite for both, and what only PostgreSQL has.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

mod moving;
mod place;
mod postgres;

use std::sync::{Arc, Mutex};

use scalebot_commands::event::{Claim, Draft, Event, Hash, Kind};
use scalebot_commands::figures::{BACKEND_BOUNDS_MS, Histogram, InstanceLoad, Load};
use scalebot_commands::ports::{AppendError, Post};
use scalebot_commands::units::{Epoch, InstanceId, Millis, OperationId, TargetName};

use self::place::{Place, api, draft, lead, note, prove, requested, whole};

/// Each of these holds for either database.
macro_rules! for_both {
    ($($name:ident),+ $(,)?) => {
        mod in_a_file {
            use super::Place;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    super::$name(Place::file()).await;
                }
            )+
        }

        mod in_postgresql {
            use super::Place;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    super::$name(Place::server()).await;
                }
            )+
        }
    };
}

for_both!(
    events_are_chained_counted_by_operation_and_found_again_after_reopening,
    a_body_is_kept_as_the_bytes_that_were_written,
    what_no_reader_could_make_sense_of_is_not_written,
    a_target_is_held_from_the_request_to_the_end_and_survives_reopening,
    after_another_process_took_over_the_older_one_writes_nothing_more,
    whoever_lost_count_is_fenced,
    writers_that_race_leave_one_chain_and_each_event_is_announced_once_in_its_order,
    an_event_is_announced_even_when_nobody_waits_for_it_any_more,
    posts_are_planned_one_at_a_time_and_continue_each_other,
    samples_come_back_as_they_were_kept_and_a_number_kept_again_is_replaced,
    a_log_that_was_put_back_to_an_older_state_takes_nothing_more,
    what_was_changed_from_outside_is_found,
    a_long_log_is_read_to_its_end_in_its_order,
);

async fn events_are_chained_counted_by_operation_and_found_again_after_reopening(place: Place) {
    let (ledger, epoch) = place.led().await;
    let first = ledger.append(requested("op-a", epoch)).await.unwrap();
    let second = ledger.append(note(epoch)).await.unwrap();
    let third = ledger.append(draft("op-a", 2, epoch)).await.unwrap();
    assert_eq!((first.seq, first.prev), (1, Hash::GENESIS));
    assert_eq!((second.prev, third.prev), (first.hash, second.hash));
    ledger.close().await;

    let ledger = place.opened().await;
    assert_eq!(ledger.events_of(&OperationId::new("op-a")).await.unwrap(), [first.clone(), third.clone()]);
    assert_eq!(ledger.events_of(&OperationId::new("op-x")).await.unwrap(), []);
    assert_eq!(ledger.events_after(0, 2).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(ledger.events_after(2, 100).await.unwrap(), std::slice::from_ref(&third));
    assert_eq!(ledger.events_after(u64::MAX, 1).await.unwrap(), []);
    assert_eq!(ledger.latest("command_refused", 5).await.unwrap(), std::slice::from_ref(&second));
    let events = whole(&ledger).await;
    assert_eq!(events, [first, second, third.clone()]);
    assert_eq!(prove(&events), (3, third.hash));

    let next = lead(&ledger).await;
    assert_eq!(next, Epoch(epoch.0 + 1));
    assert_eq!(ledger.append(draft("op-a", 3, next)).await.unwrap().prev, third.hash);
}

async fn a_body_is_kept_as_the_bytes_that_were_written(place: Place) {
    let (ledger, epoch) = place.led().await;
    let bodies = [
        r#"{"b":1.0,"a":1e3}"#,
        r#"{ "a" : 1 , "a" : 2 }"#,
        r#"{"t":"\u00e9 é \ud83d\ude00 😀","n":-0.0,"big":123456789012345678901234567890}"#,
        r#"{"nul":"\u0000"}"#,
    ];
    for (index, body) in bodies.iter().enumerate() {
        let draft = Draft { body: (*body).to_owned(), ..draft("op-a", index as u64 + 1, epoch) };
        assert_eq!(ledger.append(draft).await.unwrap().body, *body);
    }
    let events = whole(&ledger).await;
    assert_eq!(events.iter().map(|event| event.body.as_str()).collect::<Vec<_>>(), bodies);
    assert!(events[0].line().ends_with(r#""body":{"b":1.0,"a":1e3}}"#));
    prove(&events);
}

async fn what_no_reader_could_make_sense_of_is_not_written(place: Place) {
    let (ledger, epoch) = place.led().await;
    let unfit = [
        Draft { body: "[1]".into(), ..draft("op-a", 1, epoch) },
        Draft { body: "{".into(), ..draft("op-a", 1, epoch) },
        Draft { body: "{\"a\":\n1}".into(), ..draft("op-a", 1, epoch) },
        draft("", 1, epoch),
        Draft { claim: Claim::Take(api()), ..note(epoch) },
    ];
    for draft in unfit {
        let refused = ledger.append(draft.clone()).await.unwrap_err();
        assert!(matches!(refused, AppendError::Unavailable(_)), "{draft:?}");
    }
    assert_eq!(whole(&ledger).await, []);
    assert_eq!(ledger.claims().await.unwrap(), []);
}

async fn a_target_is_held_from_the_request_to_the_end_and_survives_reopening(place: Place) {
    let (ledger, epoch) = place.led().await;
    ledger.append(requested("op-a", epoch)).await.unwrap();
    let AppendError::Claimed(held) = ledger.append(requested("op-b", epoch)).await.unwrap_err() else {
        panic!("two operations on one target");
    };
    assert_eq!((held.target.as_str(), held.operation.as_str()), ("api", "op-a"));
    assert_eq!(held.since, "2026-01-08T03:00:00Z".parse().unwrap());
    // Another target is another matter.
    let other = Draft { claim: Claim::Take(TargetName::new("web")), ..requested("op-c", epoch) };
    ledger.append(other).await.unwrap();
    assert_eq!(whole(&ledger).await.len(), 2, "the refused request left no event");
    ledger.close().await;

    let ledger = place.opened().await;
    assert_eq!(ledger.claims().await.unwrap().len(), 2);
    let end = Draft { kind: Kind::Finished, claim: Claim::Release, ..draft("op-a", 2, epoch) };
    ledger.append(end).await.unwrap();
    assert_eq!(ledger.claims().await.unwrap().len(), 1);
    ledger.append(requested("op-b", epoch)).await.unwrap();
}

async fn after_another_process_took_over_the_older_one_writes_nothing_more(place: Place) {
    let (older, first) = place.led().await;
    older.append(requested("op-a", first)).await.unwrap();
    let newer = place.opened().await;
    let second = lead(&newer).await;

    let AppendError::Fenced { detail } = older.append(draft("op-a", 2, first)).await.unwrap_err() else {
        panic!("an older process wrote");
    };
    assert_eq!(detail, "this process holds epoch 1, in force is 2");
    newer.append(draft("op-a", 2, second)).await.unwrap();
    assert_eq!(whole(&older).await.len(), 2);

    // Nor beside the chain: an overtaken process neither posts nor changes what was measured.
    let post = Post { first: 1, last: 1, hash: Hash([7; 32]), text: "one".to_owned() };
    assert!(older.plan(&post).await.unwrap_err().to_string().contains("taken"));
    newer.plan(&post).await.unwrap();
    assert!(older.confirm(&post, "1").await.unwrap_err().to_string().contains("taken"));
    newer.confirm(&post, "1").await.unwrap();
}

async fn whoever_lost_count_is_fenced(place: Place) {
    let ledger = place.opened().await;
    let fenced = |answer: Result<Event, AppendError>| matches!(answer, Err(AppendError::Fenced { .. }));
    assert!(fenced(ledger.append(draft("op-a", 1, Epoch(0))).await), "nobody has taken it over");
    let epoch = lead(&ledger).await;
    assert!(fenced(ledger.append(draft("op-a", 2, epoch)).await), "the first is number 1");
    ledger.append(draft("op-a", 1, epoch)).await.unwrap();
    for op_seq in [0, 1, 3, u64::MAX] {
        assert!(fenced(ledger.append(draft("op-a", op_seq, epoch)).await), "{op_seq}");
    }
    assert!(fenced(ledger.append(Draft { op_seq: 1, ..note(epoch) }).await));
    assert!(fenced(ledger.append(draft("op-a", 2, Epoch(u64::MAX))).await));
    assert_eq!(whole(&ledger).await.len(), 1);
}

async fn writers_that_race_leave_one_chain_and_each_event_is_announced_once_in_its_order(place: Place) {
    let announced: Arc<Mutex<Vec<(u8, u64)>>> = Arc::default();
    let mut handles = Vec::new();
    for name in 0..2_u8 {
        let announced = Arc::clone(&announced);
        handles.push(place.opened_by(move |event| announced.lock().unwrap().push((name, event.seq))).await);
    }
    // Two processes never hold the same epoch; two handles of one test do, so that both can write.
    let epoch = lead(&handles[0]).await;
    let tasks: Vec<_> = (0..8)
        .map(|task: usize| {
            let ledger = Arc::clone(&handles[task % 2]);
            tokio::spawn(async move {
                for op_seq in 1..=25 {
                    ledger.append(draft(&format!("op-{task}"), op_seq, epoch)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let events = whole(&handles[0]).await;
    assert_eq!(prove(&events).0, 200);
    let announced = announced.lock().unwrap().clone();
    let mut seqs: Vec<u64> = announced.iter().map(|(_, seq)| *seq).collect();
    for name in 0..2 {
        let own: Vec<u64> = announced.iter().filter(|(by, _)| *by == name).map(|(_, seq)| *seq).collect();
        assert!(own.is_sorted() && own.len() == 100, "{own:?}");
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
}

async fn an_event_is_announced_even_when_nobody_waits_for_it_any_more(place: Place) {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    // It is not announced, and so does not end, before nobody waits for it.
    let (left, gate) = std::sync::mpsc::channel();
    let gate = Mutex::new(gate);
    let announced = move |event: &Event| {
        gate.lock().unwrap().recv().unwrap();
        tell.send(event.seq).unwrap();
    };
    let ledger = place.opened_by(announced).await;
    let epoch = lead(&ledger).await;
    let mut append = ledger.append(draft("op-a", 1, epoch));
    assert!(futures::poll!(append.as_mut()).is_pending());
    drop(append);
    left.send(()).unwrap();
    assert_eq!(told.recv().await, Some(1));
    assert_eq!(whole(&ledger).await.len(), 1);
}

async fn posts_are_planned_one_at_a_time_and_continue_each_other(place: Place) {
    let (ledger, _) = place.led().await;
    let post = |first: u64, last: u64| Post { first, last, hash: Hash([7; 32]), text: format!("{first} to {last}") };
    assert_eq!(ledger.position().await.unwrap(), (0, None));
    ledger.plan(&post(2, 3)).await.unwrap_err();
    ledger.plan(&post(1, 3)).await.unwrap();
    ledger.plan(&post(1, 3)).await.unwrap();
    ledger.plan(&post(1, 4)).await.unwrap_err();
    ledger.close().await;

    let ledger = place.opened().await;
    lead(&ledger).await;
    assert_eq!(ledger.position().await.unwrap(), (0, Some(post(1, 3))));
    ledger.confirm(&post(1, 4), "1").await.unwrap_err();
    ledger.confirm(&post(1, 3), "1").await.unwrap();
    ledger.confirm(&post(1, 3), "1").await.unwrap();
    let other = ledger.confirm(&post(1, 3), "2").await.unwrap_err();
    assert!(other.to_string().contains("confirmed as message 1"), "{other}");
    assert_eq!(ledger.position().await.unwrap(), (3, None));
    ledger.plan(&post(3, 5)).await.unwrap_err();
    ledger.plan(&post(4, 4)).await.unwrap();
    assert_eq!(ledger.position().await.unwrap(), (3, Some(post(4, 4))));
}

async fn samples_come_back_as_they_were_kept_and_a_number_kept_again_is_replaced(place: Place) {
    let (ledger, _) = place.led().await;
    let operation = OperationId::new("op-a");
    let load = |cpu: f64| {
        let mut latency = Histogram::empty(&BACKEND_BOUNDS_MS);
        latency.record(217.000_000_3 * cpu);
        Load {
            until: "2026-01-08T03:00:00.123456789Z".parse().unwrap(),
            window: Millis(3_000),
            instances: vec![InstanceLoad {
                instance: InstanceId::new("api-1"),
                requests: 1,
                errors: 0,
                latency,
                cpu: Some(cpu),
                memory_bytes: Some(u64::MAX),
                saturation: None,
            }],
            missing: vec![InstanceId::new("api-2")],
        }
    };
    // Figures whose last digit is lost by a reader that takes short cuts.
    let figures: Vec<f64> = (1..400_u32).map(|n| 1.0 / f64::from(n) + f64::from(n) / 7.0e-3).collect();
    ledger.keep(&operation, 0, &load(9.0)).await.unwrap();
    ledger.keep(&OperationId::new("op-b"), 0, &load(1.0)).await.unwrap();
    for (index, figure) in figures.iter().enumerate().rev() {
        ledger.keep(&operation, index as u64, &load(*figure)).await.unwrap();
    }
    let wanted: Vec<Load> = figures.iter().map(|figure| load(*figure)).collect();
    let kept = ledger.kept(&operation).await.unwrap();
    assert_eq!(kept.len(), wanted.len());
    for (kept, wanted) in kept.iter().zip(&wanted) {
        assert_eq!(kept, wanted);
    }
    assert_eq!(ledger.kept(&OperationId::new("op-x")).await.unwrap(), []);
}

async fn a_log_that_was_put_back_to_an_older_state_takes_nothing_more(place: Place) {
    let (ledger, epoch) = place.led().await;
    for op_seq in 1..=3 {
        ledger.append(draft("op-a", op_seq, epoch)).await.unwrap();
    }
    place.runs("DELETE FROM event WHERE seq = 3").await;
    let AppendError::Fenced { detail } = ledger.append(draft("op-a", 3, epoch)).await.unwrap_err() else {
        panic!("it goes on from an older state");
    };
    assert!(detail.contains("event 3 is not there any more"), "{detail}");
    let post = Post { first: 1, last: 1, hash: Hash([7; 32]), text: "one".to_owned() };
    assert!(ledger.plan(&post).await.unwrap_err().to_string().contains("event 3"));
    // Whoever begins anew takes it as it is; the log channel knows better.
    let (newer, epoch) = place.led().await;
    newer.append(draft("op-a", 3, epoch)).await.unwrap();
    assert_eq!(prove(&whole(&newer).await).0, 3);
}

async fn what_was_changed_from_outside_is_found(place: Place) {
    let (ledger, epoch) = place.led().await;
    for op_seq in 1..=4 {
        ledger.append(draft("op-a", op_seq, epoch)).await.unwrap();
    }
    let in_order = whole(&ledger).await;
    let mut proof = scalebot_commands::event::Proof::default();
    assert!(in_order.iter().all(|event| proof.take(event).is_ok()));
    for (change, undo, seq) in [
        ("UPDATE event SET body = '{\"a\":1}' WHERE seq = 2", "UPDATE event SET body = '{}' WHERE seq = 2", 2),
        ("UPDATE event SET epoch = 9 WHERE seq = 3", "UPDATE event SET epoch = 1 WHERE seq = 3", 3),
        ("UPDATE event SET at = '' WHERE seq = 1", "UPDATE event SET at = '2026-01-08T03:00:00Z' WHERE seq = 1", 1),
        ("UPDATE event SET seq = 40 WHERE seq = 4", "UPDATE event SET seq = 4 WHERE seq = 40", 40),
    ] {
        place.runs(change).await;
        let mut proof = scalebot_commands::event::Proof::default();
        let wrong = whole(&ledger).await.into_iter().find(|event| proof.take(event).is_err());
        assert_eq!(wrong.map(|event| event.seq), Some(seq), "{change}");
        place.runs(undo).await;
    }
    assert_eq!(whole(&ledger).await, in_order);
}

async fn a_long_log_is_read_to_its_end_in_its_order(place: Place) {
    let (ledger, epoch) = place.led().await;
    assert_eq!(ledger.latest_place().await, Ok(0));
    // More than one page of what is read at a time.
    for _ in 0..2_345 {
        ledger.append(note(epoch)).await.unwrap();
    }
    assert_eq!(prove(&whole(&ledger).await).0, 2_345);
    assert_eq!(ledger.latest_place().await, Ok(2_345));
}
