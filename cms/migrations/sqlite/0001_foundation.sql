-- The CMS's tables. Ids are 16-byte UUIDs, digests raw bytes, times microseconds UTC, words and JSON text; booleans are 0 or 1.
-- An `owner` is a profile's id, a host's id, or 16 zero bytes for the global scope; UUIDs make them distinct.

-- The order of everything that changes: one rising number for changes of policies and of standings alike.
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);
INSERT INTO counter (name, value) VALUES ('change', 0);

CREATE TABLE profile (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    tag TEXT UNIQUE,                      -- null for the global scope, which no token can choose
    created_at INTEGER NOT NULL,
    draft TEXT NOT NULL,                  -- settings being edited, JSON
    published TEXT NOT NULL,              -- settings in force, JSON
    publishing TEXT,                      -- settings that files are being marked by, JSON; null but while a publication is under way
    published_at INTEGER,
    published_by TEXT,
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    change_id INTEGER NOT NULL            -- newest change the revision holds
);

CREATE TABLE host (
    id BLOB PRIMARY KEY,
    profile_id BLOB NOT NULL REFERENCES profile (id),
    name TEXT NOT NULL,                   -- the host's claim; not unique
    facts TEXT NOT NULL,
    agent_version TEXT NOT NULL,
    capabilities TEXT NOT NULL DEFAULT '[]', -- words of its last hello, JSON
    token_id BLOB,
    certificate_serial BLOB NOT NULL,
    certificate_not_after INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    last_seen_at INTEGER,
    connected INTEGER NOT NULL,
    removed_at INTEGER,
    mode TEXT,                            -- the host's own; null follows the profile
    settings_revision INTEGER NOT NULL,
    settings_in_force INTEGER NOT NULL,
    settings_refused TEXT,
    policy_epoch INTEGER NOT NULL,
    policy_revision INTEGER NOT NULL,
    policy_refused TEXT,
    coverage TEXT,
    health TEXT
);
CREATE INDEX host_by_profile ON host (profile_id);
CREATE INDEX host_by_name ON host (name, id);

-- Highest sequence of a store epoch that is on disk, kept in the same commit as the rows it stands for.
CREATE TABLE watermark (
    host_id BLOB NOT NULL REFERENCES host (id),
    epoch BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (host_id, epoch)
) WITHOUT ROWID;

CREATE TABLE token (
    id BLOB PRIMARY KEY,
    secret_hash BLOB NOT NULL UNIQUE,
    profile_id BLOB NOT NULL REFERENCES profile (id),
    uses INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    revoked_at INTEGER
);

-- A file is its content. Reputation columns repeat the newest row of `reputation`.
CREATE TABLE file (
    sha256 BLOB PRIMARY KEY,
    sha1 BLOB,
    md5 BLOB,
    blake3 BLOB,
    size INTEGER NOT NULL,
    kind TEXT NOT NULL,
    first_received_at INTEGER NOT NULL,
    no_answer TEXT NOT NULL,              -- why there is no reputation; means nothing once there is one
    reputation_id INTEGER,
    provider TEXT,
    class TEXT,
    trust_factor INTEGER,
    threat_level INTEGER,
    threat_name TEXT,
    class_since INTEGER,
    fetched_at INTEGER,                   -- when the newest answer was given, repeated answers included
    fresh_until INTEGER,
    change_id INTEGER NOT NULL            -- newest change of what hosts are told about it
) WITHOUT ROWID;
CREATE INDEX file_by_change ON file (change_id);

-- What a host proved, once per distinct proof.
CREATE TABLE evidence (
    key BLOB PRIMARY KEY,                 -- first 16 bytes of the SHA-256 of the JSON
    evidence TEXT NOT NULL,
    package_key BLOB,
    publisher_key BLOB
) WITHOUT ROWID;
CREATE INDEX evidence_by_package ON evidence (package_key);
CREATE INDEX evidence_by_publisher ON evidence (publisher_key);

CREATE TABLE observation (
    sha256 BLOB NOT NULL REFERENCES file (sha256),
    host_id BLOB NOT NULL REFERENCES host (id),
    path_key BLOB NOT NULL,               -- first 16 bytes of the SHA-256 of the path: any bytes, any length, one index
    path BLOB NOT NULL,
    usage TEXT NOT NULL,
    sources INTEGER NOT NULL,             -- 1 scan, 2 reference scan, 4 exec
    scan_id BLOB,
    evidence_key BLOB NOT NULL REFERENCES evidence (key),
    user_writable INTEGER NOT NULL,
    layer TEXT,                           -- which layer of an overlay it lies in, JSON
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    first_observed_at INTEGER NOT NULL,
    last_observed_at INTEGER NOT NULL,
    last_executed_at INTEGER,
    count INTEGER NOT NULL,
    process TEXT,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (sha256, host_id, path_key)
) WITHOUT ROWID;
CREATE INDEX observation_by_path ON observation (host_id, path_key, sha256);
CREATE INDEX observation_by_host ON observation (host_id, sha256);
CREATE INDEX observation_by_evidence ON observation (evidence_key, host_id);

