//! What people are asked and offered by buttons and forms, and who is told that this is not the place, or not theirs.

use scalebot_tests::binary::{last_finished, of_kind, only};
use scalebot_tests::discord::{Answer, Asked, Whence};
use serde_json::json;

use crate::setting::{NO_PROPOSALS, Stage, privately, said, title};

/// What a form asks for.
async fn label(asked: &Asked) -> String {
    match asked.answer().await {
        Answer::Form(form) => form["components"][0]["components"][0]["label"].as_str().unwrap().to_owned(),
        other => panic!("instead of a form: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_in_the_wrong_place_is_told_what_is_missing_and_who_runs_it_is_asked_why() {
    // A calm fleet, whose keys nothing tells about.
    let replaced = [
        ("kind = \"process\"\n", "kind = \"process\"\nload = 12.0\n"),
        ("memory_limit = \"256MiB\"\n", "memory_limit = \"256MiB\"\np99 = \"10s\"\n"),
        ("keys = { path = { path = \"/v1/keys/status\", field = \"reachable\" } }\n", "keys = \"none\"\n"),
    ];
    let stage = Stage::with(&replaced, NO_PROPOSALS).await;
    let discord = &stage.discord;
    let (operator, viewer) = (discord.person("operator"), discord.person("viewer"));
    let up = [("count", 5)];

    let elsewhere = operator.in_channel("elsewhere");
    let told = privately(&elsewhere.command("up", &up)).await;
    assert!(told.text.contains(&format!("Nothing was done.\nUse <#{}>", discord.channel_id("ops"))), "{told:?}");
    assert_eq!(elsewhere.proposals("up", "target", "").await, [], "it tells nothing to whoever cannot ask");
    assert_eq!(operator.proposals("up", "target", "a").await, [("api".to_owned(), json!("api"))]);
    assert_eq!(operator.proposals("down", "target", "web").await, []);
    for (whence, why) in [
        (Whence::DirectMessage, "In private messages nobody has a role"),
        (Whence::AnotherServer, "This bot serves another server"),
        (Whence::OwnInstallation, "added to your own account"),
    ] {
        let told = operator.from(whence).command("up", &up).message().await;
        assert!(told.text.contains(why) && told.text.contains("Nothing was done."), "{whence:?}: {told:?}");
    }
    let told = privately(&discord.person("admin").command("up", &up)).await;
    assert!(told.text.contains("You hold none of this bot's roles"), "{told:?}");
    assert!(told.text.contains(&format!("<@&{}>", discord.role("viewer"))) && told.pinged.is_empty(), "{told:?}");
    let told = privately(&viewer.command("up", &up)).await;
    assert!(told.text.contains("Only an operator may change the count. Nothing was done."), "{told:?}");
    assert!(discord.channel("ops").messages().is_empty(), "nothing of it was for everybody");

    // Nobody said why, and nothing shows it.
    operator.command("up", &up).acknowledged().await;
    let why = discord.channel("ops").message_with("Why is this done?").await;
    assert!(why.text.contains("Press Say why.") && why.pinged.is_empty(), "{why:?}");
    let form = viewer.press(&why, "Say why");
    assert_eq!(label(&form).await, "For the record");
    let told = viewer.fill_in(&form, &[("For the record", "because I can")]).await;
    told.said_where(|seen| seen.ephemeral && seen.text.contains("may say why it is done")).await;
    let form = operator.press(&why, "Say why");
    let told = operator.fill_in(&form, &[("For the record", "campaign\nat **noon** @everyone")]).await;
    assert!(privately(&told).await.text.contains("on record"));

    // Nobody can tell whether the new one reaches its keys, but who has looked.
    let keys = discord.channel("ops").message_with("Do the new instances reach their signing keys?").await;
    assert!(keys.text.contains("api-5") && keys.text.contains("Press I attest it."), "{keys:?}");
    let form = viewer.press(&keys, "I attest it");
    let told = viewer.fill_in(&form, &[("What you have looked at", "it looks well")]).await;
    told.said_where(|seen| seen.ephemeral && seen.text.contains("Only an operator may attest")).await;
    let operator2 = discord.person("operator2");
    let form = operator2.press(&keys, "I attest it");
    let told = operator2.fill_in(&form, &[("What you have looked at", "the HSM's log: api-5 signs")]).await;
    assert!(privately(&told).await.text.contains("Your word is on record"));
    let summary = discord.channel("ops").message_with("5 instances now").await;
    stage.service.until("finished", 1);
    // What is over has nothing to press any more.
    keys.until(|seen| seen.buttons().is_empty()).await;
    why.until(|seen| seen.buttons().is_empty()).await;
    let ops = discord.channel("ops").messages();
    assert!(ops.iter().all(|seen| !seen.pinged.contains(&"@everyone".to_owned())), "{summary:?}");

    let events = stage.ends().await;
    assert_eq!(only(&events, "rationale")["reason"], "campaign at **noon** @everyone");
    let attested = only(&events, "attested");
    assert_eq!(
        (&attested["statement"], &attested["instances"]),
        (&json!("the HSM's log: api-5 signs"), &json!(["api-5"]))
    );
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    // Where nobody has a role, nothing is asked of the log.
    assert_eq!(of_kind(&events, "command_refused").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_lifts_a_limit_and_halts_the_system_and_an_architect_acknowledges() {
    let frozen = "[[policy.count.freeze]]\nfrom = \"2026-01-01T00:00:00Z\"\nuntil = \"2126-01-01T00:00:00Z\"\nwhy = \"session\"\n";
    let more = format!("{NO_PROPOSALS}{frozen}");
    let stage = Stage::of("fault = \"diverged-chain\"\n", &more).await;
    let discord = &stage.discord;
    stage.up("operator", 6);
    let request = stage.request().await;
    assert!(request.text.contains("(session)") && request.text.contains("campaign"), "{request:?}");
    let lead = discord.person("lead").in_channel("governance");
    // Why is wanted, and asked for.
    let plain = lead.press(&request, "Approve");
    plain.said_where(|seen| seen.ephemeral && seen.text.contains("needs a reason. Press Approve and say why.")).await;
    let form = lead.press(&request, "Approve and say why");
    assert_eq!(label(&form).await, "Why it may be done");
    let told = lead.fill_in(&form, &[("Why it may be done", "the campaign is worth it")]).await;
    assert!(privately(&told).await.text.contains("on record, with why"));
    request.until(|seen| title(seen).contains("Approved: 4 → 6")).await;

    // What comes up holds another history.
    let governance = discord.channel("governance");
    let offer = governance.message_with("[Halt the system]").await;
    assert_eq!(
        (offer.buttons(), offer.pinged.clone()),
        (vec!["Halt the system".into(), "Do not halt".into()], vec!["@governance lead".into()])
    );
    let told = privately(&lead.press(&offer, "Halt the system")).await;
    assert!(told.text.contains("on record"), "{told:?}");
    let escalated = discord.channel("ops").message_with("for the system architect: ").await;
    assert_eq!(escalated.pinged, ["@system architect"], "{escalated:?}");
    assert!(escalated.text.contains("Press Acknowledge."), "{escalated:?}");
    let refused = privately(&discord.person("viewer").press(&escalated, "Acknowledge")).await;
    assert!(refused.text.contains("may acknowledge this escalation"), "{refused:?}");
    let told = privately(&discord.person("architect").press(&escalated, "Acknowledge")).await;
    assert!(told.text.contains("sees to escalation"), "{told:?}");
    let seen_to = escalated.until(|seen| title(seen).contains("sees to it")).await;
    assert!(seen_to.buttons().is_empty(), "{seen_to:?}");

    let summary = discord.channel("ops").message_with("as before").await;
    stage.service.until("finished", 1);
    assert!(summary.text.contains("halted on the word of"), "{summary:?}");
    let closed = offer.until(|seen| seen.buttons().is_empty()).await;
    assert!(closed.text.contains("halted"), "{closed:?}");
    let architect = discord.user("architect").to_string();
    let events = stage.ends().await;
    let overridden = only(&events, "overridden");
    assert_eq!(overridden["reason"], "the campaign is worth it");
    assert_eq!(only(&events, "halt_answered")["halt"], true);
    assert_eq!(only(&events, "halting_answered")["result"], "done");
    assert_eq!(last_finished(&events)["outcome"], "rolled_back");
    // By Discord's number, and not by a name that another could take.
    assert_eq!(said(&events, "acknowledged", "by"), [architect]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_dismissed_comes_again_and_is_begun() {
    let stage = Stage::of("", "[policy.triggers]\nevery = \"2s\"\nquiet = \"3s\"\n").await;
    let discord = &stage.discord;
    let (ops, operator) = (discord.channel("ops"), discord.person("operator"));
    let proposed = ops.message_with("[Dismiss]").await;
    assert!(title(&proposed).contains("Proposed: 4 → ") && proposed.text.contains("Press Start."), "{proposed:?}");
    assert_eq!(proposed.buttons(), ["Start", "Dismiss"]);
    let refused = privately(&discord.person("viewer").press(&proposed, "Start")).await;
    assert!(refused.text.contains("Only an operator may begin what was proposed"), "{refused:?}");
    let told = privately(&operator.press(&proposed, "Dismiss")).await;
    assert!(told.text.contains("stays quiet for 3 s"), "{told:?}");
    let dismissed = proposed.until(|seen| title(seen).contains("Dismissed by")).await;
    assert!(dismissed.buttons().is_empty(), "{dismissed:?}");

    let again = ops.message_where(|seen| seen.id > proposed.id && title(seen).contains("Proposed: ")).await;
    let told = privately(&operator.press(&again, "Start")).await;
    assert!(told.text.contains("looking. Operation "), "{told:?}");
    stage.service.until("finished", 1);
    ops.message_with("instances now").await;
    let events = stage.service.events();
    let started = of_kind(&events, "proposed")[1].clone();
    assert_eq!(only(&events, "requested")["to"], started["to"]);
    assert_eq!(only(&events, "requested")["reason"], started["because"]);
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    stage.ends().await;
}
