//! The gateway: the one connection over which Discord tells what people do.
//!
//! It is resumed where it broke off, and begun anew only where it must be, because Discord lets a bot identify a
//! thousand times a day and then takes its token away: before each time the rest of that budget is asked for, and every
//! failure in a row waits longer than the one before. What cannot get better (a token or an intent that Discord refuses)
//! ends it with a reason. It connects to where the configured base says that the gateway is, and nowhere else.

mod budget;
mod session;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::error::Category;
use serde_json::{Value, json};
use serenity::all::{GatewayIntents, Opcode, Reaction, Ready};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use self::budget::Budget;
use self::session::{After, Frame, Hello, Session};
use super::rest::{Fault, Rest};
use super::settings::is_this_machine;
use super::wire::{Did, Plain};

/// What is heard of: what happens to the server, and marks under messages. Neither needs Discord's leave.
pub(crate) const INTENTS: GatewayIntents = GatewayIntents::GUILDS.union(GatewayIntents::GUILD_MESSAGE_REACTIONS);

/// How long a connection may take to come about, and to say its first word.
const CONNECT: Duration = Duration::from_secs(15);

/// How long an IDENTIFY or a RESUME may take to be answered.
const WELCOME: Duration = Duration::from_secs(30);

/// The longest message that is read, in bytes.
const LONGEST: usize = 16 << 20;

/// Says that this end goes, and that the session is to be resumed.
const GOING: u16 = 4_000;

/// Who is told what happens. Nothing here may take long: whoever has work to do does it in a task of their own.
pub(crate) trait Events: Send + Sync {
    /// A session has begun; what happened before it is not told.
    fn ready(&self, ready: Ready);
    /// A session goes on; what happened meanwhile is told.
    fn resumed(&self);
    /// Somebody did something that wants an answer.
    fn interaction(&self, did: Did);
    /// Somebody made a mark, or took it away.
    fn reaction(&self, reaction: Reaction, made: bool);
    /// Several marks were taken away at once, by whoever may do that.
    fn reactions_cleared(&self);
}

/// Why there is no connection any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended(pub(crate) String);

/// The connection to the gateway.
pub(crate) struct Gateway {
    rest: Rest,
    token: SecretString,
    events: Arc<dyn Events>,
    /// Whether it stands.
    connected: watch::Sender<bool>,
    pace: Pace,
}

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between the first two attempts that fail; twice as long each further time.
    first: Duration,
    /// Between two attempts at most.
    most: Duration,
    /// Before a session that Discord ended is begun anew: at least, and up to that much more.
    anew: (Duration, Duration),
}

impl Default for Pace {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { first: secs(1), most: Duration::from_mins(10), anew: (secs(1), secs(4)) }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Gateway {
    pub(crate) fn new(
        rest: Rest,
        token: SecretString,
        events: Arc<dyn Events>,
        connected: watch::Sender<bool>,
    ) -> Self {
        Self { rest, token, events, connected, pace: Pace::default() }
    }

    /// Stays connected. Returns only when that cannot be any more, with why in words for whoever runs it.
    pub(crate) async fn run(&self) -> Ended {
        let mut session: Option<Session> = None;
        let mut address: Option<Url> = None;
        let mut budget = Budget::new(self.pace.first, self.pace.most);
        loop {
            sleep(budget.pause()).await;
            // A session that goes on does so where it began.
            let known = address.take().filter(|_| session.is_some());
            let at = match known {
                Some(at) => at,
                None => match self.find(&mut budget).await {
                    Ok(Found::At(at)) => at,
                    Ok(Found::NotYet(wait)) => {
                        sleep(wait).await;
                        continue;
                    }
                    Err(Fault::TokenRefused) => return token_refused(),
                    Err(fault) => {
                        let error = scalebot_commands::ports::PortError::from(fault);
                        tracing::warn!(%error, "the gateway cannot be found; it is tried again");
                        budget.failed();
                        continue;
                    }
                },
            };
            let begun = Instant::now();
            let after = self.connection(&at, &mut session, &mut budget).await;
            self.connected.send_replace(false);
            budget.ended(begun.elapsed());
            match after {
                After::Resume(why) => {
                    tracing::info!(why, "the connection to Discord broke off; it is resumed");
                    address = Some(at);
                }
                After::Anew(why) => {
                    tracing::info!(why, "Discord's session is over; a new one is begun");
                    session = None;
                    let (least, more) = self.pace.anew;
                    sleep(least + more.mul_f64(fastrand::f64())).await;
                }
                After::Never(why) => return Ended(why),
            }
        }
    }

