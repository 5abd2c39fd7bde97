//! On a service of a Compose project.

use scalebot_adapters::docker::Compose;
use scalebot_adapters::doctor::Status;
use scalebot_commands::ports::Fleet as _;
use scalebot_commands::units::Replicas;
use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::composed::{Composed, Scene};
use scalebot_tests::operator::{check, terminated};
use serde_json::json;

use crate::{ended, filtered};

fn kept(before: Vec<String>, gone: &[&str]) -> Vec<String> {
    before.into_iter().filter(|name| !gone.contains(&name.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_containers_become_four_and_the_same_two_again_without_a_lost_request() {
    let composed = Composed::with(Scene::of(2)).await;
    let before = composed.names().await;
    let mut operator = composed.served().await;
    let (code, said) = composed.service.on_the_host(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    for found in
        ["the Docker engine at ", "root on that machine", "2 of 2 containers run", "docker-compose, version 1."]
    {
        assert!(said.contains(found), "no {found}: {said}");
    }

    operator.up(4);
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 4);
    let after = composed.names().await;
    assert_eq!((after.len(), &after[..2]), (4, &before[..]));
    // The file says nothing, so that whoever runs it next has one.
    let (status, said) = check(&events, "declared count");
    assert!(status == "warn" && said.contains("says no number"), "{status}: {said}");
    assert_eq!(of_kind(&events, "scaling").len(), 1);

    let ((), sent, lost) = composed
        .lost_during(async {
            operator.down(2);
            let events = operator.watched_long_enough();
            ended(&events, "cancelled", 2);
            let gone = terminated(&events);
            assert_eq!(gone, [after[3].as_str(), after[2].as_str()]);
        })
        .await;
    assert!(sent > 30, "{sent} requests say nothing");
    assert_eq!(lost, 0, "of {sent}");
    assert_eq!(composed.names().await, before);
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_observed_through_the_shipped_filter_which_lets_no_order_through() {
    let composed = Composed::with(Scene::of(2)).await;
    let folder = tempfile::tempdir().unwrap();
    let (port, filter) = filtered(&composed.engine, folder.path());
    let settings = serde_json::from_value(json!({
        "project": composed.project, "service": "api", "files": [composed.file()], "port": 8000,
        "socket": format!("tcp:127.0.0.1:{port}"), "time_out": "8s",
        "order_socket": format!("unix:{}", composed.engine.socket.display()),
    }));
    let fleet = Compose::new(&settings.unwrap(), folder.path()).unwrap();
    let seen = fleet.observe().await.unwrap();
    assert_eq!((seen.wanted, seen.ready()), (Replicas(2), Replicas(2)));
    assert_eq!(fleet.headroom(Replicas(1)).await.unwrap().fits, Replicas(1));
    let logs = fleet.logs(&seen.instances[0].id, 1_000).await.unwrap();
    assert!(logs.contains("listening on"), "{logs}");
    let found = fleet.check().await;
    assert!(found.iter().all(|found| found.status == Status::Ok), "{found:#?}");

    let client = reqwest::Client::new();
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let name = &composed.names().await[0];
    for order in ["/containers/create", &format!("/containers/{name}/stop"), &format!("/containers/{name}/json")] {
        let answer = client.post(at(order)).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{order}");
    }
    for question in ["/images/json", "/swarm", &format!("/containers/{name}/export"), "/v1.41/info"] {
        assert_eq!(client.get(at(question)).send().await.unwrap().status(), 403, "{question}");
    }
    drop(filter);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_changed() {
    let composed = Composed::with(Scene { fleet: "memory = \"100TiB\"\n", ..Scene::of(2) }).await;
    let before = composed.names().await;
    let mut operator = composed.served().await;
    operator.up(3);
    let events = operator.ended();
    ended(&events, "refused", 2);
    let (status, said) = check(&events, "room");
    assert!(status == "fail" && said.contains("0 more fit, 1 wanted"), "{status}: {said}");

    // One that can be there only once.
    let text = std::fs::read_to_string(composed.file()).unwrap();
    std::fs::write(composed.file(), text.replace("    image:", "    container_name: the-api\n    image:")).unwrap();
    operator.up(3);
    let events = operator.ended();
    ended(&events, "refused", 2);
    let (_, said) = check(&events, "room");
    assert!(said.contains("compose.yaml, line 4: \"container_name: the-api\""), "{said}");
    let (status, said) = check(&events, "who else steers");
    assert!(status == "fail" && said.contains("which was changed"), "{status}: {said}");
    assert!(of_kind(&events, "scaling").is_empty());
    assert_eq!(composed.names().await, before);
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_balancer_resolves_the_name_a_container_gets_requests_until_it_ends() {
    let composed = Composed::with(Scene { by_name: true, ..Scene::of(3) }).await;
    let before = composed.names().await;
    let mut operator = composed.served().await;
    operator.down(2);
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 2);
    assert_eq!(only(&events, "drained")["ended"], "as_it_ends");
    assert!(of_kind(&events, "draining").is_empty());
    assert_eq!(terminated(&events), [before[2].as_str()]);
    assert_eq!(composed.names().await, before[..2]);
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_crash_are_taken_back_and_the_old_ones_stay() {
    let composed = Composed::with(Scene { later_ones_crash: true, ..Scene::of(2) }).await;
    let before = composed.names().await;
    let mut operator = composed.served().await;
    operator.up(4);
    let events = operator.ended();
    ended(&events, "rolled_back", 2);
    assert_eq!(only(&events, "not_ready")["ended"], "hopeless");
    let problem = only(&events, "not_ready")["problem"].as_str().unwrap();
    assert!(problem.contains("it ended with status 1"), "{problem}");
    assert_eq!(only(&events, "rolled_back")["done"], true);
    let logs = only(&events, "logs_saved")["kept"].as_array().unwrap();
    let log = std::fs::read_to_string(logs[0]["place"].as_str().unwrap()).unwrap();
    assert!(log.contains("listening on 0.0.0.0:8000"), "{log}");
    assert_eq!(composed.names().await, before);
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_up_ends_the_watch_and_nobody_fights_about_it() {
    let composed = Composed::with(Scene::of(2)).await;
    let mut operator = composed.served().await;
    operator.up(3);
    operator.until("verified", 1);
    composed.somebody_scales(4);
    let events = operator.ended();
    ended(&events, "failed", 4);
    assert_eq!(only(&events, "monitored")["ended"], "interfered");
    assert_eq!(composed.names().await.len(), 4);
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_effect_it_goes_on_and_gives_each_order_once() {
    let composed = Composed::with(Scene::of(2)).await;
    let mut operator = composed.served().await;
    for (to, effect) in [(3, "scaling"), (4, "scaling_answered")] {
        operator.up(to);
        operator.killed_at(effect, 1).await;
        ended(&operator.watched_long_enough(), "cancelled", to);
        assert_eq!(composed.names().await.len(), to as usize);
    }
    let before = composed.names().await;
    operator.down(2);
    for (effect, times) in [("draining", 1), ("terminating", 1), ("terminating", 2)] {
        operator.killed_at(effect, times).await;
    }
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 2);
    let gone = terminated(&events);
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert_eq!(composed.names().await, kept(before, &gone));
    operator.leaves().await;
}
