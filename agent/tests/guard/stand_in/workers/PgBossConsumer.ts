/**
 * A stand-in of the worker's class of this name, written for these tests. Its properties, and where they are in the
 * worker's workers/PgBossConsumer.ts at commit 6264ad3: one subscription to the general queue and one to its own
 * (68-109), stop() unsubscribes neither (111-115), a job that arrives while another runs is sent again without options
 * (128-158), claims the row if it is still pending or queued (188-200), releaseClaimedJobs() fails pg-boss's entry,
 * sets the row to pending and sends nothing (264-304).
 */
const QUEUE_APPLY_JOB = 'gh_apply_job';

export class PgBossConsumer {
  boss: any;
  pgDirect: any;
  workerId: string;
  executor: any;
  running = false;
  activeJobs = 0;
  processing = false;
  _currentJobId: string | null = null;
  _currentPgBossJobId: string | null = null;
  _currentQueueName: string | null = null;

  constructor(options: any) {
    this.boss = options.boss;
    this.pgDirect = options.pgDirect;
    this.workerId = options.workerId;
    this.executor = options.executor;
  }

  async start(): Promise<void> {
    this.running = true;
    const targetedQueue = `${QUEUE_APPLY_JOB}/${this.workerId}`;
    await this.boss.work(QUEUE_APPLY_JOB, { batchSize: 1 }, ([job]: any[]) => this.handleJob(job));
    await this.boss.work(targetedQueue, { batchSize: 1 }, ([job]: any[]) => this.handleJob(job));
  }

  async stop(): Promise<void> {
    this.running = false;
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

  private async handleJob(job: any): Promise<void> {
    const payload = job.data;
    const ghJobId = payload.ghJobId;
    const queueName = job.name;
    if (this.processing) {
      await this.boss.send(queueName, payload);
      return;
    }
    this.processing = true;
    this.activeJobs++;
    this._currentJobId = ghJobId;
    this._currentPgBossJobId = job.id;
    this._currentQueueName = queueName;
    try {
      const found = await this.pgDirect.query(`SELECT * FROM gh_automation_jobs WHERE id = $1`, [ghJobId]);
      const claim = await this.pgDirect.query(
        `UPDATE gh_automation_jobs SET status = 'running', worker_id = $1, started_at = NOW(), last_heartbeat = NOW()
         WHERE id = $2 AND status IN ('queued', 'pending') RETURNING id`,
        [this.workerId, ghJobId],
      );
      if (claim.rowCount > 0) await this.executor.execute(found.rows[0]);
    } catch {
      // the executor has written what went wrong
    } finally {
      this.activeJobs--;
      this._currentJobId = null;
      this._currentPgBossJobId = null;
      this._currentQueueName = null;
      this.processing = false;
    }
  }

  async releaseClaimedJobs(): Promise<void> {
    try {
      if (this._currentPgBossJobId) await this.boss.fail(this._currentQueueName, this._currentPgBossJobId);
      const text = `UPDATE gh_automation_jobs SET status = 'pending', worker_id = NULL
        WHERE worker_id = $1 AND status IN ('queued', 'running') RETURNING id`;
      await this.pgDirect.query(text, [this.workerId]);
    } catch {
      // only logged
    }
  }
}
