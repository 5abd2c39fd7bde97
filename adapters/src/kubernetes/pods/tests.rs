use serde_json::{Value, json};

use super::*;
use crate::kubernetes::cluster::{ending, now, pod, read, settings, unready, unschedulable};

fn seen(pod: &Value) -> Instance {
    instance(&read(pod), &settings(), now())
}

fn said(pod: &Value) -> (InstanceState, String) {
    let Instance { state, detail, .. } = seen(pod);
    (state, detail.unwrap_or_default())
}

/// Waits, begun so many seconds before now.
fn waiting(reason: &str, message: &str, for_seconds: i64) -> Value {
    let mut pod = unready("api-1", 0, &json!({ "waiting": { "reason": reason, "message": message } }), &Value::Null);
    pod["status"]["phase"] = json!("Pending");
    pod["status"]["startTime"] = json!((now() - SignedDuration::from_secs(for_seconds)).to_string());
    pod
}

fn terminated(code: i32, reason: &str) -> Value {
    json!({ "terminated": {
        "exitCode": code, "reason": reason, "startedAt": "2026-01-08T03:50:00Z", "finishedAt": "2026-01-08T03:50:04Z",
    } })
}

fn crash_loop(restarts: u32, last: &Value) -> Value {
    let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s restarting" } });
    unready("api-1", restarts, &waiting, last)
}

#[test]
fn a_ready_pod_is_reached_at_its_address_and_only_port() {
    let mut given = pod("api-1");
    given["status"]["containerStatuses"][0]["restartCount"] = json!(2);
    assert_eq!(
        seen(&given),
        Instance {
            id: InstanceId::new("api-1"),
            address: Some("10.1.2.3:8000".to_owned()),
            started_at: "2026-01-08T03:00:05Z".parse().unwrap(),
            state: InstanceState::Ready,
            detail: None,
            restarts: 2,
        }
    );
}

#[test]
fn through_the_api_server_it_is_reached_by_its_name() {
    let settings = Settings { reach: Reach::Proxy, ..settings() };
    assert_eq!(instance(&read(&pod("api-1")), &settings, now()).address.as_deref(), Some("api-1:8000"));
}

#[test]
fn an_address_of_ipv6_is_written_so_that_its_port_can_be_told() {
    let mut given = pod("api-1");
    given["status"]["podIP"] = json!("fd00::7");
    assert_eq!(seen(&given).address.as_deref(), Some("[fd00::7]:8000"));
}

#[test]
fn which_of_several_ports_it_is_is_never_guessed() {
    let mut given = pod("api-1");
    given["spec"]["containers"][0]["ports"] = json!([{ "containerPort": 8000 }, { "containerPort": 9000 }]);
    assert_eq!(seen(&given).address, None);
    let settings = Settings { port: Some(9000), ..settings() };
    assert_eq!(instance(&read(&given), &settings, now()).address.as_deref(), Some("10.1.2.3:9000"));
    given["spec"]["containers"][0]["ports"] =
        json!([{ "containerPort": 8000 }, { "containerPort": 9000, "protocol": "UDP" }]);
    assert_eq!(seen(&given).address.as_deref(), Some("10.1.2.3:8000"));
}

#[test]
fn of_several_containers_the_one_that_is_named_is_the_instance() {
    let mut given = pod("api-1");
    let proxy = json!({ "name": "proxy", "ports": [{ "containerPort": 15000 }] });
    given["spec"]["containers"].as_array_mut().unwrap().push(proxy);
    assert_eq!(seen(&given).address, None);
    let settings = Settings { container: Some("proxy".to_owned()), ..settings() };
    assert_eq!(instance(&read(&given), &settings, now()).address.as_deref(), Some("10.1.2.3:15000"));
    given["metadata"]["annotations"] = json!({ DEFAULT_CONTAINER: "api" });
    assert_eq!(seen(&given).address.as_deref(), Some("10.1.2.3:8000"));
}

#[test]
fn a_pod_without_an_address_has_none() {
    assert_eq!(seen(&unschedulable("api-1", "")).address, None);
}

#[test]
fn a_node_may_still_be_added_for_a_pod_that_none_has_room_for() {
    assert_eq!(
        said(&unschedulable("api-1", "0/3 nodes are available: 3 Insufficient cpu.")),
        (InstanceState::Starting, "no node has room: 0/3 nodes are available: 3 Insufficient cpu.".to_owned())
    );
}

