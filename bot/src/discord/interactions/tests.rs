//! What people do, and what each of them is answered.

use std::sync::Mutex;

use async_trait::async_trait;
use scalebot_commands::units::{OperationId, TargetName};
use serde_json::{Value, json};
use serenity::all::{MessageId, Reaction, RoleId, UserId};

use super::*;
use crate::discord::gateway;
use crate::discord::marks::Marks;
use crate::discord::room::placed::tests::InMemory;
use crate::discord::room::placed::{Ask, AskState, Board, Entry, Passed};
use crate::discord::testing::{Fake, message, with};
use crate::system::System;
use crate::testing::Stage;

const LEAD: &str = "80351110224678913";
const DIGEST: &str = "30e2eb205aac5d9ab864a1a13016c981933deac9ba6e2c5427426";

/// A service that notes what it is handed in, and answers what it is told to.
pub(crate) struct Desk {
    heard: Mutex<Vec<String>>,
    said: tokio::sync::Notify,
    reply: Mutex<Reply>,
}

impl Desk {
    pub(crate) fn new(reply: Reply) -> Arc<Self> {
        Arc::new(Self { heard: Mutex::default(), said: tokio::sync::Notify::new(), reply: Mutex::new(reply) })
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// Waits until so much was heard, and returns it.
    pub(crate) async fn hears(&self, count: usize) -> Vec<String> {
        loop {
            let said = self.said.notified();
            if self.heard.lock().unwrap().len() >= count {
                return self.heard();
            }
            said.await;
        }
    }

    fn note(&self, what: String) -> Reply {
        self.heard.lock().unwrap().push(what);
        self.said.notify_waiters();
        self.reply.lock().unwrap().clone()
    }
}

#[async_trait]
impl Reception for Desk {
    async fn command(&self, request: Command, by: Person) -> Reply {
        self.note(format!("{by}: {request}"))
    }

    async fn signal(&self, operation: &OperationId, signal: Signal) -> Reply {
        let said = match signal {
            Signal::Cast(Ballot { by, mark, request, reason }) => format!("{by} {mark:?} {} {reason:?}", &request[..4]),
            Signal::Withdrawn(Ballot { by, mark, .. }) => format!("{by} takes {mark:?} back"),
            Signal::Reason(PersonsAnswer { by, text }) => format!("{by} because {text}"),
            Signal::Attest(PersonsAnswer { by, text }) => format!("{by} attests {text}"),
            Signal::Cancel(_) => "cancel".to_owned(),
        };
        self.note(format!("{operation}: {said}"))
    }

    async fn acknowledge(&self, escalation: Option<u64>, by: Person) -> Reply {
        self.note(format!("{by} acknowledges {escalation:?}"))
    }

    async fn start_proposed(&self, by: Person) -> Reply {
        self.note(format!("{by} starts"))
    }

    async fn dismiss_proposed(&self, by: Person) -> Reply {
        self.note(format!("{by} dismisses"))
    }

    fn targets(&self) -> Vec<TargetName> {
        vec![TargetName::new("api"), TargetName::new("web")]
    }

