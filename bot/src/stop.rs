//! Being asked to stop, by a person at the terminal or by whoever runs this process.

use tokio::signal::unix::{SignalKind, signal};

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A person at the terminal.
    Interrupt,
    /// Whoever runs this process.
    Terminate,
}

/// Waits until this process is asked to stop. Where signals cannot be listened to, that is never.
pub(crate) async fn requested() -> Asked {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be listened to");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => Asked::Interrupt,
        _ = terminate.recv() => Asked::Terminate,
    }
}
