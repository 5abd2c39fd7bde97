//! Two processes use one token, each with a state directory of its own, as happens when a machine is copied.

use scalebot_tests::discord::{Asked, Discord};
use scalebot_tests::run::Service;
use serde_json::{Value, json};

fn of_kind(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["kind"] == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_on_one_token_one_does_what_is_asked_and_answers() {
    let discord = Discord::ready_made();
    let services = [Service::in_discord(&discord, "", ""), Service::in_discord(&discord, "", "")];
    let serving = services.each_ref().map(Service::start_ready);
    discord.until_registered("scale").await;
    discord.until_sessions(2).await;

    let refused: Vec<Asked> = (0..10).map(|_| discord.person("viewer").command("up", &[("count", json!(6))])).collect();
    for asked in &refused {
        asked.said_where(|seen| seen.content.contains("operator")).await;
    }
    let options = [("count", json!(6)), ("reason", json!("campaign"))];
    let asked = discord.person("operator").command("up", &options);
    asked.acknowledged().await;
    discord.channel("ops").message_with("6 instances now").await;

    for serving in serving {
        assert_eq!(serving.stop(), Some(0));
    }
    let events = services.each_ref().map(Service::events);
    let all = |kind: &str| events.iter().map(|events| of_kind(events, kind)).sum::<usize>();
    assert_eq!((all("scaling"), all("finished"), all("command_refused")), (1, 1, 10), "{events:?}");
    let counts = services.each_ref().map(|service| service.processes("drill-instance").len());
    assert!(counts == [4, 6] || counts == [6, 4], "{counts:?}");
    for asked in refused.iter().chain([&asked]) {
        assert_eq!(asked.said().len(), 1, "{:?}", asked.said());
    }
    let summaries = discord.channel("ops").messages().into_iter().filter(|seen| seen.text.contains("6 instances now"));
    assert_eq!(summaries.count(), 1);
    // Whoever looks learns of it: in one log channel neither log is alone.
    let said = services.each_ref().map(|service| service.on_the_host(&["ledger", "verify"]));
    println!("{said:?}");
    assert!(said.iter().any(|(code, _)| *code == Some(1)), "{said:?}");
}