    fn under_way(&self) -> Vec<OperationId> {
        vec![]
    }
}

pub(crate) fn digest() -> String {
    format!("{DIGEST:0<64}")
}

fn request() -> Request {
    Request { operation: OperationId::new("op"), digest: digest() }
}

fn interactions(fake: &Fake, desk: &Arc<Desk>) -> Interactions {
    let (rest, settings) = (fake.rest(), fake.settings());
    let people = Arc::new(People::new(rest.clone(), settings.guild, settings.roles.clone()));
    let reception = Arc::clone(desk) as Arc<dyn Reception>;
    Interactions { rest, settings, people, reception, world: Arc::new(System::new()) }
}

/// What somebody did, by Discord's numbers.
const COMMAND: u8 = 2;
const BUTTON: u8 = 3;
const COMPLETION: u8 = 4;
const FORM: u8 = 5;

/// What is answered at once, by Discord's numbers.
const SAY: u8 = 4;
const LATER: u8 = 5;
const ASK: u8 = 9;

#[allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]
fn interaction(kind: u8, data: Value, change: impl FnOnce(&mut Value)) -> Did {
    let mut json = gateway::tests::command(json!({ "type": kind, "data": data, "message": message("800", "20") }));
    change(&mut json);
    serde_json::from_value(json).unwrap()
}

fn command(change: impl FnOnce(&mut Value)) -> Did {
    let mut json = gateway::tests::command(json!({}));
    change(&mut json);
    serde_json::from_value(json).unwrap()
}

fn pressed(press: &Press) -> Did {
    interaction(BUTTON, json!({ "custom_id": press.id().unwrap(), "component_type": 2 }), |_| ())
}

fn filled_in(press: &Press, text: &str) -> Did {
    let rows = json!([{ "type": 1, "components": [{ "type": 4, "custom_id": "text", "value": text }] }]);
    interaction(FORM, json!({ "custom_id": press.id().unwrap(), "components": rows }), |_| ())
}

/// What was answered at once, and what afterwards.
fn answered(fake: &Fake) -> (Value, Option<Value>) {
    let mut said = std::mem::take(&mut fake.state().said).into_iter();
    let (path, first) = said.next().unwrap();
    assert_eq!(path, "interactions/500/dG9rZW4/callback");
    let later = said.next().map(|(path, body)| {
        assert_eq!(path, "webhooks/7/dG9rZW4/messages/@original");
        body
    });
    (first, later)
}

#[tokio::test]
async fn a_command_is_acknowledged_first_and_answered_privately() {
    let fake = Fake::start().await;
    let desk =
        Desk::new(Reply::Opened { operation: OperationId::new("op"), text: "Looking. Operation 7f3a01.".into() });
    interactions(&fake, &desk).answer(&command(|_| ())).await;
    let (first, later) = answered(&fake);
    assert_eq!(first, json!({ "type": LATER, "data": { "flags": 64, "attachments": [] } }));
    assert_eq!(later.unwrap()["content"], "Looking. Operation 7f3a01.");
    assert_eq!(desk.heard(), [format!("{LEAD}: /scale up 6")]);
    assert_eq!(fake.state().asked.len(), 2, "nothing else was asked of anybody: {:?}", fake.state().asked);
}

#[tokio::test]
async fn what_discord_does_not_let_us_acknowledge_belongs_to_another() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    for code in [40_060, 10_062] {
        fake.fail("POST /interactions/500", if code == 40_060 { 400 } else { 404 }, code);
        interactions(&fake, &desk).answer(&command(|_| ())).await;
        interactions(&fake, &desk).people.names_in([]).await;
    }
    assert_eq!(desk.heard(), <[String; 0]>::default());
    assert_eq!(fake.state().said.len(), 0);
}

