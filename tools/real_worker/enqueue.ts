// Sends jobs to pg-boss as VALET does: no retries, 4 hours to expire, the task's id as singleton key.
// `bun enqueue.ts SOURCE DATABASE_URL` reads {"job", "task", "user"} as lines of JSON and answers each with "sent".
const [source, url] = process.argv.slice(2) as [string, string];
const { PgBoss } = await import(Bun.resolveSync('pg-boss', `${source}/packages/ghosthands`));
const boss = new PgBoss({ connectionString: url, schema: 'pgboss', max: 2, supervise: false, schedule: false });
boss.on('error', (error: Error) => console.error(error.message));
await boss.start();
await boss.createQueue('gh_apply_job').catch(() => {}); // it exists
for await (const line of console) {
  const { job, task, user } = JSON.parse(line);
  const data = { ghJobId: job, valetTaskId: task, userId: user, jobType: 'custom', targetUrl: 'https://example.com/' };
  await boss.send('gh_apply_job', data, { retryLimit: 0, expireInSeconds: 14_400, singletonKey: task });
  console.log('sent');
}
process.exit(0);

export {};
