-- What each VM has handed over, and the sums over it.

CREATE TABLE vm (
    vm_id TEXT PRIMARY KEY,
    filter_version TEXT NOT NULL,
    seen TEXT NOT NULL,
    dropped_records BIGINT NOT NULL,
    config_errors BIGINT NOT NULL,
    last_report_ms BIGINT NOT NULL
);

CREATE TABLE tally (
    dimension TEXT NOT NULL,
    value TEXT NOT NULL,
    requests BIGINT NOT NULL DEFAULT 0,
    compressed BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    rate_limited BIGINT NOT NULL DEFAULT 0,
    unpriced BIGINT NOT NULL DEFAULT 0,
    tokens_before BIGINT NOT NULL DEFAULT 0,
    tokens_after BIGINT NOT NULL DEFAULT 0,
    tokens_saved BIGINT NOT NULL DEFAULT 0,
    tool_tokens_before BIGINT NOT NULL DEFAULT 0,
    tool_tokens_after BIGINT NOT NULL DEFAULT 0,
    tool_tokens_minified BIGINT NOT NULL DEFAULT 0,
    usage_reports BIGINT NOT NULL DEFAULT 0,
    cache_hits BIGINT NOT NULL DEFAULT 0,
    uncached_input_tokens BIGINT NOT NULL DEFAULT 0,
    cache_read_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    saved_nanousd BIGINT NOT NULL DEFAULT 0,
    saved_cached_nanousd BIGINT NOT NULL DEFAULT 0,
    cache_nanousd BIGINT NOT NULL DEFAULT 0,
    input_nanousd BIGINT NOT NULL DEFAULT 0,
    output_nanousd BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (dimension, value)
) WITHOUT ROWID;
INSERT INTO tally (dimension, value) VALUES ('all', '');

CREATE TABLE block_tally (
    dimension TEXT NOT NULL,
    value TEXT NOT NULL,
    blocks BIGINT NOT NULL DEFAULT 0,
    memo BIGINT NOT NULL DEFAULT 0,
    tokens_before BIGINT NOT NULL DEFAULT 0,
    tokens_after BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (dimension, value)
) WITHOUT ROWID;

CREATE TABLE timing (
    stage TEXT PRIMARY KEY,
    count BIGINT NOT NULL,
    sum_us BIGINT NOT NULL,
    min_us BIGINT NOT NULL,
    max_us BIGINT NOT NULL
);

CREATE TABLE display_session (
    name TEXT PRIMARY KEY,
    started_ms BIGINT NOT NULL,
    last_activity_ms BIGINT NOT NULL,
    requests BIGINT NOT NULL DEFAULT 0,
    compressed BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    rate_limited BIGINT NOT NULL DEFAULT 0,
    unpriced BIGINT NOT NULL DEFAULT 0,
    tokens_before BIGINT NOT NULL DEFAULT 0,
    tokens_after BIGINT NOT NULL DEFAULT 0,
    tokens_saved BIGINT NOT NULL DEFAULT 0,
    tool_tokens_before BIGINT NOT NULL DEFAULT 0,
    tool_tokens_after BIGINT NOT NULL DEFAULT 0,
    tool_tokens_minified BIGINT NOT NULL DEFAULT 0,
    usage_reports BIGINT NOT NULL DEFAULT 0,
    cache_hits BIGINT NOT NULL DEFAULT 0,
    uncached_input_tokens BIGINT NOT NULL DEFAULT 0,
    cache_read_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    saved_nanousd BIGINT NOT NULL DEFAULT 0,
    saved_cached_nanousd BIGINT NOT NULL DEFAULT 0,
    cache_nanousd BIGINT NOT NULL DEFAULT 0,
    input_nanousd BIGINT NOT NULL DEFAULT 0,
    output_nanousd BIGINT NOT NULL DEFAULT 0
);
INSERT INTO display_session (name, started_ms, last_activity_ms) VALUES ('current', 0, 0);

