import type { ExcludedMembers } from "./fingerprint-option.ts";

/** Deeper nesting is compared by its bytes. */
const DEPTH_MAX = 200;
/** Insertion sort is the fastest up to about this many members, and most objects have fewer. */
const SORTED_BY_INSERTION_MAX = 16;

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BLANK = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const BRACKET_END = 0x5d;
const BRACE = 0x7b;
const BRACE_END = 0x7d;

const NUMBER_OR_WORD = /^(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)$/;

/** Not JSON, or JSON that means different things to different parsers. */
class NotCanonical extends Error {}

/**
 * JSON text in the one form that all texts of the same content share: members sorted by name, no blanks,
 * escapes only where they are needed. It works on the text and not on parsed values, so that numbers stay
 * as they were written: parsed, 9007199254740993 would equal 9007199254740992.
 *
 * @param excluded members, or elements of lists, that are left out
 * @returns nothing where the text is not JSON, is nested too deeply, or has a member twice
 */
export function canonicalJson(text: string, excluded?: ExcludedMembers): string | undefined {
  try {
    return new Reader(text).whole(excluded);
  } catch (error) {
    if (error instanceof NotCanonical) return undefined;
    throw error;
  }
}

/**
 * Reads one value after another. What stands in its canonical form already, as most values do, is never
 * written anew: it is a slice of the text, and so is what it is a part of, where all of that does.
 */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(excluded: ExcludedMembers | undefined): string {
    this.#skipBlanks();
    const start = this.#at;
    const value = this.#value(0, excluded) ?? this.#text.slice(start, this.#at);
    this.#skipBlanks();
    if (this.#at < this.#text.length) throw new NotCanonical();
    return value;
  }

  /** @returns the value's canonical form, or nothing where it stands in that form already */
  #value(depth: number, excluded: ExcludedMembers | undefined): string | undefined {
    if (depth > DEPTH_MAX) throw new NotCanonical();
    switch (this.#text.charCodeAt(this.#at)) {
      case BRACE:
        return this.#object(depth, excluded);
      case BRACKET:
        return this.#array(depth, excluded);
      case QUOTE:
        return this.#string();
      default:
        return this.#numberOrWord();
    }
  }

  #object(depth: number, excluded: ExcludedMembers | undefined): string | undefined {
    const start = this.#at;
    const names: string[] = [];
    const members: string[] = [];
    // What is put together has the length of where it stands only if it has no blanks.
    let length = 1;
    let isInOrder = true;
    for (let more = this.#begins(BRACE_END); more; more = this.#goesOn(BRACE_END)) {
      const memberStart = this.#at;
      if (this.#text.charCodeAt(memberStart) !== QUOTE) throw new NotCanonical();
      const otherName = this.#string();
      const name = otherName ?? this.#text.slice(memberStart, this.#at);
      const afterName = this.#at;
      this.#skipBlanks();
      if (this.#text.charCodeAt(this.#at) !== COLON) throw new NotCanonical();
      this.#at += 1;
      this.#skipBlanks();
      const valueStart = this.#at;
      const excludedOfIt = excluded?.inner.get(name);
      const otherValue = this.#value(depth + 1, excludedOfIt);
      if (excludedOfIt?.isExcluded) {
        isInOrder = false;
        continue;
      }
      const isAsIs =
        otherName === undefined && otherValue === undefined && valueStart === afterName + 1;
      const member = isAsIs
        ? this.#text.slice(memberStart, this.#at)
        : `${name}:${otherValue ?? this.#text.slice(valueStart, this.#at)}`;
      if (!isAsIs || (names.length > 0 && name <= (names.at(-1) as string))) isInOrder = false;
      names.push(name);
      members.push(member);
      length += member.length + 1;
    }
    if (isInOrder && (names.length === 0 ? 2 : length) === this.#at - start) return undefined;
    return `{${sortedByName(names, members).join(",")}}`;
  }

  #array(depth: number, excluded: ExcludedMembers | undefined): string | undefined {
    const start = this.#at;
    const elements: string[] = [];
    let length = 1;
    let isAsIs = true;
    let index = 0;
    for (let more = this.#begins(BRACKET_END); more; more = this.#goesOn(BRACKET_END)) {
      const elementStart = this.#at;
      const excludedOfIt = excluded?.inner.get(`"${index}"`);
      index += 1;
      const other = this.#value(depth + 1, excludedOfIt);
      if (excludedOfIt?.isExcluded) {
        isAsIs = false;
        continue;
      }
      const element = other ?? this.#text.slice(elementStart, this.#at);
      if (other !== undefined) isAsIs = false;
      elements.push(element);
      length += element.length + 1;
    }
    if (isAsIs && (elements.length === 0 ? 2 : length) === this.#at - start) return undefined;
    return `[${elements.join(",")}]`;
  }

  /** Steps over a bracket. @returns whether something stands in it */
  #begins(end: number): boolean {
    this.#at += 1;
    this.#skipBlanks();
    if (this.#text.charCodeAt(this.#at) !== end) return true;
    this.#at += 1;
    return false;
  }

  /** Steps over what follows a part. @returns whether there is another one */
  #goesOn(end: number): boolean {
    this.#skipBlanks();
    const code = this.#text.charCodeAt(this.#at);
    if (code !== COMMA && code !== end) throw new NotCanonical();
    this.#at += 1;
    if (code === end) return false;
    this.#skipBlanks();
    return true;
  }

  #string(): string | undefined {
    const text = this.#text;
    const start = this.#at;
    let at = start + 1;
    let hasEscapes = false;
    for (let code = text.charCodeAt(at); code !== QUOTE; code = text.charCodeAt(at)) {
      // At the end of the text it is NaN.
      if (!(code >= BLANK)) throw new NotCanonical();
      if (code === BACKSLASH) hasEscapes = true;
      at += code === BACKSLASH ? 2 : 1;
    }
    this.#at = at + 1;
    return hasEscapes ? unescaped(text.slice(start, at + 1)) : undefined;
  }

  #numberOrWord(): undefined {
    const text = this.#text;
    const start = this.#at;
    let at = start;
    while (at < text.length && !isEnd(text.charCodeAt(at))) at += 1;
    if (!NUMBER_OR_WORD.test(text.slice(start, at))) throw new NotCanonical();
    this.#at = at;
  }

  #skipBlanks(): void {
    while (isBlank(this.#text.charCodeAt(this.#at))) this.#at += 1;
  }
}

