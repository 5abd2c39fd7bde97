//! What the doctor says, with the server as it should be and with one thing wrong at a time.

use scalebot_adapters::doctor::Status;
use serde_json::{Value, json};

use super::*;
use crate::discord::testing::{self, Fake, channel, role, with};

/// A server in which everything is as it should be.
async fn sound() -> Fake {
    let fake = Fake::start().await;
    let nothing = Permissions::empty();
    {
        let mut state = fake.state();
        let mut found = |path: &str, value: Value| _ = state.found.insert(path.to_owned(), value);
        found("gateway/bot", testing::gateway("ws://127.0.0.1:9", 990));
        let application = json!({
            "id": "7", "name": "scalebot", "description": "", "bot_public": false, "bot_require_code_grant": false,
            "verify_key": "",
        });
        found("applications/@me", application);
        let registered = json!({ "id": "900", "application_id": "7", "version": "1" });
        found("applications/7/guilds/10/commands", json!([with(json!(commands::definition()), registered)]));
        let roles = [
            role("10", "@everyone", Permissions::VIEW_CHANNEL | Permissions::READ_MESSAGE_HISTORY),
            role("41", "Operators", nothing),
            role("42", "Governance", nothing),
            role("43", "Infra", nothing),
            role("44", "Architects", nothing),
            with(role("49", "scalebot", nothing), json!({ "managed": true })),
        ];
        let guild = json!({
            "id": "10", "name": "Archon", "owner_id": "1", "roles": roles, "emojis": [], "stickers": [], "features": [],
            "verification_level": 0, "default_message_notifications": 1, "explicit_content_filter": 0, "mfa_level": 0,
            "system_channel_flags": 0, "premium_tier": 0, "preferred_locale": "en-GB", "nsfw_level": 0,
            "premium_progress_bar_enabled": false,
        });
        found("guilds/10", guild);
        found("guilds/10/roles/member-counts", json!({ "41": 4, "42": 3, "49": 1 }));
        let ours = |needed: Permissions| [json!({ "id": "49", "type": 0, "allow": needed, "deny": "0" })];
        found("channels/20", channel("20", "ops", ours(IN_OPS)));
        found("channels/21", channel("21", "governance", ours(IN_GOVERNANCE)));
        found("channels/22", channel("22", "scaling-log", ours(IN_LOG)));
        state.members.insert("7".into(), testing::member(&testing::me(), &["49"]));
    }
    fake
}