#[tokio::test]
async fn from_elsewhere_it_is_refused_with_what_is_missing() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    let mut said = Vec::new();
    let elsewhere: [fn(&mut Value); 5] = [
        |json| json["authorizing_integration_owners"] = json!({ "1": LEAD }),
        |json| {
            json["guild_id"] = Value::Null;
            json["user"] = json["member"]["user"].take();
            json["member"] = Value::Null;
        },
        |json| json["guild_id"] = json!("11"),
        |json| json["channel_id"] = json!("99"),
        |json| json["channel_id"] = json!("22"),
    ];
    for change in elsewhere {
        interactions(&fake, &desk).answer(&command(change)).await;
        let (first, later) = answered(&fake);
        assert_eq!((&first["type"], &first["data"]["flags"], later), (&json!(SAY), &json!(64), None));
        said.push(first["data"]["content"].as_str().unwrap().to_owned());
    }
    insta::assert_snapshot!(said.join("\n\n"), @"
    This bot was added to your own account, where nobody has a role. Nothing was done.
    Use it in the server that it serves.

    In private messages nobody has a role, so nothing can be asked here. Nothing was done.
    Use the ops channel of the server.

    This bot serves another server. Nothing was done.

    Commands are not taken here. Nothing was done.
    Use <#20>.

    Commands are not taken here. Nothing was done.
    Use <#20>.
    ");
    let mut viewers = interactions(&fake, &desk);
    viewers.settings.roles.viewer = vec![RoleId::new(40)];
    viewers.answer(&command(|json| json["member"]["roles"] = json!(["9"]))).await;
    insta::assert_snapshot!(answered(&fake).0["data"]["content"].as_str().unwrap(), @"
    You hold none of this bot's roles. Nothing was done.
    Ask for <@&40>.
    ");
    assert_eq!(desk.heard(), <[String; 0]>::default());
    // A thread of the ops channel, and the governance channel, take commands.
    let in_thread = command(|json| {
        json["channel_id"] = json!("900");
        json["channel"] = json!({ "id": "900", "type": 11, "parent_id": "20" });
    });
    interactions(&fake, &desk).answer(&in_thread).await;
    interactions(&fake, &desk).answer(&command(|json| json["channel_id"] = json!("21"))).await;
    assert_eq!(desk.heard().len(), 2);
}

#[tokio::test]
async fn a_question_is_answered_with_its_card_and_nonsense_in_the_grammars_words() {
    let fake = Fake::start().await;
    let stage = Stage::new();
    let scalebot_commands::asked::Answer::Card(card) = stage.ask("operator", "/scale help").await else { panic!() };
    let desk = Desk::new(Reply::Card(card));
    interactions(&fake, &desk).answer(&command(|_| ())).await;
    let later = answered(&fake).1.unwrap();
    assert_eq!(later["embeds"][0]["title"], "· info  What can be asked");
    let nonsense = json!({ "id": "901", "name": "scale", "type": 1, "options": [{ "name": "explode", "type": 1, "options": [] }] });
    interactions(&fake, &desk).answer(&interaction(COMMAND, nonsense, |_| ())).await;
    assert!(answered(&fake).1.unwrap()["content"].as_str().unwrap().contains("I do not know"));
}

#[tokio::test]
async fn buttons_do_what_marks_do_and_more() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    let press = |press: Press| {
        let (interactions, fake, desk) = (interactions(&fake, &desk), fake.clone(), Arc::clone(&desk));
        async move {
            interactions.answer(&pressed(&press)).await;
            let said = answered(&fake).1.unwrap()["content"].as_str().unwrap().to_owned();
            format!("{} | {said}", desk.heard().join(","))
        }
    };
    let mut told = Vec::new();
    for one in [
        Press::Approve(request()),
        Press::Reject(request()),
        Press::Withdraw(request()),
        Press::Acknowledge(None),
        Press::Acknowledge(Some(41)),
        Press::Start,
        Press::Dismiss,
        Press::Cancel(None),
        Press::Cancel(Some(TargetName::new("web"))),
    ] {
        told.push(press(one).await);
    }
    insta::assert_snapshot!(told.join("\n"), @"
    op: 80351110224678913 Approve 30e2 None | Your ✅ is on record. The card shows what comes of it.
    op: 80351110224678913 Reject 30e2 None | Your ❌ is on record. The card shows what comes of it.
    op: 80351110224678913 takes Approve back | Your ✅ is taken back, as long as the change is not begun yet.
    80351110224678913 acknowledges None | You see to it. Nobody further is told.
    80351110224678913 acknowledges Some(41) | You see to it. Nobody further is told.
    80351110224678913 starts | It is begun.
    80351110224678913 dismisses | It is dismissed.
    80351110224678913: /scale cancel | It stops.
    80351110224678913: /scale cancel target:web | It stops.
    ");
}

#[tokio::test]
async fn what_needs_words_is_asked_for_in_a_form() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    let operation = OperationId::new("op");
    for press in [Press::ApproveWithReason(request()), Press::Reason(operation.clone()), Press::Attest(operation)] {
        interactions(&fake, &desk).answer(&pressed(&press)).await;
        let (first, later) = answered(&fake);
        assert_eq!((&first["type"], later), (&json!(ASK), None));
        assert_eq!(first["data"]["custom_id"], press.id().unwrap());
        let field = &first["data"]["components"][0]["components"][0];
        assert_eq!((&field["max_length"], &field["required"]), (&json!(MAX_REASON), &json!(true)));
        assert_eq!(desk.heard(), <[String; 0]>::default());
        interactions(&fake, &desk).answer(&filled_in(&press, " we\nneed \u{202e}it ")).await;
        answered(&fake);
        let heard = desk.heard();
        assert!(heard[0].contains("we need") && !heard[0].contains('\u{202e}'), "{heard:?}");
    }
}

