//! A bare serenity bot that registers one command and acknowledges it, and does nothing else: what the real bot's
//! acknowledgement is measured against.
//!
//! Reads `DISCORD_TOKEN`, `DISCORD_ADDRESS` (`http://127.0.0.1:PORT`, without the API's path), `DISCORD_APPLICATION` and
//! `DISCORD_GUILD`. Writes `ready` on standard output once the command is registered.

use std::error::Error;
use std::num::NonZeroU64;

use serenity::all::{
    CommandOptionType, Context, CreateCommand, CreateCommandOption, CreateInteractionResponse,
    CreateInteractionResponseMessage, EventHandler, GatewayIntents, GuildId, HttpBuilder, Interaction, Ready,
};
use serenity::async_trait;

struct Handler {
    guild: GuildId,
}

#[async_trait]
impl EventHandler for Handler {
    async fn ready(&self, context: Context, _: Ready) {
        let count = CreateCommandOption::new(CommandOptionType::Integer, "count", "How many in all").required(true);
        let up = CreateCommandOption::new(CommandOptionType::SubCommand, "up", "More instances").add_sub_option(count);
        let status = CreateCommandOption::new(CommandOptionType::SubCommand, "status", "How the fleet is");
        let command = CreateCommand::new("scale").description("Scales the fleet").add_option(up).add_option(status);
        match self.guild.set_commands(&context.http, vec![command]).await {
            Ok(_) => println!("ready"),
            Err(error) => eprintln!("The command could not be registered: {error}"),
        }
    }

    async fn interaction_create(&self, context: Context, interaction: Interaction) {
        if let Interaction::Command(command) = interaction {
            let later = CreateInteractionResponse::Defer(CreateInteractionResponseMessage::new());
            if let Err(error) = command.create_response(&context.http, later).await {
                eprintln!("A command could not be acknowledged: {error}");
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let number = |name: &str| -> Result<NonZeroU64, Box<dyn Error>> { Ok(variable(name)?.parse()?) };
    let http = HttpBuilder::new(variable("DISCORD_TOKEN")?)
        .proxy(variable("DISCORD_ADDRESS")?)
        .ratelimiter_disabled(true)
        .application_id(number("DISCORD_APPLICATION")?.into())
        .build();
    let handler = Handler { guild: number("DISCORD_GUILD")?.into() };
    let intents = GatewayIntents::GUILDS | GatewayIntents::GUILD_MESSAGE_REACTIONS;
    let mut client = serenity::client::ClientBuilder::new_with_http(http, intents).event_handler(handler).await?;
    client.start().await?;
    Ok(())
}
