import { serveStore } from "@idemkit/test-servers";
import { postgresStore } from "../src/index.ts";
import { type ClientName, clients } from "./clients.ts";

// Serves one store to the process that forked this one.
const [name = "pg", url = "", connections = "8"] = process.argv.slice(2);
const client = clients[name as ClientName](url, () => undefined, Number(connections));
serveStore(postgresStore(client));
