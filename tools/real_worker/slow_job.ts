// Preloaded into the real worker (`bun --preload`): the browser step of the worker's own mock adapter takes as long as
// the job's description says ("sleep 6.5") and is recorded in real_worker.runs, and a job whose description ends in
// "review" waits for its user's review afterwards. The metadata service that it asks is its instance's, of localcloud:
// the machine that a trial runs on may have another one at that address, or none. Everything else is the worker's own.
import { SQL } from 'bun';

const BEAT_MS = 250;
const sources = `${process.cwd()}/packages/ghosthands/src`;
const { MockAdapter } = await import(`${sources}/adapters/mock.ts`);
const { CustomHandler } = await import(`${sources}/workers/taskHandlers/customHandler.ts`);
const sql = new SQL(process.env.DATABASE_DIRECT_URL!, { max: 1 });

MockAdapter.prototype.act = async function (this: { isActive(): boolean }, instruction: string) {
  const [, job, seconds] = /^job (\S+) sleep ([0-9.]+)/.exec(instruction)!;
  const [{ run }] = await sql`INSERT INTO real_worker.runs (job, worker, pid)
    VALUES (${job}::uuid, ${process.env.GH_WORKER_ID}, ${process.pid}) RETURNING run`;
  const end = Date.now() + Number(seconds) * 1000;
  for (let left = end - Date.now(); left > 0; left = end - Date.now()) {
    await Bun.sleep(Math.min(BEAT_MS, left));
    if (!this.isActive()) return { success: false, message: 'the adapter was stopped' };
    await sql`UPDATE real_worker.runs SET beat = clock_timestamp() WHERE run = ${run}`;
  }
  await sql`UPDATE real_worker.runs SET beat = clock_timestamp(), ended = clock_timestamp() WHERE run = ${run}`;
  return { success: true, message: 'slept' };
};

const metadata = process.env.AWS_EC2_METADATA_SERVICE_ENDPOINT!;
const request = globalThis.fetch;
globalThis.fetch = Object.assign(
  (input: Parameters<typeof fetch>[0], init?: RequestInit) =>
    request(typeof input === 'string' ? input.replace('http://169.254.169.254', metadata) : input, init),
  { preconnect: request.preconnect },
);

const { execute } = CustomHandler.prototype;
CustomHandler.prototype.execute = async function (context: { job: { task_description: string } }) {
  const result = await execute.call(this, context);
  const review = context.job.task_description.endsWith(' review');
  return review ? { ...result, keepBrowserOpen: true, awaitingUserReview: true } : result;
};
