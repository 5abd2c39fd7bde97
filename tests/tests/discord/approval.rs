//! During a halt: who is asked, whose mark counts, how it is decided and taken back.

use std::time::Duration;

use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::discord::{Discord, Failure};
use serde_json::Value;

use crate::setting::{NO_PROPOSALS, Stage, privately, said, title};

const HALTED: &str = "halted = true\n";

/// Who made a vote that did not count, and why not, in the order of the record.
fn refused(events: &[Value], discord: &Discord) -> Vec<(String, String)> {
    let name = |id: &Value| {
        let people = ["operator", "operator2", "lead", "lead2", "former lead", "voting bot"];
        let found = people.into_iter().find(|name| discord.user(name).to_string() == id.as_str().unwrap());
        found.unwrap_or("somebody else").to_owned()
    };
    let refusals = of_kind(events, "vote_refused").into_iter();
    refusals.map(|one| (name(&one["by"]), one["why"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn governance_is_asked_and_only_a_mark_that_counts_decides() {
    let stage = Stage::of(HALTED, NO_PROPOSALS).await;
    let discord = &stage.discord;
    // Who asks is also a lead, and may not decide on it all the same.
    discord.set_roles("operator2", &["operator", "governance lead"]);
    // Discord's events go on saying that they are a lead.
    discord.set_roles_unnoticed("lead2", &["administrator"]);

    stage.up("operator2", 5);
    let request = stage.request().await;
    assert_eq!(request.pinged, ["@governance lead"], "{request:?}");
    assert!(request.content.starts_with("<@&"), "{request:?}");
    assert_eq!(request.buttons(), ["Approve", "Reject", "Approve and say why"]);
    assert_eq!(request.reactions.values().flatten().collect::<Vec<_>>(), ["scalebot", "scalebot"]);
    assert!(request.text.contains("4 → 5 (1 more)") && request.text.contains("**halt table**"), "{request:?}");
    // Nobody else anywhere was pinged, and only the escalation said it as well.
    for seen in discord.channel("ops").messages().iter().chain(&discord.channel("governance").messages()) {
        assert!(seen.pinged.is_empty() || seen.pinged == ["@governance lead"], "{seen:?}");
    }
    assert!(discord.channel("ops").messages().iter().all(|seen| seen.pinged.is_empty()));

    discord.person("operator2").react(&request, "✅");
    stage.service.until("vote_refused", 1);
    discord.person("voting bot").react(&request, "✅");
    stage.service.until("vote_refused", 2);
    discord.person("lead2").react(&request, "✅");
    let events = stage.service.until("vote_refused", 3);
    let refused = refused(&events, discord);
    let [(requester, own), (bot, no_person), (former, not_any_more)] = refused.as_slice() else {
        panic!("{refused:?}")
    };
    assert_eq!([requester, bot, former], ["operator2", "voting bot", "lead2"]);
    assert!(own.contains("Nobody approves their own request"), "{own}");
    assert!(no_person.contains("Only a person"), "{no_person}");
    assert!(not_any_more.contains("Only a governance lead may decide"), "{not_any_more}");
    // Who is told why: the requester in answer to their command, who never typed anything in a message of their own.
    let own = discord.person("lead2").direct_messages().message_with("Only a governance lead may decide").await;
    assert!(own.pinged.is_empty());
    assert!(request.now().unwrap().text.contains("has to decide"), "nothing is decided by any of them");

    discord.person("lead").react(&request, "✅");
    let approved = request.until(|seen| title(seen).contains("Approved: 4 → 5")).await;
    assert!(approved.text.contains(&discord.user("lead").to_string()), "{approved:?}");
    assert_eq!(approved.pinged, ["@governance lead"], "an edit pings nobody anew");
    let events = stage.service.until("finished", 1);
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    assert_eq!(of_kind(&events, "approved").len(), 1);
    request.until(|seen| seen.buttons().is_empty()).await;

    // The same by a button, asked by somebody else.
    let asked = stage.up("operator", 6);
    let request = stage.request().await;
    assert!(request.text.contains("5 → 6"), "{request:?}");
    let pressed = discord.person("lead").in_channel("governance").press(&request, "Approve");
    assert!(privately(&pressed).await.text.contains("on record"));
    discord.channel("ops").message_with("6 instances now").await;
    stage.service.until("finished", 2);
    assert!(asked.said().iter().all(|seen| seen.ephemeral));
    let events = stage.ends().await;
    assert_eq!(said(&events, "finished", "outcome"), ["completed", "completed"]);
    assert_eq!(of_kind(&events, "scaling").len(), 2);
    assert_eq!(of_kind(&events, "vote_refused").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_rejects_nobody_decides_and_two_have_to_agree() {
    let more = format!("{NO_PROPOSALS}[policy.approval]\nquorum = 2\ndecide_within = \"25s\"\n");
    let stage = Stage::of(HALTED, &more).await;
    let discord = &stage.discord;
    let (lead, lead2) = (discord.person("lead"), discord.person("lead2"));
    let by_lead2 = lead2.in_channel("governance");

    // One ❌ of any lead is enough.
    stage.up("operator", 6);
    let request = stage.request().await;
    assert!(request.text.contains("2 ✅ approve it, one ❌ rejects it"), "{request:?}");
    let pressed = by_lead2.press(&request, "Reject");
    assert!(privately(&pressed).await.text.contains("❌ is on record"));
    request.until(|seen| title(seen).contains("Rejected: 4 → 6") && seen.buttons().is_empty()).await;
    let ended = discord.channel("ops").message_with("as before").await;
    assert!(ended.text.contains("Rejected"), "{ended:?}");
    stage.service.until("finished", 1);

    // Whoever makes both marks means no.
    stage.up("operator", 6);
    let request = stage.request().await;
    lead.react(&request, "✅");
    stage.service.until("vote_cast", 2);
    lead.react(&request, "❌");
    request.until(|seen| title(seen).contains("Rejected: 4 → 6")).await;
    stage.service.until("finished", 2);

    // One of two is not enough, and what comes after the time is over changes nothing.
    stage.up("operator", 6);
    let request = stage.request().await;
    lead.react(&request, "✅");
    let expired = request.until(|seen| title(seen).contains("Expired: 4 → 6")).await;
    assert!(expired.buttons().is_empty() && expired.text.contains("Nothing was changed. Ask again."), "{expired:?}");
    let events = stage.service.until("finished", 3);
    assert_eq!(said(&events, "finished", "outcome"), ["rejected", "rejected", "expired"]);
    lead2.react(&request, "✅");
    // In answer to what they pressed before.
    pressed.said_where(|seen| seen.ephemeral && seen.text.contains("changes nothing")).await;
    assert_eq!(stage.service.processes("drill-instance").len(), 4);

    // Two agree, one after the other and each in their own way.
    stage.up("operator", 6);
    let request = stage.request().await;
    lead.react(&request, "✅");
    stage.service.until("vote_cast", 5);
    assert!(title(&request.now().unwrap()).contains("has to decide"));
    by_lead2.press(&request, "Approve").acknowledged().await;
    discord.channel("ops").message_with("6 instances now").await;
    stage.service.until("finished", 4);
    let events = stage.ends().await;
    let by = only(&events, "approved")["by"].as_array().unwrap().len();
    assert_eq!((by, of_kind(&events, "scaling").len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_taken_back_as_long_as_nothing_was_done_under_it() {
    let more = format!("{NO_PROPOSALS}[policy.approval]\nquorum = 2\n");
    let mut stage = Stage::of(HALTED, &more).await;
    stage.up("operator", 6);
    let request = stage.request().await;
    let (lead, lead2) = (stage.discord.person("lead"), stage.discord.person("lead2"));
    // Before there are enough.
    lead.react(&request, "✅");
    stage.service.until("vote_cast", 1);
    lead.unreact(&request, "✅");
    stage.service.until("vote_withdrawn", 1);
    lead2.react(&request, "✅");
    stage.service.until("vote_cast", 2);
    assert!(title(&request.now().unwrap()).contains("has to decide"), "one of them took it back");

    // Approved, while everything is checked once more: by the button under it.
    let hangs = stage.an_instance_hangs();
    lead.react(&request, "✅");
    let approved = request.until(|seen| title(seen).contains("Approved: 4 → 6")).await;
    assert_eq!(approved.buttons(), ["Withdraw my approval"]);
    lead2.in_channel("governance").press(&request, "Withdraw my approval").acknowledged().await;
    stage.service.until("vote_withdrawn", 2);
    drop(hangs);
    let second = stage.request().await;
    assert!(second.id != request.id && second.text.contains("What was asked before is void"), "{second:?}");
    assert!(second.text.contains("withdrawn") && second.pinged == ["@governance lead"], "{second:?}");

    // Approved, and the bot dies before it could do anything. Meanwhile one of the two thinks better of it.
    let hangs = stage.an_instance_hangs();
    lead.react(&second, "✅");
    lead2.react(&second, "✅");
    stage.service.until("approved", 2);
    // Once it hangs no more, it has to wait before it may ask who they are. A group of processes whose parent ends is
    // hung up on while one of them is stopped, so that it must not hang by then.
    let asking = "GET /guilds/{guild_id}/members/{user_id}";
    stage.discord.fail_next(1, asking, Failure::RouteLimit(Duration::from_secs(1)));
    drop(hangs);
    stage.is_killed().await;
    lead2.unreact(&second, "✅");
    // Back again, it can ask who somebody is before it is told what they did. What it was approved to do has to wait.
    stage.discord.refuse_gateway(true);
    stage.serving = Some(stage.service.start());
    stage.service.until("prechecked", 4);
    stage.discord.refuse_gateway(false);
    let third = stage.discord.channel("governance");
    let third = third.message_where(|seen| seen.id > second.id && seen.text.contains("has to decide")).await;
    assert!(third.text.contains("What was asked before is void"), "{third:?}");
    lead.react(&third, "❌");
    let ended = stage.discord.channel("ops").message_with("as before").await;
    assert!(ended.text.contains("Rejected"), "{ended:?}");
    stage.service.until("finished", 1);
    assert_eq!(stage.service.processes("drill-instance").len(), 4);
    let events = stage.ends().await;
    assert_eq!((of_kind(&events, "scaling").len(), of_kind(&events, "vote_withdrawn").len()), (0, 3));
}
