-- What was decided on prose in requests: written once, and changed to nothing by the request that has decided it alone. An
-- empty form says that the text stays as it is.
CREATE TABLE text_decision (
    tenant TEXT NOT NULL,
    hash TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_ms INTEGER NOT NULL,
    form TEXT NOT NULL,
    PRIMARY KEY (tenant, hash)
);
CREATE INDEX text_decision_decided ON text_decision (decided_ms);
