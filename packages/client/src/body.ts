import { describe, tagOf } from "./describe.ts";

/** A body that can be sent any number of times, and is the same each time. */
export interface ReplayableBody {
  readonly content: string | ArrayBuffer | Blob | undefined;
  /** What a fetch would say of the original by itself, and cannot say of this any more. */
  readonly contentType?: string;
}

const EXPECTED =
  "body: expected a string, an ArrayBuffer or a view of one, a Blob, URLSearchParams or FormData";

/**
 * Takes down what a body holds now, before anything is awaited: what the caller does to it later is
 * of no consequence.
 *
 * @throws TypeError if it cannot be sent again
 */
export function replayable(body: unknown): ReplayableBody | Promise<ReplayableBody> {
  if (body === undefined || body === null) return { content: undefined };
  if (typeof body === "string") return { content: body };
  if (ArrayBuffer.isView(body)) return { content: bytesOf(body) };
  // By their tags, as instanceof does not know those of another realm or implementation.
  switch (typeof body === "object" ? tagOf(body) : "") {
    case "ArrayBuffer":
      return { content: (body as ArrayBuffer).slice(0) };
    case "Blob":
    case "File":
      return { content: body as Blob };
    case "URLSearchParams":
      return {
        content: String(body),
        contentType: "application/x-www-form-urlencoded;charset=UTF-8",
      };
    case "FormData":
      return serialized(body as FormData);
    case "ReadableStream":
      throw new TypeError(
        `${EXPECTED}, got a ReadableStream, which can be sent only once. Buffer it first: ` +
          "await new Response(stream).arrayBuffer().",
      );
    default:
      throw new TypeError(`${EXPECTED}, got ${describe(body)}. An object is to be JSON first.`);
  }
}

function bytesOf(view: ArrayBufferView): ArrayBuffer {
  const copy = new Uint8Array(view.byteLength);
  copy.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  return copy.buffer;
}

/** A form is written once, as each writing would have another boundary and so other bytes. */
async function serialized(form: FormData): Promise<ReplayableBody> {
  const written = new Response(form);
  const contentType = written.headers.get("content-type") ?? "";
  if (!contentType.startsWith("multipart/form-data")) {
    throw new TypeError(
      `${EXPECTED}, got a FormData of another implementation than this runtime's. ` +
        "Put it into a Request of that implementation, which is read before it is sent.",
    );
  }
  return { content: await written.arrayBuffer(), contentType };
}
