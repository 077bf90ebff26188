/** What the guard does with a processor of the stand-in. The guard is preloaded, see bunfig.toml. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";

import { MODES, Scene, until, type Mode, type Worker } from "./scene.ts";
import { callbackNotifier } from "./stand_in/workers/callbackNotifier.ts";

const scenes: Scene[] = [];
const exit = process.exit;

function scene(mode: Mode): Scene {
  const made = new Scene(mode);
  scenes.push(made);
  return made;
}

/** An exit is an error that says its code. */
beforeEach(() => {
  process.exit = ((code: number) => {
    throw new Error(`exit ${code}`);
  }) as typeof process.exit;
});

afterEach(() => {
  for (const each of scenes.splice(0)) each.end();
  process.exit = exit;
  callbackNotifier.sent.length = 0;
});

async function drainGuard(): Promise<Record<string, unknown>> {
  const fetchStatus = () => Response.json({ active_jobs: 0 });
  const server = Bun.serve({ port: 0, fetch: fetchStatus });
  const status = await (await fetch(`http://127.0.0.1:${server.port}/worker/status`)).json();
  server.stop(true);
  return status.drain_guard;
}

const settled = async (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => true), Bun.sleep(0).then(() => false)]);

describe.each(MODES)("%s", (mode) => {
  test("a drain waits for the running job longer than the worker itself does", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("until finish");
    const drained = worker.processor.stop();
    await Bun.sleep(250);
    expect(await settled(drained)).toBe(false);
    worker.executor.finish();
    await drained;
    expect(here.store.job(job)).toMatchObject({ status: "completed", runs: "first " });
  });

  test("a job that runs during a drain stays this worker's", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("until finish");
    void worker.processor.stop();
    await Bun.sleep(200);
    expect(here.store.job(job)).toMatchObject({ status: "running", worker_id: "first", error_details: null });
    expect(here.store.entries().filter((each) => each.state !== "active")).toEqual([]);
  });

  test("a drain takes no further job", async () => {
    const here = scene(mode);
    const { worker } = await here.busy("until finish");
    const second = here.insert("done");
    const drained = worker.processor.stop();
    worker.executor.finish();
    await drained;
    await Bun.sleep(60);
    expect(here.store.job(second).runs).toBe("");
  });

  test("the status is busy until the drain has ended", async () => {
    const here = scene(mode);
    const { worker } = await here.busy("until finish");
    const drained = worker.processor.stop();
    let seenIdle = false;
    const watch = setInterval(() => (seenIdle ||= worker.processor.activeJobCount === 0), 1);
    await Bun.sleep(50);
    worker.executor.finish();
    await drained;
    clearInterval(watch);
    expect(seenIdle).toBe(false);
    expect(worker.processor.activeJobCount).toBe(0);
  });

  test("a job whose pickup is under way at the drain runs, and the status is busy all the time", async () => {
    const here = scene(mode);
    const { worker, job, open } = await pickingUp(here, "done");
    const drained = Promise.all([worker.processor.stop(), worker.processor.stop()]);
    await Bun.sleep(50);
    expect(worker.processor.activeJobs).toBe(0);
    expect(worker.processor.activeJobCount).toBe(1);
    expect(await settled(drained)).toBe(false);
    open();
    await drained;
    expect(here.store.job(job)).toMatchObject({ status: "completed", runs: "first " });
  });

  test("stopping several times waits for the same end, also after it", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("until finish");
    const ends = [worker.processor.stop(), worker.processor.stop()];
    await Bun.sleep(30);
    ends.push(worker.processor.stop());
    for (const each of ends) expect(await settled(each)).toBe(false);
    worker.executor.finish();
    await Promise.all(ends);
    expect(here.store.job(job).status).toBe("completed");
    await worker.processor.stop();
    expect(worker.processor.activeJobCount).toBe(0);
  });

  test("an idle worker's drain ends at once", async () => {
    const here = scene(mode);
    const worker = await here.start("first");
    const started = performance.now();
    await worker.processor.stop();
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test("a pickup that fails does not hold up the drain", async () => {
    const { processor, boss, connection } = await scene(mode).start("first");
    connection.failures.push({ text: "SKIP LOCKED", times: 1000 });
    boss.failFetches = true;
    await Bun.sleep(50);
    await processor.stop();
    expect(processor.activeJobCount).toBe(0);
  });

  test("a released job is pending and of nobody, another worker runs it 5 s later, this one never", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("sleep 5000");
    void worker.processor.stop();
    const before = Date.now();
    await worker.processor.releaseClaimedJobs();
    const row = here.store.job(job);
    expect(row).toMatchObject({ status: "pending", worker_id: null, runs: "first " });
    expect(row.scheduled_at).toBeGreaterThanOrEqual(before + 5000);
    expect(row.scheduled_at).toBeLessThanOrEqual(Date.now() + 5000);
    const other = await here.start("second");
    await Bun.sleep(60);
    expect(here.store.job(job).runs).toBe("first ");
    here.store.run("UPDATE gh_automation_jobs SET scheduled_at = NOW() - 1");
    here.store.run("UPDATE pgboss_job SET start_after = 0 WHERE state = 'created'");
    await until(() => here.store.job(job).runs === "first second ", "another worker runs it");
    expect(other.processor.activeJobs).toBe(1);
  });

  test("a job that was already postponed is not brought forward", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("sleep 5000");
    here.store.run("UPDATE gh_automation_jobs SET scheduled_at = NOW() + 60000");
    await worker.processor.releaseClaimedJobs();
    expect(here.store.job(job).scheduled_at).toBeGreaterThan(Date.now() + 50_000);
  });

  test("releasing twice puts the job back once", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("sleep 5000");
    await Promise.all([worker.processor.releaseClaimedJobs(), worker.processor.releaseClaimedJobs()]);
    await worker.processor.releaseClaimedJobs();
    expect(here.store.job(job).status).toBe("pending");
    expect(here.store.entries().filter((each) => each.state === "created").length).toBe(mode === "queue" ? 1 : 0);
  });

  test("a job whose pickup is under way at the release is put back", async () => {
    const here = scene(mode);
    const { worker, job, open } = await pickingUp(here, "sleep 5000");
    void worker.processor.stop();
    const released = worker.processor.releaseClaimedJobs();
    open();
    await released;
    expect(here.store.job(job)).toMatchObject({ status: "pending", worker_id: null });
    expect(here.store.entries().filter((each) => each.state === "created").length).toBe(mode === "queue" ? 1 : 0);
  });

  test("a job that is paused for a person is put back", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("pause");
    await worker.processor.releaseClaimedJobs();
    expect(here.store.job(job)).toMatchObject({ status: "pending", worker_id: null });
  });

  test.each(["review", "event"])("a job in review (%s) fails, is not sent again, and VALET is told", async (kind) => {
    const here = scene(mode);
    const { worker, job } = await here.busy(kind);
    await Bun.sleep(5);
    await worker.processor.releaseClaimedJobs();
    expect(here.store.job(job)).toMatchObject({ status: "failed", error_code: "review_browser_closed" });
    expect(JSON.parse(here.store.job(job).error_details).message).toContain("whether it was submitted");
    expect(here.store.entries().filter((each) => each.state === "created")).toEqual([]);
    expect(callbackNotifier.sent).toMatchObject([{ id: job, status: "failed", valet_task_id: "task" }]);
  });

  test("a job that ends during its release is not put back", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("sleep 5000");
    duringRelease(worker, () => worker.executor.write(job, "completed"));
    await worker.processor.releaseClaimedJobs();
    expect(here.store.job(job).status).toBe("completed");
    expect(here.store.entries().filter((each) => each.state === "created")).toEqual([]);
  });

  test("a status that the job wrote during its release is overwritten", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("sleep 5000");
    duringRelease(worker, () => worker.executor.write(job, "running"));
    await worker.processor.releaseClaimedJobs();
    expect(here.store.job(job).status).toBe("pending");
  });

  test("a job that another worker has taken over is left alone", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("sleep 5000");
    here.store.run("UPDATE gh_automation_jobs SET worker_id = 'second'");
    await worker.processor.releaseClaimedJobs();
    expect(here.store.job(job)).toMatchObject({ status: "running", worker_id: "second", scheduled_at: null });
    expect(here.store.entries().filter((each) => each.state === "created")).toEqual([]);
  });

  test("putting back is repeated when the database refuses at first", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("sleep 5000");
    worker.connection.failures.push({ text: "worker_shutdown", times: 2 });
    await worker.processor.releaseClaimedJobs();
    expect(here.store.job(job)).toMatchObject({ status: "pending", worker_id: null });
  });

  test.each(["refuses", "does not answer"])("if the database %s the process ends with 70", async (kind) => {
    const here = scene(mode);
    const { worker } = await here.busy("sleep 5000");
    if (kind === "refuses") worker.connection.failures.push({ text: "gh_automation_jobs", times: 1000 });
    else worker.connection.silent = true;
    await expect(worker.processor.releaseClaimedJobs()).rejects.toThrow("exit 70");
  });

  test("without a job inside a release is the worker's own", async () => {
    const here = scene(mode);
    const worker = await here.start("first");
    await worker.processor.stop();
    worker.connection.failures.push({ text: "gh_automation_jobs", times: 1000 });
    await worker.processor.releaseClaimedJobs();
  });

  test("the report names the job, and while draining the status of its row", async () => {
    const here = scene(mode);
    const { worker, job } = await here.busy("review");
    const attached = { version: 1, attached: true, problems: [] };
    expect(await drainGuard()).toEqual({ ...attached, job, job_status: null });
    void worker.processor.stop();
    while ((await drainGuard()).job_status === null) await Bun.sleep(5);
    expect(await drainGuard()).toEqual({ ...attached, job, job_status: "awaiting_review" });
  });

  test("without a drain the guard asks the database for nothing", async () => {
    const here = scene(mode);
    const { worker } = await here.busy("sleep 5000");
    await Bun.sleep(60);
    expect(worker.connection.sent.filter((text) => text.includes("AS job"))).toEqual([]);
  });

  /** A worker whose pickup has claimed a job in the database and has no answer yet. `open` lets the answer arrive. */
  async function pickingUp(here: Scene, description: string) {
    const gate = Promise.withResolvers<void>();
    const worker = await here.start("first", ({ connection, boss }) => {
      boss.fetchGate = gate.promise;
      connection.onRun = (text) => {
        if (text.includes("SKIP LOCKED") && here.store.run("SELECT id FROM gh_automation_jobs").length > 0)
          connection.gate = { text: "SKIP LOCKED", open: gate.promise };
      };
    });
    const job = here.insert(description);
    const claimed = () => here.store.job(job).worker_id === "first" || here.store.entries()[0]?.state === "active";
    await until(claimed, "the pickup is under way");
    return { worker, job, open: () => gate.resolve() };
  }

  /** Right after the row was put back for the first time. */
  function duringRelease({ connection }: Worker, action: () => void): void {
    connection.onRun = (text) => {
      if (!text.includes("'worker_shutdown'")) return;
      connection.onRun = () => {};
      action();
    };
  }
});

