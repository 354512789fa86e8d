/** Calls `run` once for each index below `count`, by so many workers at a time. */
export async function inParallel(
  workers: number,
  count: number,
  run: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next;
      next += 1;
      await run(index);
    }
  };
  await Promise.all(Array.from({ length: workers }, worker));
}
