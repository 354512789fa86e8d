/** Deeper nesting is compared by its bytes. */
const DEPTH_MAX = 200;

const TAB = 0x09;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BLANK = 0x20;
const BACKSLASH = 0x5c;

const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
/** What ends a number or a word. */
const ENDS = new Set(Array.from(',]} \t\n\r:"[{', (character) => character.charCodeAt(0)));
const TO_NORMALISE = /[\\\p{Cc}]/u;

/** Not JSON, or JSON that means different things to different parsers. */
class NotCanonical extends Error {}

/**
 * JSON text in the one form that all texts of the same content share: members sorted by name, no blanks,
 * escapes only where they are needed. It works on the text and not on parsed values, so that numbers stay
 * as they were written: parsed, 9007199254740993 would equal 9007199254740992.
 *
 * @returns nothing where the text is not JSON, is nested too deeply, or has a member twice
 */
export function canonicalJson(text: string): string | undefined {
  try {
    return new Reader(text).whole();
  } catch (error) {
    if (error instanceof NotCanonical) return undefined;
    throw error;
  }
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): string {
    const value = this.#value(0);
    if (this.#at < this.#text.length) throw new NotCanonical();
    return value;
  }

  /** A value with the blanks around it. */
  #value(depth: number): string {
    if (depth > DEPTH_MAX) throw new NotCanonical();
    this.#skipBlanks();
    const value = this.#bareValue(depth);
    this.#skipBlanks();
    return value;
  }

  #bareValue(depth: number): string {
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      default:
        return this.#numberOrWord();
    }
  }

  #object(depth: number): string {
    const members: [name: string, text: string][] = [];
    this.#list("}", () => {
      this.#skipBlanks();
      if (this.#text[this.#at] !== '"') throw new NotCanonical();
      const name = this.#string();
      this.#skipBlanks();
      if (!this.#skip(":")) throw new NotCanonical();
      members.push([name, this.#value(depth + 1)]);
    });
    members.sort(([one], [other]) => (one < other ? -1 : 1));
    const hasTwice = members.some(([name], index) => name === members[index + 1]?.[0]);
    if (hasTwice) throw new NotCanonical();
    return `{${members.map(([name, value]) => `${name}:${value}`).join(",")}}`;
  }

  #array(depth: number): string {
    const elements: string[] = [];
    this.#list("]", () => elements.push(this.#value(depth + 1)));
    return `[${elements.join(",")}]`;
  }

  /** What stands between a bracket and its end, each part read by `readOne`. */
  #list(end: string, readOne: () => void): void {
    this.#at += 1;
    this.#skipBlanks();
    if (this.#skip(end)) return;
    do readOne();
    while (this.#skip(","));
    if (!this.#skip(end)) throw new NotCanonical();
  }

  #string(): string {
    const token = this.#text.slice(this.#at, this.#endOfString());
    this.#at += token.length;
    if (!TO_NORMALISE.test(token)) return token;
    try {
      return JSON.stringify(JSON.parse(token));
    } catch {
      throw new NotCanonical();
    }
  }

  #endOfString(): number {
    const text = this.#text;
    let quote = text.indexOf('"', this.#at + 1);
    while (quote !== -1 && isEscaped(text, quote)) quote = text.indexOf('"', quote + 1);
    if (quote === -1) throw new NotCanonical();
    return quote + 1;
  }

  #numberOrWord(): string {
    const start = this.#at;
    while (this.#at < this.#text.length && !ENDS.has(this.#text.charCodeAt(this.#at)))
      this.#at += 1;
    const token = this.#text.slice(start, this.#at);
    const isWord = token === "true" || token === "false" || token === "null";
    if (!isWord && !NUMBER.test(token)) throw new NotCanonical();
    return token;
  }

  #skipBlanks(): void {
    while (isBlank(this.#text.charCodeAt(this.#at))) this.#at += 1;
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }
}

function isBlank(code: number): boolean {
  return code === BLANK || code === LINE_FEED || code === CARRIAGE_RETURN || code === TAB;
}

/** Whether an odd number of backslashes stands before it. */
function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes += 1;
  return backslashes % 2 === 1;
}
