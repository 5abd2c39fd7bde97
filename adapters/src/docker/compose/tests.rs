use scalebot_commands::ports::{Choice, Draining, Fleet as _, InstanceState, OrderAnswer, PortError, Traffic as _};
use scalebot_commands::units::{Epoch, InstanceId, Replicas};

use super::stand_in::{FILE, Project, names, operation};

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

#[tokio::test]
async fn compose_is_asked_for_the_count_once_and_the_change_is_known_as_ours() {
    let project = Project::of(3).await;
    let before = project.now().await;
    assert_eq!((before.wanted, before.changed_by.as_deref()), (Replicas(3), None));
    assert_eq!(project.goes(5, None).await, Ok(OrderAnswer::Done));
    let asked =
        ["--ansi never --project-name conclave --project-directory /srv --file /srv/compose.yaml up -d --no-recreate \
         --no-deps --no-build --scale api=5 api"];
    assert_eq!(project.asked(), asked);
    let after = project.now().await;
    assert_eq!((after.wanted, after.changed_by.as_deref()), (Replicas(5), Some(operation().as_str())));
    assert_ne!((after.generation, &after.version), (before.generation, &before.version));
    assert_eq!(after.identity, before.identity);
    // Whoever is started after this knows it as well.
    assert_eq!(project.started_again().observe().await.unwrap(), after);
    // Somebody adds one: that is not ours.
    project.somebody_makes(6);
    assert_eq!(project.now().await.changed_by, None);
}

#[tokio::test]
async fn nothing_of_the_bots_environment_gets_to_compose() {
    let project = Project::of(1).await;
    assert_eq!(project.goes(2, None).await, Ok(OrderAnswer::Done));
    let environment = std::fs::read_to_string(project.at("environment")).unwrap();
    assert!(environment.contains("DOCKER_HOST=tcp://127.0.0.1:"), "{environment}");
    // Cargo gives its tests dozens of these.
    assert!(!environment.contains("CARGO"), "{environment}");
}

#[tokio::test]
async fn only_the_highest_numbers_end_and_those_are_the_ones_to_choose() {
    let project = Project::of(4).await;
    let Choice::InOrder { order, .. } = project.fleet.choice(&project.now().await) else { panic!("in order") };
    let order: Vec<&str> = order.iter().map(InstanceId::as_str).collect();
    assert_eq!(order, ["conclave_api_4", "conclave_api_3", "conclave_api_2", "conclave_api_1"]);

    let said = refused(project.goes(3, Some(&["conclave_api_2"])).await);
    assert_eq!(said, "Compose ends its highest numbers first: conclave_api_4 would end, not conclave_api_2");
    let said = conflict(project.goes(3, Some(&["conclave_api_9"])).await);
    assert_eq!(said, "there is no conclave_api_9 any more");
    assert!(project.asked().is_empty());

    assert_eq!(project.goes(3, Some(&["conclave_api_4"])).await, Ok(OrderAnswer::Done));
    let after = project.now().await;
    assert_eq!(names(&after), ["conclave_api_1", "conclave_api_2", "conclave_api_3"]);
    assert_eq!(after.changed_by.as_deref(), Some(operation().as_str()));
}

#[tokio::test]
async fn ten_is_higher_than_nine() {
    let project = Project::of(11).await;
    let Choice::InOrder { order, .. } = project.fleet.choice(&project.now().await) else { panic!("in order") };
    assert_eq!(order[0].as_str(), "conclave_api_11");
    assert_eq!(project.goes(9, Some(&["conclave_api_10", "conclave_api_11"])).await, Ok(OrderAnswer::Done));
}

#[tokio::test]
async fn what_changed_since_the_guard_looked_is_a_conflict_and_nothing_is_done() {
    let project = Project::of(3).await;
    let order = project.order(5).await;
    project.somebody_makes(4);
    let said = conflict(project.fleet.inner.carry_out(&order, None, Epoch(3)).await);
    assert_eq!(said, "Compose service api of project conclave has 4 containers and not 3");
    // One was made anew: as many as before, and others.
    project.somebody_ends(4);
    project.somebody_ends(3);
    project.write(
        "containers/3.json",
        &std::fs::read_to_string(project.at("template")).unwrap().replace("NUMBER", "3").replace("IDENTITY", "new"),
    );
    let said = conflict(project.fleet.inner.carry_out(&order, None, Epoch(3)).await);
    assert_eq!(said, "Compose service api of project conclave has changed since it was looked at");
    assert!(project.asked().is_empty());
}

