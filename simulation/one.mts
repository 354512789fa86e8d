import { simulate } from "./src/simulate.ts";
import { check } from "./src/check/checker.ts";
const n = Number(process.argv[2] ?? 1), from = Number(process.argv[3] ?? 1);
const by: Record<string, number[]> = {}; 
for (let s = from; s < from + n; s++) { const h = await simulate(s); const v = check(h);
 if (n === 1) { h.happenings.forEach((x, i) => console.log(i, x.atMs.toFixed(1), JSON.stringify(x.event))); console.log(v); }
 else if (v[0]) (by[`${v[0].invariant} ${v[0].what}`] ??= []).push(s); }
for (const [k, s] of Object.entries(by)) console.log(s.length, k, s.slice(0, 6).join(","));