describe("queue", () => {
  const created = (here: Scene) => here.store.entries().filter((each) => each.state === "created");

  test("a released job is sent again as VALET sends it, for 5 s later", async () => {
    const here = scene("queue");
    const { worker, job } = await here.busy("sleep 5000");
    const before = Date.now();
    await worker.processor.releaseClaimedJobs();
    expect(here.store.entries()[0]).toMatchObject({ state: "failed" });
    const [entry] = created(here);
    expect(entry).toMatchObject({ name: "gh_apply_job", retry_limit: 0, expire_seconds: 14400, priority: 3 });
    const data = JSON.stringify({ ghJobId: job, jobType: "apply" });
    expect(entry).toMatchObject({ data, singleton_key: `task of ${job}` });
    expect(entry!.start_after).toBeGreaterThanOrEqual(before + 5000);
  });

  test("a job of this worker's own queue goes to the general one, which others read", async () => {
    const here = scene("queue");
    const worker = await here.start("first");
    const job = here.insert("sleep 5000", {}, "gh_apply_job/first");
    await until(() => here.store.job(job).runs !== "", "the job runs");
    await worker.processor.releaseClaimedJobs();
    expect(created(here)).toMatchObject([{ name: "gh_apply_job" }]);
  });

  test("an entry with a key is sent again although the queue allows one open entry for a key", async () => {
    const here = scene("queue");
    const { worker } = await here.busy("sleep 5000", ({ boss }) => void (boss.exclusive = true));
    await worker.processor.releaseClaimedJobs();
    expect(created(here).length).toBe(1);
  });

  test("an answer of pg-boss that was lost does not send the job twice", async () => {
    const here = scene("queue");
    const { worker } = await here.busy("sleep 5000", ({ boss }) => void (boss.loseAnswersOfSend = 1));
    await worker.processor.releaseClaimedJobs();
    expect(created(here).length).toBe(1);
  });

  test("if pg-boss does not take it again the process ends with 70", async () => {
    const here = scene("queue");
    const { worker } = await here.busy("sleep 5000");
    worker.boss.send = async () => null;
    await expect(worker.processor.releaseClaimedJobs()).rejects.toThrow("exit 70");
  });

  test("a job that is handed over but not claimed yet is put back and not claimed afterwards", async () => {
    const here = scene("queue");
    const worker = await here.start("first");
    const gate = Promise.withResolvers<void>();
    worker.connection.gate = { text: "SELECT *", open: gate.promise };
    const job = here.insert("sleep 5000");
    await until(() => worker.processor.activeJobs === 1, "the job is handed over");
    void worker.processor.stop();
    const released = worker.processor.releaseClaimedJobs();
    await until(() => worker.connection.sent.some((text) => text.includes("review_browser_closed")), "it is put back");
    gate.resolve();
    await released;
    await Bun.sleep(50);
    expect(here.store.job(job)).toMatchObject({ status: "pending", worker_id: null, runs: "" });
    expect(created(here).length).toBe(1);
  });

  test("a drain waits for the entry of pg-boss as well", async () => {
    const here = scene("queue");
    const gate = Promise.withResolvers<void>();
    const { worker } = await here.busy("until finish", ({ boss }) => void (boss.completeGate = gate.promise));
    const drained = worker.processor.stop();
    worker.executor.finish();
    await until(() => worker.processor.activeJobs === 0, "the job is done");
    await Bun.sleep(50);
    expect(await settled(drained)).toBe(false);
    gate.resolve();
    await drained;
    expect(here.store.entries()).toMatchObject([{ state: "completed" }]);
  });

  test("if the guard itself fails, the worker's own code stops the worker and the report says so", async () => {
    const here = scene("queue");
    const { worker } = await here.busy("sleep 5000");
    worker.boss.offWork = async () => {
      throw new Error("no such queue");
    };
    await worker.processor.stop();
    expect(worker.processor.activeJobCount).toBe(1);
    expect(await drainGuard()).toMatchObject({ attached: false });
    expect(JSON.stringify(await drainGuard())).toContain("no such queue");
  });

  test("a pg-boss without a method that the guard needs leaves the worker as it is", async () => {
    const here = scene("queue");
    const { processor } = await here.start("first", ({ boss }) => void ((boss as any).offWork = undefined));
    await processor.stop();
    expect(JSON.stringify(await drainGuard())).toContain("pg-boss has no offWork");
  });
});

