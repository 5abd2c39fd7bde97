//! The room against a small Discord.

use scalebot_commands::approval::Mark;
use scalebot_commands::card::Tone;
use serde_json::Value;

use super::placed::tests::InMemory;
use super::*;
use crate::discord::testing::Fake;
use crate::system::System;
use crate::testing::{Ill, Script, Stage, halted};

const OPS: &str = "20";
const GOVERNANCE: &str = "21";

fn operation() -> OperationId {
    OperationId::new("019b9b3a-7f3a-7000-8000-0000007f3a01")
}

/// A room as a process has it that begins now.
fn room(fake: &Fake, placed: &Arc<InMemory>) -> DiscordRoom {
    let (rest, settings) = (fake.rest(), fake.settings());
    let people = Arc::new(People::new(rest.clone(), settings.guild, settings.roles.clone()));
    let board = Board::load(Arc::clone(placed) as Arc<dyn placed::Placed>);
    let world: Arc<dyn World> = Arc::new(System::new());
    let began = world.now();
    let reach = Arc::new(Reach::new(&rest, settings.while_away));
    DiscordRoom::new(Arc::new(Shared { reach, rest, settings, people, board, world, began, logs: None }))
}

async fn cards(set_up: impl FnOnce(&mut Script)) -> Vec<(Slot, Card)> {
    let stage = Stage::with(set_up);
    stage.play("/scale up 6").await;
    stage.script().shown.clone()
}

async fn show_all(room: &DiscordRoom, cards: &[(Slot, Card)]) {
    for (slot, card) in cards {
        room.show(&operation(), *slot, card).await.unwrap();
    }
}

fn both_halted(script: &mut Script) {
    script.halt = [Ok(halted(true)), Ok(halted(true))];
}

fn approved_by_lead(script: &mut Script) {
    both_halted(script);
    script.on_show = |script, _, card| script.vote(card, "lead", Mark::Approve);
}