    /// Where the gateway is, if a session may be begun now.
    async fn find(&self, budget: &mut Budget) -> Result<Found, Fault> {
        let found = self.rest.gateway().await?;
        let at = address(&found.url, self.rest.host()).map_err(Fault::Unreadable)?;
        if let Some(wait) = budget.may_identify(&found.session_start_limit) {
            let minutes = wait.as_secs().div_ceil(60);
            tracing::error!(minutes, "sessions with Discord were begun too often today; the next one waits");
            return Ok(Found::NotYet(wait));
        }
        Ok(Found::At(at))
    }

    /// One connection, from its beginning to its end.
    async fn connection(&self, at: &Url, session: &mut Option<Session>, budget: &mut Budget) -> After {
        let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
        let mut url = at.clone();
        url.set_query(Some("v=10&encoding=json"));
        let connected = timeout(CONNECT, connect_async_with_config(url.as_str(), Some(config), true)).await;
        let mut socket = match connected {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(error)) => return not_reached(session.as_ref(), budget, words(&error)),
            Err(_) => return not_reached(session.as_ref(), budget, "it did not answer in time".to_owned()),
        };
        let hello = match timeout(CONNECT, next(&mut socket)).await {
            Ok(Ok(frame)) => {
                frame.filter(|frame| frame.op == Opcode::Hello).and_then(|frame| frame.read::<Hello>().ok())
            }
            Ok(Err(after)) => return closed(after, session.as_ref(), budget),
            Err(_) => None,
        };
        let Some(beat) =
            hello.map(|hello| Duration::from_millis(hello.heartbeat_interval)).filter(|beat| !beat.is_zero())
        else {
            return not_reached(session.as_ref(), budget, "it said no HELLO".to_owned());
        };
        let first = if let Some(session) = session {
            session.resume(self.token.expose_secret())
        } else {
            budget.identifies();
            identify(self.token.expose_secret())
        };
        if let Err(after) = send(&mut socket, &first).await {
            return closed(after, session.as_ref(), budget);
        }
        let after = self.listen(&mut socket, session, beat).await;
        // Said in vain where the other end has gone already.
        let _ = timeout(Duration::from_secs(1), say_goodbye(&mut socket)).await;
        closed(after, session.as_ref(), budget)
    }

    async fn listen(&self, socket: &mut Socket, session: &mut Option<Session>, beat: Duration) -> After {
        let welcome_by = Instant::now() + WELCOME;
        let mut welcome = false;
        let mut acknowledged = true;
        // The first at a random moment, so that many bots that come back at once do not beat as one.
        let mut beat_at = Instant::now() + beat.mul_f64(fastrand::f64());
        loop {
            let frame = tokio::select! {
                frame = next(socket) => frame,
                () = sleep_until(beat_at) => {
                    if !acknowledged {
                        return After::Resume("Discord no longer answers on it".to_owned());
                    }
                    acknowledged = false;
                    beat_at = Instant::now() + beat;
                    match self.beat(socket, session.as_ref()).await {
                        Ok(()) => continue,
                        Err(after) => return after,
                    }
                }
                () = sleep_until(welcome_by), if !welcome => {
                    return After::Resume("Discord did not say that the session stands".to_owned());
                }
            };
            let frame = match frame {
                Ok(Some(frame)) => frame,
                Ok(None) => continue,
                Err(after) => return after,
            };
            match frame.op {
                Opcode::Dispatch => {
                    if let (Some(session), Some(seq)) = (session.as_mut(), frame.s) {
                        session.seq = seq;
                    }
                    if self.dispatched(&frame, session) {
                        welcome = true;
                    }
                }
                Opcode::Heartbeat => {
                    if let Err(after) = self.beat(socket, session.as_ref()).await {
                        return after;
                    }
                }
                Opcode::Reconnect => return After::Resume("Discord asks to connect anew".to_owned()),
                Opcode::InvalidSession if matches!(frame.read(), Ok(true)) => {
                    return After::Resume("Discord asks to resume the session".to_owned());
                }
                Opcode::InvalidSession => return After::Anew("Discord ended the session".to_owned()),
                Opcode::HeartbeatAck => acknowledged = true,
                _ => {}
            }
        }
    }

    async fn beat(&self, socket: &mut Socket, session: Option<&Session>) -> Result<(), After> {
        let seq = session.map(|session| session.seq).filter(|seq| *seq > 0);
        send(socket, &json!({ "op": Opcode::Heartbeat, "d": seq })).await
    }

    /// Hears that, as if a connection had brought it.
    #[cfg(any(test, feature = "hostile"))]
    pub(crate) fn hears(&self, line: &[u8]) {
        if let Ok(frame) = serde_json::from_slice(line) {
            self.dispatched(&frame, &mut None);
        }
    }

