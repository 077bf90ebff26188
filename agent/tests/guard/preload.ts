/** Loads the guard before the tests, as the worker's process loads it; GUARD_SOURCE names another text. */
import { rmSync } from "node:fs";
import { dirname } from "node:path";

import { writeQuick } from "./quick.ts";

const guard = writeQuick();
await import(guard);
rmSync(dirname(guard), { recursive: true });
