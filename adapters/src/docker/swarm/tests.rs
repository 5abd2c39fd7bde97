use scalebot_commands::ports::{Choice, Draining, Fleet as _, FleetState, OrderAnswer, PortError};
use scalebot_commands::units::{InstanceId, Replicas};
use serde_json::{Value, json};

use super::stand_in::{Scene, node, operation, task};
use crate::docker::Reach;
use crate::doctor::Status;

fn refused(answer: Result<OrderAnswer, PortError>) -> String {
    match answer {
        Ok(OrderAnswer::Refused { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

fn conflict(answer: Result<OrderAnswer, PortError>) -> String {
    match answer {
        Ok(OrderAnswer::Conflict { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

/// "name state detail restarts" of each.
fn seen(fleet: &FleetState) -> Vec<String> {
    let words = |one: &scalebot_commands::ports::Instance| {
        format!("{} {:?} {} {}", one.id, one.state, one.restarts, one.detail.as_deref().unwrap_or("-"))
    };
    fleet.instances.iter().map(words).collect()
}

fn failed(slot: u32, at: u32, code: i64) -> Value {
    let mut failed = task(slot, "failed", "shutdown");
    failed["ID"] = json!(format!("task{slot}failed{at}"));
    failed["CreatedAt"] = json!(format!("2026-11-30T09:40:{at:02}Z"));
    failed["Status"]["Err"] = json!(format!("task: non-zero exit ({code})"));
    failed["Status"]["ContainerStatus"]["ExitCode"] = json!(code);
    failed
}

#[tokio::test]
async fn the_count_is_set_once_with_all_else_as_it_was_read_and_is_known_as_ours() {
    let scene = Scene::of(3).await;
    let before = scene.now().await;
    assert_eq!((before.wanted, before.ready(), before.changed_by.as_deref()), (Replicas(3), Replicas(3), None));
    let was = scene.cluster().service["Spec"].clone();
    assert_eq!(scene.goes(5).await, Ok(OrderAnswer::Done));
    let mut sent = scene.cluster().sent[0].clone();
    assert_eq!(sent["Labels"]["scalebot.order"], "019b9b3a-0001 3 5 14");
    sent["Labels"].as_object_mut().unwrap().remove("scalebot.order");
    sent["Mode"]["Replicated"]["Replicas"] = json!(3);
    assert_eq!(sent, was);
    let after = scene.now().await;
    assert_eq!((after.wanted, after.changed_by.as_deref()), (Replicas(5), Some(operation().as_str())));
    assert!(after.generation > before.generation && after.version != before.version);
    assert_eq!(after.identity, before.identity);
}

#[tokio::test]
async fn the_mark_is_not_taken_for_what_somebody_does_afterwards() {
    let scene = Scene::of(3).await;
    assert_eq!(scene.goes(5).await, Ok(OrderAnswer::Done));
    // Away and back: the label stays, and so does the count.
    scene.somebody_changes(|spec| spec["Mode"]["Replicated"]["Replicas"] = json!(6));
    assert_eq!(scene.now().await.changed_by, None);
    scene.somebody_changes(|spec| spec["Mode"]["Replicated"]["Replicas"] = json!(5));
    assert_eq!(scene.now().await.changed_by, None);
    // The next order of the same operation is ours again.
    assert_eq!(scene.goes(4).await, Ok(OrderAnswer::Done));
    assert_eq!(scene.now().await.changed_by.as_deref(), Some(operation().as_str()));
    scene.somebody_changes(|spec| spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!("conclave:2"));
    assert_eq!(scene.now().await.changed_by, None);
}

#[tokio::test]
async fn what_changed_since_the_guard_looked_is_a_conflict_also_in_the_last_moment() {
    let scene = Scene::of(3).await;
    let order = scene.order(5).await;
    scene.somebody_changes(|spec| spec["Mode"]["Replicated"]["Replicas"] = json!(4));
    let said = conflict(scene.fleet.inner.carry_out(&order).await);
    assert!(said.contains("at version 21 with 4 wanted, and was at version 14 with 3"), "{said}");
    // Also where the count is the same: an order that was made before would undo it.
    let order = scene.order(5).await;
    scene.somebody_changes(|spec| spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!("conclave:2"));
    let said = conflict(scene.fleet.inner.carry_out(&order).await);
    assert!(said.contains("at version 28 with 4 wanted, and was at version 21 with 4"), "{said}");
    // Swarm compares as well, for what comes between our look and the order.
    scene.cluster().refuses = Some((500, "rpc error: code = Unknown desc = update out of sequence"));
    assert!(conflict(scene.goes(5).await).contains("out of sequence"));
    scene.cluster().refuses = Some((400, "rpc error: code = InvalidArgument desc = no"));
    assert_eq!(refused(scene.goes(5).await), "rpc error: code = InvalidArgument desc = no");
    // Whether a manager without a leader has handed it on is not known.
    scene.cluster().refuses = Some((503, "rpc error: code = Unknown desc = The swarm does not have a leader."));
    assert!(scene.goes(5).await.is_err());
    let mut order = scene.order(5).await;
    order.identity = "svc0".to_owned();
    assert!(conflict(scene.fleet.inner.carry_out(&order).await).contains("another of the same name"));
    assert!(scene.cluster().sent.is_empty());
}

#[tokio::test]
async fn nobody_is_named_who_is_ended() {
    let scene = Scene::of(2).await;
    let now = scene.now().await;
    let Choice::Unnamed { why } = scene.fleet.choice(&now) else { panic!("it chooses itself") };
    assert!(why.starts_with("Docker Swarm itself chooses"), "{why}");
    let draining = scene.fleet.by_name().draining().await.unwrap();
    assert!(matches!(draining, Draining::AsItEnds { grace, .. } if grace.as_secs() == 20));
    let routed = scene.fleet.by_name().routed().await.unwrap();
    assert!(routed.len() == 2 && routed.iter().all(|one| one.receives));
}

#[tokio::test]
async fn what_is_no_count_of_instances_is_refused_with_the_reason() {
    let scene = Scene::of(2).await;
    for (mode, says) in [
        (json!({ "Global": {} }), "it is a global service: Swarm runs one task on each node"),
        (json!({ "ReplicatedJob": { "TotalCompletions": 2 } }), "it is a job"),
        (json!({ "Levitating": {} }), "a mode that this bot does not know"),
    ] {
        scene.cluster().service["Spec"]["Mode"] = mode;
        let said = scene.fleet.observe().await.unwrap_err();
        assert!(matches!(&said, PortError::Refused { detail, .. } if detail.contains(says)), "{said}");
        let found = scene.fleet.check().await;
        assert!(found.iter().any(|found| found.status == Status::Failed && found.text.contains(says)), "{found:#?}");
    }
    scene.cluster().service["Spec"]["Name"] = json!("another");
    assert!(matches!(scene.fleet.observe().await, Err(PortError::Gone { .. })));
}

#[tokio::test]
async fn tasks_are_said_in_words_and_a_slot_is_one_instance_whoever_is_in_it() {
    let scene = Scene::of(6).await;
    {
        let mut cluster = scene.cluster();
        // Waits for room.
        cluster.tasks[1] = task(2, "pending", "running");
        cluster.tasks[1]["NodeID"] = Value::Null;
        cluster.tasks[1]["Status"]["Err"] = json!("no suitable node (insufficient resources on 1 node)");
        // Has crashed once, and starts again.
        cluster.tasks[2] = task(3, "starting", "running");
        cluster.tasks.push(failed(3, 1, 1));
        // Keeps crashing.
        cluster.tasks[3] = task(4, "ready", "ready");
        cluster.tasks.extend((1..=3).map(|at| failed(4, at, 137)));
        // Is not started again.
        cluster.tasks[4] = failed(5, 1, 2);
        // Runs, on a node that is down.
        cluster.tasks[5]["NodeID"] = json!("node2");
        let mut down = node("node2", 1_024);
        down["Status"]["State"] = json!("down");
        cluster.nodes.push(down);
        // One that was told to end by an update is no crash.
        cluster.tasks.push(task(1, "shutdown", "shutdown"));
    }
    assert_eq!(
        seen(&scene.now().await),
        [
            "conclave_api.1 Ready 0 -",
            "conclave_api.2 Starting 0 no suitable node (insufficient resources on 1 node)",
            "conclave_api.3 NotReady 1 it ended with status 1; it was started again 1 times",
            "conclave_api.4 Failed 3 it was killed (signal 9); it was started again 3 times",
            "conclave_api.5 Failed 0 it ended with status 2, and is not started again",
            "conclave_api.6 NotReady 0 its node host-node2 is down",
        ]
    );
    let logs = |id: &str| {
        let (fleet, id) = (scene.fleet.clone(), InstanceId::new(id));
        async move { fleet.logs(&id, 1_000).await.unwrap() }
    };
    assert_eq!(logs("conclave_api.1").await, "task1running\n");
    // Of one that crashed, what it wrote before it did.
    assert_eq!(logs("conclave_api.4").await, "task4failed3\n");
}

#[tokio::test]
async fn one_that_is_told_to_end_is_there_until_it_has_and_history_is_no_instance() {
    let scene = Scene::of(3).await;
    scene.somebody_changes(|spec| spec["Mode"]["Replicated"]["Replicas"] = json!(2));
    scene.cluster().tasks[0] = task(1, "running", "remove");
    scene.cluster().tasks.push(failed(9, 1, 1));
    assert_eq!(
        seen(&scene.now().await),
        ["conclave_api.1 Terminating 0 -", "conclave_api.2 Ready 0 -", "conclave_api.3 Ready 0 -"]
    );
    scene.cluster().tasks.remove(0);
    assert_eq!(scene.now().await.instances.len(), 2);
}

#[tokio::test]
async fn an_instance_is_reached_at_its_nodes_port_or_in_its_network() {
    let address = |scene: &Scene| {
        let fleet = scene.fleet.clone();
        async move { fleet.observe().await.unwrap().instances[0].address.clone() }
    };
    let scene = Scene::of(1).await;
    assert_eq!(address(&scene).await.as_deref(), Some("10.9.0.1:32768"));
    // A manager that knows of itself only that it listens everywhere.
    scene.cluster().nodes[0]["Status"]["Addr"] = json!("0.0.0.0");
    assert_eq!(address(&scene).await, None);
    scene.cluster().nodes[0]["ManagerStatus"] = json!({ "Leader": true, "Addr": "10.9.0.7:2377" });
    assert_eq!(address(&scene).await.as_deref(), Some("10.9.0.7:32768"));
    let scene = Scene::with(1, |settings| (settings.reach, settings.port) = (Reach::Address, Some(8000))).await;
    assert_eq!(address(&scene).await.as_deref(), Some("10.0.1.1:8000"));
    // Which of two networks is meant is not guessed.
    let second = json!({ "Network": { "Spec": { "Name": "db" } }, "Addresses": ["10.0.2.1/24"] });
    scene.cluster().tasks[0]["NetworksAttachments"].as_array_mut().unwrap().push(second);
    assert_eq!(address(&scene).await, None);
}

#[tokio::test]
async fn room_is_what_is_not_reserved_on_the_nodes_that_fit() {
    let scene = Scene::of(3).await;
    let room = |wanted: u32| {
        let fleet = scene.fleet.clone();
        async move { fleet.headroom(Replicas(wanted)).await }
    };
    // 1024 MiB less three times 128 MiB.
    let found = room(9).await.unwrap();
    assert_eq!(found.fits, Replicas(5));
    assert_eq!(found.runs_out.as_deref(), Some("memory that is not reserved on the only node"));
    assert!(found.source.contains("one reserves 128 MiB"), "{}", found.source);
    assert_eq!(room(5).await.unwrap().runs_out, None);
    // One that waits for a place already comes first; so does what others reserve.
    scene.cluster().tasks[2]["NodeID"] = Value::Null;
    assert_eq!(room(9).await.unwrap().fits, Replicas(5));
    let mut others = task(1, "running", "running");
    (others["ServiceID"], others["ID"]) = (json!("svc2"), json!("other"));
    scene.cluster().tasks.push(others);
    assert_eq!(room(9).await.unwrap().fits, Replicas(4));

    let placed = |placement: Value| scene.cluster().service["Spec"]["TaskTemplate"]["Placement"] = placement;
    placed(json!({ "MaxReplicas": 4 }));
    let found = room(9).await.unwrap();
    assert_eq!((found.fits, found.runs_out.is_some_and(|why| why.contains("at most 4 on "))), (Replicas(1), true));
    for (constraint, fits) in
        [("node.role == worker", 4), ("node.labels.zone==b", 0), ("node.hostname != host-node1", 0)]
    {
        placed(json!({ "Constraints": [constraint] }));
        assert_eq!(room(4).await.unwrap().fits, Replicas(fits), "{constraint}");
    }
    placed(json!({ "Constraints": ["node.phase == full"] }));
    assert!(room(1).await.unwrap_err().to_string().contains("node.phase == full"));
    placed(json!({ "Platforms": [{ "Architecture": "amd64", "OS": "linux" }, { "OS": "windows" }] }));
    assert_eq!(room(4).await.unwrap().fits, Replicas(4));
    placed(json!({ "Platforms": [{ "Architecture": "arm64", "OS": "linux" }] }));
    assert_eq!(room(4).await.unwrap().fits, Replicas(0));

    placed(Value::Null);
    scene.cluster().service["Spec"]["EndpointSpec"]["Ports"][0]["PublishedPort"] = json!(8000);
    let found = room(1).await.unwrap();
    assert!(found.fits == Replicas(0) && found.runs_out.unwrap().contains("port 8000 is published once"));
    scene.cluster().service["Spec"]["EndpointSpec"]["Ports"] = Value::Null;
    scene.cluster().nodes[0]["Spec"]["Availability"] = json!("drain");
    assert!(room(1).await.unwrap().runs_out.unwrap().contains("no node of 1 is ready, active"));
    scene.cluster().nodes[0]["Spec"]["Availability"] = json!("active");
    scene.cluster().service["Spec"]["TaskTemplate"]["Resources"] = Value::Null;
    let found = room(500).await.unwrap();
    assert!(found.source.contains("reserves nothing, so that Swarm places any number"), "{}", found.source);
}

#[tokio::test]
async fn a_rolling_update_and_whoever_else_sets_the_count_are_named() {
    let scene = Scene::of(2).await;
    let others = || async { scene.fleet.steered_by().await.unwrap() };
    assert!(others().await.is_empty());
    for (state, says) in [
        ("updating", "a rolling update of conclave_api is under way"),
        ("paused", "a rolling update of conclave_api was stopped half-way"),
        ("rollback_started", "a rollback of conclave_api is under way"),
        ("rollback_paused", "a rollback of conclave_api was stopped half-way"),
        ("dreaming", "an update that this bot does not know of conclave_api is under way"),
    ] {
        scene.cluster().service["UpdateStatus"] = json!({ "State": state, "Message": "update in progress" });
        let found = others().await;
        assert_eq!(found.len(), 1);
        let said = format!("{} {}", found[0].by, found[0].effect);
        assert!(said.starts_with(says) && said.contains("update in progress"), "{said}");
        assert!(found[0].settled_by.contains("docker service") && found[0].hold.is_none());
    }
    for over in ["completed", "rollback_completed"] {
        scene.cluster().service["UpdateStatus"] = json!({ "State": over });
        assert!(others().await.is_empty(), "{over}");
    }
    scene.cluster().service["Spec"]["Labels"]["swarm.autoscaler"] = json!("true");
    assert!(others().await[0].settled_by.contains("--label-rm swarm.autoscaler"));
}

#[tokio::test]
async fn the_stacks_file_says_the_count_under_the_name_without_the_stacks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stack.yaml");
    std::fs::write(&file, "services:\n  api:\n    image: conclave:1\n    deploy:\n      replicas: 4\n").unwrap();
    let scene = Scene::with(2, |settings| settings.files = vec![file.clone()]).await;
    let declared = scene.fleet.declared().await.unwrap().unwrap();
    assert_eq!((declared.count, declared.line.trim()), (Replicas(4), "replicas: 4"));
    assert_eq!(Scene::of(2).await.fleet.declared().await, Ok(None));
}

#[tokio::test]
async fn the_doctor_says_what_is_there_and_tries_an_order_that_cannot_be_taken() {
    let scene = Scene::of(2).await;
    let found = scene.fleet.check().await;
    assert!(found.iter().all(|found| found.status == Status::Ok), "{found:#?}");
    let all: Vec<String> = found.iter().map(|found| format!("{}: {}", found.system, found.text)).collect();
    let all = all.join("\n");
    for said in ["root on every node", "2 of 2 tasks run", "20 s for its last requests", "would be taken"] {
        assert!(all.contains(said), "no {said}: {all}");
    }
    assert!(scene.cluster().sent.is_empty());
    scene.cluster().refuses = Some((403, "denied by the filter"));
    scene.cluster().service["Spec"]["TaskTemplate"]["Resources"] = Value::Null;
    scene.cluster().tasks[0]["Status"]["PortStatus"] = Value::Null;
    let found = scene.fleet.check().await;
    let of = |status: Status| found.iter().filter(|found| found.status == status).count();
    assert_eq!((of(Status::Failed), of(Status::Warn)), (2, 1), "{found:#?}");
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let said = |more: Value| {
        let mut all = json!({ "service": "api", "reach": "published" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let settings: super::SwarmSettings = serde_json::from_value(all).unwrap();
        settings.usable().map_err(|wrong| wrong.key)
    };
    assert_eq!(said(json!({})), Ok(()));
    for (wrong, key) in [
        (json!({ "service": "-api" }), "service"),
        (json!({ "service": "api/../x" }), "service"),
        (json!({ "files": ["stack.yaml"] }), "files"),
        (json!({ "socket": "/run/docker.sock" }), "socket"),
        (json!({ "order_socket": "docker.sock" }), "order_socket"),
        (json!({ "port": 0 }), "port"),
        (json!({ "reach": "address" }), "port"),
        (json!({ "network": "conclave" }), "network"),
    ] {
        assert_eq!(said(wrong), Err(key.to_owned()));
    }
}