/** With escapes only where they are needed, and then always the same. */
function unescaped(token: string): string | undefined {
  try {
    const other = JSON.stringify(JSON.parse(token));
    return other === token ? undefined : other;
  } catch {
    throw new NotCanonical();
  }
}

/** @throws NotCanonical where a name comes twice */
function sortedByName(names: string[], members: string[]): readonly string[] {
  if (names.length > SORTED_BY_INSERTION_MAX) {
    const order = names.map((_, index) => index);
    order.sort((one, other) => ((names[one] as string) < (names[other] as string) ? -1 : 1));
    const isTwice = (at: number, index: number) =>
      index > 0 && names[at] === names[order[index - 1] as number];
    if (order.some(isTwice)) throw new NotCanonical();
    return order.map((at) => members[at] as string);
  }
  for (let index = 1; index < names.length; index += 1) {
    const name = names[index] as string;
    const member = members[index] as string;
    let at = index;
    for (; at > 0 && (names[at - 1] as string) >= name; at -= 1) {
      if (names[at - 1] === name) throw new NotCanonical();
      names[at] = names[at - 1] as string;
      members[at] = members[at - 1] as string;
    }
    names[at] = name;
    members[at] = member;
  }
  return members;
}

function isBlank(code: number): boolean {
  return (
    code <= BLANK &&
    (code === BLANK || code === LINE_FEED || code === CARRIAGE_RETURN || code === TAB)
  );
}

/** What may follow a number or a word. */
function isEnd(code: number): boolean {
  return code === COMMA || code === BRACE_END || code === BRACKET_END || isBlank(code);
}
