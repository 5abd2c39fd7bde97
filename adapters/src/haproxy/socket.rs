//! The runtime API: one connection for a line of commands, answered and closed by HAProxy.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use scalebot_commands::ports::PortError;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::lost;
use crate::settings::Unusable;

/// The largest answer that is read, in bytes: some ten thousand servers.
const MAX_ANSWER: u64 = 8 << 20;

/// Where the runtime API is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Unix(PathBuf),
    Tcp(String),
}

/// A runtime API.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    place: Place,
    limit: Duration,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Each command's with an empty line.
    EmptyLine,
    /// With its only line, as that to `del server` does.
    Line,
}

impl Socket {
    pub(super) fn new(place: &str, limit: Duration) -> Result<Self, Unusable> {
        let place = match place.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => Place::Unix(path.into()),
            Some(("tcp", address)) if is_host_and_port(address) => Place::Tcp(address.to_owned()),
            _ => {
                let why = "write it as unix:/run/haproxy/admin.sock or tcp:127.0.0.1:9999";
                return Err(Unusable::new("socket", why));
            }
        };
        Ok(Self { place, limit })
    }

    /// Whether whoever is on the network may reach it, which asks nobody who they are.
    pub(super) fn is_open(&self) -> bool {
        match &self.place {
            Place::Unix(_) => false,
            Place::Tcp(address) => {
                let host = address.rsplit_once(':').map_or("", |(host, _)| host).trim_matches(['[', ']']);
                host != "localhost" && !host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// Sends a line of commands and reads the answer to its end, within the time-out.
    ///
    /// # Errors
    /// Also for an answer that ends in the middle: it says nothing about what was done.
    pub(super) async fn ask(&self, commands: &str, ending: Ending) -> Result<String, PortError> {
        let what = self.to_string();
        let answer = match timeout(self.limit, self.attempt(commands)).await {
            Ok(answer) => answer.map_err(|error| self.lost(&error))?,
            Err(_) => return Err(PortError::TimedOut { what, limit: self.limit }),
        };
        if answer.len() as u64 > MAX_ANSWER {
            let detail = format!("more than {} MiB", MAX_ANSWER >> 20);
            return Err(PortError::Unreadable { what, detail });
        }
        let Ok(answer) = String::from_utf8(answer) else {
            return Err(PortError::Unreadable { what, detail: "no text".to_owned() });
        };
        let is_whole = match ending {
            Ending::EmptyLine => answer == "\n" || answer.ends_with("\n\n"),
            Ending::Line => answer.ends_with('\n'),
        };
        if is_whole {
            return Ok(answer);
        }
        if answer.is_empty() {
            let detail = "the connection was closed before the answer was complete".to_owned();
            return Err(PortError::Unreachable { what, detail });
        }
        let detail = format!("the answer ends in the middle, or is none of HAProxy's: {}", super::quote(&answer));
        Err(PortError::Unreadable { what, detail })
    }

    async fn attempt(&self, commands: &str) -> std::io::Result<Vec<u8>> {
        match &self.place {
            Place::Unix(path) => exchange(UnixStream::connect(path).await?, commands).await,
            Place::Tcp(address) => exchange(TcpStream::connect(address).await?, commands).await,
        }
    }

    fn lost(&self, error: &std::io::Error) -> PortError {
        let what = self.to_string();
        match (error.kind(), &self.place) {
            (std::io::ErrorKind::PermissionDenied, Place::Unix(_)) => {
                let detail = "the bot's user may not open the socket; add it to the socket's group".to_owned();
                PortError::Refused { what, detail }
            }
            (std::io::ErrorKind::NotFound, Place::Unix(_)) => {
                PortError::Unreachable { what, detail: "there is no such socket".to_owned() }
            }
            _ => PortError::Unreachable { what, detail: lost::words(error) },
        }
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, commands: &str) -> std::io::Result<Vec<u8>> {
    stream.write_all(format!("{commands}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER + 1).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn is_host_and_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(f, "HAProxy at {}", path.display()),
            Place::Tcp(address) => write!(f, "HAProxy at {address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_a_path_or_a_host_with_a_port() {
        let at = |place: &str| Socket::new(place, Duration::from_secs(1));
        assert_eq!(at("unix:/run/haproxy/admin.sock").unwrap().to_string(), "HAProxy at /run/haproxy/admin.sock");
        assert_eq!(at("tcp:[::1]:9999").unwrap().to_string(), "HAProxy at [::1]:9999");
        for place in ["", "/run/haproxy/admin.sock", "unix:admin.sock", "tcp:9999", "tcp:lb.example", "http://x:1"] {
            assert_eq!(at(place).unwrap_err().key, "socket", "{place}");
        }
    }

    #[test]
    fn what_the_network_reaches_is_known_as_such() {
        let open = |place: &str| Socket::new(place, Duration::from_secs(1)).unwrap().is_open();
        assert!(open("tcp:10.0.0.5:9999") && open("tcp:lb.example:9999"));
        assert!(!open("tcp:127.0.0.1:9999") && !open("tcp:[::1]:9999") && !open("unix:/run/haproxy/admin.sock"));
    }
}
