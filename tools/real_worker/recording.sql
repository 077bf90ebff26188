-- What a trial records besides the worker's own tables. Runs after the worker's migrations.
ALTER TABLE gh_automation_jobs ADD COLUMN IF NOT EXISTS execution_attempt_id uuid; -- VALET's migrations add it
CREATE SCHEMA real_worker;

-- A process inside a job's browser step. It moves `beat` while it is there, and sets `ended` when it has finished.
CREATE TABLE real_worker.runs (
    run bigserial PRIMARY KEY,
    job uuid NOT NULL,
    worker text NOT NULL,
    pid int NOT NULL,
    began timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended timestamptz
);

-- Every change of a job's status or worker.
CREATE TABLE real_worker.changes (
    change bigserial PRIMARY KEY,
    job uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    old_status text,
    status text NOT NULL,
    old_worker text,
    worker text
);
CREATE FUNCTION real_worker.record_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO real_worker.changes (job, old_status, status, old_worker, worker)
    VALUES (NEW.id, OLD.status, NEW.status, OLD.worker_id, NEW.worker_id);
    RETURN NEW;
END $$;
CREATE TRIGGER record_change AFTER UPDATE ON gh_automation_jobs FOR EACH ROW
    WHEN ((OLD.status, OLD.worker_id) IS DISTINCT FROM (NEW.status, NEW.worker_id))
    EXECUTE FUNCTION real_worker.record_change();
