-- What calls of agents' tools show about projects. A pattern is the hash of a kind and a subject; '' stands for nothing.

CREATE TABLE learn_sighting (
    project TEXT NOT NULL,
    pattern TEXT NOT NULL,
    conversation TEXT NOT NULL,
    call_id TEXT NOT NULL,
    agent TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    wrong TEXT NOT NULL,
    instead TEXT NOT NULL,
    said TEXT NOT NULL,
    seen_ms BIGINT NOT NULL,
    PRIMARY KEY (project, pattern, conversation, call_id)
);
CREATE INDEX learn_sighting_seen ON learn_sighting (seen_ms);

-- A later call showed that a pattern does not hold: what was seen up to then counts no more.
CREATE TABLE learn_refuted (
    project TEXT NOT NULL,
    pattern TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (project, pattern)
);

