import { explore } from "./src/explore.ts";
const n = Number(process.argv[2] ?? 1), from = Number(process.argv[3] ?? 1);
const t = performance.now();
const { done, failures } = await explore({ from, seeds: n });
const by: Record<string, number[]> = {};
for (const f of failures) (by[`${f.invariant} ${f.what}`] ??= []).push(f.seed);
for (const [k, s] of Object.entries(by)) console.log(s.length, k, s.slice(0, 6).join(","));
console.log(done, (done / ((performance.now() - t) / 1000)).toFixed(0), "seeds/s");
