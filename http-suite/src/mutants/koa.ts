import type { Mutant } from "../mutants.ts";

/** Rules of the binding for Koa. */
export const KOA: readonly Mutant[] = [
  {
    name: "all headers are kept, and not those of the handler alone",
    file: "http/src/headers.ts",
    from: "value === undefined || isSame(before[name], value)",
    to: "value === undefined",
    caughtBy: "headers from outside of the handler are those of each request",
  },
  {
    name: "a stream is sent as it comes",
    file: "koa/src/body.ts",
    from: "const drained = await drain(stream, maxBytes);",
    to: "return { instead: stream };\n  const drained = await drain(stream, maxBytes);",
    caughtBy: "a body is kept: a stream",
  },
  {
    name: "a body that is set again sets its own status",
    file: "koa/src/body.ts",
    from: "  // Setting a body may have changed the status.\n  ctx.status = status;\n",
    to: "",
    caughtBy: "201 is recorded",
  },
  {
    name: "a response is sent and not committed",
    file: "koa/src/idempotency.ts",
    from: "const instead = await protectedRun.recordResponse(made.response);",
    to: "const instead = undefined;",
    caughtBy: "a duplicate gets the first response",
  },
  {
    name: "a response is sent before it is committed",
    file: "koa/src/idempotency.ts",
    from: "const instead = await protectedRun.recordResponse(made.response);",
    to: "const instead = undefined;\n  setTimeout(() => void protectedRun.recordResponse(made.response), 200);",
    caughtBy: "a duplicate gets the first response",
  },
  {
    name: "a thrown failure gives the key back",
    file: "koa/src/idempotency.ts",
    from: "const instead = await protectedRun.recordError(",
    to: "protectedRun.state.release();\n  const instead = await protectedRun.recordError(",
    caughtBy: "a failure that the framework responds to is replayed",
  },
  {
    name: "every error counts as Koa's",
    file: "koa/src/idempotency.ts",
    from: "isFrameworks: isKoasError(error, ctx.app)",
    to: "isFrameworks: true",
    caughtBy: "a thrown error of another library never gives the key back: 429",
  },
  {
    name: "the handler sets the response that a timeout has set",
    file: "koa/src/recorder.ts",
    from: "handlers.getStore() === this ? own() : outside",
    to: "outside",
    caughtBy: "a response that comes too late is the outcome: a status from before, and headers",
  },
  {
    name: "headers of the middleware around are kept",
    file: "http/src/handler-raw.ts",
    from: "headersSince(this.#before, ",
    to: "headersSince({}, ",
    caughtBy: "headers from outside of the handler are those of each request",
  },
  {
    name: "the handler runs although another middleware has responded",
    file: "koa/src/idempotency.ts",
    from: "if (ctx.headerSent) return await admission.run.abandon();",
    to: "",
    caughtBy:
      "a request that got a response while its key was claimed does not run, and frees its key",
  },
  {
    name: "a key that was not used stays claimed",
    file: "koa/src/idempotency.ts",
    from: "return await admission.run.abandon();",
    to: "return void admission.run.recordUnseen();",
    caughtBy:
      "a request that got a response while its key was claimed does not run, and frees its key",
  },
  {
    name: "the handler runs when a client leaves during a replay",
    file: "koa/src/idempotency.ts",
    from: "return respond(ctx, admission.response);",
    to: 'ctx.res.once("close", () => void next());\n        return respond(ctx, admission.response);',
    caughtBy:
      "the handler does not run for a client that leaves while it gets a replay, with a slow layer",
  },
  {
    name: "headers before a failure are not replayed",
    file: "koa/src/idempotency.ts",
    from: "  setHeaders(ctx, headers);\n  const marks",
    to: "  const marks",
    caughtBy: "headers that were set before a failure are replayed",
  },
  {
    name: "a written response is recorded as one without a body",
    file: "koa/src/idempotency.ts",
    from: "    if (recorder.isTaken) return taken(protectedRun, ctx, recorder);\n",
    to: "",
    caughtBy: "a response that the handler writes by itself is not kept",
  },
  {
    name: "an error that leaves the outcome open reaches the error handling",
    file: "koa/src/idempotency.ts",
    from: "if (instead === undefined) {\n    if (!ctx.headerSent)",
    to: "if (instead !== null) {\n    if (!ctx.headerSent)",
    caughtBy:
      "the StoreError of a step that leaves the handler decides nothing, with an error handler that hides errors",
  },
];
