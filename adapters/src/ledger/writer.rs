//! The one connection that writes. After a failure whose end cannot be seen it is thrown away and made anew: a
//! connection that still believes to be in a transaction would refuse every later one.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::fault::{Fault, StorageError};

/// The writing connection.
pub(super) struct Writer {
    /// `None` after a failure, until the next write, and once closed.
    conn: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    file: PathBuf,
    identity: Identity,
}

/// Device and number of a file: another file under the same name has others.
type Identity = (u64, u64);

impl Writer {
    pub(super) fn new(
        conn: SqliteConnection,
        options: SqliteConnectOptions,
        file: PathBuf,
    ) -> Result<Self, StorageError> {
        let identity = identity(&file).map_err(|error| {
            StorageError::Unusable(format!("{} vanished as soon as it was made ({error})", file.display()))
        })?;
        Ok(Self { conn: Some(conn), options, file, identity })
    }

    /// Runs `work` in one transaction: all of it, or nothing.
    pub(super) async fn transact<T>(
        &mut self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Fault>>,
    ) -> Result<T, Fault> {
        // SQLite would go on writing into a file that was deleted, and every event would be lost at the end.
        if identity(&self.file).ok() != Some(self.identity) {
            return Err(Fault::Unfit(
                "it was moved, deleted or replaced while in use; put it back and start again".into(),
            ));
        }
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.options.connect().await?,
        };
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
        let done = work(&mut transaction).await;
        let ended = match &done {
            Ok(_) => transaction.commit().await,
            Err(_) => transaction.rollback().await,
        };
        if ended.is_ok() {
            self.conn = Some(conn);
        } else {
            conn.close().await.ok();
        }
        let done = done?;
        ended?;
        Ok(done)
    }

    pub(super) async fn close(&mut self) {
        if let Some(conn) = self.conn.take() {
            conn.close().await.ok();
        }
    }

    /// The connection itself, to break it.
    #[cfg(test)]
    pub(super) fn connection(&mut self) -> Option<&mut SqliteConnection> {
        self.conn.as_mut()
    }
}

fn identity(file: &Path) -> std::io::Result<Identity> {
    let found = std::fs::metadata(file)?;
    Ok((found.dev(), found.ino()))
}
