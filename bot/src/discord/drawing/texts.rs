//! Every kind of card as Discord receives it, held still: the real runbook plays on a stage, with people who have
//! Discord's numbers.

use std::time::Duration;

use proptest::prelude::*;
use scalebot_commands::approval::Mark;
use scalebot_commands::asked::Answer;
use scalebot_commands::card::{self, Progress};
use scalebot_commands::context::Context;
use scalebot_commands::journal::{CancelRequested, Signal};
use scalebot_commands::policy::Policy;

use scalebot_commands::ports::Work;
use scalebot_commands::request::{Direction, Requested};
use scalebot_commands::units::{InstanceId, Person, Replicas, TargetName};
use serde_json::{Value, json};
use serenity::all::UserId;

use super::*;
use crate::testing::{Ill, Manner, Script, Stage, halted};

const OPERATOR: UserId = UserId::new(80_351_110_224_678_912);
const LEAD: UserId = UserId::new(80_351_110_224_678_913);

fn names() -> Names {
    let mut names = Names::default();
    names.learn(OPERATOR, "Olu");
    names.learn(LEAD, "Lea");
    names
}

/// The card with people as they are in Discord.
fn in_discord(card: &Card) -> Card {
    let people = |text: &String| {
        let text = text.replace("by operator", &format!("by {OPERATOR}")).replace("by lead", &format!("by {LEAD}"));
        text.replace("operator: answer", &format!("{OPERATOR}: answer"))
            .replace("operator asked", &format!("{OPERATOR} asked"))
    };
    let mut card = card.clone();
    card.title = people(&card.title);
    card.lines = card.lines.iter().map(people).collect();
    card.footer = people(&card.footer);
    card
}

fn drawn(card: &Card, slot: Slot, request: Option<&str>, notify: Option<RoleId>) -> Posted {
    let names = names();
    let operation = OperationId::new("019b9b3a-7f3a-7000-8000-0000007f3a01");
    let now = "2026-01-08T03:12:00Z".parse().unwrap();
    let presses = buttons(card, slot, &operation, request);
    let tag = format!("{slot:?}").to_lowercase();
    let tag = tag.as_str();
    let picture = card.chart.as_ref().map(|_| Picture { png: b"PNG".to_vec(), alt_text: "p99 fell".into() });
    let picture = picture.as_ref();
    super::card(&in_discord(card), &View { names: &names, now, tag: Some(tag), presses, notify, picture })
}

/// As Discord receives it.
fn received(card: &Card, slot: Slot) -> String {
    let posted = drawn(card, slot, None, None);
    assert_eq!(limits::beyond(&posted.json()), <[String; 0]>::default());
    serde_json::to_string_pretty(&posted.json()).unwrap()
}

