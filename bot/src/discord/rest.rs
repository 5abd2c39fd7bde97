//! The one HTTP layer: every request to Discord goes through here, to the configured base and nowhere else.
//!
//! It is ours and not the library's because there a base that can be configured and a 429 whose `retry_after` is
//! honoured do not go together: with a base of its own it keeps no limits and drops what a 429 says. Here limits are kept before they are hit ([`limits`]), a 429 is waited out and never answered with another request, what
//! may be repeated safely is repeated after a 5xx, and time, length and number of requests are bounded.

mod fault;
mod limits;
mod posted;
mod routes;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serenity::all::{CreateAttachment, UserId};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::fault::Refusal;
pub(crate) use self::fault::{Fault, code};
use self::limits::{Limits, Route, Ticket, Told, Turn};
pub(crate) use self::posted::Posted;
pub(crate) use self::routes::Place;
use crate::measures::{Became, Requests};

/// How long one request may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// How long a request may take with all its waiting, where the caller says nothing else.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an acknowledgement may take: Discord gives three seconds from when it sent the event.
const ACKNOWLEDGE: Duration = Duration::from_millis(2_800);

/// The largest answer that is read, in bytes.
const MAX_BODY: usize = 8 << 20;

/// How many requests are under way at most, and how many acknowledgements beside them.
const UNDER_WAY: usize = 32;
const URGENT: usize = 256;

/// What a picture begins with. Every other file is a text.
const PNG: &[u8] = b"\x89PNG";

/// After a 5xx: how often it is tried in all, and the first pause.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// Discord's interface, at one base.
#[derive(Clone)]
pub(crate) struct Rest(Arc<Inner>);

struct Inner {
    client: Client,
    base: Url,
    authorization: HeaderValue,
    limits: Mutex<Limits>,
    /// Something was answered: whoever waits for a turn asks again.
    answered: Notify,
    under_way: Semaphore,
    urgent: Semaphore,
    token_refused: AtomicBool,
    /// What requests came to, and how long they took.
    requests: Arc<Requests>,
    /// Whether the last request reached Discord.
    reachable: tokio::sync::watch::Sender<bool>,
    /// The bot itself, once it was asked.
    me: tokio::sync::OnceCell<UserId>,
}

/// A request.
struct Call {
    method: Method,
    /// Behind the base, without a slash at its beginning.
    path: String,
    route: Route,
    body: Body,
    /// What it does, for errors: "post in the ops channel".
    doing: String,
    /// The permissions that it takes.
    needs: &'static str,
    /// Whether doing it twice is the same as doing it once.
    repeatable: bool,
    /// Whether it is the bot's, by its token.
    as_bot: bool,
    patience: Duration,
}

/// What goes with a request.
enum Body {
    Nothing,
    Json(Value),
    /// JSON with files.
    Files(Value, Vec<CreateAttachment>),
}

/// What a 429 says.
#[derive(Deserialize)]
struct TooMany {
    retry_after: f64,
    #[serde(default)]
    global: bool,
}

/// What came of one attempt.
enum Came {
    Done(Vec<u8>),
    TooMany { wait: Duration, global: bool },
    Failed(Fault),
}

impl Came {
    /// As it is counted.
    fn became(&self) -> Became {
        match self {
            Self::Done(_) => Became::Done,
            Self::TooMany { .. } => Became::RateLimited,
            Self::Failed(Fault::TokenRefused) => Became::Refused,
            Self::Failed(Fault::Refused(refusal)) if refusal.status < 500 => Became::Refused,
            Self::Failed(_) => Became::Failed,
        }
    }
}

impl Rest {
    /// Discord at that base, by that token.
    ///
    /// # Errors
    /// When the token can be no token, or the system offers no way to make a client.
    pub(crate) fn new(base: Url, token: &SecretString) -> Result<Self, Fault> {
        let mut authorization = HeaderValue::from_str(&format!("Bot {}", token.expose_secret().trim()))
            .map_err(|_| Fault::Unreadable("the token holds characters that no token has".to_owned()))?;
        authorization.set_sensitive(true);
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .timeout(ATTEMPT)
            .connect_timeout(ATTEMPT)
            .user_agent(concat!("DiscordBot (scalebot, ", env!("CARGO_PKG_VERSION"), ")"))
            .build()
            .map_err(|error| Fault::Unreachable(reason(&error)))?;
        Ok(Self(Arc::new(Inner {
            client,
            base,
            authorization,
            limits: Mutex::default(),
            answered: Notify::new(),
            under_way: Semaphore::new(UNDER_WAY),
            urgent: Semaphore::new(URGENT),
            token_refused: AtomicBool::new(false),
            requests: Arc::default(),
            reachable: tokio::sync::watch::Sender::new(true),
            me: tokio::sync::OnceCell::new(),
        })))
    }

