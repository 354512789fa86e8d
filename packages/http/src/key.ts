import { parseItem } from "structured-headers";

/** Why a request has no key that could be used. */
export type KeyProblem = "key-missing" | "key-invalid" | "key-ambiguous";

export type KeyReading =
  | { readonly key: string }
  | { readonly problem: KeyProblem; readonly detail: string };

export interface KeyGrammar {
  /** Only quoted strings of RFC 8941, as the draft has it, and no bare keys. */
  readonly strict: boolean;
  /** What a key has to match, beyond the grammar. */
  readonly keyFormat: RegExp | undefined;
}

const KEY_BYTES_MAX = 255;
const VISIBLE_ASCII = /^[\x20-\x7e]*$/;
/** Optional white space of HTTP: RFC 9110, section 5.6.3. Others trim more, such as what is no ASCII. */
const OUTER_BLANKS = /^[ \t]+|[ \t]+$/g;

/**
 * The values of a header, one for each line in which it was sent. Node joins such lines to one text,
 * in which two keys look like one.
 *
 * @param rawHeaders names and values in turn, as `IncomingMessage.rawHeaders` has them
 * @param names in lower case
 */
export function headerLines(
  rawHeaders: readonly string[],
  names: ReadonlySet<string>,
): readonly string[] {
  const lines: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (names.has((rawHeaders[at] as string).toLowerCase()))
      lines.push(rawHeaders[at + 1] as string);
  }
  return lines;
}

/**
 * Reads a key: a quoted string of RFC 8941, as in section 2.1 of draft-07, or a bare one, as most
 * clients send it. `"k"` and `k` are the same key.
 *
 * @param lines the values of the header, one for each line
 * @param missing the detail of the problem if there is none
 */
export function readKey(
  lines: readonly string[],
  grammar: KeyGrammar,
  missing = "This operation needs a key, and the request has none.",
): KeyReading {
  const [line, ...others] = lines;
  if (line === undefined) return { problem: "key-missing", detail: missing };
  if (others.length > 0) {
    return { problem: "key-ambiguous", detail: "Expected one key, got more than one header line." };
  }
  const text = line.replaceAll(OUTER_BLANKS, "");
  if (!VISIBLE_ASCII.test(text)) return invalid("Expected printable ASCII characters only.");
  return checkKey(text.startsWith('"') ? quoted(text) : bare(text, grammar), grammar);
}

/** Checks a key that came from elsewhere, or that was just read. */
export function checkKey(reading: KeyReading, { keyFormat }: KeyGrammar): KeyReading {
  if ("problem" in reading) return reading;
  const { key } = reading;
  if (key.trim() === "") return invalid("Expected a key, got an empty one.");
  if (Buffer.byteLength(key) > KEY_BYTES_MAX) {
    return invalid(`Expected at most ${KEY_BYTES_MAX} bytes.`);
  }
  if (keyFormat !== undefined && !keyFormat.test(key)) {
    return invalid("The key is not in the format that this operation asks for.");
  }
  return reading;
}

function quoted(text: string): KeyReading {
  try {
    const [item] = parseItem(text);
    if (typeof item === "string") return { key: item };
  } catch {
    // Said below: the parser's message would quote the key.
  }
  return invalid('Expected a string as in RFC 8941: in double quotes, with \\" and \\\\ escaped.');
}

function bare(text: string, { strict }: KeyGrammar): KeyReading {
  if (text !== "" && strict) {
    return invalid("Expected a string as in RFC 8941: the key in double quotes.");
  }
  if (text.includes(",")) {
    const detail = "Expected one key, got a comma. A key with a comma has to be in double quotes.";
    return { problem: "key-ambiguous", detail };
  }
  if (text.includes('"')) return invalid("Expected the double quotes around the whole key.");
  return { key: text };
}

function invalid(detail: string): KeyReading {
  return { problem: "key-invalid", detail };
}
