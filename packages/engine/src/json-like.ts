// biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing has this type.
type Scalar = string | number | boolean | null | undefined | void;

/** What JSON loses or changes. Writing it into a payload or a result is an error of types. */
type NotJson =
  | bigint
  | symbol
  | Date
  | RegExp
  | Error
  | Promise<unknown>
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | WeakMap<object, unknown>
  | WeakSet<object>
  | ArrayBuffer
  | ArrayBufferView
  | ((...args: never[]) => unknown)
  | (abstract new (
      ...args: never[]
    ) => unknown);

/** The type of all that JSON can carry, as it is usually written. It is recursive without end. */
type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** In a list `undefined` would become null. */
type Element<T> = unknown extends T ? T : undefined extends T ? never : JsonLike<T>;

/**
 * `T` where JSON can carry it, with `never` in the place of what it cannot. `unknown` and `any`
 * pass and are checked at run time.
 */
export type JsonLike<T> = unknown extends T
  ? T
  : [T] extends [Json]
    ? T
    : T extends Scalar
      ? T
      : T extends NotJson
        ? never
        : T extends readonly unknown[]
          ? { readonly [Index in keyof T]: Element<T[Index]> }
          : T extends object
            ? { readonly [Name in keyof T]: JsonLike<T[Name]> }
            : never;

/** What can be fingerprinted: a JSON-like value, text or bytes, but not `undefined`. */
export type Payload<T> = unknown extends T
  ? T
  : undefined extends T
    ? never
    : T extends Uint8Array | ArrayBuffer
      ? T
      : JsonLike<T>;
