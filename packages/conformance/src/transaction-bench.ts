import type {
  Claimed,
  ClaimRequest,
  Completion,
  Status,
  Transacted,
  TransactionalStore,
  TransactOptions,
} from "@idemkit/engine";
import { Bench, type Subject } from "./bench.ts";
import type { TransactionalClause, TransactionalHarness } from "./transactional-harness.ts";

type AnyHarness = TransactionalHarness<unknown>;

/** A bench with transactions that leave a row behind. */
export class TransactionBench extends Bench {
  readonly harness: AnyHarness;
  runs = 0;

  constructor(harness: AnyHarness) {
    super(harness);
    this.harness = harness;
  }

  /** Writes a row labelled with the record's digest, and completes. */
  async transact(
    request: ClaimRequest,
    given: {
      readonly through?: TransactionalStore<unknown>;
      readonly status?: Status;
      readonly body?: string;
      /** Changes the completion into one that the store has to refuse. */
      readonly forge?: Partial<Pick<Completion, "owner" | "ifLapsed">>;
      /** Is called once the row is written. Where the driver knows promises, the work waits for it. */
      readonly meanwhile?: () => Promise<void>;
      readonly thenThrow?: Error;
      readonly options?: TransactOptions;
    } = {},
  ): Promise<Transacted> {
    const { through = this.harness.stores[0], thenThrow, meanwhile, options } = given;
    const work = (tx: unknown, claimed: Claimed) => {
      this.runs += 1;
      const written = this.harness.write(tx, request.id.digest);
      const end = () => {
        if (thenThrow !== undefined) throw thenThrow;
        return { ...completionOf(request, claimed, given), ...given.forge };
      };
      // One call of then: some drivers send a query again for each.
      if (isLater(written)) return written.then(() => meanwhile?.()).then(end);
      void meanwhile?.();
      return end();
    };
    return await through.transact(request, work as () => Completion, options);
  }

  /** The committed rows and record, as the second handle sees them. */
  async committed(subject: Subject) {
    const rowsBefore = await this.effects(subject);
    const view = await subject.through(this.second).read();
    return { rowsBefore, view, rowsAfter: await this.effects(subject) };
  }

  async effects({ id }: Subject): Promise<number> {
    return await this.harness.count(id.digest);
  }
}

export function completionOf(
  { id, owner, retentionMs }: ClaimRequest,
  { token }: Claimed,
  { status = "succeeded", body = "body" }: { readonly status?: Status; readonly body?: string },
): Completion {
  return { id, owner, token, status, body, retentionMs };
}

export function transactionalClause(
  id: string,
  title: string,
  check: (bench: TransactionBench) => Promise<void>,
): TransactionalClause {
  return {
    id,
    title,
    check: async (harness) => {
      try {
        await check(new TransactionBench(harness as unknown as AnyHarness));
      } catch (error) {
        if (error instanceof Error) error.message = `${id}: ${title}\n${error.message}`;
        throw error;
      }
    },
  };
}

/** Some drivers send a query only once its `then` is called. */
function isLater(written: unknown): written is PromiseLike<unknown> {
  return typeof written === "object" && written !== null && "then" in written;
}
