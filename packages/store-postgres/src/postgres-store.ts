import type {
  BoundStore,
  Claimed,
  ClaimRequest,
  Completion,
  Transacted,
  TransactionalStore,
  TransactOptions,
} from "@idemkit/engine";
import {
  type CheckOptions,
  InOrder,
  type OpenTransaction,
  type TransactingDatabase,
  transactInRounds,
} from "@idemkit/engine/model";
import { type CheckReport, check } from "./check.ts";
import { databaseOf, type PostgresClient, type TransactionOf } from "./client.ts";
import { optionsOf, type PostgresStoreOptions } from "./options.ts";
import type { Attempt, Database, Queries } from "./queries.ts";
import { Records } from "./records.ts";
import * as sql from "./sql.ts";
import { ERRORS, Statements, Texts } from "./statements.ts";

/**
 * A store in a Postgres database, through a client that stays the user's. `Tx` is what that client's
 * users work with in a transaction: a `PoolClient` of pg, the `sql` that postgres.js hands to
 * `sql.begin`, or drizzle's transaction.
 */
export interface PostgresStore<Tx = unknown> extends TransactionalStore<Tx, false> {
  /**
   * Looks whether the database is fit for use: its schema, its rights, whether a claim on trial works,
   * whether prepared statements stay with their connection, and what an acknowledged outcome survives. It
   * takes two connections at once, and waits one second at most for the second. It deletes what it
   * tried again. Call it once at the start.
   *
   * @throws Error that lists what is wrong and what to do
   */
  check(options?: CheckOptions): Promise<CheckReport>;
}

/**
 * Makes a store on a Postgres database whose tables {@link migrate} has made. It opens, sets and
 * creates nothing. A first claim, a replay and a completion are one round trip each, for a whole list
 * of them; a replay locks no row and writes nothing. Each locked row is waited for one second at most.
 *
 * @param client a `Pool` of pg, the `sql` of postgres.js, or a drizzle database on one of them
 * @throws TypeError where the client or an option is something else
 */
export function postgresStore<C extends PostgresClient>(
  client: C,
  options: PostgresStoreOptions = {},
): PostgresStore<TransactionOf<C>> {
  return new PooledStore(databaseOf(client), optionsOf(options));
}

class PooledStore<Tx> extends Records implements PostgresStore<Tx> {
  readonly #database: Database;
  readonly #options: ReturnType<typeof optionsOf>;
  /** Of statements inside transactions, which are the same in all of them. */
  readonly #texts: Texts;
  readonly #transacting: TransactingDatabase<Tx>;

  constructor(database: Database, options: ReturnType<typeof optionsOf>) {
    super(new Statements(database, new Texts({ ...options, isBound: false })));
    this.#database = database;
    this.#options = options;
    this.#texts = new Texts({ ...options, isBound: true });
    this.#transacting = {
      ...ERRORS,
      transaction: (idleMs, work) =>
        database.transaction(
          (queries, tx, attempt) => work(this.#open(queries, attempt), tx as Tx),
          { settings: sql.boundTransaction(idleMs) },
        ),
    };
  }

  async transact(
    request: ClaimRequest,
    work: (tx: Tx, claimed: Claimed) => Completion | Promise<Completion>,
    options?: TransactOptions,
  ): Promise<Transacted> {
    return await transactInRounds(this.#transacting, request, work, options);
  }

  bind(tx: Tx): BoundStore {
    const queries = this.#database.within(tx);
    const order = new InOrder();
    const run: Queries["run"] = (...statement) => order.run(() => queries.run(...statement));
    const records = this.#recordsIn({ run });
    return Object.assign(records, { isBound: true } as const);
  }

  async check(options?: CheckOptions): Promise<CheckReport> {
    return await check(this.#database, this.#options, this, options);
  }

  #recordsIn(queries: Queries): Records {
    return new Records(new Statements(queries, this.#texts, 1));
  }

  #open(queries: Queries, attempt: Attempt): OpenTransaction<Tx> {
    const records = this.#recordsIn(queries);
    return {
      records: {
        claim: (requests) => records.claim(requests),
        complete: (completions) => records.completeHere(completions),
      },
      attempt: (work) => attempt((tx) => work(tx as Tx)),
    };
  }
}
