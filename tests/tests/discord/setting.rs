//! What the scenarios share: a server, a fleet in some state, the program serving both, and what is looked at in them.

use scalebot_tests::binary::kill;
use scalebot_tests::discord::{Asked, Discord, Seen};
use scalebot_tests::run::{Service, Serving};
use serde_json::{Value, json};

/// The program in Discord's double. What stands first is ended first.
pub(crate) struct Stage {
    pub(crate) serving: Option<Serving>,
    pub(crate) service: Service,
    pub(crate) discord: Discord,
}

/// Nothing is proposed while a scenario runs.
pub(crate) const NO_PROPOSALS: &str = "[policy.triggers]\nevery = \"1h\"\n";

impl Stage {
    /// Serves the fleet `api`, with these lines for it, and with `more` at the end of the configuration; ready for
    /// commands.
    pub(crate) async fn of(fleet: &str, more: &str) -> Self {
        Self::with(&[("kind = \"process\"\n", &format!("kind = \"process\"\n{fleet}"))], more).await
    }

    /// The same, with some of the configuration's lines replaced.
    pub(crate) async fn with(replaced: &[(&str, &str)], more: &str) -> Self {
        let discord = Discord::ready_made();
        let service = Service::in_discord(&discord, "", more);
        let mut text = std::fs::read_to_string(service.config()).unwrap();
        for (lines, others) in replaced {
            assert_eq!(text.matches(lines).count(), 1, "{lines} in {text}");
            text = text.replace(lines, others);
        }
        std::fs::write(service.config(), text).unwrap();
        let mut stage = Self { serving: None, service, discord };
        stage.starts();
        stage.discord.until_registered("scale").await;
        stage
    }

    /// Starts the program, and waits until it can be asked for something.
    pub(crate) fn starts(&mut self) {
        self.serving = Some(self.service.start_ready());
    }

    /// Kills the program as a power failure would, and waits until Discord has noticed.
    pub(crate) async fn is_killed(&mut self) {
        self.serving.take().unwrap().kill();
        self.discord.until_the_bot_is_gone().await;
    }

    /// Somebody asks for that many, with a reason.
    pub(crate) fn up(&self, by: &str, count: u32) -> Asked {
        self.discord.person(by).command("up", &[("count", json!(count)), ("reason", json!("campaign"))])
    }

    /// The newest request that governance has to decide on and has not yet.
    pub(crate) async fn request(&self) -> Seen {
        let governance = self.discord.channel("governance");
        // The marks come a moment after the message.
        let asks = |seen: &Seen| seen.text.contains("has to decide") && seen.reactions.len() == 2;
        governance.message_where(asks).await
    }

    /// One instance answers nothing until what is returned is dropped, so that what asks every instance takes a while.
    pub(crate) fn an_instance_hangs(&self) -> Hangs {
        let pid = self.service.processes("drill-instance")[0];
        kill(pid, "STOP");
        Hangs(pid)
    }

    /// Stops the program; every event is as it should be, and told exactly once in the log channel.
    pub(crate) async fn ends(mut self) -> Vec<Value> {
        until_told(&self.discord, self.service.events().len()).await;
        assert_eq!(self.serving.take().unwrap().stop(), Some(0));
        let events = self.service.proved();
        told_once_and_in_order(&self.discord, &events);
        events
    }
}

/// An instance that hangs.
pub(crate) struct Hangs(u32);

impl Drop for Hangs {
    fn drop(&mut self) {
        kill(self.0, "CONT");
    }
}

/// The title of the message's card.
pub(crate) fn title(seen: &Seen) -> &str {
    seen.embeds.first().and_then(|embed| embed["title"].as_str()).unwrap_or_default()
}

/// What somebody was answered, which nobody else sees.
pub(crate) async fn privately(asked: &Asked) -> Seen {
    let seen = asked.message().await;
    assert!(seen.ephemeral, "everybody sees {seen:?}");
    seen
}

/// Waits until the log channel was told of everything up to that event. Discord takes only so many posts at a time; what a
/// bot that ends had no time to tell, the next one would.
pub(crate) async fn until_told(discord: &Discord, events: usize) {
    discord.channel("scaling-log").message_with(&format!(" to {events}, hash ")).await;
}

/// Every event is in exactly one post of the log channel, and the posts are in order.
pub(crate) fn told_once_and_in_order(discord: &Discord, events: &[Value]) {
    let mut next = 1;
    for post in discord.channel("scaling-log").messages() {
        let seal = post.content.lines().last().unwrap_or_default();
        let numbers = seal.strip_prefix("-# sealed: events ").and_then(|rest| rest.split_once(", hash "));
        let Some((numbers, hash)) = numbers else { panic!("no seal: {post:?}") };
        let (first, last) = numbers.split_once(" to ").unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        assert_eq!(first, next, "{post:?}");
        assert_eq!(hash, events[last - 1]["hash"], "{post:?}");
        assert!(post.edits == 0 && post.pinged.is_empty(), "{post:?}");
        next = last + 1;
    }
    assert_eq!(next, events.len() + 1, "not every event was told");
}

/// What the events of that kind say there, in order.
pub(crate) fn said(events: &[Value], kind: &str, field: &str) -> Vec<String> {
    let of_kind = events.iter().filter(|event| event["kind"] == kind);
    of_kind
        .map(|event| event["body"][field].as_str().map_or_else(|| event["body"][field].to_string(), str::to_owned))
        .collect()
}
