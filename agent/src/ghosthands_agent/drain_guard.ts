/**
 * Drain guard: `bun --preload drain_guard.ts` in front of the GhostHands worker, whose own code and image stay as they are.
 *
 * The worker's own drain puts a job back while it still runs, or loses it. With the guard
 * - drain and the first SIGTERM stop the pickup at once and wait for the running job, however long it takes;
 * - while that lasts the status says busy, so "draining and no active job" is final;
 * - a forced release (second SIGTERM) really puts the job back, for other workers 5 s later, or the exit code is 70;
 * - a row that another worker has claimed is not claimed again (legacy dispatch).
 *
 * It changes nothing unless the worker's source has every shape that it needs. `GET /worker/status` says which in its
 * member `drain_guard`. It imports none of the worker's modules: the loader hands it each class when the worker loads it.
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";

const VERSION = 1;
const GENERAL_QUEUE = "gh_apply_job";
/** A released job is not available to others before this process has ended. */
const RELEASE_DELAY_SECONDS = 5;
/** How long putting a job back is tried. Then the job may be lost, and the process ends with EXIT_JOB_LOST. */
const RELEASE_LIMIT_MS = 10_000;
const QUERY_LIMIT_MS = 3_000;
/** A write of the running job that was under way at the release has arrived after this time. */
const SETTLE_MS = 300;
const STATUS_INTERVAL_MS = 2_000;
/** As VALET sends a job to pg-boss. */
const EXPIRE_SECONDS = 14_400;
const EXIT_JOB_LOST = 70;

/** What the guard needs in the worker's source, white space aside. */
const FRAGMENTS: Record<string, string[]> = {
  "main.ts": [
    "consumer.stop()", "poller.stop()", "consumer.releaseClaimedJobs()", "poller.releaseClaimedJobs()", "consumer.activeJobCount",
    "poller.activeJobCount", "await releaseJobs()", "process.exit(1)", "await stopJobProcessor()", "stopJobProcessor().then(",
  ],
  "JobPoller.ts": [
    "this.pgDirect.query(PICKUP_SQL, [this.workerId])", "WHERE status IN ('pending', 'queued') AND (", "FOR UPDATE SKIP LOCKED",
    "SET status = 'queued', worker_id = $1, last_heartbeat = NOW()", "if (!this.running || ", "this.pickupInFlight = true",
    "this.pickupInFlight = false", "this.activeJobs++", "this.activeJobs--", "this._currentJobId = job.id", "clearInterval(this.pollTimer)",
  ],
  "PgBossConsumer.ts": [
    "'gh_apply_job'", "`${QUEUE_APPLY_JOB}/${this.workerId}`", "this.boss.work<GhJobPayload>( QUEUE_APPLY_JOB,",
    "this.boss.work<GhJobPayload>( targetedQueue,", "payload.ghJobId", "this.processing = true", "this.processing = false", "this.activeJobs++",
    "this.activeJobs--", "this._currentJobId = ghJobId", "this._currentPgBossJobId = job.id", "this._currentQueueName = queueName",
    "await this.pgDirect.query(", "UPDATE gh_automation_jobs SET status = 'running', worker_id = $1",
  ],
};
const METHODS = ["start", "stop", "releaseClaimedJobs"] as const;
const BOSS_METHODS = ["offWork", "send", "fail", "getJobById"] as const;

/** A claimed row is `queued` until it runs: only its claim tells. One whose claimant died is free again after 2 minutes. */
const PICKUP_CONDITION = "status IN ('pending', 'queued')";
const EXCLUSIVE_CONDITION = `${PICKUP_CONDITION}
      AND (status = 'pending' OR worker_id IS NULL OR last_heartbeat IS NULL OR last_heartbeat < NOW() - INTERVAL '2 minutes')`;

