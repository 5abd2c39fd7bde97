//! A scaling from the command to its summary.

use scalebot_tests::binary::only;
use scalebot_tests::discord::Discord;
use scalebot_tests::run::Service;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_types_scale_up_6_and_sees_it_through_to_the_summary() {
    let discord = Discord::ready_made();
    let service = Service::in_discord(&discord, "", "");
    let serving = service.start_ready();
    discord.until_registered("scale").await;

    let asked = discord.person("operator").command("up", &[("count", json!(6)), ("reason", json!("campaign"))]);
    asked.acknowledged().await;
    let summary = discord.channel("ops").message_with("6 instances now").await;
    println!("{}", discord.transcript());
    assert!(summary.now().is_some());
    service.until("finished", 1);
    let events = service.proved();
    assert_eq!(only(&events, "finished")["ended_at"], 6);
    assert_eq!(serving.stop(), Some(0));
}
