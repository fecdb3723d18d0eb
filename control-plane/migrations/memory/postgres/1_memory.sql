-- Whose facts there are. The tenant is a part of every key.
CREATE TABLE memory_holder (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('project', 'user', 'team')),
    owner TEXT NOT NULL,
    UNIQUE (tenant, scope, owner)
);

-- A row for each version of a fact. It is written once; only how it ended is noted later. Times are milliseconds since
-- 1970: created_ms to expired_ms is when the store held it, valid_from_ms to invalid_at_ms when it was so.
CREATE TABLE memory_fact (
    ordinal BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    holder BIGINT NOT NULL REFERENCES memory_holder (id),
    content TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    likeness TEXT NOT NULL,
    importance DOUBLE PRECISION NOT NULL,
    entities TEXT NOT NULL,
    relationships TEXT NOT NULL,
    agent TEXT NOT NULL,
    provider TEXT NOT NULL,
    via TEXT NOT NULL,
    conversation TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    valid_from_ms BIGINT NOT NULL,
    invalid_at_ms BIGINT,
    -- 1: somebody has taken a merge back
    apart BIGINT NOT NULL DEFAULT 0,
    expired_ms BIGINT,
    ended TEXT CHECK (ended IN ('updated', 'deleted', 'merged')),
    ended_agent TEXT NOT NULL DEFAULT '',
    ended_via TEXT NOT NULL DEFAULT '',
    ended_reason TEXT NOT NULL DEFAULT '',
    merged_into TEXT NOT NULL DEFAULT '',
    words TSVECTOR GENERATED ALWAYS AS (to_tsvector('english', content)) STORED,
    UNIQUE (id, version),
    CHECK ((expired_ms IS NULL) = (ended IS NULL))
);
-- The same text is kept once, whoever saves it and however often.
CREATE UNIQUE INDEX memory_fact_text ON memory_fact (holder, fingerprint) WHERE expired_ms IS NULL;
CREATE UNIQUE INDEX memory_fact_holds ON memory_fact (id) WHERE expired_ms IS NULL;
CREATE INDEX memory_fact_likeness ON memory_fact (holder, likeness, ordinal) WHERE expired_ms IS NULL;
CREATE INDEX memory_fact_newest ON memory_fact (holder, ordinal) WHERE expired_ms IS NULL;
CREATE INDEX memory_fact_ended ON memory_fact (expired_ms) WHERE expired_ms IS NOT NULL;
CREATE INDEX memory_fact_words ON memory_fact USING gin (words) WHERE expired_ms IS NULL;

-- What the facts that hold are about, folded.
CREATE TABLE memory_entity (
    name TEXT NOT NULL,
    fact BIGINT NOT NULL REFERENCES memory_fact (ordinal) ON DELETE CASCADE,
    PRIMARY KEY (name, fact)
);
CREATE INDEX memory_entity_fact ON memory_entity (fact);

-- The embeddings of the facts that hold.
CREATE TABLE memory_vector (
    holder BIGINT NOT NULL,
    fact BIGINT NOT NULL REFERENCES memory_fact (ordinal) ON DELETE CASCADE,
    embedder TEXT NOT NULL,
    vector REAL[] NOT NULL,
    PRIMARY KEY (holder, fact)
);
CREATE INDEX memory_vector_fact ON memory_vector (fact);

CREATE FUNCTION memory_fact_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM memory_entity WHERE fact = old.ordinal;
    DELETE FROM memory_vector WHERE fact = old.ordinal;
    RETURN NULL;
END;
$$;
CREATE TRIGGER memory_fact_ends AFTER UPDATE OF expired_ms ON memory_fact FOR EACH ROW
WHEN (old.expired_ms IS NULL AND new.expired_ms IS NOT NULL) EXECUTE FUNCTION memory_fact_ends();

-- One row, which is written to find out whether the store can be.
CREATE TABLE memory_check (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO memory_check (name, value) VALUES ('writes', '');