fn buttons(message: &Value) -> Vec<String> {
    let rows = message["components"].as_array().unwrap();
    let all = rows.iter().flat_map(|row| row["components"].as_array().unwrap());
    all.map(|button| button["label"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_channel_gets_the_verdicts_and_the_thread_the_detail() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    show_all(&room, &cards(|_| ()).await).await;
    let titles = fake.titles(OPS);
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(titles[0].contains("Precheck passed") && titles[1].contains("Done, improved"), "{titles:?}");
    // The thread bears the number of the message at which it began.
    let thread = fake.channel(OPS)[0]["id"].as_str().unwrap().to_owned();
    let detail = fake.titles(&thread);
    assert!(detail.iter().any(|title| title.contains("Verified: 6 instances")), "{detail:?}");
    let summary = &fake.channel(OPS)[1];
    assert_eq!(summary["attachments"][0]["filename"], "chart.png");
    assert!(summary["attachments"][0]["description"].as_str().unwrap().contains("improved"));
}

#[tokio::test]
async fn what_instances_wrote_is_attached_only_where_configuration_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("api/logs").join(operation().as_str());
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::write(logs.join("api-5.log"), "panicked").unwrap();
    let summary = cards(|_| ()).await.pop().unwrap();
    for attached in [false, true] {
        let fake = Fake::start().await;
        let plain = room(&fake, &Arc::default());
        let Shared { reach, rest, settings, people, board, world, began, .. } = &*plain.shared;
        let mut settings = settings.clone();
        settings.attach_instance_logs = attached;
        let (people, board, world) = (Arc::clone(people), board.clone(), Arc::clone(world));
        let logs = Some(folder.path().to_owned());
        let shared = Shared {
            reach: Arc::clone(reach),
            rest: rest.clone(),
            settings,
            people,
            board,
            world,
            began: *began,
            logs,
        };
        show_all(&DiscordRoom::new(Arc::new(shared)), std::slice::from_ref(&summary)).await;
        let message = fake.channel(OPS).pop().unwrap();
        let names: Vec<&Value> =
            message["attachments"].as_array().unwrap().iter().map(|file| &file["filename"]).collect();
        assert_eq!(names.contains(&&serde_json::json!("api-5.log")), attached, "{names:?}");
    }
}

#[tokio::test]
async fn a_request_goes_to_governance_with_its_marks_and_is_changed_in_place_when_decided() {
    let fake = Fake::start().await;
    let placed = Arc::default();
    let room = room(&fake, &placed);
    let cards = cards(approved_by_lead).await;
    let asking = cards.iter().position(|(slot, _)| *slot == Slot::Approval).unwrap();
    show_all(&room, &cards[..=asking]).await;
    let asked = fake.channel(GOVERNANCE).pop().unwrap();
    assert_eq!(asked["allowed_mentions"]["roles"], serde_json::json!(["42"]));
    assert!(asked["content"].as_str().unwrap().starts_with("<@&42> "));
    assert_eq!(buttons(&asked), ["Approve", "Reject", "Approve and say why"]);
    fake.until("PUT /channels/21/messages/", 2).await;
    let id = asked["id"].as_str().unwrap();
    let marks = fake.state().marks.clone();
    assert_eq!(marks[&(id.to_owned(), "%E2%9C%85".to_owned())], ["7"]);
    assert_eq!(marks[&(id.to_owned(), "%E2%9D%8C".to_owned())], ["7"]);
    assert_eq!(room.board().asking().len(), 1);

    show_all(&room, &cards[asking + 1..asking + 2]).await;
    let decided = fake.channel(GOVERNANCE).pop().unwrap();
    assert_eq!((decided["id"].as_str(), decided["content"].as_str()), (Some(id), Some("")));
    assert!(decided["embeds"][0]["title"].as_str().unwrap().contains("Approved"));
    assert_eq!(buttons(&decided), ["Withdraw my approval"]);

    show_all(&room, &cards[asking + 2..]).await;
    assert_eq!(buttons(&fake.channel(GOVERNANCE).pop().unwrap()), <[String; 0]>::default(), "it is over");
    assert_eq!(room.board().asking(), []);
}

#[tokio::test]
async fn what_is_asked_again_is_a_new_message() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    let cards = cards(approved_by_lead).await;
    let asking = cards.iter().position(|(slot, _)| *slot == Slot::Approval).unwrap();
    show_all(&room, &cards[asking..=asking + 1]).await;
    show_all(&room, &cards[asking..=asking]).await;
    let titles = fake.titles(GOVERNANCE);
    assert!(titles[0].contains("Approved") && titles[1].contains("has to decide"), "{titles:?}");
    let newest = fake.channel(GOVERNANCE).pop().unwrap();
    assert_eq!(room.board().asking()[0].message.to_string(), newest["id"].as_str().unwrap());
}

#[tokio::test]
async fn an_escalation_is_said_anew_each_time_but_not_by_a_restart_and_its_acknowledgement_is_an_edit() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    let forked = cards(|script| _ = script.ill.insert("api-5", Ill::OtherChain)).await;
    let (_, said) = forked.iter().find(|(slot, _)| *slot == Slot::Escalation).unwrap();
    let show = |card: Card| {
        let room = &room;
        async move { room.show(&operation(), Slot::Escalation, &card).await.unwrap() }
    };
    show(said.clone()).await;
    // What is read from the log again after a restart is said already; a reminder is not.
    show(said.clone()).await;
    assert_eq!(fake.titles(OPS).len(), 1);
    let reminder = Card { footer: format!("said 2 times · {}", said.footer), ..said.clone() };
    show(reminder).await;
    show(said.clone()).await;
    let mut seen = said.clone();
    (seen.tone, seen.title) = (Tone::Good, "Olu sees to it: consistency issues after scaling".into());
    show(seen).await;
    let titles = fake.titles(OPS);
    assert!(titles[0].contains("CRITICAL for the system architect"), "{titles:?}");
    assert!(titles[1].contains("Olu sees to it") && titles.len() == 2, "{titles:?}");
    assert_eq!(fake.channel(OPS)[0]["allowed_mentions"]["roles"], serde_json::json!(["44"]));
}

