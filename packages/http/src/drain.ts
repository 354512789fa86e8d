import { Readable } from "node:stream";
import { destroyStream } from "./streams.ts";

/** A stream that was read to its end, or what stands for it where it has more bytes than are kept. */
type Drained = { readonly bytes: Buffer } | { readonly rest: Readable };

/**
 * Reads a stream to its end, whether or not its client is still there. If it has more than `maxBytes`, the stream that
 * is returned has all of it, from the beginning.
 *
 * @throws the error that the stream fails with; TypeError for a chunk that is neither text nor bytes
 */
export async function drain(source: AsyncIterable<unknown>, maxBytes: number): Promise<Drained> {
  const chunks: Buffer[] = [];
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (let size = 0; size <= maxBytes; ) {
      const { done, value } = await iterator.next();
      if (done) return { bytes: Buffer.concat(chunks) };
      const isText = typeof value === "string";
      const chunk = isText ? Buffer.from(value) : Buffer.from(value as Uint8Array);
      chunks.push(chunk);
      size += chunk.length;
    }
  } catch (error) {
    destroyStream(source);
    throw error;
  }
  return { rest: following(chunks, iterator, source) };
}

/** If it is closed before its end, it does not wait for a source that has stalled. */
function following(
  chunks: Buffer[],
  iterator: AsyncIterator<unknown>,
  source: AsyncIterable<unknown>,
): Readable {
  return new Readable({
    read() {
      const chunk = chunks.shift();
      if (chunk !== undefined) {
        this.push(chunk);
        return;
      }
      iterator.next().then(
        ({ done, value }) => this.push(done ? null : value),
        (error: Error) => this.destroy(error),
      );
    },
    destroy(error, done) {
      destroyStream(source);
      iterator.return?.()?.catch(() => undefined);
      done(error);
    },
  });
}
