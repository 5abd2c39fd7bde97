//! Many at once, for long, and with words that would like to be more than words.

use std::time::Duration;

use futures::future::join_all;
use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::discord::{ACKNOWLEDGE_WITHIN, Asked, ChannelView, Discord, Scene, TOKEN_LIFE};
use scalebot_tests::run::Service;
use serde_json::json;

use crate::setting::{NO_PROPOSALS, told_once_and_in_order, until_told};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_commands_at_once_each_is_acknowledged_in_time_and_one_is_carried_out_past_minute_fifteen() {
    // What Discord lets through a minute is not what is looked at here.
    let discord = Discord::start(Scene::ready_made().unlimited());
    let service = Service::in_discord(&discord, "", NO_PROPOSALS);
    let serving = service.start_ready();
    discord.until_registered("scale").await;

    let reason = format!("@everyone <@&{}> **now** `x` ||y|| [z](https://example.com)", discord.role("operator"));
    let (operator, viewer) = (discord.person("operator"), discord.person("viewer"));
    let asked: Vec<_> = (0..200)
        .map(|number| match number % 10 {
            0 => operator.command("up", &[("count", json!(6)), ("reason", json!(reason))]),
            _ => viewer.ask("status"),
        })
        .collect();
    let acknowledged = join_all(asked.iter().map(Asked::acknowledged)).await;
    let slowest = acknowledged.into_iter().max().unwrap();
    assert!(slowest < ACKNOWLEDGE_WITHIN, "{slowest:?}");
    // Nobody is left with "thinking…".
    let answers = join_all(asked.iter().map(|one| one.said_where(|seen| !seen.thinking))).await;
    assert!(answers.iter().all(|seen| seen.ephemeral));
    let events = service.until("requested", 1);
    assert_eq!(of_kind(&events, "requested").len(), 1);

    // By now no interaction can be answered any more.
    discord.advance(TOKEN_LIFE + Duration::from_mins(1));
    let summary = discord.channel("ops").message_with("6 instances now").await;
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "requested")["reason"], json!(reason));
    assert_eq!(only(&events, "finished")["ended_at"], 6);
    let progress = discord.channel("ops").threads();
    let edited = progress.iter().flat_map(ChannelView::messages).map(|seen| seen.edits).max();
    assert!(edited > Some(0), "{edited:?}");
    assert!(summary.text.contains("6 instances now"));

    for channel in ["ops", "governance", "scaling-log"] {
        for seen in discord.channel(channel).messages() {
            assert!(seen.pinged.is_empty(), "{seen:?}");
            assert!(!seen.text.contains("**now**") && !seen.text.contains("||y||"), "{seen:?}");
        }
    }
    until_told(&discord, service.events().len()).await;
    assert_eq!(serving.stop(), Some(0));
    let events = service.proved();
    told_once_and_in_order(&discord, &events);
}
