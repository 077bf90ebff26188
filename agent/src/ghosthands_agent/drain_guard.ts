/**
 * Drain guard: `bun --preload drain_guard.ts` before the GhostHands worker, whose code and image stay as they are.
 *
 * The worker's own drain puts a job back while it still runs, or loses it. With the guard
 * - drain and the first SIGTERM stop the pickup at once and wait for the running job, however long it takes;
 * - while that lasts the status says busy, so "draining and no active job" is final;
 * - a forced release (second SIGTERM) really puts the job back, for others 5 s later, or the exit code is 70;
 * - in legacy dispatch a row that another worker has claimed is not claimed again.
 *
 * It changes nothing unless the worker's source has every shape that it needs, and says so in the member `drain_guard`
 * of `GET /worker/status`. It imports none of the worker's modules: each class is handed over when the worker loads it.
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";

const VERSION = 1;
const EXIT_JOB_LOST = 70;
const QUEUE = "gh_apply_job";
/** Others get a released job when this process has ended. */
const RELEASE_DELAY_SECONDS = 5;
/** How long putting a job back is tried before the job counts as lost. */
const RELEASE_LIMIT_MS = 10_000;
const CALL_LIMIT_MS = 3_000;
/** What the running job was about to write at its release has arrived after this time. */
const SETTLE_MS = 300;
const STATUS_INTERVAL_MS = 2_000;
/** As VALET sends jobs to pg-boss. */
const EXPIRE_SECONDS = 14_400;

/** What the guard needs in the worker's sources, white space aside. */
const SHAPES: Record<string, string[]> = {
  "main.ts": [
    "await consumer.stop()", "await poller.stop()", "await stopJobProcessor()", "stopJobProcessor().then(",
    "await consumer.releaseClaimedJobs()", "await poller.releaseClaimedJobs()", "await releaseJobs()",
    "consumer.activeJobCount", "poller.activeJobCount", "process.exit(1)",
  ],
  "JobPoller.ts": [
    "this.pgDirect.query(PICKUP_SQL, [this.workerId])", "WHERE status IN ('pending', 'queued') AND (",
    "FOR UPDATE SKIP LOCKED", "SET status = 'queued', worker_id = $1, last_heartbeat = NOW()", "if (!this.running || ",
    "this.pickupInFlight = true", "this.pickupInFlight = false", "this.activeJobs++", "this.activeJobs--",
    "this._currentJobId = job.id", "clearInterval(this.pollTimer)",
  ],
  "PgBossConsumer.ts": [
    "QUEUE_APPLY_JOB = 'gh_apply_job'", "(QUEUE_APPLY_JOB, {", "`${QUEUE_APPLY_JOB}/${this.workerId}`",
    "(targetedQueue, {", "this.processing = true", "this.processing = false", "this.activeJobs++", "this.activeJobs--",
    "payload.ghJobId", "this._currentJobId = ghJobId", "this._currentPgBossJobId = job.id",
    "this._currentQueueName = queueName",
    "await this.pgDirect.query(`UPDATE gh_automation_jobs SET status = 'running', worker_id = $1",
  ],
};
const METHODS = ["start", "stop", "releaseClaimedJobs"] as const;
const BOSS_METHODS = ["offWork", "send", "fail", "getJobById"] as const;

/** A claimed row is `queued` until it runs. Where its worker died in between it is free again after two minutes. */
const PICKUP_CONDITION = "status IN ('pending', 'queued')";
const EXCLUSIVE_CONDITION = `${PICKUP_CONDITION} AND (status = 'pending' OR worker_id IS NULL
  OR last_heartbeat IS NULL OR last_heartbeat < NOW() - INTERVAL '2 minutes')`;

/** Branch main wants to write `awaiting_user_review`, which the table refuses: there only the event tells. */
const IN_REVIEW = `(status = 'awaiting_review' OR status = 'running' AND EXISTS (SELECT 1 FROM gh_job_events AS event
  WHERE event.job_id = job.id AND event.event_type = 'awaiting_user_review' AND event.created_at >= job.started_at))`;
const STATUS_SQL = `SELECT CASE WHEN ${IN_REVIEW} THEN 'awaiting_review' ELSE status END AS status
  FROM gh_automation_jobs AS job WHERE id = $1::UUID`;
