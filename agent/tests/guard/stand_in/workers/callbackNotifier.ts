/** A stand-in of the worker's callbacks to VALET (workers/callbackNotifier.ts 72-134 at commit 6264ad3). */
export const callbackNotifier = {
  sent: [] as Record<string, unknown>[],
  async notifyFromJob(job: Record<string, unknown>): Promise<boolean> {
    this.sent.push(job);
    return true;
  },
};
