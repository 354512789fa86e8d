import { ledgerText, sceneText } from "./print.ts";
import type { Scene } from "./scene.ts";
import { scenes } from "./scenes.ts";
import { Shop } from "./shop.ts";

/** Plays the story and says whether every promise was kept. */
export async function demo(options: {
  readonly isJson: boolean;
  readonly write: (text: string) => void;
}): Promise<boolean> {
  const { isJson, write } = options;
  const shop = await Shop.open();
  try {
    const played: Scene[] = [];
    for (const play of scenes) {
      const scene = await play(shop);
      played.push(scene);
      if (!isJson) write(`${sceneText(played.length, scene)}\n`);
    }
    const isAsPromised = played.every(({ promises }) => promises.every(({ isKept }) => isKept));
    const { ledger } = shop.provider;
    if (isJson) write(`${JSON.stringify({ isAsPromised, scenes: played, ledger }, null, 2)}\n`);
    else write(`${ledgerText(ledger)}\n${verdict(isAsPromised)}\n`);
    return isAsPromised;
  } finally {
    await shop.close();
  }
}

function verdict(isAsPromised: boolean): string {
  return isAsPromised ? "Every scene went as promised." : "Some promise was not kept: see ✗ above.";
}
