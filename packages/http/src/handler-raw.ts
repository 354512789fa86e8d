import { ServerResponse } from "node:http";
import { type HeaderList, headersSince, type OutgoingHeaders } from "./headers.ts";

/** What a handler reads of its raw response until the real one is its own. Libraries look at `_header` as well. */
const NOT_TAKEN = {
  ...{ finished: false, writableEnded: false, writableFinished: false, headersSent: false },
  ...{ socket: null, _header: null },
} as const;
/** What it reads of the real one at all times. Node's `finished` and `pipeline` look at `_closed`. */
const OF_CONNECTION = ["destroyed", "errored", "_closed"] as const;
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
  #status: number | undefined;
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
    // A head of HTTP/2 that was sent has its status among the headers.
    const headers = Object.entries(real.getHeaders()).filter(([name]) => !name.startsWith(":"));
    this.#before = Object.fromEntries(headers) as OutgoingHeaders;
    this.#statusBefore = statusCode;
    const response = new ServerResponse(real.req);
    this.response = response;
    response.statusCode = statusCode;
    for (const [name, value] of headers) {
      // Libraries add cookies to the list that they find.
      if (value !== undefined) response.setHeader(name, Array.isArray(value) ? [...value] : value);
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
    return statusCode === this.#statusBefore ? undefined : Number(statusCode);
  }

  /** The status with which the handler has written, or would write. */
  get statusWritten(): number {
    return this.#status ?? Number(this.response.statusCode);
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
      const isFirst = !this.#isTaken;
      if (isFirst) this.#noteHeaders(rest.at(-1));
      const taken = this.#take(false);
      // The head of another response is out: this one is never seen.
      if (!(isFirst && taken.headersSent)) taken.writeHead(status, ...(rest as []));
      return response;
    };
    const implicitHeader = () => {
      const taken = this.#take() as ServerResponse & { _implicitHeader(): void };
      if (!taken.headersSent) taken._implicitHeader();
    };
    const setTimeout = (...given: readonly unknown[]) => {
      real.setTimeout(...(given as [number]));
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
    Object.assign(response, { writeHead, write, end, destroy, flushHeaders, setTimeout });
    Object.assign(response, { _implicitHeader: implicitHeader });
    for (const name of INTERIM) {
      const own = (...given: readonly unknown[]) =>
        (real[name] as (...args: readonly unknown[]) => void)(...given);
      Object.assign(response, { [name]: own });
    }
  }

  #overrideMembers(): void {
    const real = this.#real;
    const mirror = (name: string, get: () => unknown) =>
      Object.defineProperty(this.response, name, { configurable: true, get, set: () => undefined });
    for (const [name, free] of Object.entries(NOT_TAKEN)) {
      mirror(name, () => (this.#isTaken || this.#isSent ? Reflect.get(real, name) : free));
    }
    for (const name of OF_CONNECTION) mirror(name, () => Reflect.get(real, name));
    // HTTP/2 has a stream in its place.
    if ("stream" in real)
      Object.defineProperty(this.response, "stream", { get: () => real.stream });
  }

  /** A stub has those that were given with the head. */
  #noteHeaders(given: unknown): void {
    if (typeof given !== "object" || given === null || Array.isArray(given)) return;
    for (const [name, value] of Object.entries(given)) this.response.setHeader(name, value);
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
    this.#status = Number(this.response.statusCode);
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
