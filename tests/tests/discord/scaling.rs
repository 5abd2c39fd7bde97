//! A scaling from the command to its summary, up and down, and what is answered to who asks.

use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::discord::Seen;
use serde_json::json;

use crate::setting::{NO_PROPOSALS, Stage, privately, title};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_types_scale_up_6_and_sees_it_through_to_the_summary() {
    let stage = Stage::of("", NO_PROPOSALS).await;
    let discord = &stage.discord;
    let asked = stage.up("operator", 6);
    asked.acknowledged().await;
    assert!(privately(&asked).await.text.contains("looking. Operation "));
    let ops = discord.channel("ops");
    let summary = ops.message_with("6 instances now").await;
    stage.service.until("finished", 1);

    // The channel has the verdicts: what the checks found, and how it ended.
    let precheck = ops.message_with("precheck").await;
    assert!(title(&precheck).contains("4 → 6 (2 more)"), "{precheck:?}");
    assert!(precheck.text.contains("**latency**") && precheck.text.contains("operation "), "{precheck:?}");
    let others = |seen: &&Seen| seen.id != precheck.id && seen.id != summary.id;
    // On a busy machine it may be no better, and then the architect is told.
    let others: Vec<Seen> = ops.messages().iter().filter(others).cloned().collect();
    assert!(others.iter().all(|seen| title(seen).contains(" for the system architect: ")), "{others:?}");
    assert!(precheck.pinged.is_empty() && summary.pinged.is_empty());
    assert_eq!(discord.channel("governance").messages().len(), 0);

    // The thread at the first card has the detail: how far it is, in one message, and the verification.
    let thread = precheck.now().unwrap().thread().expect("a thread at the first card");
    assert!(thread.name().starts_with("Operation "), "{}", thread.name());
    let detail = thread.messages();
    assert_eq!(detail.len(), 2, "{detail:?}");
    let progress = detail.iter().find(|seen| seen.text.ends_with("progress")).unwrap();
    let verification = detail.iter().find(|seen| seen.text.ends_with("verification")).unwrap();
    assert!(progress.text.contains("100 %") || progress.text.contains("█"), "{progress:?}");
    assert!(verification.text.contains("api-5") && verification.text.contains("api-6"), "{verification:?}");
    // Ten seconds and more of looks, and at most one edit in five.
    assert!((1..=12).contains(&progress.edits), "{progress:?}");

    // The chart is attached, shown, and can be heard.
    let [chart] = summary.attachments.as_slice() else { panic!("{summary:?}") };
    assert!(chart.shown_in_embed && chart.content_type == "image/png" && chart.bytes.starts_with(b"\x89PNG"));
    let alt = chart.description.as_deref().unwrap();
    let events = stage.service.events();
    let verdict = only(&events, "finished")["verdict"].as_str().unwrap().replace('_', " ");
    assert!(alt.contains(&verdict) && alt.contains("p99") && alt.contains("limit"), "{verdict}: {alt}");
    assert!(title(&summary).contains(&verdict), "{summary:?}");

    let events = stage.ends().await;
    assert_eq!(only(&events, "finished")["ended_at"], 6);
    assert_eq!(only(&events, "finished")["outcome"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn six_become_four_and_whoever_asks_is_answered_alone() {
    let stage = Stage::of("instances = 6\nload = 18.0\n", NO_PROPOSALS).await;
    let discord = &stage.discord;
    let (viewer, operator) = (discord.person("viewer"), discord.person("operator"));
    assert_eq!(operator.proposals("status", "target", "a").await, [("api".to_owned(), json!("api"))]);
    assert_eq!(operator.proposals("down", "target", "web").await, []);

    // While nothing is under way.
    let plan = privately(&viewer.command("plan", &[("count", 5)])).await;
    assert!(plan.text.contains("6 → 5 (1 fewer)") && plan.text.contains("**halt state**"), "{plan:?}");
    let help = privately(&viewer.ask("help")).await;
    assert!(help.text.contains("What can be asked") && help.text.contains("governance lead"), "{help:?}");
    let history = privately(&viewer.ask("history")).await;
    assert!(history.text.contains("api"), "{history:?}");
    let refused = privately(&viewer.ask("followups")).await;
    assert!(refused.text.contains("Only an operator may see the follow-ups"), "{refused:?}");
    assert!(privately(&operator.ask("followups")).await.text.contains("ollow-up"));
    assert!(discord.channel("ops").messages().is_empty(), "an answer was for everybody");

    let down = [("count", json!(4)), ("reason", json!("night"))];
    assert!(privately(&operator.command("down", &down)).await.text.contains("looking. Operation "));
    stage.service.until("drained", 1);
    let status = privately(&viewer.ask("status")).await;
    assert!(status.text.contains("/scale down 4") || status.text.contains("6 → 4"), "{status:?}");
    let summary = discord.channel("ops").message_with("4 instances now").await;
    stage.service.until("finished", 1);
    assert!(title(&summary).contains("6 → 4 (2 fewer)"), "{summary:?}");
    assert!(summary.attachments[0].description.as_deref().is_some_and(|alt| alt.contains("p99")), "{summary:?}");

    let capacity = privately(&viewer.command("capacity", &[("load", json!(60))])).await;
    assert!(capacity.text.contains("requests/s"), "{capacity:?}");
    let history = privately(&viewer.command("history", &[("count", 3)])).await;
    assert!(history.text.contains("6 → 4") && history.text.contains(&operator.id().to_string()), "{history:?}");
    let refused = privately(&viewer.command("up", &[("count", 5)])).await;
    assert!(refused.text.contains("Only an operator may change the count"), "{refused:?}");
    let events = stage.ends().await;
    assert_eq!(of_kind(&events, "terminated").len(), 2);
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    let refusals = of_kind(&events, "command_refused");
    assert_eq!(refusals.len(), 2, "both are on record: {refusals:?}");
}
