/**
 * A stand-in of the worker's class of this name, written for these tests. Its properties, and where they are in the
 * worker's workers/JobPoller.ts at commit 6264ad3: claims rows that are pending or queued and leaves them queued
 * (22-49), polls on a timer (116-122), no second pickup while one is under way (222-226, 275), executes without
 * waiting and picks up again afterwards (246-267), stop() waits for a time and then puts running jobs back (137-164),
 * releaseClaimedJobs() hides its errors (171-203). Shorter here: the poll's 5 s and stop()'s 30 s.
 */
const PICKUP_SQL = `
  WITH next_job AS (
    SELECT id FROM gh_automation_jobs
    WHERE status IN ('pending', 'queued') AND (scheduled_at IS NULL OR scheduled_at <= NOW())
    ORDER BY rowid LIMIT 1 FOR UPDATE SKIP LOCKED
  )
  UPDATE gh_automation_jobs
  SET status = 'queued', worker_id = $1, last_heartbeat = NOW(), updated_at = NOW()
  FROM next_job WHERE gh_automation_jobs.id = next_job.id RETURNING gh_automation_jobs.*`;

export class JobPoller {
  pgDirect: any;
  workerId: string;
  executor: any;
  running = false;
  activeJobs = 0;
  pickupInFlight = false;
  pollTimer: any = null;
  _currentJobId: string | null = null;

  constructor(options: any) {
    this.pgDirect = options.pgDirect;
    this.workerId = options.workerId;
    this.executor = options.executor;
  }

  async start(): Promise<void> {
    this.running = true;
    await this.pgDirect.query("LISTEN gh_job_created");
    this.pgDirect.on("notification", () => this.tryPickup());
    this.pollTimer = setInterval(() => this.tryPickup().catch(() => {}), 20);
    await this.tryPickup();
  }

  async stop(): Promise<void> {
    this.running = false;
    clearInterval(this.pollTimer);
    const limit = Date.now() + 100;
    while (this.activeJobs > 0 && Date.now() < limit) await Bun.sleep(10);
    await this.releaseClaimedJobs();
  }

  async releaseClaimedJobs(): Promise<void> {
    const text = `UPDATE gh_automation_jobs SET status = 'pending', worker_id = NULL
      WHERE worker_id = $1 AND status IN ('queued', 'running') RETURNING id`;
    await this.pgDirect.query(text, [this.workerId]).catch(() => {});
  }

  get activeJobCount(): number {
    return this.activeJobs;
  }

  get isRunning(): boolean {
    return this.running;
  }

  get currentJobId(): string | null {
    return this._currentJobId;
  }

  private async tryPickup(): Promise<void> {
    if (!this.running || this.activeJobs > 0 || this.pickupInFlight) return;
    this.pickupInFlight = true;
    try {
      const [job] = (await this.pgDirect.query(PICKUP_SQL, [this.workerId])).rows;
      if (!job) return;
      this.activeJobs++;
      this._currentJobId = job.id;
      this.executor
        .execute(job)
        .catch(() => {})
        .finally(() => {
          this.activeJobs--;
          this._currentJobId = null;
          this.tryPickup().catch(() => {});
        });
    } finally {
      this.pickupInFlight = false;
    }
  }
}
