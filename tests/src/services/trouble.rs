//! Servers that behave badly, and a way to a good one that can be cut in the middle of an answer.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server that behaves badly; it ends with this value.
#[derive(Debug)]
pub struct Trouble {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Trouble {
    /// Takes connections and never says a word.
    pub async fn hangs() -> Self {
        let (listener, address) = bound().await;
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Self { address, task }
    }

    /// Answers whatever it is asked with these bytes, and closes the connection.
    pub async fn says(answer: &'static [u8]) -> Self {
        let (listener, address) = bound().await;
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut asked = [0; 4096];
                    let _ = stream.read(&mut asked).await;
                    let _ = stream.write_all(answer).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Trouble {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address at which nobody listens.
pub async fn nobody() -> SocketAddr {
    bound().await.1
}

/// What happens to a server's answers on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Passes,
    Holds,
    Cuts { after: usize },
}

/// A way to a server.
#[derive(Debug)]
pub struct Way {
    address: SocketAddr,
    flow: watch::Sender<Flow>,
    task: JoinHandle<()>,
}

impl Way {
    /// To the server there; everything passes.
    pub async fn to(server: SocketAddr) -> Self {
        let (listener, address) = bound().await;
        let flow = watch::Sender::new(Flow::Passes);
        let flows = flow.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, flows.subscribe()));
            }
        });
        Self { address, flow, task }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets answers pass again, on connections that are not cut.
    pub fn passes(&self) {
        self.flow.send_replace(Flow::Passes);
    }

    /// Holds every answer back from now on.
    pub fn holds(&self) {
        self.flow.send_replace(Flow::Holds);
    }

    /// Lets so many bytes of each answer pass from now on, then closes the connection.
    pub fn cuts(&self, after: usize) {
        self.flow.send_replace(Flow::Cuts { after });
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, server: SocketAddr, mut flow: watch::Receiver<Flow>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asked = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let mut answer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from_server.read(&mut answer).await {
        let Ok(now) = flow.wait_for(|flow| *flow != Flow::Holds).await.map(|flow| *flow) else { break };
        match now {
            Flow::Cuts { after } => {
                let _ = to_client.write_all(&answer[..length.min(after)]).await;
                break;
            }
            Flow::Passes | Flow::Holds => {
                if to_client.write_all(&answer[..length]).await.is_err() {
                    break;
                }
            }
        }
    }
    asked.abort();
}

async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