const OWN = "WHERE id = $1::UUID AND (worker_id = $2::TEXT OR worker_id IS NULL)";
const PUT_BACK_SQL = `UPDATE gh_automation_jobs AS job SET status = 'pending', worker_id = NULL, updated_at = NOW(),
  scheduled_at = GREATEST(scheduled_at, NOW() + INTERVAL '${RELEASE_DELAY_SECONDS} seconds'),
  error_details = jsonb_build_object('released_by', $2::TEXT, 'reason', 'worker_shutdown')
  ${OWN} AND status IN ('pending', 'queued', 'running', 'paused') RETURNING id`;
/** A person may have submitted the application by hand: it must not run again unasked. */
const REVIEW_CODE = "review_browser_closed";
const REVIEW_MESSAGE =
  "The browser was closed while the application waited for review. " +
  "Check with the employer whether it was submitted before you retry";
const REVIEW_SQL = `UPDATE gh_automation_jobs AS job SET status = 'failed', completed_at = NOW(), updated_at = NOW(),
  error_code = '${REVIEW_CODE}', error_details = jsonb_build_object('released_by', $2::TEXT, 'message', $3::TEXT)
  ${OWN} AND ${IN_REVIEW} RETURNING *`;

type Row = Record<string, unknown>;

interface Database {
  query(text: string, values?: unknown[]): Promise<{ rows: Row[] }>;
}

interface Entry {
  data: object;
  priority?: number;
  singletonKey?: string | null;
}

interface Boss {
  offWork(queue: string, options: { wait: boolean }): Promise<void>;
  send(queue: string, data: object, options: object): Promise<string | null>;
  fail(queue: string, id: string, data: object): Promise<unknown>;
  getJobById(queue: string, id: string): Promise<Entry | null>;
}

