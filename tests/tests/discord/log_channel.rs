//! The log channel: every event in one post and in order, whatever happens while it is told, and what an audit says of a
//! channel that somebody has put their hands on.

use std::time::Duration;

use scalebot_tests::binary::only;
use scalebot_tests::discord::{Away, Discord, Failure, NONCE_WINDOW, Seen};

use crate::setting::{NO_PROPOSALS, Stage, told_once_and_in_order, until_told};

const POST: &str = "POST /channels/{channel_id}/messages";
const LOG: &str = "scaling-log";
const HOUR: Duration = Duration::from_hours(1);

fn posts(discord: &Discord) -> Vec<Seen> {
    discord.channel(LOG).messages()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_channel_that_was_away_for_an_hour_and_a_crash_in_the_midst_of_a_post_leave_no_gap_and_no_double() {
    let mut stage = Stage::of("", NO_PROPOSALS).await;
    stage.up("operator", 6);
    stage.service.until("requested", 1);
    stage.discord.fail_next_in(LOG, usize::MAX, POST, Failure::Status(503));
    // The operation goes on, and people see it.
    stage.discord.channel("ops").message_with("6 instances now").await;
    let events = stage.service.until("finished", 1);
    let before = posts(&stage.discord).len();
    assert!(before < events.len(), "it was away");

    // It is back, and a post is there of which the bot never hears; and then it is gone for longer than any nonce lives.
    stage.discord.advance(HOUR);
    stage.discord.stop_failing();
    stage.discord.fail_next_in(LOG, usize::MAX, POST, Failure::AnswerLost);
    stage.discord.channel(LOG).at_least(before + 1).await;
    stage.is_killed().await;
    stage.discord.advance(HOUR.max(NONCE_WINDOW * 2));
    stage.discord.stop_failing();
    assert_eq!(posts(&stage.discord).len(), before + 1);

    stage.starts();
    until_told(&stage.discord, events.len()).await;
    let (code, said) = stage.service.on_the_host(&["ledger", "verify"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("after its last event: the channel was away, or the log was written anew"), "{said}");
    let events = stage.ends().await;
    assert_eq!(only(&events, "finished")["ended_at"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_channel_is_told_through_limits_and_failures_and_an_audit_names_every_post_that_was_touched() {
    let mut stage = Stage::of("", NO_PROPOSALS).await;
    let discord = &stage.discord;
    // Told to wait for longer than one attempt at a post may take, then for everything; then two failures, and an answer
    // that is lost.
    discord.fail_next_in(LOG, 1, POST, Failure::RouteLimit(Duration::from_secs(12)));
    discord.fail_next_in(LOG, 1, POST, Failure::GlobalLimit(Duration::from_secs(2)));
    discord.fail_next_in(LOG, 2, POST, Failure::Status(502));
    discord.fail_next_in(LOG, 1, POST, Failure::AnswerLost);
    stage.up("operator", 5);
    let events = stage.service.until("finished", 1);
    until_told(discord, events.len()).await;
    told_once_and_in_order(discord, &events);
    assert_eq!(stage.serving.take().unwrap().stop(), Some(0));
    let verify = || stage.service.on_the_host(&["ledger", "verify"]);
    let clean = format!("compared with the log channel up to seq {}", events.len());
    let (code, said) = verify();
    assert!(code == Some(0) && said.contains(&clean) && !said.contains("Look at this"), "{said}");

    // What is said of the log still holds, so that it is a suspicion and no proof.
    let all = posts(discord);
    let [first, second, third, ..] = all.as_slice() else { panic!("{all:?}") };
    discord.edit_with_the_token(
        first.id,
        &first.content.replace("operator", "somebody else").replace("up to 5", "up to 9"),
    );
    discord.delete_message(second.id);
    let forged = format!("all is well\n-# sealed: events 1 to 4, hash {}", "0".repeat(64));
    discord.person("admin").in_channel(LOG).writes(&forged);
    let (code, said) = verify();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the post of events 1 to 1 was changed after it was posted"), "{said}");
    assert!(said.contains("The log channel has no post of event 2: it was removed there."), "{said}");
    // Discord does not show the bot what somebody else wrote, only that they did.
    assert!(said.contains("Look at this: the message of ") && said.contains("was not written by the bot"), "{said}");

    // And what contradicts the log is one.
    let seal = third.content.lines().last().unwrap();
    let hash = seal.rsplit_once(' ').unwrap().1;
    discord.edit_with_the_token(third.id, &third.content.replace(hash, &"0".repeat(64)));
    let (code, said) = verify();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not the one that was posted to the log channel"), "{said}");

    // Without its witness nothing is claimed, and a log that is gone is missed.
    discord.take_away(Away::Unavailable);
    let (code, said) = verify();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("Discord"), "{said}");
    discord.bring_back();
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(stage.service.state().join(file));
    }
    let (code, said) = verify();
    assert_eq!(code, Some(1), "{said}");
}
