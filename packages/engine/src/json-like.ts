// biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing has this type.
type Scalar = string | number | boolean | null | undefined | void;

declare const refused: unique symbol;

/**
 * Stands in the place of a type that cannot be stored, so that the compiler's message has the sentence.
 * No value has this type.
 */
interface NotJson<Sentence extends string> {
  readonly [refused]: Sentence;
}

/** What JSON loses or changes, with what to write instead; `never` for all other types. */
type Refusal<T> = T extends bigint
  ? NotJson<"JSON cannot carry a BigInt: use a string">
  : T extends symbol
    ? NotJson<"JSON cannot carry a symbol: use a string">
    : T extends Date
      ? NotJson<"JSON cannot carry a Date: use toISOString()">
      : T extends RegExp
        ? NotJson<"JSON cannot carry a RegExp: use its source">
        : T extends Promise<unknown>
          ? NotJson<"JSON cannot carry a Promise: await it">
          : T extends ReadonlyMap<unknown, unknown>
            ? NotJson<"JSON cannot carry a Map: use Object.fromEntries(map), or [...map]">
            : T extends ReadonlySet<unknown>
              ? NotJson<"JSON cannot carry a Set: use [...set]">
              : T extends WeakMap<object, unknown>
                ? NotJson<"JSON cannot carry a WeakMap: use an object">
                : T extends WeakSet<object>
                  ? NotJson<"JSON cannot carry a WeakSet: use a list">
                  : T extends ArrayBuffer | ArrayBufferView
                    ? NotJson<"JSON cannot carry bytes: use a base64 string">
                    : T extends ((...args: never[]) => unknown) | Constructor
                      ? NotJson<"JSON cannot carry a function: leave it out">
                      : T extends Error
                        ? RefusedError<T>
                        : never;

type Constructor = abstract new (...args: never[]) => unknown;

/** A plain object with a name and a message looks like an Error, but has no stack. */
type RefusedError<T> = "stack" extends keyof T
  ? NotJson<"JSON cannot carry an Error: use its message">
  : never;

/** The type of all that JSON can carry, as it is usually written. It is recursive without end. */
type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** In a list `undefined` would become null. */
type Element<T> = unknown extends T
  ? T
  : undefined extends T
    ? NotJson<"JSON cannot carry undefined in a list: use null">
    : JsonLike<T>;

/**
 * `T` if JSON can carry it. In the place of each type that JSON cannot carry stands {@link NotJson}.
 * `unknown` and `any` pass and are checked at run time.
 */
export type JsonLike<T> = unknown extends T
  ? T
  : [T] extends [Json]
    ? T
    : T extends Scalar
      ? T
      : [Refusal<T>] extends [never]
        ? T extends readonly unknown[]
          ? { readonly [Index in keyof T]: Element<T[Index]> }
          : T extends object
            ? { readonly [Name in keyof T]: JsonLike<T[Name]> }
            : never
        : Refusal<T>;

/** What can be fingerprinted: a JSON-like value, text or bytes, but not `undefined`. */
export type Payload<T> = unknown extends T
  ? T
  : undefined extends T
    ? NotJson<"A payload cannot be undefined: use null">
    : T extends Uint8Array | ArrayBuffer
      ? T
      : JsonLike<T>;
