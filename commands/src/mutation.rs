//! Deliberate mistakes, so that it can be tested that the tests would notice them. Only the tests crate asks for the
//! feature `mutation`; in any other build each `mutated!(…)` is the literal `false`.
//!
//! To add one: its line below, and `mutated!(Name)` where the mistake is made.

/// Declares the mistakes once.
#[cfg(feature = "mutation")]
macro_rules! mutations {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        /// A mistake that the code can be made to make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutation {
            $($(#[$doc])* $name,)+
        }

        impl Mutation {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

#[cfg(feature = "mutation")]
mutations! {
    /// After a crash, an intent without an answer counts as "not done, go again", and nobody looks.
    GoAgainUnseen;
    /// An intent of another process is looked into while that may still act on it.
    LooksAtOnce;
    /// The act follows the guard's reading however old that is.
    StaleGuard;
    /// An operation ends without a last look for a request whose answer was lost.
    NoLastLook;
    /// A signal is taken out of the inbox before it is known to be in the log.
    SwallowSignal;
    /// An instance is ended whatever it still works on.
    EndBusy;
    /// The way back ends whoever comes first, old ones too.
    EndOld;
    /// An instance that is kept is not sent requests again.
    LeaveDrained;
    /// Whoever was held still is not put back.
    LeaveHeld;
    /// The guard lets pass whatever the halt sources say.
    HaltUnread;
    /// A source that cannot be read counts as "not halted".
    UnknownIsClear;
    /// An approval is used for another halt than the one that was approved.
    AnotherHalt;
    /// A mark counts whichever request it is on.
    AnyRequest;
    /// An approval is used however long ago it was given.
    LateApproval;
    /// A mark counts that came when the time to decide was over.
    LateMark;
    /// Whoever asks may approve it.
    OwnApproval;
    /// A mark that was taken back still counts.
    WithdrawnMark;
    /// Anybody's mark counts.
    AnybodysMark;
    /// A mark against it counts for nothing.
    RejectionUnheard;
    /// Whoever cancels is not heard by the guard.
    CancelUnheard;
    /// The act comes before its intent is in the log.
    ActFirst;
    /// What became of an act is not written down.
    AnswerUnwritten;
    /// A process from which another has taken over goes on.
    FencingIgnored;
    /// An operation is opened without its target's claim.
    ClaimNotTaken;
    /// What a post holds is not kept before it is sent.
    PostUnplanned;
    /// The way back leads to one more than before.
    WrongWayBack;
    /// A wall clock that went back is not written down.
    JumpUnsaid;
    /// A wall clock that went back voids nothing.
    JumpVoidsNothing;
    /// While a process lives it goes by the wall clock, wherever that jumps.
    WallClock;
    /// An escalation is said again at each look.
    SaidAgainAtOnce;
}

#[cfg(feature = "mutation")]
mod active {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        // Of one thread, so that tests beside it are not touched.
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Makes that mistake on this thread from now on; none for `None`.
    pub fn set(mutation: Option<Mutation>) {
        ACTIVE.set(mutation);
    }

    pub(crate) fn is(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation)
    }
}

#[cfg(feature = "mutation")]
pub(crate) use self::active::is;
#[cfg(feature = "mutation")]
pub use self::active::set;

/// Whether that mistake is to be made here.
#[cfg(feature = "mutation")]
macro_rules! mutated {
    ($name:ident) => {
        $crate::mutation::is($crate::mutation::Mutation::$name)
    };
}
#[cfg(not(feature = "mutation"))]
macro_rules! mutated {
    ($name:ident) => {
        false
    };
}
pub(crate) use mutated;
