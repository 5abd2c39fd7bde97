//! The one connection that writes. After a failure whose end cannot be seen it is thrown away and made anew: a
//! connection that still believes to be in a transaction would refuse every later one.

use std::sync::Arc;

use futures::future::BoxFuture;

#[cfg(feature = "failpoints")]
use super::failpoint;
use super::fault::Fault;
use super::way::{Statements as _, Way};

/// How often a transaction is begun that others' writing or a lost connection keeps from its end.
const ATTEMPTS: u32 = 5;

/// The writing connection.
pub(super) struct Writer<W: Way> {
    /// `None` before the first write, after a failure until the next one, and once closed.
    conn: Option<W::Connection>,
    way: Arc<W>,
}

/// Why a transaction did not come to its end.
enum Broken {
    /// Nothing of it is left.
    Undone(Fault),
    /// It may have been carried out.
    Unknown(Fault),
}

impl<W: Way> Writer<W> {
    pub(super) fn new(way: Arc<W>, conn: Option<W::Connection>) -> Self {
        Self { conn, way }
    }

    /// Runs `work` in one transaction: all of it, or nothing. It is run again where others' writing undid it.
    pub(super) async fn transact<T>(
        &mut self,
        work: impl for<'c> Fn(&'c mut W::Connection) -> BoxFuture<'c, Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let mut attempt = 1;
        loop {
            self.way.is_there()?;
            match self.attempt(&work).await {
                Ok(done) => return Ok(done),
                Err(Broken::Undone(Fault::Storage(error)))
                    if attempt < ATTEMPTS && self.way.may_be_repeated(&error) =>
                {
                    attempt += 1;
                }
                Err(Broken::Undone(fault) | Broken::Unknown(fault)) => return Err(fault),
            }
        }
    }

    async fn attempt<T>(
        &mut self,
        work: &impl for<'c> Fn(&'c mut W::Connection) -> BoxFuture<'c, Result<T, Fault>>,
    ) -> Result<T, Broken> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.way.connect().await.map_err(Broken::Undone)?,
        };
        conn.control(W::BEGIN).await.map_err(|error| Broken::Undone(error.into()))?;
        let worked = async {
            #[cfg(feature = "failpoints")]
            failpoint::reached(failpoint::Moment::Begun).await?;
            let done = work(&mut conn).await?;
            #[cfg(feature = "failpoints")]
            failpoint::reached(failpoint::Moment::Written).await?;
            Ok(done)
        };
        match worked.await {
            Ok(done) => match conn.control("COMMIT").await {
                Ok(()) => {
                    #[cfg(feature = "failpoints")]
                    failpoint::reached(failpoint::Moment::Committed).await.map_err(Broken::Unknown)?;
                    self.conn = Some(conn);
                    Ok(done)
                }
                Err(error) => {
                    conn.shut().await;
                    Err(Broken::Unknown(error.into()))
                }
            },
            Err(fault) => {
                match conn.control("ROLLBACK").await {
                    Ok(()) => self.conn = Some(conn),
                    Err(_) => conn.shut().await,
                }
                Err(Broken::Undone(fault))
            }
        }
    }

    pub(super) async fn close(&mut self) {
        if let Some(conn) = self.conn.take() {
            conn.shut().await;
        }
    }

    /// The connection itself, to break it.
    #[cfg(test)]
    pub(super) fn connection(&mut self) -> Option<&mut W::Connection> {
        self.conn.as_mut()
    }
}
