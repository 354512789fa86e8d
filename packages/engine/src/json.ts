import { describe } from "./describe.ts";

/** A value that JSON cannot carry. The message has the path to it and what stands there. */
export class NotJsonError extends TypeError {
  override readonly name = "NotJsonError";
}

/** The text grows longer than it may. */
export class TooLongError extends TypeError {
  override readonly name = "TooLongError";
}

export interface JsonStyle {
  /** What the value is called in error messages. */
  readonly root: string;
  /**
   * Canonical text follows RFC 8785 (JSON Canonicalization Scheme): members sorted by UTF-16 code
   * units, -0 as 0, no lone surrogates. Otherwise order, sign and every string survive.
   */
  readonly canonical: boolean;
  /** Values to leave out, as JSON Pointers (RFC 6901). */
  readonly exclude?: ReadonlySet<string>;
  /** The most characters that the text may have. Default: 67,108,864. */
  readonly lengthMax?: number;
}

const DEPTH_MAX = 500;
const LENGTH_MAX = 64 * 1024 * 1024;
/** Insertion sort is the fastest up to about this many names, and most objects have fewer. */
const SORTED_BY_INSERTION_MAX = 16;
const PATH_STEPS_SHOWN_MAX = 20;

/**
 * Writes a value as JSON, or refuses it: nothing is converted or lost on the way. Dates, Maps,
 * class instances, BigInts, NaN, functions, cycles and holes are refused; `toJSON` is not asked.
 * A member that is `undefined` counts as absent, as it reads the same.
 *
 * @throws NotJsonError for the first value that would not survive, TooLongError
 */
export function writeJson(value: unknown, style: JsonStyle): string {
  try {
    const text = write(value, style, [], style.exclude?.size ? "" : undefined);
    checkLength(text, style);
    return text;
  } catch (error) {
    if (error instanceof Refusal) throw new NotJsonError(error.message(style.root));
    throw error;
  }
}

/** Why a value is refused. The path to it is put together on the way out of the recursion. */
class Refusal {
  readonly #path: string[] = [];
  readonly #why: string;

  constructor(why: string) {
    this.#why = why;
  }

  within(step: string | number): this {
    // What is no identifier may be somebody's data, and is not for messages and logs.
    const isName = typeof step === "string" && /^[A-Za-z_$][\w$]{0,63}$/.test(step);
    this.#path.push(isName ? `.${step}` : `[${typeof step === "number" ? step : "…"}]`);
    return this;
  }

  message(root: string): string {
    const steps = this.#path.reverse();
    const shown = steps.slice(0, PATH_STEPS_SHOWN_MAX).join("");
    return `${root}${shown}${steps.length > PATH_STEPS_SHOWN_MAX ? "…" : ""} ${this.#why}.`;
  }
}

/** `pointer` is where the value stands, kept only while there are exclusions to compare it with. */
function write(
  value: unknown,
  style: JsonStyle,
  ancestors: object[],
  pointer: string | undefined,
): string {
  switch (typeof value) {
    case "string":
      return writeString(value, style.canonical);
    case "number":
      return writeNumber(value, style.canonical);
    case "boolean":
      return value ? "true" : "false";
    case "object": {
      if (value === null) return "null";
      if (ancestors.length === DEPTH_MAX) {
        throw new Refusal(`is nested deeper than ${DEPTH_MAX} levels`);
      }
      if (ancestors.includes(value)) throw new Refusal("refers back to a value that contains it");
      ancestors.push(value);
      const text = Array.isArray(value)
        ? writeArray(value, style, ancestors, pointer)
        : writeObject(value, style, ancestors, pointer);
      ancestors.pop();
      return text;
    }
    default:
      throw new Refusal(`is ${describe(value)}, which JSON cannot carry`);
  }
}

/** Printable ASCII but for quotes and backslashes stands for itself. */
const PLAIN_TEXT = /^[ !#-[\]-~]*$/;

function checkLength(text: string, { root, lengthMax = LENGTH_MAX }: JsonStyle): void {
  if (text.length <= lengthMax) return;
  throw new TooLongError(`${root} has more than ${lengthMax} characters as JSON.`);
}

function writeString(text: string, canonical: boolean): string {
  if (PLAIN_TEXT.test(text)) return `"${text}"`;
  if (canonical && !text.isWellFormed()) throw new Refusal("contains a lone surrogate");
  return JSON.stringify(text);
}

function writeNumber(number: number, canonical: boolean): string {
  if (!Number.isFinite(number)) throw new Refusal(`is ${number}, which JSON cannot carry`);
  if (Object.is(number, -0)) return canonical ? "0" : "-0";
  return String(number);
}

function writeArray(
  array: readonly unknown[],
  style: JsonStyle,
  ancestors: object[],
  pointer: string | undefined,
): string {
  if (Object.keys(array).length > array.length) {
    throw new Refusal("is a list with members of its own, which JSON cannot carry");
  }
  let text = "[";
  let index = 0;
  try {
    for (; index < array.length; index += 1) {
      const at = pointer === undefined ? undefined : `${pointer}/${index}`;
      if (at !== undefined && style.exclude?.has(at)) continue;
      const element = array[index];
      if (element === undefined) throw new Refusal("is undefined; in a list use null");
      text += (text.length > 1 ? "," : "") + write(element, style, ancestors, at);
      checkLength(text, style);
    }
  } catch (error) {
    throw error instanceof Refusal ? error.within(index) : error;
  }
  return `${text}]`;
}

function writeObject(
  object: object,
  style: JsonStyle,
  ancestors: object[],
  pointer: string | undefined,
): string {
  refuseUnlessPlain(object);
  const names = Object.keys(object);
  if (style.canonical) sortNames(names);
  let text = "{";
  let name = "";
  try {
    for (name of names) {
      const at = pointer === undefined ? undefined : `${pointer}/${escapeForPointer(name)}`;
      if (at !== undefined && style.exclude?.has(at)) continue;
      const member = (object as Readonly<Record<string, unknown>>)[name];
      if (member === undefined) continue;
      const label = writeString(name, style.canonical);
      text += `${text.length > 1 ? "," : ""}${label}:${write(member, style, ancestors, at)}`;
      checkLength(text, style);
    }
  } catch (error) {
    throw error instanceof Refusal ? error.within(name) : error;
  }
  return `${text}}`;
}

/** Sorts by UTF-16 code units (RFC 8785, section 3.2.3), which is how JavaScript compares text. */
function sortNames(names: string[]): void {
  if (names.length > SORTED_BY_INSERTION_MAX) {
    names.sort();
    return;
  }
  for (let index = 1; index < names.length; index += 1) {
    const name = names[index] as string;
    let at = index;
    for (; at > 0 && (names[at - 1] as string) > name; at -= 1) names[at] = names[at - 1] as string;
    names[at] = name;
  }
}

function refuseUnlessPlain(object: object): void {
  const prototype: unknown = Object.getPrototypeOf(object);
  const isPlain = prototype === null || prototype === Object.prototype || isForeignPlain(prototype);
  if (!isPlain) {
    throw new Refusal(`is ${describe(object)}; use plain objects, lists, strings and numbers`);
  }
  if (Object.getOwnPropertySymbols(object).length > 0) {
    throw new Refusal("has members named by symbols, which JSON cannot carry");
  }
}

/** A plain object of another realm, such as a test runner's: its prototype is an Object.prototype. */
function isForeignPlain(prototype: unknown): boolean {
  return (
    Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, "isPrototypeOf")
  );
}

/** RFC 6901, section 3. */
function escapeForPointer(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}