#[tokio::test]
async fn several_escalations_are_offered_as_buttons() {
    let fake = Fake::start().await;
    let text = "2 escalations are open. Say which:\nacknowledge 41: CRITICAL, x\nacknowledge 7: HIGH, y";
    let desk = Desk::new(Reply::Refused(text.to_owned()));
    interactions(&fake, &desk).answer(&pressed(&Press::Acknowledge(None))).await;
    let later = answered(&fake).1.unwrap();
    let labels: Vec<&Value> =
        later["components"][0]["components"].as_array().unwrap().iter().map(|button| &button["label"]).collect();
    assert_eq!(labels, [&json!("Acknowledge 41"), &json!("Acknowledge 7")]);
}

#[tokio::test]
async fn a_button_of_another_version_does_nothing() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    interactions(&fake, &desk)
        .answer(&interaction(BUTTON, json!({ "custom_id": "s9:approve:x", "component_type": 2 }), |_| ()))
        .await;
    assert!(answered(&fake).1.unwrap()["content"].as_str().unwrap().contains("another version"));
    assert_eq!(desk.heard(), <[String; 0]>::default());
}

#[tokio::test]
async fn what_is_typed_is_completed_at_once() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    let typed = json!({ "id": "901", "name": "scale", "type": 1, "options": [{ "name": "status", "type": 1, "options": [
        { "name": "target", "type": 3, "value": "w", "focused": true }
    ] }] });
    interactions(&fake, &desk).answer(&interaction(COMPLETION, typed.clone(), |_| ())).await;
    assert_eq!(answered(&fake).0["data"]["choices"], json!([{ "name": "web", "value": "web" }]));
    interactions(&fake, &desk).answer(&interaction(COMPLETION, typed, |json| json["guild_id"] = json!("11"))).await;
    assert_eq!(answered(&fake).0["data"]["choices"], json!([]));
}

#[tokio::test]
async fn who_has_just_done_something_is_answered_there() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    let interactions = interactions(&fake, &desk);
    interactions.answer(&command(|_| ())).await;
    answered(&fake);
    interactions.people.tell(&Person::new(LEAD), drawing::say("Too late.", &[])).await.unwrap();
    let (path, said) = fake.state().said.pop().unwrap();
    assert_eq!(
        (path.as_str(), &said["flags"], &said["content"]),
        ("webhooks/7/dG9rZW4", &json!(64), &json!("Too late."))
    );
    assert_eq!(interactions.people.channel_of(UserId::new(LEAD.parse().unwrap())), Some(ChannelId::new(20)));
}

/// Marks on one open request, message 900 in the governance channel, with what was passed on before.
async fn marks(fake: &Fake, desk: &Arc<Desk>, before: &[(u64, Passed)]) -> Marks {
    let (rest, settings) = (fake.rest(), fake.settings());
    let people = Arc::new(People::new(rest.clone(), settings.guild, settings.roles.clone()));
    let board = Board::load(Arc::new(InMemory::default()));
    let marks = before.iter().map(|(user, mark)| (UserId::new(*user), *mark)).collect();
    let entry = Entry {
        operation: OperationId::new("op"),
        slot: "approval".into(),
        part: "30e2eb20".into(),
        channel: ChannelId::new(21),
        message: MessageId::new(900),
        before: 0,
        thread: None,
        ask: Some(Ask { digest: digest(), state: AskState::Open, marks }),
        pressable: true,
        said: vec![],
    };
    board.add(entry).await;
    let reception = Arc::clone(desk) as Arc<dyn Reception>;
    Marks { rest, board, people, reception, in_turn: tokio::sync::Mutex::default() }
}

