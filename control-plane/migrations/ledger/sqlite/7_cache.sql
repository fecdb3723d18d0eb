-- What earlier requests have written to providers' prompt caches, as digests: later ones are compared with it.
CREATE TABLE cache_shelf (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    shelf BLOB NOT NULL,
    PRIMARY KEY (tenant, name)
) WITHOUT ROWID;
CREATE INDEX cache_shelf_at ON cache_shelf (at_ms);

-- What caches read and could have read, by reason.
CREATE TABLE cache_rollup (
    unit TEXT NOT NULL,
    dimension TEXT NOT NULL,
    value TEXT NOT NULL,
    reason BIGINT NOT NULL,
    bucket_ms BIGINT NOT NULL,
    requests BIGINT NOT NULL DEFAULT 0,
    missed_requests BIGINT NOT NULL DEFAULT 0,
    readable_tokens BIGINT NOT NULL DEFAULT 0,
    read_tokens BIGINT NOT NULL DEFAULT 0,
    written_tokens BIGINT NOT NULL DEFAULT 0,
    rewritten_tokens BIGINT NOT NULL DEFAULT 0,
    uncached_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    lost_tokens BIGINT NOT NULL DEFAULT 0,
    idle_ms BIGINT NOT NULL DEFAULT 0,
    unpriced_requests BIGINT NOT NULL DEFAULT 0,
    subscription_requests BIGINT NOT NULL DEFAULT 0,
    read_nanousd BIGINT NOT NULL DEFAULT 0,
    write_nanousd BIGINT NOT NULL DEFAULT 0,
    input_nanousd BIGINT NOT NULL DEFAULT 0,
    output_nanousd BIGINT NOT NULL DEFAULT 0,
    lost_nanousd BIGINT NOT NULL DEFAULT 0,
    saved_nanousd BIGINT NOT NULL DEFAULT 0,
    hour_nanousd BIGINT NOT NULL DEFAULT 0,
    hour_requests BIGINT NOT NULL DEFAULT 0,
    breakpoints_nanousd BIGINT NOT NULL DEFAULT 0,
    breakpoints_requests BIGINT NOT NULL DEFAULT 0,
    keep_alive_nanousd BIGINT NOT NULL DEFAULT 0,
    keep_alive_requests BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (unit, dimension, value, reason, bucket_ms)
) WITHOUT ROWID;

-- Lines of system prompts that were others than in the prompt before.
CREATE TABLE cache_line (
    bucket_ms BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    stack TEXT NOT NULL,
    prompt TEXT NOT NULL,
    line BIGINT NOT NULL,
    classes TEXT NOT NULL,
    requests BIGINT NOT NULL,
    priced BIGINT NOT NULL,
    lost_nanousd BIGINT NOT NULL,
    PRIMARY KEY (bucket_ms, tenant, stack, prompt, line, classes)
) WITHOUT ROWID;
