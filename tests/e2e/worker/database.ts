/**
 * The stand-in worker's database: PostgreSQL, by the statements of the stand-in (agent/tests/guard/stand_in), through a
 * pooler in transaction mode. Each time inside a job is recorded as tools/real_worker/recording.sql has it.
 */
import { SQL } from "bun";

export type Row = Record<string, any>;

const url = process.env.DATABASE_URL!;
const tls = url.includes("sslmode=require") ? { rejectUnauthorized: false } : false;
const sql = new SQL({ url: url.replace(/\?.*/, ""), max: 3, prepare: false, tls, connectionTimeout: 5 });
/** Every process has 1 as its id in a container of its own. */
const process_id = Math.floor(Math.random() * 2 ** 31);
const NOW = "(extract(epoch from now()) * 1000)";

const literal = (value: unknown): string =>
  value === null || value === undefined ? "NULL" : `'${String(value).replaceAll("'", "''")}'`;

/**
 * With the values written into the text: bun 1.2 sends a statement and its values one after the other, between which a
 * pooler in transaction mode gives the connection to somebody else.
 */
function run(text: string, values: unknown[] = []): Promise<Row[] & { count: number }> {
  const own = text.replace("start_after <= NOW()", `start_after <= ${NOW}`);
  return sql.unsafe(own.replace(/\$(\d+)/g, (_, n) => literal(values[Number(n) - 1])));
}

export class Store {
  run(text: string, values: unknown[] = []): Promise<Row[] & { count: number }> {
    return run(text, values);
  }

  /** A worker is inside a job from now on; what to call when it has finished it. */
  async began(job: string, worker: string): Promise<() => Promise<void>> {
    const insert = "INSERT INTO real_worker.runs (job, worker, pid) VALUES ($1, $2, $3) RETURNING run";
    const [row] = await run(insert, [job, worker, process_id]);
    const beat = "UPDATE real_worker.runs SET beat = clock_timestamp() WHERE run = $1";
    const timer = setInterval(() => run(beat, [row!.run]).catch(() => {}), 500);
    return async () => {
      clearInterval(timer);
      await run("UPDATE real_worker.runs SET ended = clock_timestamp() WHERE run = $1", [row!.run]);
    };
  }
}

/** The worker's own connection. When it breaks, the worker ends (main.ts 352-356). */
export class Connection {
  constructor(readonly store: Store) {
    setInterval(() => this.query("SELECT 1"), 2_000);
  }

  on(): this {
    return this;
  }

  async query(text: string, values: unknown[] = []): Promise<{ rows: Row[]; rowCount: number }> {
    if (/^(UN)?LISTEN/.test(text)) return { rows: [], rowCount: 0 };
    const rows = await run(text, values);
    return { rows: [...rows], rowCount: rows.count };
  }

  async end(): Promise<void> {}
}
