/** The program that the compose file names: the worker, with a window on the display, as its browser is one. */
if (process.env.STAND_IN_CRASHES === "true") throw new Error("a broken worker");
process.env.GH_WORKER_ID ??= crypto.randomUUID(); // a new one at each start, as the worker's own default
if (process.env.DISPLAY) {
  Bun.spawn(["xlogo", "-title", `GhostHands ${process.env.GH_WORKER_ID}`], {
    stdio: ["ignore", "ignore", "ignore"],
  });
}
await import("./main.ts");