/// What somebody reads and can press.
fn read(card: &Card, slot: Slot) -> String {
    let json = drawn(card, slot, None, None).json();
    let embed = &json["embeds"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let buttons: Vec<String> = json["components"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row["components"].as_array().unwrap())
        .map(|button| format!("[{}]", text(&button["label"])))
        .collect();
    let parts = [text(&embed["title"]), text(&embed["description"]), text(&embed["footer"]["text"]), buttons.join(" ")];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// The first card of that place after the command was carried out on the stage.
async fn first(command: &str, slot: Slot, set_up: impl FnOnce(&mut Script)) -> Card {
    let stage = Stage::with(set_up);
    stage.play(command).await;
    stage.cards(slot).remove(0)
}

async fn last(command: &str, slot: Slot, set_up: impl FnOnce(&mut Script)) -> Card {
    Stage::with(set_up).play(command).await.card(slot)
}

fn both_halted(script: &mut Script) {
    script.halt = [Ok(halted(true)), Ok(halted(true))];
}

/// Makes a card in the surroundings of an operation under way.
fn under_way(draw: impl FnOnce(&Context<'_>) -> Card) -> Card {
    let ports = Stage::new().ports();
    let policy = Policy::default();
    let operation = OperationId::new("019b9b3a-7f3a01");
    let request = Requested {
        runbook: 1,
        command: "/scale up 6".into(),
        by: Person::new("operator"),
        target: TargetName::new("api"),
        direction: Direction::Up,
        to: Replicas(6),
        reason: None,
        undoes: None,
        policy: policy.digest().to_string(),
        monitor: policy.time.monitor.into(),
    };
    let (ports, policy, operation, request) = (&ports, &policy, &operation, &request);
    draw(&Context { ports, policy, operation, request, reason: None })
}

#[tokio::test]
async fn a_precheck() {
    let card = first("/scale up 6 reason:\"*planned* @everyone\"", Slot::Precheck, |_| ()).await;
    insta::assert_snapshot!(received(&card, Slot::Precheck), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [],
        "users": []
      },
      "attachments": [],
      "components": [],
      "embeds": [
        {
          "color": 40563,
          "description": "✔ pass  **instance count**  4 now, 4 ready; asked for 6 (limit: at least 1, no maximum, step at most 100 %)\n▲ warn  **latency**  p50 500 ms, p95 950 ms, p99 990 ms (limit: p99 500 ms; over 5 min; a reason to scale up)\n✔ pass  **errors**  0 %, 0 of 11400 requests (limit: 1 %; over 5 min)\n✔ pass  **CPU**  mean 34 %, worst 34 % (limit: 70 %, each and mean; over 5 min)\n✔ pass  **memory**  mean 24 %, worst 24 % (limit: 80 %, each and mean; over 5 min)\n✔ pass  **halt state**  not halted: halt table, halt signals and all 4 instances\n✔ pass  **complexity budget**  ADRs 12 of 50, ceremony types 4 of 10\n✔ pass  **rationale**  \\*planned\\* \\@everyone\n✔ pass  **early warnings**  none is active\n✔ pass  **database connections**  97 needed: 6 × 15 + 7 of others (limit: 97 = 100 − 3 reserved)\n✔ pass  **Redis connections**  132 needed: 6 × 20 + 12 of others (limit: 10000)\n✔ pass  **load balancer**  sends requests to 4 of 4 ready instances\n✔ pass  **room**  2 more fit, 2 wanted\n✔ pass  **who else steers**  nobody else changes the count\n· info  **declared count**  no place of the declared count is configured",
          "footer": {
            "text": "api · asked by Olu · operation 7f3a01 · precheck"
          },
          "title": "✔ pass  Precheck passed: 4 → 6 (2 more)",
          "type": "rich"
        }
      ],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
}

#[tokio::test]
async fn a_precheck_that_needs_approval_or_refuses() {
    insta::assert_snapshot!(read(&first("/scale up 6", Slot::Precheck, both_halted).await, Slot::Precheck), @r"
    ▲ warn  Approval needed: 4 → 6 (2 more)

    Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00 UTC (<t:1767840060:R>) (consensus\_failure).
    Scaling during a halt needs a governance lead's approval.
    Nothing is changed until a governance lead has approved it.

    ✔ pass  **instance count**  4 now, 4 ready; asked for 6 (limit: at least 1, no maximum, step at most 100 %)
    ▲ warn  **latency**  p50 500 ms, p95 950 ms, p99 990 ms (limit: p99 500 ms; over 5 min; a reason to scale up)
    ✔ pass  **errors**  0 %, 0 of 11400 requests (limit: 1 %; over 5 min)
    ✔ pass  **CPU**  mean 34 %, worst 34 % (limit: 70 %, each and mean; over 5 min)
    ✔ pass  **memory**  mean 24 %, worst 24 % (limit: 80 %, each and mean; over 5 min)
    ✖ fail  **halt state**  halt table and halt signals say halted since 2026-01-08 02:41:00 UTC (<t:1767840060:R>) (consensus\_failure) (limit: not halted)
    ✔ pass  **complexity budget**  ADRs 12 of 50, ceremony types 4 of 10
    ✔ pass  **rationale**  over the limit: latency
    ✔ pass  **early warnings**  none is active
    ✔ pass  **database connections**  97 needed: 6 × 15 + 7 of others (limit: 97 = 100 − 3 reserved)
    ✔ pass  **Redis connections**  132 needed: 6 × 20 + 12 of others (limit: 10000)
    ✔ pass  **load balancer**  sends requests to 4 of 4 ready instances
    ✔ pass  **room**  2 more fit, 2 wanted
    ✔ pass  **who else steers**  nobody else changes the count
    · info  **declared count**  no place of the declared count is configured

    api · asked by Olu · operation 7f3a01 · precheck
    ");
    insta::assert_snapshot!(read(&first("/scale up 7", Slot::Precheck, |_| ()).await, Slot::Precheck), @"
    ✖ fail  Refused: 4 → 7 (3 more)

    Database connections: 112 needed: 7 × 15 + 7 of others.
    The largest count that fits is 6. Raise the server's limit or make each pool smaller, then ask again.
    Nothing was changed.

    ✔ pass  **instance count**  4 now, 4 ready; asked for 7 (limit: at least 1, no maximum, step at most 100 %)
    ▲ warn  **latency**  p50 500 ms, p95 950 ms, p99 990 ms (limit: p99 500 ms; over 5 min; a reason to scale up)
    ✔ pass  **errors**  0 %, 0 of 11400 requests (limit: 1 %; over 5 min)
    ✔ pass  **CPU**  mean 34 %, worst 34 % (limit: 70 %, each and mean; over 5 min)
    ✔ pass  **memory**  mean 24 %, worst 24 % (limit: 80 %, each and mean; over 5 min)
    ✔ pass  **halt state**  not halted: halt table, halt signals and all 4 instances
    ✔ pass  **complexity budget**  ADRs 12 of 50, ceremony types 4 of 10
    ✔ pass  **rationale**  over the limit: latency
    ✔ pass  **early warnings**  none is active
    ✖ fail  **database connections**  112 needed: 7 × 15 + 7 of others (limit: 97 = 100 − 3 reserved)
    ✔ pass  **Redis connections**  152 needed: 7 × 20 + 12 of others (limit: 10000)
    ✔ pass  **load balancer**  sends requests to 4 of 4 ready instances
    ✔ pass  **room**  3 more fit, 3 wanted
    ✔ pass  **who else steers**  nobody else changes the count
    · info  **declared count**  no place of the declared count is configured

    api · asked by Olu · operation 7f3a01 · precheck
    ");
}

#[tokio::test]
async fn an_approval_that_is_asked_for() {
    let card = first("/scale up 6 reason:\"planned campaign\"", Slot::Approval, both_halted).await;
    let posted = drawn(&card, Slot::Approval, None, Some(RoleId::new(42)));
    insta::assert_snapshot!(serde_json::to_string_pretty(&posted.json()).unwrap(), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [
          "42"
        ],
        "users": []
      },
      "attachments": [],
      "components": [
        {
          "components": [
            {
              "custom_id": "s1:approve:019b9b3a-7f3a-7000-8000-0000007f3a01:594Pg7GP7BJXROZUJoykyZIZcfyzdbF7U0yQbGAEfoIA",
              "disabled": false,
              "label": "Approve",
              "style": 3,
              "type": 2
            },
            {
              "custom_id": "s1:reject:019b9b3a-7f3a-7000-8000-0000007f3a01:594Pg7GP7BJXROZUJoykyZIZcfyzdbF7U0yQbGAEfoIA",
              "disabled": false,
              "label": "Reject",
              "style": 4,
              "type": 2
            },
            {
              "custom_id": "s1:why:019b9b3a-7f3a-7000-8000-0000007f3a01:594Pg7GP7BJXROZUJoykyZIZcfyzdbF7U0yQbGAEfoIA",
              "disabled": false,
              "label": "Approve and say why",
              "style": 2,
              "type": 2
            }
          ],
          "type": 1
        }
      ],
      "content": "<@&42> A governance lead has to decide: 4 → 6 (2 more)",
      "embeds": [
        {
          "color": 15113984,
          "description": "Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00 UTC (<t:1767840060:R>) (consensus\\_failure).\nScaling during a halt needs a governance lead's approval.\nThe count to go back to, should it make things worse: 4.\nDecide within 15 min (<t:1767842820:R>): one ✅ approves it, one ❌ rejects it.\n<@80351110224678912> asked for it, so somebody else has to approve.\n\n✖ fail  **halt table**  halted since 2026-01-08 02:41:00 UTC (<t:1767840060:R>)\n✖ fail  **halt signals**  halted since 2026-01-08 02:41:00 UTC (<t:1767840060:R>)\n· info  **reason**  planned campaign",
          "footer": {
            "text": "api · asked by Olu · operation 7f3a01 · request e7de0f83 · approval"
          },
          "title": "▲ warn  A governance lead has to decide: 4 → 6 (2 more)",
          "type": "rich"
        }
      ],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
}

#[tokio::test]
async fn an_approval_that_was_given_or_not() {
    let decided = |on_show: fn(&mut Script, Slot, &Card)| async move {
        last("/scale up 6", Slot::Approval, |script| {
            both_halted(script);
            script.on_show = on_show;
        })
        .await
    };
    let approved = decided(|script, _, card| script.vote(card, "lead", Mark::Approve)).await;
    let posted = drawn(&approved, Slot::Approval, Some(&"ab".repeat(32)), None);
    insta::assert_snapshot!(serde_json::to_string_pretty(&posted.json()).unwrap(), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [],
        "users": []
      },
      "attachments": [],
      "components": [
        {
          "components": [
            {
              "custom_id": "s1:undo:019b9b3a-7f3a-7000-8000-0000007f3a01:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6sA",
              "disabled": false,
              "label": "Withdraw my approval",
              "style": 2,
              "type": 2
            }
          ],
          "type": 1
        }
      ],
      "embeds": [
        {
          "color": 40563,
          "description": "Approved by <@80351110224678913>.\nIt holds for 10 min (<t:1767842520:R>), and for exactly this.\nEverything is checked once more just before; what has changed makes it void.",
          "footer": {
            "text": "api · asked by Olu · operation 7f3a01 · request e7de0f83 · approval"
          },
          "title": "✔ pass  Approved: 4 → 6 (2 more)",
          "type": "rich"
        }
      ],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
    let rejected = decided(|script, _, card| script.vote(card, "lead", Mark::Reject)).await;
    insta::assert_snapshot!(read(&rejected, Slot::Approval), @"
    ✖ fail  Rejected: 4 → 6 (2 more)

    Rejected by <@80351110224678913>.
    Nothing was changed.

    api · asked by Olu · operation 7f3a01 · request e7de0f83 · approval
    ");
    insta::assert_snapshot!(read(&decided(|_, _, _| ()).await, Slot::Approval), @"
    ✖ fail  Expired: 4 → 6 (2 more)

    No governance lead decided within 15 min.
    Nothing was changed. Ask again.

    api · asked by Olu · operation 7f3a01 · request e7de0f83 · approval
    ");
}

#[tokio::test]
async fn escalations() {
    insta::assert_snapshot!(received(&first("/scale up 7", Slot::Escalation, |_| ()).await, Slot::Escalation), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [],
        "users": []
      },
      "attachments": [],
      "components": [
        {
          "components": [
            {
              "custom_id": "s1:ack",
              "disabled": false,
              "label": "Acknowledge",
              "style": 2,
              "type": 2
            }
          ],
          "type": 1
        }
      ],
      "embeds": [
        {
          "color": 13983232,
          "description": "Database connections: 112 needed: 7 × 15 + 7 of others.\nThe largest count that fits is 6. Raise the server's limit or make each pool smaller, then ask again.\nRemove what is in the way; then the operator asks again.\nAcknowledge it within 15 min (<t:1767842820:R>). Press Acknowledge.",
          "footer": {
            "text": "api · asked by Olu · operation 7f3a01 · escalation"
          },
          "title": "✖ fail  HIGH for the infrastructure team: cannot scale due to infrastructure limits",
          "type": "rich"
        }
      ],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
    insta::assert_snapshot!(read(&first("/scale up 6", Slot::Escalation, both_halted).await, Slot::Escalation), @r"
    ✖ fail  CRITICAL for the governance lead: scaling during halt

    Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00 UTC (<t:1767840060:R>) (consensus\_failure).
    Scaling during a halt needs a governance lead's approval.
    The request to decide on follows.
    Acknowledge it at once. Press Acknowledge.

    api · asked by Olu · operation 7f3a01 · escalation

    [Acknowledge]
    ");
}

#[tokio::test]
async fn progress() {
    let stage = Stage::new();
    stage.play("/scale up 6").await;
    let cards = stage.cards(Slot::Progress);
    insta::assert_snapshot!(received(&cards[0], Slot::Progress), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [],
        "users": []
      },
      "attachments": [],
      "components": [],
      "embeds": [
        {
          "color": 29362,
          "description": "0 s so far; 30 s more to become ready.\n\n✔ pass  **api-5**  ready\n✔ pass  **api-6**  ready\n\n████████████████ 100 %",
          "footer": {
            "text": "api · asked by Olu · operation 7f3a01 · progress"
          },
          "title": "· info  Scaling: 6 of 6 instances ready",
          "type": "rich"
        }
      ],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
    insta::assert_snapshot!(read(cards.last().unwrap(), Slot::Progress), @"
    · info  Monitoring: 0 s left

    Latency: p50 198 ms, p95 460 ms, p99 492 ms (limit 500 ms).
    Errors: 0 % (limit 1 %), 0 of 114 requests.
    Requests: api-1 17 %, api-2 17 %, api-3 17 %, api-4 17 %, api-5 (new) 17 %, api-6 (new) 17 %.

    ████████████████ 100 %

    api · asked by Olu · operation 7f3a01 · progress
    ");
    let api_4 = InstanceId::new("api-4");
    let work = [Work { what: "ceremony 12".into(), constitutional: true, since: None }];
    let draining = under_way(|cx| card::draining(cx, &api_4, Some(2), &work, Duration::from_secs(4)));
    insta::assert_snapshot!(read(&draining, Slot::Progress), @"
    · info  Draining api-4: it gets no new requests

    2 requests under way, after 4 s.

    ▲ warn  **constitutional write**  ceremony 12

    api · asked by Olu · operation 7f3a01 · progress
    ");
    let until_free = under_way(|cx| card::until_free(cx, &api_4, &work, Duration::from_secs(4)));
    insta::assert_snapshot!(read(&until_free, Slot::Progress), @"
    · info  Before api-4 is ended: waiting until it is free

    4 s so far.
    It gets requests until it is ended; it cannot be taken out before.

    ▲ warn  **constitutional write**  ceremony 12

    api · asked by Olu · operation 7f3a01 · progress
    ");
}

#[tokio::test]
async fn verifications() {
    insta::assert_snapshot!(received(&first("/scale up 6", Slot::Verification, |_| ()).await, Slot::Verification), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [],
        "users": []
      },
      "attachments": [],
      "components": [],
      "embeds": [
        {
          "color": 40563,
          "description": "✔ pass  **api-1**  ok: health, ready, routed, keys, halt, chain\n✔ pass  **api-2**  ok: health, ready, routed, keys, halt, chain\n✔ pass  **api-3**  ok: health, ready, routed, keys, halt, chain\n✔ pass  **api-4**  ok: health, ready, routed, keys, halt, chain\n✔ pass  **api-5 (new)**  ok: health, ready, routed, keys, halt, chain\n✔ pass  **api-6 (new)**  ok: health, ready, routed, keys, halt, chain",
          "footer": {
            "text": "api · asked by Olu · operation 7f3a01 · verification"
          },
          "title": "✔ pass  Verified: 6 instances consistent, 2 of them new",
          "type": "rich"
        }
      ],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
    let forked = |script: &mut Script| _ = script.ill.insert("api-5", Ill::OtherChain);
    insta::assert_snapshot!(read(&first("/scale up 6", Slot::Verification, forked).await, Slot::Verification), @"
    ✖ fail  Verification failed: instances contradict each other

    api-5, chain: another event than the rest of the fleet at sequence 18.

    ✔ pass  **api-1**  ok: health, ready, routed, keys, halt, chain
    ✔ pass  **api-2**  ok: health, ready, routed, keys, halt, chain
    ✔ pass  **api-3**  ok: health, ready, routed, keys, halt, chain
    ✔ pass  **api-4**  ok: health, ready, routed, keys, halt, chain
    ✖ fail  **api-5 (new)**  fails: chain; ok: health, ready, routed, keys, halt
    ✔ pass  **api-6 (new)**  ok: health, ready, routed, keys, halt, chain

    api · asked by Olu · operation 7f3a01 · verification
    ");
}

#[tokio::test]
async fn the_way_back_with_the_offer_to_halt() {
    let forked = |script: &mut Script| _ = script.ill.insert("api-5", Ill::OtherChain);
    insta::assert_snapshot!(received(&first("/scale up 6", Slot::WayBack, forked).await, Slot::WayBack), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [],
        "users": []
      },
      "attachments": [],
      "components": [],
      "embeds": [
        {
          "color": 15113984,
          "description": "api-5, chain: another event than the rest of the fleet at sequence 18.\nWhat is new gets no requests, its logs are kept, and it is ended.",
          "footer": {
            "text": "api · asked by Olu · operation 7f3a01 · wayback"
          },
          "title": "▲ warn  Going back to 4 instances",
          "type": "rich"
        }
      ],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
    insta::assert_snapshot!(received(&first("/scale up 6", Slot::HaltOffer, forked).await, Slot::HaltOffer), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [],
        "users": []
      },
      "attachments": [],
      "components": [
        {
          "components": [
            {
              "custom_id": "s1:approve:019b9b3a-7f3a-7000-8000-0000007f3a01:7mY5J6OWZYaIktH5GfIAwWXFDeavBnxvdqhn09F7R_gA",
              "disabled": false,
              "label": "Halt the system",
              "style": 4,
              "type": 2
            },
            {
              "custom_id": "s1:reject:019b9b3a-7f3a-7000-8000-0000007f3a01:7mY5J6OWZYaIktH5GfIAwWXFDeavBnxvdqhn09F7R_gA",
              "disabled": false,
              "label": "Do not halt",
              "style": 2,
              "type": 2
            }
          ],
          "type": 1
        }
      ],
      "embeds": [
        {
          "color": 13983232,
          "description": "api-5, chain: another event than the rest of the fleet at sequence 18.\nWhatever else is to be done about it does not wait for you.\nFor 15 min (<t:1767842820:R>): ✅ halts the system, ❌ does not.",
          "footer": {
            "text": "api · asked by Olu · operation 7f3a01 · haltoffer"
          },
          "title": "✖ fail  Governance lead: halt the system?",
          "type": "rich"
        }
      ],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
    insta::assert_snapshot!(read(&last("/scale up 6", Slot::HaltOffer, forked).await, Slot::HaltOffer), @"
    ▲ warn  The offer to halt has lapsed

    Nobody answered. Should it be needed, halt the system by hand.

    api · asked by Olu · operation 7f3a01 · haltoffer
    ");
}

#[tokio::test]
async fn summaries() {
    let improved = last("/scale up 6", Slot::Summary, |_| ()).await;
    assert!(improved.chart.is_some());
    insta::assert_snapshot!(received(&improved, Slot::Summary), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [],
        "users": []
      },
      "attachments": [
        {
          "description": "p99 fell",
          "filename": "chart.png",
          "id": "0"
        }
      ],
      "components": [],
      "embeds": [
        {
          "color": 40563,
          "description": "p99 latency 492 ms, before 990 ms, more than chance explains (16 samples).\nAll instances agree on halt and hash chain.\nMean latency of the new instances was 214 ms, of the others at the same time 214 ms (16 samples).\n0 % of the requests failed on the new instances, 0 % on the others at the same time (16 samples).\nThe fleet has 6 instances now.\n\n· info  **p50**  500 ms → 198 ms\n· info  **p95**  950 ms → 460 ms\n✔ pass  **p99**  990 ms → 492 ms (limit 500 ms)\n✔ pass  **errors**  0 % → 0 % (limit 1 %)\n· info  **load**  38.0 requests/s → 38.0 requests/s\n✔ pass  **CPU**  34 % (limit 70 %)\n✔ pass  **memory**  23.8 % (limit 80 %)\n✔ pass  **observed**  60 s of 60 s, 20 samples",
          "footer": {
            "text": "api · asked by Olu · operation 7f3a01 · summary"
          },
          "image": {
            "height": null,
            "proxy_url": null,
            "url": "attachment://chart.png",
            "width": null
          },
          "title": "✔ pass  Done, improved: 4 → 6 (2 more)",
          "type": "rich"
        }
      ],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
    let worse = |script: &mut Script| script.after = Some(Manner { old_ms: 300.0, new_ms: 1_400.0, failing: 0 });
    insta::assert_snapshot!(read(&last("/scale up 6", Slot::Summary, worse).await, Slot::Summary), @"
    ✖ fail  Taken back, regressed: 4 → 6 (2 more)

    Mean latency of the new instances (api-5 and api-6) was 748 ms, of the others at the same time 160 ms, more than chance explains (16 samples).
    p99 latency 2286 ms, limit 500 ms (16 samples).
    p99 latency 2286 ms, before 990 ms, more than chance explains (16 samples).
    All instances agree on halt and hash chain.
    0 % of the requests failed on the new instances, 0 % on the others at the same time (16 samples).
    Taken back: 4 instances as before, all of them verified.
    Logs of api-5: logs/api-5.log.
    Logs of api-6: logs/api-6.log.
    The fleet has 4 instances, as before.

    · info  **p50**  500 ms → 209 ms
    · info  **p95**  950 ms → 1431 ms
    ✖ fail  **p99**  990 ms → 2286 ms (limit 500 ms)
    ✔ pass  **errors**  0 % → 0 % (limit 1 %)
    · info  **load**  38.0 requests/s → 38.0 requests/s
    ✔ pass  **CPU**  34 % (limit 70 %)
    ✔ pass  **memory**  23.8 % (limit 80 %)
    ✔ pass  **observed**  60 s of 60 s, 20 samples

    api · asked by Olu · operation 7f3a01 · summary
    ");
    let cancelled = |script: &mut Script| {
        script.on_show = |script, slot, _| {
            if slot == Slot::Precheck {
                script.signal(Signal::Cancel(CancelRequested { by: Person::new("operator") }));
            }
        };
    };
    insta::assert_snapshot!(read(&last("/scale up 6", Slot::Summary, cancelled).await, Slot::Summary), @"
    ▲ warn  Cancelled: 4 → 6 (2 more)

    Cancelled by <@80351110224678912>.
    Nothing was changed.
    The fleet has 4 instances, as before.

    api · asked by Olu · operation 7f3a01 · summary
    ");
}

#[tokio::test]
async fn questions() {
    let why = |script: &mut Script| {
        script.before = Some(Manner { old_ms: 400.0, new_ms: 400.0, failing: 0 });
        script.attended = true;
    };
    insta::assert_snapshot!(received(&first("/scale up 6", Slot::Question, why).await, Slot::Question), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [],
        "users": []
      },
      "attachments": [],
      "components": [
        {
          "components": [
            {
              "custom_id": "s1:reason:019b9b3a-7f3a-7000-8000-0000007f3a01",
              "disabled": false,
              "label": "Say why",
              "style": 2,
              "type": 2
            }
          ],
          "type": 1
        }
      ],
      "embeds": [
        {
          "color": 29362,
          "description": "No limit is known to be exceeded, and no reason was given.\n<@80351110224678912>: answer within 2 min (<t:1767842040:R>), for the record. Press Say why.\nIt goes on either way.",
          "footer": {
            "text": "api · asked by Olu · operation 7f3a01 · question"
          },
          "title": "· info  Why is this done?",
          "type": "rich"
        }
      ],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
    let keys = |script: &mut Script| (script.keys, script.attended) = (false, true);
    insta::assert_snapshot!(read(&first("/scale up 6", Slot::Question, keys).await, Slot::Question), @"
    ▲ warn  Do the new instances reach their signing keys?

    Nothing is configured that could tell for api-5, api-6.
    An operator who has looked says so within 2 min (<t:1767842040:R>). Press I attest it.
    Without an operator's word the verification is inconclusive.

    api · asked by Olu · operation 7f3a01 · question

    [I attest it]
    ");
}

#[tokio::test]
async fn answers() {
    for question in ["status", "history", "capacity 120", "plan 6", "followups", "help"] {
        let stage = Stage::new();
        stage.play("/scale up 5").await;
        let Answer::Card(card) = stage.ask("operator", &format!("/scale {question}")).await else {
            panic!("{question}")
        };
        match question {
            "status" => insta::assert_snapshot!(received(&card, Slot::Summary), @r#"
            {
              "allowed_mentions": {
                "parse": [],
                "roles": [],
                "users": []
              },
              "attachments": [],
              "components": [],
              "embeds": [
                {
                  "color": 15113984,
                  "description": "✔ pass  **instances**  5 wanted, 5 ready\n✔ pass  **latency**  p50 212 ms, p95 467 ms, p99 493 ms (limit: p99 500 ms; over 5 min)\n✔ pass  **errors**  0 %, 0 of 11400 requests (limit: 1 %; over 5 min)\n✔ pass  **CPU**  mean 34 %, worst 34 % (limit: 70 %, each and mean; over 5 min)\n✔ pass  **memory**  mean 24 %, worst 24 % (limit: 80 %, each and mean; over 5 min)\n✔ pass  **halt state**  not halted, as every source says\n✔ pass  **under way**  nothing\n✔ pass  **escalations**  none is open\n▲ warn  **follow-ups**  1 is open: /scale followups",
                  "footer": {
                    "text": "api · asked by Olu · summary"
                  },
                  "title": "▲ warn  api: 5 of 5 instances ready",
                  "type": "rich"
                }
              ],
              "enforce_nonce": false,
              "sticker_ids": [],
              "tts": false
            }
            "#),
            "history" => insta::assert_snapshot!(read(&card, Slot::Summary), @"
            · info  The last operation

            There are no more.

            ✔ pass  **2026-01-08 03:13 UTC**  /scale up 5 by operator: done, improved; 4 → 5 (7f3a01)

            api · asked by Olu · summary
            "),
            "capacity 120" => insta::assert_snapshot!(read(&card, Slot::Summary), @"
            ▲ warn  120 requests/s: 9 instances needed

            That is 4 more than there are.
            To see whether that can be done: /scale plan 9
            Reckoned from how busy the instances are; latency is not predicted.

            · info  **now**  5 instances
            · info  **one instance**  14.2 requests/s at 75 % busy, which is the limit; 19.0 at most
            · info  **load**  38.0 requests/s over 5 min
            ✔ pass  **free**  60 % of what 5 instances could carry

            api · asked by Olu · summary
            "),
            "plan 6" => insta::assert_snapshot!(read(&card, Slot::Summary), @r#"
            ✔ pass  Plan: 5 → 6 (1 more) may be done

            Rationale: No limit is known to be exceeded, and no reason was given. Next time add: reason:"…"
            To do it: /scale up 6
            This is a plan: nothing was done, and nobody was asked.

            ✔ pass  **instance count**  5 now, 5 ready; asked for 6 (limit: at least 1, no maximum, step at most 100 %)
            ✔ pass  **latency**  p50 212 ms, p95 467 ms, p99 493 ms (limit: p99 500 ms; over 5 min)
            ✔ pass  **errors**  0 %, 0 of 11400 requests (limit: 1 %; over 5 min)
            ✔ pass  **CPU**  mean 34 %, worst 34 % (limit: 70 %, each and mean; over 5 min)
            ✔ pass  **memory**  mean 24 %, worst 24 % (limit: 80 %, each and mean; over 5 min)
            ✔ pass  **halt state**  not halted: halt table, halt signals and all 5 instances
            ✔ pass  **complexity budget**  ADRs 12 of 50, ceremony types 4 of 10
            ▲ warn  **rationale**  no reason given
            ✔ pass  **early warnings**  none is active
            ✔ pass  **database connections**  97 needed: 6 × 15 + 7 of others (limit: 97 = 100 − 3 reserved)
            ✔ pass  **Redis connections**  132 needed: 6 × 20 + 12 of others (limit: 10000)
            ✔ pass  **load balancer**  sends requests to 5 of 5 ready instances
            ✔ pass  **room**  1 more fit, 1 wanted
            ✔ pass  **who else steers**  nobody else changes the count
            · info  **declared count**  no place of the declared count is configured

            api · asked by Olu · no operation · summary
            "#),
            "followups" => insta::assert_snapshot!(read(&card, Slot::Summary), @"
            ▲ warn  1 follow-up is open

            When one is done, say so: /scale followups close 10

            ▲ warn  **10**  Plan capacity, so that the next rise in load does not need a scaling in a hurry. This scaling was reactive: over the limit: latency. (7f3a01, 0 s old)

            api · asked by Olu · summary
            "),
            _ => insta::assert_snapshot!(read(&card, Slot::Summary), @r#"
            · info  What can be asked

            The number after up, down and plan is how many instances there are to be in all.
            To up, down and rollback add reason:"…" to say why. With several fleets add target:NAME.

            · info  **/scale up 6**  have 6 instances in all, more than now (an operator)
            · info  **/scale down 4**  have 4 instances in all, fewer than now (an operator)
            · info  **/scale rollback**  undo the latest operation (an operator)
            · info  **/scale cancel**  stop the operation under way (who asked for it, or a governance lead)
            · info  **/scale plan 6**  every check for 6 instances; nothing is done (everybody)
            · info  **/scale status**  how the fleet is, and what is under way (everybody)
            · info  **/scale history 10**  the last 10 operations (everybody)
            · info  **/scale capacity 120**  how many instances carry 120 requests/s; without a number, the present load (everybody)
            · info  **/scale followups**  what has to be seen to later; close 41: number 41 is done (an operator)
            · info  **/scale help**  this list (everybody)

            scalebot · summary
            "#),
        }
    }
}

#[test]
fn what_is_said_without_a_card() {
    let text =
        "2 escalations are open. Say which:\nacknowledge 41: CRITICAL, *x*, operation 7f3a01\nacknowledge 7: HIGH";
    let posted = say(text, &choices(text));
    insta::assert_snapshot!(serde_json::to_string_pretty(&posted.json()).unwrap(), @r#"
    {
      "allowed_mentions": {
        "parse": [],
        "roles": [],
        "users": []
      },
      "attachments": [],
      "components": [
        {
          "components": [
            {
              "custom_id": "s1:ack:41",
              "disabled": false,
              "label": "Acknowledge 41",
              "style": 2,
              "type": 2
            },
            {
              "custom_id": "s1:ack:7",
              "disabled": false,
              "label": "Acknowledge 7",
              "style": 2,
              "type": 2
            }
          ],
          "type": 1
        }
      ],
      "content": "2 escalations are open. Press which:\nacknowledge 41: CRITICAL, \\*x\\*, operation 7f3a01\nacknowledge 7: HIGH",
      "embeds": [],
      "enforce_nonce": false,
      "sticker_ids": [],
      "tts": false
    }
    "#);
}

#[test]
fn a_halt_that_began_and_a_waiting_for_work() {
    let began = under_way(|cx| card::halt_began(cx, "halt table says halted since 2026-01-08 03:20:00 UTC"));
    insta::assert_snapshot!(read(&began, Slot::Escalation), @"
    ✖ fail  A halt began while the fleet is watched

    halt table says halted since 2026-01-08 03:20:00 UTC (<t:1767842400:R>).
    Nothing further is changed. The watch goes on, and the governance lead is told.

    api · asked by Olu · operation 7f3a01 · escalation
    ");
    let busy: Vec<String> = vec!["api-4: ceremony (since 2026-01-08 03:00:00 UTC)".into()];
    let waiting = under_way(|cx| card::waiting_for_work(cx, &busy, Duration::from_mins(4)));
    insta::assert_snapshot!(read(&waiting, Slot::Progress), @"
    · info  Waiting for long-running work to end

    At most 4 min more; nothing is changed meanwhile.

    ▲ warn  **busy**  api-4: ceremony (since 2026-01-08 03:00:00 UTC (<t:1767841200:R>))

    api · asked by Olu · operation 7f3a01 · progress
    ");
}

#[test]
fn five_hundred_instances_are_summarised_and_all_of_them_attached() {
    let rows = (1..=500).map(|number| Row {
        tone: match number {
            77 => Tone::Bad,
            300..=303 => Tone::Warn,
            _ => Tone::Good,
        },
        name: format!("api-{number}"),
        text: "ok: health, readiness, routed, halt, chain".into(),
    });
    let card = Card { rows: rows.collect(), ..blank("Verified: 500 instances consistent") };
    let posted = drawn(&card, Slot::Verification, None, None);
    let json = posted.json();
    insta::assert_snapshot!(json["embeds"][0]["description"].as_str().unwrap(), @"
    500 rows: 1 ✖ fail, 4 ▲ warn, 495 ✔ pass
    ✖ fail  **api-77**  ok: health, readiness, routed, halt, chain
    ▲ warn  **api-300**  ok: health, readiness, routed, halt, chain
    ▲ warn  **api-301**  ok: health, readiness, routed, halt, chain
    ▲ warn  **api-302**  ok: health, readiness, routed, halt, chain
    ▲ warn  **api-303**  ok: health, readiness, routed, halt, chain
    ✔ pass  **api-1**  ok: health, readiness, routed, halt, chain
    ✔ pass  **api-2**  ok: health, readiness, routed, halt, chain
    ✔ pass  **api-3**  ok: health, readiness, routed, halt, chain
    ✔ pass  **api-4**  ok: health, readiness, routed, halt, chain
    ✔ pass  **api-5**  ok: health, readiness, routed, halt, chain
    ✔ pass  **api-6**  ok: health, readiness, routed, halt, chain
    ✔ pass  **api-7**  ok: health, readiness, routed, halt, chain
    … and 488 more of 500 rows

    Everything is in the attached text.
    ");
    let [file] = posted.files.as_slice() else { panic!("{:?}", posted.files) };
    let text = std::str::from_utf8(&file.data).unwrap();
    assert!((1..=500).all(|number| text.contains(&format!("api-{number} "))), "{text}");
}

fn blank(title: &str) -> Card {
    Card {
        tone: Tone::Good,
        title: title.into(),
        lines: vec![],
        rows: vec![],
        progress: None,
        ask: None,
        chart: None,
        footer: String::new(),
    }
}

fn tone() -> impl Strategy<Value = Tone> {
    prop_oneof![Just(Tone::Good), Just(Tone::Warn), Just(Tone::Bad), Just(Tone::Unknown), Just(Tone::Info)]
}

/// Short texts and ones far too long, of letters, markup, line ends, what is hidden and what takes two units.
fn some_text() -> impl Strategy<Value = String> {
    (
        prop::sample::select(vec!["a", "*", "\n", "\u{200b}", "🚀", "80351110224678912 ", "within 15 min ", "x y"]),
        0..2_500_usize,
        ".{0,20}",
    )
        .prop_map(|(piece, times, rest)| piece.repeat(times) + &rest)
}

fn any_card() -> impl Strategy<Value = Card> {
    let row = (tone(), some_text(), some_text()).prop_map(|(tone, name, text)| Row { tone, name, text });
    let texts = || prop::collection::vec(some_text(), 0..8);
    let share = prop::option::of(prop_oneof![0.0..=1.0_f64, Just(f64::NAN), Just(f64::INFINITY), Just(-3.0)]);
    let ask = prop::option::of(prop_oneof!["[0-9a-f]{64}", ".{0,200}"]);
    (tone(), some_text(), texts(), prop::collection::vec(row, 0..40), share, ask, some_text()).prop_map(
        |(tone, title, lines, rows, share, ask, footer)| {
            let progress = share.map(|share| Progress { share });
            Card { tone, title, lines, rows, progress, ask, chart: None, footer }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_a_card_holds_the_message_fits(
        card in any_card(),
        slot in prop::sample::select(vec![Slot::Approval, Slot::HaltOffer, Slot::Question, Slot::Summary]),
        picture in prop::option::of(some_text()),
        request in prop::option::of("[0-9a-f]{64}"),
    ) {
        let names = names();
        let now = "2026-01-08T03:12:00Z".parse().unwrap();
        let presses = buttons(&card, slot, &OperationId::new("op"), request.as_deref());
        let picture = picture.map(|alt_text| Picture { png: vec![], alt_text });
        let view = View { names: &names, now, tag: Some("7f3a01"), presses, notify: Some(RoleId::new(42)), picture: picture.as_ref() };
        let posted = super::card(&card, &view);
        prop_assert_eq!(limits::beyond(&posted.json()), <[String; 0]>::default());
        let text = serde_json::to_string(&posted.json()).unwrap();
        prop_assert!(!text.contains('\u{200b}'), "nothing hides");
        let said = say(&card.title, &[]);
        let empty = said.json()["content"] == "";
        prop_assert!(empty || limits::beyond(&said.json()).is_empty());
    }
}

#[test]
fn only_the_role_that_is_meant_is_notified() {
    let mut card = blank("@everyone <@&41> 80351110224678912");
    card.lines = vec!["<@&42> @here".into()];
    let posted = drawn(&card, Slot::Approval, None, Some(RoleId::new(42)));
    assert_eq!(posted.json()["allowed_mentions"], json!({ "parse": [], "users": [], "roles": ["42"] }));
    assert_eq!(posted.json()["content"], r"<@&42> \@everyone \<\@&41> <@80351110224678912>");
    assert_eq!(say("x", &[]).json()["allowed_mentions"], json!({ "parse": [], "users": [], "roles": [] }));
}
