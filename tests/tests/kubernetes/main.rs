//! The whole runbook in a cluster, through the real program and by the shipped rights alone: what a scaling does there,
//! what stops it before and in the middle, and what becomes of it when somebody or something goes away.
//!
//! In a cluster the watch after a scaling lasts 15 min. Here an operator ends it once it has begun, which leaves the fleet
//! as it is; `SCALEBOT_TEST_WHOLE_WATCH=1` has one scaling watched to its end.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

mod away;
mod colleague;
mod doctor;
mod down;
mod killed;
mod refused;
mod taken_back;
mod up;
