-- What conversations begin with, beside what their clients have written: decided once, never changed but to nothing. An
-- empty text is a decision too. The facts are the ids of those in the text, with a blank around each.
CREATE TABLE memory_context (
    tenant TEXT NOT NULL,
    conversation TEXT NOT NULL,
    text TEXT NOT NULL,
    facts TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, conversation)
);
CREATE INDEX memory_context_created ON memory_context (created_ms);
