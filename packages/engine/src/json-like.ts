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

/**
 * `T` where JSON can carry it, with `never` in the place of what it cannot. `unknown` and `any`
 * pass and are checked at run time.
 */
export type JsonLike<T> = unknown extends T
  ? T
  : T extends Scalar
    ? T
    : T extends NotJson
      ? never
      : T extends object
        ? { readonly [Name in keyof T]: JsonLike<T[Name]> }
        : never;

/** What can be fingerprinted: a JSON-like value, text or bytes. */
export type Payload<T> = T extends Uint8Array | ArrayBuffer ? T : JsonLike<T>;
