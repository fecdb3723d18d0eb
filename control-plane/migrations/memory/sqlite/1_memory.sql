-- Whose facts there are. The tenant is a part of every key.
CREATE TABLE memory_holder (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('project', 'user', 'team')),
    owner TEXT NOT NULL,
    UNIQUE (tenant, scope, owner)
);

-- A row for each version of a fact. It is written once; only how it ended is noted later. Times are milliseconds since
-- 1970: created_ms to expired_ms is when the store held it, valid_from_ms to invalid_at_ms when it was so.
CREATE TABLE memory_fact (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    holder INTEGER NOT NULL REFERENCES memory_holder (id),
    content TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    likeness TEXT NOT NULL,
    importance REAL NOT NULL,
    entities TEXT NOT NULL,
    relationships TEXT NOT NULL,
    agent TEXT NOT NULL,
    provider TEXT NOT NULL,
    via TEXT NOT NULL,
    conversation TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    valid_from_ms INTEGER NOT NULL,
    invalid_at_ms INTEGER,
    -- 1: somebody has taken a merge back
    apart INTEGER NOT NULL DEFAULT 0,
    expired_ms INTEGER,
    ended TEXT CHECK (ended IN ('updated', 'deleted', 'merged')),
    ended_agent TEXT NOT NULL DEFAULT '',
    ended_via TEXT NOT NULL DEFAULT '',
    ended_reason TEXT NOT NULL DEFAULT '',
    merged_into TEXT NOT NULL DEFAULT '',
    UNIQUE (id, version),
    CHECK ((expired_ms IS NULL) = (ended IS NULL))
);
-- The same text is kept once, whoever saves it and however often.
CREATE UNIQUE INDEX memory_fact_text ON memory_fact (holder, fingerprint) WHERE expired_ms IS NULL;
CREATE UNIQUE INDEX memory_fact_holds ON memory_fact (id) WHERE expired_ms IS NULL;
CREATE INDEX memory_fact_likeness ON memory_fact (holder, likeness, ordinal) WHERE expired_ms IS NULL;
CREATE INDEX memory_fact_newest ON memory_fact (holder, ordinal) WHERE expired_ms IS NULL;
CREATE INDEX memory_fact_ended ON memory_fact (expired_ms) WHERE expired_ms IS NOT NULL;

-- What the facts that hold are about, folded.
CREATE TABLE memory_entity (
    name TEXT NOT NULL,
    fact INTEGER NOT NULL,
    PRIMARY KEY (name, fact)
) WITHOUT ROWID;
CREATE INDEX memory_entity_fact ON memory_entity (fact);

-- The embeddings of the facts that hold: 32-bit floats, little endian.
CREATE TABLE memory_vector (
    holder INTEGER NOT NULL,
    fact INTEGER NOT NULL,
    embedder TEXT NOT NULL,
    vector BLOB NOT NULL,
    PRIMARY KEY (holder, fact)
) WITHOUT ROWID;
CREATE INDEX memory_vector_fact ON memory_vector (fact);

-- The words of the facts that hold. Each row has its holder as a word, so that a search reads that holder's rows alone.
CREATE VIRTUAL TABLE memory_text USING fts5 (holder, content, tokenize = 'porter unicode61 remove_diacritics 2');
-- what is deleted is gone from the file, too
INSERT INTO memory_text (memory_text, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER memory_fact_begins AFTER INSERT ON memory_fact BEGIN
    INSERT INTO memory_text (rowid, holder, content) VALUES (new.ordinal, 'h' || new.holder, new.content);
END;
CREATE TRIGGER memory_fact_ends AFTER UPDATE OF expired_ms ON memory_fact
WHEN old.expired_ms IS NULL AND new.expired_ms IS NOT NULL BEGIN
    DELETE FROM memory_text WHERE rowid = old.ordinal;
    DELETE FROM memory_entity WHERE fact = old.ordinal;
    DELETE FROM memory_vector WHERE fact = old.ordinal;
END;
CREATE TRIGGER memory_fact_goes AFTER DELETE ON memory_fact BEGIN
    DELETE FROM memory_text WHERE rowid = old.ordinal;
    DELETE FROM memory_entity WHERE fact = old.ordinal;
    DELETE FROM memory_vector WHERE fact = old.ordinal;
END;

-- One row, which is written to find out whether the store can be.
CREATE TABLE memory_check (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO memory_check (name, value) VALUES ('writes', '');
