//! The front as a whole, against a small Discord.

use serde_json::json;
use serenity::all::{ChannelId, MessageId, UserId};

use super::*;
use crate::discord::gateway::tests::{event, listen, mark, ready};
use crate::discord::interactions::tests::{Desk, digest};
use crate::discord::room::placed::{Ask, AskState, Entry, Passed, Placed};
use crate::discord::testing::Fake;
use crate::reception::Reply;
use crate::system::System;

fn front(fake: &Fake, folder: &std::path::Path) -> Front {
    let files = Files { messages: folder.join("discord-messages.json"), logs: None };
    Front::new(fake.settings(), files, Arc::new(System::new())).unwrap()
}

/// An open request, message 900 in the governance channel, that somebody marked before.
fn an_open_request(folder: &std::path::Path) {
    let entry = Entry {
        operation: scalebot_commands::units::OperationId::new("op"),
        slot: "approval".into(),
        part: "30e2eb20".into(),
        channel: ChannelId::new(21),
        message: MessageId::new(900),
        before: 0,
        thread: None,
        ask: Some(Ask { digest: digest(), state: AskState::Open, marks: [(UserId::new(4), Passed::Approve)].into() }),
        pressable: true,
        said: vec![],
    };
    PlacedFile::new(folder.join("discord-messages.json")).keep(&[entry]).unwrap();
}

#[tokio::test]
async fn when_connected_it_registers_its_command_and_reads_the_marks_that_nobody_told_of() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    an_open_request(folder.path());
    fake.state().mark("900", "%E2%9C%85", "4");
    fake.state().mark("900", "%E2%9D%8C", "5");
    fake.state().found.insert("applications/7/guilds/10/commands".into(), json!([]));
    listen(&fake, 60_000, vec![vec![ready("s1"), event(2, "MESSAGE_REACTION_ADD", mark("6", json!({})))]]).await;
    let desk = Desk::new(Reply::Taken(String::new()));
    let front = front(&fake, folder.path());
    assert!(front.is_reached().is_err() && !front.reach.hears());
    let serving = front.serve(Arc::clone(&desk) as Arc<dyn Reception>);
    let looked_at = async {
        let mut heard = desk.hears(2).await;
        heard.sort();
        assert_eq!(heard, ["op: 5 Reject 30e2 None", "op: 6 Approve 30e2 None"]);
        fake.until("PUT /applications/7/guilds/10/commands", 1).await;
        front.is_reached().unwrap();
        front.reach.read.subscribe().wait_for(|times| *times == 1).await.unwrap();
        assert!(front.reach.hears());
    };
    tokio::select! {
        ended = serving => panic!("{ended}"),
        () = looked_at => {}
    }
}

#[tokio::test]
async fn a_refused_token_ends_it_with_what_to_do() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    fake.fail("GET /gateway/bot", 401, 0);
    let front = front(&fake, folder.path());
    let desk = Desk::new(Reply::Taken(String::new()));
    let why = front.serve(desk).await;
    assert!(why.contains("token_file"), "{why}");
    assert_eq!(fake.times("GET /gateway/bot"), 1);
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused_with_their_key() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    let mut settings = fake.settings();
    settings.channels.ops = vec![];
    let files = Files { messages: folder.path().join("m.json"), logs: None };
    let why = Front::new(settings, files, Arc::new(System::new())).err().unwrap();
    assert!(why.contains("discord.channels.ops"), "{why}");
}