    /// What requests came to, each attempt by itself.
    pub(crate) fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.0.requests)
    }

    /// Whether the last request reached Discord, for whoever waits until it does.
    pub(crate) fn reachable(&self) -> tokio::sync::watch::Receiver<bool> {
        self.0.reachable.subscribe()
    }

    /// The bot itself, asked once.
    pub(crate) async fn my_id(&self) -> Result<UserId, Fault> {
        self.0.me.get_or_try_init(|| async { Ok(self.me().await?.id) }).await.copied()
    }

    /// The base's host.
    pub(crate) fn host(&self) -> &str {
        self.0.base.host_str().unwrap_or_default()
    }

    async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Fault> {
        let doing = call.doing.clone();
        let body = self.call(call).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let error = scalebot_commands::request::escaped(&error.to_string(), 200);
            Fault::Unreadable(format!("to the request to {doing}: {error}"))
        })
    }

    async fn call(&self, call: Call) -> Result<Vec<u8>, Fault> {
        let patience = call.patience;
        let answer = timeout(patience, self.until_answered(&call)).await.unwrap_or(Err(Fault::TimedOut(patience)));
        let reached = !matches!(answer, Err(Fault::Unreachable(_) | Fault::TimedOut(_) | Fault::Unreadable(_)))
            && !matches!(&answer, Err(Fault::Refused(refusal)) if refusal.status >= 500);
        self.0.reachable.send_if_modified(|before| std::mem::replace(before, reached) != reached);
        answer
    }

    async fn until_answered(&self, call: &Call) -> Result<Vec<u8>, Fault> {
        let given_up_at = Instant::now() + call.patience;
        let mut failed = 0;
        loop {
            let fault = match self.attempt(call, given_up_at).await? {
                Came::Done(body) => return Ok(body),
                // It was not looked at, so it may be sent again when the bucket is open; `attempt` waits for that.
                Came::TooMany { .. } => continue,
                Came::Failed(fault) => fault,
            };
            failed += 1;
            // What no connection came about for was never heard.
            let unheard = matches!(&fault, Fault::Unreachable(_));
            let again = fault.may_pass() && (call.repeatable || unheard) && failed < TRIES;
            let pause = PAUSE * 2_u32.pow(failed - 1) + Duration::from_millis(fastrand::u64(..250));
            if !again || Instant::now() + pause >= given_up_at {
                return Err(fault);
            }
            sleep(pause).await;
        }
    }

    /// Waits for a turn and sends it once.
    async fn attempt(&self, call: &Call, given_up_at: Instant) -> Result<Came, Fault> {
        let lane = if call.route.urgent { &self.0.urgent } else { &self.0.under_way };
        let turn = self.turn(call, given_up_at).await?;
        let _lane = lane.acquire().await.map_err(|_| Fault::Unreachable("the bot is ending".to_owned()))?;
        let sent = self.0.requests.sent();
        let came = self.send(call).await;
        let (came, told) = match came {
            Ok((came, told)) => (came, Some(told)),
            Err(fault) => (Came::Failed(fault), None),
        };
        let now = Instant::now();
        sent.came_to(came.became());
        if let Came::TooMany { wait, global } = &came {
            tracing::debug!(doing = call.doing, seconds = wait.as_secs_f64(), global, "Discord asks to wait");
            self.limits().refused(&call.route, *wait, *global, now);
        }
        turn.answered(told.as_ref());
        Ok(came)
    }

    async fn turn<'a>(&'a self, call: &'a Call, given_up_at: Instant) -> Result<InTurn<'a>, Fault> {
        loop {
            if call.as_bot && self.0.token_refused.load(Ordering::SeqCst) {
                return Err(Fault::TokenRefused);
            }
            // Registered before asking, so that an answer in between is not missed.
            let answered = self.0.answered.notified();
            let now = Instant::now();
            let turn = self.limits().ask(&call.route, now);
            match turn {
                Turn::Go(ticket) => return Ok(InTurn { rest: self, route: &call.route, ticket, told: None }),
                Turn::At(moment) if moment >= given_up_at => return Err(Fault::Busy(moment - now)),
                Turn::At(moment) => sleep_until(moment).await,
                Turn::AfterAnother => answered.await,
            }
        }
    }

    async fn send(&self, call: &Call) -> Result<(Came, Told), Fault> {
        let mut url = self.0.base.clone();
        // Pushed on as text: every part of a path was made here, of numbers and plain characters.
        let (path, query) = call.path.split_once('?').map_or((&*call.path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url.set_query(query);
        let mut request = self.0.client.request(call.method.clone(), url);
        if call.as_bot {
            request = request.header(AUTHORIZATION, self.0.authorization.clone());
        }
        request = match &call.body {
            Body::Nothing => request,
            Body::Json(json) => request.json(json),
            Body::Files(json, files) => request.multipart(form(json, files)?),
        };
        let response = request.send().await.map_err(|error| failed(&error))?;
        let (status, told, scope) = (response.status(), told(response.headers()), scope(response.headers()));
        let after = header(response.headers(), RETRY_AFTER.as_str());
        let body = read(response).await?;
        if status.is_success() {
            return Ok((Came::Done(body), told));
        }
        let now = Instant::now();
        if matches!(status.as_u16(), 401 | 403 | 429) && scope.as_deref() != Some("shared") {
            self.limits().count_refusal(now);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            let said: Option<TooMany> = serde_json::from_slice(&body).ok();
            // Where Discord itself does not answer but what stands before it, nothing but the header may be there, and
            // it is meant for the whole address.
            let seconds = said.as_ref().map(|said| said.retry_after).or(after).filter(|seconds| seconds.is_finite());
            let wait = Duration::try_from_secs_f64(seconds.unwrap_or(5.0).max(0.0)).unwrap_or(PATIENCE);
            let global = said.is_none_or(|said| said.global) || scope.as_deref() == Some("global");
            return Ok((Came::TooMany { wait, global }, told));
        }
        if status == StatusCode::UNAUTHORIZED && call.as_bot {
            self.0.token_refused.store(true, Ordering::SeqCst);
            self.0.answered.notify_waiters();
            return Ok((Came::Failed(Fault::TokenRefused), told));
        }
        let refusal = Refusal::read(status.as_u16(), &body, &call.doing, call.needs);
        Ok((Came::Failed(Fault::Refused(refusal)), told))
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.0.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said of a request that was refused so.
#[cfg(any(test, feature = "hostile"))]
pub(crate) fn refused_with(status: u16, body: &[u8]) -> String {
    let refusal = Refusal::read(status, body, "post in the ops channel", "Send Messages");
    scalebot_commands::ports::PortError::from(Fault::Refused(refusal)).to_string()
}

/// A request that has its turn. Dropped, it no longer counts as under way, whatever became of it.
struct InTurn<'a> {
    rest: &'a Rest,
    route: &'a Route,
    ticket: Ticket,
    told: Option<Told>,
}

impl InTurn<'_> {
    fn answered(mut self, told: Option<&Told>) {
        self.told = told.cloned();
    }
}

impl Drop for InTurn<'_> {
    fn drop(&mut self) {
        self.rest.limits().answered(self.route, &self.ticket, self.told.as_ref(), Instant::now());
        self.rest.0.answered.notify_waiters();
    }
}

