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
  // Reading what is empty would end it, and frameworks take that for the end of the connection.
  if (!hasBody(request)) return Buffer.alloc(0);
  const chunks: Buffer[] = [];
  let size = 0;
  // Somebody may have asked for text.
  const encoding = request.readableEncoding ?? undefined;
  while (size <= maxBytes) {
    if (request.destroyed && !request.complete) throw new ClientLeftError();
    const chunk = request.read() as Buffer | string | null;
    if (chunk !== null) {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk;
      chunks.push(bytes);
      size += bytes.length;
    } else if (request.complete) {
      break;
    } else {
      await nextReadable(request);
    }
  }
  const bytes = Buffer.concat(chunks);
  // In the tick of the last read: once the end has been told, nothing can be put back.
  if (size > 0)
    request.unshift(encoding === undefined ? bytes : bytes.toString(encoding), encoding);
  return size > maxBytes ? undefined : bytes;
}

/** RFC 9112, section 6.3. */
function hasBody({ headers }: IncomingMessage): boolean {
  const { "content-length": length = "0" } = headers;
  return headers["transfer-encoding"] !== undefined || Number(length) > 0;
}

class ClientLeftError extends Error {
  override readonly name = "ClientLeftError";
  override readonly message = "The client left before its request was read.";
}

function nextReadable(request: IncomingMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error) => {
      request.off("readable", onReadable).off("error", settle).off("close", onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onReadable = () => settle();
    const onClose = () => settle(new ClientLeftError());
    request.on("readable", onReadable).on("error", settle).on("close", onClose);
  });
}
