import { fileURLToPath } from "node:url";
import { bundled, type Edit } from "@idemkit/source-edits";

/** One rule, broken on purpose, and the row that has to notice. */
export interface Mutant extends Edit {
  readonly name: string;
  /** The title of a row that has to fail. */
  readonly caughtBy: string;
}

const packages = fileURLToPath(new URL("../../packages/", import.meta.url));

/** A package with a mutant in its source, or in that of what it is built on. */
export async function mutated<M>(name: "engine" | "fastify" | "koa", mutant: Mutant): Promise<M> {
  const fault = { name: mutant.name, edits: [mutant] };
  return (await import((await bundled(`${packages}${name}/src/index.ts`, fault)).href)) as M;
}

/** Rules that both bindings share. */
const SHARED: readonly Mutant[] = [
  {
    name: "all headers are kept, and not those of the handler alone",
    file: "http/src/headers.ts",
    from: "value === undefined || isSame(before[name], value)",
    to: "value === undefined",
    caughtBy: "headers from outside of the handler are those of each request",
  },
  {
    name: "Set-Cookie is kept",
    file: "http/src/headers.ts",
    from: '"set-cookie", ',
    to: "",
    caughtBy: "a cookie stays with who got it first",
  },
  {
    name: "what Connection names is kept",
    file: "http/src/headers.ts",
    from: "ofConnection.has(lowerName) || ",
    to: "",
    caughtBy: "what Connection names is not replayed",
  },
  {
    name: "bodies are not compared",
    file: "http/src/fingerprint.ts",
    from: ", ...contentOf(body, mediaType) };",
    to: " };",
    caughtBy: "another request under the same key is refused: another value",
  },
  {
    name: "numbers are compared as parsers read them",
    file: "http/src/canonical-json.ts",
    from: "throw new NotCanonical();\n    this.#at = at;\n",
    to: "throw new NotCanonical();\n    this.#at = at;\n    return String(JSON.parse(text.slice(start, at)));\n",
    caughtBy: "another request under the same key is refused: numbers that parsers take for equal",
  },
  {
    name: "the query is not compared",
    file: "http/src/fingerprint.ts",
    from: "query: sortedQuery(query), ",
    to: "",
    caughtBy: "another request under the same key is refused: another query",
  },
  {
    name: "in progress comes before the comparison",
    file: "http/src/protection.ts",
    from: 'if (error instanceof ConflictError) return this.#problem("key-reused");',
    to: 'if (error instanceof ConflictError) return this.#problem("in-progress");',
    caughtBy: "another request under a key that still runs is refused as such",
  },
  {
    name: "what cannot be stored is recorded",
    file: "http/src/disposition.ts",
    from: 'isWhole && !NOT_STORABLE.has(status) ? "record" : "stub"',
    to: '"record"',
    caughtBy: "206 is done, and its response is not kept",
  },
  {
    name: "what cannot be stored is given back",
    file: "http/src/disposition.ts",
    from: 'isWhole && !NOT_STORABLE.has(status) ? "record" : "stub"',
    to: 'isWhole && !NOT_STORABLE.has(status) ? "record" : "release"',
    caughtBy: "a body of more than maxBody is sent whole, and not kept",
  },
  {
    name: "429 is recorded",
    file: "http/src/disposition.ts",
    from: "[408, 421, 425, 429]",
    to: "[408, 421, 425]",
    caughtBy: "429 gives the key back",
  },
  {
    name: "5xx is given back under at-most-once",
    file: "http/src/protected-run.ts",
    from: '"at-least-once" ? "release" : "record"',
    to: '"at-least-once" ? "release" : "release"',
    caughtBy: "503 is recorded under at-most-once",
  },
  {
    name: "a key that cannot be read is ignored",
    file: "http/src/protection.ts",
    from: 'if (reading.problem === "key-missing" && !required)',
    to: "if (!required)",
    caughtBy: "a bad key is refused even where none is required",
  },
  {
    name: "the first of several lines is the key",
    file: "http/src/key.ts",
    from: "if (others.length > 0)",
    to: "if (others.length > 9)",
    caughtBy: "a key is refused: two header lines",
  },
  {
    name: "a bare key and a quoted one are two",
    file: "http/src/key.ts",
    from: 'if (typeof item === "string") return { key: item };',
    to: 'if (typeof item === "string") return { key: text };',
    caughtBy: "the same key: a bare key and a quoted one",
  },
  {
    name: "a store that is down is passed by",
    file: "http/src/protection.ts",
    from: "this.#settings.isBypassing && error instanceof StoreError",
    to: "error instanceof StoreError",
    caughtBy: "a store that is down is 503 at once, and the handler does not run",
  },
  {
    name: "whoever asks for a status sees everybody's",
    file: "http/src/status.ts",
    from: "engine.inspect(await scope(request), reading.key)",
    to: 'engine.inspect("ada", reading.key)',
    caughtBy: "the status of an unknown key, and of somebody else's, is not found",
  },
  {
    name: "problems tell the key",
    file: "http/src/protection.ts",
    from: 'return this.#problem("outcome-unknown");',
    to: 'return this.#problem("outcome-unknown", { detail: ofKey.key });',
    caughtBy: "what its process has left open is told to be unknown, and does not run again",
  },
];

