import { ServerResponse } from "node:http";

/** Events of the response that a handler may wait for once it writes by itself. */
const EVENTS = ["drain", "error"] as const;

/**
 * The raw response of a handler: headers and status are set on it, and reach the client with the committed
 * response. A handler that writes to it has taken the response: it then writes to the real one.
 */
export class HandlerRaw extends ServerResponse {
  readonly #real: ServerResponse;
  #isTaken = false;
  #isCommitting = false;
  #isSent = false;

  constructor(real: ServerResponse) {
    super(real.req);
    this.#real = real;
    // A response that another middleware has sent does not keep the handler from setting its own.
    Object.defineProperty(this, "headersSent", { get: () => this.#isTaken && real.headersSent });
    real.once("close", () => this.emit("close"));
    // A response that another middleware has sent is not the end of the handler's own.
    real.once("finish", () => void ((this.#isSent || this.#isTaken) && this.emit("finish")));
    this.statusCode = real.statusCode;
    for (const [name, value] of Object.entries(real.getHeaders())) {
      if (value !== undefined) this.setHeader(name, value);
    }
  }

  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Calls the listeners that libraries such as `on-headers` have put before `writeHead`. */
  beforeCommit(): void {
    this.#isCommitting = true;
    try {
      // They get the status, and some set it again.
      this.writeHead(...([this.statusCode] as never[]));
    } finally {
      this.#isCommitting = false;
    }
  }

  /** The committed response is the one that is sent: its end is the end of this one. */
  afterCommit(): void {
    this.#isSent = true;
  }

  override writeHead(...given: never[]): this {
    if (this.#isCommitting) return this;
    this.#take().writeHead(...(given as unknown as [number]));
    return this;
  }

  override flushHeaders(): void {
    this.#take().flushHeaders();
  }

  override write(...given: never[]): boolean {
    return this.#take().write(...(given as unknown as [string]));
  }

  override end(...given: never[]): this {
    this.#take().end(...(given as unknown as [string]));
    return this;
  }

  #take(): ServerResponse {
    const real = this.#real;
    if (this.#isTaken) return real;
    this.#isTaken = true;
    for (const event of EVENTS) real.on(event, (...given) => this.emit(event, ...given));
    if (real.headersSent) return real;
    real.statusCode = this.statusCode;
    const headers = this.getHeaders();
    for (const name of real.getHeaderNames()) if (!(name in headers)) real.removeHeader(name);
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined) real.setHeader(name, value);
    }
    return real;
  }
}
