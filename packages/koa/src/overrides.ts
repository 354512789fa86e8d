interface Accessor {
  get(): unknown;
  set(value: unknown): void;
}

/** A property of an object as it is now, whatever becomes of it. */
export function accessor(of: object, name: string): Accessor {
  const own = Object.getOwnPropertyDescriptor(of, name);
  const prototype: object = Object.getPrototypeOf(of);
  return {
    get: () => (own?.get ? own.get.call(of) : Reflect.get(prototype, name, of)) as unknown,
    set: (value) => {
      if (own?.set) own.set.call(of, value);
      else Reflect.set(prototype, name, value, of);
    },
  };
}

/** Properties of objects that are in the hands of others, replaced for a while. */
export class Overrides {
  readonly #undos: (() => void)[] = [];

  add(of: object, name: string, descriptor: PropertyDescriptor): void {
    const before = Object.getOwnPropertyDescriptor(of, name);
    const ours = { configurable: true, enumerable: true, ...descriptor };
    Object.defineProperty(of, name, ours);
    this.#undos.push(() => {
      const now = Object.getOwnPropertyDescriptor(of, name);
      // Somebody has put another one on top of it: it stays, and passes all on.
      if (now === undefined || now.get !== ours.get || now.value !== ours.value) return;
      if (before === undefined) Reflect.deleteProperty(of, name);
      else Object.defineProperty(of, name, before);
    });
  }

  /** Sees how a function is called, which then does what it does. */
  addFunction<Name extends string>(
    of: { [name in Name]: unknown },
    name: Name,
    see: (args: readonly unknown[]) => void,
  ): void {
    const before = of[name] as (...args: readonly unknown[]) => unknown;
    const value = (...args: readonly unknown[]) => {
      see(args);
      return Reflect.apply(before, of, args);
    };
    this.add(of, name, { value, writable: true });
  }

  /** Puts back what was there. */
  undo(): void {
    for (const undo of this.#undos.splice(0)) undo();
  }
}