fn lines(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let to_do = finding.to_do.as_deref().map_or_else(String::new, |to_do| format!(" -> {to_do}"));
        format!("{:?}  {}: {}{to_do}", finding.status, finding.system, finding.text)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What is not as it should be after that change of one thing that can be read.
async fn wrong(path: &str, change: impl FnOnce(&mut Value)) -> String {
    let fake = sound().await;
    change(fake.state().found.get_mut(path).unwrap());
    let mut findings = check(&fake.settings(), 1).await;
    findings.retain(|finding| finding.status != Status::Ok);
    lines(&findings)
}

#[tokio::test]
async fn a_server_as_it_should_be() {
    let fake = sound().await;
    insta::assert_snapshot!(lines(&check(&fake.settings(), 1).await), @"
    Ok  Discord, token: It is that of scalebot.
    Ok  Discord, gateway: It is there; 990 of 1000 sessions are left today. No intent is asked for that needs leave.
    Ok  Discord, application: scalebot can be added by its owner alone.
    Ok  Discord, commands: /scale is registered.
    Ok  Discord, server: The bot is in Archon.
    Ok  Discord, the ops channel: #ops: the bot may do there what it has to.
    Ok  Discord, the governance channel: #governance: the bot may do there what it has to.
    Ok  Discord, the log channel: #scaling-log: the bot may do there what it has to.
    Ok  Discord, the log channel: Nobody but the bot and the server's owner may write there.
    Ok  Discord, discord.roles.operator: Operators.
    Ok  Discord, discord.roles.governance_lead: Governance.
    Ok  Discord, discord.roles.infrastructure_team: Infra.
    Ok  Discord, discord.roles.system_architect: Architects.
    Ok  Discord, approval: 3 governance leads, of whom 1 has to approve. A bot that holds the role counts among them, and approves nothing.
    ");
    let changes = fake.state().asked.iter().filter(|asked| !asked.starts_with("GET ")).count();
    assert_eq!(changes, 0, "nothing is changed to find out");
}

#[tokio::test]
async fn a_token_that_is_refused_and_a_discord_that_does_not_answer() {
    let fake = sound().await;
    fake.fail("GET /users/@me", 401, 0);
    insta::assert_snapshot!(lines(&check(&fake.settings(), 1).await), @"Failed  Discord, token: Discord does not accept it. -> Copy the bot's token anew from Discord's developer portal, under Bot, to where the configuration says.");
    let nobody = crate::discord::settings::tests::settings("http://127.0.0.1:1");
    let findings = check(&nobody, 1).await;
    assert_eq!((findings.len(), findings[0].status), (1, Status::Failed));
    let mut none = fake.settings();
    none.token = None;
    insta::assert_snapshot!(lines(&check(&none, 1).await), @"Failed  Discord, configuration: discord.token: no token is given; set discord.token in the environment (SCALEBOT_DISCORD__TOKEN) or name its file in discord.token_file -> Correct it in the configuration.");
}

#[tokio::test]
async fn a_missing_permission_is_named_with_its_channel() {
    insta::assert_snapshot!(wrong("channels/20", |channel| {
        channel["permission_overwrites"][0]["allow"] = json!(IN_LOG | Permissions::EMBED_LINKS);
    }).await, @"Failed  Discord, the ops channel: #ops: the bot lacks Create Public Threads, Send Messages in Threads. -> Grant that to the bot's role in the channel's settings, under Permissions.");
    insta::assert_snapshot!(wrong("channels/21", |channel| channel["permission_overwrites"] = json!([])).await, @"Failed  Discord, the governance channel: #governance: the bot lacks Add Reactions, Send Messages, Embed Links, Attach Files. -> Grant that to the bot's role in the channel's settings, under Permissions.");
    insta::assert_snapshot!(wrong("channels/21", |channel| channel["guild_id"] = json!("11")).await, @"Failed  Discord, the governance channel: #governance is in another server. -> Name a channel of discord.guild.");
    insta::assert_snapshot!(wrong("channels/20", |channel| channel["type"] = json!(2)).await, @"Failed  Discord, the ops channel: #ops is no text channel. -> Name a text channel.");
}

#[tokio::test]
async fn nobody_but_the_bot_may_write_in_the_log_channel() {
    insta::assert_snapshot!(wrong("channels/22", |channel| {
        let everybody = json!({ "id": "10", "type": 0, "allow": Permissions::SEND_MESSAGES, "deny": "0" });
        channel["permission_overwrites"].as_array_mut().unwrap().push(everybody);
        let person = json!({ "id": "5", "type": 1, "allow": Permissions::SEND_MESSAGES, "deny": "0" });
        channel["permission_overwrites"].as_array_mut().unwrap().push(person);
    }).await, @"Failed  Discord, the log channel: Others than the bot may write there: everybody, the person 5. -> Take Send Messages and Manage Webhooks from them in that channel, so that it is a witness.");
    insta::assert_snapshot!(wrong("channels/22", |channel| {
        let person = json!({ "id": "5", "type": 1, "allow": Permissions::MANAGE_WEBHOOKS, "deny": "0" });
        channel["permission_overwrites"].as_array_mut().unwrap().push(person);
    }).await, @"Failed  Discord, the log channel: Others than the bot may write there: the person 5. -> Take Send Messages and Manage Webhooks from them in that channel, so that it is a witness.");
    insta::assert_snapshot!(wrong("guilds/10", |guild| {
        guild["roles"][3]["permissions"] = json!(Permissions::MANAGE_MESSAGES);
    }).await, @"Warn  Discord, the log channel: Others may take posts away there: Infra. -> Take Manage Messages from them in that channel. Posts that are missing are seen by ledger verify.");
    insta::assert_snapshot!(wrong("guilds/10", |guild| guild["roles"][3]["permissions"] = json!("8")).await, @"Warn  Discord, the log channel: Administrators may write anywhere, there too: Infra. -> Give Administrator to as few as can be. A post that is not the bot's is seen by ledger verify.");
}

#[tokio::test]
async fn roles_exist_can_be_held_and_are_notified() {
    insta::assert_snapshot!(wrong("guilds/10", |guild| _ = guild["roles"].as_array_mut().unwrap().remove(4)).await, @"Failed  Discord, discord.roles.system_architect: There is no role 44 in the server. -> Correct the configuration, or make the role anew.");
    insta::assert_snapshot!(wrong("guilds/10", |guild| guild["roles"][1]["managed"] = json!(true)).await, @"Failed  Discord, discord.roles.operator: Operators belongs to a bot or a service, and no person can hold it. -> Name a role that people hold.");
    insta::assert_snapshot!(wrong("guilds/10", |guild| guild["roles"][2]["mentionable"] = json!(false)).await, @r#"Failed  Discord, the governance channel: Nobody would be notified there: Governance cannot be mentioned by the bot. -> In the role's settings, turn on: Allow anyone to @mention this role. Or grant the bot's role "Mention @everyone, @here, and All Roles" in that channel."#);
}

#[tokio::test]
async fn the_gate_can_be_satisfied_whoever_asks() {
    let path = "guilds/10/roles/member-counts";
    insta::assert_snapshot!(wrong(path, |counts| counts["42"] = json!(1)).await, @"Warn  Discord, approval: 1 governance lead, of whom 1 has to approve. Nobody can approve what one of them asks for: the gate cannot be satisfied then. -> Give the role of governance lead to more people.");
    insta::assert_snapshot!(wrong(path, |counts| _ = counts.as_object_mut().unwrap().remove("42")).await, @"Failed  Discord, approval: No approval can be had: 0 governance leads, of whom 1 has to approve. -> Give the role of governance lead to more people.");
}

#[tokio::test]
async fn the_bot_itself_is_no_lead_whatever_it_holds() {
    let fake = sound().await;
    fake.state().found.insert("guilds/10/roles/member-counts".to_owned(), json!({ "42": 2 }));
    fake.state().members.insert("7".into(), testing::member(&testing::me(), &["49", "42"]));
    let findings = lines(&check(&fake.settings(), 1).await);
    assert!(findings.contains("1 governance lead, of whom 1 has to approve. Nobody can approve"), "{findings}");
}

#[tokio::test]
async fn the_bot_is_in_the_server_and_nobody_else_adds_it() {
    insta::assert_snapshot!(wrong("applications/@me", |found| found["bot_public"] = json!(true)).await, @"Warn  Discord, application: Anybody may add the bot to a server of theirs. -> Turn Public Bot off in Discord's developer portal, under Bot.");
    insta::assert_snapshot!(wrong("gateway/bot", |found| found["session_start_limit"]["remaining"] = json!(12)).await, @"Warn  Discord, gateway: 12 of 1000 sessions are left today. -> Something begins them again and again: see whether another process uses the token.");
    insta::assert_snapshot!(wrong("gateway/bot", |found| found["url"] = json!("wss://gateway.discord.gg")).await, @"Failed  Discord, gateway: the gateway's address wss://gateway.discord.gg leads away from 127.0.0.1; nothing is sent there. -> Correct discord.api_base, or what answers there.");
    let fake = sound().await;
    fake.state().found.remove("guilds/10");
    fake.fail("GET /guilds/10", 404, 10_004);
    let mut findings = check(&fake.settings(), 1).await;
    findings.retain(|finding| finding.status != Status::Ok);
    insta::assert_snapshot!(lines(&findings), @"Failed  Discord, server: The bot is not in the configured server. -> Invite the bot to that server, or correct discord.guild.");
}

#[test]
fn the_readme_invites_the_bot_with_what_is_looked_at_here_and_nothing_else() {
    const README: &str = include_str!("../../../../README.md");
    let needed = IN_OPS | IN_GOVERNANCE | IN_LOG;
    let link =
        "https://discord.com/oauth2/authorize?client_id=APPLICATION_ID&scope=bot+applications.commands&permissions=";
    let (_, number) = README.split_once(link).expect("the link");
    assert_eq!(number.split_whitespace().next(), Some(&*needed.bits().to_string()));
    let (_, said) = README.split_once("The number stands for: ").expect("what the number stands for");
    let said = said.split_once('.').unwrap().0.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut said: Vec<&str> = said.split(", ").collect();
    let mut names = permissions::names(needed);
    said.sort_unstable();
    names.sort();
    assert_eq!(said, names);
}