-- The newest executions of a file on a host; bounded, see the store's `execution`.
CREATE TABLE execution (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL REFERENCES file (sha256),
    host_id BLOB NOT NULL REFERENCES host (id),
    path BLOB NOT NULL,
    usage TEXT NOT NULL,
    process TEXT,
    at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    fate TEXT NOT NULL
);
CREATE INDEX execution_by_file ON execution (sha256, host_id, id);

-- How a profile's hosts met a file, summed up per distinct proof, so that marking costs the same for one host and for thousands.
CREATE TABLE sighting (
    sha256 BLOB NOT NULL REFERENCES file (sha256),
    profile_id BLOB NOT NULL REFERENCES profile (id),
    evidence_key BLOB NOT NULL REFERENCES evidence (key),
    user_writable INTEGER NOT NULL,
    sources INTEGER NOT NULL,
    first_observed_at INTEGER NOT NULL,
    last_observed_at INTEGER NOT NULL,
    last_executed_at INTEGER,
    PRIMARY KEY (sha256, profile_id, evidence_key, user_writable)
) WITHOUT ROWID;
CREATE INDEX sighting_by_evidence ON sighting (evidence_key);
CREATE INDEX sighting_by_profile ON sighting (profile_id, sha256);

-- (scope, file). Profile rows exist for every file met there and carry its standing; host and global rows only for decisions.
CREATE TABLE entry (
    owner BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    scope TEXT NOT NULL,
    decision TEXT NOT NULL,
    author TEXT,
    rule TEXT,
    draft INTEGER NOT NULL,
    actor TEXT,
    comment TEXT,
    decided_at INTEGER,
    standing INTEGER NOT NULL,            -- 0 threat, 1 unverified, 2 safe: the order of listings
    reason TEXT NOT NULL,
    threat_score INTEGER,
    told TEXT NOT NULL,                   -- all that any host of the profile is told about it, JSON: when it changes, hosts are told anew
    sources INTEGER NOT NULL,
    first_observed_at INTEGER NOT NULL,
    last_observed_at INTEGER NOT NULL,
    last_executed_at INTEGER,
    PRIMARY KEY (owner, sha256)
) WITHOUT ROWID;
CREATE INDEX entry_by_file ON entry (sha256);
CREATE INDEX entry_by_standing ON entry (owner, standing, sha256);
CREATE INDEX entry_by_draft ON entry (owner, sha256) WHERE draft <> 0;

