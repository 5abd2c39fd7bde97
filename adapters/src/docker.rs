//! Docker: fleets of containers that an engine runs, by its API over its socket.
//!
//! `engine` is the way there, `container` says what a container is as an instance, `logs` what it wrote, `memory` how much
//! is left. `compose` is the fleet that Docker Compose keeps, `swarm` one that a swarm of engines keeps.
//!
//! Whoever may use the engine's socket is root on its machine: it can start a container with anything in it. So what is only
//! asked goes through a socket of its own, which a filter may narrow to reading (`deploy/docker`).

mod compose;
mod container;
mod declared;
mod engine;
mod logs;
mod memory;
mod swarm;

pub use self::compose::{Compose, ComposeSettings, NamedService, Reach};
pub use self::swarm::{Swarm, SwarmSettings};
