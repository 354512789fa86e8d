export interface ChargeRequest {
  readonly amount: number;
  readonly currency: string;
  readonly source: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface Charge {
  readonly id: string;
  readonly object: "charge";
  readonly amount: number;
  readonly currency: string;
  readonly source: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly status: "succeeded" | "failed";
  /** Seconds since 1970, as Stripe has them. */
  readonly created: number;
}
