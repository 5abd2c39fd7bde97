//! Discord is away while an operation is under way.

use scalebot_tests::binary::{kill, kinds, only};
use scalebot_tests::discord::{Away, Discord};
use scalebot_tests::run::Service;
use serde_json::json;

use crate::setting::{NO_PROPOSALS, until_told};

/// An operator asks for six, and Discord goes away while the checks are made.
async fn away_after_a_command(discord: &Discord, service: &Service, how: Away) {
    // An instance that answers late holds the checks up until Discord is away.
    let late = service.processes("drill-instance")[0];
    kill(late, "STOP");
    let options = [("count", json!(6)), ("reason", json!("campaign"))];
    let asked = discord.person("operator").command("up", &options);
    asked.said_where(|seen| !seen.thinking).await;
    service.until("requested", 1);
    discord.take_away(how);
    kill(late, "CONT");
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_pause_the_count_is_not_set_until_people_are_reached_again() {
    let discord = Discord::ready_made();
    let service = Service::in_discord(&discord, "while_away = \"pause\"\n", NO_PROPOSALS);
    let serving = service.start_ready();
    discord.until_registered("scale").await;

    away_after_a_command(&discord, &service, Away::Unavailable).await;
    serving.until_it_says("the next change waits until people are reached");
    let ready = service.http("/ready").unwrap();
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("Discord"), "{ready}");
    let events = service.events();
    assert!(kinds(&events).iter().all(|kind| kind != "scaling"), "{:?}", kinds(&events));
    assert_eq!(service.processes("drill-instance").len(), 4);

    // Told to stop it waits for nobody: neither while an operation is held back, nor while it waits for its witness.
    assert_eq!(serving.stop(), Some(0));
    let serving = service.start();
    serving.until_it_says("Nothing is carried out yet: the log channel cannot be read");
    assert_eq!(serving.stop(), Some(0));
    let serving = service.start();

    discord.bring_back();
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "finished")["outcome"], "completed", "{:?}", kinds(&events));
    assert_eq!(service.processes("drill-instance").len(), 6);
    discord.channel("ops").message_with("6 instances now").await;
    assert_eq!(serving.stop(), Some(0));
    service.proved();
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_go_on_it_is_done_while_discord_is_away_and_everything_is_said_afterwards() {
    let discord = Discord::ready_made();
    let service = Service::in_discord(&discord, "", NO_PROPOSALS);
    let serving = service.start_ready();
    discord.until_registered("scale").await;

    away_after_a_command(&discord, &service, Away::Unreachable).await;
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "finished")["outcome"], "completed", "{:?}", kinds(&events));
    assert_eq!(service.processes("drill-instance").len(), 6);
    assert!(discord.channel("ops").messages().iter().all(|seen| !seen.text.contains("6 instances now")));
    assert!(service.http("/health").unwrap().starts_with("HTTP/1.1 200"));
    let ready = service.http("/ready").unwrap();
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");

    discord.bring_back();
    discord.channel("ops").message_with("6 instances now").await;
    let log = discord.channel("scaling-log");
    log.message_with("finished").await;
    discord.until_sessions(1).await;
    let told = discord.person("viewer").command("up", &[("count", json!(7))]);
    told.said_where(|seen| seen.content.contains("operator")).await;
    until_told(&discord, service.until("command_refused", 1).len()).await;
    assert_eq!(serving.stop(), Some(0));
    // What could not be said is said, each once.
    let ops = discord.channel("ops").messages();
    let summaries = ops.iter().filter(|seen| seen.text.contains("6 instances now")).count();
    assert_eq!(summaries, 1, "{ops:?}");
    service.proved();
}
