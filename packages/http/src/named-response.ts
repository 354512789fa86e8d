import { shown } from "@idemkit/engine/model";
import { checkHeaders, type HeaderList } from "./headers.ts";
import {
  bytesBody,
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
  /** Text and bytes are sent as they are, and any other value as JSON. */
  readonly body?: unknown;
}

/** @throws TypeError if it could not be sent, or its body could not be kept */
export function checkedResponse(response: unknown, maxBytes: number): StoredResponse {
  const named = response as Partial<NamedResponse> | null | undefined;
  if (typeof named !== "object" || named === null) {
    throw new TypeError(`response: expected { status, headers, body }, got ${shown(response)}.`);
  }
  const { status, headers: given = {} } = named;
  if (!Number.isInteger(status) || Number(status) < 200 || Number(status) > 599) {
    throw new TypeError(`status: expected a number from 200 to 599, got ${shown(status)}.`);
  }
  const headers: HeaderList = Object.entries(given).map(([name, value]) => [
    name.toLowerCase(),
    value,
  ]);
  checkHeaders(headers);
  return { status: status as number, headers, body: bodyOf(named.body, maxBytes) };
}

function bodyOf(value: unknown, maxBytes: number): StoredBody {
  if (value === undefined || value === null) return { kind: "none" };
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

function isStream(value: unknown): boolean {
  const { pipe, getReader } = value as { readonly pipe?: unknown; readonly getReader?: unknown };
  return typeof pipe === "function" || typeof getReader === "function";
}
