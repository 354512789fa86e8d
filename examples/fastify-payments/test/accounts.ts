export const ANN = "sk_test_ann";
export const BOB = "sk_test_bob";

export const ACCOUNTS = new Map([
  [ANN, "ann"],
  [BOB, "bob"],
]);