-- Packages and publishers anybody named: by a list, an inventory or evidence.
CREATE TABLE source (
    key BLOB PRIMARY KEY,                 -- SHA-256 of the source key's preimage
    kind TEXT NOT NULL,
    manager TEXT,
    name TEXT NOT NULL,
    fingerprint BLOB,
    first_seen_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX source_by_name ON source (name, key);

CREATE TABLE source_entry (
    owner BLOB NOT NULL,
    key BLOB NOT NULL REFERENCES source (key),
    versions TEXT NOT NULL,               -- a range of versions; empty for all of them
    decision TEXT NOT NULL,               -- published
    actor TEXT,
    comment TEXT,
    decided_at INTEGER,
    draft_decision TEXT,                  -- null: nothing to publish
    draft_actor TEXT,
    draft_comment TEXT,
    draft_at INTEGER,
    PRIMARY KEY (owner, key, versions)
) WITHOUT ROWID;
CREATE INDEX source_entry_by_key ON source_entry (key);

-- Entries on some versions of packages as they stand in policies; those on all versions are records.
CREATE TABLE version_rule (
    owner BLOB NOT NULL,
    key BLOB NOT NULL REFERENCES source (key),
    versions TEXT NOT NULL,
    denies INTEGER NOT NULL,
    PRIMARY KEY (owner, key, versions)
) WITHOUT ROWID;

-- The newest change of an owner's version rules.
CREATE TABLE version_rule_change (
    owner BLOB PRIMARY KEY,
    change_id INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE inventory (
    host_id BLOB NOT NULL REFERENCES host (id),
    key BLOB NOT NULL REFERENCES source (key),
    evidence TEXT NOT NULL,
    files INTEGER NOT NULL,
    executed INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    scanned INTEGER NOT NULL,             -- a whole scan counted its files
    first_at INTEGER NOT NULL,            -- when it was first reported, here
    updated_at INTEGER NOT NULL,
    gone INTEGER NOT NULL,                -- a later inventory did not name it
    PRIMARY KEY (host_id, key)
) WITHOUT ROWID;
CREATE INDEX inventory_by_key ON inventory (key);

-- Append-only. The newest answer is repeated in `file`; an answer that repeats the one before it adds no row.
CREATE TABLE reputation (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL REFERENCES file (sha256),
    provider TEXT NOT NULL,
    class TEXT NOT NULL,
    trust_factor INTEGER,
    threat_level INTEGER,
    threat_name TEXT,
    raw TEXT NOT NULL,
    answered_at INTEGER NOT NULL,         -- when it was true, by the provider
    fetched_at INTEGER NOT NULL           -- when it was known here
);
CREATE INDEX reputation_by_file ON reputation (sha256, id);

-- The published policy records of each owner, as they are now. `key` is a record's first 34 bytes, `flags` its last 6.
CREATE TABLE record (
    owner BLOB NOT NULL,
    key BLOB NOT NULL,
    flags BLOB NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;

-- Append-only: every change of a record, in order.
CREATE TABLE change (
    id INTEGER PRIMARY KEY,
    owner BLOB NOT NULL,
    key BLOB NOT NULL,
    before BLOB,                          -- flags; null: there was none
    after BLOB,                           -- flags; null: there is none
    actor TEXT NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX change_by_owner ON change (owner, id);

-- Every published revision, with the newest change it holds.
CREATE TABLE revision (
    profile_id BLOB NOT NULL REFERENCES profile (id),
    epoch INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    change_id INTEGER NOT NULL,
    rules TEXT NOT NULL,
    actor TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (profile_id, epoch, revision)
) WITHOUT ROWID;

-- Publications under way, at most one: the store finishes one before it begins the next.
CREATE TABLE publication (
    profile_id BLOB PRIMARY KEY REFERENCES profile (id),
    actor TEXT NOT NULL,
    sources TEXT NOT NULL,                -- list changes it brings, JSON
    allowed INTEGER NOT NULL,             -- automatic allows that come into force with it, so far
    withdrawn INTEGER NOT NULL            -- and that go
) WITHOUT ROWID;

-- Records that come (or go, without flags) when the publication under way ends.
CREATE TABLE staged (
    owner BLOB NOT NULL,
    key BLOB NOT NULL,
    flags BLOB,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;

-- Files that wait to be marked anew, for a publication (its profile's id) or for the removal of a host (the host's id).
CREATE TABLE remark (
    job BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    PRIMARY KEY (job, sha256)
) WITHOUT ROWID;

CREATE TABLE lookup (
    sha256 BLOB PRIMARY KEY REFERENCES file (sha256),
    state TEXT NOT NULL,                  -- queued, in_flight, given_up
    priority INTEGER NOT NULL,            -- 0 executed, 1 new, 2 refresh
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT,
    host_id BLOB,                         -- who brought it
    queued_at INTEGER NOT NULL,
    again INTEGER NOT NULL                -- somebody asked anew while it was in flight
) WITHOUT ROWID;
CREATE INDEX lookup_by_due ON lookup (state, priority, due_at);

CREATE TABLE incident (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    sha256 BLOB,
    host_id BLOB REFERENCES host (id),
    open_key BLOB UNIQUE,                 -- one open incident per (kind, file, host); null once closed
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    detail TEXT NOT NULL,
    closed_at INTEGER,
    closed_by TEXT,
    comment TEXT
);
CREATE INDEX incident_by_file ON incident (sha256);

CREATE TABLE scan (
    id BLOB PRIMARY KEY,
    profile_id BLOB NOT NULL REFERENCES profile (id),
    host_id BLOB NOT NULL REFERENCES host (id),
    reference INTEGER NOT NULL,
    state TEXT NOT NULL,                  -- requested, running, done, stopped, failed
    requested_at INTEGER NOT NULL,
    requested_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    progress TEXT,
    error TEXT
);
CREATE INDEX scan_by_host ON scan (host_id);

-- What hosts were asked to do; sent again until answered.
CREATE TABLE command (
    id BLOB PRIMARY KEY,
    host_id BLOB NOT NULL REFERENCES host (id),
    body TEXT NOT NULL,
    source_key BLOB,                      -- of the source whose files are asked for
    created_at INTEGER NOT NULL,
    done_at INTEGER,
    error TEXT
);
CREATE INDEX command_by_host ON command (host_id, done_at);
CREATE INDEX command_by_source ON command (source_key, host_id) WHERE source_key IS NOT NULL;

-- Append-only and chained: each row's hash covers the row and the hash before it.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    before TEXT,
    after TEXT,
    comment TEXT,
    hash BLOB NOT NULL
);
