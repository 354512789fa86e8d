import { shown } from "@idemkit/engine/model";
import { checkHeaders, type HeaderList } from "./headers.ts";
import {
  bytesBody,
  checkStatus,
  jsonBody,
  type StoredBody,
  type StoredResponse,
  textBody,
} from "./stored-response.ts";

/** A response as a handler names it. */
export interface NamedResponse {
  /** 200 to 599. */
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /**
   * Text and bytes are sent as they are, and any other value as JSON. Without a `content-type` it gets
   * `text/plain`, `application/octet-stream` or `application/json`.
   */
  readonly body?: unknown;
}

const TYPES: Readonly<Partial<Record<StoredBody["kind"], string>>> = {
  text: "text/plain; charset=utf-8",
  bytes: "application/octet-stream",
  json: "application/json; charset=utf-8",
};

/** @throws TypeError if it could not be sent, or its body could not be kept */
export function checkedResponse(response: unknown, maxBytes: number): StoredResponse {
  const named = response as Partial<NamedResponse> | null | undefined;
  if (typeof named !== "object" || named === null) {
    throw new TypeError(`response: expected { status, headers, body }, got ${shown(response)}.`);
  }
  const { status, headers: given = {} } = named;
  checkStatus(status);
  const headers = headerList(given);
  const body = bodyOf(named.body, maxBytes);
  return { status, headers: withType(headers, body), body };
}

function headerList(given: unknown): HeaderList {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(`headers: expected an object of names and values, got ${shown(given)}.`);
  }
  const list = Object.entries(given).map(([name, value]): HeaderList[number] => {
    if ([value].flat().every((each) => typeof each === "string"))
      return [name.toLowerCase(), value];
    throw new TypeError(`headers: expected text or a list of texts for ${name}.`);
  });
  checkHeaders(list);
  return list;
}

/** Koa sets a type only when a handler sets a body by `ctx.body`. */
function withType(headers: HeaderList, { kind }: StoredBody): HeaderList {
  const type = TYPES[kind];
  if (type === undefined || headers.some(([name]) => name === "content-type")) return headers;
  return [["content-type", type], ...headers];
}

function bodyOf(value: unknown, maxBytes: number): StoredBody {
  // Without a body that is set to nothing, Koa sends the reason phrase.
  if (value === undefined || value === null) return { kind: "empty" };
  if (isStream(value)) {
    throw new TypeError(
      "body: expected text, bytes or a JSON value. A stream cannot be committed.",
    );
  }
  const body =
    typeof value === "string"
      ? textBody(value, maxBytes)
      : value instanceof Uint8Array
        ? bytesBody(value, maxBytes)
        : jsonBody(value, maxBytes);
  if (body !== undefined) return body;
  throw new TypeError(
    `body: expected text, bytes or a JSON value of at most ${maxBytes} bytes (\`maxBody\`).`,
  );
}

/** A `Blob` and a web `Response` are streams too: JSON would make `{}` of them. */
const OF_STREAMS = ["pipe", "getReader", "arrayBuffer"] as const;

function isStream(value: unknown): boolean {
  const members = value as Readonly<Record<string, unknown>>;
  return OF_STREAMS.some((name) => typeof members[name] === "function");
}
