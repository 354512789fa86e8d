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
import { databaseOf, type MysqlClient, type TransactionOf } from "./client.ts";
import type { Database, Queries } from "./queries.ts";
import { Records } from "./records.ts";
import * as sql from "./sql.ts";
import { ERRORS, Statements } from "./statements.ts";

/**
 * A store in a MySQL or MariaDB database, through a client that stays the user's. `Tx` is what that
 * client's users work with in a transaction: a connection of the pool, or drizzle's transaction.
 */
export interface MysqlStore<Tx = unknown> extends TransactionalStore<Tx, false> {
  /**
   * Looks whether the database is fit for use: its schema, its settings and rights, whether a claim and
   * everything after it works, and what an acknowledged outcome survives. It claims records of its own
   * and deletes them again. Call it once at the start.
   *
   * @throws Error that lists what is wrong and what to do
   */
  check(options?: CheckOptions): Promise<CheckReport>;
}

/**
 * Makes a store on a MySQL or MariaDB database whose tables {@link migrate} has made. It opens, sets and
 * creates nothing. A replay is one round trip that locks and writes nothing, a first claim is two (three
 * for a list), a completion one. A statement that writes is ended after two seconds.
 *
 * @param client a pool of mysql2, or a drizzle database on one
 * @throws TypeError where the client is something else
 */
export function mysqlStore<C extends MysqlClient>(client: C): MysqlStore<TransactionOf<C>> {
  return new PooledStore(databaseOf(client));
}

class PooledStore<Tx> extends Records implements MysqlStore<Tx> {
  readonly #database: Database;
  readonly #transacting: TransactingDatabase<Tx>;

  constructor(database: Database) {
    super(new Statements(database));
    this.#database = database;
    this.#transacting = {
      ...ERRORS,
      transaction: (idleMs, work) =>
        database.transaction(idleMs, (queries, tx) => work(open(queries, tx as Tx), tx as Tx)),
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
    const { read, write, define } = this.#database.within(tx);
    const order = new InOrder();
    const queries: Queries = {
      read: (...statement) => order.run(() => read(...statement)),
      write: (...statement) => order.run(() => write(...statement)),
      define: (...statement) => order.run(() => define(...statement)),
    };
    const records = new Records(new Statements(queries, 1));
    return Object.assign(records, { isBound: true } as const);
  }

  async check(options?: CheckOptions): Promise<CheckReport> {
    return await check(this.#database, this, options);
  }
}

/** After a deadlock it takes statements as if nothing had been: only the savepoint tells. */
function open<Tx>(queries: Queries, tx: Tx): OpenTransaction<Tx> {
  const records = new Records(new Statements(queries, 1));
  return {
    records: {
      claim: async (requests) => {
        const answers = await records.claim(requests);
        await queries.define(sql.SAVEPOINT);
        return answers;
      },
      complete: async (completions) => {
        await queries.define(sql.RELEASE_SAVEPOINT);
        return await records.complete(completions);
      },
    },
    attempt: async (work) => {
      try {
        return await work(tx);
      } catch (error) {
        await queries.define(sql.UNDO_WORK);
        throw error;
      }
    },
  };
}
