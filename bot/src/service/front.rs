//! Where people are, as the service sees it: a room with its cards, a log channel, and somebody who hands in what people
//! say. Which one it is follows from the configuration, and is decided here and nowhere else.

use std::io::IsTerminal as _;
use std::sync::Arc;

use async_trait::async_trait;
use scalebot_adapters::transcript::Transcript;
use scalebot_commands::ports::{LogChannel, Room, World};

use super::console_front::ConsoleFront;
use super::discord_front::DiscordFront;
use crate::config::Config;
use crate::console::{Console, Medium};
use crate::discord;
use crate::logging;
use crate::measures::Requests;
use crate::reception::Reception;
use crate::state_dir::StateDir;

/// A chat system.
#[async_trait]
pub(crate) trait Front: Send + Sync {
    /// Where cards are shown, and who knows what people may.
    fn room(&self) -> Arc<dyn Room>;

    /// The log's witness.
    fn log_channel(&self) -> Arc<dyn LogChannel>;

    /// Hands in what people say, for as long as that goes; what cannot go on is an end, what may pass is not.
    async fn serve(&self, reception: Arc<dyn Reception>) -> Left;

    /// Whether people are reached now.
    ///
    /// # Errors
    /// Why not, in words.
    fn is_reached(&self) -> Result<(), String>;

    /// What its requests came to; `None` where it makes none.
    fn requests(&self) -> Option<Arc<Requests>> {
        None
    }
}

/// Why a front hands nothing in any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Somebody there asked the process to stop.
    Asked,
    /// It cannot go on, in words for whoever runs it.
    Failed(String),
}

/// The front that is configured. Also sets up where the program's own log goes, since a terminal has room for one writer.
///
/// # Errors
/// In words, when it cannot be used as it is configured.
pub(crate) fn connect(config: &Config, dir: &StateDir, clock: &Arc<dyn World>) -> Result<Arc<dyn Front>, String> {
    if let Some(settings) = &config.sections.discord {
        logging::in_service(&config.sections.log, None)?;
        return Ok(Arc::new(DiscordFront::new(settings, dir, clock)?));
    }
    let console = Arc::new(Console::new(Arc::clone(clock), Medium::stdout()));
    let one_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    logging::in_service(&config.sections.log, one_terminal.then(|| Arc::clone(&console)))?;
    Ok(Arc::new(ConsoleFront::new(console, dir)))
}

/// The log channel that is configured, for whoever only compares or completes it.
///
/// # Errors
/// In words, when it cannot be used as it is configured.
pub(crate) fn log_channel(dir: &StateDir) -> Result<Arc<dyn LogChannel>, String> {
    match dir.config().and_then(|config| config.sections.discord.as_ref()) {
        Some(settings) => discord::log_channel(settings),
        None => Ok(Arc::new(Transcript::new(dir.transcript()))),
    }
}