const STATUS_SQL = "SELECT status FROM gh_automation_jobs WHERE id = $1::UUID";
const PUT_BACK_SQL = `
  UPDATE gh_automation_jobs
  SET status = 'pending', worker_id = NULL, updated_at = NOW(),
      scheduled_at = GREATEST(scheduled_at, NOW() + INTERVAL '${RELEASE_DELAY_SECONDS} seconds'),
      error_details = jsonb_build_object('released_by', $2::TEXT, 'reason', 'worker_shutdown')
  WHERE id = $1::UUID AND (worker_id = $2::TEXT OR worker_id IS NULL) AND status IN ('pending', 'queued', 'running', 'paused')
  RETURNING id`;
const INTERACTION = {
  type: "review_interrupted",
  message: "The worker was shut down while the application waited for review, and its browser is gone",
  description: "Check whether the application was submitted. If not, retry it; else cancel it",
};
const REVIEW_SQL = `
  UPDATE gh_automation_jobs
  SET status = 'needs_human', worker_id = NULL, completed_at = NOW(), updated_at = NOW(), error_code = '${INTERACTION.type}',
      interaction_type = '${INTERACTION.type}', interaction_data = $3::JSONB,
      error_details = jsonb_build_object('released_by', $2::TEXT, 'reason', 'worker_shutdown')
  WHERE id = $1::UUID AND (worker_id = $2::TEXT OR worker_id IS NULL) AND status = 'awaiting_review'
  RETURNING callback_url, valet_task_id`;

interface Database {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
}

interface Boss {
  offWork(queue: string, options: { wait: boolean }): Promise<void>;
  send(queue: string, data: object, options: object): Promise<string | null>;
  fail(queue: string, id: string, data: object): Promise<unknown>;
  getJobById(queue: string, id: string): Promise<{ data: object; priority?: number; singletonKey?: string | null } | null>;
}

/** JobPoller or PgBossConsumer, as far as the guard uses it. */
interface Processor {
  workerId: string;
  running: boolean;
  activeJobs: number;
  pgDirect: Database;
  _currentJobId: string | null;
  pollTimer?: ReturnType<typeof setInterval> | null;
  pickupInFlight?: boolean;
  boss?: Boss;
  processing?: boolean;
  _currentPgBossJobId?: string | null;
  _currentQueueName?: string | null;
}

type Methods = Record<(typeof METHODS)[number], (this: Processor) => Promise<void>>;

interface ProcessorClass {
  prototype: Methods & { readonly activeJobCount: number };
}

interface Job {
  id: string;
  entry: { queue: string; id: string; newId: string } | null;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const never = <T>(): Promise<T> => new Promise<T>(() => {});
const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const log = (text: string): void => console.warn(`[drain_guard] ${text}`);

function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** What the guard does for the one processor of this process. */
class Guard {
  released = false;
  private readonly database: Database;
  private starting: Promise<unknown> = Promise.resolve();
  private stopping: Promise<void> | undefined;
  private stopped = false;
  private releasing: Promise<void> | undefined;
  private frozen = false;
  /** pg-boss's loops (one for each queue) that may still take a job. */
  private loops: number;
  private status: { job: string; value: string } | undefined;

