import { describe } from "./describe.ts";

/** A value that JSON cannot carry. The message has the path to it and what stands there. */
export class NotJsonError extends TypeError {
  override readonly name = "NotJsonError";
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
}

const DEPTH_MAX = 500;
const PATH_STEPS_SHOWN_MAX = 20;

/**
 * Writes a value as JSON, or refuses it: nothing is converted or lost on the way. Dates, Maps,
 * class instances, BigInts, NaN, functions, cycles and holes are refused; `toJSON` is not asked.
 * A member that is `undefined` counts as absent, as it reads the same.
 *
 * @throws NotJsonError for the first value that would not survive
 */
export function writeJson(value: unknown, style: JsonStyle): string {
  try {
    return write(value, style, [], style.exclude?.size ? "" : undefined);
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
    const isName = typeof step === "string" && /^[A-Za-z_$][\w$]{0,63}$/.test(step);
    this.#path.push(isName ? `.${step}` : `[${JSON.stringify(step).slice(0, 64)}]`);
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

function writeString(text: string, canonical: boolean): string {
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
  let text = "[";
  let index = 0;
  try {
    for (; index < array.length; index += 1) {
      const at = pointer === undefined ? undefined : `${pointer}/${index}`;
      if (at !== undefined && style.exclude?.has(at)) continue;
      const element = array[index];
      if (element === undefined) throw new Refusal("is undefined; in a list use null");
      text += (text.length > 1 ? "," : "") + write(element, style, ancestors, at);
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
  if (style.canonical) names.sort();
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
    }
  } catch (error) {
    throw error instanceof Refusal ? error.within(name) : error;
  }
  return `${text}}`;
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
