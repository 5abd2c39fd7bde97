//! Being asked to stop, by a person at the terminal or by whoever runs this process.
//!
//! Signals are listened to once, from the beginning on. One that comes while nobody waits for it is kept: a process that
//! has listened once is not ended by a signal any more, and would otherwise go on as if nobody had asked.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A person at the terminal.
    Interrupt,
    /// Whoever runs this process.
    Terminate,
}

/// Whether this process was asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<Option<Asked>>);

impl Stop {
    /// Signals ask this process to stop from now on. Where they cannot be listened to, nobody ever asks.
    pub(crate) fn listen() -> Self {
        let (sender, asked) = watch::channel(None);
        if let (Ok(interrupt), Ok(terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
            tokio::spawn(async move {
                let asked = first(interrupt, terminate).await;
                // Who waits for it may be gone.
                sender.send_replace(Some(asked));
            });
        } else {
            tracing::warn!("signals cannot be listened to");
        }
        Self(asked)
    }

    /// Ends once this process was asked to stop, which may have been before.
    pub(crate) async fn requested(&self) -> Asked {
        let mut asked = self.0.clone();
        match asked.wait_for(Option::is_some).await.map(|asked| *asked) {
            Ok(Some(asked)) => asked,
            _ => std::future::pending().await,
        }
    }
}

async fn first(mut interrupt: Signal, mut terminate: Signal) -> Asked {
    tokio::select! {
        _ = interrupt.recv() => Asked::Interrupt,
        _ = terminate.recv() => Asked::Terminate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_came_while_nobody_waited_is_kept_for_everybody_who_waits_later() {
        let (sender, asked) = watch::channel(None);
        let (stop, other) = (Stop(asked.clone()), Stop(asked));
        assert!(futures::FutureExt::now_or_never(stop.requested()).is_none());
        sender.send_replace(Some(Asked::Terminate));
        drop(sender);
        for _ in 0..2 {
            assert_eq!(stop.requested().await, Asked::Terminate);
        }
        assert_eq!(other.requested().await, Asked::Terminate);
    }
}