#[test]
fn an_image_that_the_registry_does_not_have_is_given_up_after_some_tries() {
    let message = "failed to pull \"api:2\": not found";
    let words = format!("image cannot be pulled (ErrImagePull): {message}");
    assert_eq!(said(&waiting("ErrImagePull", message, 5)), (InstanceState::Starting, words.clone()));
    assert_eq!(said(&waiting("ErrImagePull", message, 31)), (InstanceState::Failed, words));
}

#[test]
fn a_registry_that_does_not_answer_is_given_more_time() {
    let backing_off = |seconds| said(&waiting("ImagePullBackOff", "dial tcp: i/o timeout", seconds)).0;
    assert_eq!([backing_off(31), backing_off(121)], [InstanceState::Starting, InstanceState::Failed]);
}

#[test]
fn an_image_that_has_no_name_is_given_up_at_once() {
    let (state, words) = said(&waiting("InvalidImageName", "couldn't parse image name \"api:::\"", 1));
    assert_eq!(state, InstanceState::Failed);
    assert_eq!(words, "image cannot be pulled (InvalidImageName): couldn't parse image name \"api:::\"");
}

#[test]
fn a_configuration_that_is_missing_is_named() {
    let given = waiting("CreateContainerConfigError", "configmap \"api\" not found", 40);
    let words = "its configuration cannot be used: configmap \"api\" not found".to_owned();
    assert_eq!(said(&given), (InstanceState::Failed, words));
}

#[test]
fn nothing_is_wrong_with_containers_that_are_being_made() {
    assert_eq!(said(&waiting("ContainerCreating", "", 300)), (InstanceState::Starting, String::new()));
}

#[test]
fn a_crash_is_told_with_its_exit_and_how_often_it_happened() {
    let exits = [
        (crash_loop(1, &terminated(1, "Error")), "crashes: exit 1, 1 restart"),
        (crash_loop(4, &terminated(137, "OOMKilled")), "crashes: exit 137 (out of memory), 4 restarts"),
        (crash_loop(4, &terminated(137, "Error")), "crashes: exit 137 (killed), 4 restarts"),
        (crash_loop(4, &terminated(139, "Error")), "crashes: exit 139 (segmentation fault), 4 restarts"),
        (crash_loop(4, &terminated(159, "Error")), "crashes: exit 159 (signal 31), 4 restarts"),
    ];
    for (given, words) in exits {
        assert_eq!(said(&given).1, words);
    }
}

#[test]
fn three_crashes_are_given_up_and_two_are_not() {
    let state = |restarts| said(&crash_loop(restarts, &terminated(1, "Error"))).0;
    assert_eq!([state(2), state(3)], [InstanceState::NotReady, InstanceState::Failed]);
}

#[test]
fn a_crash_after_hours_is_not_given_up_however_many_came_before() {
    let mut last = terminated(137, "OOMKilled");
    last["terminated"]["startedAt"] = json!("2026-01-08T01:00:00Z");
    assert_eq!(said(&crash_loop(9, &last)).0, InstanceState::NotReady);
}

#[test]
fn between_two_crashes_the_last_one_is_still_told() {
    let running = json!({ "running": { "startedAt": "2026-01-08T03:59:00Z" } });
    let given = unready("api-1", 2, &running, &terminated(1, "Error"));
    assert_eq!(said(&given), (InstanceState::NotReady, "up again after 2 restarts, last exit 1".to_owned()));
    let ended = unready("api-1", 0, &terminated(2, "Error"), &Value::Null);
    assert_eq!(said(&ended), (InstanceState::NotReady, "crashes: exit 2, 0 restarts".to_owned()));
}

#[test]
fn a_program_that_could_not_be_run_is_told_in_the_runtimes_words() {
    let mut last = terminated(128, "StartError");
    last["terminated"]["message"] = json!("exec: \"/bin/apii\":\nno such file");
    let words = "crashes: exit 128 (StartError): exec: \"/bin/apii\": no such file, 3 restarts".to_owned();
    assert_eq!(said(&crash_loop(3, &last)), (InstanceState::Failed, words));
}

#[test]
fn an_init_container_is_named() {
    let mut given = waiting("PodInitializing", "", 300);
    given["status"]["initContainerStatuses"] = json!([{
        "name": "migrate", "image": "", "imageID": "", "ready": false, "restartCount": 5,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } }, "lastState": terminated(3, "Error"),
    }]);
    let words = "init container migrate: crashes: exit 3, 5 restarts".to_owned();
    assert_eq!(said(&given), (InstanceState::Failed, words));
    given["status"]["initContainerStatuses"][0]["state"] = terminated(0, "Completed");
    assert_eq!(said(&given), (InstanceState::Starting, String::new()));
}

