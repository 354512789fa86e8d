import type { Engine, Scope } from "@idemkit/engine";
import { named } from "@idemkit/engine/model";
import type { Disposition, On5xx } from "./disposition.ts";
import { checkedEngine, checkedOnDuplicate } from "./engine-option.ts";
import {
  type BodyComparison,
  checkedFingerprint,
  type FingerprintOption,
} from "./fingerprint-option.ts";
import type { HeaderList, HeaderRules } from "./headers.ts";
import type { KeyGrammar } from "./key.ts";
import { ofType, oneOf, required, wrong } from "./option-checks.ts";
import { PRESETS, type Preset, type PresetName } from "./presets.ts";
import { DRAFT_URL, type ProblemFormat } from "./problems.ts";

type Awaitable<T> = T | Promise<T>;

/** What a response is classified by. */
export interface ResponseFacts {
  /** 0 if the handler wrote the response behind the framework's back, and its status was not seen. */
  readonly status: number;
  /** The headers that would be kept. */
  readonly headers: HeaderList;
  /** Whether its body was seen whole and within `maxBody`. */
  readonly isWhole: boolean;
  /** What the handler threw, where it threw. */
  readonly error?: unknown;
}

/** `Req` is what the framework's handlers get: Koa's context, Fastify's request. */
export interface HttpOptions<Req> {
  /** Its guarantee, lease, replay time and steps apply: see `engine.with`. */
  readonly engine: Engine;
  /**
   * Whom a key belongs to, such as `[tenant, user]`. Take it from who was authenticated, never from
   * what anybody may send: two callers with one scope see each other's responses.
   */
  readonly scope: (request: Req) => Awaitable<Scope>;
  /** What the other options start from. Default: `ietf`. */
  readonly preset?: PresetName;
  /** Names of the header, each as good as the others. Default: `['Idempotency-Key']`. */
  readonly headers?: readonly string[];
  /** Takes the key from elsewhere, such as a webhook's own id. `undefined`: it has none. */
  readonly key?: (request: Req) => Awaitable<string | undefined>;
  /** What a key has to match, such as the form of a UUID. */
  readonly keyFormat?: RegExp;
  /** Refuses bare keys: only quoted strings, as the draft has it. Default: false. */
  readonly strict?: boolean;
  /** Whether a request without a key is refused; otherwise it runs without protection. Default: true. */
  readonly required?: boolean;
  /**
   * Checks a signature, say, of each protected request. It runs before the key is read and claimed: if it
   * returns false or throws, the request gets 401 `signature-invalid` and the store is not asked. Needed for
   * the preset `webhook`.
   *
   * @param rawBody the bytes of the body as they were sent, at most `maxBody` if no parser has read them
   */
  readonly verify?: (request: Req, rawBody: Buffer) => Awaitable<boolean>;
  /**
   * What stands for the body when two requests with one key are compared. With false the body is not
   * compared. A function returns a value that is compared in its place, and `{ exclude }` leaves members of
   * a JSON body out, by JSON Pointers (RFC 6901). Method, path and query are compared in any case.
   * Default: the whole body, or false with the preset `webhook`.
   */
  readonly fingerprint?: FingerprintOption<Req>;
  /** Default: `['POST', 'PATCH']`. */
  readonly methods?: readonly string[];
  /** How long a response is replayed, in milliseconds. Default: the engine's, or 7 days with `webhook`. */
  readonly replayMs?: number;
  /**
   * What a duplicate gets while the first request runs: 409; or it waits for so many milliseconds
   * first; or 202 with the `statusUrl`. Default: what the engine does, which is `reject`.
   */
  readonly onDuplicate?: "reject" | "accepted" | { readonly waitMs: number };
  /** Where the status of a key can be asked for. Needed for `onDuplicate: 'accepted'`. */
  readonly statusUrl?: (key: string) => string;
  /** Default: `record` under at-most-once, `release` under at-least-once. */
  readonly on5xx?: On5xx;
  /** What to do where the store fails: 503, or run without protection. Default: `reject`. */
  readonly onStoreError?: "reject" | "bypass";
  /** Marks responses that are replayed. Default: `Idempotency-Replayed`. */
  readonly replayHeader?: string;
  /**
   * Bodies of responses with more bytes are not kept, and no more is read of a request's body where no
   * parser has. 0 to 16 MiB. Default: 1 MiB. It goes before the engine's `maxResultBytes`.
   */
  readonly maxBody?: number;
  /** Whether problems are answered, or thrown as a ProblemError. Default: `send`. */
  readonly problems?: "send" | "throw";
  /** Where your API tells of keys: an absolute URL. Default: the draft. */
  readonly docsUrl?: string;
  /** Decides what becomes of the key; with `undefined` it follows the table. */
  readonly classify?: (response: ResponseFacts) => Disposition | undefined;
  /** Headers that are kept although they are of a kind that is not. */
  readonly allow?: readonly string[];
  /** Headers that are not kept. */
  readonly deny?: readonly string[];
  /** Whether Set-Cookie is kept. Who gets a replay then gets the first caller's cookies. Default: false. */
  readonly cookies?: boolean;
}

