/** Stripe's clients send `metadata[order_id]=7` for a member of a member. None is deeper here. */
const OF_MEMBER = /^([^[\]]+)\[([^[\]]+)\]$/;

/** What a form says, as JSON would have said it. */
export function parsedForm(text: string): Readonly<Record<string, unknown>> {
  const plain = new Map<string, string>();
  const nested = new Map<string, Map<string, string>>();
  for (const [name, value] of new URLSearchParams(text)) {
    const [, outer, inner] = OF_MEMBER.exec(name) ?? [];
    if (outer === undefined || inner === undefined) {
      plain.set(name, value);
    } else {
      nested.set(outer, (nested.get(outer) ?? new Map()).set(inner, value));
    }
  }
  // Made of entries, so that a member called __proto__ is a member like any other.
  const objects = [...nested].map(
    ([name, members]) => [name, Object.fromEntries(members)] as const,
  );
  return Object.fromEntries<unknown>([...plain, ...objects]);
}
