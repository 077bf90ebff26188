-- What the stand-in worker and the guard use of the worker's database; job ids and times as PostgreSQL has them.
CREATE TABLE gh_automation_jobs (
    id uuid PRIMARY KEY,
    status text CHECK (status IN ('pending', 'queued', 'running', 'paused', 'needs_human', 'awaiting_review', 'completed',
        'failed', 'cancelled')),
    task_description text,
    worker_id text,
    target_worker_id text,
    scheduled_at timestamptz,
    started_at timestamptz,
    last_heartbeat timestamptz,
    updated_at timestamptz,
    completed_at timestamptz,
    error_code text,
    error_details jsonb,
    callback_url text,
    valet_task_id text,
    rowid bigserial
);
CREATE TABLE gh_job_events (job_id uuid, event_type text, created_at timestamptz);
CREATE TABLE pgboss_job (
    id uuid PRIMARY KEY,
    name text,
    data text,
    state text,
    priority int,
    start_after bigint,
    singleton_key text,
    retry_limit int,
    expire_seconds int,
    rowid bigserial
);
