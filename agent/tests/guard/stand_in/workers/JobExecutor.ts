/**
 * A stand-in of the worker's class of this name (workers/JobExecutor.ts at commit 6264ad3): it writes the row by
 * Supabase's API and not by the worker's connection (1031-1042, 1088-1100), in review it waits for ever (1057-1065),
 * paused it waits for a person (2303-2312). The job's description says what happens: "done", "sleep 200", "until
 * finish", "file PATH" (until it exists), "review", "event" (main's review), "pause".
 */
import { existsSync } from "node:fs";

import type { Store } from "../database.ts";

export class JobExecutor {
  private readonly finished = Promise.withResolvers<void>();

  constructor(
    private readonly store: Store,
    private readonly workerId: string,
  ) {}

  async execute(job: { id: string; task_description: string }): Promise<void> {
    const [word, rest = ""] = job.task_description.split(" ");
    await this.write(job.id, "running");
    const ended = await this.store.began(job.id, this.workerId);
    if (word === "review") await this.write(job.id, "awaiting_review");
    const event = "INSERT INTO gh_job_events VALUES ($1, 'awaiting_user_review', NOW())";
    if (word === "event") await this.store.run(event, [job.id]);
    if (word === "pause") await this.write(job.id, "paused");
    if (word === "sleep") await Bun.sleep(Number(rest));
    else if (word === "until") await this.finished.promise;
    else if (word === "file") while (!existsSync(rest)) await Bun.sleep(5);
    else if (word !== "done") await new Promise(() => {});
    await ended();
    await this.write(job.id, "completed");
  }

  finish(): void {
    this.finished.resolve();
  }

  async write(id: string, status: string): Promise<void> {
    const started = status === "running" ? ", started_at = NOW()" : "";
    const set = `status = $2, last_heartbeat = NOW()${started}`;
    await this.store.run(`UPDATE gh_automation_jobs SET ${set} WHERE id = $1`, [id, status]);
  }
}