    /// Something happened. Whether it says that the session stands. What cannot be read is lost, and nothing else is.
    fn dispatched(&self, frame: &Frame, session: &mut Option<Session>) -> bool {
        let unreadable = |error: serde_json::Error| {
            let (kind, why) = (frame.t.as_deref().unwrap_or_default(), misread(&error));
            tracing::warn!(kind, why, "something that Discord tells cannot be read");
        };
        match frame.t.as_deref().unwrap_or_default() {
            "READY" => match frame.read::<Plain<Ready>>() {
                Ok(Plain(ready)) => {
                    *session = Some(Session { id: ready.session_id.clone(), seq: frame.s.unwrap_or(0) });
                    // Before it stands: what was missed is known to be missing by then.
                    self.events.ready(ready);
                    self.connected.send_replace(true);
                    return true;
                }
                Err(error) => unreadable(error),
            },
            "RESUMED" => {
                self.events.resumed();
                self.connected.send_replace(true);
                return true;
            }
            "INTERACTION_CREATE" => frame.read().map_or_else(unreadable, |did| self.events.interaction(did)),
            kind @ ("MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE") => {
                let made = kind == "MESSAGE_REACTION_ADD";
                frame.read().map_or_else(unreadable, |Plain(reaction)| self.events.reaction(reaction, made));
            }
            "MESSAGE_REACTION_REMOVE_ALL" | "MESSAGE_REACTION_REMOVE_EMOJI" => self.events.reactions_cleared(),
            _ => {}
        }
        false
    }
}

fn not_reached(session: Option<&Session>, budget: &mut Budget, why: String) -> After {
    closed(After::Resume(why), session, budget)
}

/// What follows: without a session there is none to go on.
fn closed(after: After, session: Option<&Session>, budget: &mut Budget) -> After {
    budget.failed();
    match after {
        After::Resume(why) if session.is_none() => After::Anew(why),
        after => after,
    }
}

/// Where a session may be begun.
enum Found {
    At(Url),
    NotYet(Duration),
}

/// What begins a session.
fn identify(token: &str) -> Value {
    json!({ "op": Opcode::Identify, "d": {
        "token": token,
        "intents": INTENTS.bits(),
        "properties": { "os": std::env::consts::OS, "browser": "scalebot", "device": "scalebot" },
    } })
}

/// Where the gateway is, if that is where it may be: with a base of its own at that base's host.
pub(crate) fn address(url: &str, base: &str) -> Result<Url, String> {
    let quoted = scalebot_commands::request::escaped(url, 100);
    let at = Url::parse(url).map_err(|error| format!("the gateway's address {quoted} is none ({error})"))?;
    let host = at.host_str().unwrap_or_default();
    let is_discords = |host: &str| {
        ["discord.com", "discord.gg"]
            .iter()
            .any(|ours| host == *ours || host.strip_suffix(ours).is_some_and(|rest| rest.ends_with('.')))
    };
    let belongs = if is_discords(base) { is_discords(host) } else { host == base };
    match at.scheme() {
        _ if !belongs => Err(format!("the gateway's address {quoted} leads away from {base}; nothing is sent there")),
        "wss" => Ok(at),
        "ws" if is_this_machine(host) => Ok(at),
        _ => Err(format!("the gateway's address {quoted} is not encrypted")),
    }
}

/// The next message; `None` for one that says nothing.
async fn next(socket: &mut Socket) -> Result<Option<Frame>, After> {
    match socket.next().await {
        Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
            Ok(frame) => Ok(Some(frame)),
            Err(error) => {
                tracing::warn!(why = misread(&error), "Discord said something that cannot be read");
                Ok(None)
            }
        },
        Some(Ok(Message::Close(frame))) => Err(session::after_close(frame.map(|frame| frame.code.into()))),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(After::Resume(words(&error))),
        None => Err(After::Resume("it was closed".to_owned())),
    }
}

async fn send(socket: &mut Socket, what: &Value) -> Result<(), After> {
    match timeout(CONNECT, socket.send(Message::text(what.to_string()))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(After::Resume(words(&error))),
        Err(_) => Err(After::Resume("nothing could be sent on it".to_owned())),
    }
}

async fn say_goodbye(socket: &mut Socket) {
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;
    // Any other code than 1000 and 1001, which would end the session.
    let frame = CloseFrame { code: GOING.into(), reason: "".into() };
    let _ = socket.close(Some(frame)).await;
}

/// Why something cannot be read, without anything of it: it may be an interaction with its token, and a parser's words
/// quote what they did not expect.
fn misread(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        Category::Data => "it is of another form",
        Category::Syntax | Category::Eof | Category::Io => "it is no JSON",
    };
    format!("{kind} (column {})", error.column())
}

fn words(error: &SocketError) -> String {
    scalebot_commands::request::escaped(&error.to_string(), 200)
}

fn token_refused() -> Ended {
    Ended(
        "Discord does not accept the bot's token. Put the current one where the configuration says \
         (discord.token_file, or SCALEBOT_DISCORD__TOKEN), then start the bot again."
            .to_owned(),
    )
}
