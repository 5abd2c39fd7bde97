//! What instances wrote, where configuration says that it is attached: for whoever reads the channel, without credentials.

use crate::setting::{NO_PROPOSALS, Stage};

/// What a backend should not write, and does.
const CREDENTIAL: &str = "written-by-an-instance";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_new_instances_wrote_is_attached_without_their_credentials() {
    let replaced = [
        ("kind = \"process\"\n", "kind = \"process\"\nfault = \"crash\"\n"),
        ("[discord]\n", "[discord]\nattach_instance_logs = true\n"),
    ];
    let stage = Stage::with(&replaced, NO_PROPOSALS).await;
    // What an instance wrote earlier is in a file of its own.
    let before = stage.service.state().join("targets/api/world/instances/api-5.log.1");
    let wrote =
        format!("postgres://conclave:{CREDENTIAL}@db/conclave did not answer; tried with hsm_pin_token={CREDENTIAL}\n");
    std::fs::write(before, wrote).unwrap();
    stage.up("operator", 6);
    let summary = stage.discord.channel("ops").message_with("Taken back: 4 instances").await;
    let file = summary.attachments.iter().find(|file| file.name == "api-5.log").expect("what api-5 wrote");
    let text = String::from_utf8_lossy(&file.bytes);
    assert!(
        text.contains("postgres://[hidden]@db/conclave did not answer; tried with hsm_pin_token=[hidden]"),
        "{text}"
    );
    let leaked: Vec<String> =
        stage.discord.requests().iter().filter(|one| one.says(CREDENTIAL)).map(ToString::to_string).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    // Whoever investigates on the host has all of it.
    let events = stage.service.until("finished", 1);
    let operation = events.iter().find(|event| event["kind"] == "finished").unwrap()["operation"].as_str().unwrap();
    let kept = stage.service.state().join("targets/api/logs").join(operation).join("api-5.log");
    assert!(std::fs::read_to_string(kept).unwrap().contains(CREDENTIAL));
    stage.ends().await;
}