#[test]
fn another_container_of_the_pod_is_named() {
    let mut given = pod("api-1");
    given["status"]["conditions"][1]["status"] = json!("False");
    given["metadata"]["annotations"] = json!({ DEFAULT_CONTAINER: "api" });
    given["spec"]["containers"].as_array_mut().unwrap().push(json!({ "name": "proxy" }));
    given["status"]["containerStatuses"].as_array_mut().unwrap().push(json!({
        "name": "proxy", "image": "", "imageID": "", "ready": false, "restartCount": 4,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } }, "lastState": terminated(1, "Error"),
    }));
    assert_eq!(said(&given), (InstanceState::Failed, "container proxy: crashes: exit 1, 4 restarts".to_owned()));
}

#[test]
fn a_probe_that_never_passed_is_another_thing_than_one_that_fails() {
    let running = json!({ "running": { "startedAt": "2026-01-08T03:00:10Z" } });
    let mut given = unready("api-1", 0, &running, &Value::Null);
    let words = "not ready: its readiness probe has not passed yet".to_owned();
    assert_eq!(said(&given), (InstanceState::Starting, words));
    given["status"]["conditions"][1]["lastTransitionTime"] = json!("2026-01-08T03:30:00Z");
    let words = "not ready: its readiness probe fails".to_owned();
    assert_eq!(said(&given), (InstanceState::NotReady, words));
}

#[test]
fn a_slow_start_is_told_from_a_slow_probe() {
    let running = json!({ "running": { "startedAt": "2026-01-08T03:00:10Z" } });
    let mut given = unready("api-1", 0, &running, &Value::Null);
    given["status"]["containerStatuses"][0]["started"] = json!(false);
    given["spec"]["containers"][0]["startupProbe"] = json!({ "httpGet": { "port": 8000 } });
    let words = "not ready: its startup probe has not passed yet".to_owned();
    assert_eq!(said(&given), (InstanceState::Starting, words));
}

#[test]
fn containers_that_were_ready_on_a_node_that_is_silent_are_not() {
    let mut given = pod("api-1");
    given["status"]["conditions"][1]["status"] = json!("False");
    assert_eq!(said(&given), (InstanceState::NotReady, "its node node-a does not answer".to_owned()));
}

#[test]
fn a_gate_that_is_closed_is_named() {
    let mut given = pod("api-1");
    given["status"]["conditions"][1]["status"] = json!("False");
    given["spec"]["readinessGates"] = json!([{ "conditionType": "example.com/target" }]);
    assert_eq!(said(&given), (InstanceState::Starting, "not ready: waits for example.com/target".to_owned()));
}

#[test]
fn an_evicted_pod_does_not_come_back() {
    let mut given = pod("api-1");
    given["status"] = json!({
        "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory.",
        "conditions": [{ "type": "Ready", "status": "True" }],
    });
    let words = "evicted: The node was low on resource: memory.".to_owned();
    assert_eq!(said(&given), (InstanceState::Failed, words));
}

#[test]
fn a_pod_that_ended_by_itself_is_told_with_its_exit() {
    let mut given = unready("api-1", 0, &terminated(0, "Completed"), &Value::Null);
    given["status"]["phase"] = json!("Succeeded");
    assert_eq!(said(&given), (InstanceState::Failed, "ended: exit 0".to_owned()));
}

#[test]
fn a_ready_pod_that_was_told_to_end_is_on_its_way_out() {
    assert_eq!(said(&ending(pod("api-1"))), (InstanceState::Terminating, String::new()));
    let mut lost = ending(pod("api-1"));
    lost["status"]["reason"] = json!("NodeLost");
    assert_eq!(said(&lost).1, "its node node-a does not answer, so it cannot end");
}

#[test]
fn what_the_cluster_says_is_bounded_and_cannot_act() {
    let (_, words) = said(&unschedulable("api-1", &format!("a\u{202e}\n\u{1b}[2J{}", "x".repeat(5_000))));
    assert!(words.starts_with("no node has room: a\\u{202e} \\u{1b}[2Jxxx"), "{words}");
    assert!(words.chars().count() < 230, "{}", words.chars().count());
}
