import { wrong } from "./option-checks.ts";

type Awaitable<T> = T | Promise<T>;

/** Stands for the body when requests are compared. JSON has to be able to carry it. */
export type FingerprintValue = string | number | boolean | null | object;

export type FingerprintOption<Req> =
  | false
  | ((request: Req) => Awaitable<FingerprintValue>)
  | { readonly exclude: readonly string[] };

/** Members of a JSON text that are left out, by their names as canonical JSON text. */
export interface ExcludedMembers {
  /** Whether the member is left out as a whole. */
  readonly isExcluded: boolean;
  readonly inner: ReadonlyMap<string, ExcludedMembers>;
}

/** How the bodies of two requests are compared. */
export type BodyComparison<Req> =
  | {
      readonly kind: "body";
      /** JSON Pointers, and the same as a tree. */
      readonly exclude: readonly string[];
      readonly excluded?: ExcludedMembers;
    }
  | { readonly kind: "value"; readonly valueOf: (request: Req) => Awaitable<unknown> };

const JSON_POINTER = /^(?:\/(?:[^~/]|~[01])*)+$/;

/** @throws TypeError with the expected and the given value */
export function checkedFingerprint<Req>(
  option: FingerprintOption<Req> | undefined,
): BodyComparison<Req> {
  if (option === undefined) return { kind: "body", exclude: [] };
  if (option === false) return { kind: "value", valueOf: () => false };
  if (typeof option === "function") return { kind: "value", valueOf: option };
  const names = typeof option === "object" && option !== null ? Object.keys(option) : [];
  if (names.join() !== "exclude") {
    throw wrong("fingerprint", "false, a function or { exclude: [JSON Pointers] }", option);
  }
  const exclude = checkedPointers(option.exclude);
  return { kind: "body", exclude, excluded: treeOf(exclude) };
}

function checkedPointers(pointers: unknown): readonly string[] {
  if (!Array.isArray(pointers)) {
    throw wrong("fingerprint.exclude", "a list of JSON Pointers", pointers);
  }
  for (const [index, pointer] of pointers.entries()) {
    if (typeof pointer === "string" && JSON_POINTER.test(pointer)) continue;
    throw wrong(
      `fingerprint.exclude[${index}]`,
      "a JSON Pointer (RFC 6901) such as '/attempts'",
      pointer,
    );
  }
  return [...(pointers as readonly string[])];
}

interface OpenTree extends ExcludedMembers {
  isExcluded: boolean;
  readonly inner: Map<string, OpenTree>;
}

function treeOf(pointers: readonly string[]): ExcludedMembers {
  const root: OpenTree = { isExcluded: false, inner: new Map() };
  for (const pointer of pointers) {
    let at = root;
    for (const token of pointer.slice(1).split("/")) {
      const name = JSON.stringify(token.replaceAll("~1", "/").replaceAll("~0", "~"));
      const next = at.inner.get(name) ?? { isExcluded: false, inner: new Map() };
      at.inner.set(name, next);
      at = next;
    }
    at.isExcluded = true;
  }
  return root;
}