describe("legacy", () => {
  const claimed = { status: "queued", worker_id: "second", last_heartbeat: Date.now() };

  test.each([
    ["a row that another worker has just claimed is not claimed", claimed, false],
    ["a row whose worker died after its claim is claimed", { ...claimed, last_heartbeat: Date.now() - 130_000 }, true],
    ["a waiting row is claimed", { status: "queued" }, true],
    ["a row that became pending without being cleared is claimed", { ...claimed, status: "pending" }, true],
  ] as [string, object, boolean][])("%s", async (_, columns, expected) => {
    const here = scene("legacy");
    const job = here.insert("sleep 5000", columns);
    await here.start("first");
    await Bun.sleep(60);
    expect(here.store.job(job).runs !== "").toBe(expected);
  });

  test("two workers that look at once run each job once", async () => {
    const here = scene("legacy");
    const jobs = Array.from({ length: 6 }, () => here.insert("sleep 20"));
    const slow = ({ executor }: { executor: any }) => {
      const execute = executor.execute.bind(executor);
      executor.execute = async (job: any) => (await Bun.sleep(30), execute(job));
    };
    await Promise.all(["first", "second", "third"].map((id) => here.start(id, slow)));
    const all = () => jobs.map((id) => here.store.job(id));
    await until(() => all().every((job) => job.status === "completed"), "all jobs are done");
    expect(all().map((job) => job.runs.trim().split(" ").length)).toEqual(jobs.map(() => 1));
  });
});
