-- Everything here can be lost: jobs come back from the chain, messages from whoever posts them again.

-- One row: which series of cursors this file gives out, and how far the chain has been read into it.
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    series TEXT NOT NULL,
    cursor_block INTEGER,
    cursor_hash TEXT
) STRICT;

-- Orders with their specs, as posted. `id` is the position in the bulletin.
CREATE TABLE orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL UNIQUE,
    payer TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX orders_by_payer ON orders (payer, expires_at);

-- What each event of the chain made of a job. The newest version is the job; a reorganisation deletes versions.
CREATE TABLE job_versions (
    job_id TEXT NOT NULL,
    block INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job_id, block, log_index)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_versions_by_block ON job_versions (block);

-- The newest version of each job, with what is searched for.
CREATE TABLE jobs (
    job_id TEXT PRIMARY KEY,
    first_block INTEGER NOT NULL,
    first_log_index INTEGER NOT NULL,
    payer TEXT NOT NULL,
    signer TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_by_payer ON jobs (payer, first_block, first_log_index);
CREATE INDEX jobs_by_signer ON jobs (signer, is_open);

-- The stream of each job. `identity` makes a repeated message one; `block` is set on what the chain said.
CREATE TABLE job_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    identity TEXT NOT NULL,
    block INTEGER,
    at_millis INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (job_id, identity)
) STRICT;

CREATE INDEX job_events_by_kind ON job_events (job_id, kind, id);
CREATE INDEX job_events_by_block ON job_events (block) WHERE block IS NOT NULL;

-- When each attempt's node was last heard of, and the newest number of its progress messages.
CREATE TABLE heard (
    job_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at_millis INTEGER NOT NULL,
    progress_seq INTEGER NOT NULL,
    PRIMARY KEY (job_id, attempt)
) STRICT, WITHOUT ROWID;

-- Artifacts taken for a job, for its quota. The bytes themselves are in the block store.
CREATE TABLE artifacts (
    job_id TEXT NOT NULL,
    side TEXT NOT NULL,
    root TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job_id, side, root)
) STRICT, WITHOUT ROWID;
