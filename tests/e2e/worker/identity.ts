/** Who the worker is, in its status and in the registry (gh_worker_registry), as the worker's public source writes them. */
import { Store } from "./database.ts";

const env = process.env;
const began = Date.now();
const worker = env.GH_WORKER_ID ?? "worker";
export const port = Number(env.GH_WORKER_PORT ?? 3101);
let status = "active";

export const details = (): object => ({
  worker_id: worker,
  ec2_instance_id: env.EC2_INSTANCE_ID ?? "unknown",
  ec2_ip: env.EC2_IP ?? "unknown",
  max_concurrent: 1,
  is_running: status !== "offline",
  dispatch_mode: env.JOB_DISPATCH_MODE ?? "legacy",
  asg_name: env.AWS_ASG_NAME ?? null,
  uptime_ms: Date.now() - began,
});

const store = new Store();
const REGISTER = `INSERT INTO gh_worker_registry (worker_id, status, ec2_instance_id, ec2_ip, registered_at, last_heartbeat)
  VALUES ($1, $2, $3, $4, now(), now()) ON CONFLICT (worker_id) DO UPDATE
  SET status = $2, ec2_instance_id = $3, ec2_ip = $4, last_heartbeat = now()`;

export async function register(now: "active" | "draining" | "offline"): Promise<void> {
  status = now;
  await store.run(REGISTER, [worker, now, env.EC2_INSTANCE_ID ?? "unknown", env.EC2_IP ?? "unknown"]);
}

setInterval(() => register(status as "active").catch(() => {}), 30_000);
