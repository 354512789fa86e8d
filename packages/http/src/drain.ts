import { Readable } from "node:stream";

/** A stream that was read to its end, or what stands for it where it has more bytes than are kept. */
type Drained = { readonly bytes: Buffer } | { readonly rest: Readable };

/**
 * Reads a stream to its end, whether or not anybody waits for it. Where it has more than `maxBytes`, the
 * answered stream has all of it, from the beginning.
 *
 * @throws what the stream fails with
 */
export async function drain(source: AsyncIterable<unknown>, maxBytes: number): Promise<Drained> {
  const chunks: Buffer[] = [];
  const iterator = source[Symbol.asyncIterator]();
  for (let size = 0; size <= maxBytes; ) {
    const { done, value } = await iterator.next();
    if (done) return { bytes: Buffer.concat(chunks) };
    const chunk = typeof value === "string" ? Buffer.from(value) : Buffer.from(value as Uint8Array);
    chunks.push(chunk);
    size += chunk.length;
  }
  const rest = Readable.from(following(chunks, iterator), { objectMode: false });
  // Whoever stops reading, or never begins to, lets go of the source as well.
  rest.once("close", () => void iterator.return?.());
  return { rest };
}

async function* following(
  chunks: readonly Buffer[],
  iterator: AsyncIterator<unknown>,
): AsyncGenerator<unknown> {
  yield* chunks;
  yield* { [Symbol.asyncIterator]: () => iterator };
}