/** JobPoller or PgBossConsumer, as far as the guard uses it. */
interface Processor {
  workerId: string;
  running: boolean;
  activeJobs: number;
  pgDirect: Database;
  _currentJobId: string | null;
  // JobPoller's
  pollTimer?: ReturnType<typeof setInterval> | null;
  pickupInFlight?: boolean;
  // PgBossConsumer's
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
const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const compact = (text: string): string => text.replace(/\s+/g, "");
const log = (text: string): void => console.warn(`[drain_guard] ${text}`);

function within<T>(promise: Promise<T>, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} took longer than ${CALL_LIMIT_MS} ms`)), CALL_LIMIT_MS);
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
  /** pg-boss has a loop for each queue. After offWork it ends when its fetch found nothing or its job is done. */
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

  detach(): void {
    this.processor.pgDirect = this.database;
  }

  start(): Promise<void> {
    const result = this.original.start.call(this.processor);
    this.starting = result.catch(() => {});
    return result;
  }

  /** The first call stops the pickup; every call ends when no job is inside any more. */
  stop(): Promise<void> {
    return (this.stopping ??= this.finish());
  }

  /** Puts the running job back. */
  release(): Promise<void> {
    return (this.releasing ??= this.putBack());
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

  private get pickupUnderWay(): boolean {
    const { boss, processing, pickupInFlight } = this.processor;
    return boss ? this.busy && this.loops > (processing ? 1 : 0) : pickupInFlight === true;
  }

  private query(text: string, ...rest: unknown[]): Promise<{ rows: Row[] }> {
    if (this.frozen) return new Promise(() => {}); // what still runs here must not claim the released job again
    const pickup = typeof text === "string" && text.includes("FOR UPDATE SKIP LOCKED");
    const own = pickup ? text.replace(PICKUP_CONDITION, EXCLUSIVE_CONDITION) : text;
    return Reflect.apply(this.database.query, this.database, [own, ...rest]);
  }

  private async finish(): Promise<void> {
    const { boss, workerId, pollTimer } = this.processor;
    this.processor.running = false;
    if (pollTimer) clearInterval(pollTimer);
    void this.readStatus();
    const timer = setInterval(() => void this.readStatus(), STATUS_INTERVAL_MS);
    try {
      await Promise.race([this.starting, sleep(RELEASE_LIMIT_MS)]);
      const end = (queue: string) => boss?.offWork(queue, { wait: true }).then(() => (this.loops -= 1));
      await Promise.all([end(QUEUE), end(`${QUEUE}/${workerId}`)]);
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
      if (Date.now() > deadline) lose("the pickup does not end, so whether it took a job is not known");
      await sleep(10);
    }
    const { _currentJobId: id, _currentPgBossJobId: entry, _currentQueueName: queue } = this.processor;
    if (id && this.processor.activeJobs > 0) {
      this.frozen = true;
      const job = { id, entry: entry && queue ? { queue, id: entry, newId: crypto.randomUUID() } : null };
      for (let done = false; !done; ) {
        try {
          log(`job ${id} ${await this.putBackOnce(job)}`);
          done = true;
        } catch (error) {
          if (Date.now() > deadline) lose(`job ${id} could not be put back: ${reason(error)}`);
          await sleep(200);
        }
      }
    }
    this.released = true;
    await this.original.releaseClaimedJobs.call(Object.create(this.processor, { pgDirect: { value: this.database } }));
  }

  /** May be repeated: each step leaves what is done already. */
  private async putBackOnce(job: Job): Promise<string> {
    if (await this.endReview(job.id)) return "waited for review: it is failed, with the advice to check before a retry";
    await this.putBackRow(job.id);
    await sleep(SETTLE_MS);
    if (await this.endReview(job.id)) return "waited for review: it is failed, with the advice to check before a retry";
    if (!(await this.putBackRow(job.id))) return "had ended: it is not put back";
    if (job.entry) await this.sendAgain(job.id, job.entry);
    return "was put back";
  }

  private async putBackRow(job: string): Promise<boolean> {
    return (await this.run(PUT_BACK_SQL, [job, this.processor.workerId])).length > 0;
  }

  private async endReview(job: string): Promise<boolean> {
    const [row] = await this.run(REVIEW_SQL, [job, this.processor.workerId, REVIEW_MESSAGE]);
    if (!row) return false;
    try {
      const { callbackNotifier } = await import(`${folder}/callbackNotifier.ts`);
      await within(callbackNotifier.notifyFromJob(row), "the callback");
    } catch (error) {
      log(`the callback for job ${job} failed: ${reason(error)}`); // the row is what counts
    }
    return true;
  }

  /** To the general queue: nobody else listens to this worker's own. */
  private async sendAgain(job: string, entry: NonNullable<Job["entry"]>): Promise<void> {
    const boss = this.processor.boss!;
    const old = await within(boss.getJobById(entry.queue, entry.id), "pg-boss");
    await within(boss.fail(entry.queue, entry.id, { reason: "worker_shutdown" }), "pg-boss");
    const options = {
      id: entry.newId, // so that a repetition does not send it twice
      retryLimit: 0,
      expireInSeconds: EXPIRE_SECONDS,
      startAfter: RELEASE_DELAY_SECONDS,
      priority: old?.priority ?? 0,
      ...(old?.singletonKey ? { singletonKey: old.singletonKey } : {}),
    };
    const sent = await within(boss.send(QUEUE, old?.data ?? { ghJobId: job }, options), "pg-boss");
    if (!sent && !(await within(boss.getJobById(QUEUE, entry.newId), "pg-boss"))) throw new Error("pg-boss refused it");
  }

  private async run(text: string, values: unknown[]): Promise<Row[]> {
    return (await within(this.database.query(text, values), "a query")).rows;
  }
}

let folder = ""; // of the worker's sources
let current: Guard | undefined;
const guards = new WeakMap<object, Guard>();
const problems: string[] = [];

function problem(text: string): void {
  problems.push(text);
  log(text);
}

function lose(text: string): never {
  log(`${text}; exit code ${EXIT_JOB_LOST}`);
  process.exit(EXIT_JOB_LOST);
}

/** What a class and its sources lack. */
function lacking(file: string, type: ProcessorClass | undefined): string[] {
  const name = file.replace(".ts", "");
  if (!type?.prototype) return [`${file} has no class ${name}`];
  const absent: string[] = METHODS.filter((each) => typeof type.prototype[each] !== "function");
  if (!Object.getOwnPropertyDescriptor(type.prototype, "activeJobCount")?.get) absent.push("activeJobCount");
  const found = absent.map((each) => `${name} has no ${each}`);
  for (const source of [file, "main.ts"]) {
    const text = compact(readFileSync(`${folder}/${source}`, "utf8"));
    const shapes = SHAPES[source]!.filter((shape) => !text.includes(compact(shape)));
    found.push(...shapes.map((shape) => `${source} lacks: ${shape}`));
  }
  return found;
}

/** All patches of a class or none. The other dispatch mode's class is not used and may lack something. */
function patch(type: ProcessorClass): void {
  const { start, stop, releaseClaimedJobs } = type.prototype;
  const count = Object.getOwnPropertyDescriptor(type.prototype, "activeJobCount")!;
  const attach = (processor: Processor): void => {
    current = undefined;
    const methods = BOSS_METHODS.filter((each) => processor.boss && typeof processor.boss[each] !== "function");
    if (methods.length > 0) return problem(`pg-boss has no ${methods.join(", ")}`);
    current = new Guard(processor, { start, stop, releaseClaimedJobs });
    guards.set(processor, current);
  };
  const giveUp = (processor: Processor, error: unknown): void => {
    guards.get(processor)?.detach();
    guards.delete(processor);
    current = undefined;
    problem(`the guard failed: ${reason(error)}`);
  };
  const patched: Methods = {
    start() {
      try {
        attach(this);
      } catch (error) {
        giveUp(this, error);
      }
      return guards.get(this)?.start() ?? start.call(this);
    },
    stop() {
      const stopping = guards.get(this)?.stop();
      return stopping?.catch((error) => (giveUp(this, error), stop.call(this))) ?? stop.call(this);
    },
    releaseClaimedJobs() {
      return guards.get(this)?.release() ?? releaseClaimedJobs.call(this);
    },
  };
  Object.assign(type.prototype, patched);
  const get = function (this: Processor): number {
    return Math.max(count.get!.call(this), guards.get(this)?.busy ? 1 : 0);
  };
  Object.defineProperty(type.prototype, "activeJobCount", { ...count, get });
}

function report(): object {
  const own = current ? [] : problems.length > 0 ? problems : ["neither JobPoller nor PgBossConsumer was started"];
  const none = { job: null, job_status: null };
  return { version: VERSION, attached: current !== undefined, problems: own, ...(current?.report() ?? none) };
}

function reportInStatus(): void {
  const serve = Bun.serve as (options: Row) => unknown;
  const complete = async (request: Request, answer: unknown): Promise<unknown> => {
    try {
      if (new URL(request.url).pathname !== "/worker/status" || !(answer instanceof Response)) return answer;
      const body = { ...(await answer.clone().json()), drain_guard: report() };
      return Response.json(body, { status: answer.status, headers: answer.headers });
    } catch {
      return answer;
    }
  };
  Bun.serve = ((options: Row) => {
    const handler = options?.fetch;
    if (typeof handler !== "function") return serve(options);
    return serve({
      ...options,
      async fetch(this: unknown, ...rest: [Request, unknown]) {
        return complete(rest[0], await handler.apply(this, rest));
      },
    });
  }) as typeof Bun.serve;
}

/** Called by the line that the loader appends to the source of each class. */
function handOver(file: string, type: ProcessorClass | undefined): void {
  try {
    const found = lacking(file, type);
    found.forEach(problem);
    if (found.length === 0) patch(type!);
  } catch (error) {
    problem(`${file} cannot be checked: ${reason(error)}`);
  }
}

try {
  const key = "ghosthands.drain_guard";
  Object.defineProperty(globalThis, Symbol.for(key), { value: handOver });
  Bun.plugin({
    name: key,
    setup(build) {
      build.onLoad({ filter: /\/workers\/(JobPoller|PgBossConsumer)\.ts$/ }, ({ path }) => {
        folder = dirname(path);
        const file = path.slice(folder.length + 1);
        const name = file.replace(".ts", "");
        const type = `typeof ${name} === "undefined" ? undefined : ${name}`;
        const line = `globalThis[Symbol.for("${key}")]("${file}", ${type});`;
        return { contents: `${readFileSync(path, "utf8")}\n;${line}\n`, loader: "ts" };
      });
    },
  });
  reportInStatus();
  // The worker also exits with 1 after an error of its own, for example when its connection to the database breaks.
  process.on("exit", (code) => {
    if (current?.jobInside && !current.released && code !== EXIT_JOB_LOST) process.exit(EXIT_JOB_LOST);
  });
} catch (error) {
  problem(`the guard did not start: ${reason(error)}`);
}