  constructor(
    private readonly processor: Processor,
    private readonly original: Methods,
  ) {
    this.database = processor.pgDirect;
    this.loops = processor.boss ? 2 : 0;
    processor.pgDirect = new Proxy(this.database, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        return key === "query" ? this.query.bind(this) : value.bind(target);
      },
    });
  }

  /** No longer guarded: the worker's own code alone from here on. */
  detach(): void {
    this.processor.pgDirect = this.database;
  }

  start(): Promise<void> {
    const result = this.original.start.call(this.processor);
    this.starting = result.catch(() => {});
    return result;
  }

  get busy(): boolean {
    return this.stopping !== undefined && !this.stopped;
  }

  get jobInside(): boolean {
    return this.processor.activeJobs > 0 || this.pickupUnderWay;
  }

  report(): { job: string | null; job_status: string | null } {
    const job = this.processor._currentJobId ?? null;
    return { job, job_status: this.status?.job === job ? this.status.value : null };
  }

  /** The first call stops the pickup; all calls end when no job is inside any more. */
  stop(): Promise<void> {
    return (this.stopping ??= this.finish());
  }

  /** Puts the running job back. Ends the process where that fails: nobody would find the job. */
  release(): Promise<void> {
    return (this.releasing ??= this.putBack());
  }

  private query(text: string, ...values: unknown[]): Promise<{ rows: Record<string, unknown>[] }> {
    if (this.frozen) return never(); // nothing that still runs here may claim the released job again
    const pickup = typeof text === "string" && text.includes("FOR UPDATE SKIP LOCKED");
    return Reflect.apply(this.database.query, this.database, [pickup ? text.replace(PICKUP_CONDITION, EXCLUSIVE_CONDITION) : text, ...values]);
  }

  private get pickupUnderWay(): boolean {
    const { boss, processing, pickupInFlight } = this.processor;
    // After stop() a loop of pg-boss ends when its fetch found nothing or its job is done.
    return boss ? this.busy && this.loops > (processing ? 1 : 0) : pickupInFlight === true;
  }

  private async finish(): Promise<void> {
    const { processor } = this;
    processor.running = false;
    if (processor.pollTimer) clearInterval(processor.pollTimer);
    void this.readStatus();
    const timer = setInterval(() => void this.readStatus(), STATUS_INTERVAL_MS);
    try {
      await Promise.race([this.starting, sleep(RELEASE_LIMIT_MS)]);
      if (processor.boss) {
        const { boss, workerId } = processor;
        const queues = [GENERAL_QUEUE, `${GENERAL_QUEUE}/${workerId}`];
        await Promise.all(queues.map((queue) => boss.offWork(queue, { wait: true }).then(() => (this.loops -= 1))));
      }
      while (this.jobInside) await sleep(25);
      this.stopped = true;
    } finally {
      clearInterval(timer);
    }
  }

  private async readStatus(): Promise<void> {
    const job = this.processor._currentJobId;
    if (!job) return;
    const result = await this.database.query(STATUS_SQL, [job]).catch(() => undefined);
    if (result?.rows[0]) this.status = { job, value: String(result.rows[0].status) };
  }

  private async putBack(): Promise<void> {
    this.stop().catch(() => {});
    const deadline = Date.now() + RELEASE_LIMIT_MS;
    while (this.pickupUnderWay) {
      if (Date.now() > deadline) this.lose("whether a job was taken is not known: its pickup did not end");
      await sleep(10);
    }
    const job = this.currentJob();
    if (job) {
      this.frozen = true;
      for (;;) {
        try {
          log(await this.putBackOnce(job));
          break;
        } catch (error) {
          if (Date.now() > deadline) this.lose(`job ${job.id} could not be put back: ${message(error)}`);
          await sleep(200);
        }
      }
    }
    this.released = true;
    await this.original.releaseClaimedJobs.call(Object.create(this.processor, { pgDirect: { value: this.database } }));
  }

  private currentJob(): Job | null {
    const { _currentJobId: id, _currentPgBossJobId: entry, _currentQueueName: queue } = this.processor;
    if (!id || this.processor.activeJobs === 0) return null;
    return { id, entry: entry && queue ? { queue, id: entry, newId: crypto.randomUUID() } : null };
  }

  /** May be repeated: each step leaves what is done already. Returns what it did. */
  private async putBackOnce(job: Job): Promise<string> {
    let outcome = await this.putBackRow(job);
    await sleep(SETTLE_MS);
    outcome = await this.putBackRow(job, outcome);
    if (outcome === "pending" && job.entry) await this.sendAgain(job.id, job.entry);
    if (outcome === "pending") return `job ${job.id} was put back`;
    return outcome === "review" ? `job ${job.id} waited for review and needs a person now` : `job ${job.id} had ended, it is not put back`;
  }

  private async putBackRow(job: Job, before?: string): Promise<"pending" | "review" | "ended"> {
    const of = [job.id, this.processor.workerId];
    const review = await this.run(REVIEW_SQL, [...of, JSON.stringify(INTERACTION)]);
    if (review[0]) await this.notify(job.id, review[0]);
    if (review[0] || before === "review") return "review";
    return (await this.run(PUT_BACK_SQL, of)).length > 0 ? "pending" : "ended";
  }

  /** To the general queue: nobody else listens to this worker's own. */
  private async sendAgain(job: string, entry: NonNullable<Job["entry"]>): Promise<void> {
    const boss = this.processor.boss!;
    const old = await within(boss.getJobById(entry.queue, entry.id), QUERY_LIMIT_MS, "reading the entry of pg-boss");
    await within(boss.fail(entry.queue, entry.id, { reason: "worker_shutdown" }), QUERY_LIMIT_MS, "failing the entry of pg-boss");
    const options = {
      id: entry.newId, // so that a repeated attempt does not send the job twice
      retryLimit: 0,
      expireInSeconds: EXPIRE_SECONDS,
      startAfter: RELEASE_DELAY_SECONDS,
      priority: old?.priority ?? 0,
      ...(old?.singletonKey ? { singletonKey: old.singletonKey } : {}),
    };
    const sent = await within(boss.send(GENERAL_QUEUE, old?.data ?? { ghJobId: job }, options), QUERY_LIMIT_MS, "sending to pg-boss");
    if (sent) return;
    const earlier = await within(boss.getJobById(GENERAL_QUEUE, entry.newId), QUERY_LIMIT_MS, "reading the new entry of pg-boss");
    if (!earlier) throw new Error(`pg-boss did not accept it in the queue ${GENERAL_QUEUE}`);
  }

  /** Tells VALET, as the worker does for every job that needs a person. The row is what counts: a failure is only logged. */
  private async notify(job: string, row: Record<string, unknown>): Promise<void> {
    if (typeof row.callback_url !== "string" || !row.callback_url) return;
    try {
      const { callbackNotifier } = await import(`${directory}/callbackNotifier.ts`);
      const sent = callbackNotifier.notifyHumanNeeded(job, row.callback_url, INTERACTION, row.valet_task_id ?? null, this.processor.workerId);
      await within(sent, QUERY_LIMIT_MS, "the callback");
    } catch (error) {
      log(`the callback for job ${job} failed: ${message(error)}`);
    }
  }

  private async run(text: string, values: unknown[]): Promise<Record<string, unknown>[]> {
    return (await within(this.database.query(text, values), QUERY_LIMIT_MS, "a query")).rows;
  }

  private lose(reason: string): never {
    log(`${reason}; exit code ${EXIT_JOB_LOST}`);
    process.exit(EXIT_JOB_LOST);
  }
}

