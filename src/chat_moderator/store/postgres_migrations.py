"""The schema in PostgreSQL as numbered steps: an older one is brought up to date, a newer one is refused."""

from typing import TYPE_CHECKING, Final

from chat_moderator.errors import ConfigError

if TYPE_CHECKING:
    from chat_moderator.store.postgres_context import AnyConnection

MIGRATIONS: Final = (
    # 1: audit, outbox, reviews, bookmarks, leases.
    """
    CREATE TABLE decisions (        -- the audit; its order is the decision feed
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        decided_at timestamptz NOT NULL,
        client text NOT NULL,
        platform text NOT NULL,
        channel text NOT NULL,
        author text NOT NULL,
        verdict text NOT NULL,
        key text COLLATE "C" UNIQUE,    -- JSON array [id, revision, client, platform, channel], where it counts once
        digest bigint,                  -- of the text: the same key with another text is a conflict
        record json NOT NULL
    );
    CREATE INDEX decisions_client ON decisions (client, seq);
    CREATE INDEX decisions_author ON decisions (author) WHERE author <> '';
    CREATE INDEX decisions_flagged ON decisions (seq) WHERE verdict <> 'allow';

    CREATE VIEW audit AS SELECT
        seq,
        decided_at,
        client,
        platform,
        record #>> '{message,community}' AS community,
        channel,
        record #>> '{message,id}' AS message_id,
        coalesce((record #>> '{message,revision}')::integer, 0) AS revision,
        author AS author_id,
        record #>> '{message,text}' AS text,
        verdict,
        record #>> '{decision,rule}' AS rule,
        record #>> '{decision,label}' AS label,
        (record #>> '{decision,score}')::double precision AS score,
        record #> '{decision,assessment,scores}' AS scores,
        record #>> '{decision,assessment,model}' AS model,
        record #>> '{decision,policy}' AS policy
    FROM decisions;

    CREATE TABLE outcomes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        seq bigint NOT NULL REFERENCES decisions ON DELETE CASCADE,
        at timestamptz NOT NULL,
        action text NOT NULL,
        state text NOT NULL,
        detail text NOT NULL
    );
    CREATE INDEX outcomes_seq ON outcomes (seq);

    CREATE TABLE outbox (           -- actions that were decided and have not happened yet
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        seq bigint NOT NULL REFERENCES decisions ON DELETE CASCADE,
        client text NOT NULL,       -- of the message: its connection, or an API key
        action text NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        due timestamptz NOT NULL,
        started boolean NOT NULL DEFAULT false  -- set before a call that must not be made twice
    );
    CREATE INDEX outbox_due ON outbox (client, due, id);
    CREATE INDEX outbox_seq ON outbox (seq);

    CREATE TABLE reviews (
        seq bigint PRIMARY KEY REFERENCES decisions ON DELETE CASCADE,
        state text NOT NULL DEFAULT 'open', -- open, approved, denied
        reviewer text NOT NULL DEFAULT '',
        at timestamptz
    );
    CREATE INDEX reviews_state ON reviews (state, seq);

    CREATE TABLE bookmarks (
        source text NOT NULL,
        name text NOT NULL,         -- what was read, such as a channel
        place text NOT NULL,        -- in the platform's own terms
        PRIMARY KEY (source, name)
    );

    CREATE TABLE leases (           -- which process acts for a connection
        name text PRIMARY KEY,
        holder text NOT NULL,
        until timestamptz NOT NULL  -- by this server's clock
    );
    """,
    # 2: what moderators changed, in an order of its own, so that whoever follows decisions hears of it.
    """
    CREATE TABLE changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        seq bigint NOT NULL REFERENCES decisions ON DELETE CASCADE,
        at timestamptz NOT NULL,
        client text NOT NULL,
        verdict text NOT NULL,      -- from now on
        rule text NOT NULL
    );
    CREATE INDEX changes_client ON changes (client, id);
    CREATE INDEX changes_seq ON changes (seq);
    """,
)


async def migrate(connection: "AnyConnection", schema: str, migrations: tuple[str, ...] = MIGRATIONS) -> int:
    """Brings the schema to the newest version in one transaction; returns the version it had before.

    Of processes that start at once, one migrates and the others wait for it.

    Raises:
        ConfigError: the schema is newer than this program.
    """
    if await _version(connection, schema) == len(migrations):
        return len(migrations)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"chat-moderator {schema}")
        found = await _version(connection, schema)
        if found > len(migrations):
            raise ConfigError(
                "store.url",
                f"the database has schema {found}, this version knows up to {len(migrations)}: "
                "use the newer chat-moderator, or another database",
            )
        if not await connection.fetchval(_HAS_SCHEMA, schema):
            await connection.execute(f"CREATE SCHEMA {quoted(schema)}")
        if found == 0:
            await connection.execute(f"CREATE TABLE IF NOT EXISTS {_table(schema)} (version integer NOT NULL)")
        for step in migrations[found:]:
            await connection.execute(step)
        if found < len(migrations):
            await connection.execute(f"DELETE FROM {_table(schema)}")
            await connection.execute(f"INSERT INTO {_table(schema)} VALUES ($1)", len(migrations))
    return found


def quoted(name: str) -> str:
    """An identifier as it stands in a statement."""
    return '"' + name.replace('"', '""') + '"'


async def _version(connection: "AnyConnection", schema: str) -> int:
    if not await connection.fetchval(_HAS_VERSION, schema):
        return 0
    return int(await connection.fetchval(f"SELECT coalesce(max(version), 0) FROM {_table(schema)}"))


def _table(schema: str) -> str:
    return f"{quoted(schema)}.schema_version"


# The catalogue itself is asked: a name's lookup may remember from before the lock was taken that there was none.
_HAS_SCHEMA: Final = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)"
_HAS_VERSION: Final = """
    SELECT EXISTS (
        SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = 'schema_version'
    )
"""
