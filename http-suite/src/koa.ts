import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Engine } from "@idemkit/engine";
import type * as KoaModule from "@idemkit/koa";
import { bodyParser } from "@koa/bodyparser";
import cors from "@koa/cors";
import Application, { type Context, type Next } from "koa";
import compress from "koa-compress";
import conditional from "koa-conditional-get";
import etag from "koa-etag";
import { type App, type Binding, type Exchange, type Plan, SLOW_MS } from "./lab.ts";

/**
 * @param module the binding, or a broken one
 * @param Koa the framework, in the version that is to be tried
 */
export function koaBinding(
  module: typeof KoaModule,
  Koa: typeof Application = Application,
): Binding {
  return {
    name: "Koa",
    start: async (engine, plan) => await start(module, new Koa(), engine, plan),
  };
}

async function start(
  module: typeof KoaModule,
  app: Application,
  engine: Engine,
  plan: Plan,
): Promise<App> {
  const { idempotency, idempotencyStatus, corsHeaders } = module;
  const reported: unknown[] = [];
  app.on("error", (error: unknown) => reported.push(error));
  const options = { engine, scope: scopeOf, ...plan.options } as KoaModule.KoaOptions;
  const around = plan.around ?? [];
  if (plan.formatsErrors !== undefined) app.use(formatErrors(plan.formatsErrors));
  app.use(async (ctx, next) => {
    ctx.set("X-Request-Id", Math.random().toString(36));
    ctx.set("X-Outside", Math.random().toString(36));
    await next();
  });
  layer(app, around);
  if (around.includes("cors")) app.use(cors(corsHeaders(options)));
  if (around.includes("compress")) app.use(compress({ threshold: 1 }));
  if (around.includes("etag")) app.use(conditional()).use(etag());
  if (plan.timeoutMs !== undefined) app.use(timeOut(plan.timeoutMs));
  if (plan.authenticates) app.use(authenticate);
  app.use(bodyParser({ enableTypes: ["json", "form", "text"] }));
  const status = idempotencyStatus({ engine, scope: scopeOf });
  const protect = idempotency(options);
  app.use(async (ctx, next) => {
    if (ctx.path.startsWith("/status/")) return await status(ctx, next);
    return ctx.path === "/open" ? await next() : await protect(ctx, next);
  });
  app.use(async (ctx) => {
    await plan.handler(exchangeOf(ctx));
  });
  const server = app.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    reported,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Middlewares as applications have them. */
function layer(app: Application, around: NonNullable<Plan["around"]>): void {
  if (around.includes("slow")) {
    app.use(async (_ctx, next) => {
      await next();
      await pause(SLOW_MS);
    });
  }
  if (around.includes("served-at")) {
    app.use(async (ctx, next) => {
      await next();
      ctx.set("X-Served-At", String(process.hrtime.bigint()));
    });
  }
  if (around.includes("serializer")) {
    app.use(async (ctx, next) => {
      await next();
      if (Object.getPrototypeOf(ctx.body ?? "") !== Object.prototype) return;
      ctx.body = `yaml:${JSON.stringify(ctx.body)}`;
      ctx.type = "application/yaml";
    });
  }
}

function scopeOf(ctx: Context): string {
  return ctx.get("x-user");
}

function exchangeOf(ctx: Context): Exchange {
  return {
    method: ctx.method,
    body: ctx.request.body,
    idempotency: ctx.state.idempotency,
    status: (code) => {
      ctx.status = code;
    },
    header: (name, value) => ctx.set(name, typeof value === "string" ? value : [...value]),
    cookie: (name, value) => {
      ctx.cookies.set(name, value);
    },
    redirect: (url) => ctx.redirect(url),
    send: (body) => {
      if (body !== undefined) ctx.body = body;
    },
    respond: (body) => {
      ctx.body = body;
    },
    fail: (status, message, members = {}) => {
      ctx.throw(status, message, members);
    },
    failByPlugin: (status, message) => ctx.throw(status, message),
    decorate: (status, error) => ctx.throw(status, error),
    hijack: () => {
      ctx.respond = false;
      return ctx.res;
    },
    unparsed: async () => Buffer.concat(await ctx.req.toArray()),
  };
}

function formatErrors(how: NonNullable<Plan["formatsErrors"]>) {
  return async (ctx: Context, next: Next): Promise<void> => {
    try {
      await next();
    } catch (error) {
      const {
        status = 500,
        message,
        problem,
        headers = {},
      } = error as Readonly<Record<string, never>>;
      if (how === "as-success") {
        ctx.body = { hidden: true };
        return;
      }
      ctx.set(headers);
      ctx.status = status;
      ctx.body = problem ?? { formatted: true, message };
    }
  };
}

function timeOut(afterMs: number) {
  return async (ctx: Context, next: Next): Promise<void> => {
    const running = next();
    // Whoever loses the race may still fail.
    running.catch(() => undefined);
    const isLate = await Promise.race([running.then(() => false), pause(afterMs, true)]);
    if (!isLate) return;
    ctx.status = 503;
    ctx.body = { error: "The handler takes too long." };
  };
}

async function authenticate(ctx: Context, next: Next): Promise<void> {
  if (ctx.get("authorization") === "") ctx.throw(401);
  await next();
}