let directory = "";
const problems: string[] = [];
const guards = new WeakMap<object, Guard>();
let current: Guard | undefined;

function detach(processor: Processor, error: unknown): void {
  guards.get(processor)?.detach();
  guards.delete(processor);
  current = undefined;
  problems.push(`the guard failed and is off: ${message(error)}`);
  log(problems.at(-1)!);
}

/** What is missing in a class and its source for the guard to work: nothing, where it may be patched. */
function missing(file: string, type: ProcessorClass | undefined): string[] {
  const name = file.replace(".ts", "");
  if (!type?.prototype) return [`workers/${file} has no class ${name}`];
  const found = METHODS.filter((method) => typeof type.prototype[method] !== "function").map((method) => `${name} has no method ${method}`);
  if (!Object.getOwnPropertyDescriptor(type.prototype, "activeJobCount")?.get) found.push(`${name} has no getter activeJobCount`);
  for (const source of [file, "main.ts"]) {
    const text = readFileSync(`${directory}/${source}`, "utf8").replace(/\s+/g, " ");
    found.push(...FRAGMENTS[source]!.filter((part) => !text.includes(part)).map((part) => `workers/${source} has no longer: ${part}`));
  }
  return found;
}

/** All patches of a class or none. The class of the other dispatch mode may lack something: it is not used. */
function patch(type: ProcessorClass): void {
  const { start, stop, releaseClaimedJobs } = type.prototype;
  const original: Methods = { start, stop, releaseClaimedJobs };
  const count = Object.getOwnPropertyDescriptor(type.prototype, "activeJobCount")!;
  const replacement: Methods = {
    start() {
      try {
        const lacking = BOSS_METHODS.filter((method) => this.boss && typeof this.boss[method] !== "function");
        if (lacking.length > 0) problems.push(`pg-boss has no method ${lacking.join(", ")}`);
        else guards.set(this, (current = new Guard(this, original)));
      } catch (error) {
        detach(this, error);
      }
      return guards.get(this)?.start() ?? start.call(this);
    },
    stop() {
      return guards.get(this)?.stop().catch((error) => (detach(this, error), stop.call(this))) ?? stop.call(this);
    },
    releaseClaimedJobs() {
      return guards.get(this)?.release() ?? releaseClaimedJobs.call(this);
    },
  };
  Object.defineProperty(type.prototype, "activeJobCount", {
    ...count,
    get(this: Processor): number {
      return Math.max(count.get!.call(this), guards.get(this)?.busy ? 1 : 0);
    },
  });
  for (const method of METHODS) Object.defineProperty(type.prototype, method, { value: replacement[method], writable: true, configurable: true });
}

