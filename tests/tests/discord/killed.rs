//! The bot is killed, and people go on meanwhile. When it is back, what they did counts if it was in time; what was under
//! way goes on, in the same messages; and nothing is done twice.

use std::time::Duration;

use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::discord::Seen;

use crate::setting::{NO_PROPOSALS, Stage, said, title};

fn ids(messages: &[Seen]) -> Vec<String> {
    messages.iter().map(|seen| seen.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_made_while_it_was_down_count_and_what_was_under_way_goes_on() {
    let mut stage = Stage::of("halted = true\n", NO_PROPOSALS).await;
    let lead = stage.discord.person("lead");
    let governance = stage.discord.channel("governance");

    // Both marks by one person, neither of which it saw being made.
    stage.up("operator", 6);
    let request = stage.request().await;
    stage.is_killed().await;
    lead.react(&request, "✅");
    lead.react(&request, "❌");
    stage.starts();
    request.until(|seen| title(seen).contains("Rejected: 4 → 6")).await;
    let events = stage.service.until("finished", 1);
    assert_eq!(said(&events, "finished", "outcome"), ["rejected"]);

    // One ✅ while it was down, in time.
    stage.up("operator", 6);
    let request = stage.request().await;
    let before = ids(&governance.messages());
    stage.is_killed().await;
    lead.react(&request, "✅");
    stage.starts();
    request.until(|seen| title(seen).contains("Approved: 4 → 6")).await;
    assert_eq!(ids(&governance.messages()), before, "nothing was asked twice");
    stage.service.until("verified", 1);

    // Killed again, while it watches.
    let ops = stage.discord.channel("ops");
    let precheck = ops.message_where(|seen| seen.text.ends_with("precheck")).await;
    let detail = precheck.thread().unwrap();
    let progress = detail.message_with("progress").await;
    let (cards, details) = (ids(&ops.messages()), ids(&detail.messages()));
    stage.is_killed().await;
    let edits = progress.now().unwrap().edits;
    stage.starts();
    let summary = ops.message_with("6 instances now").await;
    let events = stage.service.until("finished", 2);
    assert!(progress.now().unwrap().edits > edits, "it went on in the same message");
    let by_now = ids(&ops.messages());
    // Where the machine is too busy for it to be any better.
    let architect = said(&events, "escalated", "to").iter().filter(|to| *to == "system_architect").count();
    assert!(by_now.starts_with(&cards) && by_now.contains(&summary.id.to_string()), "{by_now:?}");
    assert_eq!(by_now.len(), cards.len() + 1 + architect, "{by_now:?}");
    assert_eq!(ids(&detail.messages()), details);
    assert_eq!(stage.service.processes("drill-instance").len(), 6);
    let events = stage.ends().await;
    assert_eq!(said(&events, "finished", "outcome"), ["rejected", "completed"]);
    only(&events, "scaling");
    only(&events, "approved");
}

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
    // It is down for as long as there was to decide: here time itself is what is waited for.
    let until = asked + jiff::SignedDuration::from_secs(15);
    tokio::time::sleep(Duration::try_from(until.duration_since(jiff::Timestamp::now())).unwrap_or_default()).await;
    stage.starts();
    let expired = request.until(|seen| title(seen).contains("Expired: 4 → 6")).await;
    assert!(expired.buttons().is_empty(), "{expired:?}");
    let lead = stage.discord.person("lead");
    lead.direct_messages().message_with("It came after the time to decide was over.").await;
    stage.discord.channel("ops").message_with("as before").await;
    stage.service.until("finished", 1);
    let events = stage.ends().await;
    assert_eq!(only(&events, "finished")["outcome"], "expired");
    assert!(only(&events, "vote_refused")["why"].as_str().unwrap().contains("after the time to decide was over"));
    assert_eq!(of_kind(&events, "scaling").len(), 0);
}
