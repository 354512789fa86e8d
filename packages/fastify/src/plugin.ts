import { Guard, type HttpOptions, type IdempotencyState } from "@idemkit/http";
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest, RouteOptions } from "fastify";
import fastifyPlugin from "fastify-plugin";
import { STATE } from "./request-state.ts";
import { ProtectedRoute } from "./route.ts";

export interface FastifyIdempotencyOptions extends HttpOptions<FastifyRequest> {}

/** What a route says of itself: protected as the plugin was told to, with other options, or not. */
export type RouteIdempotency = boolean | Partial<FastifyIdempotencyOptions>;

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether requests to this route are run once for each key. Default: false. */
    idempotency?: RouteIdempotency;
  }
  interface FastifyRequest {
    /** Missing where the route is not protected, or the request has no key and needs none. */
    idempotency?: IdempotencyState;
  }
}

/** On the config of routes that the plugin has seen, so that others are not left without protection. */
const SEEN = Symbol("idemkit.seen");

/**
 * Runs a request once for each key and gives every duplicate the first response, on routes that ask
 * for it: `config: { idempotency: true }`. Register it before the routes are declared.
 */
export const idempotency: FastifyPluginAsync<FastifyIdempotencyOptions> = fastifyPlugin(
  async (fastify: FastifyInstance, options: FastifyIdempotencyOptions) => {
    // Checked now, and not when the first route asks for it.
    const guard = new Guard<FastifyRequest>(options);
    if (fastify.hasRequestDecorator("idempotency")) {
      throw new Error("idempotency is registered already. Register it once, at the root.");
    }
    fastify.decorateRequest("idempotency", undefined);
    fastify.decorateRequest(STATE, undefined);
    fastify.addHook("onRoute", (route) => {
      const wanted = route.config?.idempotency;
      if (wanted === undefined || wanted === false) return;
      protect(route, wanted === true ? guard : guardOf(route, options, wanted));
    });
    fastify.addHook("onRequest", async ({ routeOptions: { config, url } }) => {
      if (config?.idempotency && !(SEEN in config)) throw declaredTooEarly(url);
    });
  },
  { fastify: "5.x", name: "@idemkit/fastify" },
);

/** @throws TypeError that names the route */
function guardOf(
  { url }: RouteOptions,
  options: FastifyIdempotencyOptions,
  own: Partial<FastifyIdempotencyOptions>,
): Guard<FastifyRequest> {
  try {
    if (typeof own === "object") return new Guard({ ...options, ...own });
    throw new TypeError(`expected true, false or options, got a value of type ${typeof own}.`);
  } catch (error) {
    throw new TypeError(`The route ${url}, config.idempotency: ${(error as Error).message}`);
  }
}

function protect(route: RouteOptions, guard: Guard<FastifyRequest>): void {
  checkMethods(route, guard);
  const { preParsing, handler, errorHandler } = new ProtectedRoute(guard, route);
  route.config = Object.assign({ ...route.config }, { [SEEN]: true });
  route.preParsing = [...[route.preParsing ?? []].flat(), preParsing];
  route.handler = handler;
  route.errorHandler = errorHandler;
}

/** A route that asks for what it cannot get is a mistake. */
function checkMethods({ method, url }: RouteOptions, guard: Guard<FastifyRequest>): void {
  const methods = Array.isArray(method) ? method : [method];
  // Fastify declares it by itself beside GET.
  if (methods.join() === "HEAD") return;
  if (methods.some((each) => guard.isFor(each.toUpperCase()))) return;
  throw new Error(
    `The route ${url} asks for idempotency, and has the method ${methods.join(", ")} alone, which is ` +
      "not protected. Name it in `methods`.",
  );
}

function declaredTooEarly(url: string | undefined): Error {
  return new Error(
    `The route ${url} asks for idempotency, and was declared before the plugin was loaded, so that ` +
      "it is not protected. Await fastify.register(idempotency, …) before the routes are declared.",
  );
}
