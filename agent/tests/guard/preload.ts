/** Loads the guard before the tests, as the worker's process loads it; GUARD_SOURCE names another text. */
import { writeQuick } from "./quick.ts";

await import(writeQuick());
