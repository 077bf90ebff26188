/** Workers of the stand-in in this process. */
import { Boss } from "./stand_in/boss.ts";
import { Connection, Store } from "./stand_in/database.ts";
import { JobExecutor } from "./stand_in/workers/JobExecutor.ts";
import { JobPoller } from "./stand_in/workers/JobPoller.ts";
import { PgBossConsumer } from "./stand_in/workers/PgBossConsumer.ts";

export type Mode = "legacy" | "queue";
export const MODES: Mode[] = ["legacy", "queue"];

export async function until(holds: () => boolean, what: string, ms = 20_000): Promise<void> {
  for (const end = Date.now() + ms; !holds(); await Bun.sleep(2)) {
    if (Date.now() > end) throw new Error(`never happened: ${what}`);
  }
}

export interface Worker {
  processor: JobPoller | PgBossConsumer;
  connection: Connection;
  boss: Boss;
  executor: JobExecutor;
}

/** Workers in one dispatch mode beside one database. */
export class Scene {
  readonly store = new Store();
  private readonly workers: Worker[] = [];

  constructor(readonly mode: Mode) {}

  make(id: string, prepare: (worker: Worker) => void = () => {}): Worker {
    const connection = new Connection(this.store);
    const boss = new Boss(this.store);
    const executor = new JobExecutor(this.store, id);
    const options = { boss, pgDirect: connection, workerId: id, executor, maxConcurrent: 1 };
    const processor = this.mode === "queue" ? new PgBossConsumer(options) : new JobPoller(options);
    const worker = { processor, connection, boss, executor };
    prepare(worker);
    this.workers.push(worker);
    return worker;
  }

  async start(id: string, prepare?: (worker: Worker) => void): Promise<Worker> {
    const worker = this.make(id, prepare);
    await worker.processor.start();
    return worker;
  }

  insert(description: string, columns = {}, queue?: string): string {
    return this.store.insert(this.mode, description, columns, queue);
  }

  /** A worker with one job inside. */
  async busy(description: string, prepare?: (worker: Worker) => void): Promise<{ worker: Worker; job: string }> {
    const worker = await this.start("first", prepare);
    const job = this.insert(description, { callback_url: "http://valet/callback", valet_task_id: "task" });
    await until(() => this.store.job(job).runs !== "", "the job runs");
    return { worker, job };
  }

  /** Nothing of this scene takes another job. */
  end(): void {
    for (const { processor, boss } of this.workers) {
      processor.running = false;
      if (processor instanceof JobPoller) clearInterval(processor.pollTimer);
      void boss.stop({ graceful: true, timeout: 0 });
    }
  }
}
