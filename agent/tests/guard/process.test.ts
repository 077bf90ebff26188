/** The guard in a process of its own: preloaded, with signals, HTTP and exit codes. */
import { afterEach, describe, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";

import { GUARD, replace, writeQuick } from "./quick.ts";
import { MODES, until, type Mode } from "./scene.ts";
import { Store } from "./stand_in/database.ts";

type Edit = [file: string, before: string, after: string];

const workers: Worker[] = [];
const folders: string[] = [];

afterEach(async () => {
  for (const { process } of workers.splice(0)) {
    process.kill("SIGKILL");
    await process.exited;
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A process of the stand-in. `edit` changes one of its files, `guard` is what is preloaded. */
class Worker {
  readonly folder = mkdtempSync(`${tmpdir()}/guard-`);
  readonly store = new Store(`${this.folder}/database`);
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  private port = 0;

  constructor(
    private readonly mode: Mode,
    options: { guard?: string | null; edit?: Edit[] } = {},
  ) {
    folders.push(this.folder);
    cpSync(`${import.meta.dir}/stand_in`, `${this.folder}/stand_in`, { recursive: true });
    for (const [file, before, after] of options.edit ?? []) {
      const path = `${this.folder}/stand_in/workers/${file}`;
      writeFileSync(path, replace(readFileSync(path, "utf8"), before, after));
    }
    const guard = options.guard === undefined ? GUARD : options.guard;
    const main = `${this.folder}/stand_in/workers/main.ts`;
    const env = { ...process.env, JOB_DISPATCH_MODE: mode, STAND_IN_DATABASE: `${this.folder}/database` };
    this.process = Bun.spawn([process.execPath, ...(guard ? ["--preload", guard] : []), main], {
      env,
      stdout: "pipe",
      stderr: "pipe",
    });
    workers.push(this);
  }

  async ready(): Promise<this> {
    const reader = this.process.stdout.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    this.port = Number(/port (\d+)/.exec(new TextDecoder().decode(value))![1]);
    return this;
  }

  async busy(description = "sleep 60000"): Promise<string> {
    const job = this.store.insert(this.mode, description);
    await until(() => this.store.job(job).runs !== "", "the job runs");
    return job;
  }

  get(path: string, method = "GET"): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.port}${path}`, { method });
  }

  async status(): Promise<Record<string, any>> {
    return (await this.get("/worker/status")).json();
  }

  /** One signal after the other: a second one that came before the first is handled would be lost. */
  async signal(...signals: NodeJS.Signals[]): Promise<void> {
    const [first, ...others] = signals;
    this.process.kill(first);
    if (others.length > 0) while (this.port && !(await this.status()).is_draining) await Bun.sleep(5);
    for (const signal of others) {
      if (!this.port) await Bun.sleep(500);
      this.process.kill(signal);
      await Bun.sleep(40);
    }
  }

  async exit(): Promise<number> {
    return this.process.exited;
  }
}

const started = (mode: Mode, options = {}): Promise<Worker> => new Worker(mode, options).ready();
const attached = { version: 1, attached: true, problems: [], job: null, job_status: null };

describe.each(MODES)("%s", (mode) => {
  test("the status reports the guard and keeps what the worker says", async () => {
    const worker = await started(mode);
    const response = await worker.get("/worker/status");
    expect(response.headers.get("x-worker")).toBe("worker");
    expect(await response.json()).toEqual({ active_jobs: 0, is_draining: false, drain_guard: attached });
    expect((await worker.get("/elsewhere")).status).toBe(404);
    expect(await (await worker.get("/elsewhere")).json()).toEqual({ error: "not_found" });
  });

  test("drain, wait, idle, SIGTERM: the job is done and the exit is clean", async () => {
    const worker = await started(mode);
    const job = await worker.busy(`file ${worker.folder}/finish`);
    await worker.get("/worker/drain", "POST");
    await Bun.sleep(250);
    expect(await worker.status()).toMatchObject({ active_jobs: 1, drain_guard: { job, job_status: "running" } });
    writeFileSync(`${worker.folder}/finish`, "");
    while ((await worker.status()).active_jobs > 0) await Bun.sleep(10);
    expect(worker.store.job(job).status).toBe("completed");
    await worker.signal("SIGTERM");
    expect(await worker.exit()).toBe(0);
  });

  test("one SIGTERM waits for the job", async () => {
    const worker = await started(mode);
    const job = await worker.busy(`file ${worker.folder}/finish`);
    await worker.signal("SIGTERM");
    await Bun.sleep(250);
    expect(worker.store.job(job)).toMatchObject({ status: "running", worker_id: "worker" });
    writeFileSync(`${worker.folder}/finish`, "");
    expect(await worker.exit()).toBe(0);
    expect(worker.store.job(job).status).toBe("completed");
  });

  test.each(["twice", "after a drain"])("two signals (%s) put the job back, the exit code is 1", async (how) => {
    const worker = await started(mode);
    const job = await worker.busy();
    if (how === "after a drain") await worker.get("/worker/drain", "POST");
    await worker.signal("SIGTERM", "SIGTERM");
    expect(await worker.exit()).toBe(1);
    expect(worker.store.job(job)).toMatchObject({ status: "pending", worker_id: null });
    const created = worker.store.entries().filter((each) => each.state === "created");
    expect(created.length).toBe(mode === "queue" ? 1 : 0);
  });

  test("a third signal changes nothing", async () => {
    const worker = await started(mode);
    const job = await worker.busy();
    await worker.signal("SIGTERM", "SIGTERM", "SIGTERM");
    expect(await worker.exit()).toBe(1);
    expect(worker.store.job(job).status).toBe("pending");
  });

  test("a database that is away at the release: exit code 70", async () => {
    const guard = writeQuick();
    folders.push(dirname(guard));
    const worker = await started(mode, { guard });
    await worker.busy();
    writeFileSync(`${worker.folder}/database.down`, "");
    await worker.signal("SIGTERM", "SIGTERM");
    expect(await worker.exit()).toBe(70);
  });

  test("a worker that ends by an error of its own: 70 with a job inside, else its own code", async () => {
    const [busy, idle] = [await started(mode), await started(mode)];
    await busy.busy();
    await Promise.all([busy.signal("SIGUSR2"), idle.signal("SIGUSR2")]);
    expect(await Promise.all([busy.exit(), idle.exit()])).toEqual([70, 1]);
  });

  const own = mode === "queue" ? "PgBossConsumer" : "JobPoller";
  const count = "get activeJobCount(): number {";
  const withoutRelease: Edit[] = [[`${own}.ts`, "async releaseClaimedJobs()", "async putJobsBack()"]];
  const call: Edit = ["JobPoller.ts", "await this.releaseClaimedJobs()", "await this.putJobsBack()"];
  if (mode === "legacy") withoutRelease.push(call);
  const claim = "status = 'running', worker_id = $1";
  const otherSql: Edit[] =
    mode === "queue"
      ? [["PgBossConsumer.ts", claim, "worker_id = $1, status = 'running'"]]
      : [["JobPoller.ts", "status IN ('pending', 'queued') AND", "(status = 'pending' OR status = 'queued') AND"]];
  const otherStop: Edit[] = [["main.ts", "await consumer.stop()", "await consumer.stop.call(consumer)"]];
  test.each<[string, string, Edit[]]>([
    ["its class has another name", `${own}.ts has no class ${own}`, renamed(own)],
    ["a method is missing", `${own} has no releaseClaimedJobs`, withoutRelease],
    ["the count of jobs is no getter", `${own} has no activeJobCount`, [[`${own}.ts`, count, "countJobs(): number {"]]],
    ["its SQL is another", `${own}.ts lacks: `, otherSql],
    ["its program stops it in another way", "main.ts lacks: await consumer.stop()", otherStop],
  ])("where %s the worker runs as without a guard, and the report says so", async (_, problem, edit) => {
    const worker = await started(mode, { edit });
    const { drain_guard: report } = await worker.status();
    expect(report.attached).toBe(false);
    expect(report.problems.join()).toContain(problem);
    const job = await worker.busy();
    await worker.signal("SIGTERM");
    // As the stand-in does by itself: it gives up after 100 ms.
    expect(await worker.exit()).toBe(0);
    expect(worker.store.job(job).status).toBe(mode === "queue" ? "running" : "pending");
  });

  test("what the other dispatch mode lacks does not matter", async () => {
    const other = mode === "queue" ? "JobPoller" : "PgBossConsumer";
    const worker = await started(mode, { edit: renamed(other) });
    expect((await worker.status()).drain_guard).toEqual(attached);
  });

  test("a worker that crashes in its start-up does so as without a guard", async () => {
    const start = "const store = new Store";
    const edit: Edit[] = [["main.ts", start, `if (process) throw new Error("no such setting");\n${start}`]];
    const outcome = async (guard?: null) => {
      const worker = new Worker(mode, { guard, edit });
      const text = await new Response(worker.process.stderr).text();
      return [await worker.exit(), text.replaceAll(worker.folder, "")];
    };
    const [guarded, plain] = [await outcome(), await outcome(null)];
    expect(guarded).toEqual(plain);
    expect(plain[0]).toBe(1);
  });

  test("a worker without a status server is guarded all the same", async () => {
    const edit: Edit[] = [["main.ts", "const server = Bun.serve({", "const server = ((_: object) => ({ port: 0 }))({"]];
    const worker = await started(mode, { edit });
    const job = await worker.busy();
    await worker.signal("SIGTERM", "SIGTERM");
    expect(await worker.exit()).toBe(1);
    expect(worker.store.job(job)).toMatchObject({ status: "pending", worker_id: null });
  });

  test("a status server with routes of its own keeps them", async () => {
    const routes = 'routes: { "/version": Response.json({ version: 7 }) },';
    const edit: Edit[] = [["main.ts", "  port,\n", `  port,\n  ${routes}\n`]];
    const worker = await started(mode, { edit });
    expect(await (await worker.get("/version")).json()).toEqual({ version: 7 });
    expect((await worker.status()).drain_guard).toEqual(attached);
  });
});

test("a process that starts neither class says so", async () => {
  const edit: Edit[] = [["main.ts", "  await poller.start();", "  poller.running = true;"]];
  const worker = await started("legacy", { edit });
  const { drain_guard: report } = await worker.status();
  expect(report).toMatchObject({ attached: false, problems: ["neither JobPoller nor PgBossConsumer was started"] });
});

test("without the guard there is no report", async () => {
  const worker = await started("legacy", { guard: null });
  expect(await worker.status()).toEqual({ active_jobs: 0, is_draining: false });
});

/** The class under another name, as its program imports it. */
function renamed(name: string): Edit[] {
  const file = `${name}.ts`;
  return [
    [file, `export class ${name} {`, `export class Renamed {`],
    ["main.ts", `import { ${name} } from`, `import { Renamed as ${name} } from`],
  ];
}
