/** The guard with times that tests can wait for. It imports nothing of the stand-in, which the guard has to precede. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";

/** The guard; GUARD_SOURCE names another text, which a test of the tests has broken. */
export const GUARD = process.env.GUARD_SOURCE ?? `${import.meta.dir}/../../src/ghosthands_agent/drain_guard.ts`;
const TIMES = {
  "RELEASE_LIMIT_MS = 10_000": "RELEASE_LIMIT_MS = 1_000",
  "CALL_LIMIT_MS = 3_000": "CALL_LIMIT_MS = 300",
  "SETTLE_MS = 300": "SETTLE_MS = 40",
  "STATUS_INTERVAL_MS = 2_000": "STATUS_INTERVAL_MS = 20",
  "sleep(200)": "sleep(20)",
};

/** One exact replacement; a text that is not there (exactly once) is an error. */
export function replace(text: string, before: string, after: string): string {
  if (text.split(before).length !== 2) throw new Error(`not exactly once: ${before}`);
  return text.replace(before, () => after);
}

/** The guard with times that tests can wait for, as a file of its own: its path. */
export function writeQuick(): string {
  const text = Object.entries(TIMES).reduce((result, each) => replace(result, ...each), readFileSync(GUARD, "utf8"));
  const path = `${mkdtempSync(`${tmpdir()}/guard-quick-`)}/drain_guard.ts`;
  writeFileSync(path, text);
  return path;
}
