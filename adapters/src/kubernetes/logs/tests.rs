use serde_json::{Value, json};

use super::*;
use crate::kubernetes::cluster::{Api, failure, pod};

fn text(text: &str) -> (u16, Value) {
    (200, Value::String(text.to_owned()))
}

/// A pod that was started again so often, with these logs.
async fn with(restarts: u32, before: (u16, Value), now: (u16, Value)) -> Api {
    let mut given = pod("api-1");
    given["status"]["containerStatuses"][0]["restartCount"] = json!(restarts);
    Api::of(vec![given], move |asked, _| {
        if asked.path != "pods/api-1/log" {
            return None;
        }
        let previous = asked.query.get("previous").is_some_and(|previous| previous == "true");
        Some(if previous { before.clone() } else { now.clone() })
    })
    .await
}

async fn read(api: &Api, most: usize) -> Result<String, PortError> {
    end_of(&api.server(), &api.settings(), &InstanceId::new("api-1"), most).await
}

#[tokio::test]
async fn the_newest_is_what_is_kept() {
    let api = with(0, text(""), text("first\nsecond\nlast\n")).await;
    assert_eq!(read(&api, 1_000).await.unwrap(), "first\nsecond\nlast\n");
    assert_eq!(read(&api, 5).await.unwrap(), "last\n");
    let cluster = api.cluster();
    let asked = cluster.asked.iter().find(|asked| asked.path == "pods/api-1/log").unwrap();
    assert_eq!(asked.query.get("container").map(String::as_str), Some("api"));
    assert!(asked.query.contains_key("tailLines") && asked.query.contains_key("limitBytes"), "{asked:?}");
}

#[tokio::test]
async fn what_the_crashed_container_wrote_comes_first() {
    let api = with(2, text("panicked\n"), text("starting\n")).await;
    assert_eq!(
        read(&api, 1_000).await.unwrap(),
        "--- the container before it was started again ---\npanicked\n\
         --- the container that runs now ---\nstarting\n"
    );
}

#[tokio::test]
async fn both_have_room_and_together_no_more_than_there_is() {
    let (before, now) = ("b".repeat(10_000), "n".repeat(10_000));
    let api = with(2, text(&before), text(&now)).await;
    let read = read(&api, 1_000).await.unwrap();
    assert!(read.len() <= 1_000, "{}", read.len());
    let count = |letter| read.matches(letter).count();
    assert!(count("bbbb") > 100 && count("nnnn") > 100, "{read}");
}

#[tokio::test]
async fn a_container_that_is_not_up_yet_does_not_hide_why_the_last_one_ended() {
    let waiting = || failure(400, "BadRequest", "container \"api\" in pod \"api-1\" is waiting to start");
    let api = with(4, text("panicked\n"), waiting()).await;
    assert_eq!(read(&api, 1_000).await.unwrap(), "--- the container before it was started again ---\npanicked\n");
    let api = with(4, failure(404, "NotFound", "previous terminated container not found"), waiting()).await;
    let error = read(&api, 1_000).await.unwrap_err().to_string();
    assert_eq!(error, "the Kubernetes API refused: container \"api\" in pod \"api-1\" is waiting to start");
}

#[tokio::test]
async fn a_log_that_the_servers_own_limit_cut_off_is_asked_for_in_fewer_lines() {
    // That limit keeps the oldest bytes of the lines that were asked for.
    let api = Api::of(vec![pod("api-1")], |asked, _| {
        let lines = asked.query.get("tailLines")?;
        Some(if lines == "5000" { text(&"old\n".repeat(SLACK)) } else { text("the last line\n") })
    })
    .await;
    assert_eq!(read(&api, 100).await.unwrap(), "the last line\n");
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_not_asked_for() {
    let api = with(0, text(""), text("x")).await;
    for name in ["", "..", "../secrets/token", "api-1/log?x=", "API", "api%2F"] {
        let asked = end_of(&api.server(), &api.settings(), &InstanceId::new(name), 10).await;
        assert!(matches!(asked, Err(PortError::Unreadable { .. })), "{name}: {asked:?}");
    }
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn a_pod_that_was_never_created_wrote_nothing() {
    let api = with(0, text(""), text("x")).await;
    let place = InstanceId::new("api-7c9f-missing-5-of-6");
    let error = end_of(&api.server(), &api.settings(), &place, 10).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "instance api-7c9f-missing-5-of-6 does not serve this (its pod was never created, so it wrote nothing)"
    );
}

#[test]
fn a_cut_falls_between_two_characters() {
    assert_eq!(end("aéü", 2), "ü");
    assert_eq!(end("aéü", 3), "ü");
    assert_eq!(end("aéü", 9), "aéü");
    for most in 0..120 {
        assert!(together("before é", "now ü", most).len() <= most);
        assert!(marked(NOW, "now ü", most).len() <= most);
    }
}
