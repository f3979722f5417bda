"""The schema as numbered steps: an older database is brought up to date, a newer one is refused."""

from typing import Final

import apsw

from chat_moderator.errors import ConfigError

LANES: Final = 64
"""Channels are hashed to this many lanes; a lane is leased by one worker at a time."""

MIGRATIONS: Final = (
    # 1: intake, audit, outbox, reviews, keys.
    f"""
    CREATE TABLE seen (             -- every message key ever accepted, until retention forgets it
        key TEXT PRIMARY KEY,       -- JSON array [id, revision, client, platform, channel]
        digest INTEGER NOT NULL,    -- of the text: the same key with another text is a conflict
        at REAL NOT NULL,
        seq INTEGER NOT NULL,       -- in the queue; 0 for what was judged without it
        decision INTEGER            -- its row in decisions, where a caller may ask again
    ) WITHOUT ROWID;

    CREATE TABLE queue (            -- a log: read by lanes' cursors, cut off behind the slowest of them
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        lane INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 1,
        received_at REAL NOT NULL,
        key TEXT,                   -- NULL: known already, put back after a delay
        digest INTEGER,
        message TEXT NOT NULL
    );

    CREATE TABLE lanes (
        lane INTEGER PRIMARY KEY,
        cursor INTEGER NOT NULL DEFAULT 0,          -- all of this lane up to here is settled
        epoch INTEGER NOT NULL DEFAULT 0,           -- of the latest lease
        leased_until REAL NOT NULL DEFAULT 0,       -- 0: free
        leased_through INTEGER NOT NULL DEFAULT 0,
        lost INTEGER NOT NULL DEFAULT 0             -- leases since the last settled one that ran out
    );
    WITH RECURSIVE n (lane) AS (SELECT 0 UNION ALL SELECT lane + 1 FROM n WHERE lane < {LANES - 1})
    INSERT INTO lanes (lane) SELECT lane FROM n;

    CREATE TABLE delayed (
        id INTEGER PRIMARY KEY,
        due REAL NOT NULL,
        lane INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        received_at REAL NOT NULL,
        message TEXT NOT NULL
    );
    CREATE INDEX delayed_due ON delayed (due);

    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        reason TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        lane INTEGER NOT NULL,
        received_at REAL NOT NULL,
        message TEXT NOT NULL
    );

    CREATE TABLE decisions (        -- the audit; its order is the decision feed
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        decided_at REAL NOT NULL,
        client TEXT NOT NULL,
        verdict TEXT NOT NULL,
        record TEXT NOT NULL
    );
    CREATE INDEX decisions_client ON decisions (client, seq);
    CREATE INDEX decisions_flagged ON decisions (seq) WHERE verdict <> 'allow';

    CREATE VIEW audit AS SELECT
        seq,
        datetime(decided_at, 'unixepoch') AS decided_at,
        client,
        coalesce(record ->> '$.message.platform', 'api') AS platform,
        record ->> '$.message.community' AS community,
        record ->> '$.message.channel' AS channel,
        record ->> '$.message.id' AS message_id,
        coalesce(record ->> '$.message.revision', 0) AS revision,
        record ->> '$.message.author.id' AS author_id,
        record ->> '$.message.text' AS text,
        verdict,
        record ->> '$.decision.rule' AS rule,
        record ->> '$.decision.label' AS label,
        record ->> '$.decision.score' AS score,
        record -> '$.decision.assessment.scores' AS scores,
        record ->> '$.decision.assessment.model' AS model,
        record ->> '$.decision.policy' AS policy
    FROM decisions;

    CREATE TABLE outcomes (
        seq INTEGER NOT NULL,
        at REAL NOT NULL,
        action TEXT NOT NULL,
        state TEXT NOT NULL,
        detail TEXT NOT NULL
    );
    CREATE INDEX outcomes_seq ON outcomes (seq);

    CREATE TABLE outbox (           -- actions that were decided and have not happened yet
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        seq INTEGER NOT NULL,
        action TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        due REAL NOT NULL,
        started INTEGER NOT NULL DEFAULT 0  -- set before a call that must not be made twice
    );
    CREATE INDEX outbox_due ON outbox (due, id);

    CREATE TABLE reviews (
        seq INTEGER PRIMARY KEY,
        state TEXT NOT NULL DEFAULT 'open', -- open, approved, denied
        reviewer TEXT NOT NULL DEFAULT '',
        at REAL
    );
    CREATE INDEX reviews_open ON reviews (seq) WHERE state = 'open';

    CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        hash BLOB NOT NULL,
        created_at REAL NOT NULL,
        revoked_at REAL
    );

    CREATE TABLE cursors (          -- how far each sink has read the decision feed
        name TEXT PRIMARY KEY,
        seq INTEGER NOT NULL
    );

    CREATE TABLE replays (          -- webhook deliveries already taken, for the replay window
        id TEXT PRIMARY KEY,
        at REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    # 2: what a key may use and has used; scores that people suggest.
    """
    ALTER TABLE keys ADD COLUMN rate REAL NOT NULL DEFAULT 0;       -- requests a second; 0: any
    ALTER TABLE keys ADD COLUMN burst INTEGER NOT NULL DEFAULT 0;   -- requests at once
    ALTER TABLE keys ADD COLUMN quota INTEGER NOT NULL DEFAULT 0;   -- texts a day; 0: any

    CREATE TABLE usage (
        key TEXT NOT NULL,
        day TEXT NOT NULL,          -- of UTC, as 2026-01-31
        requests INTEGER NOT NULL,
        texts INTEGER NOT NULL,
        refused INTEGER NOT NULL,   -- requests beyond the rate or the quota
        PRIMARY KEY (key, day)
    ) WITHOUT ROWID;

    CREATE TABLE labels (           -- what a person says a text's score should have been
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        client TEXT NOT NULL,
        community TEXT NOT NULL,
        token TEXT NOT NULL,        -- the client's own name for the comment; the latest word under it counts
        language TEXT NOT NULL,
        text TEXT NOT NULL,
        scores TEXT NOT NULL        -- JSON object, by label
    );
    CREATE UNIQUE INDEX labels_token ON labels (client, community, token) WHERE token <> '';
    """,
    # 3: one executor a connection works the outbox; sources keep how far they have read.
    """
    ALTER TABLE outbox ADD COLUMN client TEXT NOT NULL DEFAULT '';  -- of the message: its connection, or an API key
    UPDATE outbox SET client = coalesce((SELECT d.client FROM decisions d WHERE d.seq = outbox.seq), '');
    DROP INDEX outbox_due;
    CREATE INDEX outbox_due ON outbox (client, due, id);

    CREATE TABLE bookmarks (
        source TEXT NOT NULL,
        name TEXT NOT NULL,         -- what was read, such as a channel
        place TEXT NOT NULL,        -- in the platform's own terms
        PRIMARY KEY (source, name)
    ) WITHOUT ROWID;
    """,
    # 4: what moderators changed, in an order of its own, so that whoever follows decisions hears of it.
    """
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        seq INTEGER NOT NULL,       -- the decision's
        at REAL NOT NULL,
        client TEXT NOT NULL,
        verdict TEXT NOT NULL,      -- from now on
        rule TEXT NOT NULL
    );
    CREATE INDEX changes_client ON changes (client, id);
    """,
)


def migrate(connection: apsw.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> int:
    """Brings the database to the newest schema, a step a transaction; returns the version it had before.

    Raises:
        ConfigError: the database is newer than this program.
    """
    (found,) = next(connection.execute("PRAGMA user_version"))
    if found > len(migrations):
        raise ConfigError(
            "data_dir",
            f"the database has schema {found}, this version knows up to {len(migrations)}: "
            "use the newer chat-moderator, or another data directory",
        )
    for number, step in enumerate(migrations[found:], start=found + 1):
        with connection:
            connection.execute(step)
            connection.execute(f"PRAGMA user_version = {number}")
    return int(found)