fn reaction(user: &str, emoji: &str, otherwise: Value) -> Reaction {
    let mark = gateway::tests::mark(user, json!({ "emoji": { "id": null, "name": emoji } }));
    serde_json::from_value(with(mark, otherwise)).unwrap()
}

#[tokio::test]
async fn a_mark_is_passed_on_once_and_so_is_its_withdrawal() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    let marks = marks(&fake, &desk, &[]).await;
    marks.seen(&reaction("5", "✅", json!({})), true).await;
    marks.seen(&reaction("5", "✅", json!({})), true).await;
    marks.seen(&reaction("5", "❌", json!({})), true).await;
    marks.seen(&reaction("5", "✅", json!({})), false).await;
    marks.seen(&reaction("6", "✅", json!({})), false).await;
    assert_eq!(desk.heard(), ["op: 5 Approve 30e2 None", "op: 5 Reject 30e2 None", "op: 5 takes Approve back"]);
}

#[tokio::test]
async fn only_our_two_marks_by_others_on_a_request_mean_anything() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    let marks = marks(&fake, &desk, &[]).await;
    marks.seen(&reaction("7", "✅", json!({})), true).await;
    marks.seen(&reaction("5", "👍", json!({})), true).await;
    marks.seen(&reaction("5", "✅", json!({ "emoji": { "id": "123", "name": "✅" } })), true).await;
    marks.seen(&reaction("5", "✅", json!({ "message_id": "901" })), true).await;
    marks.seen(&reaction("5", "✅", json!({ "channel_id": "20" })), true).await;
    assert_eq!(desk.heard(), <[String; 0]>::default());
}

#[tokio::test]
async fn marks_made_or_taken_away_while_nobody_looked_are_passed_on_and_no_before_yes() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    let marks = marks(&fake, &desk, &[(4, Passed::Approve), (5, Passed::Approve)]).await;
    {
        let mut state = fake.state();
        for (emoji, by) in
            [("%E2%9C%85", "7"), ("%E2%9C%85", "5"), ("%E2%9C%85", "6"), ("%E2%9D%8C", "7"), ("%E2%9D%8C", "6")]
        {
            state.mark("900", emoji, by);
        }
    }
    marks.read_all().await.unwrap();
    assert_eq!(desk.heard(), ["op: 4 takes Approve back", "op: 6 Reject 30e2 None", "op: 6 Approve 30e2 None"]);
    marks.read_all().await.unwrap();
    assert_eq!(desk.heard(), <[String; 0]>::default(), "each once");
    fake.fail("GET /channels/21/messages/900/reactions", 404, 10_008);
    marks.read_all().await.unwrap();
    assert_eq!(marks.board.asking(), [], "a message that is gone asks nobody");
}

#[tokio::test]
async fn a_request_whose_marks_cannot_be_read_holds_no_other_up() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Taken(String::new()));
    let marks = marks(&fake, &desk, &[]).await;
    let other = Entry { message: MessageId::new(901), part: "77777777".into(), ..marks.board.asking().remove(0) };
    marks.board.add(other).await;
    fake.state().mark("901", "%E2%9D%8C", "6");
    fake.fail("GET /channels/21/messages/900/reactions", 403, 50_001);
    let error = marks.read_all().await.unwrap_err();
    assert!(error.to_string().contains("may not read the marks"), "{error}");
    assert_eq!(desk.heard(), ["op: 6 Reject 30e2 None"]);
}

#[tokio::test]
async fn who_may_not_is_told_why_alone() {
    let fake = Fake::start().await;
    let desk = Desk::new(Reply::Refused("Only a governance lead can decide. Ask one.".into()));
    let marks = marks(&fake, &desk, &[]).await;
    marks.seen(&reaction("80351110224678912", "✅", json!({})), true).await;
    let said = fake.channel("7780351110224678912").pop().unwrap();
    assert_eq!(said["content"], "Only a governance lead can decide. Ask one.");
}