#[tokio::test]
async fn after_a_restart_cards_are_changed_in_place() {
    let fake = Fake::start().await;
    let placed = Arc::default();
    let cards = cards(|_| ()).await;
    show_all(&room(&fake, &placed), &cards[..1]).await;
    show_all(&room(&fake, &placed), &cards).await;
    assert_eq!(fake.titles(OPS).len(), 2, "{:?}", fake.titles(OPS));
    assert_eq!(fake.times("POST /channels/20/messages/"), 1, "one thread");
}

#[tokio::test]
async fn messages_of_which_nothing_was_kept_are_found_again() {
    let fake = Fake::start().await;
    let cards = cards(approved_by_lead).await;
    let asking = cards.iter().position(|(slot, _)| *slot == Slot::Approval).unwrap();
    show_all(&room(&fake, &Arc::default()), &cards[..=asking]).await;
    // Somebody else's message that looks like ours is not.
    let ours = fake.channel(GOVERNANCE).pop().unwrap();
    fake.write(GOVERNANCE, "5", "x");
    fake.state().messages.last_mut().unwrap().1["embeds"] = ours["embeds"].clone();

    let room = room(&fake, &Arc::default());
    // An escalation that was said is not said again by an operation that goes on.
    let again: Vec<_> = cards[..=asking].iter().filter(|(slot, _)| *slot != Slot::Escalation).cloned().collect();
    show_all(&room, &again).await;
    assert_eq!(fake.titles(OPS).len(), 1, "{:?}", fake.titles(OPS));
    assert_eq!(fake.titles(GOVERNANCE).len(), 3, "escalation, request, and what somebody else wrote");
    assert_eq!(room.board().asking()[0].message.to_string(), ours["id"].as_str().unwrap());
}

#[tokio::test]
async fn a_message_that_somebody_deleted_is_posted_anew() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    let cards = cards(|_| ()).await;
    show_all(&room, &cards[..1]).await;
    fake.state().messages.clear();
    show_all(&room, &cards[..1]).await;
    assert_eq!(fake.titles(OPS).len(), 1);
}

#[tokio::test]
async fn what_discord_does_not_take_now_is_delivered_when_it_does() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    let cards = cards(|_| ()).await;
    for _ in 0..4 {
        fake.fail("POST /channels/20/messages", 503, 0);
    }
    // Four tries with pauses, then it is said; the card stays.
    let error = room.show(&operation(), Slot::Precheck, &cards[0].1).await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    fake.until("POST /channels/20/messages", 5).await;
    assert_eq!(fake.titles(OPS).len(), 1);
}

#[tokio::test]
async fn a_missing_permission_is_said_with_what_to_grant() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    fake.fail("POST /channels/20/messages", 403, 50_013);
    let error = room.show(&operation(), Slot::Precheck, &cards(|_| ()).await[0].1).await.unwrap_err();
    assert!(error.to_string().contains("the bot may not post in the ops channel"), "{error}");
    assert!(error.to_string().contains("Send Messages"), "{error}");
}

#[tokio::test]
async fn what_governance_cannot_be_shown_in_its_channel_is_decided_in_the_ops_channel() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    let cards = cards(approved_by_lead).await;
    let asking = cards.iter().position(|(slot, _)| *slot == Slot::Approval).unwrap();
    fake.fail("POST /channels/21/messages", 403, 50_013);
    room.show(&operation(), Slot::Approval, &cards[asking].1).await.unwrap();
    let asked = fake.channel(OPS).pop().unwrap();
    insta::assert_snapshot!(asked["content"].as_str().unwrap(), @"
    <@&42> A governance lead has to decide: 4 → 6 (2 more)
    This belongs in the governance channel, where it cannot be posted. Discord refused: the bot may not post in the governance channel; in that channel's settings, give the bot's role: View Channel, Send Messages, Embed Links, Attach Files, Read Message History.
    ");
    assert_eq!(buttons(&asked), ["Approve", "Reject", "Approve and say why"]);
    fake.until("PUT /channels/20/messages/", 2).await;
    room.show(&operation(), Slot::Approval, &cards[asking + 1].1).await.unwrap();
    assert!(fake.titles(OPS)[0].contains("Approved"), "{:?}", fake.titles(OPS));
    assert_eq!(fake.channel(GOVERNANCE), <[Value; 0]>::default());
}

