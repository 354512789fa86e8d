import { describeOperation, type OperationDescription } from "@idemkit/http";
import type { FastifySchema, RouteOptions } from "fastify";
import type { FastifyIdempotencyOptions } from "./plugin.ts";

/** What `@fastify/swagger` gives a `transform`, as far as it is used here. */
interface Described {
  readonly schema: FastifySchema | undefined;
  readonly url: string;
  readonly route: Pick<RouteOptions, "config">;
}

/**
 * A `transform` for `@fastify/swagger`: protected routes show the header and the answers that are
 * idemkit's. It changes the description alone, and no request is validated by it.
 *
 * @param options those of the plugin
 */
export function idempotencyTransform(options: FastifyIdempotencyOptions) {
  return ({ schema, url, route }: Described) => {
    const wanted = route.config?.idempotency;
    if (wanted === undefined || wanted === false) return { schema: schema ?? {}, url };
    const own = wanted === true ? options : { ...options, ...wanted };
    return { schema: merged(schema ?? {}, own), url };
  };
}

function merged(schema: FastifySchema, options: FastifyIdempotencyOptions): FastifySchema {
  const { parameters, responses } = describeOperation(options);
  const headers = (schema.headers ?? {}) as {
    readonly properties?: object;
    readonly required?: readonly string[];
  };
  const properties = parameters.map(({ name, schema: own, description }) => [
    name,
    { ...(own as object), description },
  ]);
  const required = parameters.filter((each) => each.required).map(({ name }) => name);
  return {
    ...schema,
    headers: {
      type: "object",
      ...headers,
      properties: { ...headers.properties, ...Object.fromEntries(properties) },
      required: [...(headers.required ?? []), ...required],
    },
    response: { ...inSwagger(responses), ...successOf(schema) },
  };
}

/** What a route describes itself, or what swagger says of one that describes nothing. */
function successOf({ response }: FastifySchema): object {
  const own = (response ?? {}) as object;
  const hasSuccess = Object.keys(own).some((status) => /^(?:[23]|default)/.test(status));
  return hasSuccess ? own : { 200: { description: "Default Response" }, ...own };
}

/** `@fastify/swagger` takes a response's headers as schemas, and makes OpenAPI's form of them. */
function inSwagger(responses: OperationDescription["responses"]) {
  return Object.fromEntries(
    Object.entries(responses).map(([status, { headers, ...response }]) => [
      status,
      headers === undefined ? response : { ...response, headers: schemasOf(headers) },
    ]),
  );
}

function schemasOf(headers: unknown) {
  return Object.fromEntries(
    Object.entries(headers as Record<string, { readonly schema: object }>).map(
      ([name, { schema, ...described }]) => [name, { ...schema, ...described }],
    ),
  );
}
