/**
 * The other end of the UDP socket tests: sockets of some `udpSocket`, in this process or, as a program, on orders by standard
 * input, so that they are Bun's own in another network namespace.
 */
import type { Lab, Side } from "./lab.ts";

export interface Received {
  readonly bytes: Uint8Array;
  readonly text: string;
  readonly port: number;
  readonly address: string;
}

export interface PeerOptions {
  readonly hostname: string;
  /** Joined on the interface of that address, or of the routes' choice. */
  readonly group?: readonly [group: string, on?: string];
  readonly broadcast?: boolean;
  readonly multicastInterface?: string;
}

export interface PeerSocket {
  readonly port: number;
  readonly received: readonly Received[];
  /** Codes of the errors that it heard of or that sending threw. */
  readonly errors: readonly string[];
  send(data: string | Uint8Array, port: number, address: string): void;
  /** Resolves when nobody has the port any more. */
  close(): Promise<void>;
}

export interface Peer {
  open(options: PeerOptions): Promise<PeerSocket>;
  close(): void;
}

type Opener = typeof Bun.udpSocket;

/** Sockets of `udpSocket` in this process. */
export const localPeer = (udpSocket: Opener): Peer => ({
  open: async (options) => {
    const received: Received[] = [];
    const errors: string[] = [];
    const fail = (error: unknown): void => void errors.push((error as { code: string }).code);
    const socket = await udpSocket({
      hostname: options.hostname,
      socket: {
        data: (_socket, data, port, address) => {
          received.push({ bytes: new Uint8Array(data), text: data.toString(), port, address });
        },
        // Bun calls it with the error alone.
        error: fail as () => void,
      },
    });
    if (options.broadcast === true) socket.setBroadcast(true);
    if (options.group !== undefined) socket.addMembership(options.group[0], options.group[1]);
    if (options.multicastInterface !== undefined) socket.setMulticastInterface(options.multicastInterface);
    return {
      port: socket.port,
      received,
      errors,
      send: (data, port, address) => {
        try {
          if (!socket.send(data, port, address)) errors.push("no room");
        } catch (error) {
          fail(error);
        }
      },
      close: async () => socket.close(),
    };
  },
  close: () => {},
});

/** What the program is told. `socket` is a number that the one who orders chooses. */
type Order = { readonly socket: number } & (
  | { readonly order: "open"; readonly options: PeerOptions }
  | { readonly order: "send"; readonly data: string; readonly port: number; readonly address: string }
  | { readonly order: "close" }
);

/** What it tells: everything that is new since the last time. */
interface Report {
  readonly socket: number;
  readonly port: number;
  readonly failure?: string;
  readonly closed?: true;
  readonly received: readonly { readonly data: string; readonly port: number; readonly address: string }[];
  readonly errors: readonly string[];
}

/** Kernels send six ICMP errors to one address and then one a second; tests ask for more. */
export const answerEverything = (lab: Lab): void => {
  const limits = ["net.ipv4.icmp_ratelimit=0", "net.ipv4.icmp_msgs_burst=10000", "net.ipv6.icmp.ratelimit=0"];
  // Some of them are the machine's, not the namespace's, and are not there to be written.
  for (const limit of limits)
    for (const side of ["a", "b"] as const) lab.exec(side, ["sysctl", "-qw", limit], { check: false });
};

/** Bun's own sockets in a program on one side of a lab. */
export const peerProgram = (lab: Lab, side: Side): Peer => {
  const program = lab.spawn(side, [process.execPath, import.meta.path], { stdin: "pipe", stderr: "inherit" });
  const sockets = new Map<number, (report: Report) => void>();
  let count = 0;
  const tell = (order: Order): void => {
    (program.stdin as Bun.FileSink).write(`${JSON.stringify(order)}\n`);
    void (program.stdin as Bun.FileSink).flush();
  };
  void eachLine<Report>(program.stdout, (report) => sockets.get(report.socket)?.(report));
  return {
    open: (options) => {
      const socket = count++;
      const received: Received[] = [];
      const errors: string[] = [];
      const closed = Promise.withResolvers<void>();
      return new Promise<PeerSocket>((resolve, reject) => {
        sockets.set(socket, (report) => {
          if (report.failure !== undefined) return reject(new Error(`the peer: ${report.failure}`));
          for (const { data, port, address } of report.received) {
            const bytes = Uint8Array.fromBase64(data);
            received.push({ bytes, text: new TextDecoder().decode(bytes), port, address });
          }
          errors.push(...report.errors);
          if (report.closed === true) closed.resolve();
          resolve({
            port: report.port,
            received,
            errors,
            send: (data, port, address) => {
              const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
              tell({ socket, order: "send", data: bytes.toBase64(), port, address });
            },
            close: () => {
              tell({ socket, order: "close" });
              return closed.promise;
            },
          });
        });
        tell({ socket, order: "open", options });
      });
    },
    close: () => program.kill("SIGKILL"),
  };
};

const eachLine = async <T>(stream: ReadableStream<Uint8Array>, take: (line: T) => unknown): Promise<void> => {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) await take(JSON.parse(line) as T);
  }
};

/** How often the program looks whether there is something to tell. */
const LOOK_MS = 2;

const work = async (): Promise<void> => {
  const peer = localPeer(Bun.udpSocket);
  const open = new Map<number, { readonly socket: PeerSocket; told: number; errors: number }>();
  const report = (entry: Report): void => void process.stdout.write(`${JSON.stringify(entry)}\n`);
  setInterval(() => {
    for (const [number, one] of open) {
      const { received, errors, port } = one.socket;
      if (received.length === one.told && errors.length === one.errors) continue;
      const fresh = received.slice(one.told);
      report({
        socket: number,
        port,
        received: fresh.map((each) => ({
          data: each.bytes.toBase64(),
          port: each.port,
          address: each.address,
        })),
        errors: errors.slice(one.errors),
      });
      one.told = received.length;
      one.errors = errors.length;
    }
  }, LOOK_MS);
  await eachLine<Order>(Bun.stdin.stream(), async (order) => {
    const known = open.get(order.socket)?.socket;
    const empty = { socket: order.socket, port: 0, received: [], errors: [] };
    if (order.order === "send") known?.send(Uint8Array.fromBase64(order.data), order.port, order.address);
    else if (order.order === "close") {
      await known?.close();
      report({ ...empty, closed: true });
    } else {
      try {
        const socket = await peer.open(order.options);
        open.set(order.socket, { socket, told: 0, errors: 0 });
        report({ ...empty, port: socket.port });
      } catch (error) {
        report({ ...empty, failure: String(error) });
      }
    }
  });
  process.exit(0);
};

if (import.meta.main) await work();