#[tokio::test]
async fn an_order_that_came_to_nothing_is_refused_in_composes_words() {
    let project = Project::of(3).await;
    project.write("does", "echo 'Creating conclave_api_4 ... '; echo 'ERROR: no such image: conclave:2'; exit 1\n");
    let said = refused(project.goes(5, None).await);
    assert_eq!(said, "Compose: it ended with 1, ERROR: no such image: conclave:2");
    let now = project.now().await;
    assert_eq!((now.wanted, now.changed_by), (Replicas(3), None));
    project.write("does", "exit 0\n");
    assert_eq!(refused(project.goes(5, None).await), "Compose ended well and changed nothing");
}

#[tokio::test]
async fn a_place_that_stayed_empty_is_an_instance_that_failed_and_is_given_up_without_ending_anybody_else() {
    let project = Project::of(3).await;
    project.write("does", "make 4; echo 'ERROR: no space left on device'; exit 1\n");
    assert_eq!(project.goes(5, None).await, Ok(OrderAnswer::Done));
    project.write("does", "");
    let now = project.now().await;
    assert_eq!((now.wanted, now.changed_by.as_deref()), (Replicas(5), Some(operation().as_str())));
    let missing = now.instances.last().unwrap();
    assert_eq!((missing.id.as_str(), missing.state), ("api-missing-1", InstanceState::Failed));
    assert_eq!(missing.detail.as_deref(), Some("Compose: it ended with 1, ERROR: no space left on device"));
    let logs = project.fleet.logs(&missing.id, 1_000).await.unwrap();
    assert!(logs.contains("no space left on device"), "{logs}");
    let Choice::InOrder { order, .. } = project.fleet.choice(&now) else { panic!("in order") };
    assert_eq!((order[0].as_str(), order[1].as_str()), ("api-missing-1", "conclave_api_4"));

    assert_eq!(project.goes(3, Some(&["api-missing-1", "conclave_api_4"])).await, Ok(OrderAnswer::Done));
    assert_eq!(names(&project.now().await), ["conclave_api_1", "conclave_api_2", "conclave_api_3"]);
}

#[tokio::test]
async fn others_that_end_are_named() {
    let project = Project::of(4).await;
    project.write("does", "rm \"$here/containers/1.json\"\n");
    let said = project.goes(3, Some(&["conclave_api_4"])).await.unwrap_err().to_string();
    assert!(said.contains("conclave_api_1 ended as well, which nobody named"), "{said}");
    assert_eq!(project.now().await.changed_by, None);
}

#[tokio::test]
async fn whoever_looks_waits_for_an_order_that_a_killed_bot_left_and_knows_it_as_its_own() {
    let project = Project::of(2).await;
    let gate = project.at("gate");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
    project.write("does", "make 3; echo here >\"$here/gate\"; read _ <\"$here/gate\"\n");
    let order = project.order(4).await;
    {
        // The bot ends in the middle of it: nobody waits for its child any more.
        let mut acting = std::pin::pin!(project.fleet.inner.carry_out(&order, None, Epoch(3)));
        let mut heard = std::pin::pin!(tokio::fs::read_to_string(&gate));
        tokio::select! {
            answer = &mut acting => panic!("{answer:?}"),
            said = &mut heard => assert_eq!(said.unwrap(), "here\n"),
        }
    }
    let again = project.started_again();
    // Half of it is there, and onlookers see it.
    assert_eq!(again.for_onlookers().observe().await.unwrap().instances.len(), 3);
    let mut looking = std::pin::pin!(again.observe());
    let mut ending = std::pin::pin!(again.until_orders_end());
    let onlooker = again.for_onlookers();
    // As long as others look three times; whoever does not wait has seen it by then.
    let others = async {
        for _ in 0..3 {
            onlooker.observe().await.unwrap();
        }
    };
    tokio::select! {
        biased;
        seen = &mut looking => panic!("{seen:?}"),
        ended = &mut ending => panic!("{ended:?}"),
        () = others => {}
    }
    // Nobody gives another order meanwhile.
    let said = conflict(again.inner.carry_out(&order, None, Epoch(4)).await);
    assert_eq!(said, "an earlier order to Compose is still carried out");
    tokio::fs::write(&gate, "go\n").await.unwrap();
    ending.await.unwrap();
    let after = looking.await.unwrap();
    assert_eq!((after.wanted, after.changed_by.as_deref()), (Replicas(4), Some(operation().as_str())));
    assert_eq!(project.asked().len(), 1);
}

