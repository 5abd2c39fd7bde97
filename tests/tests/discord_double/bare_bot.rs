//! A bare serenity bot at the double: whether a real client takes it for Discord.

use std::sync::Arc;
use std::time::Duration;

use scalebot_tests::discord::{Discord, Scene};
use serenity::all::{
    Client, CommandOptionType, Context, CreateCommand, CreateCommandOption, CreateInteractionResponse,
    CreateInteractionResponseMessage, CreateMessage, EventHandler, GatewayIntents, GuildId, HttpBuilder, Interaction,
    Reaction, Ready, ResumedEvent,
};
use serenity::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the bot lives through, in words.
struct Handler {
    guild: u64,
    heard: UnboundedSender<String>,
}

#[async_trait]
impl EventHandler for Handler {
    async fn ready(&self, context: Context, ready: Ready) {
        let count = CreateCommandOption::new(CommandOptionType::Integer, "count", "How many in all");
        let command = CreateCommand::new("up").description("More instances").add_option(count.min_int_value(1));
        GuildId::new(self.guild).set_commands(&context.http, vec![command]).await.unwrap();
        let _ = self.heard.send(format!("ready as {}", ready.user.name));
    }

    async fn resume(&self, _: Context, _: ResumedEvent) {
        let _ = self.heard.send("resumed".to_owned());
    }

    async fn interaction_create(&self, context: Context, interaction: Interaction) {
        let Interaction::Command(command) = interaction else { return };
        let count = command.data.options[0].value.as_i64().unwrap();
        let words = CreateInteractionResponseMessage::new().content(format!("{count} it shall be"));
        command.create_response(&context.http, CreateInteractionResponse::Message(words)).await.unwrap();
        command.channel_id.send_message(&context.http, CreateMessage::new().content("A card.")).await.unwrap();
    }

    async fn reaction_add(&self, _: Context, reaction: Reaction) {
        let holds = reaction.member.map_or(0, |member| member.roles.len());
        let _ = self.heard.send(format!("{} by somebody with {holds} roles", reaction.emoji));
    }
}

struct Bot {
    heard: UnboundedReceiver<String>,
    task: tokio::task::JoinHandle<Result<(), serenity::Error>>,
}

impl Bot {
    async fn start(discord: &Discord, token: &str) -> Self {
        let (tells, heard) = unbounded_channel();
        let http = HttpBuilder::new(token)
            .proxy(discord.address())
            .ratelimiter_disabled(true)
            .application_id(discord.application().0.into())
            .build();
        let intents = GatewayIntents::GUILDS | GatewayIntents::GUILD_MESSAGE_REACTIONS;
        let handler = Handler { guild: discord.guild().0, heard: tells };
        let mut client = serenity::client::ClientBuilder::new_with_http(http, intents)
            .event_handler_arc(Arc::new(handler))
            .await
            .unwrap();
        let task = tokio::spawn(async move { Client::start(&mut client).await });
        Self { heard, task }
    }

    async fn hears(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(20), self.heard.recv());
        next.await.expect("the bot to hear something within 20 s").unwrap()
    }
}

#[tokio::test]
async fn it_registers_answers_a_command_and_hears_a_reaction() {
    let discord = Discord::ready_made();
    let mut bot = Bot::start(&discord, &discord.token()).await;
    assert_eq!(bot.hears().await, "ready as scalebot");
    let asked = discord.person("operator").command("up", &[("count", 6)]);
    assert_eq!(asked.message().await.content, "6 it shall be");
    let card = discord.channel("ops").message_with("A card.").await;
    discord.person("lead").react(&card, "✅");
    assert_eq!(bot.hears().await, "✅ by somebody with 1 roles");
    bot.task.abort();
}

#[tokio::test]
async fn two_hundred_commands_at_once_are_all_answered() {
    let discord = Discord::start(Scene::ready_made().unlimited());
    let mut bot = Bot::start(&discord, &discord.token()).await;
    assert_eq!(bot.hears().await, "ready as scalebot");
    let asked: Vec<_> = (1..=200).map(|count| discord.person("operator").command("up", &[("count", count)])).collect();
    for (count, asked) in (1..=200).zip(asked) {
        assert_eq!(asked.message().await.content, format!("{count} it shall be"));
        assert!(asked.acknowledged().await < scalebot_tests::discord::ACKNOWLEDGE_WITHIN);
    }
    bot.task.abort();
}

#[tokio::test]
async fn it_resumes_after_a_cut_and_after_a_reconnect_and_misses_nothing() {
    let discord = Discord::ready_made();
    let mut bot = Bot::start(&discord, &discord.token()).await;
    assert_eq!(bot.hears().await, "ready as scalebot");
    discord.person("operator").command("up", &[("count", 6)]);
    let card = discord.channel("ops").message_with("A card.").await;

    discord.refuse_gateway(true);
    discord.drop_connections();
    discord.until_sessions(0).await;
    discord.person("lead").react(&card, "✅");
    discord.refuse_gateway(false);
    let mut heard = vec![bot.hears().await, bot.hears().await];
    heard.sort();
    assert_eq!(heard, ["resumed", "✅ by somebody with 1 roles"]);

    discord.send_reconnect();
    assert_eq!(bot.hears().await, "resumed");
    assert_eq!((discord.identifies().len(), discord.resumes()), (1, 2));
    bot.task.abort();
}

#[tokio::test]
async fn it_identifies_anew_after_an_invalid_session_or_a_dead_line() {
    let discord = Discord::start(Scene::ready_made().heartbeat_every(Duration::from_millis(500)));
    let mut bot = Bot::start(&discord, &discord.token()).await;
    assert_eq!(bot.hears().await, "ready as scalebot");
    discord.invalidate_session(false);
    discord.until_identifies(2).await;
    assert_eq!(bot.hears().await, "ready as scalebot");
    discord.stop_acking();
    discord.until_identifies(3).await;
    bot.task.abort();
}

#[tokio::test]
async fn it_ends_where_its_token_is_not_accepted() {
    let discord = Discord::ready_made();
    // A token of the right form, which serenity looks at, and of nobody.
    let bot = Bot::start(&discord, "MTA0MjQyNDI0MjQyNDI0MjQyNA.nobody.nothing").await;
    let ended = tokio::time::timeout(Duration::from_secs(20), bot.task).await.unwrap().unwrap();
    assert!(ended.is_err());
    assert_eq!(discord.sessions(), 0);
}
