import swagger from "@fastify/swagger";
import { createEngine, memoryStore } from "@idemkit/engine";
import { idempotency, idempotencyTransform } from "@idemkit/fastify";
import { describeOperation } from "@idemkit/http";
import fastify, { type FastifyInstance } from "fastify";
import { expect, test } from "vitest";

const options = { engine: createEngine({ store: memoryStore() }), scope: () => "ada" };

test("an operation is described with each status that its refusals have", () => {
  const { responses } = describeOperation(options);
  expect(Object.keys(responses)).toEqual(["400", "409", "413", "415", "422", "503"]);
  const accepting = { ...options, onDuplicate: "accepted", statusUrl: () => "/" } as const;
  expect(describeOperation(accepting).responses).toHaveProperty("202");
});

test("two refusals with one status are both told", () => {
  const { responses } = describeOperation({ ...options, preset: "stripe" });
  expect(responses).not.toHaveProperty("422");
  expect(responses[400]?.description).toMatch(/missing.*used for another request/);
});

test("Fastify's routes are described as OpenAPI has it, and validate nothing more", async () => {
  const app = fastify() as unknown as FastifyInstance;
  await app.register(swagger, {
    openapi: { openapi: "3.1.0", info: { title: "Orders", version: "1" } },
    transform: idempotencyTransform(options) as never,
  });
  await app.register(idempotency, options);
  const schema = { response: { 201: { type: "object" } } };
  app.post("/orders", { config: { idempotency: true }, schema }, async () => ({}));
  app.post("/open", async () => ({}));
  app.post("/other", { config: { idempotency: { required: false } } }, async () => ({}));
  await app.ready();
  const { paths } = app.swagger() as unknown as { readonly paths: Described };
  const { parameters, responses } = paths["/orders"].post;
  expect(parameters).toMatchObject([{ in: "header", name: "Idempotency-Key", required: true }]);
  expect(Object.keys(responses)).toEqual(["201", "400", "409", "413", "415", "422", "503"]);
  expect(responses[409]?.headers).toEqual({
    "Retry-After": { description: expect.any(String), schema: { type: "integer", minimum: 1 } },
  });
  expect(paths["/other"].post.parameters).toMatchObject([{ required: false }]);
  expect(paths["/open"].post.parameters).toBeUndefined();
  const refused = await app.inject({ method: "POST", url: "/orders" });
  expect(refused.json()).toMatchObject({ code: "key-missing" });
  await app.close();
});

type Described = Record<
  "/orders" | "/open" | "/other",
  {
    readonly post: {
      readonly parameters: unknown;
      readonly responses: Readonly<Record<number, { readonly headers: unknown }>>;
    };
  }
>;
