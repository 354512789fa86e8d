import { serveStore } from "@idemkit/test-servers";
import { openSqlite, sqliteStore } from "../src/index.ts";

// Serves one store to the process that forked this one.
serveStore(sqliteStore(openSqlite(process.argv[2] ?? "")));
