import { serveStore } from "@idemkit/test-servers";
import { mysqlStore } from "../src/index.ts";
import { type ClientName, clients } from "./clients.ts";

// Serves one store to the process that forked this one.
const [name = "mysql2", url = "", connections = "8"] = process.argv.slice(2);
serveStore(mysqlStore(clients[name as ClientName](url, () => undefined, Number(connections))));