CREATE TABLE checkpoint (
    source TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    requests BIGINT NOT NULL DEFAULT 0,
    compressed BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    rate_limited BIGINT NOT NULL DEFAULT 0,
    unpriced BIGINT NOT NULL DEFAULT 0,
    tokens_before BIGINT NOT NULL DEFAULT 0,
    tokens_after BIGINT NOT NULL DEFAULT 0,
    tokens_saved BIGINT NOT NULL DEFAULT 0,
    tool_tokens_before BIGINT NOT NULL DEFAULT 0,
    tool_tokens_after BIGINT NOT NULL DEFAULT 0,
    tool_tokens_minified BIGINT NOT NULL DEFAULT 0,
    usage_reports BIGINT NOT NULL DEFAULT 0,
    cache_hits BIGINT NOT NULL DEFAULT 0,
    uncached_input_tokens BIGINT NOT NULL DEFAULT 0,
    cache_read_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    saved_nanousd BIGINT NOT NULL DEFAULT 0,
    saved_cached_nanousd BIGINT NOT NULL DEFAULT 0,
    cache_nanousd BIGINT NOT NULL DEFAULT 0,
    input_nanousd BIGINT NOT NULL DEFAULT 0,
    output_nanousd BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (source, at_ms)
) WITHOUT ROWID;

CREATE TABLE rollup (
    unit TEXT NOT NULL,
    dimension TEXT NOT NULL,
    value TEXT NOT NULL,
    bucket_ms BIGINT NOT NULL,
    requests BIGINT NOT NULL DEFAULT 0,
    compressed BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    rate_limited BIGINT NOT NULL DEFAULT 0,
    unpriced BIGINT NOT NULL DEFAULT 0,
    tokens_before BIGINT NOT NULL DEFAULT 0,
    tokens_after BIGINT NOT NULL DEFAULT 0,
    tokens_saved BIGINT NOT NULL DEFAULT 0,
    tool_tokens_before BIGINT NOT NULL DEFAULT 0,
    tool_tokens_after BIGINT NOT NULL DEFAULT 0,
    tool_tokens_minified BIGINT NOT NULL DEFAULT 0,
    usage_reports BIGINT NOT NULL DEFAULT 0,
    cache_hits BIGINT NOT NULL DEFAULT 0,
    uncached_input_tokens BIGINT NOT NULL DEFAULT 0,
    cache_read_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    saved_nanousd BIGINT NOT NULL DEFAULT 0,
    saved_cached_nanousd BIGINT NOT NULL DEFAULT 0,
    cache_nanousd BIGINT NOT NULL DEFAULT 0,
    input_nanousd BIGINT NOT NULL DEFAULT 0,
    output_nanousd BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (unit, dimension, value, bucket_ms)
) WITHOUT ROWID;

CREATE TABLE request (
    ordinal BIGINT PRIMARY KEY,
    vm_id TEXT NOT NULL,
    overhead_us BIGINT NOT NULL,
    record BLOB NOT NULL,
    requests BIGINT NOT NULL DEFAULT 0,
    compressed BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    rate_limited BIGINT NOT NULL DEFAULT 0,
    unpriced BIGINT NOT NULL DEFAULT 0,
    tokens_before BIGINT NOT NULL DEFAULT 0,
    tokens_after BIGINT NOT NULL DEFAULT 0,
    tokens_saved BIGINT NOT NULL DEFAULT 0,
    tool_tokens_before BIGINT NOT NULL DEFAULT 0,
    tool_tokens_after BIGINT NOT NULL DEFAULT 0,
    tool_tokens_minified BIGINT NOT NULL DEFAULT 0,
    usage_reports BIGINT NOT NULL DEFAULT 0,
    cache_hits BIGINT NOT NULL DEFAULT 0,
    uncached_input_tokens BIGINT NOT NULL DEFAULT 0,
    cache_read_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    saved_nanousd BIGINT NOT NULL DEFAULT 0,
    saved_cached_nanousd BIGINT NOT NULL DEFAULT 0,
    cache_nanousd BIGINT NOT NULL DEFAULT 0,
    input_nanousd BIGINT NOT NULL DEFAULT 0,
    output_nanousd BIGINT NOT NULL DEFAULT 0
);