#[tokio::test]
async fn a_process_that_thaws_after_another_has_taken_over_gives_no_order() {
    let project = Project::of(2).await;
    let order = project.order(3).await;
    assert_eq!(project.fleet.inner.carry_out(&order, None, Epoch(5)).await, Ok(OrderAnswer::Done));
    let order = project.order(4).await;
    let said = refused(project.fleet.inner.carry_out(&order, None, Epoch(4)).await);
    assert_eq!(said, "another process of this bot has taken over since: this one gives no orders");
    assert_eq!(project.now().await.wanted, Replicas(3));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_never_a_guess() {
    let project = Project::of(2).await;
    let order = project.order(3).await;
    std::fs::create_dir(project.at("orders")).unwrap();
    project.write("orders/order.json", "{}");
    assert!(project.fleet.observe().await.unwrap_err().to_string().contains("the record of orders"));
    let said = refused(project.fleet.inner.carry_out(&order, None, Epoch(3)).await);
    assert!(said.contains("the record of orders"), "{said}");
    assert!(project.asked().is_empty());
}

#[tokio::test]
async fn room_is_what_memory_is_left_and_what_the_file_lets() {
    let project = Project::of(4).await;
    let room = project.fleet.headroom(Replicas(3)).await.unwrap();
    assert_eq!((room.fits, room.runs_out), (Replicas(3), None));
    let room = project.fleet.headroom(Replicas(20)).await.unwrap();
    let why = "memory of the machine (one takes 128 MiB; 1280 of 2048 MiB are left)";
    assert_eq!((room.fits, room.runs_out.as_deref()), (Replicas(10), Some(why)));

    project.write("compose.yaml", &format!("{FILE}    container_name: the-api\n"));
    let room = project.fleet.headroom(Replicas(1)).await.unwrap();
    let why = room.runs_out.unwrap();
    assert_eq!(room.fits, Replicas(0));
    assert!(why.ends_with("compose.yaml, line 5: \"container_name: the-api\"; take that line out)"), "{why}");

    // It cannot be used at all: then nobody can be added.
    project.write("compose.yaml", FILE);
    std::fs::remove_file(project.at("config")).unwrap();
    // An answer holds for the checks of one round: this is another.
    assert!(project.started_again().headroom(Replicas(1)).await.is_err());
}

#[tokio::test]
async fn a_port_of_the_machine_is_there_once_and_its_line_is_named() {
    let project = Project::of(0).await;
    let template = std::fs::read_to_string(project.at("template")).unwrap();
    let bound = |port: &str| {
        let bindings = format!(r#""PortBindings":{{"8000/tcp":[{{"HostIp":"","HostPort":"{port}"}}]}}"#);
        template.replace("\"PortBindings\":null", &bindings)
    };
    project.write("compose.yaml", &format!("{FILE}    ports:\n    - \"8000:8000\"\n"));
    project.write("template", &bound("8000"));
    project.somebody_makes(1);
    let why = project.fleet.headroom(Replicas(1)).await.unwrap().runs_out.unwrap();
    let said = "compose.yaml, line 5: it can be published once; leave it out, or write a range)";
    assert!(why.ends_with(said), "{why}");
    project.write("template", &bound("8000-8002"));
    project.somebody_makes(1);
    let room = project.fleet.headroom(Replicas(3)).await.unwrap();
    assert_eq!(room.fits, Replicas(2));
    assert!(room.runs_out.unwrap().contains("they are 3; write a wider range"));
}

#[tokio::test]
async fn without_any_limit_of_memory_nobody_can_tell_how_many_fit() {
    let without = |text: String| text.replace("\"Memory\":134217728", "\"Memory\":0");
    let project = Project::of(0).await;
    project.write("template", &without(std::fs::read_to_string(project.at("template")).unwrap()));
    let said = project.fleet.headroom(Replicas(1)).await.unwrap_err().to_string();
    assert!(said.contains("set mem_limit in its file, or fleet.memory"), "{said}");
    let project = Project::with(2, |settings| settings.memory = Some(1 << 30)).await;
    assert_eq!(project.fleet.headroom(Replicas(2)).await.unwrap().fits, Replicas(1));
}

#[tokio::test]
async fn a_file_that_has_changed_and_a_rollout_that_is_half_done_stand_in_the_way() {
    let project = Project::of(2).await;
    assert_eq!(project.fleet.steered_by().await, Ok(Vec::new()));
    project.write("config", "api 77ffee\n");
    let [changed] = &project.started_again().steered_by().await.unwrap()[..] else { panic!("one") };
    assert!(changed.by.ends_with("compose.yaml, which was changed"), "{changed:?}");
    assert!(changed.settled_by.starts_with("docker compose --project-name conclave --file "), "{changed:?}");
    let template = std::fs::read_to_string(project.at("template")).unwrap();
    project.write("template", &template.replace("34a8e2", "77ffee"));
    project.somebody_makes(3);
    let [rollout] = &project.fleet.steered_by().await.unwrap()[..] else { panic!("one") };
    assert_eq!(rollout.effect, "is half done: its containers were made with 2 configurations");
}

#[tokio::test]
async fn the_second_line_of_compose_is_not_asked_for_a_hash() {
    let project = Project::of(2).await;
    project.write("version", "v2.24.7\n");
    project.write("config", "");
    assert_eq!(project.fleet.steered_by().await, Ok(Vec::new()));
    let asked = std::fs::read_to_string(project.at("asked")).unwrap();
    assert!(asked.contains(" config --quiet\n"), "{asked}");
    assert_eq!(project.goes(3, None).await, Ok(OrderAnswer::Done));
    // It calls its containers otherwise.
    let template = std::fs::read_to_string(project.at("template")).unwrap();
    project.write("template", &template.replace("conclave_api_", "conclave-api-"));
    for number in 1..=3 {
        project.somebody_makes(number);
    }
    assert_eq!(project.fleet.headroom(Replicas(1)).await.unwrap().runs_out, None);
    assert_eq!(project.goes(2, Some(&["conclave-api-3"])).await, Ok(OrderAnswer::Done));
}

#[tokio::test]
async fn a_compose_of_which_nobody_can_tell_whom_it_ends_adds_and_ends_nobody() {
    let project = Project::of(2).await;
    project.write("version", "2.20.3\n");
    let said = "compose 2.20.3 does not serve this (it cannot be told whom it ends when there are to be fewer; going down takes \
                2.24.7 or later)";
    let budget = project.fleet.disruptions_allowed().await.unwrap_err().to_string();
    assert!(budget.ends_with(said), "{budget}");
    assert_eq!(project.goes(3, None).await, Ok(OrderAnswer::Done));
    assert!(refused(project.goes(2, Some(&["conclave_api_3"])).await).ends_with(said));
    assert_eq!(project.now().await.wanted, Replicas(3));
    let found = project.fleet.check().await;
    assert!(found.iter().any(|one| one.status == crate::doctor::Status::Warn && one.text.ends_with(said)), "{found:?}");
}

#[tokio::test]
async fn a_compose_that_is_slow_to_start_is_found_although_nobody_can_wait_for_it() {
    let project = Project::of(2).await;
    let gate = project.at("gate");
    assert!(std::process::Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let script = std::fs::read_to_string(project.at("compose")).unwrap();
    let slow = script.replace("version*) cat", "version*) read _ <\"$here/gate\"; cat");
    assert_ne!(slow, script);
    project.write("compose", &slow);
    // A guard gives up before it has said its version.
    let mut asked = Box::pin(project.fleet.disruptions_allowed());
    assert!(futures::poll!(&mut asked).is_pending());
    drop(asked);
    // This ends once it is read: the program runs although nobody waits.
    tokio::fs::write(&gate, "go\n").await.unwrap();
    assert_eq!(project.fleet.disruptions_allowed().await, Ok(None));
    let asked = std::fs::read_to_string(project.at("asked")).unwrap();
    assert_eq!(asked.matches("version --short").count(), 1, "{asked}");
}

#[tokio::test]
async fn the_declared_count_is_in_a_file_or_one() {
    let project = Project::of(2).await;
    let declared = || async { project.fleet.declared().await.map(Option::unwrap) };
    let found = declared().await.unwrap();
    assert_eq!((found.count, found.line.as_str()), (Replicas(1), "  api:"));
    assert!(found.place.contains("line 2, which says no number"), "{}", found.place);
    project.write("compose.yaml", &format!("{FILE}    deploy:\n      replicas: 4\n"));
    let found = declared().await.unwrap();
    assert_eq!((found.count, found.line.as_str()), (Replicas(4), "      replicas: 4"));
    assert!(found.place.ends_with("compose.yaml, line 6"), "{}", found.place);
    project.write("compose.yaml", &format!("{FILE}    scale: 3\n"));
    assert_eq!(declared().await.unwrap().count, Replicas(3));
    for wrong in ["    scale: ${COUNT}\n", "    scale: 3\n    deploy:\n      replicas: 4\n", "    <<: *defaults\n"] {
        project.write("compose.yaml", &format!("{FILE}{wrong}"));
        assert!(declared().await.is_err(), "{wrong}");
    }
    project.write("compose.yaml", "services:\n  web:\n    image: web\n");
    assert!(declared().await.unwrap_err().to_string().contains("they have no service api"));
}

#[tokio::test]
async fn whoever_resolves_the_name_sends_requests_to_all_that_run_until_they_end() {
    let project = Project::of(2).await;
    let traffic = project.fleet.by_name();
    let routed = traffic.routed().await.unwrap();
    assert!(routed.len() == 2 && routed.iter().all(|one| one.receives && !one.drained));
    let Draining::AsItEnds { grace, .. } = traffic.draining().await.unwrap() else { panic!("as it ends") };
    assert_eq!(grace.as_secs(), 20);
}

#[tokio::test]
async fn the_doctor_says_what_is_there_and_what_is_not() {
    let project = Project::of(2).await;
    let said = |found: Vec<crate::doctor::Finding>| {
        found.into_iter().map(|one| format!("{:?} {}", one.status, one.text)).collect::<Vec<_>>()
    };
    let found = said(project.fleet.check().await);
    assert_eq!(found[0], "Ok reached, version 20.10.24 on vm; whoever may use this socket is root on that machine");
    assert!(found[1].starts_with("Warn found; it has no health check"), "{found:?}");
    assert!(found[2].ends_with("compose, version 1.29.2"), "{found:?}");
    assert_eq!(found[3], "Ok usable; a change that no container has yet would be seen");
    assert_eq!(found[4], "Ok none was given yet");
    let template = std::fs::read_to_string(project.at("template")).unwrap();
    project.write("template", &template.replace("\"ExitCode\"", "\"Health\":{\"Status\":\"healthy\"},\"ExitCode\""));
    for number in 1..=2 {
        project.somebody_makes(number);
    }
    assert_eq!(said(project.fleet.check().await)[1], "Ok found; 2 of 2 containers run");
    for number in 1..=2 {
        project.somebody_ends(number);
    }
    std::fs::remove_file(project.at("config")).unwrap();
    let found = said(project.started_again().check().await);
    assert_eq!(found[1], "Failed it has no container on this engine");
    assert!(found[3].starts_with("Failed "), "{found:?}");
}
