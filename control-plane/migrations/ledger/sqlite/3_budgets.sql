-- What accounts with a budget have used.

CREATE TABLE spent (
    unit TEXT NOT NULL,
    bucket_ms BIGINT NOT NULL,
    per TEXT NOT NULL,
    owner TEXT NOT NULL,
    tokens BIGINT NOT NULL,
    nanousd BIGINT NOT NULL,
    PRIMARY KEY (unit, bucket_ms, per, owner)
) WITHOUT ROWID;
