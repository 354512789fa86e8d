import { INVARIANTS, type Violation } from "./check/invariants.ts";
import type { Applied, Event, History, Told } from "./history.ts";

const WIDTH = 10;

/** A history as text, one line for each thing that happened, up to what went wrong. */
export function print({ happenings, terms }: History, violation?: Violation): string {
  const lines = happenings.map(({ atMs, event }, index) => {
    const mark = index === violation?.at ? ">" : " ";
    return `${mark}${atMs.toFixed(1).padStart(WIDTH)} ms  ${printed(event)}`;
  });
  const shown = violation === undefined ? lines : lines.slice(0, violation.at + 1);
  if (terms.areClocksTrue) shown.unshift("All clocks run alike.");
  if (violation !== undefined) {
    const { invariant, what } = violation;
    shown.push("", `${invariant} is broken: ${what}.`, `${invariant}: ${INVARIANTS[invariant]}.`);
  }
  return shown.join("\n");
}

function printed(event: Event): string {
  switch (event.kind) {
    case "call": {
      const plan = event.plan === undefined ? "" : ` ${JSON.stringify(event.plan)}`;
      const about = `${event.record} ${event.payload}`.trim();
      return `${event.process}  call ${event.call}: ${event.how} ${about}${plan}`;
    }
    case "run":
      return `  call ${event.call} runs under token ${event.token}, attempt ${event.attempt}`;
    case "ran":
      return `  call ${event.call} ran, to ${event.end}: ${event.said}`;
    case "told":
      return `  call ${event.call} ends: ${told(event.told)}`;
    case "listens":
      return `  call ${event.call} reads its signal`;
    case "aborted":
      return `  call ${event.call} is aborted: ${event.reason}`;
    case "decides":
      return `  call ${event.call} decides about its error`;
    case "step": {
      const code = event.code === undefined ? "" : `, ${event.code}`;
      return `  call ${event.call}, step ${event.step}: ${event.as}${code}`;
    }
    case "asks":
      return `  call ${event.call} asks about ${event.step || "the whole"}`;
    case "found":
    case "resolved":
      return `  call ${event.call}, ${event.step || "the whole"} ${event.kind}: ${event.finding}`;
    case "booked":
      return `  provider books ${event.step || "all"} of ${event.record} for call ${event.call}`;
    case "works":
      return `  call ${event.call} works under token ${event.token}, attempt ${event.attempt}`;
    case "worked":
      return `  call ${event.call} ${event.hasThrown ? "threw" : "has worked"}: ${event.said}`;
    case "committed": {
      const rows = event.rows.map(({ run }) => `row of run ${run}`);
      const parts = [...event.applied.map(applied), ...rows].join("; ");
      return `${event.process}  commits: ${parts || "nothing"}`;
    }
    case "blocked":
      return `  store: ${event.record} is held by a transaction`;
    case "owner":
      return `${event.process}  mints owner ${short(event.owner)}`;
    case "sent": {
      const fate = event.fate === "fine" ? "" : ` (${event.fate})`;
      return `${event.process}  -> message ${event.message}, ${event.operation}${fate}`;
    }
    case "applied":
      return `  store, at ${event.storeMs}: ${applied(event)}`;
    case "purged":
      return `  store, at ${event.storeMs}: purges ${event.records.join(", ") || "nothing"}`;
    case "heard":
      return `${event.process}  event ${event.text}`;
    case "died":
    case "closed":
      return `${event.process}  ${event.kind}`;
    case "closing":
      return `${event.process}  begins to close within ${event.graceMs} ms`;
    case "fault":
      return event.what;
    case "healed":
      return "All faults are over, and so is every lease.";
    case "last word":
      return `${event.record} answers ${event.told}${event.isListed ? ", and is listed as open" : ""}`;
    case "rest":
      return event.isEndless
        ? "It goes on and on."
        : `All is at rest, ${event.timers} timers left.`;
  }
}

function applied(event: Applied): string {
  const { message, operation, record, answer } = event;
  const owner = "owner" in event.given ? ` of ${short(event.given.owner)}` : "";
  const token = "token" in event.given ? ` under token ${event.given.token}` : "";
  const body = operation === "complete" ? ` as ${event.given.status} ${event.given.body}` : "";
  const said = typeof answer === "object" ? JSON.stringify(answer) : String(answer);
  return `message ${message}, ${operation}${owner}${token} on ${record}${body}: ${said}`;
}

function told(outcome: Told): string {
  const { as, ...rest } = outcome;
  return `${as} ${JSON.stringify(rest)}`;
}

/** Owners are long and mostly noughts. */
function short(owner: string): string {
  return owner.replace(/^0*([0-9a-f]*?)0+([0-9a-f]*)$/, "$1.$2");
}
