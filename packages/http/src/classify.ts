import { DISPOSITIONS, type Disposition } from "./disposition.ts";
import type { HttpOptions, ResponseFacts } from "./options.ts";
import type { Report } from "./report.ts";

/** The option `classify` of an application. If it throws, or returns no disposition, it has decided nothing. */
export function classified(
  classify: HttpOptions<never>["classify"],
  facts: ResponseFacts,
  report: Report,
): Disposition | undefined {
  try {
    const asked = classify?.(facts);
    if (asked === undefined || DISPOSITIONS.includes(asked)) return asked;
    throw new TypeError(`classify: expected ${DISPOSITIONS.join(", ")} or undefined.`);
  } catch (error) {
    report(error);
    return undefined;
  }
}
