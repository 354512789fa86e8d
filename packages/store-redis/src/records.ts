import type { RecordId } from "@idemkit/engine";
import type { StoredRecord } from "@idemkit/engine/model";
import { FIELDS } from "./scripts.ts";

/** A record as a script answered it, with the server's time then. */
export interface Found {
  /** Whether this very script has granted it. */
  readonly isGranted: boolean;
  readonly nowMs: number;
  readonly record: StoredRecord;
}

type Field = (typeof FIELDS)[number];

/** Where each field stands in an answer: after whether it was granted, and the time. */
const POSITIONS = Object.fromEntries(FIELDS.map((field, index) => [field, index + 2])) as Readonly<
  Record<Field, number>
>;

/** @param answer of a script that answers a record; numbers may be texts, as clients can ask for them */
export function foundIn(digest: string, answer: readonly unknown[]): Found {
  const field = (name: Field) => answer[POSITIONS[name]] ?? undefined;
  const text = (name: Field) => String(field(name) ?? "");
  const textIf = (name: Field) => (field(name) === undefined ? undefined : text(name));
  const number = (name: Field) => Number(field(name));
  const numberIf = (name: Field) => (field(name) === undefined ? undefined : number(name));
  const checkpoint = textIf("checkpoint");
  return {
    isGranted: Number(answer[0]) === 1,
    nowMs: Number(answer[1]),
    record: {
      id: { digest, scope: text("scope"), key: text("key") } satisfies RecordId,
      status: text("status") as StoredRecord["status"],
      fingerprint: text("fingerprint"),
      owner: text("owner"),
      token: number("token"),
      attempt: number("attempt"),
      takenOver: number("takenOver") === 1,
      leaseEndsAt: number("leaseEndsAt"),
      expiresAt: number("expiresAt"),
      createdAt: number("createdAt"),
      completedAt: numberIf("completedAt"),
      checkpoint:
        checkpoint === undefined ? undefined : { revision: number("revision"), value: checkpoint },
      body: textIf("body"),
      note: textIf("note"),
    },
  };
}
