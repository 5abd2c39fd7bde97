//! Whether people are reached now, and whether everything that they did was handed in.

use tokio::sync::watch;

use super::rest::Rest;
use super::settings::WhileAway;

/// How people are reached.
pub(crate) struct Reach {
    /// Whether the connection to the gateway stands.
    pub(crate) connected: watch::Sender<bool>,
    /// How often marks were to be read by now, because some may have been made or taken away unseen.
    pub(crate) to_read: watch::Sender<u64>,
    /// Up to which of these they are read.
    pub(crate) read: watch::Sender<u64>,
    /// Whether the last request reached Discord.
    reachable: watch::Receiver<bool>,
    while_away: WhileAway,
}

impl Reach {
    pub(crate) fn new(rest: &Rest, while_away: WhileAway) -> Self {
        let (connected, to_read, read) = (watch::Sender::new(false), watch::Sender::new(0), watch::Sender::new(0));
        Self { connected, to_read, read, reachable: rest.reachable(), while_away }
    }

    /// Whether people are reached now.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) fn is_reached(&self) -> Result<(), String> {
        if !*self.connected.borrow() {
            return Err("The connection over which Discord tells what people do does not stand.".to_owned());
        }
        if !*self.reachable.borrow() {
            return Err("Discord did not answer the last request.".to_owned());
        }
        Ok(())
    }

    /// Whether every mark that people made or took away until now was handed in.
    pub(crate) fn hears(&self) -> bool {
        *self.connected.borrow() && *self.read.borrow() == *self.to_read.borrow()
    }

    /// Why operations are to wait before they change anything further: the configuration wants it, and people are not
    /// reached.
    pub(crate) fn holds_back(&self) -> Option<String> {
        (self.while_away == WhileAway::Pause).then(|| self.is_reached().err()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discord::testing::Fake;

    #[tokio::test]
    async fn operations_wait_while_nobody_is_reached_only_where_configuration_says_so() {
        let fake = Fake::start().await;
        let away = |while_away| Reach::new(&fake.rest(), while_away);
        assert_eq!(away(WhileAway::GoOn).holds_back(), None);
        let reach = away(WhileAway::Pause);
        assert!(reach.holds_back().is_some());
        reach.connected.send_replace(true);
        assert_eq!(reach.holds_back(), None);
    }

    #[tokio::test]
    async fn nobody_is_heard_while_marks_are_to_be_read_or_nothing_is_connected() {
        let fake = Fake::start().await;
        let reach = Reach::new(&fake.rest(), WhileAway::GoOn);
        assert!(!reach.hears());
        reach.connected.send_replace(true);
        assert!(reach.hears());
        reach.to_read.send_replace(1);
        assert!(!reach.hears());
        reach.read.send_replace(1);
        assert!(reach.hears());
    }
}
