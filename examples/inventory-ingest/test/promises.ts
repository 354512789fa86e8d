import { productPromises } from "./product-promises.ts";
import { dispatchPromises, orderPromises, reallocationPromises } from "./routing-promises.ts";
import type { Open } from "./scene.ts";
import { deltaPromises, snapshotPromises } from "./stock-promises.ts";

/** What the example promises, on a database of which `open` makes a new one for each test. */
export function promises(open: Open): void {
  productPromises(open);
  snapshotPromises(open);
  deltaPromises(open);
  orderPromises(open);
  dispatchPromises(open);
  reallocationPromises(open);
}
