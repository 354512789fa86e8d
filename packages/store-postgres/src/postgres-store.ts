import type {
  Claimed,
  ClaimOutcome,
  ClaimRequest,
  Completion,
  Store,
  Transacted,
  TransactionalStore,
  TransactOptions,
} from "@idemkit/engine";
import { type CheckOptions, inRounds, type RoundOfTransaction } from "@idemkit/engine/model";
import { type CheckReport, check } from "./check.ts";
import { databaseOf, type PostgresClient, type TransactionOf } from "./client.ts";
import { optionsOf, type PostgresStoreOptions } from "./options.ts";
import type { Database, Queries } from "./queries.ts";
import { Records } from "./records.ts";
import * as sql from "./sql.ts";
import { ERRORS, isBlocked, Statements, Texts } from "./statements.ts";

/**
 * A store in a Postgres database, through a client that stays the user's. `Tx` is what that client's
 * users work with in a transaction: a `PoolClient` of pg, the `sql` that postgres.js hands to
 * `sql.begin`, or drizzle's transaction.
 */
export interface PostgresStore<Tx = unknown> extends TransactionalStore<Tx, false> {
  /**
   * Looks whether the database is fit for use: its schema, its rights, whether a claim on trial works,
   * and what an acknowledged outcome survives. It deletes what it tried again. Call it once at the
   * start.
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
  const { schema, prepare } = optionsOf(options);
  return new PooledStore(databaseOf(client), schema, prepare);
}

/** What a transaction that is not to be committed has found out. */
interface Found {
  refusal?: Transacted;
  failure?: { readonly error: unknown };
}

type Work<Tx> = (tx: Tx, claimed: Claimed) => Completion | Promise<Completion>;

class PooledStore<Tx> extends Records implements PostgresStore<Tx> {
  readonly #database: Database;
  readonly #schema: string | undefined;
  /** Of statements inside transactions, which are the same in all of them. */
  readonly #texts: Texts;

  constructor(database: Database, schema: string | undefined, prepare: boolean) {
    super(new Statements(database, new Texts({ schema, prepare, isBound: false })));
    this.#database = database;
    this.#schema = schema;
    this.#texts = new Texts({ schema, prepare, isBound: true });
  }

  async transact(
    request: ClaimRequest,
    work: Work<Tx>,
    options: TransactOptions = {},
  ): Promise<Transacted> {
    return await inRounds((round) => this.#transact(request, work, options, round), ERRORS);
  }

  bind(tx: Tx): Store {
    return this.#recordsIn(this.#database.within(tx));
  }

  async check(options?: CheckOptions): Promise<CheckReport> {
    return await check(this.#database, this.#schema, this, options);
  }

  #recordsIn(queries: Queries): Records {
    return new Records(new Statements(queries, this.#texts, 1));
  }

  /** What a driver throws after the work's own error is about the end of a transaction that is over. */
  async #transact(
    request: ClaimRequest,
    work: Work<Tx>,
    options: TransactOptions,
    round: RoundOfTransaction,
  ): Promise<Transacted> {
    const found: Found = {};
    try {
      return await this.#database.transaction(async (queries, tx) => {
        try {
          return await this.#workIn(queries, tx as Tx, { request, work, options, round, found });
        } catch (error) {
          found.failure = { error };
          throw error;
        }
      });
    } catch (error) {
      if (found.refusal !== undefined) return found.refusal;
      throw found.failure === undefined ? error : found.failure.error;
    }
  }

  async #workIn(queries: Queries, tx: Tx, call: Call<Tx>): Promise<Transacted> {
    const { request, work, options, round, found } = call;
    const records = this.#recordsIn(queries);
    const [settings] = await queries.run(sql.BOUND_TRANSACTION, [String(request.leaseMs)]);
    const answer = await claimIn(records, request, found);
    round.isInDoubt = false;
    if (answer.outcome !== "claimed") {
      found.refusal = answer;
      return answer;
    }
    await queries.run(sql.UNBOUND_LOCKS, [settings?.[0] ?? "0"]);
    const { onError } = options;
    const completion =
      onError === undefined
        ? await work(tx, answer)
        : await undoable(
            queries,
            () => work(tx, answer),
            (error) => onError(error, answer),
          );
    const [isCompleted] = await records.complete([completion]);
    if (!isCompleted) throw new Error("The work has changed the record of its own claim.");
    round.isCommitting = true;
    return answer;
  }
}

interface Call<Tx> {
  readonly request: ClaimRequest;
  readonly work: Work<Tx>;
  readonly options: TransactOptions;
  readonly round: RoundOfTransaction;
  readonly found: Found;
}

/** A record that somebody else holds ends the transaction, which has nothing in it. */
async function claimIn(
  records: Records,
  request: ClaimRequest,
  found: Found,
): Promise<ClaimOutcome> {
  try {
    const [answer] = await records.claim([request]);
    return answer as ClaimOutcome;
  } catch (error) {
    if (isBlocked(error)) found.refusal = { outcome: "blocked" };
    throw error;
  }
}

/** Runs the work; where it throws and that is answered with an outcome, undoes what it has written. */
async function undoable(
  queries: Queries,
  work: () => Completion | Promise<Completion>,
  onError: (error: unknown) => Completion | undefined,
): Promise<Completion> {
  await queries.run(sql.SAVEPOINT, []);
  try {
    return await work();
  } catch (error) {
    const instead = ERRORS.isRepeatable(error) ? undefined : onError(error);
    if (instead === undefined) throw error;
    await queries.run(sql.UNDO_WORK, []);
    return instead;
  }
}
