//! The bot is killed, and people go on meanwhile. When it is back, what they did counts if it was in time; what was under
//! way goes on, in the same messages; and nothing is done twice.

use scalebot_tests::binary::{of_kind, only};

use crate::setting::{NO_PROPOSALS, Stage, title};

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_made_while_it_was_down_and_read_too_late_is_named_as_late() {
    let more = format!("{NO_PROPOSALS}[policy.approval]\ndecide_within = \"15s\"\n");
    let mut stage = Stage::of("halted = true\n", &more).await;
    stage.up("operator", 6);
    let request = stage.request().await;
    let asked = stage.service.until("approval_requested", 1);
    stage.is_killed().await;
    stage.discord.person("lead").react(&request, "✅");
    let asked = asked.iter().find(|event| event["kind"] == "approval_requested").unwrap();
    let asked: jiff::Timestamp = asked["at"].as_str().unwrap().parse().unwrap();
    // It is down for as long as there was to decide.
    while jiff::Timestamp::now() <= asked + jiff::SignedDuration::from_secs(15) {
        std::thread::yield_now();
    }
    stage.starts();
    let expired = request.until(|seen| title(seen).contains("Expired: 4 → 6")).await;
    assert!(expired.buttons().is_empty(), "{expired:?}");
    let lead = stage.discord.person("lead");
    lead.direct_messages().message_with("It came after the time to decide was over.").await;
    stage.discord.channel("ops").message_with("as before").await;
    stage.service.until("finished", 1);
    let events = stage.ends();
    assert_eq!(only(&events, "finished")["outcome"], "expired");
    assert!(only(&events, "vote_refused")["why"].as_str().unwrap().contains("after the time to decide was over"));
    assert_eq!(of_kind(&events, "scaling").len(), 0);
}
