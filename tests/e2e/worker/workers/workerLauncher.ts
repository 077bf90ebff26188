/** The program that the compose file names: the worker, with a window on the display, as its browser is one. */
if (process.env.STAND_IN_CRASHES === "true") throw new Error("a broken worker");
if (process.env.DISPLAY) {
  Bun.spawn(["xlogo", "-title", `GhostHands ${process.env.GH_WORKER_ID}`], {
    stdio: ["ignore", "ignore", "ignore"],
  });
}
await import("./main.ts");
