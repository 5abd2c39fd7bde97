//! Whatever stands in the body of an event, written by a broken disk, by hand, or by a version that nobody has: nobody
//! is guessed at, nothing of it is lost, and what people see of it acts on nothing.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use scalebot_commands::request::escaped;
use serde_json::Value;

use super::*;
use crate::console::Style;

static GOLDEN: LazyLock<Vec<Golden>> = LazyLock::new(golden::all);

/// What may stand where something else stood.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        Just(Value::from(0)),
        Just(Value::from("")),
        any::<String>().prop_map(Value::from),
        Just(Value::from("@everyone \u{202e}\u{1b}[2J\n".repeat(60))),
        Just(Value::from("9999-12-31T23:59:59Z")),
        Just(serde_json::json!([])),
        Just(serde_json::json!({})),
        Just(serde_json::json!([[], {}, "x"])),
    ]
}

/// Every place within a body, from the outside in.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let place = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                places(field, &place, found);
                found.push(place);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                let place = format!("{at}/{number}");
                places(item, &place, found);
                found.push(place);
            }
        }
        _ => {}
    }
}

/// The log with something else at one place of one event, each event in its place of the chain again.
fn tampered(log: &[Event], event: usize, place: Index, value: Value) -> Vec<Event> {
    let mut log = log.to_vec();
    let mut body = super::super::body(&log[event]);
    let mut found = Vec::new();
    places(&body, "", &mut found);
    if !found.is_empty() {
        *body.pointer_mut(&found[place.index(found.len())]).unwrap() = value;
    }
    log[event].body = body.to_string();
    sealed(log)
}

/// What people are shown on a terminal is bounded, and acts on nothing.
fn assert_shown(stage: &Stage, case: &str) {
    let utf8 = |name: &str| (name == "LANG").then(|| "C.UTF-8".to_owned());
    for (slot, card) in &stage.script().shown {
        let drawn = crate::console::text(card, Style::detect(false, Some(80), utf8));
        for line in drawn.lines() {
            assert_eq!(escaped(line, 10_000), line, "{case}: {slot:?}");
        }
        assert!(drawn.len() < 20_000, "{case}: {slot:?}: {} bytes", drawn.len());
    }
}

/// Takes it up; `None` where it has not ended after days.
async fn taken_up(stage: &Stage, story: &Story) -> Option<Ended> {
    let limit = stage.script().clock + Duration::from_hours(72);
    let too_long = async {
        while stage.script().clock < limit {
            tokio::task::yield_now().await;
        }
    };
    let policy = (story.policy)();
    tokio::select! {
        ended = stage.take_up(&policy) => Some(ended),
        () = too_long => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 2, ..ProptestConfig::default() })]

    #[test]
    fn whatever_stands_in_an_event_is_gone_on_with_or_waits_for_a_person(
        (which, length, event, place) in any::<(Index, Index, Index, Index)>(),
        value in anything(),
    ) {
        let Golden { release, story, log } = which.get(&GOLDEN);
        let length = length.index(log.len()) + 1;
        let event = event.index(length);
        let log = tampered(&log[..length], event, place, value);
        let case = format!("{} of {release}, cut after event {length}, event {}: {}", story.name, event + 1, log[event].body.chars().take(300).collect::<String>());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stage = left(story, &GOLDEN.iter().find(|golden| golden.story.name == story.name).unwrap().log[..length], false, SHORT);
            stage.holds(&log, SHORT);
            if !stage.claims().is_empty() {
                match taken_up(&stage, story).await {
                    Some(Ended::Finished(finished)) => assert!(!finished.reason.is_empty(), "{case}"),
                    Some(Ended::Parked(reason)) => {
                        assert!(!reason.is_empty() && reason.chars().count() < 4_100, "{case}: {reason}");
                        assert_eq!(escaped(&reason, 5_000), reason, "{case}");
                    }
                    Some(Ended::Fenced(why)) => panic!("{case}: {why}"),
                    // It waits for a time that the log names, and can be cancelled meanwhile.
                    None => assert_eq!(stage.claims().len(), 1, "{case}"),
                }
                assert_eq!(stage.script().ordered_again, [""; 0], "{case}: an effect was repeated");
            }
            assert_eq!(stage.script().events[..length], log, "{case}: something is lost");
            assert_whole(&stage, &case);
            for question in ["/scale status", "/scale history 5", "/scale followups", "/scale capacity"] {
                let _ = stage.answers("operator", question).await;
            }
            assert_shown(&stage, &case);
        });
    }
}
