const MIB = 1024 * 1024;

/** Bodies that storage likes to change: by trimming, cutting, folding, parsing or normalising them. */
export const BODIES = {
  empty: "",
  "one blank": " ",
  "ends in blanks and a line break": "text  \n",
  "decomposed and composed accents": "e\u0301 \u00e9",
  "beyond the basic plane": "🔑 𝄞 \u{10ffff}",
  "control characters": "\u0001\u001f\u007f\u0085\u2028\ufeff",
  quotes: `' '' " \\ \\' \\0 %s $1 ? :name`,
  "looks like a number": "1e5",
  "64 KiB and one": "x".repeat(65_537),
};

/** A body of 4 MiB in UTF-8, which must pass alone. */
export const GREAT_BODY = "é".repeat(2 * MIB);

/** Notes and checkpoints. */
export const TEXTS = [
  "",
  " ",
  "ends in a blank ",
  "MiXeD",
  "e\u0301",
  "'\"\\%_",
  "🔑",
  "x".repeat(70_000),
] as const;

export const KEYS = [
  "x".repeat(255),
  "UPPER lower",
  "trailing ",
  "ключ 鍵 🔑",
  "' \" \\ % _ ;",
] as const;

/** A scope of about as many bytes as one may have. */
export const SCOPE = `1000:${"é".repeat(500)}`;

const LONG = "x".repeat(200_000);

/** Pairs of bodies that a comparison may take for the same, although they are not. */
export const LOOKALIKES: readonly (readonly [stored: string, other: string])[] = [
  ["Body", "body"],
  ["body", "body "],
  ["body", "body\n"],
  ["body", " body"],
  ["", " "],
  ["\u00e9", "e\u0301"],
  ["e", "\u00e9"],
  ["strasse", "straße"],
  ["a\u0001", "a"],
  ["a\u200b", "a"],
  ["🔑", "🔒"],
  ["1", "1.0"],
  ["1e5", "100000"],
  ['{"a":1,"b":2}', '{"b":2, "a":1}'],
  [`${"x".repeat(8_192)}a`, `${"x".repeat(8_192)}b`],
  [`${"x".repeat(65_536)}a`, `${"x".repeat(65_536)}b`],
  [`${LONG}a`, `${LONG}b`],
  [`a${LONG}`, `b${LONG}`],
  [LONG, `${LONG} `],
];
