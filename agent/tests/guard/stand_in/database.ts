/**
 * A stand-in of `pg` and of the two tables that the guard touches, on SQLite, so that SQL is run and not compared.
 * It knows the PostgreSQL words that the worker and the guard use; others are an error.
 */
import { Database as SQLite } from "bun:sqlite";
import { existsSync } from "node:fs";

export type Row = Record<string, any>;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS gh_automation_jobs (
    id TEXT PRIMARY KEY, status TEXT CHECK (status IN ('pending', 'queued', 'running', 'paused', 'needs_human',
      'awaiting_review', 'completed', 'failed', 'cancelled')),
    task_description TEXT, worker_id TEXT, target_worker_id TEXT, scheduled_at INTEGER, started_at INTEGER,
    last_heartbeat INTEGER, updated_at INTEGER, completed_at INTEGER, error_code TEXT, error_details TEXT,
    callback_url TEXT, valet_task_id TEXT, runs TEXT DEFAULT '');
  CREATE TABLE IF NOT EXISTS gh_job_events (job_id TEXT, event_type TEXT, created_at INTEGER);
  CREATE TABLE IF NOT EXISTS pgboss_job (
    id TEXT PRIMARY KEY, name TEXT, data TEXT, state TEXT, priority INTEGER, start_after INTEGER, singleton_key TEXT,
    retry_limit INTEGER, expire_seconds INTEGER);`;

function translate(text: string): string {
  return text
    .replace(/::(UUID|TEXT)/g, "")
    .replace(/NOW\(\)/g, String(Date.now()))
    .replace(/INTERVAL '(\d+) seconds'/g, (_, n) => `${n}000`)
    .replace(/INTERVAL '(\d+) minutes'/g, (_, n) => `${Number(n) * 60_000}`)
    .replace(/GREATEST\((\w+), ([^()]*)\)/g, "max(coalesce($1, 0), $2)")
    .replace(/jsonb_build_object\(/g, "json_object(")
    .replace("FOR UPDATE SKIP LOCKED", "")
    .replace("gh_automation_jobs.*", "*")
    .replace(/\$(\d)/g, "?$1");
}

/** The database itself; `downFile`: it is unreachable as long as that file exists. */
export class Store {
  readonly sqlite: SQLite;

  constructor(
    file = ":memory:",
    private readonly downFile = `${file}.down`,
  ) {
    this.sqlite = new SQLite(file);
    this.sqlite.exec("PRAGMA busy_timeout = 5000");
    this.sqlite.exec(SCHEMA);
  }

  get down(): boolean {
    return existsSync(this.downFile);
  }

  run(text: string, values: any[] = []): Row[] {
    if (this.down) throw new Error("the database is away");
    return this.sqlite.query(translate(text)).all(...values) as Row[];
  }

  /** A worker is inside a job from now on; what to call when it has finished it. */
  began(id: string, worker: string): () => void {
    this.run("UPDATE gh_automation_jobs SET runs = runs || $2 WHERE id = $1", [id, `${worker} `]);
    return () => {};
  }

  job(id: string): Row {
    return this.run("SELECT * FROM gh_automation_jobs WHERE id = $1", [id])[0]!;
  }

  entries(): Row[] {
    return this.run("SELECT * FROM pgboss_job ORDER BY rowid");
  }

  /** A job as VALET (queue) or the worker's API (legacy) inserts it. */
  insert(mode: string, description: string, columns: Row = {}, queue = "gh_apply_job"): string {
    const row: Row = { id: crypto.randomUUID(), status: mode === "queue" ? "queued" : "pending", ...columns };
    row.task_description = description;
    const names = Object.keys(row);
    const places = names.map((_, index) => `$${index + 1}`).join(", ");
    this.run(`INSERT INTO gh_automation_jobs (${names.join(", ")}) VALUES (${places})`, Object.values(row));
    if (mode === "queue") {
      const data = JSON.stringify({ ghJobId: row.id, jobType: "apply" });
      const values = [crypto.randomUUID(), queue, data, `task of ${row.id}`];
      this.run("INSERT INTO pgboss_job VALUES ($1, $2, $3, 'created', 3, 0, $4, 0, 14400)", values);
    }
    return row.id;
  }
}

/** One connection: statements run in the order in which they were sent. */
export class Connection {
  sent: string[] = [];
  failures: { text: string; times: number }[] = [];
  /** The answer to a statement with this text waits for the gate. */
  gate: { text: string; open: Promise<void> } | undefined;
  /** Nothing is run or answered any more. */
  silent = false;
  /** Called when a statement has run. */
  onRun: (text: string) => void = () => {};
  private last: Promise<unknown> = Promise.resolve();

  constructor(readonly store: Store) {}

  on(): this {
    return this;
  }

  async end(): Promise<void> {}

  query(text: string, values: unknown[] = []): Promise<{ rows: Row[]; rowCount: number }> {
    this.sent.push(text);
    const result = this.last.then(async () => {
      if (/^(UN)?LISTEN/.test(text)) return { rows: [], rowCount: 0 };
      const failure = this.failures.find((each) => each.times > 0 && text.includes(each.text));
      if (failure) throw (failure.times -= 1, new Error("connection lost"));
      if (this.silent) await new Promise(() => {});
      const rows = this.store.run(text, values as any[]);
      this.onRun(text);
      if (this.gate && text.includes(this.gate.text)) await this.gate.open;
      return { rows, rowCount: rows.length };
    });
    this.last = result.catch(() => {});
    return result;
  }
}
