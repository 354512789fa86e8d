import { type FiveSteps, runFiveSteps } from "./five-steps.ts";

// Runs the five steps, and dies where it is told to.
const [spec = "", diesAt] = process.argv.slice(2);
await runFiveSteps({
  ...(JSON.parse(spec) as FiveSteps),
  passes: (place) => {
    if (place === diesAt) process.kill(process.pid, "SIGKILL");
  },
});
