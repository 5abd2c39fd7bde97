//! The double of a Kubernetes cluster itself: what it answers, what it refuses, and what its controllers do.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

mod adapter;
mod api;
mod asking;
mod faithful;
mod kubectl;
mod real;
mod refusals;
mod scaling;
mod shipped;
mod steering;
mod watching;