const KOA: readonly Mutant[] = [
  {
    name: "a stream shares the connection's fate",
    file: "koa/src/shield.ts",
    from: "this.#stream === undefined ? value : Readable.from([])",
    to: "value",
    caughtBy: "a stream is kept for a client that left",
  },
  {
    name: "a body that is set again sets its own status",
    file: "koa/src/idempotency.ts",
    from: "  // Setting a body may have changed the status.\n  ctx.status = status;\n",
    to: "",
    caughtBy: "201 is recorded",
  },
  {
    name: "a response is sent before it is recorded",
    file: "koa/src/idempotency.ts",
    from: "await protectedRun.end({ ...head, ...(body && { body }) });",
    to: "setTimeout(() => void protectedRun.end({ ...head, ...(body && { body }) }), 200);",
    caughtBy: "a duplicate gets the first response",
  },
  {
    name: "a thrown failure gives the key back",
    file: "koa/src/idempotency.ts",
    from: "else await protectedRun.endThrown(error, kept());\n",
    to: "else {\n      protectedRun.state.release();\n      await protectedRun.endUnseen();\n    }\n",
    caughtBy: "a failure that the framework answers is replayed",
  },
  {
    name: "a response that was sent meanwhile ends the claim as given back",
    file: "koa/src/idempotency.ts",
    from: "return await endInPlace(ctx, shield, protectedRun);",
    to: "return await protectedRun.end({ status: 503, headers: [] });",
    caughtBy: "a handler whose time is over keeps its key until it is done, and does not run again",
  },
];

const FASTIFY: readonly Mutant[] = [
  {
    name: "the key is claimed before the route's own authentication",
    file: "fastify/src/plugin.ts",
    from: "[...listed(route.preHandler), claim]",
    to: "[claim, ...listed(route.preHandler)]",
    caughtBy: "a caller who is not authenticated learns nothing, and claims nothing",
  },
  {
    name: "a response is captured behind the route's own transforms",
    file: "fastify/src/plugin.ts",
    from: "[capture, ...listed(route.onSend)]",
    to: "[...listed(route.onSend), capture]",
    caughtBy: "compression is that of each request",
  },
  {
    name: "a 503 ends the claim while its handler runs",
    file: "fastify/src/capture.ts",
    from: "    exchange.isAnsweredByOthers = true;\n    return given;\n",
    to: "",
    caughtBy: "a handler whose time is over keeps its key until it is done, and does not run again",
  },
  {
    name: "bodies are compared as Fastify has parsed them",
    file: "fastify/src/route-protection.ts",
    from: "readBody: async () => this.#bodyOf(request),",
    to: "readBody: async () => ({ parsed: request.body }),",
    caughtBy: "another request under the same key is refused: numbers that parsers take for equal",
  },
  {
    name: "a client that left takes an empty outcome along",
    file: "fastify/src/handler.ts",
    from: "if (value === undefined && isGone(reply)) await endWithoutClient(exchange);",
    to: "",
    caughtBy: "an outcome without a body is kept for a client that left",
  },
  {
    name: "a replay has the headers that Fastify gives it",
    file: "fastify/src/route-protection.ts",
    from: "for (const [name, value] of response.headers) setHeader(reply, name, value);",
    to: "",
    caughtBy: "a body is kept: HTML",
  },
];

const ENGINE: readonly Mutant[] = [
  {
    name: "a lease is not renewed",
    file: "engine/src/held-claim.ts",
    from: "this.#heartbeat = this.#beat(sentAtMs);\n    this.#withdraw",
    to: "this.#heartbeat = NO_HEARTBEAT;\n    this.#withdraw",
    caughtBy: "a handler keeps its key for as long as it runs",
  },
  {
    name: "in progress is told before the request is compared",
    file: "engine/src/meet.ts",
    from: "checkFingerprint(scope, call, other.fingerprint);",
    to: "if (asked.kind !== 'attached') checkFingerprint(scope, call, other.fingerprint);",
    caughtBy: "another request under a key that still runs is refused as such",
  },
];

/** Mutants by the package that is broken by them. */
export const MUTANTS = {
  engine: ENGINE,
  koa: [...SHARED, ...KOA],
  fastify: [...SHARED, ...FASTIFY],
} as const;