/** Options checked and filled in. */
export interface HttpSettings<Req> {
  readonly engine: Engine;
  readonly scope: HttpOptions<Req>["scope"];
  readonly key: HttpOptions<Req>["key"];
  readonly verify: HttpOptions<Req>["verify"];
  readonly comparison: BodyComparison<Req>;
  readonly headerNames: readonly string[];
  readonly grammar: KeyGrammar;
  readonly required: boolean;
  readonly methods: ReadonlySet<string>;
  readonly isAccepting: boolean;
  readonly statusUrl: HttpOptions<Req>["statusUrl"];
  readonly on5xx: On5xx | undefined;
  readonly isBypassing: boolean;
  readonly replayHeader: string;
  readonly maxBody: number;
  readonly isThrowing: boolean;
  readonly docsUrl: string;
  readonly format: ProblemFormat;
  readonly classify: HttpOptions<Req>["classify"];
  /** The preset's, which counts where nothing that the application has given decides. */
  readonly presetClassify: Preset["classify"];
  readonly rules: HeaderRules;
}

const MIB = 1024 * 1024;
const MAX_BODY_LIMIT = 16 * MIB;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

export const NAMES = [
  ...["engine", "scope", "preset", "headers", "key", "keyFormat", "strict", "required", "methods"],
  ...["onDuplicate", "statusUrl", "on5xx", "onStoreError", "replayHeader", "maxBody", "problems"],
  ...["docsUrl", "classify", "allow", "deny", "cookies", "verify", "fingerprint", "replayMs"],
] as const satisfies readonly (keyof HttpOptions<unknown>)[];

/**
 * Checks options and fills them in.
 *
 * @param others options that the caller has taken for itself
 * @throws TypeError that says which option is wrong, what was expected and what came
 */
