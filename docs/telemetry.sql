-- A table for a receiver of Headroom's telemetry, for PostgreSQL. The beacon posts one JSON object; a later one
-- of the same session replaces the earlier one, because all sums are totals.
--
-- The names are those of the payload, as `headroomctl telemetry show` prints it.
create table if not exists headroom_telemetry (
    session_id          text primary key,
    received_at         timestamptz not null default now(),
    instance_id         text not null,
    headroom_version    text not null,
    os                  text not null,
    sdk                 text not null,
    backend             text not null,
    session_minutes     bigint not null,
    install_mode        text not null,
    -- which client or harness: the one with more than four requests in five, else 'mixed'
    headroom_stack      text not null,
    -- {"claude_code": 120, "codex": 3}
    requests_by_stack   jsonb not null default '{}',
    tokens_saved        bigint not null,
    requests            bigint not null,
    compression_percent double precision,
    cache_hit_rate      double precision,
    cost_saved_usd      double precision,
    cache_saved_usd     double precision,
    models_used         jsonb not null default '[]',
    overhead_avg_ms     double precision,
    overhead_max_ms     double precision,
    ttfb_avg_ms         double precision,
    pipeline_timing     jsonb,
    avg_tokens_before   bigint,
    avg_tokens_after    bigint
);

-- $1 is the body of the request.
insert into headroom_telemetry
select posted.session_id, now(), posted.instance_id, posted.headroom_version, posted.os, posted.sdk, posted.backend,
       posted.session_minutes, posted.install_mode, posted.headroom_stack, coalesce(posted.requests_by_stack, '{}'),
       posted.tokens_saved, posted.requests, posted.compression_percent, posted.cache_hit_rate, posted.cost_saved_usd,
       posted.cache_saved_usd, coalesce(posted.models_used, '[]'), posted.overhead_avg_ms, posted.overhead_max_ms,
       posted.ttfb_avg_ms, posted.pipeline_timing, posted.avg_tokens_before, posted.avg_tokens_after
from jsonb_populate_record(null::headroom_telemetry, $1::jsonb) as posted
on conflict (session_id) do update set
    received_at = excluded.received_at,
    session_minutes = excluded.session_minutes,
    headroom_stack = excluded.headroom_stack,
    requests_by_stack = excluded.requests_by_stack,
    tokens_saved = excluded.tokens_saved,
    requests = excluded.requests,
    compression_percent = excluded.compression_percent,
    cache_hit_rate = excluded.cache_hit_rate,
    cost_saved_usd = excluded.cost_saved_usd,
    cache_saved_usd = excluded.cache_saved_usd,
    models_used = excluded.models_used,
    overhead_avg_ms = excluded.overhead_avg_ms,
    overhead_max_ms = excluded.overhead_max_ms,
    ttfb_avg_ms = excluded.ttfb_avg_ms,
    pipeline_timing = excluded.pipeline_timing,
    avg_tokens_before = excluded.avg_tokens_before,
    avg_tokens_after = excluded.avg_tokens_after;

-- Requests and tokens saved by stack, over all sessions.
create or replace view headroom_requests_by_stack as
select stack.key as stack, sum(stack.value::bigint) as requests
from headroom_telemetry, jsonb_each_text(requests_by_stack) as stack
group by stack.key
order by requests desc;
