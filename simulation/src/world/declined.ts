/** What the functions of simulated callers throw. */
export class Declined extends Error {}
