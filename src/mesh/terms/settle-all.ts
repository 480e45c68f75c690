/**
 * Waits until all have ended, whatever becomes of them: nothing goes on behind the back of whoever was told of a failure.
 * @throws the first failure, in this order
 */
export async function settleAll(work: readonly Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(work)) if (outcome.status === 'rejected') throw outcome.reason;
}
