import type { IncomingMessage } from "node:http";

/**
 * Reads a request to its end and puts all back, so that whoever comes next reads it as if nobody had.
 *
 * @returns nothing where it has more than `maxBytes`
 * @throws an Error where the client leaves before it has sent all
 */
export async function peekBody(
  request: IncomingMessage,
  maxBytes: number,
): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  while (size <= maxBytes) {
    const chunk = request.read() as Buffer | null;
    if (chunk !== null) {
      chunks.push(chunk);
      size += chunk.length;
    } else if (request.complete) {
      break;
    } else {
      await nextReadable(request);
    }
  }
  const bytes = Buffer.concat(chunks);
  // In the tick of the last read: once the end has been told, nothing can be put back.
  if (size > 0) request.unshift(bytes);
  return size > maxBytes ? undefined : bytes;
}

function nextReadable(request: IncomingMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error) => {
      request.off("readable", onReadable).off("error", settle).off("close", onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onReadable = () => settle();
    const onClose = () => settle(new Error("The client left before its request was read."));
    request.on("readable", onReadable).on("error", settle).on("close", onClose);
  });
}
