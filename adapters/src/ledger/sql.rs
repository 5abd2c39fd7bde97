//! The SQL text, in one place. Columns are TEXT, BIGINT and DOUBLE PRECISION only and parameters are `$1`, so that
//! the same text serves SQLite and PostgreSQL; what only one of them understands stands beside its own code.

/// What version 1 consists of. A released version's statements are never edited: a change is a further version.
pub(super) const VERSION_1: &[&str] = &[
    // Hashes are kept as 64 hexadecimal digits: whoever reads the file by hand compares them with what was posted.
    "CREATE TABLE event (
        seq BIGINT PRIMARY KEY,
        at TEXT NOT NULL,
        operation TEXT,
        op_seq BIGINT NOT NULL,
        epoch BIGINT NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        prev TEXT NOT NULL,
        hash TEXT NOT NULL
    )",
    "CREATE UNIQUE INDEX event_by_operation ON event (operation, op_seq) WHERE operation IS NOT NULL",
    "CREATE INDEX event_by_kind ON event (kind, seq)",
    "CREATE TABLE claim (target TEXT PRIMARY KEY, operation TEXT NOT NULL, since TEXT NOT NULL)",
    "CREATE TABLE epoch (one BIGINT PRIMARY KEY CHECK (one = 1), epoch BIGINT NOT NULL)",
    "INSERT INTO epoch (one, epoch) VALUES (1, 0)",
    "CREATE TABLE post (
        last BIGINT PRIMARY KEY,
        first BIGINT NOT NULL,
        hash TEXT NOT NULL,
        text TEXT NOT NULL,
        message TEXT
    )",
    "CREATE TABLE sample (
        operation TEXT NOT NULL,
        number BIGINT NOT NULL,
        load TEXT NOT NULL,
        PRIMARY KEY (operation, number)
    )",
];

/// What version 2 adds: that the log was moved elsewhere.
pub(super) const VERSION_2: &[&str] = &["CREATE TABLE moved (
        one BIGINT PRIMARY KEY CHECK (one = 1),
        at TEXT NOT NULL,
        destination TEXT NOT NULL
    )"];

/// The epoch in force.
pub(super) const EPOCH: &str = "SELECT epoch FROM epoch WHERE one = 1";
/// Raises the epoch and returns the new one.
pub(super) const RAISE_EPOCH: &str = "UPDATE epoch SET epoch = epoch + 1 WHERE one = 1 RETURNING epoch";

/// The last event's place and hash.
pub(super) const HEAD: &str = "SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1";
/// The hash of one event.
pub(super) const HASH_OF: &str = "SELECT hash FROM event WHERE seq = $1";
/// Everything that an appended event has to fit, in one question: the epoch in force, the hash of the event that this process
/// knows to be the last, the last place of an operation (NULL for a new one), and the log's last event.
pub(super) const STANDING: &str = "SELECT epoch.epoch, head.seq, head.hash,
        (SELECT hash FROM event WHERE seq = $1) AS known,
        (SELECT MAX(op_seq) FROM event WHERE operation = $2) AS last
    FROM epoch LEFT JOIN (SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1) AS head ON 1 = 1
    WHERE epoch.one = 1";
/// A new event, its columns in the order of the table.
pub(super) const INSERT_EVENT: &str = "INSERT INTO event (seq, at, operation, op_seq, epoch, kind, body, prev, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// Every event of an operation.
pub(super) const EVENTS_OF: &str =
    "SELECT seq, at, operation, op_seq, epoch, kind, body, prev, hash FROM event WHERE operation = $1 ORDER BY op_seq";
/// A page of events.
pub(super) const EVENTS_AFTER: &str =
    "SELECT seq, at, operation, op_seq, epoch, kind, body, prev, hash FROM event WHERE seq > $1 ORDER BY seq LIMIT $2";
/// Every row there is, whatever it says its place is.
pub(super) const EVERY_EVENT: &str =
    "SELECT seq, at, operation, op_seq, epoch, kind, body, prev, hash FROM event ORDER BY seq";
/// The last events of a kind.
pub(super) const LATEST: &str = "SELECT seq, at, operation, op_seq, epoch, kind, body, prev, hash FROM event WHERE kind = $1 ORDER BY seq DESC LIMIT $2";

/// Who holds a target.
pub(super) const CLAIM_OF: &str = "SELECT target, operation, since FROM claim WHERE target = $1";
/// Who holds which target.
pub(super) const CLAIMS: &str = "SELECT target, operation, since FROM claim ORDER BY target";
/// Takes a target.
pub(super) const TAKE_CLAIM: &str = "INSERT INTO claim (target, operation, since) VALUES ($1, $2, $3)";
/// Gives back what an operation holds.
pub(super) const RELEASE_CLAIM: &str = "DELETE FROM claim WHERE operation = $1";

/// The last event that a confirmed post covers, NULL for none; and the post that is planned and not confirmed.
pub(super) const POSITION: &str = "SELECT confirmed.last AS confirmed, planned.first, planned.last, planned.hash, planned.text
    FROM (SELECT MAX(last) AS last FROM post WHERE message IS NOT NULL) AS confirmed
    LEFT JOIN (SELECT first, last, hash, text FROM post WHERE message IS NULL ORDER BY last LIMIT 1) AS planned ON 1 = 1";
/// Plans a post.
pub(super) const PLAN_POST: &str = "INSERT INTO post (first, last, hash, text) VALUES ($1, $2, $3, $4)";
/// Confirms the planned post.
pub(super) const CONFIRM_POST: &str =
    "UPDATE post SET message = $4 WHERE first = $1 AND last = $2 AND hash = $3 AND message IS NULL";
/// Under which identifier a post was confirmed.
pub(super) const MESSAGE_OF: &str = "SELECT message FROM post WHERE first = $1 AND last = $2 AND hash = $3";

/// Keeps a sample, replacing the one of that number.
pub(super) const KEEP_SAMPLE: &str = "INSERT INTO sample (operation, number, load) VALUES ($1, $2, $3)
    ON CONFLICT (operation, number) DO UPDATE SET load = excluded.load";
/// Every sample of an operation.
pub(super) const SAMPLES: &str = "SELECT load FROM sample WHERE operation = $1 ORDER BY number";

/// Where the log was moved to, if it was.
pub(super) const MOVED: &str = "SELECT at, destination FROM moved WHERE one = 1";
/// Marks the log as moved.
pub(super) const MARK: &str = "INSERT INTO moved (one, at, destination) VALUES (1, $1, $2)";
/// Takes the mark back.
pub(super) const UNMARK: &str = "DELETE FROM moved";

/// How many rows there are in all.
pub(super) const FILLED: &str = "SELECT (SELECT COUNT(*) FROM event) + (SELECT COUNT(*) FROM post)
    + (SELECT COUNT(*) FROM claim) + (SELECT COUNT(*) FROM sample) AS filled";
/// Sets the epoch, unless it is beyond that already.
pub(super) const EPOCH_AT_LEAST: &str = "UPDATE epoch SET epoch = $1 WHERE one = 1 AND epoch < $1";
/// A page of posts.
pub(super) const POSTS_AFTER: &str =
    "SELECT first, last, hash, text, message FROM post WHERE last > $1 ORDER BY last LIMIT $2";
/// A post as it is.
pub(super) const COPY_POST: &str = "INSERT INTO post (first, last, hash, text, message) VALUES ($1, $2, $3, $4, $5)";
/// A page of samples.
pub(super) const SAMPLES_AFTER: &str = "SELECT operation, number, load FROM sample
    WHERE (operation, number) > ($1, $2) ORDER BY operation, number LIMIT $3";
