/** Who the worker is. Here it is nobody and registers nowhere; tests/e2e has another one, for a worker on an instance. */
export const port = 0;
export const details = (): object => ({});
export async function register(_status: "active" | "draining" | "offline"): Promise<void> {}
