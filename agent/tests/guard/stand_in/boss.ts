/**
 * A stand-in of pg-boss 12.14, as far as the worker and the guard use it. What it follows (dist/):
 * a loop for each work() that fetches, hands over, completes or fails (worker.js `run`, manager.js `#processJobs`);
 * offWork lets a fetch that is under way hand over its job, and ignores loops that stop already (manager.js `offWork`);
 * stop fails what is still active (index.js `stop`, manager.js `failWip`); a conflict makes send return null (plans.js
 * `insertJobs`); fail leaves what has ended (plans.js `failJobsById`).
 */
import type { Row, Store } from "./database.ts";

type Handler = (jobs: { id: string; name: string; data: any }[]) => Promise<unknown>;

interface Loop {
  name: string;
  stopping: boolean;
  ended: Promise<void>;
  active: string | null;
}

export class Boss {
  /** What waits for a gate: a fetch after its claim, an entry's completion after its handler. */
  fetchGate: Promise<void> | undefined;
  completeGate: Promise<void> | undefined;
  loseAnswersOfSend = 0;
  failFetches = false;
  /** Policy `exclusive`: one entry with a key that has not ended. The default, `standard`, has no such rule. */
  exclusive = false;
  private loops: Loop[] = [];

  constructor(
    private readonly store: Store,
    private readonly interval = 10,
  ) {}

  async createQueue(): Promise<void> {}

  async work(name: string, _options: object, handler: Handler): Promise<void> {
    const loop: Loop = { name, stopping: false, ended: Promise.resolve(), active: null };
    loop.ended = this.run(loop, handler);
    this.loops.push(loop);
  }

  async offWork(name: string, options = { wait: true }): Promise<void> {
    const loops = this.loops.filter((loop) => loop.name === name && !loop.stopping);
    for (const loop of loops) loop.stopping = true;
    if (options.wait) await Promise.all(loops.map((loop) => loop.ended));
  }

  async send(name: string, data: object, options: Row = {}): Promise<string | null> {
    const id = options.id ?? crypto.randomUUID();
    const key = options.singletonKey ?? null;
    const open = "state IN ('created', 'active') AND name = $1 AND singleton_key = $2";
    if ((await this.store.run("SELECT id FROM pgboss_job WHERE id = $1", [id])).length > 0) return null;
    const same = await this.store.run(`SELECT id FROM pgboss_job WHERE ${open}`, [name, key]);
    if (this.exclusive && same.length > 0) return null;
    const at = Date.now() + Number(options.startAfter ?? 0) * 1000;
    const values = [id, name, JSON.stringify(data), options.priority ?? 0, at, key];
    await this.store.run("INSERT INTO pgboss_job VALUES ($1, $2, $3, 'created', $4, $5, $6, $7, $8)", [
      ...values,
      options.retryLimit ?? 2,
      options.expireInSeconds ?? 900,
    ]);
    if (this.loseAnswersOfSend-- > 0) throw new Error("connection lost");
    return id;
  }

  async fail(name: string, id: string): Promise<void> {
    await this.end(name, id, "failed");
  }

  async getJobById(name: string, id: string): Promise<Row | null> {
    const [row] = await this.store.run("SELECT * FROM pgboss_job WHERE name = $1 AND id = $2", [name, id]);
    return row ? { ...row, data: JSON.parse(row.data), singletonKey: row.singleton_key } : null;
  }

  async stop(options: { graceful?: boolean; timeout?: number } = {}): Promise<void> {
    for (const loop of this.loops) loop.stopping = true;
    const ended = Promise.all(this.loops.map((loop) => loop.ended));
    if (options.graceful) await Promise.race([ended, Bun.sleep(options.timeout ?? 30_000)]);
    for (const loop of this.loops) if (loop.active) await this.end(loop.name, loop.active, "failed");
  }

  private async end(name: string, id: string, state: string): Promise<void> {
    const open = "state IN ('created', 'active')";
    await this.store.run(`UPDATE pgboss_job SET state = $3 WHERE name = $1 AND id = $2 AND ${open}`, [name, id, state]);
  }

  private async run(loop: Loop, handler: Handler): Promise<void> {
    while (!loop.stopping) {
      await Bun.sleep(this.interval);
      try {
        if (this.failFetches) throw new Error("connection lost");
        const [row] = await this.store.run(
          `UPDATE pgboss_job SET state = 'active' WHERE id = (SELECT id FROM pgboss_job WHERE name = $1 AND
           state = 'created' AND start_after <= NOW() ORDER BY rowid LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *`,
          [loop.name],
        );
        await this.fetchGate;
        if (!row) continue;
        loop.active = row.id;
        await handler([{ id: row.id, name: row.name, data: JSON.parse(row.data) }]).then(
          async () => (await this.completeGate, this.end(row.name, row.id, "completed")),
          () => this.end(row.name, row.id, "failed"),
        );
      } catch {
        // pg-boss emits an error and goes on
      }
      loop.active = null;
    }
  }
}