#[tokio::test]
async fn where_nothing_can_be_said_in_the_thread_the_channel_gets_the_detail() {
    for (status, code) in [(404, 10_003), (403, 50_013)] {
        let fake = Fake::start().await;
        let room = room(&fake, &Arc::default());
        let cards = cards(|_| ()).await;
        let verified = cards.iter().find(|(slot, _)| *slot == Slot::Verification).unwrap();
        show_all(&room, &cards[..1]).await;
        let thread = fake.channel(OPS)[0]["id"].as_str().unwrap().to_owned();
        fake.fail(&format!("POST /channels/{thread}/messages"), status, code);
        show_all(&room, std::slice::from_ref(verified)).await;
        assert!(fake.titles(OPS)[1].contains("Verified"), "{:?}", fake.titles(OPS));
    }
}

#[tokio::test]
async fn without_a_thread_the_channel_gets_the_detail() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    let cards = cards(|_| ()).await;
    let verified = cards.iter().find(|(slot, _)| *slot == Slot::Verification).unwrap();
    show_all(&room, &cards[..1]).await;
    let message = fake.channel(OPS)[0]["id"].as_str().unwrap().to_owned();
    fake.fail(&format!("POST /channels/20/messages/{message}/threads"), 403, 50_013);
    show_all(&room, std::slice::from_ref(verified)).await;
    assert!(fake.titles(OPS)[1].contains("Verified"), "{:?}", fake.titles(OPS));
}

#[tokio::test]
async fn progress_is_edited_once_in_a_while_and_the_last_of_it_arrives() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    let cards = cards(|_| ()).await;
    let mut progress = cards.iter().find(|(slot, _)| *slot == Slot::Progress).unwrap().1.clone();
    show_all(&room, &cards[..1]).await;
    room.show(&operation(), Slot::Progress, &progress).await.unwrap();
    let thread = fake.channel(OPS)[0]["id"].as_str().unwrap().to_owned();
    fake.until(&format!("POST /channels/{thread}/messages"), 1).await;
    for step in 0..20 {
        progress.title = format!("step {step}");
        room.show(&operation(), Slot::Progress, &progress).await.unwrap();
    }
    fake.until(&format!("PATCH /channels/{thread}/messages/"), 1).await;
    let message = fake.channel(&thread).pop().unwrap();
    assert!(message["embeds"][0]["title"].as_str().unwrap().contains("step 19"), "{message}");
    assert_eq!(message["edits"], 1);
}

#[tokio::test]
async fn who_somebody_is_is_asked_each_time() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    let lead = Person::new("80351110224678913");
    let standing = || async { room.standing(&lead, Role::GovernanceLead).await };
    let of = |is_person, holds_role| Ok(Standing { is_person, holds_role });
    fake.member("80351110224678913", "Lea", &["42"]);
    assert_eq!(standing().await, of(true, true));
    fake.member("80351110224678913", "Lea", &["41"]);
    assert_eq!(standing().await, of(true, false), "no longer");
    fake.state().members.get_mut("80351110224678913").unwrap()["user"]["bot"] = serde_json::json!(true);
    assert_eq!(standing().await, of(false, false));
    fake.state().members.clear();
    assert_eq!(standing().await, of(true, false), "who is not there holds nothing");
    fake.fail("GET /guilds/10/members", 403, 50_001);
    assert!(standing().await.is_err(), "what cannot be told is no answer");
    assert_eq!(room.standing(&Person::new("scalebot"), Role::Operator).await, of(false, false));
}

#[tokio::test]
async fn somebody_without_a_token_is_spoken_to_alone_and_who_takes_no_messages_is_no_error() {
    let fake = Fake::start().await;
    let room = room(&fake, &Arc::default());
    let lead = Person::new("80351110224678913");
    room.answer(&lead, "It came after the time to decide was over.").await.unwrap();
    let said = fake.channel("7780351110224678913").pop().unwrap();
    assert_eq!(said["content"], "It came after the time to decide was over.");
    fake.fail("POST /channels/7780351110224678913/messages", 403, 50_007);
    room.answer(&lead, "x").await.unwrap();
    room.answer(&Person::new("scalebot"), "x").await.unwrap();
}
