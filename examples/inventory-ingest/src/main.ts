import { Shop } from "./shop.ts";
import { tellStory } from "./story.ts";

// INVENTORY_DATABASE says where; without it the story plays on a file that is gone afterwards.
const shop = await Shop.open(process.env.INVENTORY_DATABASE);
try {
  await tellStory(shop, (line) => process.stdout.write(`${line}\n`));
} finally {
  await shop.close();
}
