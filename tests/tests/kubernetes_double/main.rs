//! The double of a Kubernetes cluster itself: what it answers, what it refuses, and what its controllers do.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod api;
mod asking;
mod faithful;
mod kubectl;
mod real;
mod refusals;
mod scaling;
mod steering;
mod watching;
