import { ServerResponse } from "node:http";
import { type HeaderList, headersSince, type OutgoingHeaders } from "./headers.ts";

/** What a handler reads of its raw response once it has taken the real one. */
const OF_TAKEN = [
  "finished",
  "socket",
  "writableEnded",
  "writableFinished",
  "headersSent",
] as const;
/** They precede a response, and are none. */
const INTERIM = ["writeContinue", "writeEarlyHints", "writeProcessing"] as const;

/**
 * The raw response that a handler gets. Headers and status are set on it, and reach the client with the committed
 * response. A handler that writes to it has taken the response away from the framework: it then writes to the real
 * one. Another plugin or middleware may use the real one meanwhile.
 */
export class HandlerRaw {
  /** Its functions are its own, so that they stay if a framework inside gives it another prototype. */
  readonly response: ServerResponse;
  readonly #real: ServerResponse;
  readonly #before: OutgoingHeaders;
  readonly #statusBefore: number;
  readonly #onTaken: () => void;
  #isTaken = false;
  #isCommitting = false;
  #isSent = false;
  #isEnded = false;
  #onEnd: () => void = () => undefined;

  /**
   * @param statusCode the status before the handler sets one
   * @param onTaken called once: when the handler writes to it
   */
  constructor(
    real: ServerResponse,
    statusCode: number = real.statusCode,
    onTaken: () => void = () => undefined,
  ) {
    this.#real = real;
    this.#onTaken = onTaken;
    this.#before = real.getHeaders() as OutgoingHeaders;
    this.#statusBefore = statusCode;
    const response = new ServerResponse(real.req);
    this.response = response;
    response.statusCode = statusCode;
    for (const [name, value] of Object.entries(real.getHeaders())) {
      if (value !== undefined) response.setHeader(name, value);
    }
    this.#overrideFunctions();
    this.#overrideMembers();
    real.once("close", () => response.emit("close"));
    // A response that another middleware has sent is not the end of the handler's own.
    real.once("finish", () => void ((this.#isSent || this.#isTaken) && response.emit("finish")));
  }

  /** Whether the committed response is on its way. */
  get isSent(): boolean {
    return this.#isSent;
  }

  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** The status that the handler has set here, if it has. */
  get ownStatus(): number | undefined {
    const { statusCode } = this.response;
    return statusCode === this.#statusBefore ? undefined : statusCode;
  }

  /** The headers that the handler has set or removed here. */
  get headers(): HeaderList {
    return headersSince(this.#before, this.response.getHeaders() as OutgoingHeaders);
  }

  /** Calls the listeners that libraries such as `on-headers` have put before `writeHead`. */
  beforeCommit(): void {
    this.#isCommitting = true;
    try {
      // They get the status, and some set it again.
      this.response.writeHead(this.response.statusCode);
    } finally {
      this.#isCommitting = false;
    }
  }

  /** The committed response is the one that is sent: its end is the end of this one. */
  afterCommit(): void {
    this.#isSent = true;
  }

  /** Resolves when a response that was taken is over: the handler has ended it, or its client has gone. */
  async over(): Promise<void> {
    const real = this.#real;
    const { socket } = real.req;
    if (this.#isEnded || isClosed(real)) return;
    await new Promise<void>((resolve) => {
      this.#onEnd = resolve;
      real.once("close", resolve);
      // Node closes no response that still waits for one before it on the same connection.
      socket.once("close", resolve);
    });
    socket.off("close", this.#onEnd);
    real.off("close", this.#onEnd);
  }

  #overrideFunctions(): void {
    const { response } = this;
    const real = this.#real;
    const writeHead = (status: number, ...rest: readonly unknown[]) => {
      if (this.#isCommitting) return response;
      response.statusCode = status;
      this.#take(false).writeHead(status, ...(rest as []));
      return response;
    };
    const end = (...given: readonly unknown[]) => {
      this.#take().end(...(given as []));
      this.#end();
      return response;
    };
    const destroy = (error?: Error) => {
      this.#take().destroy(error);
      this.#end();
      return response;
    };
    const write = (...given: readonly unknown[]) => this.#take().write(...(given as [string]));
    const flushHeaders = () => this.#take().flushHeaders();
    Object.assign(response, { writeHead, write, end, destroy, flushHeaders });
    for (const name of INTERIM) {
      const own = (...given: readonly unknown[]) =>
        (real[name] as (...args: readonly unknown[]) => void)(...given);
      Object.assign(response, { [name]: own });
    }
  }

  #overrideMembers(): void {
    const real = this.#real;
    for (const name of OF_TAKEN) {
      const free = name === "socket" ? null : false;
      const get = () => (this.#isTaken ? real[name] : free);
      Object.defineProperty(this.response, name, { configurable: true, get, set: () => undefined });
    }
    // HTTP/2 has a stream in its place.
    if ("stream" in real)
      Object.defineProperty(this.response, "stream", { get: () => real.stream });
  }

  #end(): void {
    this.#isEnded = true;
    this.#onEnd();
  }

  /** @param isImplicit whether its head is to be written without `writeHead` */
  #take(isImplicit = true): ServerResponse {
    const real = this.#real;
    if (this.#isTaken) return real;
    if (isImplicit && !real.headersSent) this.beforeCommit();
    this.#isTaken = true;
    real.on("drain", () => this.response.emit("drain"));
    // Without a listener an error would end the process.
    real.on("error", (error) => {
      if (this.response.listenerCount("error") > 0) this.response.emit("error", error);
    });
    if (!real.headersSent) {
      real.statusCode = this.response.statusCode;
      const headers = this.response.getHeaders();
      for (const name of real.getHeaderNames()) if (!(name in headers)) real.removeHeader(name);
      for (const [name, value] of Object.entries(headers)) {
        if (value !== undefined) real.setHeader(name, value);
      }
    }
    this.#onTaken();
    return real;
  }
}

/** Whether nothing more of a response can reach its client. */
function isClosed({ destroyed, closed, req }: ServerResponse): boolean {
  return destroyed || closed || req.socket.destroyed;
}
