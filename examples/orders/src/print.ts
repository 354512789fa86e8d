import picocolors from "picocolors";
import { euros } from "./order.ts";
import type { Charge } from "./payment-provider.ts";
import type { Scene } from "./scene.ts";

// By itself picocolors also colours what a CI system captures, which is no terminal.
const colors = picocolors.createColors(
  process.stdout.isTTY === true && picocolors.isColorSupported,
);

const WIDTH = 80;
const INDENT = 4;
const LABEL_WIDTH = 6;

/** Prints for people: 80 columns, and colours where the terminal has them. */
export function sceneText(number: number, { title, came, ran, gave, promises }: Scene): string {
  const effects = ran.length === 0 ? ["nothing"] : [ran.join(" → ")];
  return [
    colors.bold(`${String(number).padStart(2)}  ${title}`),
    ...block("in", came),
    ...block("ran", effects),
    ...block("out", gave),
    ...promises.map(({ promise, isKept }) =>
      isKept ? colors.green(`    ✓ ${promise}`) : colors.red(`    ✗ NOT AS PROMISED: ${promise}`),
    ),
    "",
  ].join("\n");
}

function block(label: string, texts: readonly string[]): readonly string[] {
  const lines = texts.flatMap((text) => wrapped(text, WIDTH - INDENT - LABEL_WIDTH));
  return lines.map((text, index) => {
    const head = (index === 0 ? label : "").padEnd(LABEL_WIDTH);
    return " ".repeat(INDENT) + colors.dim(head) + text;
  });
}

/** Breaks a text between words, and indents what follows the first line. */
function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = `  ${word}`;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** What the payment provider booked, order by order. */
export function ledgerText(ledger: readonly Charge[]): string {
  const rows = ledger.map(({ id, customer, reference, amountCents }) => [
    id,
    customer,
    reference,
    euros(amountCents),
  ]);
  const table = [["charge", "customer", "key", "amount"], ...rows];
  const [head = "", ...body] = table.map((row) =>
    `    ${row.map((cell) => cell.padEnd(12)).join("")}`.trimEnd(),
  );
  return [
    colors.bold("What the payment provider's ledger saw"),
    colors.dim(head),
    ...body,
    "",
  ].join("\n");
}