function report(): object {
  const own = current ? [] : [...problems, "neither JobPoller nor PgBossConsumer was started under the guard"].slice(0, problems.length || 1);
  return { version: VERSION, attached: current !== undefined, problems: own, ...(current?.report() ?? { job: null, job_status: null }) };
}

function reportInStatus(): void {
  const serve = Bun.serve as (options: Record<string, unknown>) => unknown;
  const withReport = async (request: Request, answer: unknown): Promise<unknown> => {
    try {
      if (!(answer instanceof Response) || new URL(request.url).pathname !== "/worker/status") return answer;
      const status = await answer.clone().json();
      return Response.json({ ...status, drain_guard: report() }, { status: answer.status, headers: answer.headers });
    } catch {
      return answer;
    }
  };
  Bun.serve = ((options: Record<string, unknown>) => {
    const handler = options?.fetch;
    if (typeof handler !== "function") return serve(options);
    return serve({
      ...options,
      async fetch(this: unknown, ...args: [Request, unknown]) {
        return withReport(args[0], await handler.apply(this, args));
      },
    });
  }) as typeof Bun.serve;
}

function handOver(file: string, type: ProcessorClass | undefined): void {
  try {
    const found = missing(file, type);
    problems.push(...found);
    if (found.length === 0) patch(type!);
  } catch (error) {
    problems.push(`workers/${file} could not be checked: ${message(error)}`);
  }
}

try {
  const key = "ghosthands.drain_guard";
  Object.defineProperty(globalThis, Symbol.for(key), { value: handOver });
  Bun.plugin({
    name: key,
    setup(build) {
      build.onLoad({ filter: /\/workers\/(JobPoller|PgBossConsumer)\.ts$/ }, ({ path }) => {
        directory = dirname(path);
        const file = path.slice(directory.length + 1);
        const name = file.replace(".ts", "");
        const line = `;globalThis[Symbol.for("${key}")]("${file}", typeof ${name} === "undefined" ? undefined : ${name});`;
        return { contents: `${readFileSync(path, "utf8")}\n${line}\n`, loader: "ts" };
      });
    },
  });
  reportInStatus();
  // The worker exits with 1 after an error of its own too, for example when its database is away.
  process.on("exit", (code) => {
    if (current?.jobInside && !current.released && code !== EXIT_JOB_LOST) process.exit(EXIT_JOB_LOST);
  });
} catch (error) {
  problems.push(`the guard could not start: ${message(error)}`);
  log(problems.at(-1)!);
}
