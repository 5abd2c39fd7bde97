//! The names in a rehearsal's state directory, in one place.

use std::path::{Path, PathBuf};

/// Held by the living world.
pub(crate) const WORLD_LOCK: &str = "world.lock";

/// Where the living world listens.
pub(crate) const WORLD_SOCKET: &str = "world.sock";

/// What the world wrote to its standard error.
pub(crate) const WORLD_LOG: &str = "world.log";

/// The directory of what each instance of the latest world wrote to its standard error.
pub(crate) const INSTANCES: &str = "instances";

/// The count that the next deployment would set.
pub(crate) const FLEET: &str = "fleet.toml";

/// The Compose project whose containers the instances are, and where orders to Compose are kept.
pub(crate) const COMPOSE: &str = "compose.yaml";
pub(crate) const ORDERS: &str = "orders";

/// Where a Prometheus finds the instances.
pub(crate) const TARGETS: &str = "targets.json";

/// The longest path of a socket, in bytes: `sun_path` holds 108, the last of them zero.
const SOCKET_PATH_LIMIT: usize = 107;

/// The socket's path.
///
/// # Errors
/// In words, when it is longer than Unix allows.
pub(crate) fn socket_in(state: &Path) -> Result<PathBuf, String> {
    let socket = state.join(WORLD_SOCKET);
    let length = socket.as_os_str().len();
    if length > SOCKET_PATH_LIMIT {
        return Err(format!(
            "The path of the world's socket has {length} bytes, and the system allows {SOCKET_PATH_LIMIT}: {}. \
             Choose a shorter --state directory.",
            socket.display()
        ));
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_that_the_system_would_refuse_is_refused_in_words() {
        let fits = PathBuf::from(format!("/{}", "d".repeat(SOCKET_PATH_LIMIT - 2 - WORLD_SOCKET.len())));
        let longer = PathBuf::from(format!("/{}", "d".repeat(SOCKET_PATH_LIMIT - 1 - WORLD_SOCKET.len())));
        assert_eq!(socket_in(&fits).unwrap().as_os_str().len(), SOCKET_PATH_LIMIT);
        let said = socket_in(&longer).unwrap_err();
        assert!(
            said.starts_with("The path of the world's socket has 108 bytes, and the system allows 107: /ddd"),
            "{said}"
        );
        assert!(said.ends_with("Choose a shorter --state directory."), "{said}");
    }

    #[test]
    fn the_limit_is_the_systems_own() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().as_os_str().len();
        let state = directory.path().join("d".repeat(SOCKET_PATH_LIMIT - base - 2 - WORLD_SOCKET.len()));
        std::fs::create_dir(&state).unwrap();
        let socket = socket_in(&state).unwrap();
        assert_eq!(socket.as_os_str().len(), SOCKET_PATH_LIMIT);
        std::os::unix::net::UnixListener::bind(&socket).unwrap();
    }
}
