/** What the tests of the UDP socket's shape stand on: a `udpSocket`, somebody at the other end, and what is between them. */
import type { Peer, PeerOptions, PeerSocket, Received } from "./udp-peer.ts";

/** A `udpSocket` whose type does not stand in the way of wrong arguments. */
export type LooseSocket = Bun.udp.Socket<"buffer"> & {
  readonly remoteAddress: Bun.SocketAddress | undefined;
  [Symbol.dispose](): void;
};
export type LooseOpener = (options?: unknown) => Promise<LooseSocket>;

export const loosely = (udpSocket: typeof Bun.udpSocket): LooseOpener => udpSocket as unknown as LooseOpener;

export interface UdpWorld {
  readonly open: LooseOpener;
  readonly peer: Peer;
  readonly own: { readonly v4: string; readonly v6: string };
  readonly far: { readonly v4: string; readonly v6: string };
  /** On the link, and nobody has it. */
  readonly nobody: string;
  /** The subnet's broadcast address. */
  readonly everybody: string;
  /** Waits until `look` says true; throws, naming `what`, when it never does. */
  until(what: string, look: () => boolean, limitMs?: number): Promise<unknown>;
  /** Makes the way out so narrow that `send` finds no room, where it is not so by itself. */
  narrow(): unknown;
  /** Undoes `narrow`. */
  widen(): unknown;
}

/** What `data` was called with. */
export interface Heard {
  readonly self: unknown;
  readonly given: readonly unknown[];
  readonly text: string;
  readonly bytes: Uint8Array;
}

/** The world with sockets that close when a test has ended. */
export class Stage {
  world!: UdpWorld;
  readonly #open: { close(): unknown }[] = [];

  /** Opens a socket with these options and keeps what it hears. */
  readonly listen = async (options: Record<string, unknown> = {}, handlers: Record<string, unknown> = {}) => {
    const heard: Heard[] = [];
    const data = function (this: unknown, ...given: unknown[]): void {
      const bytes = new Uint8Array(given[1] as Buffer);
      heard.push({ self: this, given, bytes, text: new TextDecoder().decode(bytes) });
    };
    const socket = await this.open({ ...options, socket: { data, ...handlers } });
    return { socket, heard };
  };

  readonly open = async (options: Record<string, unknown> = {}): Promise<LooseSocket> => {
    const socket = await this.world.open(options);
    this.#open.push(socket);
    return socket;
  };

  readonly peer = async (options: PeerOptions): Promise<PeerSocket> => {
    const socket = await this.world.peer.open(options);
    this.#open.push(socket);
    return socket;
  };

  closeAll(): void {
    for (const socket of this.#open.splice(0)) void socket.close();
  }

  /** Waits for so many things to have come, and says what they are. */
  readonly arrived = async (list: readonly (Heard | Received)[], count: number): Promise<string[]> => {
    await this.world.until(`${count} datagrams, not ${list.length}`, () => list.length >= count);
    return list.map((one) => one.text);
  };
}

/** What a call that fails throws, as far as programs look at it. */
export const thrownBy = (call: () => unknown): Record<string, unknown> => {
  try {
    call();
  } catch (error) {
    return factsOf(error);
  }
  return { message: "nothing was thrown" };
};

export const factsOf = (error: unknown): Record<string, unknown> => {
  const { name, message, code, errno, syscall, address } = error as Error & Record<string, unknown>;
  return { name, message, code, errno, syscall, address };
};

/** What errors of calls look like. */
export const failure = (code: string, errno: number, text: string, syscall: string) => ({
  name: "Error",
  message: `${code}: ${text}, ${syscall}`,
  code,
  errno: -errno,
  syscall,
  address: undefined,
});

export const refusal = (message: string) => ({
  name: "TypeError",
  message,
  code: "ERR_INVALID_ARG_TYPE",
  errno: undefined,
  syscall: undefined,
  address: undefined,
});
