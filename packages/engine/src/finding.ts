import { shown } from "./describe.ts";

/** Whether interrupted work happened, and with which result, as the system that it called reports. */
export type Finding<T> = { readonly happened: T } | "did-not-happen" | "still-unknown";

/** A finding that ends the doubt about a step. */
export type Resolution<T> = Exclude<Finding<T>, "still-unknown">;

/** @throws TypeError if it is no finding: nothing may be concluded from it */
export function checkedFinding<T>(found: Finding<T>, from: string): Finding<T> {
  const isObject = typeof found === "object" && found !== null && "happened" in found;
  if (isObject || found === "did-not-happen" || found === "still-unknown") return found;
  throw new TypeError(
    `${from}: expected { happened: value }, 'did-not-happen' or 'still-unknown', ` +
      `got ${shown(found)}.`,
  );
}