export function httpSettings<Req>(
  options: HttpOptions<Req>,
  others: readonly string[] = [],
): HttpSettings<Req> {
  checkKnown(options, [...others, ...NAMES]);
  const presetName = oneOf(options, "preset", Object.keys(PRESETS) as PresetName[]) ?? "ietf";
  const preset: Preset = PRESETS[presetName];
  const onDuplicate = checkedOnDuplicate(options);
  const headers = headerNames(options, "headers") ?? ["Idempotency-Key"];
  if (headers.length === 0) throw wrong("headers", "at least one name", options.headers);
  const comparison = checkedFingerprint(options.fingerprint ?? preset.fingerprint);
  const exclude = comparison.kind === "body" ? comparison.exclude : [];
  const cookies = ofType(options, "cookies", "boolean") ?? false;
  return {
    engine: checkedEngine(options, preset, exclude),
    scope: required(options, "scope", "function"),
    key: ofType(options, "key", "function"),
    verify: ofType(options, "verify", "function"),
    comparison,
    headerNames: headers,
    grammar: {
      strict: ofType(options, "strict", "boolean") ?? false,
      keyFormat: checkedKeyFormat(options.keyFormat),
    },
    required: ofType(options, "required", "boolean") ?? true,
    methods: checkedMethods(options.methods),
    isAccepting: onDuplicate === "accepted",
    statusUrl: ofType(options, "statusUrl", "function"),
    on5xx: oneOf(options, "on5xx", ["record", "release", "hold"]) ?? preset.on5xx,
    isBypassing: oneOf(options, "onStoreError", ["reject", "bypass"]) === "bypass",
    replayHeader: checkedReplayHeader(options.replayHeader) ?? preset.replayHeader,
    maxBody: checkedMaxBody(options.maxBody),
    isThrowing: oneOf(options, "problems", ["send", "throw"]) === "throw",
    docsUrl: checkedUrl(options.docsUrl) ?? DRAFT_URL,
    format: preset.format,
    classify: ofType(options, "classify", "function"),
    presetClassify: preset.classify,
    rules: {
      allow: lowerCase([
        ...(headerNames(options, "allow") ?? []),
        ...(cookies ? ["set-cookie"] : []),
      ]),
      deny: lowerCase(headerNames(options, "deny") ?? []),
    },
  };
}

type Options = HttpOptions<never>;

function checkKnown(options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null) throw wrong("options", "an object", options);
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    throw new TypeError(`${named(name)}: no such option. Expected one of ${known.join(", ")}.`);
  }
}

function checkedKeyFormat(keyFormat: unknown): RegExp | undefined {
  if (keyFormat === undefined) return undefined;
  if (!(keyFormat instanceof RegExp)) throw wrong("keyFormat", "a RegExp", keyFormat);
  // With these flags an expression remembers where it was, and the next key would not match.
  return new RegExp(keyFormat.source, keyFormat.flags.replaceAll(/[gy]/g, ""));
}

function checkedMethods(methods: unknown): ReadonlySet<string> {
  if (methods === undefined) return new Set(["POST", "PATCH"]);
  const isList = Array.isArray(methods) && methods.every((each) => typeof each === "string");
  if (!isList) throw wrong("methods", "a list of methods", methods);
  return new Set(methods.map((each: string) => each.toUpperCase()));
}

function checkedMaxBody(maxBody: unknown): number {
  if (maxBody === undefined) return MIB;
  const isWithin = Number.isSafeInteger(maxBody) && Number(maxBody) >= 0;
  if (isWithin && Number(maxBody) <= MAX_BODY_LIMIT) return Number(maxBody);
  throw wrong("maxBody", `a number of bytes from 0 to ${MAX_BODY_LIMIT}`, maxBody);
}

function checkedReplayHeader(name: unknown): string | undefined {
  if (name === undefined || (typeof name === "string" && HEADER_NAME.test(name))) return name;
  throw wrong("replayHeader", "the name of a header", name);
}

function checkedUrl(url: unknown): string | undefined {
  if (url === undefined) return undefined;
  // It stands in a Link header between angle brackets.
  if (typeof url === "string" && URL.canParse(url)) return new URL(url).href;
  throw wrong("docsUrl", "an absolute URL", url);
}

function headerNames(
  options: Options,
  name: "headers" | "allow" | "deny",
): readonly string[] | undefined {
  const names: unknown = options[name];
  if (names === undefined) return undefined;
  const isName = (each: unknown) => typeof each === "string" && HEADER_NAME.test(each);
  if (Array.isArray(names) && names.every(isName)) return names as readonly string[];
  throw wrong(name, "a list of header names", names);
}

function lowerCase(names: readonly string[]): ReadonlySet<string> {
  return new Set(names.map((each) => each.toLowerCase()));
}
