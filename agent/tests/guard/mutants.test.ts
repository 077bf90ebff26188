/** Broken guards: each is caught by the test that is named with it, so these tests can fail. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

import { GUARD, replace } from "./quick.ts";

type Mutant = [name: string, before: string, after: string, caughtBy: string, file?: string];

const MUTANTS: Mutant[] = [
  [
    "forgets a pickup under way",
    "pickupInFlight === true",
    "false",
    "legacy a job whose pickup is under way at the drain",
  ],
  [
    "forgets a fetch under way",
    "this.loops > (processing ? 1 : 0)",
    "false",
    "queue a job whose pickup is under way at the release",
  ],
  [
    "stops waiting for the job",
    "while (this.jobInside) await sleep(25)",
    "await sleep(100)",
    "legacy a drain waits for the running",
  ],
  ["stops waiting for pg-boss", "{ wait: true }", "{ wait: false }", "queue a drain waits for the entry"],
  [
    "releases a running job at the drain",
    "void this.readStatus();\n    const",
    "void this.original.releaseClaimedJobs.call(this.processor);\n    const",
    "stays this worker's",
  ],
  [
    "unsubscribes one queue only",
    "Promise.all([end(QUEUE),",
    "Promise.all([end(`${QUEUE}/${workerId}`),",
    "queue a drain takes no further job",
  ],
  [
    "leaves the poll's timer and flag",
    "this.processor.running = false;\n    if",
    "if (false) return;\n    if",
    "legacy a drain takes no further job",
  ],
  [
    "begins each stop anew",
    "(this.stopping ??= this.finish())",
    "(this.stopping = this.finish())",
    "queue a job whose pickup is under way at the drain",
  ],
  ["reports idle too early", "guards.get(this)?.busy ? 1 : 0", "0", "a job whose pickup is under way at the drain"],
  [
    "puts the row back for at once",
    "scheduled_at = GREATEST(scheduled_at, NOW() + INTERVAL '${RELEASE_DELAY_SECONDS} seconds'),",
    "",
    "a released job is pending",
  ],
  [
    "brings a postponed job forward",
    "GREATEST(scheduled_at, NOW()",
    "GREATEST(started_at, NOW()",
    "a job that was already postponed",
  ],
  ["sends it for at once", "startAfter: RELEASE_DELAY_SECONDS,", "", "queue a released job is sent again"],
  [
    "sends it with pg-boss's own expiry",
    "expireInSeconds: EXPIRE_SECONDS,",
    "",
    "queue a released job is sent again",
  ],
  [
    "forgets the key",
    "...(old?.singletonKey ? { singletonKey: old.singletonKey } : {}),",
    "",
    "queue a released job is sent again",
  ],
  [
    "does not send it again",
    "if (job.entry) await this.sendAgain(job.id, job.entry);",
    "",
    "queue a released job is sent again",
  ],
  [
    "sends it to the worker's own queue",
    "boss.send(QUEUE,",
    "boss.send(entry.queue,",
    "own queue goes to the general one",
  ],
  ["sends it twice", "id: entry.newId,", "", "an answer of pg-boss that was lost"],
  [
    "does not end the old entry",
    'await within(boss.fail(entry.queue, entry.id, { reason: "worker_shutdown" }), "pg-boss");',
    "",
    "an entry with a key is sent again",
  ],
  ["believes a refused send", "if (!sent && ", "if (false && ", "if pg-boss does not take it again"],
  ["puts a job in review back", "status = 'awaiting_review' OR", "status = 'no' OR", "a job in review \\(review\\)"],
  ["does not know main's review", "'awaiting_user_review' AND", "'no' AND", "a job in review \\(event\\)"],
  [
    "does not tell VALET",
    "await within(callbackNotifier.notifyFromJob(row), \"the callback\");",
    "void callbackNotifier;",
    "a job in review",
  ],
  ["forgets paused jobs", "'running', 'paused')", "'running')", "a job that is paused"],
  [
    "takes other workers' rows",
    "AND (worker_id = $2::TEXT OR worker_id IS NULL)",
    "",
    "another worker has taken over",
  ],
  [
    "looks once only",
    "await sleep(SETTLE_MS);\n",
    "if (job) return (job.entry && this.sendAgain(job.id, job.entry), '');\n",
    "a job that ends during its release|wrote during its release",
  ],
  ["lets the worker claim it again", "this.frozen = true", "this.frozen = false", "handed over but not claimed yet"],
  [
    "swallows a failed release",
    "if (Date.now() > deadline) lose(`job",
    "if (Date.now() > deadline) done = true; else log(`job",
    "if the database refuses",
  ],
  [
    "claims what others have claimed",
    "text.replace(PICKUP_CONDITION, EXCLUSIVE_CONDITION)",
    "text",
    "run each job once",
  ],
  ["never claims a dead worker's row", "last_heartbeat < NOW() - INTERVAL '2 minutes'", "false", "whose worker died"],
  ["leaves pending rows of others", "(status = 'pending' OR worker_id", "(worker_id", "without being cleared"],
  [
    "reads no status",
    "void this.readStatus();\n    const timer = setInterval(() => void this.readStatus(), STATUS_INTERVAL_MS);",
    "const timer = setInterval(() => {}, 1000);",
    "the report names the job",
  ],
  [
    "does not give up",
    "stopping?.catch((error) => (giveUp(this, error), stop.call(this)))",
    "stopping?.catch(() => {})",
    "if the guard itself fails",
  ],
  ["is attached without a start", "attached: current !== undefined", "attached: true", "neither class", "process"],
  [
    "attaches although a shape is missing",
    "if (found.length === 0) patch(type!)",
    "if (type) (patch(type), problems.splice(0))",
    "where its SQL is another",
    "process",
  ],
  [
    "does not look at the program",
    'for (const source of [file, "main.ts"])',
    "for (const source of [file])",
    "stops it in another way",
    "process",
  ],
  ["ends with 1 after a crash", "current?.jobInside && ", "false && ", "an error of its own", "process"],
  [
    "ends with 70 though nothing is lost",
    "current?.jobInside && !current.released",
    "current?.jobInside",
    "two signals",
    "process",
  ],
];

const folder = mkdtempSync(`${tmpdir()}/guard-mutants-`);
afterAll(() => rmSync(folder, { recursive: true }));

async function run(mutant: Mutant, index: number): Promise<{ code: number; output: string }> {
  const [, before, after, caughtBy, file = "guard"] = mutant;
  const source = `${folder}/${index}/drain_guard.ts`;
  await Bun.write(source, replace(readFileSync(GUARD, "utf8"), before, after));
  const command = [process.execPath, "test", `./${file}.test.ts`, "-t", caughtBy, "--timeout", "10000"];
  const env = { ...process.env, GUARD_SOURCE: source };
  const child = Bun.spawn(command, { cwd: import.meta.dir, env, stdout: "pipe", stderr: "pipe" });
  const output = await new Response(child.stderr).text();
  return { code: await child.exited, output };
}

/** At most three at once. */
const running: Promise<unknown>[] = [];
const outcomes = MUTANTS.map((mutant, index) => {
  const outcome = (running[index - 3] ?? Promise.resolve()).then(() => run(mutant, index));
  running.push(outcome);
  return outcome;
});

const names = MUTANTS.map((mutant, index) => [mutant[0], index] as const);
test.each(names)("a guard that %s is caught", async (_, index) => {
  const { code, output } = await outcomes[index]!;
  expect(output).toContain("(fail)");
  expect(code).toBe(1);
}, 60_000);
