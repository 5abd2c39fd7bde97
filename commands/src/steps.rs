//! The steps of the runbook, one file each. A step talks to ports only, and ends in an outcome that is recorded: every
//! failure in the outside world is an outcome too.

pub mod ask;
pub mod assess;
pub mod back;
pub mod document;
pub mod drain;
pub mod escalate;
pub mod finish;
pub mod guard;
pub mod halt_offer;
pub mod hold;
pub mod interference;
pub mod monitor;
pub mod permit;
pub mod precheck;
pub mod quiet;
pub mod reassess;
pub mod removal;
pub mod remove;
pub mod scale;
pub mod verify;
pub mod wait;

pub use self::finish::{Ending, Finished, Outcome};

/// Declares that a type is the body of one kind of event, and the version of its shape.
macro_rules! body {
    ($type:ty, $kind:ident, $version:literal) => {
        impl crate::journal::Body for $type {
            const VERSION: u32 = $version;
            fn kind(&self) -> crate::event::Kind {
                crate::event::Kind::$kind
            }
        }
    };
}
pub(crate) use body;
