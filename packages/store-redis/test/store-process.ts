import { serveStore } from "@idemkit/test-servers";
import { redisStore } from "../src/index.ts";
import { type ClientName, clients } from "./clients.ts";

// Serves one store to the process that forked this one.
const [name = "ioredis 6", ...urls] = process.argv.slice(2);
serveStore(redisStore(clients[name as ClientName](urls, () => undefined)));
