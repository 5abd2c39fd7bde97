//! What the bot wrote, and where it writes, is taken away from under it.

use scalebot_tests::binary::kinds;
use scalebot_tests::discord::Discord;
use scalebot_tests::discord::permissions::SEND_MESSAGES;
use scalebot_tests::run::Service;
use serde_json::json;

use crate::setting::until_told;

#[tokio::test(flavor = "multi_thread")]
async fn cards_come_anew_where_their_message_thread_or_channel_is_deleted_and_what_is_missing_is_named() {
    let discord = Discord::ready_made();
    let service = Service::in_discord(&discord, "edit_every = \"1s\"\n", "[policy.triggers]\nevery = \"1h\"\n");
    let text = std::fs::read_to_string(service.config()).unwrap();
    std::fs::write(service.config(), text.replace("monitor = \"10s\"", "monitor = \"15s\"")).unwrap();
    let serving = service.start_ready();
    discord.until_registered("scale").await;
    let up =
        |count: u32| discord.person("operator").command("up", &[("count", json!(count)), ("reason", json!("load"))]);
    let ops = discord.channel("ops");

    up(5).acknowledged().await;
    let first = ops.message_where(|seen| seen.has_thread).await;
    let thread = first.thread().unwrap();
    // Somebody tidies up: the card of the progress, and then the whole thread.
    let progress = thread.message_where(|_| true).await;
    discord.delete_message(progress.id);
    let anew =
        thread.message_where(|seen| seen.id != progress.id && seen.embeds[0]["title"] == progress.embeds[0]["title"]);
    assert!(anew.await.id > progress.id);
    let known = ops.messages().len();
    discord.delete_channel(&thread.name());
    let instead = ops.at_least(known + 1).await;
    assert!(instead.last().unwrap().id > first.id, "{instead:?}");
    // The card of the checks is gone too when the verdict comes.
    discord.delete_message(first.id);
    ops.message_with("5 instances now").await;
    service.until("finished", 1);

    // The bot may no longer write there, and then it may.
    discord.take_from_bot("ops", SEND_MESSAGES);
    up(6).acknowledged().await;
    // A card of the first one may be changed at this moment too.
    let lacks = "the bot may not post in the ops channel";
    serving.until_it_says(lacks);
    let line = serving.said().lines().rfind(|line| line.contains(lacks)).unwrap().to_owned();
    assert!(line.contains("a card could not be shown") && line.contains("Send Messages"), "{line}");
    service.until("scaling", 2);
    discord.give_to_bot("ops", SEND_MESSAGES);
    let known = ops.messages().len();
    ops.at_least(known + 1).await;
    // And then the channel itself is deleted: the operation ends all the same, and is on record.
    discord.delete_channel("ops");
    let events = service.until("finished", 2);
    let outcomes: Vec<_> = events.iter().filter(|event| event["kind"] == "finished").collect();
    for finished in outcomes {
        assert_eq!(finished["body"]["outcome"], "completed", "{:?}", kinds(&events));
    }
    serving
        .until_it_says("a channel in Discord no longer exists (it is needed to post in the ops channel; make it again");
    until_told(&discord, service.events().len()).await;
    assert_eq!(serving.stop(), Some(0));
    service.proved();
    // Whoever looks after it finds the channel named, with what to do.
    let (code, said) = service.on_the_host(&["check"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the ops channel: There is no channel") && said.contains("discord.channels"), "{said}");
}
