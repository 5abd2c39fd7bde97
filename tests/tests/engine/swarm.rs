//! On a service of a swarm of one node.

use scalebot_adapters::docker::Swarm;
use scalebot_adapters::doctor::Status;
use scalebot_commands::ports::Fleet as _;
use scalebot_commands::units::Replicas;
use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::operator::{check, terminated};
use scalebot_tests::swarmed::{Scene, Swarmed};
use serde_json::json;

use crate::{ended, filtered};

/// Who of those is not there any more, and that those who are have the same tasks.
async fn gone_of(swarmed: &Swarmed, before: &[(String, String)]) -> Vec<String> {
    let now = swarmed.instances().await;
    let gone = before.iter().filter(|one| !now.iter().any(|(name, _)| *name == one.0));
    for (name, task) in &now {
        assert!(before.contains(&(name.clone(), task.clone())), "{name} is another task: {before:?} {now:?}");
    }
    gone.map(|(name, _)| name.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_become_four_and_two_again_whoever_that_is_without_a_lost_request() {
    let swarmed = Swarmed::with(Scene::of(2)).await;
    let before = swarmed.instances().await;
    let spec = swarmed.inspected().await["Spec"].clone();
    let mut operator = swarmed.served().await;
    let (code, said) = swarmed.service.on_the_host(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    for found in
        ["a manager, version", "root on every node", "2 of 2 tasks run", "20 s for its last requests", "would be taken"]
    {
        assert!(said.contains(found), "no {found}: {said}");
    }

    operator.up(4);
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 4);
    let after = swarmed.instances().await;
    assert_eq!((after.len(), &after[..2]), (4, &before[..]), "the old ones run on as they were");
    let (_, said) = check(&events, "who is ended");
    assert!(said.contains("an old instance may end in place of a new one"), "{said}");
    let mut now = swarmed.inspected().await["Spec"].clone();
    assert!(now["Labels"].as_object_mut().unwrap().remove("scalebot.order").is_some());
    now["Mode"]["Replicated"]["Replicas"] = json!(2);
    assert_eq!(now, spec, "nothing else was changed");

    let ((), sent, lost) = swarmed
        .lost_during(async {
            operator.down(2);
            let events = operator.watched_long_enough();
            ended(&events, "cancelled", 2);
            let (status, said) = check(&events, "who is ended");
            assert!(status == "warn" && said.contains("which 2 of 4 end is not known before"), "{status}: {said}");
            assert!(of_kind(&events, "draining").is_empty());
            assert_eq!(of_kind(&events, "terminating").len(), 2);
            let gone = terminated(&events);
            assert_eq!(gone.len(), 2, "{gone:?}");
            let mut seen = gone_of(&swarmed, &after).await;
            let mut gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
            seen.sort();
            gone.sort();
            assert_eq!(seen, gone, "it is recorded whom Swarm took");
        })
        .await;
    assert!(sent > 30, "{sent} requests say nothing");
    assert_eq!(lost, 0, "of {sent}");
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_nothing_is_changed() {
    let swarmed = Swarmed::with(Scene { reserves: Some(3), ..Scene::of(2) }).await;
    let before = swarmed.instances().await;
    let mut operator = swarmed.served().await;
    operator.up(6);
    let events = operator.ended();
    ended(&events, "refused", 2);
    let (status, said) = check(&events, "room");
    assert!(status == "fail" && said.contains("more fit, 4 wanted: memory that is not reserved"), "{status}: {said}");
    assert!(of_kind(&events, "scaling").is_empty());
    assert_eq!(swarmed.instances().await, before);
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_crash_are_taken_back_and_the_old_ones_stay() {
    let swarmed = Swarmed::with(Scene { later_ones_crash: true, ..Scene::of(2) }).await;
    let before = swarmed.instances().await;
    let mut operator = swarmed.served().await;
    operator.up(4);
    let events = operator.ended();
    ended(&events, "rolled_back", 2);
    assert_eq!(only(&events, "not_ready")["ended"], "hopeless");
    let problem = only(&events, "not_ready")["problem"].as_str().unwrap();
    assert!(problem.contains("it ended with status 1"), "{problem}");
    let rolled_back = only(&events, "rolled_back");
    assert_eq!((&rolled_back["done"], rolled_back["chosen"].as_array().map(Vec::len)), (&json!(true), Some(2)));
    let logs = only(&events, "logs_saved")["kept"].as_array().unwrap();
    let log = std::fs::read_to_string(logs[0]["place"].as_str().unwrap()).unwrap();
    assert!(log.contains("listening on 0.0.0.0:8000"), "{log}");
    assert_eq!(swarmed.instances().await, before, "of one node Swarm ends first who does not run");
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_count_ends_the_watch_and_their_rollout_is_waited_for() {
    let swarmed = Swarmed::with(Scene::of(2)).await;
    let mut operator = swarmed.served().await;
    operator.up(3);
    operator.until("verified", 1);
    swarmed.somebody_changes(|spec| spec["Mode"]["Replicated"]["Replicas"] = json!(4)).await;
    let events = operator.ended();
    ended(&events, "failed", 4);
    assert_eq!(only(&events, "monitored")["ended"], "interfered");
    assert_eq!(swarmed.tasks().await.len(), 4);

    // A version for which there is no room: the rollout stands still.
    swarmed
        .somebody_changes(|spec| {
            spec["TaskTemplate"]["Resources"]["Reservations"]["MemoryBytes"] = json!(1_u64 << 50);
        })
        .await;
    operator.up(5);
    let events = operator.ended();
    ended(&events, "refused", 4);
    let (status, said) = check(&events, "who else steers");
    assert!(
        status == "fail" && said.contains("a rolling update of") && said.contains("is under way"),
        "{status}: {said}"
    );
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_effect_it_goes_on_and_gives_each_order_once() {
    let swarmed = Swarmed::with(Scene::of(2)).await;
    let mut operator = swarmed.served().await;
    for (to, effect) in [(3, "scaling"), (4, "scaling_answered")] {
        operator.up(to);
        operator.killed_at(effect, 1).await;
        ended(&operator.watched_long_enough(), "cancelled", to);
        assert_eq!(swarmed.tasks().await.len(), to as usize);
    }
    let before = swarmed.instances().await;
    operator.down(2);
    for (effect, times) in [("terminating", 1), ("terminating_answered", 1), ("terminating", 2)] {
        operator.killed_at(effect, times).await;
    }
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 2);
    let mut gone: Vec<String> = terminated(&events).iter().map(ToString::to_string).collect();
    let mut seen = gone_of(&swarmed, &before).await;
    seen.sort();
    gone.sort();
    assert_eq!((gone.len(), &gone), (2, &seen));
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_asked_through_the_shipped_filter_and_told_through_one_that_lets_only_updates_through() {
    let swarmed = Swarmed::with(Scene { by_name: true, ..Scene::of(3) }).await;
    let folder = tempfile::tempdir().unwrap();
    let (port, filter) = filtered(&swarmed.engine, folder.path());
    let orders = folder.path().join("orders.sock");
    let settings = serde_json::from_value(json!({
        "service": swarmed.name, "socket": format!("tcp:127.0.0.1:{port}"), "reach": "published", "time_out": "8s",
        "order_socket": format!("unix:{}", orders.display()),
    }));
    let fleet = Swarm::new(&settings.unwrap()).unwrap();
    let seen = fleet.observe().await.unwrap();
    assert_eq!((seen.wanted, seen.ready()), (Replicas(3), Replicas(3)));
    assert_eq!(fleet.headroom(Replicas(1)).await.unwrap().fits, Replicas(1));
    let logs = fleet.logs(&seen.instances[0].id, 1_000).await.unwrap();
    assert!(logs.contains("listening on"), "{logs}");
    let found = fleet.check().await;
    assert!(found.iter().all(|found| found.status == Status::Ok), "{found:#?}");

    let asked = reqwest::Client::new();
    let told = reqwest::Client::builder().unix_socket(orders).build().unwrap();
    let update = format!("/services/{}/update?version=0", swarmed.name);
    for order in ["/services/create", "/swarm/leave", "/nodes/x/update", "/containers/create", &update] {
        let answer = asked.post(format!("http://127.0.0.1:{port}{order}")).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{order}");
        let answer = told.post(format!("http://localhost{order}")).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status() == 403, order != update, "{order}");
    }
    for question in ["/swarm", "/swarm/unlockkey", "/secrets", "/images/json"] {
        assert_eq!(
            asked.get(format!("http://127.0.0.1:{port}{question}")).send().await.unwrap().status(),
            403,
            "{question}"
        );
    }
    drop(filter);

    // Where the name is resolved, one gets requests until it ends.
    let before = swarmed.instances().await;
    let mut operator = swarmed.served().await;
    operator.down(2);
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 2);
    assert_eq!(only(&events, "terminating")["instances"], json!([]));
    assert_eq!(terminated(&events), gone_of(&swarmed, &before).await);

    operator.leaves().await;
}
