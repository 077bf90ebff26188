/**
 * A stand-in of the worker's program (workers/main.ts at commit 6264ad3): drain and the first signal stop the
 * processor, the second signal releases its job and exits with 1 (284-303, 344), an uncaught error exits with 1 soon
 * afterwards (352-356), the status server starts after the processor (498-630), it says in the registry that it is
 * active, drains, has gone (205-262, 305-340). STAND_IN_DATABASE: its database.
 */
import { Boss } from "../boss.ts";
import { Connection, Store } from "../database.ts";
import { details, port, register } from "../identity.ts";
import { JobExecutor } from "./JobExecutor.ts";
import { JobPoller } from "./JobPoller.ts";
import { PgBossConsumer } from "./PgBossConsumer.ts";

const store = new Store(process.env.STAND_IN_DATABASE);
const pgDirect = new Connection(store);
const workerId = process.env.GH_WORKER_ID ?? "worker";
const executor = new JobExecutor(store, workerId);
let boss: Boss | undefined;
let consumer: PgBossConsumer | undefined;
let poller: JobPoller | undefined;
let draining = false;
let shuttingDown = false;

const getActiveJobCount = () => (consumer ? consumer.activeJobCount : poller ? poller.activeJobCount : 0);
const stopJobProcessor = async () => {
  if (consumer) await consumer.stop();
  else if (poller) await poller.stop();
};
const releaseJobs = async () => {
  if (consumer) await consumer.releaseClaimedJobs();
  else if (poller) await poller.releaseClaimedJobs();
};

async function shutdown(): Promise<void> {
  if (shuttingDown) {
    await releaseJobs();
    await boss?.stop({ graceful: false });
    process.exit(1);
  }
  shuttingDown = true;
  await stopJobProcessor();
  await boss?.stop({ graceful: true, timeout: 100 });
  await register("offline").catch(() => {});
  process.exit(0);
}

process.on("SIGTERM", shutdown);
process.on("uncaughtException", (error) => {
  console.error(error);
  setTimeout(() => process.exit(1), 50);
});
process.on("SIGUSR2", () => {
  throw new Error("the connection to the database broke");
});

if (process.env.JOB_DISPATCH_MODE === "queue") {
  boss = new Boss(store);
  consumer = new PgBossConsumer({ boss, pgDirect, workerId, executor });
  await consumer.start();
} else {
  poller = new JobPoller({ pgDirect, workerId, executor, maxConcurrent: 1 });
  await poller.start();
}

await register("active");
const server = Bun.serve({
  port,
  fetch(request: Request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/worker/status") {
      const status = { ...details(), active_jobs: getActiveJobCount(), is_draining: draining || shuttingDown };
      return Response.json(status, { headers: { "x-worker": workerId } });
    }
    if (pathname === "/worker/drain") {
      draining = true;
      register("draining").catch(() => {});
      stopJobProcessor().then(() => console.log("drained"));
      return Response.json({ status: "draining" });
    }
    return Response.json({ error: "not_found" }, { status: 404 });
  },
});
console.log(`port ${server.port}`);
