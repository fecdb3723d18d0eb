-- Originals. The content is the last column: what stands before it is read and written without it.

CREATE TABLE original (
    tenant TEXT NOT NULL,
    hash TEXT NOT NULL,
    admitted_ms BIGINT NOT NULL,
    touched_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    length BIGINT NOT NULL,
    tokens_before BIGINT NOT NULL,
    tokens_after BIGINT NOT NULL,
    retrievals BIGINT NOT NULL,
    tool TEXT NOT NULL,
    kind TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (tenant, hash)
);
CREATE INDEX original_expires ON original (expires_ms);
CREATE INDEX original_touched ON original (touched_ms);

CREATE TABLE original_sums (
    name TEXT PRIMARY KEY,
    entries BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    tokens_before BIGINT NOT NULL,
    tokens_after BIGINT NOT NULL,
    retrievals BIGINT NOT NULL
);
INSERT INTO original_sums VALUES ('all', 0, 0, 0, 0, 0);
