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
    this.write(job.id, "running");
    this.store.run("UPDATE gh_automation_jobs SET runs = runs || $2 WHERE id = $1", [job.id, `${this.workerId} `]);
    if (word === "review") this.write(job.id, "awaiting_review");
    const event = "INSERT INTO gh_job_events VALUES ($1, 'awaiting_user_review', NOW())";
    if (word === "event") this.store.run(event, [job.id]);
    if (word === "pause") this.write(job.id, "paused");
    if (word === "sleep") await Bun.sleep(Number(rest));
    else if (word === "until") await this.finished.promise;
    else if (word === "file") while (!existsSync(rest)) await Bun.sleep(5);
    else if (word !== "done") await new Promise(() => {});
    this.write(job.id, "completed");
  }

  finish(): void {
    this.finished.resolve();
  }

  write(id: string, status: string): void {
    const started = status === "running" ? ", started_at = NOW()" : "";
    const set = `status = $2, last_heartbeat = NOW()${started}`;
    this.store.run(`UPDATE gh_automation_jobs SET ${set} WHERE id = $1`, [id, status]);
  }
}
