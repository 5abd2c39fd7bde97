//! `scalebot drill --fleet compose|swarm`: a rehearsal's own containers, of which nothing is left on the engine.

use scalebot_tests::binary::{Drill, kill, of_kind};
use scalebot_tests::engine::{Engine, in_query, looked_until};
use scalebot_tests::operator::{check, terminated};
use serde_json::{Value, json};

use crate::ended;

/// A rehearsal on the engine that the tests have.
fn drill() -> (Drill, Engine) {
    let engine = Engine::started();
    let host = format!("unix://{}", engine.socket.display());
    (Drill::with_environment(&[("DOCKER_HOST", &host)]), engine)
}

/// What the engine has of that rehearsal: containers, services, networks and images.
async fn left(engine: &Engine, drill: &Drill) -> Vec<Value> {
    let state = drill.state().canonicalize().unwrap();
    let filters = in_query(&json!({ "label": [format!("scalebot.drill={}", state.display())] }).to_string());
    let mut all = Vec::new();
    for path in
        ["/containers/json?all=1&filters=", "/services?filters=", "/networks?filters=", "/images/json?all=1&filters="]
    {
        all.extend(engine.says(&format!("{path}{filters}")).await.as_array().unwrap().clone());
    }
    all
}

/// Nothing is left, and the log is proved.
async fn gone(engine: &Engine, drill: &Drill, events: &[Value]) {
    assert_eq!(left(engine, drill).await, Vec::<Value>::new());
    drill.proved(events);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_compose_it_goes_up_killed_in_the_middle_and_down_again_and_nothing_is_left() {
    let (drill, engine) = drill();
    let arguments = ["--fleet", "compose", "--instances", "2", "--load", "6", "--monitor", "10s"];
    let mut running = drill.start(&[&arguments[..], &["/scale up 4 reason:\"campaign\""]].concat());
    running.until("scaling");
    running.kill();
    let up = drill.run(&[&arguments[..], &["/scale down 3 reason:\"night\""]].concat());
    assert_eq!(up.code, Some(0), "{}", up.said);
    let events = drill.exported();
    let ends = of_kind(&events, "finished");
    let ends: Vec<_> = ends.iter().map(|end| (&end["outcome"], &end["ended_at"])).collect();
    let completed = json!("completed");
    assert_eq!(ends, [(&completed, &json!(4)), (&completed, &json!(3))]);
    // The newest one goes, as Compose has it.
    let went = terminated(&events);
    assert!(matches!(went.as_slice(), [one] if one.ends_with("api_4") || one.ends_with("api-4")), "{went:?}");
    gone(&engine, &drill, &events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_compose_what_crashes_is_taken_back() {
    let (drill, engine) = drill();
    let arguments = ["--fleet", "compose", "--instances", "2", "--load", "5", "--fault", "crash"];
    let back = drill.run(&[&arguments[..], &["/scale up 3 reason:\"campaign\""]].concat());
    assert_eq!(back.code, Some(1), "{}", back.said);
    ended(&back.events, "rolled_back", 2);
    gone(&engine, &drill, &back.events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_swarm_it_goes_down_without_a_failed_request_and_where_there_is_no_room_not_up() {
    let (drill, engine) = drill();
    let arguments = ["--fleet", "swarm", "--instances", "3", "--load", "9", "--monitor", "10s", "--fault", "no-room"];
    let mut running = drill.start(&[&arguments[..], &["/scale down 2 reason:\"night\""]].concat());
    running.until("verified");
    let load: Value = serde_json::from_str(&drill.world_says("GET", "/load", &Value::Null)).unwrap();
    assert_eq!((&load["failed"], &load["dropped"]), (&json!(0), &json!(0)), "{load}");
    let down = running.end();
    assert_eq!(down.code, Some(0), "{}", down.said);
    ended(&down.events, "completed", 2);
    gone(&engine, &drill, &down.events).await;

    let refused = drill.run(&[&arguments[..], &["/scale up 4 reason:\"campaign\""]].concat());
    assert_eq!(refused.code, Some(1), "{}", refused.said);
    ended(&refused.events, "refused", 3);
    let (status, said) = check(&refused.events, "room");
    assert!(status == "fail" && said.contains("at most 3 on the only node"), "{status}: {said}");
    gone(&engine, &drill, &drill.exported()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_end_with_their_world_and_the_next_one_clears_them_away() {
    let (drill, engine) = drill();
    let arguments = ["--fleet", "compose", "--instances", "2", "--load", "5", "--monitor", "5s"];
    let running = drill.start(&[&arguments[..], &["/scale up 3 reason:\"campaign\""]].concat());
    running.until_it_warms_up();
    kill(drill.world().expect("a world"), "KILL");
    // It finds its fleet gone, whatever it was about to do.
    assert_ne!(running.end().code, Some(0));
    let states = |all: &[Value]| -> Vec<String> {
        all.iter().filter_map(|one| one["State"].as_str().map(ToOwned::to_owned)).collect()
    };
    let all = looked_until(|| left(&engine, &drill), |all| states(all) == ["exited", "exited"]).await;
    assert_eq!(all.iter().filter(|one| one["RepoTags"].is_array()).count(), 1, "the image: {all:#?}");

    let next = drill.run(&[&arguments[..], &["/scale status"]].concat());
    assert_eq!(next.code, Some(0), "{}", next.said);
    gone(&engine, &drill, &drill.exported()).await;
}

#[test]
fn where_no_engine_can_be_used_it_is_said_what_to_do() {
    let said = |host: &str| {
        let drill = Drill::with_environment(&[("DOCKER_HOST", host)]);
        let ended = drill.run(&["--fleet", "compose", "/scale up 6"]);
        assert_eq!((ended.code, ended.events.len()), (Some(2), 0), "{}", ended.said);
        ended.said
    };
    let nobody = said("unix:///nowhere/docker.sock");
    assert!(nobody.contains("The Docker engine at /nowhere/docker.sock does not answer: No such file"), "{nobody}");
    assert!(nobody.contains("let this user use it"), "{nobody}");
    let elsewhere = said("tcp://10.0.0.4:2375");
    assert!(elsewhere.contains("unset it, or set it to unix:///var/run/docker.sock"), "{elsewhere}");
}