fn form(json: &Value, files: &[CreateAttachment]) -> Result<Form, Fault> {
    let of_kind = |part: Part, kind: &str| {
        part.mime_str(kind).map_err(|_| Fault::Unreadable(format!("{kind} is no content type")))
    };
    let mut form = Form::new().part("payload_json", of_kind(Part::text(json.to_string()), "application/json")?);
    for (number, file) in files.iter().enumerate() {
        let kind = if file.data.starts_with(PNG) { "image/png" } else { "text/plain; charset=utf-8" };
        let part = Part::bytes(file.data.clone()).file_name(file.filename.clone());
        form = form.part(format!("files[{number}]"), of_kind(part, kind)?);
    }
    Ok(form)
}

async fn read(mut response: Response) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Fault::Unreadable(format!("more than {} MiB", MAX_BODY >> 20)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn told(headers: &HeaderMap) -> Told {
    let whole = |name: &str| header(headers, name).map(|number| number as u32);
    Told {
        bucket: headers.get("x-ratelimit-bucket").and_then(|value| value.to_str().ok()).map(ToOwned::to_owned),
        limit: whole("x-ratelimit-limit"),
        remaining: whole("x-ratelimit-remaining"),
        reset_after: header(headers, "x-ratelimit-reset-after").and_then(|s| Duration::try_from_secs_f64(s).ok()),
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<f64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn scope(headers: &HeaderMap) -> Option<String> {
    headers.get("x-ratelimit-scope")?.to_str().ok().map(ToOwned::to_owned)
}

fn failed(error: &reqwest::Error) -> Fault {
    match error.is_timeout() {
        true => Fault::TimedOut(ATTEMPT),
        // Heard, perhaps: an answer that broke off is no unreachable Discord.
        false if error.is_body() || error.is_decode() => Fault::Unreadable(reason(error)),
        false if error.is_connect() => Fault::Unreachable(reason(error)),
        false => Fault::Unreadable(reason(error)),
    }
}

/// The innermost cause in words; the outer ones repeat the URL, which may hold an interaction's token.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    // Where there is no inner cause, the error itself would name the URL.
    if cause.downcast_ref::<reqwest::Error>().is_some() { "no usable answer".to_owned() } else { cause.to_string() }
}
